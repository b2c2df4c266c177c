// Driving probes in several nodes of a lab, and reading a NAT's behaviour from what arrives.

import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { STEP_TIMEOUT } from './timeouts.js';
import { PUBLIC_HOST } from './figures.js';
import { stop } from './shell.js';

/** Milliseconds to wait for what must not come. */
export const FILTERED = 150;

/**
 * Milliseconds to wait for a datagram.
 * @param {boolean} comes whether it should come
 */
const waitFor = (comes) => (comes ? STEP_TIMEOUT : FILTERED);

const { address: A, second: B } = PUBLIC_HOST;

/** One probe process in one node. */
export class Probe {
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();
  #count = 0;
  #child;

  /** @param {import('./lab.js').Lab} lab @param {string} node */
  constructor(lab, node) {
    const script = fileURLToPath(new URL('probe.js', import.meta.url));
    const child = lab.spawn(node, process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    if (!child.stdout) throw new Error('a probe without output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { id, answer, error } = JSON.parse(line);
      const waiting = this.#waiting.get(id);
      if (error) waiting?.reject(new Error(error));
      else waiting?.resolve(answer);
    });
    child.once('exit', () => this.#waiting.forEach(({ reject }) => reject(new Error(`the probe in ${node} ended`))));
  }

  /** @param {string} command @param {object} [rest] @returns {Promise<any>} */
  ask(command, rest = {}) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, command, ...rest })}\n`);
    });
  }

  async end() {
    await stop(this.#child, { signal: 'SIGKILL' });
  }
}

/** Opens the four sockets of the outside: two addresses, two ports each. @param {Probe} outside */
export async function openOutside(outside) {
  for (const [host, address] of [['A', A], ['B', B]]) {
    for (const port of [1, 2]) await outside.ask('open', { name: `${host}${port}`, address, port: 3477 + port });
  }
}

/** @type {Record<string, string>} */
const TARGET = { A1: `${A}:3478`, A2: `${A}:3479`, B1: `${B}:3478`, B2: `${B}:3479` };

let serial = 0;

/**
 * Sends from inside to one of the outside's sockets; answers with the source that it saw, or null.
 * @param {Probe} inside
 * @param {Probe} outside
 * @param {string} socket
 * @param {string} to
 * @param {boolean} [comes] whether it should
 */
async function seenAs(inside, outside, socket, to, comes = true) {
  const text = `seen ${++serial}`;
  await inside.ask('send', { name: socket, to: TARGET[to], text });
  return await outside.ask('receive', { name: to, text, wait: waitFor(comes) });
}

/**
 * Returns whether a datagram from one of the outside's sockets comes in at an outer address.
 * @param {Probe} inside
 * @param {Probe} outside
 * @param {string} socket
 * @param {string} from
 * @param {string} to
 * @param {boolean} comes whether it should
 */
async function comesIn(inside, outside, socket, from, to, comes) {
  const text = `in ${++serial}`;
  await outside.ask('send', { name: from, to, text });
  return (await inside.ask('receive', { name: socket, text, wait: waitFor(comes) })) !== null;
}

/**
 * Mapping, filtering and port preservation of the NAT between two probes.
 * @param {Probe} inside @param {Probe} outside
 * @param {{mapping: string, filtering: string}} expected how long to wait depends on it, and
 *   nothing else
 */
export async function behaviour(inside, outside, expected) {
  const mapper = `mapper ${++serial}`;
  const port = await inside.ask('open', { name: mapper });
  const a1 = await seenAs(inside, outside, mapper, 'A1', expected.mapping !== 'blocked');
  if (a1 === null) return { mapping: 'blocked', filtering: 'blocked', preservesPorts: false };
  const a2 = await seenAs(inside, outside, mapper, 'A2');
  const b1 = await seenAs(inside, outside, mapper, 'B1');
  const mapping =
    a1 === a2 && a2 === b1
      ? 'endpoint-independent'
      : a1 === a2
        ? 'address-dependent'
        : 'address-and-port-dependent';

  // A socket that has only ever spoken to A1.
  const filter = `filter ${++serial}`;
  await inside.ask('open', { name: filter });
  const outer = await seenAs(inside, outside, filter, 'A1');
  if (!(await comesIn(inside, outside, filter, 'A1', outer, true))) throw new Error('a NAT that lets no answer in');
  const fromAnywhere = await comesIn(inside, outside, filter, 'B2', outer, expected.filtering === 'endpoint-independent');
  const fromItsHost = await comesIn(inside, outside, filter, 'A2', outer, expected.filtering !== 'address-and-port-dependent');
  const filtering = fromAnywhere
    ? 'endpoint-independent'
    : fromItsHost
      ? 'address-dependent'
      : 'address-and-port-dependent';
  return { mapping, filtering, preservesPorts: a1.endsWith(`:${port}`) };
}

/**
 * Returns how one inner socket sees another that sends to its outer address, or null where
 * hairpins are not carried.
 * @param {Probe} inside @param {Probe} outside @param {boolean} carried whether they should be
 */
export async function hairpinSource(inside, outside, carried) {
  const [one, other] = [`one ${++serial}`, `other ${++serial}`];
  await inside.ask('open', { name: one });
  await inside.ask('open', { name: other });
  const outerOne = await seenAs(inside, outside, one, 'A1');
  const outerOther = await seenAs(inside, outside, other, 'A1');
  const text = `hairpin ${++serial}`;
  await inside.ask('send', { name: other, to: outerOne, text });
  const source = await inside.ask('receive', { name: one, text, wait: waitFor(carried) });
  return { source, outerOther };
}

/**
 * Two peers learn their outer addresses, then both send to the other's until both have heard
 * something; each answers at the address that it was heard from, as ICE does with peer-reflexive
 * candidates.
 * @param {Probe} p1
 * @param {Probe} p2
 * @param {Probe} outside
 * @param {boolean} direct whether they should meet
 */
export async function meet(p1, p2, outside, direct) {
  const socket = `peer ${++serial}`;
  await Promise.all([p1, p2].map((peer) => peer.ask('open', { name: socket })));
  const [outer1, outer2] = await Promise.all([p1, p2].map((peer) => seenAs(peer, outside, socket, 'A1')));
  if (outer1 === null || outer2 === null) return false;
  const text = `punch ${serial}`;
  let [to1, to2] = [outer1, outer2];
  let [heard1, heard2] = [null, null];
  const end = Date.now() + STEP_TIMEOUT;
  for (let round = 0; (round < 4 || (direct && Date.now() < end)) && !(heard1 && heard2); round++) {
    await Promise.all([
      p1.ask('send', { name: socket, to: to2, text }),
      p2.ask('send', { name: socket, to: to1, text }),
    ]);
    [heard1, heard2] = await Promise.all([p1, p2].map((peer) => peer.ask('receive', { name: socket, text, wait: 60 })));
    to2 = heard1 ?? to2;
    to1 = heard2 ?? to1;
  }
  return heard1 !== null && heard2 !== null;
}
