// Without scripts: everything essential is HTML and forms.

import type { Page } from '@playwright/test';
import { REFUSED, Room, expect, test, unused } from '../support/world';

test.use({ javaScriptEnabled: false });
// A refused form's page has the refusal's status, which Chromium notes.
test.beforeEach(({ guard }) => guard.allow(REFUSED));

async function logIn(page: Page, name: string, password: string): Promise<void> {
  await page.getByLabel('E-mail or username').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}

test('sign up: each refusal stands beside its field and keeps what was typed', async ({ page, server, person }) => {
  const taken = await person('ada');
  const name = unused('ben');
  const password = 'a kettle of fish';
  server.keepSecret(password);
  await page.goto('/signup');
  const [email, username, secret] = [page.getByLabel('E-mail'), page.getByLabel('Username'), page.getByLabel('Password')];
  const submit = page.getByRole('button', { name: 'Make my account' });
  await email.fill(`${name}@example.com`);
  await username.fill(taken.name.toUpperCase());
  await secret.fill(password);
  await submit.click();
  await expect(username).toHaveAccessibleDescription(/^Someone has that username already\./);
  await expect(username).toHaveAttribute('aria-invalid', 'true');
  await expect(username).toBeFocused();
  await expect(email).toHaveValue(`${name}@example.com`);
  await expect(username).toHaveValue(taken.name.toUpperCase());
  await expect(secret).toHaveValue('');

  await username.fill(name);
  await secret.fill('password');
  await submit.click();
  await expect(secret).toHaveAccessibleDescription(/^That password is among the first that anyone would try/);
  await expect(username).toHaveValue(name);

  await secret.fill(password);
  await submit.click();
  await expect(page).toHaveURL('/');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(`Hello, ${name}.`);
});

test('log in: a wrong password keeps the name and says so; the right one leads on', async ({ page, person }) => {
  const ada = await person('ada');
  await page.goto('/login');
  await logIn(page, ada.name, 'not the password');
  await expect(page.getByText('That name and password do not go together.')).toBeVisible();
  await expect(page.getByLabel('E-mail or username')).toHaveValue(ada.name);
  await expect(page.getByLabel('Password')).toHaveValue('');
  await expect(page.getByLabel('Password')).toBeFocused();
  await logIn(page, ada.name, ada.password);
  await expect(page).toHaveURL('/');
  // Who is in does not stand at the door.
  await page.goto('/login');
  await expect(page).toHaveURL('/');
});

test('a room asked for by someone logged out is shown after the login, also by way of a wrong password', async ({ page, person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.say(tea, 'behind the door');
  await page.goto(`/room/${tea}?after=0`);
  await expect(page).toHaveURL(`/login?next=${encodeURIComponent(`/room/${tea}?after=0`)}`);
  await logIn(page, ada.email, 'not the password');
  await expect(page.getByText('That name and password do not go together.')).toBeVisible();
  await logIn(page, ada.email, ada.password);
  await expect(page).toHaveURL(`/room/${tea}?after=0`);
  await expect(page.getByText('behind the door')).toBeVisible();
});

test('make a room, post, and read what others say', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  await ada.page.goto('/');
  await ada.page.getByRole('link', { name: 'Make a new room' }).click();
  await ada.page.getByRole('textbox', { name: 'Name' }).fill('   ');
  await ada.page.getByLabel('What it is about (may be left empty)').fill('kept');
  await ada.page.getByRole('button', { name: 'Make the room' }).click();
  await expect(ada.page.getByRole('textbox', { name: 'Name' })).toHaveAccessibleDescription(/^Please fill in the name\./);
  await expect(ada.page.getByLabel('What it is about (may be left empty)')).toHaveValue('kept');
  const name = unused('Quiet');
  await ada.page.getByRole('textbox', { name: 'Name' }).fill(name);
  await ada.page.getByRole('button', { name: 'Make the room' }).click();
  await expect(ada.page).toHaveURL(/\/room\/quiet-/);
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText(name);

  const adas = new Room(ada.page, ada.server);
  await adas.composer.fill('one line\nand another');
  await adas.send.click();
  await expect(ada.page).toHaveURL(/#end$/);
  await expect.poll(() => adas.texts()).toEqual(['one line\nand another']);
  await expect(adas.composer).toHaveValue('');

  // Ben finds it in the list, looks at it from the outside, and joins.
  await ben.page.goto('/');
  await ben.page.getByRole('list', { name: 'More rooms' }).getByRole('link', { name }).click();
  await expect(ben.page.getByText('One member. You are not one of them yet')).toBeVisible();
  await expect(ben.page.getByText('and another')).toHaveCount(0);
  await ben.page.getByRole('button', { name: 'Join the room' }).click();
  const bens = new Room(ben.page, ben.server);
  await expect.poll(() => bens.texts()).toEqual(['one line\nand another']);
  await bens.composer.fill('good to be here');
  await bens.send.click();
  await expect(bens.messages).toHaveCount(2);

  await ada.page.getByRole('link', { name: 'Show what is new' }).click();
  await expect(adas.saying('good to be here')).toBeVisible();
  await expect(adas.notes.last()).toHaveText(`${ben.name} joined`);
});

test('more than a page is paged through', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  const said = Array.from({ length: 120 }, (_, i) => `line number ${i + 1}`);
  await ada.say(tea, ...said);
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  // It begins at its end.
  await expect(room.saying('line number 120')).toBeInViewport();
  const pages = [await room.texts()];
  const older = ada.page.getByRole('link', { name: 'Older messages' });
  while (await older.isVisible()) {
    const to = await older.getAttribute('href');
    await older.click();
    await expect(ada.page).toHaveURL(to ?? '');
    await ada.page.waitForLoadState();
    pages.unshift(await room.texts());
  }
  expect(pages.flat()).toEqual(said);
  const newer = ada.page.getByRole('link', { name: 'Newer messages' });
  for (const page of pages.slice(1)) {
    await newer.click();
    await expect.poll(() => room.texts()).toEqual(page);
  }
  await expect(newer).toHaveCount(0);
});

test('a text that is too long, or nothing, comes back with the reason', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  const long = `\n${'long '.repeat(900)}`;
  await room.composer.fill(long);
  await room.send.click();
  await expect(ada.page.getByText('That message is too long: 4000 characters is the most.')).toBeVisible();
  await expect(room.composer).toHaveValue(long);
  await expect(room.composer).toHaveAttribute('aria-invalid', 'true');
  await expect(room.messages).toHaveCount(0);
  await room.composer.fill('shorter');
  await room.send.click();
  await expect.poll(() => room.texts()).toEqual(['shorter']);
  await room.composer.fill('   ');
  await room.send.click();
  await expect(ada.page.getByText('There is nothing in that message yet.')).toBeVisible();
  expect(await room.texts()).toEqual(['shorter']);
});

test('a form that is sent twice is one message, and the same words in another form are another', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  await room.composer.fill('clicked twice');
  await room.send.dblclick();
  await expect(ada.page).toHaveURL(/#end$/);
  await expect(room.saying('clicked twice')).toHaveCount(1);
  await room.composer.fill('clicked twice');
  await room.send.click();
  await expect(room.saying('clicked twice')).toHaveCount(2);
});

test('the same form sent again later is the same message', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  const nonce = await ada.page.locator('form input[name=nonce]').inputValue();
  await room.composer.fill('sent, and again');
  await room.send.click();
  await expect(room.saying('sent, and again')).toHaveCount(1);
  const again = await ada.page.request.post('/actions/post_message', {
    headers: { Origin: ada.server.url, Accept: 'text/html' },
    form: { room: tea, nonce, text: 'sent, and again', page: `/room/${tea}` },
    maxRedirects: 0,
  });
  expect(again.status()).toBe(303);
  await ada.page.goto(`/room/${tea}`);
  expect(await room.texts()).toEqual(['sent, and again']);
});

test('what is unread is marked, and can be marked as read', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ada.say(tea, 'one to read', 'two to read');
  await ben.page.goto('/');
  const link = ben.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`);
  await expect(link).toHaveAccessibleName('Tea 2 unread');
  await expect(ben.page.getByRole('list', { name: 'Unread' }).getByRole('link')).toHaveText(/^2 new in Tea/);
  await link.click();
  await expect(ben.page.locator('li.new')).toHaveText('New');
  await ben.page.getByRole('button', { name: 'Mark as read' }).click();
  await expect(ben.page.locator('li.new')).toHaveCount(0);
  await expect(link).toHaveAccessibleName('Tea');
  await expect(ben.page.getByRole('button', { name: 'Mark as read' })).toHaveCount(0);
});

test('who posts has read what stood there', async ({ person }) => {
  const ada = await person('ada');
  const ben = await person('ben');
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  await ada.say(tea, 'one to read');
  await ben.page.goto(`/room/${tea}`);
  const room = new Room(ben.page, ben.server);
  await room.composer.fill('read it');
  await room.send.click();
  await expect(ben.page.locator('li.new')).toHaveCount(0);
  await expect(ben.page.locator(`nav a[href="/room/${tea}"]`)).toHaveAccessibleName('Tea');
});

test('leave a room by its menu', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.page.goto(`/room/${tea}`);
  await ada.page.getByRole('button', { name: 'About this room' }).click();
  await ada.page.getByRole('button', { name: 'Leave the room' }).click();
  await expect(ada.page).toHaveURL('/');
  await expect(ada.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`)).toHaveCount(0);
  await ada.page.goto(`/room/${tea}`);
  await expect(ada.page.getByRole('button', { name: 'Join the room' })).toBeVisible();
});

test('settings: change the password, end a login, log out', async ({ person, browser }) => {
  const ada = await person('ada');
  const { page } = ada;
  const other = await browser.newContext({ baseURL: ada.origin });
  const elsewhere = await other.newPage();
  await elsewhere.goto('/login');
  await logIn(elsewhere, ada.name, ada.password);
  await expect(elsewhere).toHaveURL('/');

  await page.goto('/');
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
  await expect(page.getByText('this one')).toHaveCount(1);
  await page.getByRole('button', { name: /^End the login/ }).click();
  await expect(page.getByText('That login has been ended.')).toBeVisible();
  await expect(page.getByRole('button', { name: /^End the login/ })).toHaveCount(0);
  await elsewhere.goto('/');
  await expect(elsewhere).toHaveURL('/login');

  await logIn(elsewhere, ada.name, ada.password);
  const next = 'another cup of tea';
  ada.server.keepSecret(next);
  const [current, fresh] = [page.getByLabel('Your current password'), page.getByLabel('The new one')];
  const change = page.getByRole('button', { name: 'Change the password' });
  await current.fill('not the password');
  await fresh.fill(next);
  await change.click();
  await expect(current).toHaveAccessibleDescription('That is not your current password.');
  await expect(fresh).toHaveValue('');
  await current.fill(ada.password);
  await fresh.fill(next);
  await change.click();
  await expect(page.getByText('Your password is changed. Your other logins have been ended.')).toBeVisible();
  await elsewhere.goto('/settings');
  await expect(elsewhere).toHaveURL('/login?next=%2Fsettings');
  await logIn(elsewhere, ada.name, ada.password);
  await expect(elsewhere.getByText('That name and password do not go together.')).toBeVisible();
  await logIn(elsewhere, ada.name, next);
  await expect(elsewhere).toHaveURL('/settings');
  await other.close();

  await page.getByRole('button', { name: 'Log out here' }).click();
  await expect(page).toHaveURL('/login');
  await page.goto('/settings');
  await expect(page).toHaveURL('/login?next=%2Fsettings');
});

test('what is not there is a page, with status 404', async ({ person }) => {
  const ada = await person('ada');
  const nothing = await ada.page.goto('/no/such/page');
  expect(nothing?.status()).toBe(404);
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText('There is nothing here.');
  const room = await ada.page.goto('/room/no-such-room');
  expect(room?.status()).toBe(404);
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText('There is no such room.');
  for (const odd of ['/room/Not%20A%20Slug', '/room/%3Cscript%3E', `/room/${'a'.repeat(300)}`]) {
    expect((await ada.page.goto(odd))?.status(), odd).toBe(404);
  }
  await ada.page.getByRole('link', { name: 'To the rooms' }).click();
  await expect(ada.page).toHaveURL('/');
});

test('a form on a page from before the log-out leads to the door, and keeps nothing from anyone', async ({ person }) => {
  const ada = await person('ada');
  const tea = await ada.makeRoom('Tea');
  await ada.page.goto(`/room/${tea}`);
  const room = new Room(ada.page, ada.server);
  await room.composer.fill('written too late');
  expect((await ada.post('log_out')).status()).toBe(200);
  await room.send.click();
  await expect(ada.page).toHaveURL(`/login?next=${encodeURIComponent(`/room/${tea}`)}`);
});

test('pages can be read without scripts on a phone', async ({ person }) => {
  const ada = await person('ada', { viewport: { width: 390, height: 844 } });
  const tea = await ada.makeRoom('Tea');
  await ada.page.goto('/');
  await ada.page.getByRole('list', { name: 'Your rooms' }).locator(`a[href="/room/${tea}"]`).click();
  const room = new Room(ada.page, ada.server);
  await room.composer.fill('from a phone');
  await room.send.click();
  await expect(room.saying('from a phone')).toBeInViewport();
  await ada.page.getByRole('link', { name: 'Rooms', exact: true }).click();
  await expect(ada.page).toHaveURL('/');
});
