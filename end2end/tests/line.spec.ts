// The line goes, the server goes, and both come back: nothing is lost, doubled or out of order.

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { tap } from '../support/socket';
import { holdWasm } from '../support/wasm';
import { NO_SERVER, alive, expect, test } from '../support/world';

const SAID = ['written offline, the first', 'written offline, the second', 'written offline, the third'];

test.beforeEach(({ guard }) => guard.allow(NO_SERVER));

test('what is written offline waits where one sees it, and goes out once and in order', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const adas = await ada.enter(tea);
  const bens = await ben.enter(tea);
  await adas.say('said before');
  await bens.hasLast('said before');

  await ada.context.setOffline(true);
  await line.cut();
  await expect(adas.line).toHaveText('You are offline. What you write goes out when you are back.');
  await adas.say(...SAID);
  await expect(adas.waiting.locator('.state')).toHaveText(SAID.map(() => /^waiting for the line/));
  await expect(adas.composer).toBeEditable();
  await ben.say(tea, 'said meanwhile');

  await line.mend();
  await ada.context.setOffline(false);
  await adas.hasLast('said before', 'said meanwhile', ...SAID);
  await bens.hasLast('said before', 'said meanwhile', ...SAID);
  await expect(adas.line).toHaveText('');
  expect(await ben.fresh(tea)).toEqual(['said before', 'said meanwhile', ...SAID]);
});

test('what is written while the server is gone is kept over a reload', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  await room.say('said before');
  await room.hasLast('said before');
  await line.cut();
  await expect(room.line).toHaveText(/^The line is down/);
  await room.say(...SAID);
  await expect(room.waiting).toHaveCount(3);

  await line.mend();
  // The page, but no socket and no script yet.
  const release = await holdWasm(ada.page);
  await ada.page.reload();
  expect(await room.texts()).toEqual(['said before']);
  await release();
  await alive(ada.page);
  await room.hasLast('said before', ...SAID);
  expect(await ada.fresh(tea)).toEqual(['said before', ...SAID]);
});

test('what was left in a closed tab goes out from whichever page is opened next', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  await line.cut();
  await room.say(...SAID);
  await expect(room.waiting).toHaveCount(3);
  await ada.page.close();

  await line.mend();
  // Another page of the site, on which the room is not.
  const page = await ada.context.newPage();
  await page.goto('/room/general');
  await alive(page);
  const ben = await person('ben');
  await ben.join(tea);
  await (await ben.enter(tea)).hasLast(...SAID);
  expect(await ben.fresh(tea)).toEqual(SAID);
});

test('a message whose acknowledgement is lost is there once', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const bens = await ben.enter(tea);
  const adas = await ada.enter(tea);
  await adas.say('said before');
  await adas.hasLast('said before');
  line.hold();
  await adas.say('heard by the server');
  await bens.hasLast('said before', 'heard by the server');
  await expect(adas.waiting).toHaveCount(1);
  await line.cut();
  await line.mend();
  await adas.hasLast('said before', 'heard by the server');
  await expect(adas.saying('heard by the server')).toHaveCount(1);
  expect(await ada.fresh(tea)).toEqual(['said before', 'heard by the server']);
});

test('two tabs of one person send what waits once', async ({ person, line }) => {
  test.setTimeout(120_000);
  const ada = await person('ada', { baseURL: line.url });
  const tea = await ada.makeRoom('Tea');
  const first = await ada.enter(tea);
  const second = await ada.enter(tea, await ada.context.newPage());
  await line.cut();
  await first.say('from the first tab');
  await second.say('from the second tab');
  await expect(first.waiting).not.toHaveCount(0);
  await line.mend();
  // Each tab tries again in its own time, which may be the longest wait between two tries: 30 s.
  for (const room of [first, second]) {
    await expect(room.waiting).toHaveCount(0, { timeout: 40_000 });
    await expect
      .poll(async () => (await room.texts()).sort(), { timeout: 40_000 })
      .toEqual(['from the first tab', 'from the second tab']);
  }
  expect(await first.texts()).toEqual(await second.texts());
  expect(await ada.fresh(tea)).toEqual(await first.texts());
});

test('a message that is refused stays, with its reason, to be sent again or taken back', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  await line.cut();
  await room.say('too late for this room', 'and this one as well');
  await expect(room.waiting).toHaveCount(2);
  const ben = await person('ben');
  await ben.join(tea);
  // On another device.
  await ada.leave(tea);
  await line.mend();
  await expect(ada.page.getByRole('button', { name: 'Join the room' })).toBeVisible({ timeout: 60_000 });
  await alive(ada.page);
  const kept = () => ada.page.evaluate(() => Object.entries(localStorage).filter(([key, value]) => key.startsWith('snug.out.') && String(value).split('\n')[1]).length);
  await expect.poll(kept).toBe(2);

  await ada.page.getByRole('button', { name: 'Join the room' }).click();
  await expect(room.composer).toBeVisible();
  await alive(ada.page);
  await expect(room.waiting.locator('.state')).toHaveText([/^Not sent\. You are not a member/, /^Not sent\. You are not a member/]);
  await room.waiting.first().getByRole('button', { name: 'Try again' }).click();
  await expect(room.waiting).toHaveCount(1);
  await room.composer.fill('begun meanwhile');
  await room.waiting.getByRole('button', { name: 'Take back' }).click();
  await expect(room.composer).toHaveValue('begun meanwhile\nand this one as well');
  await expect(room.composer).toBeFocused();
  await room.hasLast('too late for this room');
  expect(await ben.fresh(tea)).toEqual(['too late for this room']);
});

test.describe('a server that is restarted', () => {
  test.use({ own: { flags: [] } });

  for (const kill of [false, true]) {
    test(`under two people (${kill ? 'SIGKILL' : 'SIGTERM'}) has them back by themselves, with everything said`, async ({ person, server }) => {
      const ada = await person('ada');
      const ben = await person('ben');
      const tea = await ada.makeRoom('Tea');
      await ben.join(tea);
      const adas = await ada.enter(tea);
      const bens = await ben.enter(tea);
      const all: string[] = [];
      for (const round of [1, 2, 3]) {
        await adas.say(`Ada before restart ${round}`);
        await bens.say(`Ben before restart ${round}`);
        await server.stop({ kill });
        await adas.say(`Ada during restart ${round}`);
        await bens.say(`Ben during restart ${round}`);
        await server.start();
        for (const name of ['Ada', 'Ben']) for (const when of ['before', 'during']) all.push(`${name} ${when} restart ${round}`);
        for (const room of [adas, bens]) {
          await expect(room.waiting).toHaveCount(0, { timeout: 30_000 });
          await expect.poll(async () => (await room.texts()).sort(), { timeout: 30_000 }).toEqual([...all].sort());
          await expect(room.line).toHaveText('');
        }
      }
      const page = await ada.fresh(tea);
      for (const room of [adas, bens]) expect(await room.texts()).toEqual(page);
      // Each person's own in the order in which they were written.
      for (const name of ['Ada', 'Ben']) {
        expect(page.filter((text) => text.startsWith(name))).toEqual(all.filter((text) => text.startsWith(name)));
      }
      // Presence is counted anew.
      await expect(ada.page.getByRole('button', { name: / here$/ })).toHaveAccessibleName('2 here');
    });
  }
});

test('a handshake that nobody answers holds up no other', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const room = await ada.enter(await ada.makeRoom('Tea'));
  await room.say('said before');
  await room.hasLast('said before');
  const asked = ada.page.waitForEvent('websocket');
  line.hold();
  line.sever();
  await asked;
  await expect(room.line).toHaveText(/^The line is down/);
  line.lose();
  await room.say('said meanwhile');
  await room.hasLast('said before', 'said meanwhile');
  await expect(room.line).toHaveText('');
});

test('a short interruption is not worth a word', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  // The first try is made within a second, by chance: at once.
  await ada.page.addInitScript(() => (Math.random = () => 0));
  const room = await ada.enter(await ada.makeRoom('Tea'));
  await room.say('said before');
  await room.hasLast('said before');
  await ada.page.evaluate(() => {
    const said: string[] = [];
    const status = document.querySelector('.foot .line')!;
    new MutationObserver(() => said.push(status.textContent ?? '')).observe(status, { childList: true, characterData: true, subtree: true });
    Object.assign(window, { said });
  });
  // The first try must not be in vain, or the second one may be too late.
  const reconnected = ada.page.waitForEvent('websocket');
  line.sever();
  await reconnected;
  await room.say('said after');
  await room.hasLast('said before', 'said after');
  expect(await ada.page.evaluate(() => (window as unknown as { said: string[] }).said.filter(Boolean))).toEqual([]);
});

test('who missed more than is replayed sees the room anew', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const room = await ada.enter(tea);
  await line.cut();
  const said = Array.from({ length: 130 }, (_, i) => `line number ${i + 1}`);
  await ben.say(tea, ...said);
  await line.mend();
  await room.hasLast(...said.slice(-50));
  expect(new Set(await room.texts()).size).toBe((await room.texts()).length);
});

test.describe('a small replay', () => {
  test.use({ own: { flags: ['--replay-max', '5', '--send-burst', '1000'] } });

  test('fetches the room instead, and what is older for who scrolls up', async ({ person, line }) => {
    const ada = await person('ada', { baseURL: line.url });
    const ben = await person('ben');
    const tea = await ada.makeRoom('Tea');
    await ben.join(tea);
    const room = await ada.enter(tea);
    await room.say('said before');
    await room.hasLast('said before');
    await line.cut();
    await room.say('waits meanwhile');
    const said = Array.from({ length: 60 }, (_, i) => `line number ${i + 1}`);
    await ben.say(tea, ...said);
    await line.mend();
    await room.hasLast(...said.slice(-40), 'waits meanwhile');
    await expect(room.saying('said before')).toHaveCount(0);
    await room.messages.first().scrollIntoViewIfNeeded();
    await expect(room.saying('said before')).toHaveCount(1);
  });
});

test('a line that has died without a word is found out, and another one made', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  let dead = false;
  const pass = (frame: string, socket: number) => (dead && socket === 1 ? undefined : frame);
  await tap(ada.page, { up: pass, down: pass });
  const room = await ada.enter(tea);
  await room.say('said before');
  await room.hasLast('said before');
  dead = true;
  await room.say('said into the void');
  await expect(room.waiting).toHaveCount(1);
  await expect(room.waiting).toHaveCount(0, { timeout: 40_000 });
  await room.hasLast('said before', 'said into the void');
  expect(await ada.fresh(tea)).toEqual(['said before', 'said into the void']);
});

test('of what was missed with much else one’s own message is sent again, and the rest is counted', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  const cake = await ada.makeRoom('Cake');
  await ben.join(cake);
  let missing = '';
  const sent: string[] = [];
  await tap(ada.page, {
    up: (command) => {
      const { type, id } = JSON.parse(command) as { type: string; id: string };
      if (type === 'send') sent.push(id);
      return command;
    },
    // Of one room the next message is not told, but that something was missed.
    down: (events) =>
      events
        .split('\n')
        .map((line) => {
          const { type, room, seq } = JSON.parse(line) as { type: string; room: string; seq: number };
          if (type !== 'message' || room !== missing) return line;
          missing = '';
          return JSON.stringify({ type: 'limited', room, from: seq, to: seq });
        })
        .join('\n'),
  });
  const room = await ada.enter(tea);
  await room.say('said before');
  await room.hasLast('said before');
  sent.length = 0;
  missing = tea;
  await room.say('its answer is missed', 'and this comes after it');
  await room.hasLast('said before', 'its answer is missed', 'and this comes after it');
  await expect(room.waiting).toHaveCount(0);
  expect(sent.length).toBe(3);
  expect(sent[1]).toBe(sent[0]);
  expect(await ada.fresh(tea)).toEqual(['said before', 'its answer is missed', 'and this comes after it']);

  missing = cake;
  await ben.say(cake, 'missed, and counted');
  await expect(ada.page.getByRole('link', { name: 'Cake 1 unread' })).toBeVisible();
});

test('who does not want to wait for the next try can ask for it, by keyboard too', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const room = await ada.enter(await ada.makeRoom('Tea'));
  await line.cut();
  await room.say('said meanwhile');
  const now = ada.page.getByRole('button', { name: 'Try now' });
  await expect(now).toBeVisible({ timeout: 40_000 });
  await expect(room.line).toHaveText(/^The line is down/);
  await now.focus();
  const tried = ada.page.waitForEvent('websocket');
  await ada.page.keyboard.press('Enter');
  await tried;
  await expect(now).toBeFocused();
  await line.mend();
  await expect(room.line).toHaveText('The line is back.', { timeout: 40_000 });
  await room.hasLast('said meanwhile');
  await expect(now).toHaveCount(0);
  await expect(room.composer).toBeFocused();
  await expect(room.line).toHaveText('');
});

test.describe('a server with another build', () => {
  /** Leaves a mark on the page, which goes when it is loaded again. */
  const mark = (page: Page) => page.evaluate(() => Object.assign(window, { marked: true }));
  const isMarked = (page: Page) => page.evaluate(() => 'marked' in window);
  /** Taps a page whose server can be made to look like another build, from its next welcome on. */
  async function deployable(page: Page) {
    let deployed = false;
    const tapped = await tap(page, { down: (frame) => (deployed ? frame.replace(/"build":"[^"]*"/, '"build":"another"') : frame) });
    return { welcomes: tapped.welcomes, deploy: (another: boolean) => (deployed = another) };
  }

  test('is said to be there, and is loaded when one wants it, with what is being written', async ({ person, line }) => {
    const ada = await person('ada', { baseURL: line.url });
    const tea = await ada.makeRoom('Tea');
    const build = await deployable(ada.page);
    const room = await ada.enter(tea);
    await expect.poll(build.welcomes).toBe(1);
    await mark(ada.page);
    await room.composer.fill('half a thought');
    build.deploy(true);
    await line.cut();
    await line.mend();
    await expect(room.line).toHaveText(/^Snug has been updated/);
    await room.composer.press('End');
    await room.composer.pressSequentially(', and the other half');
    // Nothing else has changed.
    await room.composer.press('Enter');
    await room.hasLast('half a thought, and the other half');
    await room.composer.fill('the next one');
    expect(await isMarked(ada.page)).toBe(true);

    build.deploy(false);
    const loaded = ada.page.waitForEvent('load');
    await ada.page.getByRole('button', { name: 'Load it now' }).click();
    await loaded;
    await alive(ada.page);
    await expect(room.composer).toHaveValue('the next one');
    await expect(room.line).toHaveText('');
    await room.hasLast('half a thought, and the other half');
  });

  test('is loaded by itself while nobody looks', async ({ person, line }) => {
    const ada = await person('ada', { baseURL: line.url });
    const tea = await ada.makeRoom('Tea');
    const build = await deployable(ada.page);
    const room = await ada.enter(tea);
    await expect.poll(build.welcomes).toBe(1);
    await room.composer.fill('half a thought');
    build.deploy(true);
    await line.cut();
    await line.mend();
    await expect(room.line).toHaveText(/^Snug has been updated/);
    build.deploy(false);
    const loaded = ada.page.waitForEvent('load');
    await ada.page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { get: () => true });
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
    });
    await loaded;
    await alive(ada.page);
    await expect(room.composer).toHaveValue('half a thought');
    await expect(room.line).toHaveText('');
  });

  test('that speaks a newer protocol is loaded by itself, but not under the fingers of who writes', async ({ person, line }) => {
    const ada = await person('ada', { baseURL: line.url });
    const tea = await ada.makeRoom('Tea');
    let deployed = false;
    const later = (frame: string) => frame.replace(/"version":\d+/, '"version":99').replace(/"build":"[^"]*"/, '"build":"another"');
    const tapped = await tap(ada.page, { down: (frame) => (deployed ? later(frame) : frame) });
    const room = await ada.enter(tea);
    await expect.poll(tapped.welcomes).toBe(1);
    await mark(ada.page);
    deployed = true;
    await room.composer.pressSequentially('half');
    await line.cut();
    await line.mend();
    const updated = expect(room.line).toHaveText(/^Snug has been updated/);
    // As people write, until it is said and a while longer.
    let said = false;
    void updated.then(() => (said = true), () => (said = true));
    while (!said) await room.composer.pressSequentially('…', { delay: 100 });
    await updated;
    await room.composer.pressSequentially(' a thought', { delay: 100 });
    expect(await isMarked(ada.page)).toBe(true);
    const typed = await room.composer.inputValue();
    const loaded = ada.page.waitForEvent('load', { timeout: 20_000 });
    deployed = false;
    await room.composer.pressSequentially('.');
    await loaded;
    await alive(ada.page);
    await expect(room.composer).toHaveValue(`${typed}.`);
    await room.composer.press('Enter');
    await room.hasLast(`${typed}.`);
  });
});

test('a database that is another than before is read anew, and what waits goes out', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const tea = await ada.makeRoom('Tea');
  let restored = false;
  const other = '"epoch":"00000000-0000-4000-8000-000000000000"';
  await tap(ada.page, { down: (frame) => (restored ? frame.replace(/"epoch":"[^"]*"/, other) : frame) });
  const room = await ada.enter(tea);
  await room.say('said before');
  await room.hasLast('said before');
  await line.cut();
  await room.say('waits meanwhile');
  restored = true;
  const read = ada.page.waitForRequest('**/actions/read_room');
  await line.mend();
  await read;
  await room.hasLast('said before', 'waits meanwhile');
  expect(await room.texts()).toEqual(['said before', 'waits meanwhile']);
});

test.describe('a restored backup', () => {
  test.use({ own: { flags: [] } });

  test('is what everyone sees, with what was waiting at the end of it', async ({ person, server }) => {
    const ada = await person('ada');
    const tea = await ada.makeRoom('Tea');
    const room = await ada.enter(tea);
    await room.say('in the backup');
    await room.hasLast('in the backup');
    const backup = await mkdtemp(join(tmpdir(), 'snug-e2e-backup-'));
    await server.stop();
    await cp(server.data, backup, { recursive: true });
    await server.start();
    await room.say('after the backup', 'and another one');
    await expect(room.waiting).toHaveCount(0, { timeout: 30_000 });
    await room.hasLast('in the backup', 'after the backup', 'and another one');

    await server.stop();
    await room.say('while it was restored');
    await expect(room.waiting).toHaveCount(1);
    await rm(server.data, { recursive: true });
    await cp(backup, server.data, { recursive: true });
    await rm(backup, { recursive: true });
    await server.start();
    await expect(room.waiting).toHaveCount(0, { timeout: 30_000 });
    await expect.poll(() => room.texts()).toEqual(['in the backup', 'while it was restored']);
    expect(await ada.fresh(tea)).toEqual(['in the backup', 'while it was restored']);
  });
});

test('a page of a room that does not come is asked for again', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const cake = await ada.makeRoom('Cake');
  await ada.say(cake, 'said in the other room');
  const room = await ada.enter(tea);
  let asked = 0;
  await ada.page.route('**/actions/read_room', (route) => (++asked === 1 ? undefined : route.continue()));
  await ada.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${cake}"]`).click();
  await expect(room.saying('said in the other room')).toHaveCount(1, { timeout: 40_000 });
});
