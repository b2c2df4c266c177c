// The Rust peer of `peers/rust/` as a process, here or in a node of the laboratory.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { stop } from '../lab/shell.js';
import { STEP_TIMEOUT } from '../lab/timeouts.js';
import { program } from '../lab/server.js';

/**
 * @typedef {object} RustPeerOptions
 * @property {string} server the signaling server's origin
 * @property {string} token
 * @property {'offer' | 'answer'} role
 * @property {boolean} closes whether this side closes the connection in the end
 * @property {number} bytes how many to send; the other side sends as many
 * @property {boolean} [direct] whether to go on until the path needs no relay
 * @property {string} [iceServers] only servers whose URL begins so are used
 * @property {boolean} [hidden] whether it hides its addresses behind names of mDNS
 * @property {boolean} [simultaneous] whether it has TCP candidates that open connections from
 *   both sides at once, too
 * @property {{lab: import('../lab/lab.js').Lab, node: string}} [at] the node of a laboratory to
 *   live in
 * @property {string} [authority] whom it trusts
 */

export class RustPeer {
  /** Its output, parsed. @type {any[]} */
  events = [];
  #errors = '';

  /** @param {RustPeerOptions} options */
  constructor({ server, token, role, closes, bytes, direct = false, iceServers = '', hidden = false, simultaneous = false, at, authority }) {
    const path = join(dirname(program()), 'columba-e2e-peer');
    const args = [JSON.stringify({ do: 'talk', server, token, role, closes, bytes, direct, iceServers, hidden, simultaneous })];
    /** @type {import('node:child_process').SpawnOptions} */
    const options = { stdio: ['ignore', 'pipe', 'pipe'], env: { RUST_LOG: LOG, ...process.env, ...(authority && { SSL_CERT_FILE: authority }) } };
    const child = at ? at.lab.spawn(at.node, path, args, options) : spawn(path, args, options);
    this.child = child;
    if (!child.stdout) throw new Error('a peer without output');
    createInterface({ input: child.stdout }).on('line', (line) => this.events.push(JSON.parse(line)));
    child.stderr?.on('data', (text) => (this.#errors = (this.#errors + text).slice(-ENOUGH_LOG)));
    this.#ended = once(child, 'close');
  }

  /** @type {Promise<unknown>} */
  #ended;

  /**
   * Returns what it has sent and heard, in the form of {@link
   * import('../browser/data-page.js').TalkReport}.
   */
  async talk() {
    await this.#ended;
    const last = this.events.at(-1);
    if (last?.event !== 'done') throw new Error(`the Rust peer: ${last?.message ?? 'no end'}; ${JSON.stringify(this.events)}\n${this.#errors}`);
    return { ...last, pair: this.pair };
  }

  /** The sentence with which it failed. */
  async failure() {
    await this.#ended;
    const last = this.events.at(-1);
    if (last?.event !== 'error') throw new Error(`the Rust peer did not fail: ${JSON.stringify(last)}`);
    return /** @type {string} */ (last.message);
  }

  /**
   * The candidate types of the last selected pair and what they speak, in the words of browsers,
   * and where it leads.
   */
  get pair() {
    const pairs = this.events.filter(({ event }) => event === 'pair');
    // When the other side closes, its connection may end before its goodbye is understood: then
    // there is the relay again, for a moment.
    const pair = pairs.findLast(({ local, remote }) => ![local, remote].includes('Relayed')) ?? pairs.at(-1);
    return { local: KINDS[pair?.local], remote: KINDS[pair?.remote], protocol: pair?.protocol, to: /** @type {string} */ (pair?.to) };
  }

  /** Waits until it has said this. @param {(line: any) => boolean} wanted */
  async until(wanted) {
    const end = Date.now() + STEP_TIMEOUT;
    while (!this.events.some(wanted)) {
      if (Date.now() > end || this.child.exitCode !== null) throw new Error(`the Rust peer only said ${JSON.stringify(this.events)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends it as a power cut does. */
  async kill() {
    await stop(this.child, { signal: 'SIGKILL' });
  }
}

/** The log level of a Rust peer, and the characters of its end that a failure shows. */
const LOG = 'debug';
const ENOUGH_LOG = 10_000;

/** @type {Record<string, string>} */
const KINDS = { Host: 'host', PeerReflexive: 'prflx', ServerReflexive: 'srflx', Relayed: 'relay' };
