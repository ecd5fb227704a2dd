import { defineConfig } from '@playwright/test';
import config from './playwright.config';

// Pictures of every page and state, in screenshots/; for people to look at, not for a machine to compare.
export default defineConfig(config, {
  testDir: '.',
  testMatch: 'screenshots.spec.ts',
  timeout: 180_000,
});
