// Audio, video and data with browsers whose words about bundles get lost on the way: each section
// has ICE and DTLS of its own. With the words all share one transport.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { hostPages } from '../browser/pages/host.js';
import { programsMissing } from '../lab/available.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { browser, columba } from '../peers/data-peer.js';
import { connect, end, open, reversed, send } from '../scenarios/data-channels.js';

/** @typedef {import('../scenarios/data-channels.js').Pair} Pair */

const skip = await programsMissing(...BROWSER_PROGRAMS);

/** The second of a kind is offered for the bundle only. */
const KINDS = ['audio', 'video', 'video'];

/** @param {string} sdp */
const withoutBundles = (sdp) => sdp.replace(/^a=(group:BUNDLE.*|bundle-only)\r?\n/gm, '');

/**
 * They talk, and each transport of both is connected.
 * @param {Pair} pair the offerer, the answerer
 * @param {number} transports how many each side has
 * @param {(sdp: string) => string} carry
 */
async function talk(pair, transports, carry) {
  pair[0].command({ do: 'media', kinds: KINDS });
  const { label } = await connect(pair, carry);
  const { label: another } = await open(reversed(pair), 'another');
  for (const way of [pair, reversed(pair)]) await send(way, another, { count: 20, size: 5000 });
  for (const peer of pair) {
    peer.command({ do: 'transports' });
    const { states } = await peer.until('transports');
    assert.deepEqual(states, Array(transports).fill('connected'), peer.name);
  }
  await end(pair, label);
}

for (const name of /** @type {const} */ (['chromium', 'firefox'])) {
  describe(`bundles with ${name}`, { skip, timeout: SUITE_TIMEOUT }, () => {
    /** @type {Awaited<ReturnType<typeof launch>>} */ let running;
    /** @type {Awaited<ReturnType<typeof hostPages>>} */ let pages;
    /** @type {Pair} ours first */ let ours;

    before(async () => {
      pages = await hostPages();
      running = await launch(name);
    });
    after(async () => {
      await running?.close();
      pages?.close();
    });

    for (const offers of ['ours', 'theirs']) {
      for (const [what, transports, carry] of /** @type {const} */ ([
        ['all in one bundle', 1, (/** @type {string} */ sdp) => sdp],
        ['nothing bundled', 3, withoutBundles],
      ])) {
        it(`${offers === 'ours' ? 'we offer' : 'they offer'}, ${what}`, async () => {
          ours = [columba(), await browser(running, pages.origin)];
          try {
            await talk(offers === 'ours' ? ours : reversed(ours), transports, carry);
          } finally {
            await Promise.all(ours.map((peer) => peer.end()));
          }
        });
      }
    }
  });
}
