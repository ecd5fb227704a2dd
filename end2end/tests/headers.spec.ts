// What every answer carries.

import { expect, test } from '../support/world';

test('every answer carries the headers that keep it harmless', async ({ person, server }) => {
  const ada = await person('ada');
  const { request } = ada.context;
  const page = await request.get('/room/general');
  const html = await page.text();
  const linked = [...html.matchAll(/(?:href|src)="(\/(?:b|favicon)[^"]+)"/g)].map((match) => match[1]!);
  const folder = /"(\/b\/[^"]+\/pkg)"/.exec(html)?.[1];
  const assets = [...linked, `${folder}/snug.js`, `${folder}/snug.wasm`];
  expect(linked.length).toBeGreaterThan(2);
  const origin = { origin: server.url };
  const answers = [
    page,
    await request.get('/login', { headers: { cookie: '' } }),
    await request.get('/', { headers: { cookie: '' }, maxRedirects: 0 }),
    await request.get('/nothing/here'),
    await request.get('/room/no-such-room'),
    await request.get('/healthz'),
    await request.get('/readyz'),
    await request.get('/robots.txt'),
    await request.get('/b/0000/pkg/snug.css'),
    await request.get('/b/0000/../../etc/passwd'),
    await request.get('/ws'),
    await request.get('/actions/log_out', { maxRedirects: 0 }),
    await request.delete('/room/general', { headers: origin }),
    await request.post('/actions/list_rooms', { headers: { ...origin, accept: 'application/json' } }),
    await request.post('/actions/no_such_thing', { headers: origin, form: { a: 'b' } }),
    await request.post('/actions/post_message', { headers: { ...origin, accept: 'text/html' }, form: { room: 'general', text: '' } }),
    // From another site.
    await request.post('/actions/log_out', { headers: { origin: 'https://evil.example' } }),
    await request.post('/actions/log_out'),
    // Larger than the server takes.
    await request.post('/actions/post_message', { headers: { ...origin, accept: 'application/json' }, form: { text: 'x'.repeat(70_000) } }),
    ...(await Promise.all(assets.map((path) => request.get(path)))),
  ];
  for (const answer of answers) {
    const what = `${answer.status()} ${answer.url()}`;
    const headers = answer.headers();
    const policy = headers['content-security-policy'] ?? '';
    expect.soft(policy, what).toMatch(/^default-src 'none'; script-src 'self'.*frame-ancestors 'none'/);
    expect.soft(policy.replace("'wasm-unsafe-eval'", ''), what).not.toMatch(/unsafe|\*|https?:/);
    expect.soft(headers, what).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
    });
    expect.soft(answer.status(), what).toBeLessThan(500);
  }
});

test('a page is of one person at one moment, and its assets are for ever', async ({ person }) => {
  const ada = await person('ada');
  const { request } = ada.context;
  const pages = [await request.get('/room/general'), await request.get('/room/general')];
  const nonces = await Promise.all(
    pages.map(async (page) => {
      expect(page.headers()['cache-control']).toBe('no-store');
      const nonce = /'nonce-([^']+)'/.exec(page.headers()['content-security-policy'] ?? '')?.[1];
      const html = await page.text();
      for (const [, used] of html.matchAll(/nonce="([^"]+)"/g)) expect(used).toBe(nonce);
      expect(html).not.toMatch(/ (style|on[a-z]+)=/);
      return nonce;
    }),
  );
  expect(nonces[0]).toBeTruthy();
  expect(nonces[0]).not.toBe(nonces[1]);
  const css = /href="(\/b\/[^"]+\.css)"/.exec(await pages[0]!.text())?.[1];
  const asset = await request.get(css!);
  expect(asset.headers()['cache-control']).toBe('public, max-age=31536000, immutable');
  expect(asset.headers()['content-encoding']).toBe('br');
});

test('the cookie of a login cannot be read by scripts or sent by other sites, and changes at the login', async ({ page, person }) => {
  const ada = await person('ada');
  await page.goto('/login');
  const name = async () => (await page.context().cookies()).find(({ name }) => name === 'snug_session');
  const before = await name();
  await page.getByLabel('E-mail or username').fill(ada.name);
  await page.getByLabel('Password').fill(ada.password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page).toHaveURL('/');
  const after = await name();
  expect(after).toMatchObject({ httpOnly: true, sameSite: 'Lax', path: '/', domain: '127.0.0.1' });
  expect(after?.value).not.toBe(before?.value);
  expect(await page.evaluate(() => document.cookie)).not.toContain('snug_session');
});
