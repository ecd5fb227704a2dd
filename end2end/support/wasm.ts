// The browser's code, held up on its way: what a page is before it comes to life.

import type { Page } from '@playwright/test';

/** Holds up every `.wasm` of `page` until the function that it gives is called. */
export async function holdWasm(page: Page): Promise<() => Promise<void>> {
  let go = () => {};
  const gone = new Promise<void>((resolve) => (go = resolve));
  await page.route('**/*.wasm', async (route) => {
    await gone;
    await route.continue();
  });
  return async () => {
    const answered = page.waitForResponse('**/*.wasm');
    go();
    await answered;
  };
}
