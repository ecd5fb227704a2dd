// What no page may do unnoticed: errors and warnings in the console, uncaught errors, violations of the content security policy.

import type { BrowserContext, Page, TestInfo } from '@playwright/test';

/** What Chromium says of a document or request that was answered with a 4xx. */
export const REFUSED = /Failed to load resource: the server responded with a status of 4\d\d/;
/** What it says while there is no server, or no network. */
export const NO_SERVER = /WebSocket connection to '.*' failed|Failed to load resource: net::ERR_(CONNECTION|INTERNET|EMPTY|SOCKET|NETWORK)/;
/** What it says where connections break in the midst of something. */
export const BROKEN = /WebSocket connection to '.*' failed|Failed to load resource: net::ERR_/;

/** What it says where scripts are off, or slow to come: no fault of the page. */
const EARLY = /was preloaded using link preload but not used within a few seconds/;

export class Guard {
  private readonly seen: string[] = [];
  private readonly allowed: RegExp[] = [EARLY];
  /** What went over the pages' sockets. */
  private readonly frames: string[] = [];
  private readonly begun = Date.now();
  private pages = 0;

  /** This test provokes it. */
  allow(...patterns: RegExp[]): void {
    this.allowed.push(...patterns);
  }

  async watch(context: BrowserContext): Promise<void> {
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.seen.push(`${message.type()}: ${message.text()}`);
    });
    context.on('page', (page) => this.listen(page));
    context.on('weberror', (error) => this.seen.push(`uncaught: ${error.error().stack ?? error.error().message}`));
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`CSP violation: ${event.violatedDirective} by ${event.blockedURI} ${event.sample}`);
      });
    });
  }

  /** Notes what goes over the sockets of `page`, and when, in milliseconds. */
  private listen(page: Page): void {
    const number = ++this.pages;
    let sockets = 0;
    page.on('websocket', (socket) => {
      const name = `page ${number}, socket ${++sockets}`;
      const note = (what: string) => this.frames.push(`${String(Date.now() - this.begun).padStart(6)} ${name}: ${what}`.slice(0, 500));
      note('asked for');
      socket.on('framesent', ({ payload }) => note(`> ${payload}`));
      socket.on('framereceived', ({ payload }) => note(`< ${payload}`));
      socket.on('socketerror', (error) => note(`failed: ${error}`));
      socket.on('close', () => note('closed'));
    });
  }

  /** Adds what went over the sockets to the report of a test that failed. */
  async report(test: TestInfo): Promise<void> {
    if (test.status !== test.expectedStatus) await test.attach('sockets', { body: this.frames.join('\n'), contentType: 'text/plain' });
  }

  /** What was seen and is not allowed. */
  complaints(): string[] {
    return this.seen.filter((text) => !this.allowed.some((pattern) => pattern.test(text)));
  }
}
