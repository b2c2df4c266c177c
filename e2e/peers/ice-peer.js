// ICE agents alone, each a process of its own here or in a node of the laboratory: ours (`ice/`),
// Pion's and libnice's. All take the same commands and say the same of themselves; what one finds
// is handed to the other at once.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stop } from '../lab/shell.js';
import { program } from '../lab/server.js';
import { STEP_TIMEOUT } from '../lab/timeouts.js';
import { pionProgram } from './pion/build.js';

/** @typedef {'ours' | 'pion' | 'libnice'} Maker */
/** @typedef {'controlling' | 'controlled'} Role */

/**
 * @typedef {object} Server a STUN or TURN server
 * @property {'stun' | 'turn'} kind
 * @property {string} host
 * @property {number} port
 * @property {'udp' | 'tcp' | 'tls'} [transport] libnice does not know the last
 * @property {string} [username]
 * @property {string} [credential]
 */

/**
 * @typedef {object} Start what an agent is told in the beginning
 * @property {Role} role
 * @property {string[]} addresses the host's addresses to use
 * @property {boolean} [lite]
 * @property {Server[]} [servers]
 * @property {string} [authority] whose certificates to trust, a PEM file
 * @property {boolean} [relayOnly]
 * @property {boolean} [tcp] whether a rival uses TCP candidates, too; ours always does
 * @property {boolean} [simultaneous] whether ours has those that open connections from both sides
 *   at once, too
 * @property {number} [disconnectedAfter] milliseconds of silence; libnice knows only its own
 * @property {number} [failedAfter] milliseconds of being disconnected; libnice knows only its own
 */

/** @typedef {{lab: import('../lab/lab.js').Lab, node: string}} Place */
/**
 * @typedef {{event: 'pair', local: string, remote: string, from: string, to: string, protocol:
 *   string}} Pair
 */

const LIBNICE = fileURLToPath(new URL('libnice/peer.py', import.meta.url));

/** The command of each agent. @type {Record<Maker, () => [string, ...string[]]>} */
export const PROGRAMS = {
  ours: () => [join(dirname(program()), 'columba-e2e-ice')],
  pion: () => [pionProgram('ice')],
  // Debian's Python, for which Debian has built the bindings.
  libnice: () => ['/usr/bin/python3', LIBNICE],
};

export class IcePeer {
  /** Everything that it has said. @type {any[]} */
  events = [];
  #errors = '';
  #ended = false;
  /** Called with each thing that it says. @type {(line: any) => void} */
  #forward = () => {};

  /** @param {Maker} maker @param {Start} start @param {Place} [at] */
  constructor(maker, start, at) {
    this.maker = maker;
    this.lite = start.lite ?? false;
    const [path, ...args] = PROGRAMS[maker]();
    /** @type {import('node:child_process').SpawnOptions} */
    const options = { stdio: ['pipe', 'pipe', 'pipe'], env: { RUST_LOG: 'debug', PION_LOG_DEBUG: 'all', ...process.env } };
    // Ours is told, and must not find it elsewhere.
    if (maker !== 'ours' && start.authority) options.env = { ...options.env, SSL_CERT_FILE: start.authority };
    this.child = at ? at.lab.spawn(at.node, path, args, options) : spawn(path, args, options);
    const { stdin, stdout, stderr } = this.child;
    if (!stdin || !stdout) throw new Error('a peer without input and output');
    stdin.on('error', () => {}); // one that was killed takes no more commands
    createInterface({ input: stdout }).on('line', (line) => this.#take(JSON.parse(line)));
    stderr?.on('data', (text) => (this.#errors = (this.#errors + text).slice(-ENOUGH_LOG)));
    this.child.once('exit', () => (this.#ended = true));
    this.command({ do: 'start', ...start });
  }

  /** @param {any} line */
  #take(line) {
    this.events.push(line);
    this.#forward(line);
  }

  /** Gives it a command. @param {any} command */
  command(command) {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** Tells the other side whatever this one finds, from the beginning on. @param {IcePeer} other */
  introduceTo(other) {
    this.#forward = ({ event, line, ufrag, pwd, lite }) => {
      // All full agents here know renomination, the lite ones do not need it.
      if (event === 'credentials') other.command({ do: 'remote', ufrag, pwd, lite, renomination: !lite });
      if (event === 'candidate') other.command({ do: 'candidate', line });
      if (event === 'gathered') other.command({ do: 'end' });
    };
    this.events.forEach(this.#forward);
  }

  /**
   * Waits until it has said this, after the first `since` things; answers with it.
   * @param {string} what for the report of a failure
   * @param {(line: any) => boolean} wanted
   * @param {{since?: number, timeout?: number}} [options]
   */
  async until(what, wanted, { since = 0, timeout = STEP_TIMEOUT } = {}) {
    const end = Date.now() + timeout;
    for (;;) {
      const found = this.events.slice(since).find(wanted);
      if (found) return found;
      if (Date.now() > end || this.#ended) throw new Error(`${this.maker} ${this.#ended ? 'ended' : 'did not come'} before ${what}: ${this}`);
      await sleep(10);
    }
  }

  /**
   * Waits for one of these states.
   * @param {string[]} states
   * @param {{since?: number, timeout?: number}} [options]
   */
  async isIn(states, options) {
    await this.until(states.join(' or '), ({ event, state }) => event === 'state' && states.includes(state), options);
  }

  /** The states that it has gone through. */
  get states() {
    return this.events.filter(({ event }) => event === 'state').map(({ state }) => /** @type {string} */ (state));
  }

  /** The last selected pair. @returns {Pair} */
  get pair() {
    const pair = this.events.findLast(({ event }) => event === 'pair');
    assert.ok(pair, `${this.maker} has no pair: ${this}`);
    return pair;
  }

  /** Waits until it has received data. @param {string} text */
  async receives(text) {
    await this.until(text, (line) => line.event === 'data' && line.text === text);
  }

  /** Ends it as a power cut does. */
  async kill() {
    await stop(this.child, { signal: 'SIGKILL' });
  }

  toString() {
    return `${JSON.stringify(this.events)}\n${this.#errors}`;
  }
}

/** Characters of the end of a log that a failure shows. */
const ENOUGH_LOG = 10_000;

/** Two agents that know each other. */
export class Couple {
  /**
   * @param {import('node:test').TestContext} test at whose end both end
   * @param {[Maker, Start, Place?]} one @param {[Maker, Start, Place?]} other
   */
  constructor(test, one, other) {
    this.one = new IcePeer(...one);
    this.other = new IcePeer(...other);
    test.after(() => Promise.all([this.one.kill(), this.other.kill()]));
    this.one.introduceTo(this.other);
    this.other.introduceTo(this.one);
  }

  get both() {
    return [this.one, this.other];
  }

  /** Waits until both are connected, and data has gone both ways. */
  async meet() {
    try {
      await Promise.all(
        this.both.map(async (peer) => {
          await peer.isIn(['connected', 'completed']);
          await peer.until('a pair', ({ event }) => event === 'pair');
        }),
      );
      await this.talk();
    } catch (error) {
      // What the other side makes of it belongs to the picture.
      throw new Error(`${/** @type {Error} */ (error).message}\n${this.both.map((peer) => `${peer.maker}: ${peer}`).join('\n')}`);
    }
  }

  /** Data both ways; what is lost is said again. */
  async talk() {
    const round = ++rounds;
    await Promise.all([this.#say(this.one, this.other, `to the other ${round}`), this.#say(this.other, this.one, `to the one ${round}`)]);
  }

  /** @param {IcePeer} from @param {IcePeer} to @param {string} text */
  async #say(from, to, text) {
    const received = to.receives(text);
    let done = false;
    received.catch(() => {}).finally(() => (done = true));
    while (!done) {
      from.command({ do: 'send', text });
      await Promise.race([received, sleep(200)]);
    }
    await received;
  }

  /** A new generation on both sides. */
  async restart() {
    const before = this.both.map((peer) => peer.events.length);
    for (const peer of this.both) peer.command({ do: 'restart' });
    await Promise.all(this.both.map((peer, index) => peer.until('a new pair', ({ event }) => event === 'pair', { since: before[index] })));
    await this.talk();
  }

  /** True if the pair that both have selected goes through a relay. */
  get isRelayed() {
    return this.both.some(({ pair }) => pair.local === 'relay' || pair.remote === 'relay');
  }
}

let rounds = 0;
