// Films that a Rust program plays to browsers in the call page, and what it records of them.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { CallPage } from '../browser/call-page.js';
import { clockCamera } from '../browser/clock-camera.js';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { programsMissing } from '../lab/available.js';
import { beats, describeFile, makeFilm, packets } from '../lab/films.js';
import { program, Server } from '../lab/server.js';
import { stop } from '../lab/shell.js';
import { STEP_TIMEOUT, SUITE_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../browser/launch.js').BrowserName} BrowserName */

/** The greatest distance of sound and picture that viewers miss, in seconds (ITU-R BT.1359). */
const LIP_SYNC = 0.04;

/** Seconds of a recording that a crash may cost. */
const LAST_SECONDS = 3;

const skip = await programsMissing(...BROWSER_PROGRAMS, 'ffmpeg', 'ffprobe');

describe('media', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;
  /** @type {Record<BrowserName, import('../browser/launch.js').Running>} */ let browsers;
  /** @type {CallPage[]} */ let pages = [];
  /** @type {import('node:child_process').ChildProcess[]} */ let programs = [];
  /** @type {string} */ let folder;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'columba-media-'));
    const [started, chromium, firefox] = await Promise.all([
      Server.start({ args: ['--joins-per-minute', '1000'] }),
      launch('chromium'),
      launch('firefox'),
    ]);
    server = started;
    browsers = { chromium, firefox };
  });
  after(async () => {
    await Promise.all(Object.values(browsers ?? {}).map((running) => running.close()));
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    const faults = pages.flatMap((page) => page.faults.map((fault) => `${page.label}: ${fault}`));
    await Promise.all(pages.map((page) => page.close()));
    await Promise.all(programs.map((child) => stop(child)));
    [pages, programs] = [[], []];
    assert.deepEqual(faults, [], 'no error was left uncaught in a page');
  });

  /**
   * @param {string} token
   * @param {BrowserName} name
   * @param {import('../browser/call-page.js').OpenOptions} [options]
   */
  async function enter(token, name, options) {
    const page = await CallPage.join(browsers[name], server.origin, token, options);
    pages.push(page);
    return page;
  }

  /** Runs a command of the program. @param {string[]} args */
  function run(...args) {
    const child = spawn(program(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    programs.push(child);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    return { child, said: () => said };
  }

  /** @type {[import('../lab/films.js').FilmKind, BrowserName[]][]} */
  const films = [
    ['vp8', ['chromium', 'firefox']],
    ['vp9', ['chromium', 'firefox']],
    ['av1', ['chromium', 'firefox']],
    ['h264', ['chromium']],
  ];
  for (const [kind, names] of films) {
    it(`a film of ${kind} is seen and heard in ${names.join(' and ')}`, async () => {
      const film = await makeFilm(folder, kind);
      const token = randomUUID();
      const all = [];
      for (const name of names) all.push(await enter(token, name, { media: false, name }));
      const { said } = run('play', '--loop', '--name', 'the film', film, `${server.origin}/#${token}`);
      for (const page of all) await page.watches('the film', { frames: 75, width: 320 }).catch((error) => assert.fail(`${error.message}\n${said()}`));
    });
  }

  it('what browsers say and show is recorded, in sync, and everybody sees it', async () => {
    const token = randomUUID();
    const names = /** @type {BrowserName[]} */ (['chromium', 'firefox']);
    for (const name of names) await enter(token, name, { name, script: clockCamera });
    const directory = mkdtempSync(join(folder, 'recorded-'));
    const { child, said } = run('record', '--directory', directory, `${server.origin}/#${token}`);
    for (const page of pages) {
      await page.until('the sign of a recording', () => {
        const sign = document.querySelector('[data-testid=recording]');
        return sign instanceof HTMLElement && !sign.hidden && sign.textContent === 'Recorded by Recorder';
      });
    }
    // A page on loaded cores draws its flash late, now and then; what the recorder adds shows in
    // every beat. The files can be read while they grow.
    const inSync = async (/** @type {string} */ file) => {
      const { offsets, beeps } = await beats(join(directory, file)).catch(() => ({ offsets: [], beeps: [] }));
      const good = offsets.filter((offset) => Math.abs(offset) <= LIP_SYNC).length >= 3;
      return { offsets, good: good && beeps.length >= 6 };
    };
    const waiting = new Set(names.map((name) => `${name}.webm`));
    for (const end = Date.now() + STEP_TIMEOUT; waiting.size > 0; ) {
      await new Promise((resolve) => setTimeout(resolve, 2000));
      for (const file of waiting) {
        const { offsets, good } = await inSync(file);
        if (good) waiting.delete(file);
        else assert.ok(Date.now() < end, `${file}: sound and picture are apart by ${offsets.join(', ')} s: ${said()}`);
      }
    }
    child.kill('SIGINT');
    await new Promise((resolve) => child.once('exit', resolve));
    const files = readdirSync(directory).sort();
    assert.deepEqual(files, names.map((name) => `${name}.webm`), said());
    for (const file of files) {
      const path = join(directory, file);
      const { video, audio } = await describeFile(path);
      assert.ok(video.frames > 100 && video.width === 320, `${file}: ${JSON.stringify(video)}`);
      assert.ok(audio.frames > 300, `${file}: ${JSON.stringify(audio)}`);
    }
  });

  /** @typedef {Partial<Record<'video' | 'audio', string>>} Codecs */
  /** @type {[import('../lab/films.js').FilmKind, string, Codecs][]} */
  const recorded = [
    ['h264', 'mp4', { video: 'h264', audio: 'opus' }],
    ['vp9', 'webm', { video: 'vp9', audio: 'opus' }],
    ['av1', 'webm', { video: 'av1', audio: 'opus' }],
    ['ivf', 'webm', { video: 'vp8' }],
    ['ogg', 'webm', { audio: 'opus' }],
  ];
  for (const [kind, extension, codecs] of recorded) {
    it(`a film of ${kind} is played and recorded, and what is recorded outlives the recorder`, async (test) => {
      const link = `${server.origin}/#${randomUUID()}`;
      const directory = mkdtempSync(join(folder, 'killed-'));
      const recorder = run('record', '--wait', '--directory', directory, link);
      const film = await makeFilm(folder, kind);
      const player = run('play', '--loop', '--wait', '--name', 'film', film, link);
      const path = join(directory, `film.${extension}`);
      const said = () => `${recorder.said()}${player.said()}`;
      const wanted = Object.keys(codecs).length * 100;
      // The file grows while it is written: it can be read at any time.
      const read = () => packets(path).catch(() => []);
      let begun = Infinity;
      for (const end = Date.now() + 2 * STEP_TIMEOUT; ; ) {
        if (recorder.said().includes('Recording film')) begun = Math.min(begun, Date.now());
        const now = await read();
        if (now.length > wanted && now.at(-1).time > 6) break;
        assert.ok(Date.now() < end, `${path} has ${now.length} packets: ${said()}`);
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      const before = (await read()).at(-1);
      const passed = (Date.now() - begun) / 1000;
      recorder.child.kill('SIGKILL');
      await new Promise((resolve) => recorder.child.once('exit', resolve));
      const { video, audio } = await describeFile(path);
      assert.deepEqual({ video: video.codec, audio: audio.codec }, { video: codecs.video, audio: codecs.audio });
      const end = (await read()).at(-1);
      assert.ok(end.time >= before.time, 'nothing that was in the file is lost');
      assert.ok(end.time > passed - LAST_SECONDS, `${end.time} of ${passed} s`);
      if (codecs.video) assert.ok(video.frames > 50 && video.width === 320, JSON.stringify(video));
      if (codecs.audio) assert.ok(audio.frames > 200, JSON.stringify(audio));
      test.diagnostic(`${end.time.toFixed(1)} s, ${video.frames} pictures, ${audio.frames} of sound`);
    });
  }

  it('a file that cannot be played, and a directory that is not there, are refused with a sentence', async () => {
    const link = `${server.origin}/#${randomUUID()}`;
    for (const args of [
      ['play', '/nowhere/film.webm', link],
      ['play', program(), link],
      ['record', '--directory', '/nowhere', link],
      ['record', 'not a link'],
    ]) {
      const { child, said } = run(...args);
      const code = await new Promise((resolve) => child.once('exit', resolve));
      assert.equal(code, 2, args.join(' '));
      assert.match(said(), /^columba: [^\n]+\.\n$/, args.join(' '));
    }
  });
});
