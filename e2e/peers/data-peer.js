// The peers of the tests of SCTP, ours and others, each behind the same words: what it is told,
// and what it tells.

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stop } from '../lab/shell.js';
import { PATIENCE } from '../lab/timeouts.js';
import { program } from '../lab/server.js';
import { pionProgram } from './pion/build.js';
import { WebPeer } from './web-peer.js';

/** Characters of the end of a program's log that a failure shows. */
const ENOUGH_LOG = 10_000;
/** The number of last events that a failure shows. */
const ENOUGH_SAID = 8;

/** @typedef {{event: string, [name: string]: any}} Told */

/** A peer that takes commands and reports events. */
export class Peer {
  /** Events that were not awaited yet. @type {Told[]} */
  #told = [];
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** @type {string | undefined} */
  #over;

  /**
   * @param {string} name
   * @param {(command: object) => void} command
   * @param {() => Promise<void>} end
   */
  constructor(name, command, end) {
    this.name = name;
    this.command = command;
    this.end = end;
  }

  /** @param {Told} event */
  take(event) {
    this.#told.push(event);
    for (const look of this.#waiting) look();
  }

  /** Nothing more will be told. @param {string} why */
  isOver(why) {
    this.#over = why;
    for (const look of this.#waiting) look();
  }

  /**
   * Waits until this was told, and takes it, so that it is found once.
   * @param {string} event @param {Record<string, unknown>} [rest] what else it says
   * @param {number} [patience] milliseconds
   * @returns {Promise<Told>}
   */
  until(event, rest = {}, patience = PATIENCE) {
    return new Promise((resolve, reject) => {
      const settle = (/** @type {() => void} */ how) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        how();
      };
      const fail = (/** @type {string} */ why) => {
        const last = this.#told.slice(-ENOUGH_SAID).map((told) => JSON.stringify(told).slice(0, 300));
        const wanted = JSON.stringify({ event, ...rest });
        settle(() => reject(new Error(`${this.name} did not tell ${wanted}: ${why}; it told ${last.join('\n')}`)));
      };
      const look = () => {
        const at = this.#told.findIndex((told) => told.event === event && Object.entries(rest).every(([key, value]) => told[key] === value));
        if (at >= 0) settle(() => resolve(this.#told.splice(at, 1)[0]));
        else if (this.#told.some(({ event }) => event === 'error')) fail('something went wrong');
        else if (this.#over) fail(this.#over);
      };
      const timer = setTimeout(() => fail(`not within ${patience} ms`), patience);
      this.#waiting.add(look);
      look();
    });
  }
}

/**
 * A program that reads and writes JSON objects, a line each.
 * @param {string} name @param {[string, ...string[]]} command
 */
function programPeer(name, [path, ...args]) {
  const child = spawn(path, args, { stdio: 'pipe', env: { RUST_LOG: 'debug', ...process.env } });
  let log = '';
  child.stdin.on('error', () => {}); // it ended early, which is told below
  const peer = new Peer(
    name,
    (command) => void child.stdin.write(`${JSON.stringify(command)}\n`),
    () => stop(child),
  );
  createInterface({ input: child.stdout }).on('line', (line) => peer.take(JSON.parse(line)));
  child.stderr.on('data', (text) => (log = (log + text).slice(-ENOUGH_LOG)));
  child.once('error', (error) => peer.isOver(`it did not start: ${error.message}`));
  child.once('close', (code, signal) => peer.isOver(`it ended with ${code ?? signal}\n${log}`));
  return peer;
}

/**
 * The command of each program.
 * @type {Record<'columba' | 'libdatachannel' | 'pion' | 'werift', () => [string, ...string[]]>}
 */
export const PROGRAMS = {
  columba: () => [join(dirname(program()), 'columba-e2e-peer'), '{"do":"obey"}'],
  libdatachannel: () => [process.execPath, fileURLToPath(new URL('libdatachannel/peer.js', import.meta.url))],
  pion: () => [pionProgram('webrtc')],
  werift: () => [process.execPath, fileURLToPath(new URL('werift/peer.js', import.meta.url))],
};

/** Ours. */
export const columba = () => programPeer('columba', PROGRAMS.columba());

/** libdatachannel, with usrsctp. */
export const libdatachannel = () => programPeer('libdatachannel', PROGRAMS.libdatachannel());

/** werift, with an SCTP of its own in TypeScript. */
export const werift = () => programPeer('werift', PROGRAMS.werift());

/** Pion, with its own SCTP. */
export const pion = () => programPeer('pion', PROGRAMS.pion());

/**
 * A page of a browser.
 * @param {import('../browser/launch.js').Running} running
 * @param {string} origin of pages that may compute digests
 */
export async function browser({ browser, name }, origin) {
  // A window of its own: a page in a hidden tab would be slowed down.
  const page = await browser.newPage({ type: 'window' });
  await page.goto(`${origin}/blank.html`, { waitUntil: 'load' });
  await page.evaluate(`
    window.told = [];
    window.wake = () => {};
    const tell = (event) => { told.push(event); wake(); };
    window.peer = new (${WebPeer})(new RTCPeerConnection(), tell);
    window.obey = (command) => void peer.obey(command).catch((error) => tell({ event: 'error', message: String(error) }));
    window.next = async () => {
      if (told.length === 0) await new Promise((resolve) => (wake = resolve));
      return told.splice(0);
    };
  `);
  const peer = new Peer(
    name,
    (command) => void page.evaluate(`obey(${JSON.stringify(command)})`).catch((error) => peer.isOver(`${error}`)),
    () => page.close(),
  );
  (async () => {
    for (;;) for (const event of /** @type {Told[]} */ (await page.evaluate('next()'))) peer.take(event);
  })().catch((error) => peer.isOver(`the page: ${error}`));
  return peer;
}
