// Two people talk through a network that cuts, stalls, half-closes and splits their connections, in the midst of anything: each sees
// every message once and in order, on the page that they opened, and is told how it is with the line.

import { BROKEN, type Person, type Room, expect, test } from '../support/world';

/** How many messages each of the two writes. */
const EACH = 16;
/** The network is bad until so much has happened to their connections, of which none carries more than a few messages. */
const FAULTS = 8;
/** How long a page may take to say that the line is there again, or gone, in milliseconds: a busy machine is slow. */
const SLACK = 2_000;
/** An interruption that is shorter is not worth a word. */
const SAY_AFTER = 2_000;

interface Moment {
  at: number;
  what: 'welcome' | 'closed' | 'down' | 'up';
}

/**
 * Has a page note what its sockets hear and what it says of its line, on one clock: the page's own. What a test hears of it comes by
 * several ways, each as late as the machine is busy; and what comes to a socket that the page has given up is heard by nobody.
 */
async function watch({ page }: Person): Promise<void> {
  await page.addInitScript(() => {
    const moments: Moment[] = [];
    const note = (what: Moment['what']) => moments.push({ at: Math.round(performance.now()), what });
    Object.assign(window, { moments });
    window.WebSocket = class extends WebSocket {
      private stands = false;

      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args);
        this.addEventListener('message', ({ data }) => {
          if (!this.stands && String(data).includes('"type":"welcome"')) note('welcome');
          this.stands = true;
        });
        this.addEventListener('close', () => this.ends());
      }

      override close(...args: Parameters<WebSocket['close']>): void {
        this.ends();
        super.close(...args);
      }

      private ends(): void {
        if (this.stands) note('closed');
        this.stands = false;
      }
    };
    document.addEventListener('DOMContentLoaded', () => {
      const line = document.querySelector('.foot .line');
      if (!line) return;
      const says = () => note(/^The line is down|^You are offline/.test(line.textContent ?? '') ? 'down' : 'up');
      new MutationObserver(says).observe(line, { childList: true, characterData: true, subtree: true });
    });
  });
}

/** What the page that is open has noted. */
async function watched({ page }: Person): Promise<Moment[]> {
  return page.evaluate(() => (window as unknown as { moments: Moment[] }).moments);
}

/** Where it was said that the line is down although it stood, or nothing although it was gone. */
function lies(moments: Moment[]): string[] {
  const first = moments[0]?.at ?? 0;
  const said = (at: number) => moments.filter(({ what, at: then }) => (what === 'down' || what === 'up') && then <= at).at(-1)?.what ?? 'up';
  const changes = (from: number, to: number, ...of: Moment['what'][]) => moments.some(({ at, what }) => at > from && at <= to && of.includes(what));
  const end = moments.at(-1)?.at ?? 0;
  return moments.flatMap(({ at, what }) => {
    const when = `at ${at - first} ms`;
    const welcomeBy = at + SLACK;
    const goneBy = at + SAY_AFTER + SLACK;
    if (what === 'welcome' && !changes(at, welcomeBy, 'closed', 'up', 'welcome') && said(welcomeBy) === 'down') return [`down after the welcome ${when}`];
    if (what === 'closed' && goneBy < end && !changes(at, goneBy, 'welcome', 'down') && said(goneBy) === 'up') return [`no word of the end ${when}`];
    return [];
  });
}

// Who is not heard any more, while they hear others, does not find out by themselves.
test.use({ own: { flags: ['--idle-timeout', '40', '--send-burst', '1000'] } });

test('what two people write through a bad network is there for both, once and in order', async ({ person, network, guard }) => {
  test.setTimeout(240_000);
  guard.allow(BROKEN);
  const ada = await person('ada', { baseURL: network.url });
  const ben = await person('ben', { baseURL: network.url });
  const tea = await ada.makeRoom('Tea');
  await ben.join(tea);
  const people: Array<[Person, Room]> = [];
  let loads = 0;
  for (const one of [ada, ben]) {
    await watch(one);
    people.push([one, await one.enter(tea)]);
    one.page.on('framenavigated', () => (loads += 1));
  }

  await network.bad();
  const written = people.map(([{ name }]) => Array.from({ length: EACH }, (_, i) => `${name} says ${i + 1}`));
  for (let i = 0; i < EACH; i += 1) for (const [which, [, room]] of people.entries()) await room.say(written[which]![i]!);
  await expect.poll(() => network.count(), { timeout: 120_000 }).toBeGreaterThanOrEqual(FAULTS);
  const faults = await network.good();

  const all = written.flat().sort();
  for (const [, room] of people) {
    await expect(room.waiting).toHaveCount(0, { timeout: 90_000 });
    await expect.poll(async () => (await room.texts()).sort(), { timeout: 60_000, message: faults }).toEqual(all);
    await expect(room.line).toHaveText('', { timeout: 20_000 });
  }
  const fresh = await ada.fresh(tea);
  for (const [which, [one, room]] of people.entries()) {
    expect(await room.texts()).toEqual(fresh);
    expect(fresh.filter((text) => text.startsWith(one.name)), 'in the order in which they were written').toEqual(written[which]);
    const moments = await watched(one);
    expect(moments.map(({ what }) => what)).toContain('welcome');
    expect(lies(moments), faults).toEqual([]);
  }
  expect(loads, 'no page was loaded again').toBe(0);
});
