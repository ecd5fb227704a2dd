// The room on the screen: turning to another one, its history in both directions, what is unread, what is quiet.

import type { Page } from '@playwright/test';
import { NO_SERVER, REFUSED, Room, alive, expect, test, unused } from '../support/world';

/** Says which document this is, so that a test can tell a page that turned from a page that was loaded anew. */
const mark = (page: Page) => page.evaluate(() => document.documentElement.setAttribute('data-marked', ''));
const marked = (page: Page) => page.locator('html[data-marked]');

const inView = (room: Room, text: string) =>
  room.saying(text).evaluate((row) => {
    const [{ top, bottom }, log] = [row.getBoundingClientRect(), row.closest('.log')?.getBoundingClientRect()];
    return !!log && top >= log.top - 1 && bottom <= log.bottom + 1;
  });

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => `no. ${from + at}`);

test('another room is turned to without a new page, on the same socket', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const [teaName, milkName] = [unused('Tea'), unused('Milk')];
  const tea = await ada.makeRoom(teaName, 'Leaves, not bags');
  const milk = await ada.makeRoom(milkName);
  await ben.join(milk);
  await ada.say(tea, 'tea first');
  await ada.say(milk, 'milk second');
  let sockets = 0;
  ada.page.on('websocket', () => (sockets += 1));
  const room = await ada.enter(tea);
  await expect.poll(() => sockets).toBe(1);
  await mark(ada.page);
  await room.composer.fill('half a thought about tea');

  await ada.page.getByRole('link', { name: milkName }).click();
  await expect(ada.page).toHaveURL(`/room/${milk}`);
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText(milkName);
  await expect(ada.page).toHaveTitle(`${milkName} · Snug`);
  await expect(ada.page.getByRole('link', { name: milkName })).toHaveAttribute('aria-current', 'page');
  await expect(ada.page.getByRole('link', { name: teaName })).not.toHaveAttribute('aria-current');
  await room.hasLast('milk second');
  await expect(ada.page.getByText('Leaves, not bags')).toHaveCount(0);
  // The composer is the room's own, and ready to write.
  await expect(room.composer).toHaveValue('');
  await expect(room.composer).toHaveAccessibleName(`Message to ${milkName}`);
  await expect(room.composer).toBeFocused();
  await room.say('into the milk');

  // Who else is there hears it, and is heard; presence is of this room.
  const bens = await ben.enter(milk);
  await bens.hasLast('milk second', 'into the milk');
  await bens.say('just a drop');
  await room.hasLast('milk second', 'into the milk', 'just a drop');
  await expect(ada.page.getByRole('button', { name: / here$/ })).toHaveAccessibleName('2 here');

  await ada.page.goBack();
  await expect(ada.page).toHaveURL(`/room/${tea}`);
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText(teaName);
  await room.hasLast('tea first');
  await expect(room.composer).toHaveValue('half a thought about tea');
  await expect(ada.page.getByRole('button', { name: / here$/ })).toHaveAccessibleName('1 here');
  await ada.page.goForward();
  await room.hasLast('milk second', 'into the milk', 'just a drop');
  await expect(marked(ada.page)).toHaveCount(1);
  expect(sockets).toBe(1);
  // What it shows is what a new page shows.
  const live = await room.texts();
  await ada.page.reload();
  await alive(ada.page);
  expect(await room.texts()).toEqual(live);
});

test('turning while the line is down shows where one is going, and the room when it is back', async ({ person, line, guard }) => {
  guard.allow(NO_SERVER);
  const ada = await person('ada', { baseURL: line.url });
  const [teaName, milkName] = [unused('Tea'), unused('Milk')];
  const tea = await ada.makeRoom(teaName);
  const milk = await ada.makeRoom(milkName);
  await ada.say(milk, 'all of it');
  const room = await ada.enter(tea);
  line.hold();
  await ada.page.getByRole('link', { name: milkName }).click();
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText(milkName);
  await expect(ada.page.getByText('On its way…')).toBeVisible();
  await room.composer.fill('meanwhile');
  await line.mend();
  await room.hasLast('all of it');
  await expect(ada.page.getByText('On its way…')).toHaveCount(0);
  await expect(room.composer).toHaveValue('meanwhile');
});

test('a room that one is no member of is a page of its own', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const milkName = unused('Milk');
  await ben.makeRoom(milkName);
  const tea = await ada.makeRoom('Tea');
  await ada.enter(tea);
  await mark(ada.page);
  await ada.page.getByRole('link', { name: milkName }).click();
  await expect(ada.page.getByText('You are not one of them yet')).toBeVisible();
  await expect(marked(ada.page)).toHaveCount(0);
});

test('older messages come while one scrolls up, and nothing moves under the reader', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.say(tea, ...numbers(1, 170));
  const room = await ada.enter(tea);
  await expect(room.messages).toHaveCount(50);
  for (const [first, count] of [['no. 121', 100], ['no. 71', 150], ['no. 21', 170]] as const) {
    const row = room.saying(first);
    // As far up as there is something, and what is there then stays where it is.
    const place = await row.evaluate((row) => {
      row.scrollIntoView({ block: 'start' });
      return row.getBoundingClientRect().top;
    });
    await expect(room.messages).toHaveCount(count);
    expect(Math.abs((await row.evaluate((row) => row.getBoundingClientRect().top)) - place)).toBeLessThan(2);
  }
  expect(await room.texts()).toEqual(numbers(1, 170));
  await expect(room.log.locator('.day')).toHaveCount(1);
  await expect(room.log.getByText('The room begins here.')).toBeAttached();
});

test('a message has an address of its own, with history both ways from there', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ada.say(tea, ...numbers(1, 180));
  let room = await ada.enter(tea);
  // From where it stands, to where it leads.
  await room.saying('no. 178').hover();
  const address = await room.saying('no. 178').locator('a.at').getAttribute('href');
  expect(address).toMatch(new RegExp(`^/room/${tea}\\?at=\\d+#s\\d+$`));
  const seq = Number(/at=(\d+)/.exec(address ?? '')?.[1]) - 178 + 60;
  await ada.page.goto(`/room/${tea}?at=${seq}#s${seq}`);
  await alive(ada.page);
  room = new Room(ada.page, ada.server);
  await expect.poll(() => inView(room, 'no. 60')).toBe(true);
  await expect(room.saying('no. 180')).toHaveCount(0);
  await expect(ada.page.getByRole('button', { name: 'To the newest' })).toBeVisible();

  // Down to the end, a page at a time, and on from there as it happens.
  await expect(async () => {
    await room.log.evaluate((log) => (log.scrollTop = 0));
    await expect(room.saying('no. 180')).toHaveCount(1, { timeout: 300 });
  }).toPass();
  const texts = await room.texts();
  expect(texts).toEqual(numbers(Number(texts[0]?.slice(4)), 180));
  await room.log.evaluate((log) => (log.scrollTop = 0));
  await ben.say(tea, 'and this');
  await room.hasLast('no. 180', 'and this');

  // A click on a time goes there without a new page, and shows which it is.
  await mark(ada.page);
  await room.saying('no. 150').locator('a.at').click();
  await expect(room.saying('no. 150')).toHaveClass(/found/);
  await expect.poll(() => inView(room, 'no. 150')).toBe(true);
  await ada.page.getByRole('button', { name: 'To the newest' }).click();
  await room.hasLast('and this');
  await expect(room.composer).toBeFocused();
  await expect(marked(ada.page)).toHaveCount(1);
});

test('what is said in an old place is at the end of the log', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.say(tea, ...numbers(1, 120));
  await ada.page.goto(`/room/${tea}?at=30#s30`);
  await alive(ada.page);
  const room = new Room(ada.page, ada.server);
  await expect.poll(() => inView(room, 'no. 29')).toBe(true);
  await room.say('now');
  await room.hasLast('no. 120', 'now');
  await expect.poll(() => inView(room, 'now')).toBe(true);
});

test.describe('what is unread', () => {
  test('begins at a line; the way there is offered, and what is below it is read when it has been seen', async ({ person }) => {
    const ada = await person('ada');
    const ben = await person('ben');
    const [teaName, milkName] = [unused('Tea'), unused('Milk')];
    const tea = await ada.makeRoom(teaName);
    const milk = await ada.makeRoom(milkName);
    await ben.join(tea);
    await ben.say(tea, ...numbers(1, 5));
    await ada.enter(tea);
    await expect.poll(() => ada.unread(tea)).toBe(0);
    const room = await ada.enter(milk);
    await ben.say(tea, ...numbers(6, 45));
    await expect(ada.page.getByRole('link', { name: `${teaName} 40 unread` })).toBeVisible();

    // Turned to, the room stands at the line; its end has not been seen yet.
    await ada.page.getByRole('link', { name: teaName }).click();
    await expect(room.saying('no. 45')).toHaveCount(1);
    await expect(room.log.locator('#new')).toBeInViewport();
    await expect.poll(() => inView(room, 'no. 6')).toBe(true);
    expect(await ada.unread(tea)).toBe(40);
    await ada.page.getByRole('button', { name: 'To the newest' }).click();
    await expect.poll(() => ada.unread(tea)).toBe(0);
    await expect(ada.page.getByRole('link', { name: teaName })).toHaveAccessibleName(new RegExp(`^${teaName}\\D*$`));
  });

  test('can be on an older page than the one that is shown', async ({ person }) => {
    const ada = await person('ada');
    const ben = await person('ben');
    const tea = await ada.makeRoom('Tea');
    await ben.join(tea);
    await ben.say(tea, ...numbers(1, 90));
    const room = await ada.enter(tea);
    await expect(room.log.locator('#new')).toHaveCount(0);
    await ada.page.getByRole('link', { name: '90 new, from here' }).click();
    await expect(room.log.locator('#new')).toBeInViewport();
    await expect.poll(() => inView(room, 'no. 1')).toBe(true);
  });

  test('comes in below a line while one reads elsewhere', async ({ person }) => {
    const ada = await person('ada');
    const ben = await person('ben');
    const tea = await ada.makeRoom('Tea');
    await ben.join(tea);
    await ben.say(tea, ...numbers(1, 45));
    const room = await ada.enter(tea);
    await room.log.evaluate((log) => (log.scrollTop = -600));
    await expect(ada.page.getByRole('button', { name: 'To the newest' })).toBeVisible();
    await ben.say(tea, 'one', 'two');
    await expect(ada.page.getByRole('button', { name: '2 new below' })).toBeVisible();
    await ada.page.getByRole('button', { name: '2 new below' }).click();
    const line = room.log.locator('#new');
    await expect(line).toHaveCount(1);
    await expect(line.locator('xpath=following::li[contains(@class, "message")][1]')).toContainText('one');
    await expect.poll(() => ada.unread(tea)).toBe(0);
  });
});

test('a log that grows long keeps its end, and has its beginning for who scrolls up', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const room = await ada.enter(tea);
  await ben.say(tea, ...numbers(1, 420));
  await room.hasLast('no. 420');
  expect(await room.messages.count()).toBeLessThan(300);
  const first = Number((await room.texts())[0]?.slice(4));
  expect(await room.texts()).toEqual(numbers(first, 420));
  await room.messages.first().scrollIntoViewIfNeeded();
  await expect(room.saying(`no. ${first - 1}`)).toHaveCount(1);
  const texts = await room.texts();
  expect(texts).toEqual(numbers(Number(texts[0]?.slice(4)), 420));
});

test('who comes and goes is told in a line, and all of it to who asks', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  const people = [];
  for (const name of ['ben', 'cleo', 'dora', 'enno']) people.push(await person(name));
  const names = people.map(({ name }) => name);
  for (const one of people) await one.join(tea);
  const note = room.notes.last();
  // She made the room herself: that is the first of them.
  await expect(note.locator('summary')).toHaveText(`${ada.name}, ${names[0]} and 3 others joined`);
  await expect(room.notes).toHaveCount(1);
  await expect(note.getByText(`${names[3]} joined`)).toBeHidden();
  await note.locator('summary').click();
  await expect(note.getByText(`${names[3]} joined`)).toBeVisible();
  await people[0]?.leave(tea);
  await expect(note).toContainText(`${names[0]} came and went`);
  await ada.page.reload();
  await expect(room.notes).toHaveCount(1);
  await expect(room.notes.last()).toContainText(`${names[0]} came and went`);
});

test('code, quotes and a smile look like what they are, before and after a reload', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  await room.say('run `make <tea>` first', '> so it was said\nand so it is', '```\nfn main() {\n    brew();\n}\n```', '🫖');
  const seen = async () => {
    await expect(room.waiting).toHaveCount(0);
    await expect(room.log.locator('code').first()).toHaveText('make <tea>');
    await expect(room.log.locator('blockquote')).toHaveText('so it was said');
    await expect(room.log.locator('pre')).toHaveText('fn main() {\n    brew();\n}');
    await expect(room.log.locator('.big')).toHaveText('🫖');
  };
  await seen();
  await ada.page.reload();
  await seen();
});

test.describe('a closed room', () => {
  test('is seen to close, can be read, and is opened again by who made it', async ({ person }) => {
    const ada = await person('ada');
    const ben = await person('ben');
    const tea = await ada.makeRoom('Tea');
    await ben.join(tea);
    await ada.say(tea, 'the last word');
    const bens = await ben.enter(tea);
    const adas = await ada.enter(tea);
    await bens.composer.fill('I was just about to');
    await ada.page.getByRole('button', { name: 'About this room' }).click();
    await ada.page.getByRole('button', { name: 'Close the room' }).click();
    await expect(bens.notes.last()).toHaveText(`${ada.name} closed the room`);
    await expect(bens.composer).toBeHidden();
    await expect(ben.page.getByText('This room is closed.')).toBeVisible();
    await expect(ben.page.getByRole('button', { name: 'Open it again' })).toHaveCount(0);
    await bens.hasLast('the last word');

    await alive(ada.page);
    await expect(adas.composer).toBeHidden();
    await ada.page.getByRole('button', { name: 'Open it again' }).click();
    await expect(adas.composer).toBeVisible();
    await expect(bens.composer).toBeVisible();
    // What was being written is still there.
    await expect(bens.composer).toHaveValue('I was just about to');
    await bens.composer.press('Enter');
    await adas.hasLast('the last word', 'I was just about to');
  });

  test('is one without scripts, too', async ({ person, guard }) => {
    guard.allow(REFUSED);
    const ada = await person('ada', { javaScriptEnabled: false });
    const tea = await ada.makeRoom('Tea');
    await ada.say(tea, 'the last word');
    await ada.page.goto(`/room/${tea}`);
    await ada.page.getByRole('button', { name: 'About this room' }).click();
    await ada.page.getByRole('button', { name: 'Close the room' }).click();
    await expect(ada.page.getByText('This room is closed.')).toBeVisible();
    await expect(ada.page.getByRole('textbox', { name: /^Message to/ })).toBeHidden();
    await expect(ada.page.getByText('the last word')).toBeVisible();
    await ada.page.getByRole('button', { name: 'Open it again' }).click();
    await expect(ada.page.getByRole('textbox', { name: /^Message to/ })).toBeVisible();
  });
});

test('without scripts a message is reached by its address, and what is unread by its line', async ({ person }) => {
  const ada = await person('ada', { javaScriptEnabled: false });
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ben.say(tea, ...numbers(1, 120));
  const room = new Room(ada.page, ada.server);
  await ada.page.goto(`/room/${tea}`);
  await ada.page.getByRole('link', { name: '99+ new, from here' }).click();
  await expect(room.saying('no. 1')).toHaveCount(1);
  await expect(ada.page.locator('#new')).toBeInViewport();
  await ada.page.goto(`/room/${tea}?at=62#s62`);
  await expect.poll(() => inView(room, 'no. 60')).toBe(true);
  await ada.page.getByRole('link', { name: 'Newer messages' }).click();
  await expect(room.saying('no. 120')).toHaveCount(1);
  await expect(ada.page.getByRole('link', { name: 'Newer messages' })).toHaveCount(0);
});

test('Escape leaves the composer for the log, and who types there writes', async ({ person }) => {
  const ada = await person('ada');
  const room = await ada.enter(await ada.makeRoom('Tea'));
  await room.composer.focus();
  await ada.page.keyboard.press('Escape');
  await expect(room.log).toBeFocused();
  await ada.page.keyboard.type('so');
  await expect(room.composer).toBeFocused();
  await expect(room.composer).toHaveValue('so');
});

test('a link to another part of the page loads nothing', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  let loads = 0;
  ada.page.on('request', (request) => (loads += Number(request.isNavigationRequest())));
  await ada.page.evaluate(() => (location.hash = '#main'));
  await ada.say(tea, 'the next word');
  await room.hasLast('the next word');
  expect(loads).toBe(0);
});
