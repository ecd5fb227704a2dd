// Scripts run, but the browser's code never comes: blocked, broken or too old a browser.

import { Room, expect, test } from '../support/world';

// The file that this test blocks, and nothing more.
test.beforeEach(({ guard }) => guard.allow(/^error: Failed to load resource: net::ERR_FAILED$/));

for (const [what, pattern] of [
  ['WebAssembly', '**/*.wasm'],
  ['every script', '**/*.js'],
] as const) {
  test(`with ${what} blocked the pages work as forms`, async ({ person }) => {
    const ada = await person('ada');
    const ben = await person('ben');
    await ada.context.route(pattern, (route) => route.abort());
    const { page } = ada;
    await page.goto('/');
    await page.getByRole('link', { name: 'Make a room' }).click();
    await page.getByRole('textbox', { name: 'Name' }).fill('Tea');
    await page.getByRole('button', { name: 'Make the room' }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Tea');
    const tea = new URL(page.url()).pathname.replace('/room/', '');
    const room = new Room(page, ada.server);
    await room.composer.fill('by the form');
    await room.send.click();
    await expect(page).toHaveURL(/#end$/);
    await expect(room.saying('by the form')).toHaveCount(1);
    await expect(room.composer).toHaveValue('');

    await ben.join(tea);
    await ben.say(tea, 'from the other side');
    await page.getByRole('link', { name: 'Show what is new' }).click();
    await expect(room.saying('from the other side')).toBeVisible();
    await page.getByRole('button', { name: 'Mark as read' }).click();
    await expect(page.locator('li.new')).toHaveCount(0);

    // Nothing is promised that needs scripts.
    await expect(page.getByText('Enter sends')).toBeHidden();
    await page.getByRole('button', { name: 'About this room' }).click();
    await page.getByRole('button', { name: 'Leave the room' }).click();
    await expect(page).toHaveURL('/');
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('button', { name: 'Log out here' }).click();
    await expect(page).toHaveURL('/login');
  });
}

test('the doors load no script at all', async ({ page }) => {
  const scripts: string[] = [];
  page.on('request', (request) => {
    if (request.resourceType() === 'script' || request.url().endsWith('.wasm')) scripts.push(request.url());
  });
  for (const path of ['/login', '/signup']) await page.goto(path, { waitUntil: 'networkidle' });
  expect(scripts).toEqual([]);
});
