// The list of rooms, the page of all of them, and the keys that lead from one to another.

import AxeBuilder from '@axe-core/playwright';
import type { Locator, Page } from '@playwright/test';
import { REFUSED, Room, alive, expect, test, unused } from '../support/world';

const PHONE = { width: 390, height: 844 };

const field = (page: Page) => page.getByRole('searchbox', { name: 'Find a room' });
const own = (page: Page) => page.getByRole('list', { name: 'Your rooms' });
const others = (page: Page) => page.getByRole('list', { name: 'More rooms' });
const link = (list: Locator, room: string) => list.locator(`a[href="/room/${room}"]`);

async function check(page: Page, what: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze();
  expect.soft(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(' | ')}`), what).toEqual([]);
}

test('typing narrows both groups, whatever the case and the accents, and Enter opens the first', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const [cafe, cave] = [unused('Café'), unused('Cave')];
  const [inside, outside] = [await ada.makeRoom(cafe), await ben.makeRoom(cave)];
  const { page } = ada;
  await ada.enter('general');
  await field(page).fill('CAFE-');
  await expect(link(own(page), inside)).toBeVisible();
  await expect(link(own(page), 'general')).toBeHidden();
  await expect(link(others(page), outside)).toBeHidden();
  await expect(page.getByRole('heading', { name: 'More rooms' })).toBeHidden();
  await field(page).fill(cave.toLowerCase());
  await expect(link(others(page), outside)).toBeVisible();
  await expect(page.getByRole('heading', { name: 'Your rooms' })).toBeHidden();
  await field(page).press('Enter');
  await expect(page).toHaveURL(`/room/${outside}`);
});

test('what is not in the list is looked for among all rooms', async ({ person }) => {
  const ada = await person('ada');
  const { page } = ada;
  const query = unused('nowhere & nothing');
  await ada.enter('general');
  await field(page).fill(query);
  await expect(page.getByText('No room here is called that.')).toBeVisible();
  await field(page).press('Enter');
  await expect(page).toHaveURL(`/?q=${encodeURIComponent(query)}`);
  await page.getByRole('link', { name: `Make a room called “${query}”` }).click();
  await expect(page.getByRole('textbox', { name: 'Name' })).toHaveValue(query);
});

test('the arrows go between the field and the rooms; Escape empties it and leads back', async ({ person }) => {
  const ada = await person('ada');
  const [one, two] = [await ada.makeRoom(`aa ${unused('x')}`), await ada.makeRoom(`ab ${unused('x')}`)];
  const { page } = ada;
  const room = await ada.enter('general');
  await room.composer.fill('half a word');
  await room.composer.press('Control+k');
  await expect(field(page)).toBeFocused();
  await page.keyboard.type('a');
  await page.keyboard.press('ArrowUp');
  await expect(field(page)).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(link(own(page), one)).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(link(own(page), two)).toBeFocused();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowUp');
  await expect(field(page)).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Escape');
  await expect(room.composer).toBeFocused();
  await expect(room.composer).toHaveValue('half a word');
  await expect(field(page)).toHaveValue('');
  await expect(link(own(page), 'general')).toBeVisible();
});

test('Alt and an arrow lead to the room before or after; with Shift to one that has something new', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const [one, two, three] = [await ada.makeRoom('a one'), await ada.makeRoom('a three'), await ada.makeRoom('a two')];
  await ben.join(three);
  const { page } = ada;
  const room = await ada.enter(one);
  await room.composer.press('Alt+ArrowDown');
  await expect(page).toHaveURL(`/room/${two}`);
  await alive(page);
  await page.keyboard.press('Alt+ArrowUp');
  await expect(page).toHaveURL(`/room/${one}`);
  await alive(page);
  // Before the first comes the last.
  await page.keyboard.press('Alt+ArrowUp');
  await expect(page).toHaveURL('/room/general');
  await alive(page);
  await ben.say(three, 'something new');
  await expect(link(own(page), three)).toHaveAccessibleName('a two 1 unread');
  await page.keyboard.press('Alt+Shift+ArrowDown');
  await expect(page).toHaveURL(`/room/${three}`);
});

test('a room says when something happened there last, and that is what it says when it comes to life', async ({ person }) => {
  const ada = await person('ada', { timezoneId: 'Asia/Tokyo' });
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const { page } = ada;
  const when = own(page).locator('li', { has: page.locator(`a[href="/room/${tea}"]`) }).locator('time');
  await ada.enter('general');
  // From here on the server knows the zone.
  await page.reload();
  const clock = /^\d{1,2}:\d\d$/;
  await expect(when).toHaveText(clock);
  const before = await when.textContent();
  await alive(page);
  expect(await when.textContent()).toBe(before);
  await ben.say(tea, 'and something happens');
  await expect(link(own(page), tea)).toHaveAccessibleName('Tea 1 unread');
  await expect(when).toHaveText(clock);
  const hour = new Intl.DateTimeFormat('en', { timeZone: 'Asia/Tokyo', hour: 'numeric', hourCycle: 'h23' }).format(new Date());
  expect([Number(hour), (Number(hour) + 23) % 24]).toContain(Number((await when.textContent())?.split(':')[0]));
});

test('the keys have a page, which Ctrl and / opens', async ({ person }) => {
  const ada = await person('ada');
  const room = await ada.enter('general');
  await room.composer.press('Control+/');
  await expect(ada.page).toHaveURL('/shortcuts');
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText('Keyboard shortcuts');
});

test('the home page tells what is unread as it comes in, and leads to it', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const { page } = ada;
  await page.goto('/');
  await alive(page);
  await expect(page.getByText('You have read everything.')).toBeVisible();
  await ben.say(tea, 'one', 'two', 'three');
  const news = page.getByRole('list', { name: 'Unread' });
  await expect(news.getByRole('link')).toHaveText([/^3 new in Tea\s*Go on reading$/]);
  await expect(page.getByText('You have read everything.')).toBeHidden();
  await news.getByRole('link').click();
  await expect(page).toHaveURL(`/room/${tea}#new`);
});

test('on a phone Ctrl+K in a room leads to the list', async ({ person }) => {
  const ada = await person('ada', { viewport: PHONE });
  const room = await ada.enter('general');
  await room.composer.press('Control+k');
  await expect(ada.page).toHaveURL('/');
  await alive(ada.page);
  await ada.page.keyboard.press('Control+k');
  await expect(field(ada.page)).toBeFocused();
});

test('on a phone the list is the page, with the rooms that one could join below it', async ({ person }) => {
  const ada = await person('ada', { viewport: PHONE });
  const ben = await person('ben');
  const name = unused('Milk');
  const milk = await ben.makeRoom(name);
  const { page } = ada;
  await page.goto('/');
  await alive(page);
  const [mine, more] = [await own(page).boundingBox(), await others(page).boundingBox()];
  expect(mine!.y + mine!.height).toBeLessThan(more!.y);
  await field(page).fill(name);
  await expect(link(own(page), 'general')).toBeHidden();
  await expect(link(others(page), milk)).toBeVisible();
  await page.getByRole('button', { name: `Join ${name}`, exact: true }).click();
  await expect(page).toHaveURL(`/room/${milk}`);
});

test('a long list begins at the room on the screen, and each of its rooms is in reach', async ({ person }) => {
  const ada = await person('ada');
  const { page } = ada;
  const made: string[] = [];
  for (let n = 0; n < 60; n += 1) made.push(await ada.makeRoom(`Room ${String(n).padStart(3, '0')}`));
  const room = await ada.enter(made[55]!);
  await expect(link(own(page), made[55]!)).toBeInViewport();
  await room.composer.press('Control+k');
  await page.keyboard.type('room 007');
  await expect(own(page).getByRole('link')).toHaveText(['Room 007']);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(`/room/${made[7]}`);
});

for (const colorScheme of ['light', 'dark'] as const) {
  for (const viewport of [{ width: 1280, height: 800 }, PHONE]) {
    test(`axe finds nothing around the rooms, ${colorScheme}, ${viewport.width} wide`, async ({ person, guard }) => {
      guard.allow(REFUSED);
      const ada = await person('ada', { viewport, colorScheme, reducedMotion: 'reduce' });
      const ben = await person('ben');
      const tea = await ada.makeRoom('Tea', 'Leaves, not bags');
      await ben.join(tea);
      await ben.say(tea, 'one', 'two');
      const { page } = ada;
      await page.goto('/');
      await alive(page);
      await check(page, 'home');
      await field(page).fill('te');
      await check(page, 'home, narrowed');
      await field(page).fill('nothing of the kind');
      await check(page, 'home, nothing found');
      await page.goto('/?q=te');
      await alive(page);
      await check(page, 'a search');
      await page.goto('/?q=nothing+of+the+kind');
      await check(page, 'a search that finds nothing');
      await page.goto('/shortcuts');
      await alive(page);
      await check(page, 'shortcuts');
      await page.goto('/settings');
      await check(page, 'settings');
    });
  }
}

test('magnified to 400 % the pages around the rooms need no scrolling sideways', async ({ person, guard }) => {
  guard.allow(REFUSED);
  const ada = await person('ada', { viewport: { width: 320, height: 256 } });
  const ben = await person('ben');
  await ben.makeRoom('W'.repeat(64), 'nospaces'.repeat(25));
  for (const path of ['/', '/?q=www', `/?q=${'nothing'.repeat(9)}`, '/shortcuts', '/settings', '/nothing/here']) {
    await ada.page.goto(path);
    expect(await ada.page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(320);
  }
});

test('it can be installed: the manifest and its icons are there', async ({ page, request }) => {
  await page.goto('/login');
  const href = await page.locator('link[rel=manifest]').getAttribute('href');
  const answer = await request.get(href!);
  expect(answer.headers()['content-type']).toBe('application/manifest+json');
  const manifest = (await answer.json()) as { name: string; icons: Array<{ src: string; type: string; sizes: string; purpose?: string }> };
  expect(manifest.name).toBe('Snug');
  for (const { src, type } of manifest.icons) {
    const icon = await request.get(src);
    expect(icon.status(), src).toBe(200);
    expect(icon.headers()['content-type'], src).toBe(type);
  }
  expect(manifest.icons.some(({ sizes, purpose }) => sizes === '512x512' && purpose === 'maskable')).toBe(true);
  const touch = await request.get((await page.locator('link[rel=apple-touch-icon]').getAttribute('href'))!);
  expect(touch.headers()['content-type']).toBe('image/png');
});

test.describe('without scripts', () => {
  test.use({ javaScriptEnabled: false });

  test('rooms are searched, paged through and joined by links and forms', async ({ person }) => {
    const ada = await person('ada', { javaScriptEnabled: false });
    const ben = await person('ben');
    const word = unused('page');
    for (let n = 0; n < 31; n += 1) await ben.makeRoom(`${word} ${n}`, n === 17 ? 'the one about boats' : '');
    const { page } = ada;
    await page.goto('/');
    // The field above the list is a form, too.
    await field(page).fill(word);
    await field(page).press('Enter');
    await expect(page).toHaveURL(`/?q=${word}`);
    await expect(page.getByRole('heading', { name: `Rooms with “${word}”` })).toBeVisible();
    await expect(page.getByText('Page 1 of 2')).toBeVisible();
    await page.getByRole('link', { name: 'Next page' }).click();
    await expect(page.getByText('Page 2 of 2')).toBeVisible();
    await expect(page.locator('.offers li')).toHaveCount(1);
    await page.getByRole('searchbox', { name: 'Search all rooms' }).fill('About BOATS');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('button', { name: `Join ${word} 17`, exact: true }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(`${word} 17`);
    await expect(new Room(page, ada.server).composer).toBeVisible();
    // Nothing is promised that needs scripts.
    await expect(page.getByText('Ctrl K')).toBeHidden();
  });
});
