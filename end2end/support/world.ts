// What every test stands on: a server, people, and a guard over what pages do unnoticed.
//
// A worker's tests share one server, in rooms of their own; a test that restarts it, or wants other settings, says
// `test.use({ own: { flags: […] } })` and gets one for itself.

import { type BrowserContextOptions, expect, test as base } from '@playwright/test';
import { Guard } from './guard';
import { Line } from './line';
import { Network } from './network';
import { Person, unused } from './person';
import { Server } from './server';

export { BROKEN, NO_SERVER, REFUSED } from './guard';
export { type Person, Room, alive, unused } from './person';
export { expect };

/** Who goes is gone soon: a test would wait ten seconds for it. */
const FLAGS = ['--presence-grace', '1'];

interface World {
  own: { flags: string[] } | undefined;
  server: Server;
  guard: Guard;
  /** A line to the server that can be cut. */
  line: Line;
  /** A way to the server that can be as bad as any. */
  network: Network;
  /** Someone new, signed up, with a browser that has their login. */
  person: (name: string, options?: Options) => Promise<Person>;
}

interface Options extends BrowserContextOptions {
  /** Without letters after the name that nobody else has. */
  exactly?: boolean;
}

interface Shared {
  shared: { server: () => Promise<Server> };
}

export const test = base.extend<World, Shared>({
  shared: [
    async ({}, use) => {
      let server: Promise<Server> | undefined;
      await use({ server: () => (server ??= Server.make([...FLAGS, '--send-burst', '1000'])) });
      await (await server)?.end();
    },
    { scope: 'worker' },
  ],
  own: [undefined, { option: true }],
  server: async ({ own, shared }, use) => {
    const server = own ? await Server.make([...FLAGS, ...own.flags]) : await shared.server();
    await use(server);
    if (own) await server.end();
    expect(server.findings(), 'what must not be in the log').toEqual([]);
  },
  baseURL: async ({ server }, use) => use(server.url),
  guard: async ({}, use, info) => {
    const guard = new Guard();
    await use(guard);
    await guard.report(info);
    expect(guard.complaints(), 'what the pages complained of').toEqual([]);
  },
  // A line outlives the pages that stand on it, which would complain of its end: it is asked for first.
  context: async ({ line, context, guard }, use) => {
    void line;
    await guard.watch(context);
    await use(context);
  },
  line: async ({ server }, use) => {
    const line = await Line.make(server.url);
    await use(line);
    await line.cut();
  },
  network: async ({ server }, use, info) => {
    const network = await Network.make(server.url);
    info.annotations.push({ type: 'SNUG_DEV_NETWORK_SEED', description: network.seed });
    await use(network);
    network.end();
  },
  person: async ({ line, browser, server, guard }, use) => {
    void line;
    const people: Person[] = [];
    await use(async (name, { exactly, ...options } = {}) => {
      const baseURL = options.baseURL ?? server.url;
      const context = await browser.newContext({ ...options, baseURL });
      await guard.watch(context);
      const person = new Person(exactly ? name : unused(name), server, context, await context.newPage(), baseURL);
      people.push(person);
      await person.signUp();
      return person;
    });
    for (const person of people) await person.context.close();
  },
});
