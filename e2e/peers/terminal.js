// A command of the program that exchanges files, here or in a node of the laboratory, with its
// events.

import { spawn } from 'node:child_process';
import { program } from '../lab/server.js';
import { stop } from '../lab/shell.js';
import { STEP_TIMEOUT } from '../lab/timeouts.js';

/**
 * @typedef {object} TerminalOptions
 * @property {string} home the folder with its state
 * @property {{lab: import('../lab/lab.js').Lab, node: string}} [at] the node to live in
 * @property {string} [authority] the file of the authority that it trusts
 */

/** @typedef {{event: string, at: number, [field: string]: any}} TerminalEvent */

export class Terminal {
  /** @type {TerminalEvent[]} */
  events = [];
  /** Its standard error so far. */
  said = '';
  /** @type {Set<() => void>} */
  #waiting = new Set();

  /** @param {string[]} args @param {TerminalOptions} options */
  constructor(args, { home, at, authority }) {
    const env = { ...process.env, HOME: home, COLUMBA_SERVER: '', ...(authority && { SSL_CERT_FILE: authority }) };
    /** @type {import('node:child_process').SpawnOptions} */
    const options = { env, stdio: ['ignore', 'pipe', 'pipe'] };
    const all = [...args, '--json'];
    this.child = at ? at.lab.spawn(at.node, program(), all, options) : spawn(program(), all, options);
    let rest = '';
    this.child.stderr?.on('data', (text) => (this.said += text));
    this.child.stdout?.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.events.push({ ...JSON.parse(line), at: performance.now() });
      this.#waiting.forEach((look) => look());
    });
    /** The exit code. @type {Promise<number | null>} */
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code) => {
        resolve(code);
        this.#waiting.forEach((look) => look());
      });
    });
  }

  /**
   * Waits for an event that fits.
   * @param {string} name @param {(event: TerminalEvent) => boolean} [fits]
   */
  async event(name, fits = () => true) {
    const find = () => this.events.find((each) => each.event === name && fits(each));
    return /** @type {TerminalEvent} */ (
      await new Promise((resolve, reject) => {
        /** @param {string} why */
        const fail = (why) => reject(new Error(`no event ${name}, ${why}: ${this.said}\n${JSON.stringify(this.events.slice(-5))}`));
        const timer = setTimeout(() => settle(() => fail(`within ${STEP_TIMEOUT} ms`)), STEP_TIMEOUT);
        /** @param {() => void} how */
        const settle = (how) => {
          clearTimeout(timer);
          this.#waiting.delete(look);
          how();
        };
        const look = () => {
          const found = find();
          if (found) settle(() => resolve(found));
          else if (this.child.exitCode !== null) settle(() => fail(`and it ended with ${this.child.exitCode}`));
        };
        this.#waiting.add(look);
        look();
      })
    );
  }

  /** Waits until it has so many bytes. @param {number} bytes */
  reaches(bytes) {
    return this.event('progress', (event) => event.bytes >= bytes);
  }

  /**
   * The longest time in which nothing moved, in milliseconds.
   * @param {number} since
   */
  longestPause(since) {
    const steps = this.events.filter(({ event, at }) => (event === 'progress' || event === 'done') && at >= since);
    let [last, longest, bytes] = [since, 0, -1];
    for (const step of steps) {
      if (step.bytes <= bytes) continue;
      longest = Math.max(longest, step.at - last);
      [last, bytes] = [step.at, step.bytes];
    }
    return longest;
  }

  kill() {
    return stop(this.child, { signal: 'SIGKILL' });
  }
}
