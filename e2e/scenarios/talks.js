// Two who talk, browsers or Rust peers, and what each must have heard.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { talkInPage } from '../browser/data-page.js';
import { RustPeer } from '../peers/rust-peer.js';

/** @typedef {import('./scene.js').Scene} Scene */
/** @typedef {'offer' | 'answer'} Role */
/** @typedef {import('../browser/data-page.js').TalkReport} TalkReport */
/**
 * @typedef {(options: {token: string, role: Role, closes: boolean, bytes: number, direct:
 *   boolean, iceServers?: string}) => Promise<TalkReport>} Participant
 */

/** Bytes each way. */
export const MUCH = 20_000_000;
/** Bytes each way in the whole matrix. */
export const LITTLE = 500_000;

/** Enough that the server's fairness does not hold 20 MB back. */
export const GENEROUS = ['--bandwidth-per-user', '1GB', '--bandwidth-per-client', '1GB', '--max-bandwidth', '1GB'];

/** Browsers, and what is said of them. */
export const BROWSERS = /** @type {const} */ (['chromium', 'firefox']);
export const ROLES = /** @type {Role[]} */ (['offer', 'answer']);

/**
 * Two talk; each must have heard what the other has said.
 * @param {Participant} offerer @param {Participant} answerer
 * @param {{closes?: Role, bytes?: number, direct?: boolean, iceServers?: string}} [options]
 * @returns {Promise<[TalkReport, TalkReport]>}
 */
export async function talk(offerer, answerer, { closes = 'offer', bytes = MUCH, direct = true, iceServers } = {}) {
  const token = randomUUID();
  const talks = await Promise.allSettled(
    [offerer, answerer].map((speaker, index) => {
      const role = ROLES[index];
      return speaker({ token, role, closes: role === closes, bytes, direct, iceServers });
    }),
  );
  // Where one side fails, what the other makes of it belongs to the picture.
  if (talks.some(({ status }) => status === 'rejected')) {
    const pictures = talks.map((talk, index) => `who ${ROLES[index]}s: ${talk.status === 'rejected' ? talk.reason : 'heard everything'}`);
    throw new Error(pictures.join('\n'));
  }
  const [offered, answered] = talks.map((talk) => /** @type {PromiseFulfilledResult<TalkReport>} */ (talk).value);
  assert.equal(offered.greeting, 'hello from answer');
  assert.equal(answered.greeting, 'hello from offer');
  assert.deepEqual(offered.received, answered.sent);
  assert.deepEqual(answered.received, offered.sent);
  for (const said of [offered, answered]) {
    assert.equal(said.sent.bytes, bytes);
    assert.equal(said.end, 'closed');
  }
  // One side that sees the relay is enough: the other may know it as a peer-reflexive address.
  const pairs = [offered.pair, answered.pair];
  assert.equal(pairs.some(({ local, remote }) => [local, remote].includes('relay')), !direct, JSON.stringify(pairs));
  assert.notEqual(offered.sent.sha256, answered.sent.sha256);
  return [offered, answered];
}

/** The browser of a scene. @param {Scene} scene @param {number} index @returns {Participant} */
export const browserOf = (scene, index) => (options) => talkInPage(scene.browsers[index], scene.server.origin, options);

/**
 * A Rust peer at a node of a scene.
 * @param {Scene} scene
 * @param {string} node
 * @param {boolean} [hidden]
 * @returns {Participant}
 */
export const rustAt = (scene, node, hidden) => (options) =>
  new RustPeer({ ...options, hidden, server: scene.server.origin, at: { lab: scene.lab, node }, authority: scene.authority.cert }).talk();

/**
 * One with candidates that open connections from both sides at once, too.
 * @param {Scene} scene
 * @param {string} node
 * @returns {Participant}
 */
export const crossingAt = (scene, node) => (options) =>
  new RustPeer({ ...options, simultaneous: true, server: scene.server.origin, at: { lab: scene.lab, node }, authority: scene.authority.cert }).talk();
