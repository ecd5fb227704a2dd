// Every page and state as a picture, in both themes, on a desktop and a phone.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from '@playwright/test';
import { NO_SERVER, REFUSED, Room, type Person, alive, test as base, expect } from './support/world';

const FOLDER = fileURLToPath(new URL('screenshots', import.meta.url));
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

const test = base.extend<{ own: { flags: string[] } }>({ own: { flags: ['--send-burst', '1000'] } });

/** Who says what; `days` ago where that is given, until it is given again. */
const TALK: Array<{ by: string; text: string; days?: number }> = [
  { days: 3, by: 'ben', text: 'Does anyone know where the blue pot went?' },
  { by: 'Clara', text: 'It is in the top cupboard, behind the flour.' },
  { by: 'Clara', text: 'I put it there so that nobody drops it again 🫖' },
  { by: 'ben', text: 'Found it, thank you!' },
  { days: 1, by: 'ada', text: 'I have ordered new leaves. Three kinds:\n\n1. an Assam for the mornings\n2. a Darjeeling, second flush\n3. something smoky, for those who like that' },
  { by: 'Дмитрий', text: 'Smoky, please. Спасибо!' },
  { by: 'ben', text: 'The shop says how long each should draw: https://tea.example.com/how-to/brew?kind=darjeeling&water=soft#minutes' },
  { by: 'ben', text: 'I keep forgetting.' },
  { days: 0, by: 'Clara', text: 'Good morning. The kettle makes a noise like `fn main() { loop {} }` today.' },
  { by: 'Clara', text: '> I keep forgetting.\nThree minutes for the Darjeeling, four for the Assam.' },
  { by: 'ada', text: 'Noted.' },
  { by: 'ada', text: 'I will bring it down at eleven, if someone can be there to hold the door. It is heavier than it looks, and the last time I tried it alone I had to sit on the stairs for a while and think about my choices.' },
  { by: 'Дмитрий', text: 'I am here all morning.' },
  { by: 'maximilian.featherstonehaugh-smy', text: 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftsgründungsfeier'.repeat(2) },
  { by: 'ben', text: 'Bless you.' },
  { by: 'יעל', text: 'שלום לכולם, מי שותה תה ירוק?' },
  { by: 'Clara', text: 'Me! 🍵' },
  { by: 'ben', text: 'What the kettle says, in full:\n```\nthread main panicked at kettle.rs:7:9: the water is hotter than the sensor can tell (100.4 °C)\n```\nso it does have a `main`.' },
  { by: 'Clara', text: '🫖' },
];

for (const colorScheme of ['light', 'dark'] as const) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    test(`${colorScheme}, ${size}`, async ({ browser, page: door, person, guard, line, server }) => {
      guard.allow(NO_SERVER, REFUSED);
      const picture = async (page: Page, name: string) => {
        await page.screenshot({ path: join(FOLDER, `${name}.${colorScheme}.${size}.png`), animations: 'disabled' });
      };
      const look = { viewport, colorScheme, hasTouch: size === 'phone' };

      await door.setViewportSize(viewport);
      await door.emulateMedia({ colorScheme });
      await door.goto('/login');
      await picture(door, 'login');
      await door.getByLabel('E-mail or username').fill('ada');
      await door.getByLabel('Password').fill('not the password');
      await door.getByRole('button', { name: 'Log in' }).click();
      await expect(door.getByText('do not go together')).toBeVisible();
      await picture(door, 'login-refused');
      await door.goto('/signup');
      await picture(door, 'signup');
      await door.getByLabel('E-mail').fill('ada@example.com');
      await door.getByLabel('Username').fill('ada of the tea kitchen');
      await door.getByLabel('Password').fill('a kettle of fish');
      await door.getByRole('button', { name: 'Make my account' }).click();
      await expect(door.getByText('A username is letters')).toBeVisible();
      await picture(door, 'signup-refused');
      await door.goto('/nothing/here');
      await picture(door, 'not-found');

      const ada = await person('ada', { ...look, baseURL: line.url, exactly: true });
      const people = new Map<string, Person>([['ada', ada]]);
      const tea = await ada.makeRoom('Tea kitchen', 'Leaves, not bags. The blue pot lives in the top cupboard.');
      for (const { by } of TALK) {
        if (people.has(by)) continue;
        const someone = await person(by, { exactly: true });
        await someone.join(tea);
        people.set(by, someone);
      }
      const ben = people.get('ben')!;
      const clara = people.get('Clara')!;
      const seqs: Array<[days: number, seq: number]> = [];
      let days = 0;
      for (const { by, text, days: ago = days } of TALK) {
        days = ago;
        await people.get(by)!.say(tea, text);
        const rows = await ada.post('read_room', { room: tea });
        seqs.push([days, ((await rows.json()) as { as_of: number }).as_of]);
      }
      await date(server, tea, seqs);
      await ada.post('mark_read', { room: tea, seq: seqs.at(-4)![1] });

      // Other rooms in the list.
      const milk = await ben.makeRoom('Milk');
      const biscuits = await ben.makeRoom('Biscuits, and where they went', 'An inquiry');
      await clara.makeRoom('Book club');
      await ben.makeRoom('A room with a name that is as long as it may be, with 64 letters');
      for (const room of [milk, biscuits]) await ada.join(room);
      await ben.say(milk, 'We are out of it.');
      await ben.say('general', ...Array.from({ length: 120 }, (_, i) => `Good to see you, for the ${i + 1}th time.`));

      const { page } = ada;
      await page.goto('/');
      await alive(page);
      await picture(page, 'home');
      const finder = page.getByRole('searchbox', { name: 'Find a room' });
      await finder.fill('bo');
      await picture(page, 'home-narrowed');
      await finder.fill('nothing of the kind');
      await picture(page, 'home-narrowed-to-nothing');
      await page.goto('/?q=room');
      await alive(page);
      await picture(page, 'search');
      await page.goto('/?q=coffee');
      await alive(page);
      await picture(page, 'search-nothing-found');
      await ben.enter(tea);
      await clara.enter(tea);
      const room = await ada.enter(tea);
      const here = page.getByRole('button', { name: / here$/ });
      await expect(here).toHaveAccessibleName('3 here');
      await picture(page, 'room');
      await here.click();
      await picture(page, 'room-who-is-here');
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'About this room' }).click();
      await picture(page, 'room-menu');
      await page.keyboard.press('Escape');
      await room.composer.fill('A draft of several lines:\n\n- one\n- two\n- and a third, which is rather long and wraps on a small screen, where there is less room');
      await picture(page, 'room-draft');
      await room.composer.fill(`${'A very long text. '.repeat(223)}`);
      await picture(page, 'room-too-long');
      await room.composer.fill('');
      await room.log.evaluate((log) => log.scrollTo({ top: -log.scrollHeight, behavior: 'instant' }));
      await expect.poll(() => room.fromEnd()).toBeGreaterThan(50);
      await ben.say(tea, 'Who takes sugar?', 'Nobody?');
      await expect(page.getByRole('button', { name: '2 new below' })).toBeVisible();
      await picture(page, 'room-scrolled-up');
      if (size === 'desktop') {
        await page.keyboard.press('Control+k');
        await page.keyboard.type('i');
        await page.keyboard.press('ArrowDown');
        await picture(page, 'room-finding-another');
        await page.keyboard.press('Escape');
      }

      await page.goto(`/room/general`);
      await alive(page);
      await picture(page, 'room-long');
      await page.goto('/room/general?at=60#s60');
      await alive(page);
      await expect(page.locator('#s60')).toBeInViewport();
      await picture(page, 'room-another-place');

      const empty = await ada.makeRoom('Nobody here yet');
      await ada.enter(empty);
      await picture(page, 'room-empty');
      await ada.post('close_room', { room: empty });
      await expect(page.getByText('This room is closed.')).toBeVisible();
      await picture(page, 'room-closed');
      await page.goto('/room/book-club');
      await alive(page);
      await picture(page, 'room-not-a-member');
      await page.goto('/room/no-such-room');
      await picture(page, 'room-none');
      await page.goto('/new-room');
      await alive(page);
      await picture(page, 'new-room');
      await page.getByRole('textbox', { name: 'Name' }).fill('  ');
      await page.getByRole('button', { name: 'Make the room' }).click();
      await expect(page.getByText('Please fill in the name.')).toBeVisible();
      await picture(page, 'new-room-refused');
      const elsewhere = await browser.newContext({ userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15' });
      await elsewhere.request.post(`${ada.origin}/actions/log_in`, {
        form: { name: ada.name, password: ada.password },
        headers: { origin: ada.origin, accept: 'application/json' },
      });
      await elsewhere.close();
      await page.goto('/settings');
      await alive(page);
      await picture(page, 'settings');
      await page.locator('.sheet-body').evaluate((sheet) => sheet.scrollTo({ top: sheet.scrollHeight, behavior: 'instant' }));
      await picture(page, 'settings-end');
      await page.goto('/shortcuts');
      await alive(page);
      await picture(page, 'shortcuts');

      // The line is down.
      await ada.enter(tea);
      await line.cut();
      await room.say('Coming down now.', 'Keep the door open!');
      await expect(room.line).toHaveText(/^The line is down/);
      await expect(room.waiting.locator('.state')).toHaveText([/^waiting/, /^waiting/]);
      await picture(page, 'room-offline');
      await line.mend();
      await expect(room.waiting).toHaveCount(0, { timeout: 40_000 });

      // What was written for a room that one has left meanwhile.
      await ada.enter(milk);
      await line.cut();
      await room.say('I can bring some.', 'Two litres?');
      await expect(room.waiting).toHaveCount(2);
      await ada.leave(milk);
      await line.mend();
      await expect(page.getByRole('button', { name: 'Join the room' })).toBeVisible({ timeout: 40_000 });
      await expect
        .poll(() => page.evaluate(() => Object.values(localStorage).filter((kept) => String(kept).split('\n')[1]?.includes('not a member')).length))
        .toBe(2);
      await page.getByRole('button', { name: 'Join the room' }).click();
      await expect(room.waiting.locator('.state')).toHaveText([/^Not sent/, /^Not sent/]);
      await picture(page, 'room-message-refused');

      const plain = await browser.newContext({ ...look, baseURL: ada.origin, javaScriptEnabled: false, storageState: await ada.context.storageState() });
      const still = await plain.newPage();
      await still.goto(`/room/${tea}`);
      await expect(new Room(still, server).composer).toBeVisible();
      await picture(still, 'room-without-scripts');
      await new Room(still, server).composer.fill('long '.repeat(900));
      await new Room(still, server).send.click();
      await expect(still.getByText('is too long')).toBeVisible();
      await picture(still, 'room-without-scripts-refused');
      await still.goto('/');
      await picture(still, 'home-without-scripts');
      await plain.close();

      // Someone who has left everything, and someone who is in every room.
      const newcomer = await person('eve', { ...look, javaScriptEnabled: false });
      await newcomer.leave('general');
      await newcomer.page.goto('/');
      await picture(newcomer.page, 'home-in-no-room');
      const all = (await (await newcomer.post('find_rooms')).json()) as { rooms: Array<{ room: string }> };
      for (const { room } of all.rooms) await newcomer.join(room);
      await newcomer.page.goto('/');
      await picture(newcomer.page, 'home-in-every-room');
    });
  }
}

/** Puts messages on the days that they are of, where the machine has sqlite3; without it all of them are of today. */
async function date(server: import('./support/server').Server, room: string, seqs: Array<[days: number, seq: number]>): Promise<void> {
  const changes = seqs
    .filter(([days]) => days > 0)
    .flatMap(([days, seq]) => ['messages', 'log'].map((table) => `UPDATE ${table} SET at = at - ${days} * 86400000000 WHERE seq = ${seq} AND room_id = (SELECT id FROM rooms WHERE slug = '${room}');`));
  await server.stop();
  try {
    const first = Math.min(...seqs.map(([, seq]) => seq));
    changes.push(`UPDATE log SET at = at - 3 * 86400000000 WHERE seq < ${first} AND room_id = (SELECT id FROM rooms WHERE slug = '${room}');`);
    execFileSync('sqlite3', [join(server.data, 'snug.db')], { input: changes.join('\n') });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await server.start();
}
