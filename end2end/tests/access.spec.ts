// What axe can see of WCAG 2.2 AA, on every page and in both themes; and what it cannot: the keyboard, magnification.

import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { NO_SERVER, REFUSED, Room, alive, expect, test } from '../support/world';

async function check(page: Page, what: string, scheme: string): Promise<void> {
  expect(await page.evaluate((scheme) => matchMedia(`(prefers-color-scheme: ${scheme})`).matches, scheme)).toBe(true);
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze();
  const found = violations.map(({ id, help, nodes }) => `${id} (${help}): ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`);
  expect.soft(found, what).toEqual([]);
}

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    // Without transitions, which axe would catch in the middle.
    test.use({ colorScheme, contextOptions: { reducedMotion: 'reduce' } });

    test('axe finds nothing at the doors', async ({ page, guard }) => {
      guard.allow(REFUSED);
      await page.goto('/login');
      await check(page, 'login', colorScheme);
      await page.getByLabel('E-mail or username').fill('nobody');
      await page.getByLabel('Password').fill('not the password');
      await page.getByRole('button', { name: 'Log in' }).click();
      await expect(page.getByText('do not go together')).toBeVisible();
      await check(page, 'login, refused', colorScheme);
      await page.goto('/signup');
      await check(page, 'signup', colorScheme);
      await page.getByLabel('E-mail').fill('nobody@example.com');
      await page.getByLabel('Username').fill('no body');
      await page.getByLabel('Password').fill('not the password');
      await page.getByRole('button', { name: 'Make my account' }).click();
      await expect(page.getByText('A username is letters and digits')).toBeVisible();
      await check(page, 'signup, refused', colorScheme);
      await page.goto('/nothing/here');
      await check(page, '404', colorScheme);
    });

    test('axe finds nothing in a room', async ({ person }) => {
      const ada = await person('ada');
      const ben = await person('ben');
      const { page } = ada;
      const tea = await ada.makeRoom('Tea', 'Leaves, not bags');
      await page.goto('/');
      await alive(page);
      await check(page, 'home', colorScheme);
      await ada.enter(tea);
      await check(page, 'an empty room', colorScheme);
      await ben.join(tea);
      await ada.say(tea, 'See https://example.com', 'and more');
      await ben.say(tea, 'Yes', 'two\nlines');
      const room = await ada.enter(tea);
      await ben.enter(tea);
      await room.say('live');
      await room.hasLast('live');
      await check(page, 'a room', colorScheme);
      await page.getByRole('button', { name: / here$/ }).click();
      await check(page, 'who is here', colorScheme);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'About this room' }).click();
      await check(page, "a room's menu", colorScheme);
    });

    test("axe finds nothing in a room's other states", async ({ person }) => {
      const ada = await person('ada');
      const { page } = ada;
      const tea = await ada.makeRoom('Tea');
      for (const name of ['ben', 'Cy', 'di', 'Eve']) await (await person(name)).join(tea);
      await ada.say(tea, `> two\nlines\n\`\`\`\n${'a long line of code; '.repeat(12)}\n\`\`\``, 'and `some` within a line', '🫖');
      const room = await ada.enter(tea);
      await room.log.getByText(/and 3 others joined/).click();
      await check(page, 'code, a quote, a large emoji, notes', colorScheme);
      await ada.say(tea, ...Array.from({ length: 55 }, (_, i) => `line number ${i + 1}`));
      await page.goto(`/room/${tea}?at=20#s20`);
      await alive(page);
      await expect(page.locator('#s20')).toBeInViewport();
      await check(page, 'another place in the history', colorScheme);
      await ada.post('close_room', { room: tea });
      await ada.enter(tea);
      await expect(page.getByText('This room is closed.')).toBeVisible();
      await check(page, 'a closed room', colorScheme);
    });

    test('axe finds nothing on the other pages', async ({ person, guard }) => {
      guard.allow(REFUSED);
      const { page } = await person('ada');
      const milk = await (await person('ben')).makeRoom('Milk');
      await page.goto(`/room/${milk}`);
      await check(page, 'not a member', colorScheme);
      await page.goto('/room/no-such-room');
      await check(page, 'no such room', colorScheme);
      await page.goto('/new-room');
      await check(page, 'new room', colorScheme);
      await page.getByRole('textbox', { name: 'Name' }).fill('  ');
      await page.getByRole('button', { name: 'Make the room' }).click();
      await expect(page.getByText('Please fill in the name.')).toBeVisible();
      await check(page, 'new room, refused', colorScheme);
      await page.goto('/settings');
      await check(page, 'settings', colorScheme);
    });

    test('axe finds nothing offline', async ({ person, guard, line }) => {
      guard.allow(NO_SERVER);
      const ada = await person('ada', { baseURL: line.url });
      const room = await ada.enter(await ada.makeRoom('Tea'));
      await line.cut();
      await room.say('waits');
      await expect(room.line).toHaveText(/^The line is down/);
      await expect(room.waiting.locator('.state')).toHaveText(/^waiting/);
      await check(ada.page, 'offline', colorScheme);
    });
  });
}

test('all by keyboard: from the door into a room, a word, and out again', async ({ person }) => {
  const ada = await person('ada');
  const { page } = ada;
  const tab = async (name: RegExp, role: string) => {
    for (let i = 0; i < 40; i += 1) {
      await page.keyboard.press('Tab');
      const focus = page.locator(':focus');
      // Focus is seen.
      const outline = await focus.evaluate((e) => getComputedStyle(e).outlineStyle !== 'none' || getComputedStyle(e.parentElement!).boxShadow !== 'none');
      expect(outline, await focus.evaluate((e) => e.outerHTML)).toBe(true);
      if (await page.getByRole(role as 'link', { name }).and(focus).count()) return;
    }
    throw new Error(`${name} is not reached`);
  };
  await ada.makeRoom('Tea');
  await page.goto('/');
  await alive(page);
  await tab(/^Tea$/, 'link');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/room\/tea/);
  await alive(page);
  await tab(/^Message to Tea$/, 'textbox');
  await page.keyboard.type('without a mouse');
  await page.keyboard.press('Enter');
  const room = new Room(page, ada.server);
  await room.hasLast('without a mouse');
  await page.keyboard.press('Tab');
  await expect(room.send).toBeFocused();
});

test('what comes in is announced, and what was there is not', async ({ person }) => {
  const ada = await person('ada');
  const room = await ada.enter(await ada.makeRoom('Tea'));
  await expect(room.log).toHaveAttribute('role', 'log');
  await expect(room.line).toHaveAttribute('role', 'status');
  // A log is a polite live region by its role: nothing may turn that off.
  await expect(room.log).not.toHaveAttribute('aria-live', 'off');
});

test('magnified to 400 % all of it can be reached, and nothing has to be scrolled sideways', async ({ person }) => {
  // 1280 × 1024 at 400 %.
  const ada = await person('ada', { viewport: { width: 320, height: 256 } });
  const tea = await ada.makeRoom('Tea');
  await ada.say(tea, ...Array.from({ length: 20 }, (_, i) => `line number ${i + 1}`));
  const { page } = ada;
  const room = await ada.enter(tea);
  await room.composer.scrollIntoViewIfNeeded();
  await expect(room.composer).toBeInViewport();
  await room.say('magnified');
  await room.hasLast('line number 20', 'magnified');
  await room.saying('magnified').scrollIntoViewIfNeeded();
  await expect(room.saying('magnified')).toBeInViewport();
  await room.saying('line number 1').scrollIntoViewIfNeeded();
  await expect(room.saying('line number 1')).toBeInViewport();
  for (const path of [`/room/${tea}`, '/', '/new-room', '/settings', '/room/help']) {
    await page.goto(path);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(320);
  }
});

test('everything that is pressed is 24 pixels or more', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const milk = await ben.makeRoom('Milk');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ben.say(tea, 'unread');
  const { page } = ada;
  for (const path of ['/', `/room/${tea}`, `/room/${milk}`, '/new-room', '/settings']) {
    await page.goto(path);
    await alive(page);
    const small = await page.locator('a:visible, button:visible, input:visible, textarea:visible').evaluateAll((all) =>
      all
        // Links within a sentence are excepted (WCAG 2.2, 2.5.8), and what shows only when it is focused.
        .filter((e) => !e.closest('p:not(.turn, .actions), .skip'))
        .map((e) => ({ e, box: e.getBoundingClientRect() }))
        .filter(({ box }) => box.width < 24 || box.height < 24)
        .map(({ e, box }) => `${e.outerHTML} ${Math.round(box.width)}×${Math.round(box.height)}`),
    );
    expect.soft(small, path).toEqual([]);
  }
});
