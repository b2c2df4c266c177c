// A Rust peer whose network changes in the middle of a transfer: the connection stays, and
// everything arrives.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { Scene } from '../scenarios/scene.js';
import { RustPeer } from '../peers/rust-peer.js';
import { labMissing } from '../lab/available.js';
import { figure3, flushMappings, moveToCellular, PUBLIC_HOST } from '../lab/figures.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../lab/lab.js').Lab} Lab */

const skip = await labMissing('openssl', 'curl');

/** Enough to be in the middle of it when the network changes. */
const MUCH = 100_000_000;

/** The way that is left after the event may be the relay, which must not be the bottleneck then. */
const ROOM = ['--bandwidth-per-user', '1GB', '--bandwidth-per-client', '1GB', '--max-bandwidth', '2GB'];

/**
 * Two peers talk, and this happens to p1 as soon as they are connected. What p1 and the server
 * say in the end.
 * @param {(lab: Lab) => Promise<void>} event
 * @param {{kind?: import('../lab/nat.js').NatOptions['kind'], iceServers?: string}} [options] of
 *   all routers; of p2's servers
 */
async function talkThrough(event, { kind = 'port', iceServers } = {}) {
  const lab = await figure3({ r1: { kind }, r2: { kind }, rc: { kind } });
  const scene = await Scene.set(lab, PUBLIC_HOST, { browsers: [], args: ROOM });
  try {
    const token = randomUUID();
    const [p1, p2] = /** @type {const} */ (['offer', 'answer']).map((role, index) => {
      const at = { lab, node: `p${index + 1}` };
      const options = { token, role, closes: role === 'offer', bytes: MUCH, direct: false, ...(index === 1 && { iceServers }) };
      return new RustPeer({ ...options, at, server: scene.server.origin, authority: scene.authority.cert });
    });
    const talking = Promise.all([p1.talk(), p2.talk()]);
    talking.catch(() => {});
    await p1.until(({ state }) => state === 'Connected');
    await event(lab);
    const [offered, answered] = await talking;
    assert.deepEqual(offered.received, answered.sent);
    assert.deepEqual(answered.received, offered.sent);
    return { offered, metrics: await metrics(scene) };
  } finally {
    await scene.strike();
  }
}

/** The metrics of the server. @param {Scene} scene */
async function metrics(scene) {
  const text = await scene.lab.run('server', 'curl', ['-sk', 'https://localhost/metrics']);
  return (/** @type {string} */ name) => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1]);
}

describe('in the middle of a transfer', { skip, timeout: SUITE_TIMEOUT }, () => {
  it('a peer moves to another network', async () => {
    await talkThrough(moveToCellular);
  });

  it('a router forgets its mappings', async () => {
    await talkThrough((lab) => flushMappings(lab, 'r1'));
  });

  // Where only a relay leads from peer to peer, it comes along (RFC 8016).
  it('a peer behind a relay moves to another network', async () => {
    const { offered, metrics } = await talkThrough(moveToCellular, { kind: 'symmetric', iceServers: 'stun:' });
    assert.ok(metrics('columba_turn_allocations_moved_total') > 0);
    assert.equal(offered.pair.local, 'relay', JSON.stringify(offered.pair));
  });
});
