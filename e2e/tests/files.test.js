// Files between terminals and browsers, through the real server, all on this machine.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CallPage } from '../browser/call-page.js';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { Terminal } from '../peers/terminal.js';
import { programsMissing } from '../lab/available.js';
import { Server, program } from '../lab/server.js';
import { SlowWay } from '../lab/slow-way.js';
import { STEP_TIMEOUT, SUITE_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../browser/launch.js').BrowserName} BrowserName */

const skip = await programsMissing(...BROWSER_PROGRAMS);

/** @type {BrowserName[]} */
const NAMES = ['chromium', 'firefox'];

/** A browser that has no room of its own, and a person who chooses a folder. Runs in the page. */
function choosesFolder() {
  navigator.storage.estimate = async () => ({ quota: 0, usage: 0 });
  /** @type {any} */ (globalThis).showDirectoryPicker = async () => (await navigator.storage.getDirectory()).getDirectoryHandle('chosen', { create: true });
}

/**
 * The bytes up to which a place in a chosen folder is kept for a page that is loaded again. Runs in
 * the page.
 */
async function keptBytes() {
  const databases = await indexedDB.databases();
  if (!databases.some(({ name }) => name === 'columba-files')) return 0;
  /** @param {IDBRequest<any>} request */
  const result = (request) => new Promise((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
  const database = await result(indexedDB.open('columba-files'));
  const records = await result(database.transaction('folders').objectStore('folders').getAll());
  database.close();
  return Math.max(0, ...records.map((/** @type {any} */ { place }) => place.bytes + place.position.offset));
}

/** Tells if the files of a transfer are kept for a page that is loaded again. Runs in the page. */
async function keepsSent() {
  if (!(await indexedDB.databases()).some(({ name }) => name === 'columba-files')) return false;
  /** @param {IDBRequest<any>} request */
  const result = (request) => new Promise((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
  const database = await result(indexedDB.open('columba-files'));
  const count = await result(database.transaction('sent').objectStore('sent').count());
  database.close();
  return count > 0;
}

/**
 * Counts what the page's data channels send and receive, and keeps what it lets save. Runs in the
 * page.
 */
function observes() {
  const { addEventListener } = EventTarget.prototype;
  /** @type {any} */ (globalThis).receivedBytes = 0;
  /** @param {string} type @param {any[]} rest */
  RTCDataChannel.prototype.addEventListener = function (type, ...rest) {
    const count = (/** @type {any} */ { data }) => void (/** @type {any} */ (globalThis).receivedBytes += data.byteLength ?? 0);
    if (type === 'message') addEventListener.call(this, type, count);
    return /** @type {any} */ (addEventListener).call(this, type, ...rest);
  };
  const { createObjectURL } = URL;
  URL.createObjectURL = (/** @type {any} */ content) => {
    /** @type {any} */ (globalThis).saved = content;
    return createObjectURL.call(URL, content);
  };
  const { send } = RTCDataChannel.prototype;
  /** @type {any} */ (globalThis).sentBytes = 0;
  RTCDataChannel.prototype.send = function (/** @type {any} */ data) {
    /** @type {any} */ (globalThis).sentBytes += data.byteLength ?? 0;
    return send.call(this, data);
  };
}

/** In a page: it learns of the loss of a transfer's channel when `noticeLosses` is called. */
function noticesLate() {
  const { addEventListener } = RTCDataChannel.prototype;
  /** @type {(() => void)[]} */
  const losses = [];
  /** @param {string} type @param {any} listener @param {any[]} rest */
  RTCDataChannel.prototype.addEventListener = function (type, listener, ...rest) {
    const late = type === 'close' && this.label === 'files' ? (/** @type {Event} */ event) => void losses.push(() => listener.call(this, event)) : listener;
    return /** @type {any} */ (addEventListener).call(this, type, late, ...rest);
  };
  /** @type {any} */ (globalThis).noticeLosses = () => losses.splice(0).map((notice) => notice()).length;
}

/** @param {Uint8Array} content */
const digest = (content) => createHash('sha256').update(content).digest('hex');

describe('files', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;
  /** @type {Record<BrowserName, import('../browser/launch.js').Running>} */ let browsers;
  /** @type {string} */ let folder;
  /** @type {Record<string, Uint8Array>} */
  const contents = { 'empty': new Uint8Array(0), 'one byte': Uint8Array.of(7), 'файл 日本 🙂.bin': randomBytes(3_000_001) };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'columba-files-'));
    for (const [name, content] of Object.entries(contents)) writeFileSync(join(folder, name), content);
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
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  /** @param {string[]} args */
  function run(args) {
    const child = spawn(program(), [...args, '--json'], { env: { ...process.env, HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    /** @type {any[]} */
    const events = [];
    let rest = '';
    child.stderr.on('data', (text) => (said += text));
    child.stdout.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) events.push(JSON.parse(line));
    });
    const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)));
    return {
      child,
      ended,
      /** @param {string} name */
      async event(name) {
        const end = Date.now() + STEP_TIMEOUT;
        for (;;) {
          const event = events.find((each) => each.event === name);
          if (event) return event;
          if (Date.now() > end || child.exitCode !== null) throw new Error(`no event ${name}: ${said}\n${JSON.stringify(events)}`);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      },
      get said() {
        return said;
      },
    };
  }

  /** @param {CallPage} page @param {string} state */
  const showsFiles = (page, state) =>
    page.until(`files that are ${state}`, (wanted) => document.getElementById('files')?.dataset.state === wanted, state);

  /**
   * The files that arrived there: names and SHA-256.
   * @param {CallPage} page @returns {Promise<Record<string, string>>}
   */
  async function arrivedIn(page) {
    const all = await page.page.evaluate(async () => {
      const { arrived } = /** @type {any} */ (globalThis).columba.files;
      /** @type {[string, string][]} */
      const files = [];
      for (const { name, blob } of arrived) {
        const reader = new FileReader();
        await new Promise((resolve) => {
          reader.onload = resolve;
          reader.readAsDataURL(blob);
        });
        files.push([name, String(reader.result).split(',')[1] ?? '']);
      }
      return files;
    });
    return Object.fromEntries(all.map(([name, base64]) => [name, digest(Buffer.from(base64, 'base64'))]));
  }

  /**
   * The files in the folder that the person has chosen: names and SHA-256.
   * @param {CallPage} page @returns {Promise<Record<string, string>>}
   */
  async function chosenIn(page) {
    const all = await page.page.evaluate(async () => {
      const folder = /** @type {any} */ (await (await navigator.storage.getDirectory()).getDirectoryHandle('chosen'));
      const files = [];
      for await (const [name, handle] of folder.entries()) {
        const hash = await crypto.subtle.digest('SHA-256', await (await handle.getFile()).arrayBuffer());
        files.push([name, [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('')]);
      }
      return files;
    });
    return Object.fromEntries(all);
  }

  const wanted = () => Object.fromEntries(Object.entries(contents).map(([name, content]) => [name, digest(content)]));
  const paths = () => Object.keys(contents).map((name) => join(folder, name));

  for (const name of NAMES) {
    it(`go from a terminal to ${name} at the link`, async () => {
      const sender = run(['send', '--server', server.origin, '--from', 'Ann', ...paths()]);
      const { link } = await sender.event('waiting');
      const page = await CallPage.open(browsers[name], link);
      await showsFiles(page, 'offered');
      assert.equal(await page.page.$eval('[data-testid=files-title]', (title) => title.textContent), 'Ann offers you 3 files');
      await page.click('files-take');
      await showsFiles(page, 'done');
      assert.deepEqual(await arrivedIn(page), wanted());
      assert.equal(await sender.ended, 0, sender.said);
      assert.deepEqual(page.faults, []);
      await page.close();
    });

    it(`go from ${name} to a terminal`, async () => {
      const page = await CallPage.open(browsers[name], server.origin);
      const input = await page.page.$('[data-testid=send-files]');
      await /** @type {any} */ (input).uploadFile(...paths());
      await showsFiles(page, 'sending');
      const link = await page.page.$eval('[data-testid=files-link]', (field) => /** @type {HTMLInputElement} */ (field).value);
      const out = mkdtempSync(join(tmpdir(), 'columba-out-'));
      const receiver = run(['receive', '--yes', '--out', out, link]);
      assert.equal(await receiver.ended, 0, receiver.said);
      const got = Object.fromEntries(Object.keys(contents).map((file) => [file, digest(readFileSync(join(out, file)))]));
      assert.deepEqual(got, wanted());
      rmSync(out, { recursive: true });
      assert.deepEqual(page.faults, []);
      await page.close();
    });
  }

  it('go on from a page to a receiver that was killed', async () => {
    const large = join(folder, 'large');
    writeFileSync(large, randomBytes(12_000_000));
    const page = await CallPage.open(browsers.chromium, server.origin);
    const input = await page.page.$('[data-testid=send-files]');
    await /** @type {any} */ (input).uploadFile(large);
    await showsFiles(page, 'sending');
    const link = await page.page.$eval('[data-testid=files-link]', (field) => /** @type {HTMLInputElement} */ (field).value);
    const out = mkdtempSync(join(tmpdir(), 'columba-out-'));
    const receive = () => new Terminal(['receive', '--yes', '--out', out, link], { home: folder });
    const first = receive();
    // The place is kept after each 4 MiB.
    await first.reaches(5_000_000);
    await first.kill();
    const second = receive();
    assert.equal(await second.ended, 0, second.said);
    const { sent } = await second.event('done');
    assert.ok(sent < 8_000_000, `${sent} bytes came again`);
    assert.equal(digest(readFileSync(join(out, 'large'))), digest(readFileSync(large)));
    rmSync(out, { recursive: true });
    assert.deepEqual(page.faults, []);
    await page.close();
  });

  it('go on from a sender that was killed to a page', async () => {
    const large = join(folder, 'large');
    writeFileSync(large, randomBytes(20_000_000));
    const send = () => new Terminal(['send', '--server', server.origin, '--limit', '5M', large], { home: folder });
    const first = send();
    const { link } = await first.event('waiting');
    const page = await CallPage.open(browsers.chromium, link);
    await showsFiles(page, 'offered');
    await page.click('files-take');
    await first.reaches(8_000_000);
    await first.kill();
    const second = send();
    await showsFiles(page, 'done');
    const { sent } = await second.event('done');
    assert.ok(sent < 16_000_000, `${sent} bytes were sent again`);
    assert.deepEqual(await arrivedIn(page), { large: digest(readFileSync(large)) });
    assert.equal(await second.ended, 0, second.said);
    assert.deepEqual(page.faults, []);
    await page.close();
  });

  for (const name of NAMES) {
    it(`go on to a page in ${name} that is loaded again in the middle`, async () => {
      const large = join(folder, 'large');
      const size = 20_000_000;
      writeFileSync(large, randomBytes(size));
      const sender = new Terminal(['send', '--server', server.origin, '--limit', '5M', join(folder, 'one byte'), large], { home: folder });
      const { link } = await sender.event('waiting');
      const page = await CallPage.open(browsers[name], link);
      await showsFiles(page, 'offered');
      await page.click('files-take');
      await page.until('half of it that is written', () => Number(/** @type {any} */ (document.querySelector('[data-testid=files-bar]'))?.value) >= 10_000_000);
      await page.page.reload({ waitUntil: 'load', timeout: STEP_TIMEOUT });
      // It does not ask again.
      await showsFiles(page, 'done');
      const { sent } = await sender.event('done');
      assert.ok(sent < size - 6_000_000, `${sent} bytes were sent after it`);
      assert.deepEqual(await arrivedIn(page), { 'one byte': digest(Uint8Array.of(7)), large: digest(readFileSync(large)) });
      assert.equal(await sender.ended, 0, sender.said);
      assert.deepEqual(page.faults, []);
      await page.close();
    });
  }

  it('go on in a folder that was chosen in chromium, when the page is loaded again in the middle', async () => {
    const large = join(folder, 'large');
    const size = 20_000_000;
    writeFileSync(large, randomBytes(size));
    const sender = new Terminal(['send', '--server', server.origin, '--limit', '5M', join(folder, 'one byte'), large], { home: folder });
    const { link } = await sender.event('waiting');
    const page = await CallPage.open(browsers.chromium, link, { script: choosesFolder });
    await showsFiles(page, 'offered');
    await page.click('files-take');
    await page.until('a place that is kept', keptBytes);
    const kept = await page.page.evaluate(keptBytes);
    await page.page.reload({ waitUntil: 'load', timeout: STEP_TIMEOUT });
    await showsFiles(page, 'done');
    const { sent } = await sender.event('done');
    assert.ok(kept >= 1_000_000 && sent <= size + 1 - kept, `${kept} bytes were kept, and ${sent} sent after it`);
    assert.deepEqual(await chosenIn(page), { 'one byte': digest(Uint8Array.of(7)), large: digest(readFileSync(large)) });
    assert.equal(await sender.ended, 0, sender.said);
    assert.deepEqual(page.faults, []);
    await page.close();
  });

  for (const [first, second] of /** @type {[BrowserName, BrowserName][]} */ ([['chromium', 'firefox'], ['firefox', 'chromium'], ['chromium', 'chromium']])) {
    it(`that ${first} receives from a terminal are not taken from it by ${second} at the same link, which is told`, async () => {
      const large = join(folder, 'large');
      writeFileSync(large, randomBytes(12_000_000));
      const sender = new Terminal(['send', '--server', server.origin, '--limit', '2M', large], { home: folder });
      const { link } = await sender.event('waiting');
      const page = await CallPage.open(browsers[first], link);
      await showsFiles(page, 'offered');
      await page.click('files-take');
      await sender.reaches(1_000_000);
      const late = await CallPage.open(browsers[second], link);
      await late.until('the news', () => document.getElementById('files-title')?.textContent === 'Another person receives these files now');
      await showsFiles(page, 'done');
      assert.deepEqual(await arrivedIn(page), { large: digest(readFileSync(large)) });
      await showsFiles(late, 'failed');
      const text = await late.page.$eval('[data-testid=files-text]', (element) => element.textContent ?? '');
      // On a machine so busy that nothing moves for two seconds it is the other one's turn, which
      // leaves it to the page that has begun.
      assert.match(text, first === second ? /has taken the files|arrive there/ : /has taken the files/);
      assert.equal(await sender.ended, 0, sender.said);
      assert.deepEqual([...page.faults, ...late.faults], []);
      await Promise.all([page.close(), late.close()]);
    });
  }

  it('go from a page to all who open its link, but once to each browser', async () => {
    const sender = await CallPage.open(browsers.firefox, server.origin);
    await /** @type {any} */ (await sender.page.$('[data-testid=send-files]')).uploadFile(...paths());
    await showsFiles(sender, 'sending');
    const link = await sender.page.$eval('[data-testid=files-link]', (field) => /** @type {HTMLInputElement} */ (field).value);
    const [one, other] = [await CallPage.open(browsers.chromium, link), await CallPage.open(browsers.firefox, link)];
    await Promise.all([one, other].map((page) => showsFiles(page, 'offered')));
    // A second page of the same browser would write to the same place.
    const again = await CallPage.open(browsers.chromium, link);
    await showsFiles(again, 'failed');
    assert.equal(await again.page.$eval('[data-testid=files-title]', (title) => title.textContent), 'Another page of this browser has these files');
    for (const page of [one, other]) await page.click('files-take');
    for (const page of [one, other]) {
      await showsFiles(page, 'done');
      assert.deepEqual(await arrivedIn(page), wanted());
    }
    const all = [sender, one, other, again];
    assert.deepEqual(all.flatMap(({ faults }) => faults), []);
    await Promise.all(all.map((page) => page.close()));
  });

  // On this way a round trip takes so long that all else is short beside it. TCP's own handshake is
  // not among them, nor is the way between the two programs.
  for (const [kind, listed, words] of /** @type {const} */ ([
    ['link', 3, 'WebSocket, entering, offer and answer'],
    ['code', 7, 'WebSocket, entering, shares, proofs, WebSocket, entering, offer and answer'],
  ])) {
    it(`begin to come by a ${kind} after the round trips that docs/files.md lists: ${words}`, async () => {
      const roundTrip = 4000;
      const way = await SlowWay.open(server.ports.web, roundTrip / 2);
      const sender = new Terminal(['send', '--server', server.origin, join(folder, 'файл 日本 🙂.bin')], { home: folder });
      const { link, code } = await sender.event('waiting');
      const out = mkdtempSync(join(tmpdir(), 'columba-out-'));
      const given = kind === 'link' ? [link.replace(server.origin, way.origin)] : ['--server', way.origin, code];
      const receiver = new Terminal(['receive', '--yes', '--out', out, ...given], { home: mkdtempSync(join(folder, 'home-')) });
      const { at } = await receiver.event('done');
      assert.equal(await receiver.ended, 0, receiver.said);
      await Promise.all([sender.ended, way.close()]);
      rmSync(out, { recursive: true });
      const taken = (at - way.begun) / roundTrip;
      assert.ok(Math.floor(taken) <= listed, `${taken.toFixed(2)} round trips to the server`);
    });
  }

  it('that a person in the browser declines do not go', async () => {
    const sender = run(['send', '--server', server.origin, join(folder, 'one byte')]);
    const { link } = await sender.event('waiting');
    const page = await CallPage.open(browsers.chromium, link);
    await showsFiles(page, 'offered');
    await page.click('files-decline');
    await showsFiles(page, 'failed');
    assert.equal(await sender.ended, 3, sender.said);
    await page.close();
  });

  it('go from browser to browser in a call', async () => {
    const token = `files-${Date.now()}`;
    const one = await CallPage.join(browsers.chromium, server.origin, token, { media: false, name: 'Ann' });
    const other = await CallPage.join(browsers.firefox, server.origin, token, { media: false, name: 'Bob' });
    await Promise.all([one.connectedTo(1), other.connectedTo(1)]);
    for (const [from, to] of [[one, other], [other, one]]) {
      const input = await from.page.$('[data-testid=chat-files]');
      await /** @type {any} */ (input).uploadFile(join(folder, 'файл 日本 🙂.bin'));
      await to.until('an offer', () => document.querySelector('[data-testid=transfer-take]') !== null);
      await to.click('transfer-take');
      await to.until('the saved file', () => document.querySelector('[data-testid=transfer-save]') !== null);
      await from.until('the news of it', () => [...document.querySelectorAll('[data-testid=transfer]')].some((item) => item.textContent?.includes('arrived')));
    }
    assert.deepEqual([...one.faults, ...other.faults], []);
    await Promise.all([one.close(), other.close()]);
  });

  describe('in a call', () => {
    /**
     * @param {BrowserName} from
     * @param {BrowserName} to
     * @param {() => void} script of the receiver's page
     */
    async function callOf(from, to, script = observes) {
      const token = `files-${randomBytes(6).toString('hex')}`;
      const one = await CallPage.join(browsers[from], server.origin, token, { media: false, name: 'Ann', script: observes });
      const other = await CallPage.join(browsers[to], server.origin, token, { media: false, name: 'Bob', script });
      await Promise.all([one.connectedTo(1), other.connectedTo(1)]);
      return { one, other };
    }

    /** @param {CallPage} page @param {string} path */
    async function send(page, path) {
      await /** @type {any} */ (await page.page.$('[data-testid=chat-files]')).uploadFile(path);
    }

    /** @param {CallPage} page @param {string} button */
    const offers = (page, button) => page.until(`the button ${button}`, (id) => document.querySelector(`[data-testid=${id}]`) !== null, button);

    /** @param {CallPage} page */
    async function reload(page) {
      await page.page.reload({ waitUntil: 'load', timeout: STEP_TIMEOUT });
      await page.inSession();
      await page.connectedTo(1);
    }

    /**
     * Bytes since the page was loaded.
     * @param {CallPage} page
     * @param {'sentBytes' | 'receivedBytes'} which
     */
    const count = (page, which) => page.page.evaluate((name) => /** @type {any} */ (globalThis)[name], which);

    /** Waits until so much is written. @param {CallPage} page @param {number} bytes */
    const has = (page, bytes) =>
      page.until(`${bytes} bytes`, (least) => Number(/** @type {any} */ (document.querySelector('[data-testid=transfer] progress'))?.value) >= least, bytes);

    /**
     * In the page: whether the file is saved, or more than these bytes of it.
     * @param {number} bytes
     */
    const written = (bytes) =>
      document.querySelector('[data-testid=transfer-save]') !== null ||
      Number(/** @type {any} */ (document.querySelector('[data-testid=transfer] progress'))?.value ?? 0) > bytes;

    /** The SHA-256 of the file that was saved. @param {CallPage} page */
    async function savedIn(page) {
      // Beside a call on a busy machine all of it may take longer than a step; a part does not.
      for (let bytes = 0, isSaved = false; !isSaved; ) {
        await page.until('more of the file', written, bytes);
        ({ bytes, isSaved } = await page.page.evaluate(() => ({
          bytes: Number(/** @type {any} */ (document.querySelector('[data-testid=transfer] progress'))?.value ?? 0),
          isSaved: document.querySelector('[data-testid=transfer-save]') !== null,
        })));
      }
      return await page.page.evaluate(async () => {
        const content = await /** @type {any} */ (globalThis).saved.arrayBuffer();
        const hash = await crypto.subtle.digest('SHA-256', content);
        return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
      });
    }

    /** @param {CallPage[]} pages */
    async function close(...pages) {
      assert.deepEqual(pages.flatMap(({ faults }) => faults), []);
      await Promise.all(pages.map((page) => page.close()));
    }

    /** @param {string} name @param {number} size */
    function fileOf(name, size) {
      const path = join(folder, name);
      writeFileSync(path, randomBytes(size));
      return path;
    }

    /** Bytes of a file that takes a while. */
    const FILM = 40_000_000;

    /**
     * Two pages of which one has half of a file that the other sends.
     * @param {BrowserName} from @param {BrowserName} to
     */
    async function half(from, to) {
      const { one, other } = await callOf(from, to);
      const path = fileOf('film', FILM);
      await send(one, path);
      await offers(other, 'transfer-take');
      await other.click('transfer-take');
      await has(other, FILM / 2);
      return { one, other, path };
    }

    /**
     * Waits until the browser has kept what the page sends, for the page that follows.
     *
     * @param {CallPage} page
     */
    const keeps = (page) => page.until('a kept file', keepsSent);

    for (const [from, to] of /** @type {[BrowserName, BrowserName][]} */ ([['chromium', 'firefox'], ['firefox', 'chromium']])) {
      it(`go on to a receiver in ${to} that is loaded again in the middle`, async () => {
        const { one, other, path } = await half(from, to);
        await reload(other);
        // It does not ask again.
        assert.equal(await savedIn(other), digest(readFileSync(path)));
        const received = await count(other, 'receivedBytes');
        assert.ok(received < FILM - 16_000_000, `${received} bytes came after it`);
        await close(one, other);
      });

      it(`go on from a sender in ${from} that is loaded again in the middle`, async () => {
        const { one, other, path } = await half(from, to);
        await keeps(one);
        await reload(one);
        assert.equal(await savedIn(other), digest(readFileSync(path)));
        const sent = await count(one, 'sentBytes');
        assert.ok(sent < FILM - 16_000_000, `${sent} bytes were sent after it`);
        await close(one, other);
      });

      it(`go on to a receiver in ${to} that learns of the loss when the sender is back already`, async () => {
        const { one, other } = await callOf(from, to, noticesLate);
        const path = fileOf('note', 3_000_000);
        await send(one, path);
        await offers(other, 'transfer-take');
        await keeps(one);
        await reload(one);
        await other.connectedTo(1);
        await other.until('a loss', () => /** @type {any} */ (globalThis).noticeLosses() > 0);
        await offers(other, 'transfer-take');
        await other.click('transfer-take');
        await other.until('the saved file', () => document.querySelector('[data-testid=transfer-save]') !== null);
        await close(one, other);
      });

      it(`are offered again after ${from} or ${to} was loaded again`, async () => {
        const { one, other } = await callOf(from, to);
        const path = fileOf('note', 3_000_000);
        await send(one, path);
        for (const page of [other, one]) {
          await offers(other, 'transfer-take');
          await reload(page);
        }
        await offers(other, 'transfer-take');
        await other.click('transfer-take');
        assert.equal(await savedIn(other), digest(readFileSync(path)));
        await close(one, other);
      });
    }

    it('and are too large for the browser to keep are chosen again by a sender that was loaded again', async () => {
      const { one, other } = await callOf('chromium', 'firefox');
      const size = 70_000_000;
      const path = fileOf('film', size);
      await send(one, path);
      await offers(other, 'transfer-take');
      await other.click('transfer-take');
      await has(other, 20_000_000);
      await reload(one);
      await offers(one, 'transfer-choose');
      await /** @type {any} */ (await one.page.$('[data-testid=transfer-choose-input]')).uploadFile(path);
      assert.equal(await savedIn(other), digest(readFileSync(path)));
      const sent = await count(one, 'sentBytes');
      assert.ok(sent < size - 16_000_000, `${sent} bytes were sent after it`);
      await close(one, other);
    });
  });
});
