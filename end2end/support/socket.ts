// A page's sockets, listened in on: what passes can be changed, kept back, or answered by the test.

import type { Page } from '@playwright/test';

/** What becomes of the frames of the page's first socket (1), its second, and so on: another frame, or nothing. */
export interface Tapped {
  /** From the page to the server: a command. `answer` says something to the page, as the server would. */
  up?: (command: string, socket: number, answer: (event: object) => void) => string | undefined;
  /** From the server to the page: events, one a line. `later` lets some pass that were kept back. */
  down?: (events: string, socket: number, later: (events: string) => void) => string | undefined;
}

/** Taps the sockets that `page` will open. What comes back says how often the server has welcomed one of them. */
export async function tap(page: Page, { up = (frame) => frame, down = (frame) => frame }: Tapped): Promise<{ welcomes: () => number }> {
  let sockets = 0;
  let welcomes = 0;
  await page.routeWebSocket(/\/ws$/, (near) => {
    const socket = ++sockets;
    const far = near.connectToServer();
    near.onMessage((frame) => {
      const command = up(String(frame), socket, (event) => near.send(JSON.stringify(event)));
      if (command !== undefined) far.send(command);
    });
    const pass = (events: string) => {
      near.send(events);
      welcomes += Number(events.includes('"type":"welcome"'));
    };
    far.onMessage((frame) => {
      const events = down(String(frame), socket, pass);
      if (events !== undefined) pass(events);
    });
  });
  return { welcomes: () => welcomes };
}
