// What no page may do unnoticed: errors and warnings in the console, uncaught errors, violations of the content security policy.

import type { BrowserContext } from '@playwright/test';

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

  /** This test provokes it. */
  allow(...patterns: RegExp[]): void {
    this.allowed.push(...patterns);
  }

  async watch(context: BrowserContext): Promise<void> {
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.seen.push(`${message.type()}: ${message.text()}`);
    });
    context.on('weberror', (error) => this.seen.push(`uncaught: ${error.error().stack ?? error.error().message}`));
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`CSP violation: ${event.violatedDirective} by ${event.blockedURI} ${event.sample}`);
      });
    });
  }

  /** What was seen and is not allowed. */
  complaints(): string[] {
    return this.seen.filter((text) => !this.allowed.some((pattern) => pattern.test(text)));
  }
}
