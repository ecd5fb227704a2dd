// What is written to do harm does none, in a real browser: nothing runs, nothing is loaded, nothing leads elsewhere, and it reads as it
// was written.

import { expect, test } from '../support/world';

const HARMFUL = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<svg/onload=alert(1)>',
  '"><img src=x onerror=alert(1)>',
  '</title><form action=https://evil.example><button>x',
  '</textarea><iframe src=javascript:alert(1)>',
  "' autofocus onfocus='alert(1)",
  '<base href=https://evil.example>',
  '<a href="javascript:alert(1)">x</a>',
  'javascript:alert(1)//https://example.com/"onmouseover="alert(1)',
];

test('what is written to do harm is text, wherever it stands', async ({ person, guard, server }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const { page } = ben;
  // The guard has the console, and with it what the policy held off.
  page.on('dialog', (dialog) => {
    throw new Error(`something ran: ${dialog.message()}`);
  });
  const elsewhere: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(server.url) && !/^(data|blob|ws):/.test(request.url())) elsewhere.push(request.url());
  });
  for (const name of HARMFUL) {
    const slug = await ada.makeRoom(name.slice(0, 64), `all about ${name}`);
    await ben.join(slug);
    await ada.say(slug, ...HARMFUL);
    const room = await ben.enter(slug);
    // Before the name stands how much is unread.
    await expect.poll(async () => (await page.title()).replace(/^\(\d+\) /, '')).toBe(`${name.slice(0, 64)} · Snug`);
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(name.slice(0, 64));
    expect(await room.texts()).toEqual(HARMFUL);
    const links = await room.messages.locator('.text a').evaluateAll((all) => all.map((a) => (a as HTMLAnchorElement).href));
    expect(new Set(links)).toEqual(new Set(['https://evil.example/', 'https://example.com/']));
  }
  // Live, too, and where the browser draws it.
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const last = await ben.enter(tea);
  await last.say(...HARMFUL);
  await last.hasLast(...HARMFUL);
  await page.goto('/');
  for (const name of HARMFUL) await expect(page.getByRole('link', { name: name.slice(0, 64), exact: true }).first()).toBeVisible();
  await page.goto(`/?q=${encodeURIComponent(HARMFUL[1]!)}`);
  expect(elsewhere).toEqual([]);
  expect(guard.complaints()).toEqual([]);
});
