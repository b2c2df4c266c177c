// Starting the program `columba serve`, in a node of the laboratory or here, and ending it.

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stop } from './shell.js';
import { STEP_TIMEOUT } from './timeouts.js';

const TOP = fileURLToPath(new URL('../..', import.meta.url));

/**
 * @typedef {object} ServerOptions
 * @property {{lab: import('./lab.js').Lab, node: string}} [at] the node of a laboratory to live in
 * @property {string} [address] where it listens
 * @property {string} [host] how it is called, where that is not the address
 * @property {{web: number, stun: number, turns?: number}} [ports] free ones unless told
 * @property {import('../browser/authority.js').Certificate & {authority: string}} [tls]
 * @property {string[]} [args] more options of the program
 */

/** The program under test. */
export function program() {
  const asked = process.env.COLUMBA_BIN;
  const built = ['release', 'debug'].map((profile) => join(TOP, 'target', profile, 'columba'));
  const found = (asked ? [asked] : built).find((path) => existsSync(path));
  if (!found) throw new Error('there is no program to test: cargo build --release --package columba-server');
  return found;
}

export class Server {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;
  #log = '';
  #options;

  /** @param {ServerOptions & {ports: {web: number, stun: number, turns?: number}}} options */
  constructor(options) {
    this.#options = options;
    const { address = '127.0.0.1', host = address === '127.0.0.1' ? 'localhost' : address, tls, ports } = options;
    this.address = address;
    this.ports = ports;
    const port = ports.web === (tls ? 443 : 80) ? '' : `:${ports.web}`;
    this.origin = `${tls ? 'https' : 'http'}://${host}${port}`;
    this.webSocket = `${this.origin.replace('http', 'ws')}/v1/signal`;
  }

  /** Starts the program and waits until it is healthy. @param {ServerOptions} [options] */
  static async start(options = {}) {
    const ports = options.ports ?? { web: await freePort(), stun: await freePort() };
    const server = new Server({ ...options, ports });
    await server.start();
    return server;
  }

  /** The output so far. */
  get log() {
    return this.#log;
  }

  get pid() {
    return this.#child?.pid;
  }

  async start() {
    const { at, tls, args = [] } = this.#options;
    const { web, stun, turns } = this.ports;
    const all = ['serve', '--listen', `${this.address}:${web}`, '--stun-listen', `${this.address}:${stun}`, ...args];
    if (turns !== undefined) all.push('--turns-listen', `${this.address}:${turns}`);
    if (tls) all.push('--tls-cert', tls.cert, '--tls-key', tls.key);
    /** @type {import('node:child_process').SpawnOptions} */
    const options = { stdio: ['ignore', 'pipe', 'pipe'] };
    const child = at ? at.lab.spawn(at.node, program(), all, options) : spawn(program(), all, options);
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (this.#log += text));
    const died = once(child, 'exit').then(([code]) => {
      throw new Error(`columba ended with ${code} at its start:\n${this.#log}`);
    });
    died.catch(() => {});
    await Promise.race([this.#healthy(), died]);
  }

  /** Ends it as an operator does, waiting for the drain. */
  async stop() {
    if (this.#child) await stop(this.#child, { grace: 12_000 });
  }

  /** Ends it as a power cut does. */
  async kill() {
    if (this.#child) await stop(this.#child, { signal: 'SIGKILL' });
  }

  async #healthy() {
    const url = `${this.origin}/healthz`;
    const { at, tls } = this.#options;
    if (!at) return await untilHealthy(url);
    const probe = at.lab.spawn(at.node, process.execPath, [fileURLToPath(import.meta.url), url], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: tls?.authority },
    });
    const [code] = await once(probe, 'exit');
    if (code !== 0) throw new Error(`columba does not answer at ${url}:\n${this.#log}`);
  }
}

/**
 * Ports outside the ephemeral range to which browsers connect: while the server is away,
 * no other program takes its place by chance.
 */
const [FIRST_PORT, LAST_PORT] = [11_000, 30_000];

/** A port that is free for TCP and for UDP. */
export async function freePort() {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    const server = createServer();
    const socket = createSocket('udp4');
    try {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      socket.bind(port, '127.0.0.1');
      await once(socket, 'listening');
      return port;
    } catch {
      // It is taken.
    } finally {
      await Promise.all([server, socket].map((each) => new Promise((resolve) => close(each, resolve))));
    }
  }
}

/** @param {{close: (done: () => void) => unknown}} what @param {(value?: unknown) => void} done */
function close(what, done) {
  try {
    what.close(() => done());
  } catch {
    done(); // it was never open
  }
}

/** @param {string} url */
async function untilHealthy(url) {
  const end = Date.now() + STEP_TIMEOUT;
  for (;;) {
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(2000) });
      if (answer.ok) return;
    } catch {
      // Not yet listening.
    }
    if (Date.now() > end) throw new Error(`nothing healthy at ${url} within ${STEP_TIMEOUT} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await untilHealthy(process.argv[2]);
