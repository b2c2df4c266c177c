// A path between two peers that delays, loses and limits what it carries, in a process of its
// own; it needs no privilege. A description that it is shown comes back with the path's end as
// its only candidate, so that nothing goes another way. Marks of ECN do not survive it.

import { fork } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { stop } from './shell.js';

/**
 * @typedef {object} Kind
 * @property {number} delay milliseconds each way
 * @property {number} loss of each datagram, 0 to 1
 * @property {number} megabits a second each way
 */

/** @typedef {'offerer' | 'answerer'} Side */
/** @typedef {{address: string, port: number}} Place */

/** Bytes that a datagram may have: an Ethernet's, without the headers of IP and UDP. */
const LARGEST = 1472;
/** Milliseconds that a datagram may wait before it is dropped. */
const LONGEST_QUEUE = 50;
/** Bytes that the kernel may hold until this process looks. */
const KERNEL_BUFFER = 4 << 20;
/** Losses are the same in every run. */
const SEED = 1;

const SELF = fileURLToPath(import.meta.url);
/**
 * A candidate whose address is no name of mDNS's: what is before the address, the address, the
 * port, the rest.
 */
const CANDIDATE = /^(a=candidate:\S+ 1 udp \d+) (\d+\.\d+\.\d+\.\d+) (\d+)( typ host.*)$/im;

export class LossyPath {
  /** @type {Record<Side, Place> | undefined} */
  #ends;
  #child;
  #kind;

  /** @param {Kind} kind */
  constructor(kind) {
    this.#kind = kind;
    this.#child = fork(SELF, { stdio: 'inherit' });
  }

  /** Gives a description for the other side. @param {string} sdp @param {Side} side whose it is */
  async carry(sdp, side) {
    const [, head, address, port, tail] = CANDIDATE.exec(sdp) ?? [];
    if (!address) throw new Error(`no candidate for a path in ${sdp}`);
    if (!this.#ends) {
      this.#child.send({ kind: this.#kind, address });
      [this.#ends] = await once(this.#child, 'message');
    }
    this.#child.send({ side, place: { address, port: Number(port) } });
    const own = /** @type {Record<Side, Place>} */ (this.#ends)[side];
    const rest = sdp.split(/\r?\n/).filter((line) => line && !/^a=(candidate|end-of-candidates)/.test(line));
    return `${[...rest, `${head} ${own.address} ${own.port}${tail}`, 'a=end-of-candidates'].join('\r\n')}\r\n`;
  }

  async close() {
    await stop(this.#child);
  }
}

/** The process: between two sockets, each of which stands for one peer to the other. */
class Between {
  /** Where the peers are. @type {Partial<Record<Side, Place>>} */
  #places = {};
  #state = SEED;
  /** @type {Record<Side, {queue: {at: number, message: Buffer}[], free: number}>} to whom */
  #ways = { offerer: { queue: [], free: 0 }, answerer: { queue: [], free: 0 } };

  /** @param {Kind} kind @param {string} address */
  async open({ delay, loss, megabits }, address) {
    this.delay = delay;
    this.loss = loss;
    this.bytesPerMs = (megabits * 1000) / 8;
    this.sockets = { offerer: await bind(address), answerer: await bind(address) };
    // What comes to the offerer's likeness is from the answerer.
    this.sockets.offerer.on('message', (message) => this.#take('offerer', message));
    this.sockets.answerer.on('message', (message) => this.#take('answerer', message));
    setInterval(() => this.#give(), 1);
    return { offerer: this.sockets.offerer.address(), answerer: this.sockets.answerer.address() };
  }

  /** @param {Side} side @param {Place} place */
  place(side, place) {
    this.#places[side] = place;
  }

  /** @param {Side} to @param {Buffer} message */
  #take(to, message) {
    const { delay = 0, loss = 0, bytesPerMs = 1 } = this;
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
    const way = this.#ways[to];
    const now = performance.now();
    const start = Math.max(now, way.free);
    if (message.length > LARGEST || start - now > LONGEST_QUEUE) return;
    way.free = start + message.length / bytesPerMs;
    if ((this.#state >>> 8) / 2 ** 24 >= loss) way.queue.push({ at: way.free + delay, message });
  }

  #give() {
    const now = performance.now();
    for (const to of /** @type {const} */ (['offerer', 'answerer'])) {
      const place = this.#places[to];
      const { queue } = this.#ways[to];
      const due = queue.findIndex(({ at }) => at > now);
      for (const { message } of queue.splice(0, due < 0 ? queue.length : due)) {
        // It seems to come from the other side.
        const from = to === 'offerer' ? 'answerer' : 'offerer';
        if (place) this.sockets?.[from].send(message, place.port, place.address, () => {});
      }
    }
  }
}

/** @param {string} address */
async function bind(address) {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  socket.setRecvBufferSize(KERNEL_BUFFER);
  return socket;
}

if (process.argv[1] === SELF && process.send) {
  const between = new Between();
  process.on('disconnect', () => process.exit());
  process.on('message', async (/** @type {any} */ { kind, address, side, place }) => {
    if (kind) process.send?.(await between.open(kind, address));
    else between.place(side, place);
  });
}
