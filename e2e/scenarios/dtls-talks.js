// A handshake of our DTLS with another implementation's, a message there and back, and the close,
// over loopback or over a relay that loses, doubles and reorders.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { columba, programPeer } from '../peers/data-peer.js';
import { connect, reversed } from './data-channels.js';
import { certificate, libraryProgram, ownProgram } from '../peers/dtls/build.js';

/** @typedef {import('../peers/dtls/build.js').Key} Key */
/** @typedef {import('../peers/dtls/build.js').Library} Library */

/**
 * @typedef {object} Talk
 * @property {Library} library
 * @property {'client' | 'server'} role ours
 * @property {Key} [own] the kind of our certificate; P-256 unless told
 * @property {Key} [other] the kind of theirs
 * @property {number} [mtu] bytes of the largest datagram of either side
 * @property {boolean} [harsh] over a path that loses 30 %, doubles 10 % and reorders 20 %
 * @property {boolean} [withoutEms] they have no Extended Master Secret
 * @property {string} [version] the only one of ours
 * @property {string} [group] the only one of ours
 * @property {string} [suite] the only one of ours
 * @property {boolean} [otherCloses]
 */

/** Milliseconds that a talk may take over a path that loses; wolfSSL waits for seconds. */
const TALK_TIMEOUT = 90_000;

/** Of each datagram, in parts of a hundred. */
const LOSS = 30;
const DOUBLING = 10;
const REORDERING = 20;
/** Milliseconds by which a datagram comes late. */
const LATE = 30;

/**
 * Talks, and returns what our peer says of it.
 * @param {Talk} talk @param {number} seed of what the path does
 * @returns {Promise<import('../peers/data-peer.js').PeerEvent>}
 */
export async function talk({ library, role, own = 'p256', other = 'p256', mtu, harsh = false, withoutEms, otherCloses, ...rest }, seed) {
  const port = await freePort();
  const relay = harsh ? await Relay.open(port, seed) : undefined;
  const dialled = relay?.port ?? port;
  const ours = {
    do: 'connect',
    role,
    port: role === 'client' ? dialled : port,
    pem: certificate(own, 'own'),
    other: certificate(other, 'other'),
    mtu,
    otherCloses,
    ...rest,
  };
  const theirs = [
    role === 'client' ? 'server' : 'client',
    `${role === 'client' ? port : dialled}`,
    certificate(other, 'other'),
    ...(mtu ? [`mtu=${mtu}`] : []),
    ...(withoutEms ? ['ems=off'] : []),
  ];
  const start = {
    ours: () => programPeer('columba', [ownProgram(), JSON.stringify(ours)]),
    theirs: () => programPeer(library, [libraryProgram(library), ...theirs]),
  };
  /** @type {import('../peers/data-peer.js').Peer[]} */
  const peers = [];
  try {
    const [first, second] = role === 'server' ? [start.ours, start.theirs] : [start.theirs, start.ours];
    peers.push(first());
    await peers[0].until('ready');
    peers.push(second());
    const [we, they] = role === 'server' ? peers : [peers[1], peers[0]];
    const done = await we.until('done', {}, TALK_TIMEOUT).catch((error) => {
      throw new Error(`${error.message}\n${they.name} reported ${JSON.stringify(they.reported)}`);
    });
    await they.until('connected');
    // Over a path that loses, the notification may be lost.
    if (!otherCloses && !harsh) await they.until('closed');
    return done;
  } finally {
    await Promise.all(peers.map((peer) => peer.end()));
    relay?.close();
  }
}

/**
 * Connects our whole peer with another one; a text goes each way on a data channel.
 * @param {() => import('../peers/data-peer.js').Peer} rival
 * @param {'offer' | 'answer'} role ours
 */
export async function talkOnChannel(rival, role) {
  const both = [columba(), rival()];
  try {
    /** @type {import('./data-channels.js').Pair} */
    const pair = role === 'offer' ? [both[0], both[1]] : [both[1], both[0]];
    const { label } = await connect(pair);
    for (const [sender, receiver] of [pair, reversed(pair)]) {
      sender.command({ do: 'send', label, text: `from ${sender.name}` });
      await receiver.until('message', { label, text: `from ${sender.name}` });
    }
    both[0].command({ do: 'stats' });
    return await both[0].until('stats');
  } finally {
    await Promise.all(both.map((peer) => peer.end()));
  }
}

/** A relay in front of a port, whose faults are the same for each seed. */
class Relay {
  /** @type {number | undefined} */ #client;

  /**
   * @param {import('node:dgram').Socket} front @param {import('node:dgram').Socket} back
   * @param {number} to @param {number} seed
   */
  constructor(front, back, to, seed) {
    this.port = front.address().port;
    this.front = front;
    this.back = back;
    this.state = seed;
    front.on('message', (message, { port }) => {
      this.#client = port;
      this.#pass(message, back, () => to);
    });
    back.on('message', (message) => this.#pass(message, front, () => this.#client));
  }

  /** @param {number} to @param {number} seed */
  static async open(to, seed) {
    return new Relay(await bound(), await bound(), to, seed);
  }

  /**
   * @param {Buffer} message @param {import('node:dgram').Socket} from
   * @param {() => number | undefined} to
   */
  #pass(message, from, to) {
    if (this.#chance(LOSS)) return;
    for (let copies = this.#chance(DOUBLING) ? 2 : 1; copies > 0; copies--) {
      const send = () => {
        const port = to();
        if (port && !this.isClosed) from.send(message, port, '127.0.0.1', () => {});
      };
      if (this.#chance(REORDERING)) setTimeout(send, LATE);
      else send();
    }
  }

  /** @param {number} percent */
  #chance(percent) {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) | 0;
    return ((this.state >>> 8) / 2 ** 24) * 100 < percent;
  }

  close() {
    this.isClosed = true;
    this.front.close();
    this.back.close();
  }
}

async function bound() {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.on('error', () => {}); // an end that is gone
  return socket;
}

async function freePort() {
  const socket = await bound();
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
