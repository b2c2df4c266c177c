// What two peers go through with sound and pictures.

import assert from 'node:assert/strict';
import { STEP_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../peers/data-peer.js').Peer} Peer */
/** @typedef {import('../peers/data-peer.js').PeerEvent} PeerEvent */

/** Milliseconds between two looks at what was counted. */
const LOOK = 250;

/**
 * Offer and answer, with all candidates.
 * @param {[Peer, Peer]} pair the offerer, the answerer
 * @param {(sdp: string, of: 'offerer' | 'answerer') => string | Promise<string>} [carry] what is
 *   made of a description on its way
 */
export async function negotiate([offerer, answerer], carry = (sdp) => sdp) {
  offerer.command({ do: 'offer' });
  const offer = await offerer.until('description');
  answerer.command({ do: 'setRemote', type: offer.type, sdp: await carry(offer.sdp, 'offerer') });
  const answer = await answerer.until('description');
  offerer.command({ do: 'setRemote', type: answer.type, sdp: await carry(answer.sdp, 'answerer') });
  return { offer: offer.sdp, answer: answer.sdp };
}

/** The first negotiation. @param {Parameters<typeof negotiate>} args */
export async function meet(...args) {
  const descriptions = await negotiate(...args);
  await Promise.all(args[0].map((peer) => peer.until('state', { state: 'connected' })));
  return descriptions;
}

/**
 * Both offer at once: the polite one gives way, and offers again what it wanted.
 * @param {[Peer, Peer]} pair the polite one, the other
 */
export async function glare([polite, other]) {
  polite.command({ do: 'offer' });
  other.command({ do: 'offer' });
  const [, offer] = await Promise.all([polite, other].map((peer) => peer.until('description', { type: 'offer' })));
  polite.command({ do: 'setRemote', type: offer.type, sdp: offer.sdp });
  const answer = await polite.until('description', { type: 'answer' });
  other.command({ do: 'setRemote', type: answer.type, sdp: answer.sdp });
  await negotiate([polite, other]);
}

/**
 * Takes from a description that packets are sent again, so that only corrections repair pictures.
 * @param {string} sdp
 */
export function withoutRepetitions(sdp) {
  const lines = sdp.split(/\r?\n/);
  const find = (/** @type {RegExp} */ form) => lines.flatMap((line) => form.exec(line)?.slice(1) ?? []);
  const types = find(/^a=rtpmap:(\d+) rtx\//);
  const streams = find(/^a=ssrc-group:FID \d+ (\d+)/);
  const isGone = (/** @type {string} */ line) =>
    / nack$/.test(line) ||
    line.startsWith('a=ssrc-group:FID') ||
    types.some((type) => new RegExp(`^a=(rtpmap|fmtp|rtcp-fb):${type} `).test(line)) ||
    streams.some((ssrc) => line.startsWith(`a=ssrc:${ssrc} `));
  const rest = lines.filter((line) => !isGone(line)).map((line) => {
    if (!line.startsWith('m=video')) return line;
    const words = line.split(' ');
    return [...words.slice(0, 3), ...words.slice(3).filter((type) => !types.includes(type))].join(' ');
  });
  return rest.join('\r\n');
}

/** The counts of a peer. @param {Peer} peer */
export async function count(peer) {
  peer.command({ do: 'count' });
  return await peer.until('counts');
}

/**
 * Waits until what was counted is as wanted.
 * @param {Peer} peer
 * @param {string} what
 * @param {(counts: PeerEvent) => boolean} isEnough
 */
export async function until(peer, what, isEnough) {
  const end = Date.now() + 2 * STEP_TIMEOUT;
  for (;;) {
    const counts = await count(peer);
    if (isEnough(counts)) return counts;
    assert.ok(Date.now() < end, `${peer.name}: ${what} did not come: ${JSON.stringify(counts)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/**
 * Waits until each of these peers has got so much of the other, or so much more.
 * @param {Peer[]} peers
 * @param {{audio: number, video: number}} wanted
 */
export async function watch(peers, { audio, video }) {
  const before = await Promise.all(peers.map(count));
  return await Promise.all(
    peers.map((peer, index) =>
      until(peer, `${audio} of sound and ${video} pictures`, (now) => now.audio - before[index].audio >= audio && now.video - before[index].video >= video),
    ),
  );
}

/**
 * The statistics of a kind in one direction, summed.
 *
 * @param {PeerEvent} counts
 * @param {'inbound' | 'outbound'} way
 * @param {string} kind
 */
export function sum(counts, way, kind) {
  /** @type {Record<string, number>} */
  const total = {};
  for (const one of counts[way].filter((/** @type {any} */ stream) => stream.kind === kind)) {
    for (const [name, value] of Object.entries(one)) if (typeof value === 'number') total[name] = (total[name] ?? 0) + value;
  }
  return total;
}
