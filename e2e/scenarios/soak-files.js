// `cargo xtask soak files`: what files there may be, every step at which a side may be killed, and
// every pair of NATs, with a shared server and with none; and networks and servers that change in
// the middle of 1 GB.
//
//   node scenarios/soak-files.js [kinds] [kills] [nats] [moves] [MEGABYTES]
//
// All parts, or the named ones; MEGABYTES is the size of the largest file (4,096 by default).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync, createReadStream, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Terminal } from '../peers/terminal.js';
import { labMissing } from '../lab/available.js';
import { figure1, figure3, PUBLIC_HOST } from '../lab/figures.js';
import { meetsDirectly } from '../lab/nat.js';
import { Server } from '../lab/server.js';
import { Scene } from './scene.js';

/** @typedef {import('../peers/terminal.js').TerminalOptions} TerminalOptions */
/** @typedef {{seconds: number, bytes: number, memory: number[], way: string}} Figures */

/** Kilobytes of memory that a side may take, whatever the size. */
const MOST_MEMORY = 64 << 10;
/** Milliseconds after which a transfer is given up. */
const PATIENCE = 3_600_000;

/** Names in many scripts, and some that are nasty for shells and people. */
const NAMES = [
  'plain.txt', 'Ünïcödé', 'Ελληνικά', 'Кириллица', 'עברית', 'العربية', 'देवनागरी', 'ไทย', '한국어', '日本語', '中文', 'ქართული', 'አማርኛ',
  'emoji 🙂👩‍👩‍👧', 'e\u0301 and é', ' leading and trailing ', '-rf', '--help', "it's \"quoted\"", '$HOME `x`', 'a\\b', 'new\nline', 'tab\there',
  '.hidden', '~', 'NUL', 'con.txt', 'x'.repeat(255), '\u202egnp.exe',
];

const words = process.argv.slice(2);
const PARTS = ['kinds', 'kills', 'nats', 'moves'].filter((part) => words.length === 0 || words.every((word) => /^\d+$/.test(word)) || words.includes(part));
const MEGABYTES = Number(words.find((word) => /^\d+$/.test(word)) ?? 4096);

const top = mkdtempSync(join(tmpdir(), 'columba-soak-'));
let count = 0;
let failures = 0;

/** An empty folder. @param {string} [name] */
function folder(name = `f${++count}`) {
  const path = join(top, name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** @param {string} path @param {number} megabytes */
function bigFile(path, megabytes) {
  const file = openSync(path, 'w');
  for (let left = megabytes; left > 0; left--) writeSync(file, randomBytes(1 << 20));
  closeSync(file);
}

/**
 * The digest of a file's content, or of a folder's names and contents.
 * @param {string} path @returns {Promise<string>}
 */
async function digest(path) {
  const hash = createHash('sha256');
  if (statSync(path).isDirectory()) {
    for (const name of readdirSync(path).sort()) hash.update(`${name}\0${await digest(join(path, name))}\0`);
  } else {
    for await (const chunk of createReadStream(path, { highWaterMark: 4 << 20 })) hash.update(chunk);
  }
  return hash.digest('hex');
}

/** The most memory that a process had, in kilobytes. @param {Terminal} terminal */
function memory({ child }) {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0; // it has ended
  }
}

/** Looks at both sides' memory until one ends. @param {Terminal[]} sides */
function watchMemory(sides) {
  const most = sides.map(() => 0);
  const look = () => sides.forEach((side, index) => (most[index] = Math.max(most[index], memory(side))));
  const timer = setInterval(look, 100);
  return () => {
    clearInterval(timer);
    return most;
  };
}

/** @param {Terminal} side */
async function succeeds(side) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`no end: ${side.said}`)), PATIENCE).unref());
  assert.equal(await Promise.race([side.ended, late]), 0, side.said);
}

/**
 * Sends paths, receives them by the code, and compares.
 * @param {string[]} paths @param {TerminalOptions[]} sides @param {string[]} route
 * @param {(from: string, to: string) => Promise<void>} [compare]
 * @returns {Promise<Figures>}
 */
async function transfer(paths, sides, route, compare) {
  const out = folder();
  const sender = new Terminal(['send', ...route, ...paths], sides[0]);
  const { code } = await sender.event('waiting');
  const began = performance.now();
  const receiver = new Terminal(['receive', '--yes', '--out', out, ...route, code], sides[1]);
  const most = watchMemory([sender, receiver]);
  await Promise.all([succeeds(receiver), succeeds(sender)]);
  const seconds = (performance.now() - began) / 1000;
  for (const path of paths) {
    const to = join(out, path.slice(path.lastIndexOf('/') + 1));
    await (compare ?? (async (one, other) => assert.equal(await digest(one), await digest(other))))(path, to);
  }
  assert.equal(readdirSync(out).length, paths.length, 'something else is left');
  rmSync(out, { recursive: true });
  const way = receiver.events.findLast(({ event }) => event === 'connected')?.way ?? '';
  const bytes = sender.events.find(({ event }) => event === 'done')?.bytes ?? 0;
  return { seconds, bytes, memory: most(), way };
}

/**
 * Prints a row of the table.
 * @param {string} what @param {() => Promise<Figures>} measure
 * @param {boolean} [ofPrograms] whether memory is looked at
 */
async function row(what, measure, ofPrograms = true) {
  try {
    const { seconds, bytes, memory, way } = await measure();
    const most = Math.max(...memory);
    if (ofPrograms && most > MOST_MEMORY) throw new Error(`${most} kB of memory`);
    console.log(`| ${what} | ${way} | ${seconds.toFixed(1)} | ${(bytes / 1e6 / seconds).toFixed(1)} | ${memory.map((each) => (each / 1024).toFixed(0)).join(' / ')} | whole |`);
  } catch (error) {
    failures++;
    console.log(`| ${what} | | | | | **failed**: ${String(/** @type {Error} */ (error).message).split('\n').join(' ').slice(0, 400)} |`);
  }
}

function heading() {
  console.log('\n| what | way | s | MB/s | MiB of memory, sender / receiver | result |\n|---|---|---|---|---|---|');
}

/** @returns {TerminalOptions[]} */
const here = () => [{ home: folder() }, { home: folder() }];

async function kinds() {
  const server = await Server.start({ args: ['--joins-per-minute', '1000'] });
  const route = ['--server', server.origin];
  try {
    heading();
    const file = (/** @type {string} */ name, /** @type {Uint8Array | string} */ content) => {
      const path = join(folder(), name);
      writeFileSync(path, content);
      return path;
    };
    await row('empty file', () => transfer([file('empty', '')], here(), route));
    await row('one byte', () => transfer([file('one', '1')], here(), route));
    await row('exactly one piece, and one more', () => transfer([file('piece', randomBytes(65_536)), file('more', randomBytes(65_537))], here(), route));
    const named = folder('names');
    NAMES.forEach((name, index) => writeFileSync(join(named, name), String(index)));
    await row(`${NAMES.length} names in all scripts`, () => transfer([named], here(), route));
    const many = folder('many');
    for (let n = 0; n < 10_000; n++) writeFileSync(join(many, String(n)), randomBytes(n % 3000));
    await row('10,000 small files', () => transfer([many], here(), route));
    const sparse = join(folder(), 'sparse');
    const handle = openSync(sparse, 'w');
    writeSync(handle, Buffer.from('in the middle'), 0, 13, 50 * 2 ** 30);
    writeSync(handle, Buffer.from('end'), 0, 3, 100 * 2 ** 30 - 3);
    closeSync(handle);
    await row('sparse, 100 GiB', () =>
      transfer([sparse], here(), route, async (one, other) => {
        const [before, after] = [statSync(one), statSync(other)];
        assert.equal(after.size, before.size);
        assert.ok(after.blocks <= before.blocks + 64, `${after.blocks} blocks`);
        const middle = Buffer.alloc(13);
        const got = openSync(other, 'r');
        (await import('node:fs')).readSync(got, middle, 0, 13, 50 * 2 ** 30);
        closeSync(got);
        assert.equal(String(middle), 'in the middle');
      }),
    );
    const big = join(folder(), 'big');
    bigFile(big, MEGABYTES);
    await row(`${MEGABYTES} MiB`, () => transfer([big], here(), route));
    rmSync(big);
  } finally {
    await server.stop();
  }
}

/** Every step at which a side may be killed: the event after which it is, and how it is called. */
const STEPS = /** @type {const} */ ([
  ['sender', 'waiting', 0],
  ['sender', 'connected', 0],
  ['sender', 'progress', 0],
  ['sender', 'progress', 0.5],
  ['sender', 'progress', 0.97],
  ['receiver', 'connected', 0],
  ['receiver', 'offer', 0],
  ['receiver', 'progress', 0],
  ['receiver', 'progress', 0.5],
  ['receiver', 'progress', 0.97],
]);

async function kills() {
  const server = await Server.start({ args: ['--joins-per-minute', '1000'] });
  const route = ['--server', server.origin];
  const bytes = 30_000_000;
  const path = join(folder(), 'film.mkv');
  writeFileSync(path, randomBytes(bytes));
  try {
    heading();
    for (const by of /** @type {const} */ (['code', 'link'])) {
      for (const [side, event, share] of STEPS) {
        const at = event === 'progress' ? `${event} of ${share * 100} %` : event;
        await row(`by ${by}, ${side} killed at ${at}`, async () => {
          const [sides, out] = [here(), folder()];
          const began = performance.now();
          const send = () => new Terminal(['send', '--limit', '8M', ...route, path], sides[0]);
          let sender = send();
          let waiting = await sender.event('waiting');
          if (side === 'sender' && event === 'waiting') {
            await sender.kill();
            sender = send();
            waiting = await sender.event('waiting');
          }
          const receive = () => new Terminal(['receive', '--yes', '--out', out, ...route, waiting[by]], sides[1]);
          let receiver = receive();
          if (event !== 'waiting') {
            const killed = side === 'sender' ? sender : receiver;
            await killed.event(event, (news) => event !== 'progress' || news.bytes >= share * bytes);
            await killed.kill();
            if (side === 'sender') sender = send();
            else receiver = receive();
          }
          await Promise.all([succeeds(receiver), succeeds(sender)]);
          assert.equal(await digest(join(out, 'film.mkv')), await digest(path));
          assert.deepEqual(readdirSync(out), ['film.mkv']);
          const sent = sender.events.find((news) => news.event === 'done')?.sent ?? 0;
          if (share > 0) assert.ok(sent < bytes * (1 - share) + 8_000_000, `${sent} bytes were sent again`);
          return { seconds: (performance.now() - began) / 1000, bytes: sent, memory: [0], way: 'resumed' };
        }, false);
      }
    }
  } finally {
    await server.stop();
  }
}

async function nats() {
  const missing = await labMissing('openssl');
  if (missing) throw new Error(String(missing));
  heading();
  const lan = await figure1();
  const file = join(folder(), 'file');
  writeFileSync(file, randomBytes(5_000_000));
  await row('one network, no server', () =>
    transfer([file], ['p1', 'p2'].map((node) => ({ home: folder(), at: { lab: lan, node } })), []));
  lan.down();
  for (const r1 of /** @type {const} */ (['cone', 'port', 'symmetric', 'tcp443'])) {
    for (const r2 of /** @type {const} */ (['cone', 'port', 'symmetric', 'tcp443'])) {
      const lab = await figure3({ r1: { kind: r1 }, r2: { kind: r2 } });
      const scene = await Scene.set(lab, PUBLIC_HOST, { browsers: [] });
      const sides = ['p1', 'p2'].map((node) => ({ home: folder(), at: { lab, node }, authority: scene.authority.cert }));
      await row(`${r1} – ${r2}`, async () => {
        const figures = await transfer([file], sides, ['--server', scene.server.origin]);
        if (meetsDirectly(r1, r2)) assert.match(figures.way, /^directly/);
        return figures;
      });
      await scene.strike();
    }
  }
}

/** The suite of networks and servers that change in the middle, with a large file. */
async function moves() {
  const env = { ...process.env, MOVING_MEGABYTES: String(Math.min(MEGABYTES, 1000)) };
  const suite = spawn(process.execPath, ['--test', '--test-reporter=spec', 'tests/moving-files.test.js'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)), env, stdio: 'inherit',
  });
  const [code] = await once(suite, 'close');
  if (code !== 0) failures += 1;
}

try {
  const load = readFileSync('/proc/loadavg', 'utf8').split(' ')[0];
  console.log(`Load before: ${load}.`);
  for (const part of PARTS) await { kinds, kills, nats, moves }[/** @type {'kinds' | 'kills' | 'nats' | 'moves'} */ (part)]();
} finally {
  rmSync(top, { recursive: true, force: true });
}
if (failures > 0) {
  console.error(`${failures} rows failed`);
  process.exitCode = 1;
}
