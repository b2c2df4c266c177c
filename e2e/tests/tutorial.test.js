// Code as the introductions write it works with our SignalingChannel, on a web site of another
// origin.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { CallPage } from '../browser/call-page.js';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { programsMissing } from '../lab/available.js';
import { hostPages } from '../browser/pages/host.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { Server } from '../lab/server.js';

const skip = await programsMissing(...BROWSER_PROGRAMS);

describe('a page in the style of the tutorials', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;
  /** @type {Awaited<ReturnType<typeof hostPages>>} */ let site;
  /** @type {import('../browser/launch.js').Running[]} */ let running = [];

  before(async () => {
    site = await hostPages();
    server = await Server.start({ args: ['--allow-origin', site.origin] });
    running = await Promise.all([launch('chromium'), launch('firefox')]);
  });
  after(async () => {
    await Promise.all(running.map((browser) => browser.close()));
    site?.close();
    await server?.stop();
  });

  /** @param {CallPage} page */
  function seesTheOther(page) {
    return page.until('a remote stream that plays', () => {
      const video = /** @type {HTMLVideoElement | null} */ (document.getElementById('remote'));
      const stream = /** @type {MediaStream | null | undefined} */ (video?.srcObject);
      return stream?.getAudioTracks().length === 1 && (video?.videoWidth ?? 0) > 0 && (video?.currentTime ?? 0) > 0.3;
    });
  }

  /** @param {CallPage} from @param {CallPage} to */
  async function says(from, to) {
    const text = randomUUID();
    await from.until('an open data channel', () => !(/** @type {any} */ (document.getElementById('send')).disabled));
    await from.page.evaluate((value) => {
      /** @type {any} */ (document.getElementById('text')).value = value;
      document.getElementById('send')?.click();
    }, text);
    await to.until('the message', (wanted) => document.getElementById('messages')?.textContent?.includes(wanted), text);
  }

  /**
   * @param {Record<string, string>} caller @param {Record<string, string>} callee query parameters
   * @param {{webSocket: boolean, callerFirst: boolean}} how
   */
  async function call(caller, callee, { webSocket, callerFirst }) {
    const open = async (/** @type {number} */ browser, /** @type {Record<string, string>} */ query) => {
      const stun = `stun:localhost:${server.ports.stun}`;
      const all = new URLSearchParams({ signal: `${server.origin}/v1/signal`, stun, ...query });
      return await CallPage.open(running[browser], `${site.origin}/tutorial.html?${all}`, { webSocket });
    };
    const openCaller = () => open(0, { role: 'caller', ...caller });
    const openCallee = () => open(1, { role: 'callee', ...callee });
    const first = await (callerFirst ? openCaller() : openCallee());
    const second = await (callerFirst ? openCallee() : openCaller());
    const pages = [first, second];
    await Promise.all(pages.map((page) => page.until('a connection', () => document.body.dataset.connection === 'connected')));
    await Promise.all(pages.map(seesTheOther));
    await says(first, second);
    await says(second, first);
    for (const page of pages) {
      assert.deepEqual(page.faults, []);
      assert.equal(page.requests.includes(`POST ${server.origin}/v1/signal`), !webSocket, 'the door that it took');
      await page.close();
    }
  }

  it('connects over WebSocket with a token, the callee first', async () => {
    const remote = randomUUID();
    await call({ remote }, { remote }, { webSocket: true, callerFirst: false });
  });

  it('connects over HTTP with client ids, the caller first', async () => {
    const [alice, bob] = [`alice-${randomUUID()}`, `bob-${randomUUID()}`];
    await call({ own: alice, remote: `@${bob}` }, { own: bob, remote: `@${alice}` }, { webSocket: false, callerFirst: true });
  });
});
