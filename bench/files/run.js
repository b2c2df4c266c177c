// `columba send` beside croc, magic-wormhole and a sender over quinn: one file, over loopback and
// over paths with delay and loss, in turn, so that the load of the machine is the same for all.
//
//   node run.js [MEGABYTES] [ROUNDS] [PROGRAM...]
//
// Each side has a network namespace, which a relaying process joins (`path`); loopback is one
// namespace. Measured from the start of the receiver, when the sender is ready, to its end; CPU is
// that of sender and receiver, in seconds for each GB; memory the most that one of them has had
// resident. croc's and wormhole's servers run beside the sender, so that the content passes the
// path once.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../e2e/lab/lab.js';
import { run, stop } from '../../e2e/lab/shell.js';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const TOOLS = process.env.BENCH_TOOLS ?? join(TOP, 'target/bench-files');
const OWN = join(TOP, 'bench/files/target/release');
const COLUMBA = process.env.COLUMBA_BIN ?? join(TOP, 'target/release/columba');
const CROC = join(TOOLS, 'bin/croc');
const VENV = join(TOOLS, 'venv/bin');

/** The paths: round trip in milliseconds, and packets lost of a thousand. */
const PATHS = [
  { name: 'loopback' },
  { name: '20 ms', delay: 10, loss: 0 },
  { name: '100 ms', delay: 50, loss: 0 },
  { name: '100 ms, 1 % lost', delay: 50, loss: 10 },
];

/** Milliseconds after which a run is given up. */
const PATIENCE = 600_000;

const [MEGABYTES = 1000, ROUNDS = 3] = process.argv.slice(2, 4).map(Number);
const ONLY = process.argv.slice(4);
const SECRET = 'measure-one-file';

/**
 * @typedef {object} Place
 * @property {Lab} lab
 * @property {string} sender the node @property {string} receiver
 * @property {string} address the sender's
 */

/**
 * `memory` is the most of sender or receiver, in MB.
 *
 * @typedef {{wall: number, cpu: number, memory: number}} Figures
 */

/**
 * The most memory that a process or one below it has had resident, in kB.
 *
 * @param {number} pid
 * @returns {number}
 */
function peakOf(pid) {
  try {
    const own = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    const below = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
    return Math.max(Number(own?.[1] ?? 0), ...below.map((child) => peakOf(Number(child))));
  } catch {
    // It has ended.
    return 0;
  }
}

/**
 * A program in a node.
 * @param {Lab} lab @param {string} node @param {string[]} words @param {object} [env]
 */
function start(lab, node, words, env = {}) {
  const [name, ...args] = words;
  const home = join(lab.folder, `home-${node}`);
  mkdirSync(home, { recursive: true });
  // The shell says how much time its child has used.
  const timed = ['-c', 'TIMEFORMAT="CPU %U %S"; time "$@"', 'bash', name, ...args];
  const child = lab.spawn(node, '/bin/bash', timed, { cwd: home, env: { ...process.env, HOME: home, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += text));
  let memory = 0;
  const timer = setInterval(() => (memory = Math.max(memory, peakOf(child.pid ?? 0))), 50);
  const ended = new Promise((resolve) => child.once('close', resolve));
  void ended.then(() => clearInterval(timer));
  return {
    child,
    ended,
    /** Waits for words in the output. @param {RegExp} wanted */
    async says(wanted) {
      for (const end = Date.now() + 60_000; Date.now() < end && child.exitCode === null; ) {
        const found = wanted.exec(output);
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`${name} does not say ${wanted}: ${output}`);
    },
    /** Seconds of CPU, once it has ended. */
    cpu() {
      const times = /CPU ([\d.]+) ([\d.]+)/.exec(output);
      if (!times) throw new Error(`${name} has no times: ${output}`);
      return Number(times[1]) + Number(times[2]);
    },
    /** The most MB that were resident until just before its end. */
    get memory() {
      return memory / 1000;
    },
    get output() {
      return output;
    },
  };
}

/**
 * Receives the file once, and checks that it is there.
 * @param {Place} place @param {any} sender @param {string[]} receiving @param {string} out
 * @param {object} [env]
 */
async function measure({ lab, receiver }, sender, receiving, out, env) {
  const began = performance.now();
  const got = start(lab, receiver, receiving, env);
  const timer = setTimeout(() => [got, sender].forEach(({ child }) => child.kill('SIGKILL')), PATIENCE);
  const code = await got.ended;
  const wall = (performance.now() - began) / 1000;
  await sender.ended;
  clearTimeout(timer);
  if (code !== 0 || statSync(out).size !== MEGABYTES * 1e6) throw new Error(`it did not arrive: ${got.output.slice(-300)}\n${sender.output.slice(-300)}`);
  rmSync(out);
  return { wall, cpu: sender.cpu() + got.cpu(), memory: Math.max(sender.memory, got.memory) };
}

/**
 * @typedef {object} Program
 * @property {string} needs a file that is there once it is installed
 * @property {(place: Place) => string[][]} servers
 * @property {number[]} ports of the servers
 * @property {(place: Place, file: string, out: string) => Promise<Figures>} run
 */

/** @type {Record<string, Program>} */
const PROGRAMS = {
  columba: {
    needs: COLUMBA,
    ports: [8080],
    servers: () => [[COLUMBA, 'serve', '--listen', '[::]:8080', '--joins-per-minute', '1000', '--log-level', 'error']],
    async run(place, file, out) {
      const server = ['--server', `http://${place.address}:8080/`];
      const sender = start(place.lab, place.sender, [COLUMBA, 'send', '--json', ...server, file]);
      const [, code] = await sender.says(/"code":"([^"]+)"/);
      return await measure(place, sender, [COLUMBA, 'receive', '--yes', '--json', ...server, '--out', dirname(out), code], out);
    },
  },
  croc: {
    needs: CROC,
    ports: [9009],
    servers: () => [[CROC, 'relay', '--ports', '9009,9010,9011,9012,9013']],
    async run(place, file, out) {
      const relay = ['--yes', '--relay', `${place.address}:9009`];
      const env = { CROC_SECRET: SECRET };
      const sender = start(place.lab, place.sender, [CROC, ...relay, 'send', '--no-local', file], env);
      await sender.says(/On the other computer run/);
      return await measure(place, sender, [CROC, ...relay, '--overwrite', '--out', dirname(out)], out, env);
    },
  },
  wormhole: {
    needs: join(VENV, 'wormhole'),
    ports: [4000],
    servers: () => [
      [join(VENV, 'twist'), 'wormhole-mailbox', '--port', 'tcp:4000', '--channel-db', ':memory:', '--usage-db', ':memory:'],
    ],
    async run(place, file, out) {
      // Both sides connect directly; nothing listens at the helper.
      const servers = ['--relay-url', `ws://${place.address}:4000/v1`, '--transit-helper', `tcp:${place.address}:4001`];
      const wormhole = [join(VENV, 'wormhole'), ...servers];
      const sender = start(place.lab, place.sender, [...wormhole, 'send', '--code', '7-copper-violin', '--hide-progress', file]);
      await sender.says(/wormhole receive/);
      return await measure(place, sender, [...wormhole, 'receive', '--accept-file', '--hide-progress', '-o', out, '7-copper-violin'], out);
    },
  },
  quinn: {
    needs: join(OWN, 'quinn-file'),
    ports: [],
    servers: () => [],
    async run(place, file, out) {
      const address = `${place.address}:4433`;
      const sender = start(place.lab, place.sender, [join(OWN, 'quinn-file'), 'serve', address, file]);
      await sender.says(/open/);
      return await measure(place, sender, [join(OWN, 'quinn-file'), 'fetch', address, out], out);
    },
  },
};

/**
 * A lab with this path.
 * @param {{delay?: number, loss?: number}} path
 * @returns {Promise<Place & {end: () => Promise<void>}>}
 */
async function build({ delay, loss }) {
  const lab = new Lab();
  if (delay === undefined) {
    // Programs look for an address that is not loopback's; what is sent to it stays on loopback.
    lab.node('a').cable('a', 'eth0', 'a', 'eth1').inside('a', 'ip addr add 10.9.0.1/24 dev eth0');
    await lab.up();
    return { lab, sender: 'a', receiver: 'a', address: '10.9.0.1', end: async () => lab.down() };
  }
  lab.node('path').node('a').node('b');
  await lab.up();
  const path = spawn('ip', ['netns', 'exec', lab.namespace('path'), join(OWN, 'path'), 't0', 't1', String(delay), String(loss)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    path.stdout.once('data', resolve);
    path.once('exit', (code) => reject(new Error(`the path ended with ${code}`)));
  });
  for (const [name, node, address] of [['t0', 'a', '10.9.0.1'], ['t1', 'b', '10.9.0.2']]) {
    await lab.run('path', 'ip', ['link', 'set', name, 'netns', lab.namespace(node)]);
    await lab.run(node, 'ip', ['addr', 'add', `${address}/24`, 'dev', name]);
    await lab.run(node, 'ip', ['link', 'set', name, 'mtu', '1500', 'txqueuelen', '10000', 'up']);
  }
  const end = async () => {
    await stop(path);
    lab.down();
  };
  return { lab, sender: 'a', receiver: 'b', address: '10.9.0.1', end };
}

/** Waits until something listens there. @param {Place} place @param {number} port */
async function listens({ lab, sender, address }, port) {
  const connect = `until exec 3<>/dev/tcp/${address}/${port}; do sleep 0.1; done 2>/dev/null`;
  await lab.run(sender, 'bash', ['-c', connect]);
}

/** @param {number[]} values */
const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];

/** @param {string} path */
function makeFile(path) {
  const file = openSync(path, 'w');
  for (let left = MEGABYTES; left > 0; left--) writeSync(file, randomBytes(1e6));
  closeSync(file);
}

const folder = mkdtempSync(join(tmpdir(), 'columba-bench-'));
const names = Object.keys(PROGRAMS).filter((name) => ONLY.length === 0 || ONLY.includes(name));
for (const name of names) {
  if (!existsSync(PROGRAMS[name].needs)) throw new Error(`${PROGRAMS[name].needs} is not there: cargo xtask bench files makes it`);
}
try {
  const file = join(folder, 'film.mkv');
  makeFile(file);
  const load = (await run('cat', ['/proc/loadavg'])).split(' ')[0];
  console.log(`A file of ${MEGABYTES} MB, ${ROUNDS} rounds in turn, medians; load before: ${load}.\n`);
  console.log('| path | program | s | Mbit/s | CPU s/GB | MB of memory | speed of columba / its | CPU of columba / its |\n|---|---|---|---|---|---|---|---|');
  for (const path of PATHS) {
    const place = await build(path);
    const servers = names.flatMap((name) => PROGRAMS[name].servers(place).map((words) => start(place.lab, place.sender, words)));
    await Promise.all(names.flatMap((name) => PROGRAMS[name].ports.map((port) => listens(place, port))));
    /** @type {Record<string, Figures[]>} */
    const figures = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of names) {
        const out = join(folder, 'out', 'film.mkv');
        mkdirSync(dirname(out), { recursive: true });
        try {
          figures[name].push(await PROGRAMS[name].run(place, file, out));
        } catch (error) {
          console.error(`${path.name}, ${name}: ${error}`);
        }
      }
    }
    for (const name of names) {
      if (figures[name].length === 0) {
        console.log(`| ${path.name} | ${name} | failed | | | | |`);
        continue;
      }
      const of = (/** @type {string} */ who) => ({ wall: median(figures[who].map(({ wall }) => wall)), cpu: median(figures[who].map(({ cpu }) => cpu)), memory: Math.max(...figures[who].map(({ memory }) => memory)) });
      const { wall, cpu, memory } = of(name);
      const own = names.includes('columba') && figures.columba.length > 0 ? of('columba') : undefined;
      const ratios = own ? [(wall / own.wall).toFixed(2), (own.cpu / cpu).toFixed(2)] : ['', ''];
      const row = [path.name, name, wall.toFixed(2), ((MEGABYTES * 8) / wall).toFixed(0), (cpu / (MEGABYTES / 1000)).toFixed(2), memory.toFixed(0), ...ratios];
      console.log(`| ${row.join(' | ')} |`);
    }
    await Promise.all(servers.map(({ child }) => stop(child)));
    await place.end();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
