// The islands' code comes when the page is there to be read: nothing of it stands between the reader and the first paint.
(async (folder) => {
  // When a form was posted that leads to another page: also from a page that has not come to life.
  addEventListener('submit', (event) => {
    if (!event.defaultPrevented) document.documentElement.dataset.posted = Date.now();
  });
  await new Promise((painted) => {
    if (document.hidden || !PerformanceObserver.supportedEntryTypes?.includes('paint')) return painted();
    addEventListener('visibilitychange', painted, { once: true });
    new PerformanceObserver(painted).observe({ type: 'paint', buffered: true });
  });
  let code;
  try {
    const [module, wasm] = await Promise.all([import(`${folder}/snug.js`), fetch(`${folder}/snug.wasm`)]);
    if (!wasm.ok) return;
    code = module;
    await code.default({ module_or_path: wasm });
  } catch (why) {
    // What fails to load is a TypeError. Then the page stays as it is, with its forms and links.
    if (why instanceof TypeError) return;
    throw why;
  }
  code.hydrate();
  for (const island of document.querySelectorAll('leptos-island')) code[island.dataset.component](island);
})
