// What two peers go through together. Who does something first is the first of the two.

import assert from 'node:assert/strict';
import { STEP_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../peers/data-peer.js').Peer} Peer */
/** @typedef {import('../peers/data-peer.js').PeerEvent} PeerEvent */
/** @typedef {[Peer, Peer]} Pair the offerer, the answerer */

/** Bytes of the messages of a transfer. */
const MESSAGE = 1 << 16;
/** Milliseconds more than anything else that a transfer may take for each of its megabytes. */
const TIMEOUT_PER_MB = 5000;

/**
 * Milliseconds after which a word that may be lost is said again, and in which what is under way
 * arrives.
 */
const AGAIN = 100;
const STRAGGLERS = 200;

let count = 0;

/** A label that no other channel has. @param {string} what */
const labelOf = (what) => `${what} ${++count}`;

/**
 * A `carry` for `connect` when libdatachannel offers: the answerer learns the offerer's addresses
 * from its checks. Otherwise it checks and begins DTLS before the answer is there, and
 * libdatachannel refuses a certificate whose fingerprint it has not stored yet
 * (docs/known-failures.md).
 * @param {string} sdp
 * @param {'offerer' | 'answerer'} of
 */
export function withoutOffererCandidates(sdp, of) {
  return of === 'offerer' ? sdp.replace(/^a=(candidate:.*|end-of-candidates)\r?\n/gm, '') : sdp;
}

/**
 * Offer and answer, with all candidates; then there is a first channel.
 * @param {Pair} pair
 * @param {(sdp: string, of: 'offerer' | 'answerer') => string | Promise<string>} [carry] what is
 *   made of a description on its way
 */
export async function connect([offerer, answerer], carry = (sdp) => sdp) {
  const label = labelOf('first');
  offerer.command({ do: 'open', label });
  offerer.command({ do: 'offer' });
  const offer = await offerer.until('description');
  answerer.command({ do: 'setRemote', type: offer.type, sdp: await carry(offer.sdp, 'offerer') });
  const answer = await answerer.until('description');
  offerer.command({ do: 'setRemote', type: answer.type, sdp: await carry(answer.sdp, 'answerer') });
  const both = [offerer, answerer];
  await Promise.all(both.map((peer) => peer.until('state', { state: 'connected' })));
  await Promise.all(both.map((peer) => peer.until('open', { label })));
  return { label, offer: offer.sdp, answer: answer.sdp };
}

/**
 * Opens a channel; answers with its label, and what both say of it.
 * @param {Pair} pair
 * @param {string} what
 * @param {object} [init] as in the W3C's `RTCDataChannelInit`
 */
export async function open([opener, other], what, init = {}) {
  const label = labelOf(what);
  opener.command({ do: 'open', label, ...init });
  const opened = await Promise.all([opener, other].map((peer) => peer.until('open', { label })));
  return { label, opened };
}

/** Either side may close it; both see its end. @param {Pair} pair @param {string} label */
export async function close([closer, other], label) {
  closer.command({ do: 'close', label });
  const closed = await Promise.all([closer, other].map((peer) => peer.until('closed', { label })));
  for (const { error } of closed) assert.equal(error, null);
}

/**
 * Messages from one to the other on a channel on which nothing was said in this direction yet.
 * @param {Pair} pair @param {string} label @param {{count: number, size: number}} messages
 * @returns {Promise<{sent: PeerEvent, received: PeerEvent}>} every byte is the same
 */
export async function send([sender, receiver], label, { count, size }) {
  const timeout = STEP_TIMEOUT + (TIMEOUT_PER_MB * count * size) / 1e6;
  receiver.command({ do: 'expect', label, messages: count });
  sender.command({ do: 'send', label, count, size });
  const [sent, received] = await Promise.all([sender.until('sent', { label }, timeout), receiver.until('received', { label }, timeout)]);
  assert.equal(sent.messages, count);
  assert.equal(sent.bytes, count * size);
  for (const key of ['messages', 'bytes', 'digest']) assert.equal(received[key], sent[key], key);
  return { sent, received };
}

/**
 * So many bytes on one channel, each way at once unless told; answers with the megabits a second
 * each way.
 * @param {Pair} pair
 * @param {number} bytes
 * @param {{back?: boolean}} [options] whether the second sends, too
 */
export async function transfer(pair, bytes, { back = true } = {}) {
  const { label } = await open(pair, 'transfer');
  const messages = { count: Math.ceil(bytes / MESSAGE), size: MESSAGE };
  const start = performance.now();
  const ways = back ? [pair, reversed(pair)] : [pair];
  const all = await Promise.all(ways.map((way) => send(way, label, messages)));
  const seconds = (performance.now() - start) / 1000;
  for (const { received } of all) assert.equal(received.ordered, true);
  await close(pair, label);
  return (bytes * 8) / 1e6 / seconds;
}

/**
 * The megabits a second from the first to the second, without the digests, which cost a page more
 * than what is to be measured.
 * @param {Pair} pair @param {number} bytes
 */
export async function speed(pair, bytes) {
  const { label } = await open(pair, 'speed', { protocol: 'counted' });
  const count = Math.ceil(bytes / MESSAGE);
  const start = performance.now();
  const { received } = await send(pair, label, { count, size: MESSAGE });
  const seconds = (performance.now() - start) / 1000;
  assert.equal(received.ordered, true);
  await close(pair, label);
  return (bytes * 8) / 1e6 / seconds;
}

/** Every kind of channel, by the side that opens it. */
export const KINDS = /** @type {const} */ ([
  { ordered: true },
  { ordered: false },
  { ordered: true, maxRetransmits: 0 },
  { ordered: false, maxRetransmits: 3 },
  { ordered: true, maxPacketLifeTime: 30_000 },
  { ordered: false, maxPacketLifeTime: 30_000 },
]);

/**
 * A channel of every kind: both sides know its kind, and on a path that loses nothing everything
 * arrives, whatever its kind.
 * @param {Pair} pair
 * @param {{knows?: readonly string[]}} [options] which attributes the other side can tell
 */
export async function everyKind(pair, { knows = ['ordered', 'maxRetransmits', 'maxPacketLifeTime', 'protocol'] } = {}) {
  for (const kind of KINDS) {
    const init = { ...kind, protocol: 'example.columba' };
    const { label, opened } = await open(pair, 'kind', init);
    const wanted = { maxRetransmits: null, maxPacketLifeTime: null, ...init };
    for (const key of knows) {
      assert.equal(opened[1][key], /** @type {any} */ (wanted)[key], `${key} of ${JSON.stringify(kind)}`);
    }
    assert.equal(opened[0].id, opened[1].id);
    // No more at once than a socket of a receiver that is slow to read can hold: what it cannot
    // is lost.
    const messages = { count: 50, size: 1000 };
    const both = await Promise.all([send(pair, label, messages), send(reversed(pair), label, messages)]);
    for (const { received } of both) if (kind.ordered) assert.equal(received.ordered, true);
    await close(pair, label);
  }
}

/**
 * A channel of every kind on a path that loses: what comes was sent, once, and in order where
 * that was asked for; and all of it, unless each message is tried only once.
 * @param {Pair} pair @param {{count: number, size: number}} messages
 */
export async function everyKindWithLosses(pair, messages) {
  for (const kind of [{ ordered: true }, ...KINDS]) {
    const { label } = await open(pair, 'kind', kind);
    const [sender, receiver] = pair;
    sender.command({ do: 'send', label, ...messages });
    const sent = await sender.until('sent', { label });
    // What is said here is behind everything, and comes for certain, because it is said until it
    // is heard.
    const saying = setInterval(() => sender.command({ do: 'send', label, text: 'last' }), AGAIN);
    await receiver.until('message', { label, text: 'last' }).finally(() => clearInterval(saying));
    const isTriedOnce = 'maxRetransmits' in kind && kind.maxRetransmits === 0;
    // Out of order, a message may come after the words: the last try of one waits for a timer
    // that has been doubled before.
    if (!isTriedOnce) {
      receiver.command({ do: 'expect', label, messages: sent.messages });
      await receiver.until('received', { label });
    }
    // Copies would come about now.
    await new Promise((resolve) => setTimeout(resolve, STRAGGLERS));
    receiver.command({ do: 'expect', label, messages: 0 });
    const { each, ordered } = await receiver.until('received', { label });
    assert.equal(new Set(each).size, each.length, `copies on ${JSON.stringify(kind)}`);
    for (const message of each) assert.ok(sent.each.includes(message), `something else on ${JSON.stringify(kind)}`);
    if (kind.ordered) assert.ok(ordered, `disorder on ${JSON.stringify(kind)}`);
    const least = isTriedOnce ? sent.each.length / 2 : sent.each.length;
    assert.ok(each.length >= least, `${each.length} of ${sent.each.length} on ${JSON.stringify(kind)}`);
    await close(pair, label);
  }
}

/** A channel that both open by its number. @param {Pair} pair */
export async function negotiated(pair) {
  const label = labelOf('negotiated');
  for (const peer of pair) peer.command({ do: 'open', label, id: 400, ordered: false });
  const opened = await Promise.all(pair.map((peer) => peer.until('open', { label })));
  for (const { id } of opened) assert.equal(id, 400);
  await Promise.all([send(pair, label, { count: 20, size: 5000 }), send(reversed(pair), label, { count: 20, size: 5000 })]);
  await close(pair, label);
}

/**
 * Empty messages, text, and every size up to the longest.
 * @param {Pair} pair
 * @param {number} longest
 */
export async function everySize(pair, longest) {
  const sizes = [0, 1, 2, 3, 1150, 1200, 1300, 16_384, 65_535, 65_536, 262_144, 1_048_576, 4_194_304].filter((size) => size < longest);
  for (const size of [...sizes, longest]) {
    const { label } = await open(pair, 'size');
    await Promise.all([send(pair, label, { count: 3, size }), send(reversed(pair), label, { count: 3, size })]);
    await close(pair, label);
  }
  const { label } = await open(pair, 'text');
  for (const text of ['', 'hello', 'ἓν οἶδα 🐦', 'x'.repeat(60_000)]) {
    await Promise.all(
      [pair, reversed(pair)].map(async ([speaker, listener]) => {
        speaker.command({ do: 'send', label, text });
        assert.equal((await listener.until('message', { label })).text, text);
      }),
    );
  }
  await close(pair, label);
}

/**
 * A message longer than the other side takes is refused where it is sent, and the channel goes on.
 * @param {Pair} pair the first refuses
 * @param {number} limit what the other side says in its description
 */
export async function tooLong(pair, limit) {
  const { label } = await open(pair, 'too long');
  pair[0].command({ do: 'send', label, count: 1, size: limit + 1 });
  await pair[0].until('unsent', { label });
  pair[0].command({ do: 'send', label, text: 'still here' });
  await pair[1].until('message', { label, text: 'still here' });
  await close(pair, label);
}

/** The length of the longest message according to a description. @param {string} sdp */
export function maxMessageSize(sdp) {
  return Number(/^a=max-message-size:(\d+)/m.exec(sdp)?.[1]);
}

/**
 * An urgent word comes before most of what was to be sent before it: `priority` is ours to give.
 * @param {Pair} pair ours first
 */
export async function urgentFirst(pair) {
  const [bulk, urgent] = [await open(pair, 'bulk', { priority: 'very-low' }), await open(pair, 'urgent', { priority: 'high' })];
  const [sender, receiver] = pair;
  sender.command({ do: 'send', label: urgent.label, text: 'ready' });
  const { before: start } = await receiver.until('message', { label: urgent.label });
  const speech = send(pair, bulk.label, { count: 150, size: MESSAGE });
  sender.command({ do: 'send', label: urgent.label, text: 'now' });
  const [{ before }, { received }] = await Promise.all([receiver.until('message', { label: urgent.label }), speech]);
  await Promise.all([bulk, urgent].map(({ label }) => close(pair, label)));
  return { before: before - start, bytes: received.bytes };
}

/**
 * The first side opens a channel, the other closes it, and the number can be used again.
 * @param {Pair} pair
 */
export async function idsAreUsedAgain(pair) {
  /** @type {Set<number>} */
  const ids = new Set();
  for (let round = 0; round < 6; round++) {
    const { label, opened } = await open(pair, 'again');
    await send(pair, label, { count: 1, size: 100 });
    ids.add(opened[0].id);
    await close(round % 2 === 0 ? pair : reversed(pair), label);
  }
  return ids;
}

/**
 * A thousand channels at once, half of them by each side; something is said on each; each side
 * closes half of what each opened.
 * @param {Pair} pair @param {number} [many]
 */
export async function manyChannels(pair, many = 1000) {
  const labels = Array.from({ length: many }, () => labelOf('many'));
  labels.forEach((label, at) => pair[at % 2].command({ do: 'open', label }));
  await Promise.all(labels.flatMap((label) => pair.map((peer) => peer.until('open', { label }))));
  const sides = labels.map((label, at) => ({ label, ways: at % 2 === 0 ? pair : reversed(pair) }));
  await Promise.all(sides.map(({ label, ways }) => send(ways, label, { count: 1, size: 100 })));
  await Promise.all(sides.map(({ label, ways }, at) => close(at % 4 < 2 ? ways : reversed(ways), label)));
}

/**
 * Opens many channels by a page; the page closes the first of them in one go, and the other side
 * the rest at the same time.
 * @param {Pair} pair the page second @param {{byOther: number, byPage: number}} closings
 */
export async function closeMany([other, page], { byOther, byPage }) {
  const labels = Array.from({ length: byOther + byPage }, () => labelOf('many'));
  for (const label of labels) page.command({ do: 'open', label });
  const told = (/** @type {string} */ event) => Promise.all(labels.flatMap((label) => [other, page].map((peer) => peer.until(event, { label }))));
  await told('open');
  page.command({ do: 'closeAll', labels: labels.slice(0, byPage) });
  for (const label of labels.slice(byPage)) other.command({ do: 'close', label });
  await told('closed');
}

/**
 * One side closes the whole connection: the other sees the end of its channels.
 * @param {Pair} pair
 * @param {string} label
 */
export async function end([ender, other], label) {
  ender.command({ do: 'end' });
  await other.until('closed', { label });
}

/** @param {Pair} pair @returns {Pair} */
export function reversed([one, other]) {
  return [other, one];
}
