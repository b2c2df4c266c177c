// Storms of glare between two applications that are written like the W3C's example: both do
// something at once, both offer, and what they say crosses on the way.

import assert from 'node:assert/strict';
import { STEP_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../peers/data-peer.js').Peer} Peer */
/** @typedef {import('../peers/negotiator.js').Act} Act */

/** @type {Act[]} */
const ACTS = ['restart', 'addAudio', 'addVideo', 'turn', 'stop', 'rollback', 'addVideo', 'addAudio'];

/** Those that renew the ICE credentials. @type {Act[]} */
const RESTARTS = ['restart', 'rollback'];

/** Answers of a stable side after which no offer of it is waited for. */
const ROUNDS_IN_VAIN = 20;

/** A description for sides that do not bundle. @param {string} sdp */
const withoutBundle = (sdp) => sdp.replace(/^a=group:BUNDLE.*\r?\n/gm, '').replace(/^a=bundle-only\r?\n/gm, '');

/** The direction of the other side's section. @type {Record<string, string>} */
const MIRRORED = { sendrecv: 'sendrecv', sendonly: 'recvonly', recvonly: 'sendonly', inactive: 'inactive' };

/** The signaling between two sides, which can hold back what is said. */
class Signaling {
  /** Messages that wait, by the side that has said them. @type {[object[], object[]]} */
  #waiting = [[], []];
  /** User name fragments in the descriptions of each side. @type {[Set<string>, Set<string>]} */
  #said = [new Set(), new Set()];
  /** Offers that were said. */
  #offers = [0, 0];
  #holds = false;
  /** Messages so far, in both directions. */
  count = 0;
  collisions = 0;
  /** @type {Error | undefined} */
  failure;
  /** The descriptions so far, for failures. @type {string[]} */
  #log = [];

  /** @param {[Peer, Peer]} sides @param {boolean} unbundled */
  constructor(sides, unbundled) {
    this.sides = sides;
    this.unbundled = unbundled;
    for (const index of [0, 1]) this.#listen(index);
  }

  /** Holds messages back until both sides have offered. */
  hold() {
    this.#holds = true;
    this.#offers = [0, 0];
  }

  /** @param {number} from */
  async #listen(from) {
    const peer = this.sides[from];
    peer.listen((event) => {
      if (event.event === 'collision') this.collisions += 1;
      if (event.event === 'state' && ['disconnected', 'failed'].includes(event.state)) {
        this.failure ??= new Error(`${peer.name} is ${event.state}`);
      }
      if (event.event === 'error') this.failure ??= new Error(`${peer.name}: ${event.message}`);
      if (event.event === 'signal') this.#take(from, event);
    });
  }

  /** @param {number} from @param {any} event */
  #take(from, { description, candidate }) {
    this.count += 1;
    if (description) this.#log.push(`${this.sides[from].name}: ${description.type}${this.#holds ? ' (held)' : ''}`);
    if (description) {
      if (description.type === 'offer') this.#offers[from] += 1;
      for (const [, ufrag] of description.sdp.matchAll(/^a=ice-ufrag:(\S+)/gm)) this.#said[from].add(ufrag);
      const sdp = this.unbundled ? withoutBundle(description.sdp) : description.sdp;
      this.#waiting[from].push({ do: 'signal', description: { type: description.type, sdp } });
    } else if (!candidate?.usernameFragment || this.#said[from].has(candidate.usernameFragment)) {
      // Those of an offer that was taken back before it was sent mean nothing to the other side.
      this.#waiting[from].push({ do: 'signal', candidate });
    }
    this.#deliver();
  }

  #deliver() {
    if (this.#holds && this.#offers.includes(0)) return;
    this.#holds = false;
    for (const from of [0, 1]) {
      for (const message of this.#waiting[from].splice(0)) this.sides[1 - from].command(message);
    }
  }

  /**
   * Returns whether messages wait for an offer of a side that is stable.
   * @param {string[]} states the signaling states of both
   */
  waitsInVain(states) {
    return this.#holds && states.some((state, index) => state === 'stable' && this.#offers[index] === 0);
  }

  /** Delivers what waits. */
  release() {
    this.#holds = false;
    this.#deliver();
  }

  /** The last descriptions, for failures. */
  said() {
    return this.#log.slice(-12).join(', ');
  }
}

let number = 0;

/**
 * Waits until nothing is said any more and both sides are stable; answers with what both say.
 * @param {Signaling} signaling
 */
async function settle(signaling) {
  const end = Date.now() + STEP_TIMEOUT;
  let inVain = 0;
  for (;;) {
    const before = signaling.count;
    number += 1;
    for (const side of signaling.sides) side.command({ do: 'status', number });
    const [one, two] = await Promise.all(signaling.sides.map((side) => side.until('status', { number })));
    if (signaling.failure) throw signaling.failure;
    const isStable = [one, two].every(({ signaling, connection }) => signaling === 'stable' && connection === 'connected');
    if (isStable && signaling.count === before) return [one, two];
    // A direction that the other side does not share may change without a negotiation.
    inVain = signaling.waitsInVain([one.signaling, two.signaling]) ? inVain + 1 : 0;
    if (inVain === ROUNDS_IN_VAIN) signaling.release();
    if (Date.now() > end) throw new Error(`not settled: ${JSON.stringify([one, two])}, ${signaling.said()}`);
  }
}

/** Both sides have the same idea of each section. @param {any} one @param {any} two */
function agree(one, two) {
  const sorted = (/** @type {any[]} */ sections) => [...sections].sort((a, b) => (a.mid < b.mid ? -1 : 1));
  const mirrored = two.sections.map((/** @type {any} */ section) => ({ ...section, direction: MIRRORED[section.direction] }));
  assert.deepEqual(sorted(one.sections), sorted(mirrored));
}

/**
 * Lets both sides collide so often. In the beginning they have nothing but a channel, which both
 * have created; it is used in each round, and never closes.
 * @param {[Peer, Peer]} sides one is polite
 * @param {{collisions: number, unbundled?: boolean, seed?: number}} options
 */
export async function storm(sides, { collisions, unbundled = false, seed = 1 }) {
  const signaling = new Signaling(sides, unbundled);
  let state = seed;
  const random = (/** @type {number} */ below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 16) % below;
  };
  await Promise.all(sides.map((side) => side.until('open')));
  let rounds = 0;
  const done = [];
  // Where there is nothing to turn or to stop, a side adds video.
  let isEmpty = true;
  const adds = (/** @type {Act} */ act) => act.startsWith('add') || (isEmpty && ['turn', 'stop'].includes(act));
  try {
    while (signaling.collisions < collisions) {
      rounds += 1;
      const acts = sides.map(() => ACTS[random(ACTS.length)]);
      // Chromium refuses an offer in which a number of a header extension means something else than
      // in the offer that it has just taken back (docs/known-failures.md).
      if (acts.every(adds)) acts[1] = acts[0];
      // Firefox refuses an offer that restarts ICE once it has taken back one that does not
      // (docs/known-failures.md).
      if (sides[0].name === 'firefox' && RESTARTS.includes(acts[1]) && !RESTARTS.includes(acts[0])) acts[0] = 'restart';
      done.push(acts.join('+'));
      // Every fourth round is left to chance.
      if (rounds % 4 !== 0 && !acts.includes('rollback')) signaling.hold();
      sides.forEach((side, index) => side.command({ do: 'act', what: acts[index] }));
      const [one, two] = await settle(signaling);
      agree(one, two);
      isEmpty = [one, two].some(({ sections }) => sections.length === 0);
      const text = `round ${rounds}`;
      for (const side of sides) side.command({ do: 'say', text });
      await Promise.all(sides.map((side) => side.until('heard', { text })));
      assert.ok(rounds < 4 * collisions + 20, `${signaling.collisions} collisions in ${rounds} rounds`);
    }
  } catch (error) {
    throw new Error(`round ${rounds} (${done.slice(-3).join(', ')}): ${error instanceof Error ? error.stack : error}`);
  }
  return { rounds, collisions: signaling.collisions };
}
