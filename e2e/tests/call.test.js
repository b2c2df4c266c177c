// Real browsers in a call through the real server, all on this machine.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { CallPage } from '../browser/call-page.js';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { programsMissing } from '../lab/available.js';
import { STEP_TIMEOUT, SUITE_TIMEOUT } from '../lab/timeouts.js';
import { Server } from '../lab/server.js';

/** @typedef {import('../browser/launch.js').BrowserName} BrowserName */

const skip = await programsMissing(...BROWSER_PROGRAMS);

describe('a call', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;
  /** @type {Record<BrowserName, import('../browser/launch.js').Running>} */ let browsers;
  /** @type {CallPage[]} */ let pages = [];

  before(async () => {
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
  });
  afterEach(async () => {
    const faults = pages.flatMap((page) => page.faults.map((fault) => `${page.label}: ${fault}`));
    await Promise.all(pages.map((page) => page.close()));
    pages = [];
    assert.deepEqual(faults, [], 'no error was left uncaught in a page');
  });

  /**
   * @param {string} token
   * @param {BrowserName} name
   * @param {import('../browser/call-page.js').OpenOptions} [options]
   */
  async function join(token, name, options) {
    const page = await CallPage.join(browsers[name], server.origin, token, options);
    pages.push(page);
    return page;
  }

  /**
   * Everybody is connected to everybody, sees moving pictures, and hears what the others say.
   * @param {CallPage[]} all
   */
  async function talk(...all) {
    const others = all.length - 1;
    await Promise.all(all.map((page) => page.connectedTo(others)));
    await Promise.all(all.map((page) => page.seesVideo(others)));
    for (const [index, speaker] of all.entries()) {
      const text = `hello ${index} ${randomUUID()}`;
      await speaker.chat(text);
      await Promise.all(all.filter((page) => page !== speaker).map((page) => page.receives(text)));
    }
  }

  /** A short talk for the picture. @param {CallPage} one @param {CallPage} other */
  async function talkAbout(one, other) {
    await Promise.all([one, other].map((page) => page.connectedTo(1)));
    await one.click('chat-toggle');
    await other.chat('Is this going straight from you to me?');
    await one.receives('straight');
    await one.chat('It is: the badge says direct.');
    await other.receives('direct');
    await Promise.all([one, other].map((page) => page.takes('direct')));
    await Promise.all([one, other].map((page) => page.seesVideo(1)));
  }

  /** @type {[BrowserName, BrowserName][]} */
  const couples = [
    ['chromium', 'chromium'],
    ['firefox', 'firefox'],
    ['chromium', 'firefox'],
  ];
  for (const [one, other] of couples) {
    it(`${one} and ${other}: video and chat both ways, directly`, async () => {
      const token = randomUUID();
      const both = [await join(token, one), await join(token, other)];
      await talk(...both);
      await Promise.all(both.map((page) => page.takes('direct')));
    });
  }

  it('three peers in one session', async () => {
    const token = randomUUID();
    await talk(await join(token, 'chromium'), await join(token, 'firefox'), await join(token, 'chromium'));
  });

  for (const [stays, reloads] of /** @type {[BrowserName, BrowserName][]} */ ([['firefox', 'chromium'], ['chromium', 'firefox']])) {
    it(`a reload of ${reloads} rejoins ${stays}`, async () => {
      const token = randomUUID();
      const [one, other] = [await join(token, stays), await join(token, reloads)];
      await talk(one, other);
      await other.page.reload({ waitUntil: 'load', timeout: STEP_TIMEOUT });
      await other.inSession();
      await talk(one, other);
    });
  }

  it('the server killed and restarted does not disturb a direct call, and signaling finds itself again', async () => {
    const token = randomUUID();
    const both = [await join(token, 'chromium'), await join(token, 'firefox')];
    await talk(...both);
    const mark = () => {
      for (const { connection } of /** @type {any} */ (globalThis).columba.call.peers.values()) connection.fromBefore = true;
    };
    await Promise.all(both.map((page) => page.page.evaluate(mark)));

    await server.kill();
    await Promise.all(
      both.map((page) =>
        page.until('reconnecting', () => document.querySelector('[data-testid=status]')?.getAttribute('data-state') === 'reconnecting'),
      ),
    );
    // The call goes on without a server: pictures, and the chat, which is peer to peer too.
    await talk(...both);
    await server.start();
    await Promise.all(
      both.map((page) =>
        page.until('the call as before', () => document.querySelector('[data-testid=status]')?.getAttribute('data-state') === 'in-call'),
      ),
    );
    // Signaling works again: a new peer finds both, who have found each other without a new
    // connection.
    const third = await join(token, 'chromium');
    await talk(...both, third);
    const kept = () =>
      [.../** @type {any} */ (globalThis).columba.call.peers.values()].filter(({ connection }) => connection.fromBefore).length;
    assert.deepEqual(await Promise.all(both.map((page) => page.page.evaluate(kept))), [1, 1]);
  });

  for (const [one, other] of couples.slice(2)) {
    it(`${one} and ${other} without WebSocket connect over HTTP`, async () => {
      const token = randomUUID();
      const both = [await join(token, one, { webSocket: false }), await join(token, other, { webSocket: false })];
      await talk(...both);
      for (const page of both) {
        assert.equal(await page.page.evaluate(() => 'WebSocket' in globalThis), false);
        assert.ok(page.requests.includes(`POST ${server.origin}/v1/signal`), 'it joined by POST');
      }
    });
  }

  it('one over WebSocket meets one over HTTP', async () => {
    const token = randomUUID();
    await talk(await join(token, 'chromium', { webSocket: false }), await join(token, 'firefox'));
  });

  it('the page asks for the join key, says that a wrong one is wrong, and passes on only one from a link', async () => {
    const guarded = await Server.start({ args: ['--join-key', 'open&sesame'] });
    try {
      const token = randomUUID();
      const one = await CallPage.open(browsers.chromium, `${guarded.origin}/#${token}`);
      pages.push(one);
      const asks = (/** @type {string} */ code) => one.until(`the question after ${code}`, () => {
        const field = document.querySelector('[data-testid=join-key]')?.closest('label');
        return document.body.dataset.view === 'lobby' && field?.hidden === false && document.activeElement?.id === 'join-key';
      });
      const words = () => one.page.$eval('[data-testid=notices]', (notices) => notices.textContent ?? '');
      await one.until('the first view', () => document.body.dataset.view === 'lobby');
      assert.equal(await one.page.$eval('[data-testid=join-key]', (key) => key.closest('label')?.hidden), true, 'nothing is asked before it must be');
      await one.click('start-button');
      await asks('key-required');
      assert.match(await words(), /asks for a key/);
      await one.type('join-key', 'close-sesame');
      await one.click('start-button');
      await one.until('the refusal', () => document.querySelector('[data-testid=notices]')?.textContent?.includes('not the key') ?? false);
      await asks('wrong-key');
      assert.equal(await one.page.$eval('[data-testid=join-key]', (key) => /** @type {HTMLInputElement} */ (key).value), '');
      await one.type('join-key', 'open&sesame');
      await one.click('start-button');
      await one.inSession();
      assert.ok(!one.page.url().includes('key='), 'a typed key is not in the address');
      const link = await one.page.$eval('[data-testid=share-link]', (input) => /** @type {HTMLInputElement} */ (input).value);
      assert.ok(!link.includes('sesame'), 'nor in the link for others');
      // The operator's link has it.
      const other = await CallPage.join(browsers.chromium, guarded.origin, `${token}&key=open%26sesame`);
      pages.push(other);
      await talk(one, other);
    } finally {
      await guarded.stop();
    }
  });

  it('asks no other host for anything', async () => {
    const token = randomUUID();
    const both = [await join(token, 'chromium'), await join(token, 'firefox')];
    await Promise.all(both.map((page) => page.connectedTo(1)));
    for (const page of both) {
      const elsewhere = page.requests.filter((request) => !request.includes(server.origin.replace('http', '')) && !request.includes(' data:'));
      assert.deepEqual(elsewhere, []);
    }
  });

  it('the screenshot of the README can be made', async () => {
    const token = 'a-call-between-friends';
    const size = { width: 1200, height: 750 };
    const shown = await join(token, 'chromium', { ...size, name: 'Ada' });
    const other = await join(token, 'chromium', { name: 'Grace' });
    await talkAbout(shown, other);
    const picture = await shown.page.screenshot({ type: 'png' });
    assert.ok(picture.length > 20_000, 'a picture with something in it');
    if (process.env.UPDATE_SCREENSHOT) writeFileSync(new URL('../../docs/call-page.png', import.meta.url), picture);
  });

  it('hanging up is seen by the other at once', async () => {
    const token = randomUUID();
    const [one, other] = [await join(token, 'chromium'), await join(token, 'firefox')];
    await Promise.all([one, other].map((page) => page.connectedTo(1)));
    await other.click('hangup-button');
    await other.until('the view after a call', () => document.body.dataset.view === 'ended');
    await one.connectedTo(0);
    assert.equal(await one.state(), 'waiting');
  });
});
