// When the browser's code arrives, nothing jumps and nothing is lost.

import type { Page } from '@playwright/test';
import { holdWasm } from '../support/wasm';
import { type Person, Room, alive, expect, test } from '../support/world';

// A server of one's own: rooms that other tests make would come into the list.
test.use({ own: { flags: ['--send-burst', '1000'] } });

/** Notes every layout shift of the pages to come, with what moved. */
async function watchShifts(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const shifts: string[] = [];
    Object.assign(window, { shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as Array<PerformanceEntry & { value: number; sources: Array<{ node: Node | null }> }>) {
        const moved = entry.sources.map(({ node }) => {
          const element = node instanceof Element ? node : node?.parentElement;
          return element ? `${element.tagName.toLowerCase()}.${[...element.classList].join('.')}` : '?';
        });
        shifts.push(`${entry.value.toFixed(5)}: ${moved.join(', ')}`);
      }
    }).observe({ type: 'layout-shift', buffered: true });
  });
}

const shifts = (page: Page) => page.evaluate(() => (window as unknown as { shifts: string[] }).shifts);

/** The page has been laid out and painted since. */
const painted = (page: Page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))));

/** A room in which others have said something, and which is open in another tab, so that its owner is here already. */
async function livelyRoom(ada: Person, ben: Person): Promise<string> {
  const tea = await ada.makeRoom('Tea', 'Leaves, not bags');
  await ben.join(tea);
  await ada.say(tea, 'Is the kettle on?', 'It should be.', 'See https://example.com/kettle');
  await ben.say(tea, 'It has just\nboiled.', 'Shall I bring the blue pot?');
  await ada.say(tea, 'Please do!');
  const other = await ada.enter(tea, await ada.context.newPage());
  await expect(other.page.locator('.count')).toHaveCount(0);
  await expect.poll(() => ada.unread(tea)).toBe(0);
  return tea;
}

for (const [size, viewport] of [
  ['a desktop', { width: 1280, height: 800 }],
  ['a phone', { width: 390, height: 844 }],
] as const) {
  test(`on ${size} the room and the list stand still, and read the same before and after`, async ({ person }) => {
    const ada = await person('ada', { viewport });
    const ben = await person('ben');
    const tea = await livelyRoom(ada, ben);
    const { page } = ada;
    await watchShifts(page);
    for (const path of [`/room/${tea}`, '/']) {
      const release = await holdWasm(page);
      await page.goto(path);
      await painted(page);
      const words = () => page.locator('.app').evaluate((app) => app.textContent);
      const rows = () => page.locator('.app').evaluate((app) => [...app.querySelectorAll('nav li, li.message, li.note')].map((row) => row.outerHTML.replaceAll(/<!--.*?-->/g, '')));
      const before = { words: await words(), rows: await rows() };
      await expect(page.locator('html')).not.toHaveClass(/\blive\b/);
      const heard = page.waitForEvent('websocket').then((socket) => socket.waitForEvent('framereceived'));
      await release();
      await alive(page);
      await heard;
      await painted(page);
      expect({ words: await words(), rows: await rows() }).toEqual(before);
      expect(await shifts(page), path).toEqual([]);
      await page.unrouteAll();
    }
  });
}

test('the first visit of the day counts its own reader in without a jump', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await watchShifts(ada.page);
  await ada.enter(tea);
  await expect(ada.page.getByRole('button', { name: / here$/ })).toHaveAccessibleName('1 here');
  await painted(ada.page);
  expect(await shifts(ada.page)).toEqual([]);
});

test('what comes in moves nothing that one reads', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await livelyRoom(ada, ben);
  await watchShifts(ada.page);
  const room = await ada.enter(tea);
  await room.composer.click();
  await room.saying('Please do!').hover();
  const y = () => room.composer.evaluate((e) => Math.round(e.getBoundingClientRect().top));
  const before = await y();
  await room.say('on its way');
  await room.hasLast('on its way');
  expect(await y()).toBe(before);
});

test('what is typed before the code arrives stays, and goes out once', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const release = await holdWasm(ada.page);
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  ada.server.keepSecret('typed before the code');
  await room.composer.pressSequentially('typed before the code');
  await release();
  await alive(ada.page);
  await expect(room.composer).toHaveValue('typed before the code');
  await expect(room.composer).toBeFocused();
  await room.composer.press('End');
  await room.composer.press('Enter');
  await room.hasLast('typed before the code');
  await ada.page.reload();
  await alive(ada.page);
  expect(await room.texts()).toEqual(['typed before the code']);
  await expect(room.composer).toHaveValue('');
});

test('what is sent before the code arrives goes by the form, once', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const release = await holdWasm(ada.page);
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  await room.composer.fill('sent before the code');
  await room.send.click();
  await expect(ada.page).toHaveURL(/#end$/);
  await release();
  await alive(ada.page);
  await room.hasLast('sent before the code');
  await expect(room.composer).toHaveValue('');
  expect(await room.texts()).toEqual(['sent before the code']);
});

test('who logs out before the code arrives comes to the door, though the page hears of it first', async ({ person }) => {
  const { page } = await person('ada');
  await page.addInitScript(() => {
    window.WebSocket = class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        // When the page has done what it does about that at once.
        this.addEventListener('close', () => setTimeout(() => console.debug('the socket is closed')));
      }
    };
  });
  const release = await holdWasm(page);
  const opened = page.waitForEvent('websocket');
  const closed = page.waitForEvent('console', (message) => message.text() === 'the socket is closed');
  await page.goto('/settings');
  // The login is ended, and the answer to the form on its way, when the page has a socket already.
  await page.route('**/actions/log_out', async (route) => {
    await release();
    await (await opened).waitForEvent('framereceived');
    const answer = await route.fetch({ maxRedirects: 0 });
    await closed;
    await route.fulfill({ response: answer });
  });
  await page.getByRole('button', { name: 'Log out here' }).click();
  await expect(page).toHaveURL('/login');
});

test('what was typed now goes before the draft of an earlier visit', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  await room.composer.fill('an old draft');
  const release = await holdWasm(ada.page);
  await ada.page.goto(`/room/${tea}`);
  await room.composer.fill('typed just now');
  await release();
  await alive(ada.page);
  await expect(room.composer).toHaveValue('typed just now');
});

test('a text that was refused before the code arrives is still there after it', async ({ person, guard }) => {
  guard.allow(/status of 422/);
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const release = await holdWasm(ada.page);
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  await room.composer.fill('long '.repeat(900));
  await room.send.click();
  await expect(ada.page.getByText('That message is too long: 4000 characters is the most.')).toBeVisible();
  await release();
  await alive(ada.page);
  await expect(room.composer).toHaveValue('long '.repeat(900));
  await room.composer.fill('shorter');
  await room.composer.press('Enter');
  await room.hasLast('shorter');
});
