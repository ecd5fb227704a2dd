import { defineConfig } from '@playwright/test';

// One after the other, and nothing else beside them: these are measurements.
export default defineConfig({ testDir: '.', testMatch: 'measure.spec.ts', workers: 1, retries: 0, timeout: 300_000, reporter: 'list' });
