// A figure of the laboratory with everybody in it: the server, and a browser at each peer.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Server } from '../lab/server.js';
import { Authority } from '../browser/authority.js';
import { CallPage } from '../browser/call-page.js';
import { launch } from '../browser/launch.js';

/** @typedef {import('../browser/launch.js').BrowserName} BrowserName */
/** @typedef {import('../browser/call-page.js').OpenOptions} OpenOptions */

/** Milliseconds in which browsers that are connected leave the relay, if they do. */
const LEFT_FOR_DIRECT = 15_000;

/** A figure with the server in it, and a browser at each peer. */
export class Scene {
  /**
   * @param {import('../lab/lab.js').Lab} lab @param {Server} server
   * @param {import('../browser/launch.js').Running[]} browsers @param {Authority} authority
   */
  constructor(lab, server, browsers, authority) {
    this.lab = lab;
    this.server = server;
    this.browsers = browsers;
    this.authority = authority;
  }

  /**
   * @param {import('../lab/lab.js').Lab} lab @param {{name: string, address: string}} host
   * @param {{browsers: BrowserName[], asShipped?: boolean, listen?: string, args?: string[]}}
   *   options browsers for p1, p2 and on; where the server listens; more options of its
   */
  static async set(lab, host, { browsers, asShipped, listen = '0.0.0.0', args = [] }) {
    try {
      const authority = await Authority.create(`${lab.folder}/authority`);
      const certificate = await authority.issue('server', [`DNS:${host.name}`, `IP:${host.address}`]);
      const serving = Server.start({
        at: { lab, node: 'server' },
        address: listen,
        host: host.name,
        ports: { web: 443, stun: 3478, turns: 5349 },
        tls: { ...certificate, authority: authority.cert },
        // 10.0.0.0/8 plays the public Internet here.
        args: ['--joins-per-minute', '1000', '--allow-peer', '10.0.0.0/8', ...args],
      });
      const launching = browsers.map((name, index) =>
        launch(name, { authority, asShipped, at: { lab, node: `p${index + 1}` } }),
      );
      return new Scene(lab, await serving, await Promise.all(launching), authority);
    } catch (error) {
      lab.down();
      throw error;
    }
  }

  /**
   * Brings both peers into one call, asks `about` it, and ends it.
   * @template T
   * @param {(p1: CallPage, p2: CallPage) => Promise<T>} about @param {OpenOptions} [options]
   */
  async call(about, options = {}) {
    const token = randomUUID();
    const [p1, p2] = await Promise.all(
      this.browsers.map((browser) => CallPage.join(browser, this.server.origin, token, options)),
    );
    try {
      await Promise.all([p1.connectedTo(1), p2.connectedTo(1)]);
      return await about(p1, p2);
    } finally {
      await Promise.all([p1.close(), p2.close()]);
    }
  }

  /**
   * A call with video both ways must take this route; answers with the candidate types.
   *
   * A browser that is short of time may nominate the relay because it answered first, and then
   * stays with it: so where a direct way must be found, not the first call decides, but one of a
   * few.
   * @param {'direct' | 'relayed'} route
   */
  async route(route) {
    for (let calls = route === 'direct' ? 4 : 1; calls > 1; calls--) {
      const found = await this.call(async (...pages) => {
        const takes = await Promise.allSettled(pages.map((page) => page.takes(route, LEFT_FOR_DIRECT)));
        return takes.every(({ status }) => status === 'fulfilled') ? await this.#taken(route, pages) : undefined;
      });
      if (found) return found;
    }
    return await this.call(async (...pages) => {
      await Promise.all(pages.map((page) => page.takes(route)));
      return await this.#taken(route, pages);
    });
  }

  /** @param {'direct' | 'relayed'} route @param {CallPage[]} pages */
  async #taken(route, pages) {
    await Promise.all(pages.map((page) => page.seesVideo(1)));
    const [pair1, pair2] = (await Promise.all(pages.map((page) => page.pairs()))).flat();
    for (const pair of [pair1, pair2]) {
      assert.equal([pair.local, pair.remote].includes('relay'), route === 'relayed', JSON.stringify(pair));
    }
    return { route, p1: `${pair1.local} – ${pair1.remote}`, p2: `${pair2.local} – ${pair2.remote}` };
  }

  async strike() {
    await Promise.all(this.browsers.map((browser) => browser.close()));
    await this.server.stop();
    this.lab.down();
  }
}
