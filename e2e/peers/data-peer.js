// The peers of the tests of SCTP, ours and others, each behind the same commands and events.

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stop } from '../lab/shell.js';
import { STEP_TIMEOUT } from '../lab/timeouts.js';
import { program } from '../lab/server.js';
import { aiortcPython } from './aiortc/build.js';
import { pionProgram } from './pion/build.js';
import { WebPeer } from './web-peer.js';

/** Characters of the end of a program's log that a failure shows. */
const ENOUGH_LOG = 10_000;
/** The number of last events that a failure shows. */
const LAST_EVENTS = 8;
/** The number of events that wait to be awaited. */
const MOST_EVENTS = 100_000;

/** @typedef {{event: string, [name: string]: any}} PeerEvent */

/** A peer that takes commands and reports events. */
export class Peer {
  /** Events that were not awaited yet. @type {PeerEvent[]} */
  #events = [];
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** @type {string | undefined} */
  #over;
  /** @type {(event: PeerEvent) => void} */
  #listener = () => {};

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

  /** Hears of each event at once, besides. @param {(event: PeerEvent) => void} listener */
  listen(listener) {
    for (const event of this.#events) listener(event);
    this.#listener = listener;
  }

  /** @param {PeerEvent} event */
  take(event) {
    this.#listener(event);
    this.#events.push(event);
    // Who listens does not take them one by one.
    if (this.#events.length > MOST_EVENTS) this.#events.shift();
    for (const look of this.#waiting) look();
  }

  /** The events that were reported and not awaited. */
  get reported() {
    return this.#events;
  }

  /** Nothing more will be reported. @param {string} why */
  isOver(why) {
    this.#over = why;
    for (const look of this.#waiting) look();
  }

  /**
   * Waits until this was reported, and takes it, so that it is found once.
   * @param {string} event @param {Record<string, unknown>} [rest] what else it says
   * @param {number} [timeout] milliseconds
   * @returns {Promise<PeerEvent>}
   */
  until(event, rest = {}, timeout = STEP_TIMEOUT) {
    return new Promise((resolve, reject) => {
      const settle = (/** @type {() => void} */ how) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        how();
      };
      const fail = (/** @type {string} */ why) => {
        const last = this.#events.slice(-LAST_EVENTS).map((event) => JSON.stringify(event).slice(0, 300));
        const wanted = JSON.stringify({ event, ...rest });
        settle(() => reject(new Error(`${this.name} did not report ${wanted}: ${why}; it reported ${last.join('\n')}`)));
      };
      const look = () => {
        const at = this.#events.findIndex((found) => found.event === event && Object.entries(rest).every(([key, value]) => found[key] === value));
        if (at >= 0) settle(() => resolve(this.#events.splice(at, 1)[0]));
        else if (this.#events.some(({ event }) => event === 'error')) fail('something went wrong');
        else if (this.#over) fail(this.#over);
      };
      const timer = setTimeout(() => fail(`not within ${timeout} ms`), timeout);
      this.#waiting.add(look);
      look();
    });
  }
}

/**
 * A program that reads and writes JSON objects, a line each.
 * @param {string} name @param {[string, ...string[]]} command
 */
export function programPeer(name, [path, ...args]) {
  const child = spawn(path, args, { stdio: 'pipe', env: { RUST_LOG: 'debug', ...process.env } });
  let log = '';
  child.stdin.on('error', () => {}); // it ended early, which is reported below
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

/** GStreamer's `webrtcbin`, with usrsctp and a certificate of RSA; it knows texts only. */
export const gstreamer = () => programPeer('gstreamer', ['/usr/bin/python3', pathOf('gstreamer/peer.py')]);

/** aiortc, with an SCTP of its own in Python; it knows texts only. @param {'ec' | 'rsa'} key */
export const aiortc = (key) => programPeer(`aiortc (${key})`, [aiortcPython(), pathOf('aiortc/peer.py'), key]);

/** @param {string} file */
const pathOf = (file) => fileURLToPath(new URL(file, import.meta.url));

/**
 * A page of a browser.
 * @param {import('../browser/launch.js').Running} running
 * @param {string} origin of pages that may compute digests
 */
export const browser = (running, origin) => pagePeer(running, origin, `new (${WebPeer})(new RTCPeerConnection(), report)`);

/**
 * A page of a browser in which an object of this class obeys.
 * @param {import('../browser/launch.js').Running} running
 * @param {string} origin
 * @param {string} create the expression that creates it
 */
export async function pagePeer({ browser, name }, origin, create) {
  // A window of its own: a page in a hidden tab would be slowed down.
  const page = await browser.newPage({ type: 'window' });
  await page.goto(`${origin}/blank.html`, { waitUntil: 'load' });
  await page.evaluate(`
    window.reported = [];
    window.wake = () => {};
    const report = (event) => { reported.push(event); wake(); };
    window.peer = ${create};
    window.obey = (command) => void peer.obey(command).catch((error) => report({ event: 'error', message: String(error) }));
    window.next = async () => {
      if (reported.length === 0) await new Promise((resolve) => (wake = resolve));
      return reported.splice(0);
    };
  `);
  const peer = new Peer(
    name,
    (command) => void page.evaluate(`obey(${JSON.stringify(command)})`).catch((error) => peer.isOver(`${error}`)),
    () => page.close(),
  );
  (async () => {
    for (;;) for (const event of /** @type {PeerEvent[]} */ (await page.evaluate('next()'))) peer.take(event);
  })().catch((error) => peer.isOver(`the page: ${error}`));
  return peer;
}
