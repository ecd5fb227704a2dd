import { defineConfig } from '@playwright/test';
import { launchOptions } from './support/browser';

// Every worker starts a server of its own: see support/world.ts.
export default defineConfig({
  testDir: 'tests',
  workers: 2,
  fullyParallel: true,
  retries: 0,
  forbidOnly: !!process.env.CI,
  // A busy machine takes several times as long as an idle one, for what is in order all the same.
  timeout: 180_000,
  expect: { timeout: 10_000 },
  reporter: 'list',
  use: {
    browserName: 'chromium',
    launchOptions,
    actionTimeout: 10_000,
    navigationTimeout: 20_000,
    trace: 'retain-on-failure',
  },
});
