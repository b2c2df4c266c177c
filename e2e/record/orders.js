// Writes the order of events in Chromium and Firefox, with what their pages see at each, into
// crates/columba/tests/orders, as e2e/browser/pages/orders.js plays it: node e2e/record/orders.js

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser/launch.js';
import { hostPages } from '../browser/pages/host.js';

const FOLDER = fileURLToPath(new URL('../../crates/columba/tests/orders/', import.meta.url));

mkdirSync(FOLDER, { recursive: true });
const pages = await hostPages();
for (const name of /** @type {const} */ (['chromium', 'firefox'])) {
  const running = await launch(name);
  const page = await running.browser.newPage();
  await page.goto(`${pages.origin}/blank.html`);
  const played = await page.evaluate("import('/orders.js').then(({ play }) => play())");
  const sections = /** @type {import('../browser/pages/orders.js').Sections} */ (played);
  const version = await running.browser.version();
  writeFileSync(`${FOLDER}${name}.json`, `${JSON.stringify({ version, sections }, undefined, 2)}\n`);
  console.log(`${name}: ${Object.keys(sections).length} sections`);
  await running.close();
}
pages.close();
