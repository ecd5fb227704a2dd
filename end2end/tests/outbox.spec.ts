// What is written and has not arrived, in several tabs of one browser: all of it arrives, once, in the order in which it was
// written, whichever tab is still there to send it.

import { INSECURE_HOST } from '../support/browser';
import type { Line } from '../support/line';
import { type Tapped, tap } from '../support/socket';
import { NO_SERVER, type Person, type Room, alive, expect, test } from '../support/world';

// Browsers have locks for pages that came over a secure connection (or from this machine), and none for others.
const WAYS = [
  { way: 'by a lock', locks: true, from: (line: Line) => line.url },
  { way: 'by a lease', locks: false, from: (line: Line) => `http://${INSECURE_HOST}:${new URL(line.url).port}` },
];

/** Says each of the texts in the next of the tabs, by turns; each of them sees it before the next one. */
async function sayByTurns(texts: string[], ...tabs: [Room, ...Room[]]): Promise<void> {
  for (const [i, text] of texts.entries()) {
    await (tabs[i % tabs.length] ?? tabs[0]).say(text);
    for (const tab of tabs) await expect(tab.saying(text)).toHaveCount(1);
  }
}

/** Two tabs of one person, in `room` and in `beside`; what the server says to the second passes `down`, and has welcomed it. */
async function twoTabs(ada: Person, room: string, down: NonNullable<Tapped['down']>, beside = room) {
  const first = await ada.enter(room);
  const page = await ada.context.newPage();
  const { welcomes } = await tap(page, { down });
  const second = await ada.enter(beside, page);
  await expect.poll(welcomes).toBe(1);
  return { first, second, welcomes };
}

test.beforeEach(({ guard }) => guard.allow(NO_SERVER));

for (const { way, locks, from } of WAYS) {
  test.describe(`whose turn it is, ${way}`, () => {
    test('what two tabs write while the line is down arrives once, in the order in which it was written', async ({ person, line }) => {
      const ada = await person('ada', { baseURL: from(line) });
      const ben = await person('ben');
      const tea = await ada.makeRoom('Tea');
      await ben.join(tea);
      const bens = await ben.enter(tea);
      const first = await ada.enter(tea);
      const second = await ada.enter(tea, await ada.context.newPage());
      expect(await ada.page.evaluate(() => [isSecureContext, 'locks' in navigator])).toEqual([locks, locks]);

      await line.cut();
      const said = Array.from({ length: 8 }, (_, i) => `written in tab ${(i % 2) + 1}, the ${i + 1}th of all`);
      await sayByTurns(said, first, second);
      for (const room of [first, second]) {
        expect(await room.texts()).toEqual(said);
        await expect(room.waiting).toHaveCount(said.length);
      }
      await line.mend();
      for (const room of [first, second, bens]) {
        await room.hasLast(...said);
        expect(await room.texts()).toEqual(said);
      }
      expect(await ben.fresh(tea)).toEqual(said);
    });

    test('what was written in a tab that is closed goes out from the other', async ({ person, line }) => {
      const ada = await person('ada', { baseURL: from(line) });
      const tea = await ada.makeRoom('Tea');
      const first = await ada.enter(tea);
      const page = await ada.context.newPage();
      const second = await ada.enter(tea, page);
      await line.cut();
      const said = ['from the one that stays', 'from the one that goes', 'from the one that stays, again'];
      await first.say(said[0]!);
      await second.say(said[1]!);
      await expect(first.waiting).toHaveCount(2);
      await page.close();
      await first.say(said[2]!);
      await line.mend();
      await first.hasLast(...said);
      expect(await ada.fresh(tea)).toEqual(said);
    });

    test('tabs that write at once with a good line are heard in turn, and leave nothing behind', async ({ person, line }) => {
      const ada = await person('ada', { baseURL: from(line) });
      const tea = await ada.makeRoom('Tea');
      const first = await ada.enter(tea);
      const second = await ada.enter(tea, await ada.context.newPage());
      const said = Array.from({ length: 6 }, (_, i) => `word number ${i + 1}`);
      await sayByTurns(said, first, second);
      for (const room of [first, second]) await room.hasLast(...said);
      expect(await ada.fresh(tea)).toEqual(said);
      const kept = () => ada.page.evaluate(() => Object.keys(localStorage).filter((key) => /^snug\.(out|turn|draft)\./.test(key)));
      await expect.poll(kept).toEqual([]);
      if (locks) {
        const held = () => ada.page.evaluate(async () => (await navigator.locks.query()).held?.map((lock) => lock.name));
        await expect.poll(held).toEqual([]);
      }
    });

    test('a tab that got its turn and whose line is dead holds up no other', async ({ person, line }) => {
      const ada = await person('ada', { baseURL: from(line) });
      const tea = await ada.makeRoom('Tea');
      let asked = 0;
      await tap(ada.page, {
        up: (command) => {
          if (!command.includes('"type":"hello"')) asked += 1;
          return command.includes('"type":"hello"') ? command : undefined;
        },
      });
      const dead = await ada.enter(tea);
      await dead.say('said into a dead line');
      await expect.poll(() => asked).toBeGreaterThan(0);
      const good = await ada.enter(tea, await ada.context.newPage());
      await good.say('said into a good one');
      // The other tab waits for five seconds in which nothing gets on.
      for (const room of [good, dead]) {
        await expect(room.waiting).toHaveCount(0, { timeout: 30_000 });
        await room.hasLast('said into a dead line', 'said into a good one');
      }
      expect(await ada.fresh(tea)).toEqual(['said into a dead line', 'said into a good one']);
    });

    test('what is refused in one tab is refused in the other, where it can be sent again or taken back', async ({ person, line }) => {
      const ada = await person('ada', { baseURL: from(line) });
      const tea = await ada.makeRoom('Tea');
      // Whichever of them sends it.
      const other = await ada.context.newPage();
      let refusing = true;
      for (const page of [ada.page, other]) {
        await tap(page, {
          up: (command, _socket, answer) => {
            const { type, id, room } = JSON.parse(command) as { type: string; id: string; room: string };
            if (type !== 'send' || !refusing) return command;
            answer({ type: 'error', id, room, code: 'not_member', message: 'You are not a member of this room. Join it first.' });
          },
        });
      }
      const first = await ada.enter(tea);
      const second = await ada.enter(tea, other);
      const why = /^Not sent\. You are not a member/;
      await first.say('refused at first');
      for (const room of [first, second]) await expect(room.waiting.locator('.state')).toHaveText(why);
      refusing = false;
      await second.waiting.getByRole('button', { name: 'Try again' }).click();
      for (const room of [first, second]) await room.hasLast('refused at first');

      refusing = true;
      await first.say('refused for good');
      for (const room of [first, second]) await expect(room.waiting.locator('.state')).toHaveText(why);
      await second.waiting.getByRole('button', { name: 'Take back' }).click();
      await expect(second.composer).toHaveValue('refused for good');
      for (const room of [first, second]) await room.hasLast('refused at first');
      expect(await ada.fresh(tea)).toEqual(['refused at first']);
    });
  });
}

test('what one tab has sent stays on the screen of another that has not been told of it', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  // Nothing of what the server says gets through to the second tab, also on a new line, until it is let go.
  let held: Array<() => void> | undefined;
  const { first, second } = await twoTabs(ada, tea, (events, _socket, later) => (held ? void held.push(() => later(events)) : events));
  await second.say('said in the second tab');
  for (const room of [first, second]) await room.hasLast('said in the second tab');

  held = [];
  await first.say('said in the first tab');
  await first.hasLast('said in the second tab', 'said in the first tab');
  await expect(second.waiting.locator('.state')).toHaveText('sent from another tab…');
  expect(await second.texts()).toEqual(['said in the second tab', 'said in the first tab']);
  const kept = held;
  held = undefined;
  for (const go of kept) go();
  await second.hasLast('said in the second tab', 'said in the first tab');
  expect(await second.texts()).toEqual(['said in the second tab', 'said in the first tab']);
});

test('what one tab has sent stays on the screen of another until the server has answered it', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  // On its way to the second tab the message is lost, and the answer held up.
  let deaf = false;
  let answer: (() => void) | undefined;
  const { first, second } = await twoTabs(ada, tea, (events, _socket, later) => {
    if (deaf && events.includes('"type":"message"')) return undefined;
    if (!deaf || !events.includes('"type":"pong"')) return events;
    answer = () => later(events);
    return undefined;
  });
  await second.say('heard by both');
  for (const room of [first, second]) await room.hasLast('heard by both');

  deaf = true;
  await first.say('lost on its way');
  await first.hasLast('heard by both', 'lost on its way');
  await expect(second.waiting.locator('.state')).toHaveText('sent from another tab…');
  await expect.poll(() => answer).toBeDefined();
  deaf = false;
  answer?.();
  await expect(second.waiting).toHaveCount(0);
  // That something is missing is seen by what comes next.
  await first.say('heard by both again');
  for (const room of [first, second]) await room.hasLast('heard by both', 'lost on its way', 'heard by both again');
});

test('what one tab has sent is there once in another that turns to its room without a line', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const milk = await ada.makeRoom('Milk');
  let dead = false;
  const { first, second } = await twoTabs(ada, tea, (events) => (dead ? undefined : events), milk);
  dead = true;
  await first.say('said in the first tab');
  await first.hasLast('said in the first tab');
  await second.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`).click();
  await expect(second.saying('said in the first tab')).toHaveCount(1);
  await expect(second.waiting).toHaveCount(0);
  expect(await second.texts()).toEqual(['said in the first tab']);
});

test('a tab that is not told of what another one has sent finds out that its line is dead', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  let dead = false;
  const { first, second, welcomes } = await twoTabs(ada, tea, (events, socket) => (dead && socket === 1 ? undefined : events));
  dead = true;
  await first.say('said on a good line');
  // By itself it would ask its server after 25 seconds, and wait for 10.
  await expect.poll(welcomes, { timeout: 20_000 }).toBe(2);
  await second.hasLast('said on a good line');
  expect(await second.texts()).toEqual(['said on a good line']);
});

test('a draft that was sent from another tab is gone from this one, and another draft is not', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const first = await ada.enter(tea);
  await first.composer.fill('begun in the first tab');
  const second = await ada.enter(tea, await ada.context.newPage());
  await expect(second.composer).toHaveValue('begun in the first tab');
  await second.composer.press('Enter');
  await second.hasLast('begun in the first tab');
  await first.hasLast('begun in the first tab');
  await expect(first.composer).toHaveValue('');
  await ada.page.reload();
  await alive(ada.page);
  await expect(first.composer).toHaveValue('');

  await second.composer.fill('of the second tab');
  await first.composer.fill('of the first tab');
  await expect.poll(() => second.page.evaluate(() => Object.values(localStorage))).toContain('of the first tab');
  await second.composer.press('Enter');
  for (const room of [first, second]) await room.hasLast('begun in the first tab', 'of the second tab');
  await expect(first.composer).toHaveValue('of the first tab');
  await ada.page.reload();
  await alive(ada.page);
  await expect(first.composer).toHaveValue('of the first tab');
});

test('a draft waits for the next login of whoever wrote it, and nobody else sees it', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const { page } = ada;
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const room = await ada.enter(tea);
  await room.composer.pressSequentially('not for Ben');
  const change = async (to: Person) => {
    await page.goto('/settings');
    await page.getByRole('button', { name: 'Log out here' }).click();
    await expect(page).toHaveURL('/login');
    await to.logInByHand(page);
    await expect(page).toHaveURL('/');
  };
  await change(ben);
  // Over the door and the settings, back to where Ada wrote: browsers bring back what was typed there.
  await page.evaluate(() => void setTimeout(() => history.go(-3)));
  await expect(page).toHaveURL(`/room/${tea}`);
  await alive(page);
  await expect(room.composer).toHaveValue('');
  await ben.enter(tea, page);
  await expect(room.composer).toHaveValue('');
  await room.composer.fill('not for Ada');
  await change(ada);
  await ada.enter(tea);
  await expect(room.composer).toHaveValue('not for Ben');
});
