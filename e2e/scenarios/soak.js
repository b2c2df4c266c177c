// Much of everything, for `cargo xtask soak sctp`: a gigabyte each way with every other
// implementation, a thousand channels opened and closed ten times, and the throughput over a path
// that loses. With names as arguments only those. It fails where a byte is wrong or something
// does not end; how fast it was is only printed.

import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { programsMissing } from '../lab/available.js';
import { hostPages } from '../browser/pages/host.js';
import { LossyPath } from '../lab/lossy-path.js';
import { browser, columba, libdatachannel, pion } from '../peers/data-peer.js';
import { buildPion } from '../peers/pion/build.js';
import { connect, manyChannels, reversed, speed, transfer } from './data-channels.js';

/** Bytes each way. */
const MUCH = 1_000_000_000;
/** Bytes one way after the other, to see how fast. */
const ENOUGH = 200_000_000;
/** Times that a thousand channels are opened and closed. */
const ROUNDS = 10;
/** Bytes over a path that loses, one way after the other. */
const SOME = 10_000_000;
const LOSSY = { delay: 10, loss: 0.01, megabits: 100 };

/** @typedef {import('../peers/data-peer.js').Peer} Peer */
/** @typedef {import('./data-channels.js').Pair} Pair */

/**
 * Each makes peers of its kind.
 * @type {Record<string, () => Promise<{make: () => Peer | Promise<Peer>, close?: () =>
 *   Promise<unknown>}>>}
 */
const RIVALS = {
  columba: async () => ({ make: columba }),
  libdatachannel: async () => ({ make: libdatachannel }),
  pion: async () => {
    await buildPion('webrtc');
    return { make: pion };
  },
  chromium: () => pagesOf('chromium'),
  firefox: () => pagesOf('firefox'),
};

/** @param {import('../browser/launch.js').BrowserName} name */
async function pagesOf(name) {
  const missing = await programsMissing(...BROWSER_PROGRAMS);
  if (missing) throw new Error(missing);
  const [pages, running] = [await hostPages(), await launch(name)];
  const close = async () => {
    await running.close();
    pages.close();
  };
  return { make: () => browser(running, pages.origin), close };
}

/** @param {string} name @param {() => Peer | Promise<Peer>} make */
async function soak(name, make) {
  /** @type {Pair} */
  const pair = [columba(), await make()];
  try {
    await connect(pair);
    const [to, from] = [await speed(pair, ENOUGH), await speed(reversed(pair), ENOUGH)];
    console.log(`${name}: ${to.toFixed(0)} Mbit/s to it, ${from.toFixed(0)} Mbit/s from it`);
    const both = await transfer(pair, MUCH);
    console.log(`${name}: 1 GB each way at once, whole; with the digests of all of it ${both.toFixed(0)} Mbit/s each way`);
    const start = performance.now();
    for (let round = 0; round < ROUNDS; round++) await manyChannels(round % 2 === 0 ? pair : reversed(pair));
    const each = (performance.now() - start) / 1000 / ROUNDS;
    console.log(`${name}: 1,000 channels opened, used and closed ${ROUNDS} times, ${each.toFixed(1)} s each time`);
  } finally {
    await Promise.all(pair.map((peer) => peer.end()));
  }
}

/**
 * Two peers of this kind: the yardstick for one with ours.
 * @param {string} name
 * @param {() => Peer | Promise<Peer>} make
 */
async function alone(name, make) {
  /** @type {Pair} */
  const pair = [await make(), await make()];
  try {
    await connect(pair);
    console.log(`${name}: ${(await speed(pair, ENOUGH)).toFixed(0)} Mbit/s between two of them`);
  } finally {
    await Promise.all(pair.map((peer) => peer.end()));
  }
}

/** @param {string} name @param {() => Peer | Promise<Peer>} make */
async function lose(name, make) {
  const path = new LossyPath(LOSSY);
  /** @type {Pair} */
  const pair = [columba(), await make()];
  try {
    await connect(pair, (sdp, side) => path.carry(sdp, side));
    const to = await transfer(pair, SOME, { back: false });
    const from = await transfer(reversed(pair), SOME, { back: false });
    console.log(`${name}: 20 ms, 1 % loss, 100 Mbit/s: ${to.toFixed(1)} Mbit/s to it, ${from.toFixed(1)} Mbit/s from it`);
  } finally {
    await Promise.all([...pair.map((peer) => peer.end()), path.close()]);
  }
}

const named = process.argv.slice(2);
for (const [name, begin] of Object.entries(RIVALS)) {
  if (named.length > 0 && !named.includes(name)) continue;
  const { make, close } = await begin();
  try {
    await alone(name, make);
    await soak(name, make);
    await lose(name, make);
  } finally {
    await close?.();
  }
}
