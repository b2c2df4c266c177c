// A Rust peer whose network changes in the middle of a transfer: the connection stays, and everything arrives.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { Scene } from '../browser/scene.js';
import { RustPeer } from '../clients/rust-peer.js';
import { labMissing } from '../lab/available.js';
import { figure3, flushMappings, moveToCellular, PUBLIC_HOST } from '../lab/figures.js';

/** @typedef {import('../lab/lab.js').Lab} Lab */

const skip = await labMissing();

/** Enough to be in the middle of it when the network changes. */
const MUCH = 100_000_000;

/** The way that is left after the event may be the relay, which must not be the bottleneck then. */
const ROOM = ['--bandwidth-per-user', '1GB', '--bandwidth-per-client', '1GB', '--max-bandwidth', '2GB'];

/**
 * Two peers talk, and this happens to p1 as soon as they are connected.
 * @param {(lab: Lab) => Promise<void>} event
 */
async function talkThrough(event) {
  const lab = await figure3({ r1: { kind: 'port' }, r2: { kind: 'port' }, rc: { kind: 'port' } });
  const scene = await Scene.set(lab, PUBLIC_HOST, { browsers: [], args: ROOM });
  try {
    const token = randomUUID();
    const [p1, p2] = /** @type {const} */ (['offer', 'answer']).map((role, index) => {
      const at = { lab, node: `p${index + 1}` };
      const said = { token, role, closes: role === 'offer', bytes: MUCH, direct: false };
      return new RustPeer({ ...said, at, server: scene.server.origin, authority: scene.authority.cert });
    });
    const talking = Promise.all([p1.talk(), p2.talk()]);
    talking.catch(() => {});
    await p1.until(({ state }) => state === 'Connected');
    await event(lab);
    const [offered, answered] = await talking;
    assert.deepEqual(offered.received, answered.sent);
    assert.deepEqual(answered.received, offered.sent);
  } finally {
    await scene.strike();
  }
}

describe('in the middle of a transfer', { skip, timeout: 120_000 }, () => {
  it('a peer moves to another network', () => talkThrough(moveToCellular));
  it('a router forgets its mappings', () => talkThrough((lab) => flushMappings(lab, 'r1')));
});
