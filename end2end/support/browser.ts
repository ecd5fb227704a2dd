// Which browser, and how it is started: shared by the tests and the screenshots.

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { LaunchOptions } from '@playwright/test';

/** A name of this machine under which a page is not secure, as on any network without a certificate: browsers trust only localhost. */
export const INSECURE_HOST = 'snug.test';

function onPath(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** The first of these that there is; none lets Playwright use its own. */
export const launchOptions: LaunchOptions = {
  executablePath:
    process.env.SNUG_DEV_CHROMIUM || ['chromium', 'chromium-browser', 'google-chrome'].map(onPath).find(Boolean),
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`,
    // Which would not know that name.
    '--no-proxy-server',
  ],
};
