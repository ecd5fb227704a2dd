// Someone with an account, a browser of their own, and (for what a test takes for granted) a way round the screen.

import { randomUUID } from 'node:crypto';
import type { APIResponse, BrowserContext, Locator, Page } from '@playwright/test';
import { expect } from '@playwright/test';
import type { Server } from './server';

// No two of these letters look alike, to people or to the server.
const LETTERS = 'acdefhkprtxz';

function word(length: number): string {
  return Array.from({ length }, () => LETTERS[Math.floor(Math.random() * LETTERS.length)]).join('');
}

/** A name that nobody has yet. */
export function unused(name: string): string {
  return `${name}-${word(7)}`;
}

export class Person {
  readonly email: string;
  readonly password: string;

  constructor(
    readonly name: string,
    readonly server: Server,
    readonly context: BrowserContext,
    /** The first tab. */
    readonly page: Page,
    /** Where this person's pages are from: the server, or a line to it. */
    readonly origin: string,
  ) {
    this.email = `${encodeURIComponent(name)}@example.com`;
    this.password = `teapot ${word(12)}`;
    server.keepSecret(this.password);
  }

  /** Posts a server function as a program does, whatever is with the line of the page. */
  async post(action: string, form: Record<string, string | number> = {}): Promise<APIResponse> {
    return this.context.request.post(`${this.server.url}/actions/${action}`, {
      form,
      headers: { origin: this.server.url, accept: 'application/json' },
      maxRedirects: 0,
    });
  }

  private async did(action: string, form: Record<string, string | number>): Promise<APIResponse> {
    const answer = await this.post(action, form);
    expect(answer.status(), `${action}: ${await answer.text()}`).toBe(200);
    return answer;
  }

  async signUp(): Promise<void> {
    await this.did('sign_up', { email: this.email, username: this.name, password: this.password });
    if (new URL(this.origin).hostname === new URL(this.server.url).hostname) return;
    // The browser has the session under the server's own name, and needs it under the one that its pages are from.
    const cookies = await this.context.cookies(this.server.url);
    await this.context.addCookies(cookies.map(({ name, value }) => ({ name, value, url: this.origin, httpOnly: true, sameSite: 'Lax' })));
  }

  async logIn(): Promise<void> {
    await this.did('log_in', { name: this.name, password: this.password });
  }

  /** Logs in by hand, in whichever browser `page` is of; it stands at the door. */
  async logInByHand(page: Page): Promise<void> {
    await page.getByLabel('E-mail or username').fill(this.name);
    await page.getByLabel('Password').fill(this.password);
    await page.getByRole('button', { name: 'Log in' }).click();
  }

  /** Makes a room, and gives its slug. */
  async makeRoom(name: string, topic = ''): Promise<string> {
    const answer = await this.did('create_room', { name, topic });
    return (answer.headers().location ?? '').replace('/room/', '');
  }

  async join(room: string): Promise<void> {
    await this.did('join_room', { room });
  }

  async leave(room: string): Promise<void> {
    await this.did('leave_room', { room });
  }

  async say(room: string, ...texts: string[]): Promise<void> {
    for (const text of texts) {
      this.server.keepSecret(text);
      await this.did('post_message', { room, nonce: randomUUID(), text });
    }
  }

  /** What the server counts as unread in a room. */
  async unread(room: string): Promise<number | undefined> {
    const rooms = (await (await this.did('list_rooms', {})).json()) as Array<{ room: string; unread: number }>;
    return rooms.find((item) => item.room === room)?.unread;
  }

  /** Opens a room, and waits until the page has come to life. */
  async enter(room: string, page = this.page): Promise<Room> {
    await page.goto(`/room/${room}`);
    await alive(page);
    return new Room(page, this.server);
  }

  /** The texts of a room as a page loaded now shows them. */
  async fresh(room: string): Promise<string[]> {
    const page = await this.context.newPage();
    const texts = await (await this.enter(room, page)).texts();
    await page.close();
    return texts;
  }
}

/** The page has come to life: scripts have taken it over. */
export async function alive(page: Page): Promise<void> {
  await expect(page.locator('html')).toHaveClass(/\blive\b/);
}

/** A room on a screen. */
export class Room {
  readonly log: Locator;
  readonly composer: Locator;
  readonly send: Locator;
  /** The state of the connection, in words; empty when all is well. */
  readonly line: Locator;
  /** Messages, arrived or not. */
  readonly messages: Locator;
  /** Those that have not arrived. */
  readonly waiting: Locator;
  readonly notes: Locator;

  constructor(
    readonly page: Page,
    private readonly server: Server,
  ) {
    this.log = page.getByRole('log', { name: 'Messages' });
    this.composer = page.getByRole('textbox', { name: /^Message to / });
    this.send = page.getByRole('button', { name: 'Send', exact: true });
    this.line = page.locator('.foot .line');
    this.messages = this.log.locator('li.message');
    this.waiting = this.log.locator('li.message:has(> .state)');
    this.notes = this.log.locator('li.note');
  }

  /** The messages with just this text. */
  saying(text: string): Locator {
    return this.messages.filter({ has: this.page.getByText(text, { exact: true }) });
  }

  /** Writes and sends. */
  async say(...texts: string[]): Promise<void> {
    for (const text of texts) {
      this.server.keepSecret(text);
      await this.composer.fill(text);
      await this.composer.press('Enter');
    }
  }

  /** The texts of the messages, in their order on the screen. */
  texts(): Promise<string[]> {
    return this.messages.locator('.text').allTextContents();
  }

  /** Nothing waits, and these are the last messages. */
  async hasLast(...texts: string[]): Promise<void> {
    // A line that was gone is tried again after a while: after one of half a minute, at the most.
    const timeout = 60_000;
    await expect(this.waiting).toHaveCount(0, { timeout });
    await expect.poll(async () => (await this.texts()).slice(-texts.length), { timeout }).toEqual(texts);
  }

  /** How far the log is from its end, in pixels. */
  fromEnd(): Promise<number> {
    return this.log.evaluate((log) => Math.abs(Math.round(log.scrollTop)));
  }
}
