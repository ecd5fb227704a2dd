// What a page costs whoever opens it: Lighthouse's scores on a phone that it slows down, the bytes of a first visit, and how soon
// another room stands on the screen. `make lighthouse`.

import { randomUUID } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { chromium, expect, test } from '@playwright/test';
import lighthouse from 'lighthouse';
import { launchOptions } from '../support/browser';
import { Server } from '../support/server';

/** What must hold, of each page. */
const AIMS = { performance: 98, accessibility: 100, 'best-practices': 100 };
/** The largest paint, in milliseconds; layout shift, which has no unit. */
const PAINT = 1200;
const SHIFT = 0;
/** Bytes of a first visit, compressed, as they came over the line. */
const BYTES = { room: 150_000, login: 25_000 };
/** A room that is turned to stands within this, in milliseconds: the median of so many turns. */
const TURN = 100;
const TURNS = 40;

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((listening) => listener.listen(0, '127.0.0.1', listening));
  const { port } = listener.address() as AddressInfo;
  await new Promise((closed) => listener.close(closed));
  return port;
}

/** A server with someone in it, and two rooms with something to read. */
async function world(): Promise<{ server: Server; cookie: string }> {
  const server = await Server.make(['--send-burst', '1000', '--send-rate', '1000']);
  let cookie = '';
  const post = async (action: string, form: Record<string, string>) => {
    const answer = await fetch(`${server.url}/actions/${action}`, {
      method: 'POST',
      body: new URLSearchParams(form),
      headers: { origin: server.url, accept: 'application/json', cookie },
    });
    expect(answer.ok, `${action}: ${answer.status}`).toBe(true);
    cookie ||= answer.headers.getSetCookie().map((set) => set.split(';')[0]).join('; ');
  };
  await post('sign_up', { email: 'ada@example.com', username: 'ada', password: 'a kettle of fish' });
  await post('create_room', { name: 'Tea', topic: 'Leaves, not bags' });
  for (const room of ['general', 'tea']) {
    for (let at = 1; at <= 60; at += 1) {
      await post('post_message', { room, nonce: randomUUID(), text: `no. ${at}: it has just boiled, and the blue pot is warm.` });
    }
  }
  return { server, cookie };
}

test('lighthouse, on a phone', async () => {
  const { server, cookie } = await world();
  const port = await freePort();
  const browser = await chromium.launch({ ...launchOptions, args: [...(launchOptions.args ?? []), `--remote-debugging-port=${port}`] });
  for (const page of ['login', 'room'] as const) {
    const url = page === 'login' ? `${server.url}/login` : `${server.url}/room/tea`;
    if (page === 'room') {
      // For the socket, too, which takes no other headers than the browser's own.
      const [name = '', value = ''] = cookie.split('=');
      const devtools = await browser.newBrowserCDPSession();
      await devtools.send('Storage.setCookies', { cookies: [{ name, value, url: server.url }] });
    }
    const ran = await lighthouse(url, { port, logLevel: 'error', onlyCategories: Object.keys(AIMS), disableStorageReset: page === 'room' });
    if (!ran) throw new Error('Lighthouse gave no result');
    const { categories, audits } = ran.lhr;
    const scores = Object.fromEntries(Object.entries(categories).map(([name, { score }]) => [name, Math.round((score ?? 0) * 100)]));
    const paint = Math.round(audits['largest-contentful-paint']?.numericValue ?? Number.POSITIVE_INFINITY);
    const shift = audits['cumulative-layout-shift']?.numericValue ?? 1;
    const bytes = Math.round(audits['total-byte-weight']?.numericValue ?? Number.POSITIVE_INFINITY);
    console.log(`${page}: ${JSON.stringify(scores)}, largest paint ${paint} ms, shift ${shift}, ${bytes} bytes`);
    const failed = Object.values(audits).filter(({ score, scoreDisplayMode }) => score !== null && score < 1 && scoreDisplayMode !== 'informative');
    for (const { id, title, displayValue } of failed) console.log(`  ${id}: ${title} ${displayValue ?? ''}`);
    for (const item of (audits['network-requests']?.details as { items?: Array<{ url: string; transferSize: number }> })?.items ?? []) {
      console.log(`  ${String(item.transferSize).padStart(8)} ${item.url.replace(server.url, '')}`);
    }
    for (const [name, aim] of Object.entries(AIMS)) expect.soft(scores[name], `${page}, ${name}`).toBeGreaterThanOrEqual(aim);
    expect.soft(paint, `${page}, largest paint`).toBeLessThanOrEqual(PAINT);
    expect.soft(shift, `${page}, shift`).toBe(SHIFT);
    expect.soft(bytes, `${page}, bytes`).toBeLessThanOrEqual(BYTES[page]);
  }
  await browser.close();
  await server.end();
});

test('turning to another room', async () => {
  const { server, cookie } = await world();
  const browser = await chromium.launch(launchOptions);
  const context = await browser.newContext({ baseURL: server.url });
  const [name = '', value = ''] = cookie.split('=');
  await context.addCookies([{ name, value, url: server.url }]);
  const page = await context.newPage();
  await page.goto('/room/tea');
  await expect(page.locator('html')).toHaveClass(/\blive\b/);
  // From the press to the frame after the room's rows are there.
  const times = await page.evaluate(async (turns) => {
    const times: number[] = [];
    for (let turn = 0; turn < turns; turn += 1) {
      const room = turn % 2 === 0 ? 'general' : 'tea';
      const link = document.querySelector<HTMLElement>(`nav a[href^="/room/${room}"]`);
      const start = performance.now();
      link?.click();
      await new Promise<void>((there) => {
        const look = () => (document.querySelector(`.log a[href^="/room/${room}?at="]`) ? requestAnimationFrame(() => there()) : requestAnimationFrame(look));
        look();
      });
      times.push(performance.now() - start);
    }
    return times;
  }, TURNS);
  times.sort((a, b) => a - b);
  const [median = 0, worst = 0] = [times[TURNS / 2], times[TURNS - 1]];
  console.log(`turning to another room: median ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms of ${TURNS}`);
  expect(median).toBeLessThanOrEqual(TURN);
  await browser.close();
  await server.end();
});
