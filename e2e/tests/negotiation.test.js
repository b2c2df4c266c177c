// Perfect negotiation between ours and ours, Chromium and Firefox: storms of glare, with audio,
// video and data, sections stopped and used again, restarts and rollbacks. Chromium and Firefox
// with each other do not come through (docs/known-failures.md).
//
// `GLARES` is the number of collisions of each pair; `cargo xtask interop negotiation` makes a
// thousand.

import { after, before, describe, it } from 'node:test';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { hostPages } from '../browser/pages/host.js';
import { programsMissing } from '../lab/available.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { browserNegotiator, rustNegotiator } from '../peers/negotiator.js';
import { storm } from '../scenarios/glare.js';

/** @typedef {import('../peers/negotiator.js').NegotiatorOptions} NegotiatorOptions */
/** @typedef {'columba' | 'chromium' | 'firefox'} Name */

/** Collisions of each pair. */
const GLARES = Number(process.env.GLARES ?? 12);
/** Milliseconds that one collision may take, on a slow and busy machine. */
const TIMEOUT_PER_GLARE = 3000;

const skipBrowsers = await programsMissing(...BROWSER_PROGRAMS);

/** The polite side, then the impolite one. @type {[Name, Name][]} */
const PAIRS = [
  ['columba', 'columba'],
  ['columba', 'chromium'],
  ['chromium', 'columba'],
  ['columba', 'firefox'],
  ['firefox', 'columba'],
];

describe('storms of glare', { timeout: SUITE_TIMEOUT + PAIRS.length * 2 * GLARES * TIMEOUT_PER_GLARE }, () => {
  /** @type {Awaited<ReturnType<typeof hostPages>> | undefined} */ let pages;
  /** @type {Map<Name, import('../browser/launch.js').Running>} */ const running = new Map();

  before(async () => {
    if (skipBrowsers) return;
    pages = await hostPages();
    for (const name of /** @type {const} */ (['chromium', 'firefox'])) running.set(name, await launch(name));
  });
  after(async () => {
    await Promise.all([...running.values()].map((browser) => browser.close()));
    pages?.close();
  });

  /** @param {Name} name @param {NegotiatorOptions} options */
  const create = async (name, options) => {
    const browser = running.get(name);
    return browser && pages ? await browserNegotiator(browser, pages.origin, options) : rustNegotiator(options);
  };

  for (const unbundled of [false, true]) {
    for (const names of PAIRS) {
      const [polite, impolite] = names;
      const skip = names.some((name) => name !== 'columba') && skipBrowsers;
      it(`${polite} is polite, ${impolite} is not${unbundled ? ', nothing is bundled' : ''}`, { skip }, async (test) => {
        const sides = [await create(polite, { polite: true, unbundled }), await create(impolite, { polite: false, unbundled })];
        try {
          const { rounds, collisions } = await storm(/** @type {any} */ (sides), { collisions: GLARES, unbundled });
          test.diagnostic(`${collisions} collisions in ${rounds} rounds`);
        } finally {
          for (const side of sides) await side.end();
        }
      });
    }
  }
});
