// Talking, with scripts.

import type { Locator } from '@playwright/test';
import { Room, alive, expect, test, unused } from '../support/world';

test('a newcomer signs up, makes a room and says the first word', async ({ page, server }) => {
  const name = unused('ada');
  server.keepSecret('a few words in a row');
  await page.goto('/');
  await expect(page).toHaveURL(/\/login$/);
  await page.getByRole('link', { name: 'Make an account' }).click();
  await page.getByLabel('E-mail').fill(`${name}@example.com`);
  await page.getByLabel('Username').fill(name);
  await page.getByLabel('Password').fill('a few words in a row');
  await page.getByRole('button', { name: 'Make my account' }).click();

  await expect(page).toHaveURL('/');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(`Hello, ${name}.`);
  await expect(page.getByRole('list', { name: 'Your rooms' }).getByRole('link')).toHaveText(['general']);

  await page.getByRole('link', { name: 'Make a room' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('Tea at five');
  await page.getByLabel('What it is about (may be left empty)').fill('Leaves, not bags');
  await page.getByRole('button', { name: 'Make the room' }).click();
  await expect(page).toHaveURL(/\/room\/tea-at-five/);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Tea at five');
  await expect(page.locator('.title').getByText('Leaves, not bags')).toBeVisible();
  await expect(page.getByText('Nobody has said anything here yet.')).toBeVisible();
  await expect(page.getByRole('link', { name: 'Tea at five' })).toHaveAttribute('aria-current', 'page');

  await alive(page);
  const room = new Room(page, server);
  await room.say('The kettle is on');
  await room.hasLast('The kettle is on');
  await expect(page.getByText('Nobody has said anything here yet.')).toBeHidden();
  await page.reload();
  await room.hasLast('The kettle is on');
});

test('two people talk, each at once on the screen of the other', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const adas = await ada.enter(tea);
  const bens = await ben.enter(tea);

  await adas.say('Is the kettle on?');
  await bens.hasLast('Is the kettle on?');
  await bens.say('It has just boiled.', 'Shall I bring the blue pot?');
  await adas.hasLast('Is the kettle on?', 'It has just boiled.', 'Shall I bring the blue pot?');
  await adas.say('Please do!');
  const all = ['Is the kettle on?', 'It has just boiled.', 'Shall I bring the blue pot?', 'Please do!'];
  for (const room of [adas, bens]) await room.hasLast(...all);

  // Whose is whose, and what stands together.
  await expect(adas.saying('Please do!')).toHaveClass(/\bmine\b/);
  await expect(bens.saying('Please do!')).not.toHaveClass(/\bmine\b/);
  await expect(bens.saying('Please do!').locator('.by bdi')).toHaveText(ada.name);
  await expect(adas.saying('Shall I bring the blue pot?')).toHaveClass(/\bmore\b/);

  // What came in live is what a fresh page shows.
  for (const person of [ada, ben]) await expect.poll(() => person.unread(tea)).toBe(0);
  for (const room of [adas, bens]) {
    const live = await room.log.locator('.rows:visible').allInnerTexts();
    await room.page.reload();
    await alive(room.page);
    const fresh = await room.log.locator('.rows:visible').allInnerTexts();
    const lines = (texts: string[]) => texts.join('\n').split(/\n+/).filter(Boolean);
    expect(lines(live)).toEqual(lines(fresh));
  }
});

test('who comes, who is here and who goes is seen', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const name = unused('Tea');
  const tea = await ada.makeRoom(name);
  const adas = await ada.enter(tea);
  const here = ada.page.getByRole('button', { name: / here$/ });
  await expect(here).toHaveAccessibleName('1 here');

  // By the list, as one does.
  await ben.page.goto('/');
  await ben.page.getByRole('button', { name: `Join ${name}`, exact: true }).click();
  await expect(ben.page).toHaveURL(`/room/${tea}`);
  await expect(adas.notes.last()).toHaveText(`${ada.name} and ${ben.name} joined`);
  await expect(here).toHaveAccessibleName('2 here');
  await here.click();
  const names = ada.page.locator('#here li');
  await expect(names).toHaveText([ada.name, ben.name].sort());
  await ada.page.keyboard.press('Escape');
  await expect(ada.page.locator('#here')).toBeHidden();

  await ben.leave(tea);
  await expect(adas.notes.last()).toHaveText(`${ada.name} joined · ${ben.name} came and went`);
  await expect(here).toHaveAccessibleName('1 here');
});

test('who leaves a room by its menu comes home', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.enter(tea);
  await ada.page.getByRole('button', { name: 'About this room' }).click();
  await ada.page.getByRole('button', { name: 'Leave the room' }).click();
  await expect(ada.page).toHaveURL('/');
  await expect(ada.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`)).toHaveCount(0);
});

test('who closes their tab is no longer here', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ada.enter(tea);
  await ben.enter(tea);
  const here = ada.page.getByRole('button', { name: / here$/ });
  await expect(here).toHaveAccessibleName('2 here');
  await ben.page.close();
  await expect(here).toHaveAccessibleName('1 here');
});

test('the list counts what is unread in rooms that are not on the screen, until it is read', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ada.makeRoom('Milk');
  await ben.enter('general');
  const link = ben.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`);
  await expect(link.locator('.count')).toHaveCount(0);

  await ada.say(tea, 'one of three', 'two of three');
  await expect(link).toHaveAccessibleName('Tea 2 unread');
  // By its weight too, not by a colour alone.
  const weight = (room: Locator) => room.evaluate((e) => Number(getComputedStyle(e).fontWeight));
  expect(await weight(link)).toBeGreaterThan(await weight(ben.page.getByRole('list', { name: 'More rooms' }).getByRole('link').first()));
  await expect(ben.page).toHaveTitle('(2) general · Snug');
  await ada.say(tea, 'three of three');
  await expect(link).toHaveAccessibleName('Tea 3 unread');

  await link.click();
  await alive(ben.page);
  const bens = new Room(ben.page, ben.server);
  await bens.hasLast('one of three', 'two of three', 'three of three');
  await expect(ben.page.locator('li.new')).toHaveText('New');
  await expect(link.locator('.count')).toHaveCount(0);
  await expect(ben.page).toHaveTitle('Tea · Snug');
  // The server knows, too.
  await expect.poll(() => ben.unread(tea)).toBe(0);
  await ben.page.goto('/');
  await expect(link.locator('.count')).toHaveCount(0);
});

test('reading in one tab clears the count in another', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ben.page.goto('/');
  await alive(ben.page);
  const link = ben.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`);
  await ada.say(tea, 'something to read');
  await expect(link.locator('.count')).toHaveText(/^1/);
  await ben.enter(tea, await ben.context.newPage());
  await expect(link.locator('.count')).toHaveCount(0);
});

test('a message stands there at once, and is confirmed when the server has it', async ({ person, line }) => {
  const ada = await person('ada', { baseURL: line.url });
  const tea = await ada.makeRoom('Tea');
  const room = await ada.enter(tea);
  await room.say('the one before');
  await room.hasLast('the one before');

  line.hold();
  await room.say('on its way');
  await expect(room.saying('on its way')).toHaveCount(1);
  await expect(room.waiting).toHaveCount(1);
  await expect(room.waiting.locator('.state')).toHaveText('sending…');
  await expect(room.composer).toHaveValue('');
  await line.mend();
  await room.hasLast('the one before', 'on its way');
  await expect(room.saying('on its way')).toHaveCount(1);
});

test('Enter sends, Shift+Enter breaks the line, and nothing but space is no message', async ({ person }) => {
  const ada = await person('ada');
  const room = await ada.enter(await ada.makeRoom('Tea'));
  await room.composer.pressSequentially('the first line');
  await room.composer.press('Shift+Enter');
  await room.composer.pressSequentially('the second line');
  await expect(room.composer).toHaveValue('the first line\nthe second line');
  await expect(room.messages).toHaveCount(0);
  await room.composer.press('Enter');
  await room.hasLast('the first line\nthe second line');
  await expect(room.composer).toBeFocused();

  await room.composer.fill('  \n ');
  await room.composer.press('Enter');
  await room.composer.fill('by the button');
  await room.send.click();
  await room.hasLast('the first line\nthe second line', 'by the button');
  await expect(room.composer).toBeFocused();
});

test('a draft survives a reload, for each room', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const milk = await ada.makeRoom('Milk');
  const room = await ada.enter(tea);
  await room.composer.fill('half a thought\nabout tea');
  await ada.page.reload();
  await alive(ada.page);
  await expect(room.composer).toHaveValue('half a thought\nabout tea');
  await ada.enter(milk);
  await expect(room.composer).toHaveValue('');
  await ada.enter(tea);
  await expect(room.composer).toHaveValue('half a thought\nabout tea');
  await room.composer.press('Enter');
  await room.hasLast('half a thought\nabout tea');
  await ada.page.reload();
  await alive(ada.page);
  await expect(room.composer).toHaveValue('');
});

test('a text that is too long stays in the composer, with the reason', async ({ person }) => {
  const ada = await person('ada');
  const room = await ada.enter(await ada.makeRoom('Tea'));
  await room.composer.fill('x'.repeat(4001));
  await expect(ada.page.getByText('1 character too many: 4000 is the most.')).toBeVisible();
  await room.composer.press('Enter');
  await expect(room.composer).toHaveValue('x'.repeat(4001));
  await room.composer.fill('x'.repeat(4000));
  await expect(ada.page.getByText('0 characters left')).toBeVisible();
  await room.composer.press('Enter');
  await room.hasLast('x'.repeat(4000));
});

for (const width of [1280, 390, 320]) {
  test(`long words and lines wrap at ${width} pixels`, async ({ person }) => {
    const ada = await person('ada', { viewport: { width, height: 800 } });
    const tea = await ada.makeRoom('W'.repeat(64), 't'.repeat(200));
    const long = 'antidisestablishmentarianism'.repeat(20);
    await ada.say(tea, long, `https://example.com/${'a-long-way/'.repeat(40)}`);
    const room = await ada.enter(tea);
    await room.say(`${long}!`);
    await room.hasLast(`${long}!`);
    for (const part of [ada.page.locator('html'), room.log]) {
      expect(await part.evaluate((e) => e.scrollWidth - e.clientWidth)).toBeLessThanOrEqual(0);
    }
    for (const message of await room.messages.all()) {
      const box = await message.boundingBox();
      expect(box && box.x >= 0 && box.x + box.width <= width).toBe(true);
    }
  });
}

test('what people write is text and nothing else', async ({ person, server }) => {
  const attacks = [
    '<script>window.pwned = 1</script>',
    '<img src=x onerror="window.pwned = 1">',
    '"><svg onload=window.pwned=1>',
    "'><b class=pwned>bold</b>",
    'https://example.com/"onmouseover="window.pwned=1',
    'javascript:window.pwned=1',
    '</textarea></script><!-- ]]> &lt;i&gt; {{7*7}} ${7*7}',
  ];
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('<img src=x onerror=window.pwned=1>', '<script>window.pwned=1</script>');
  await ben.join(tea);
  await ada.say(tea, ...attacks);
  const bens = await ben.enter(tea);
  const adas = await ada.enter(tea);
  // As the page has it, and as it comes in.
  await bens.hasLast(...attacks);
  await adas.say(...attacks);
  await bens.hasLast(...attacks, ...attacks);
  await adas.hasLast(...attacks, ...attacks);
  for (const page of [ada.page, ben.page]) {
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('<img src=x onerror=window.pwned=1>');
    await expect(page.locator('.title').getByText('<script>window.pwned=1</script>', { exact: true })).toBeVisible();
    expect(await page.evaluate(() => 'pwned' in window)).toBe(false);
    await expect(page.locator('img, .pwned, main svg:not(.mark), iframe, [onmouseover], [onerror]')).toHaveCount(0);
    for (const link of await page.locator('li.message .text a').all()) {
      await expect(link).toHaveAttribute('href', 'https://example.com/');
      await expect(link).toHaveAttribute('rel', /\bnoopener\b/);
    }
  }
  await ben.page.goto('/');
  await expect(ben.page.locator('img')).toHaveCount(0);
  expect(server.findings()).toEqual([]);
});

test('who has scrolled up is not moved, and is told how much is new', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ada.say(tea, ...Array.from({ length: 45 }, (_, i) => `line number ${i + 1}`));
  const room = await ben.enter(tea);
  expect(await room.fromEnd()).toBe(0);

  // At the end one stays at the end.
  await ada.say(tea, 'seen at the end');
  await expect(room.saying('seen at the end')).toBeInViewport();
  expect(await room.fromEnd()).toBe(0);
  await expect.poll(() => ben.unread(tea)).toBe(0);

  await room.saying('line number 10').scrollIntoViewIfNeeded();
  await expect.poll(() => room.fromEnd()).toBeGreaterThan(100);
  const top = () => room.saying('line number 10').evaluate((e) => Math.round(e.getBoundingClientRect().top));
  // A smooth scroll has come to rest.
  let last = Number.NaN;
  await expect.poll(async () => last === (last = await top())).toBe(true);
  await ada.say(tea, 'new, the first', 'new, the second\nwith a line more', 'new, the third');
  const jump = ben.page.getByRole('button', { name: '3 new below' });
  await expect(jump).toBeVisible();
  // Put right before it is painted.
  await expect.poll(top).toBe(last);
  // Unread while it is not seen.
  const link = ben.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`);
  await expect(link.locator('.count')).toHaveText(/^3/);
  expect(await ben.unread(tea)).toBe(3);

  await jump.click();
  await expect(room.saying('new, the third')).toBeInViewport();
  await expect(jump).toHaveCount(0);
  await expect.poll(() => room.fromEnd()).toBe(0);
  await expect(link.locator('.count')).toHaveCount(0);
});

test('what has not been seen is not reported as read, however soon one scrolls away', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ada.say(tea, ...Array.from({ length: 45 }, (_, i) => `line number ${i + 1}`));
  const room = await ben.enter(tea);
  await expect.poll(() => ben.unread(tea)).toBe(0);
  // The first is reported at once, the second a moment later.
  await ada.say(tea, 'seen, the first', 'seen, the second');
  await expect(room.saying('seen, the second')).toBeInViewport();
  await room.log.evaluate((log) => log.scrollTo({ top: -1000, behavior: 'instant' }));
  await ada.say(tea, 'not seen yet');
  await expect(ben.page.getByRole('button', { name: '1 new below' })).toBeVisible();
  await expect.poll(() => ben.unread(tea)).toBe(1);
  const link = ben.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`);
  await expect(link).toHaveAccessibleName('Tea 1 unread');
});

test('what one sends oneself leads to the end', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.say(tea, ...Array.from({ length: 40 }, (_, i) => `line number ${i + 1}`));
  const room = await ada.enter(tea);
  await room.saying('line number 5').scrollIntoViewIfNeeded();
  await expect.poll(() => room.fromEnd()).toBeGreaterThan(100);
  await room.say('from further up');
  await expect(room.saying('from further up')).toBeInViewport();
  await expect.poll(() => room.fromEnd()).toBe(0);
});

test('an ended login leads to the door, and back from there', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.enter(tea);
  // From another browser.
  const other = await ada.context.browser()!.newContext({ baseURL: ada.origin });
  const page = await other.newPage();
  await page.goto('/login');
  await page.getByLabel('E-mail or username').fill(ada.name);
  await page.getByLabel('Password').fill(ada.password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page).toHaveURL('/');
  await page.goto('/settings');
  await page.getByRole('button', { name: /^End the login/ }).click();
  await expect(page.getByText('That login has been ended.')).toBeVisible();
  await other.close();

  await expect(ada.page).toHaveURL(/\/login\?next=/);
  await ada.page.getByLabel('E-mail or username').fill(ada.email.toUpperCase());
  await ada.page.getByLabel('Password').fill(ada.password);
  await ada.page.getByRole('button', { name: 'Log in' }).click();
  await expect(ada.page).toHaveURL(`/room/${tea}`);
});

test('leaving elsewhere shows in a tab that has the room open', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.enter(tea);
  await ada.leave(tea);
  await expect(ada.page.getByRole('button', { name: 'Join the room' })).toBeVisible();
});

test('a room that is joined elsewhere comes into the list', async ({ person }) => {
  const ada = await person('ada');
  const tea = await (await person('ben')).makeRoom('Tea');
  await ada.page.goto('/');
  await alive(ada.page);
  const link = ada.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`);
  await expect(ada.page.getByRole('list', { name: 'Your rooms' }).getByRole('link')).toHaveCount(1);
  // Once the socket stands: what comes before it is in its welcome, and after it in an event; both must do.
  await ada.join(tea);
  await expect(link).toBeVisible();
});

test.describe('too fast', () => {
  test.use({ own: { flags: ['--send-rate', '4', '--send-burst', '2'] } });

  test('what is written faster than the server takes it arrives later, all of it and in order', async ({ person }) => {
    const ada = await person('ada');
    const tea = await ada.makeRoom('Tea');
    const room = await ada.enter(tea);
    const said = Array.from({ length: 8 }, (_, i) => `word number ${i + 1}`);
    await room.say(...said);
    await room.hasLast(...said);
    await ada.page.reload();
    await room.hasLast(...said);
    expect(await room.texts()).toEqual(said);
  });
});
