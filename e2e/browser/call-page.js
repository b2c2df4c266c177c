// The call page as a person uses it, through the hooks that web/README.md promises; what the
// connections do is read from the browser's own statistics and from the pixels of the videos.

import { STEP_TIMEOUT } from '../lab/timeouts.js';

/**
 * @typedef {object} OpenOptions
 * @property {boolean} [webSocket] `false` takes WebSocket away from the page
 * @property {boolean} [media] `false` joins without camera and microphone
 * @property {string} [onlyIceServer] the one TURN URL that the page is left with, or `none`
 * @property {string} [name] what to call oneself
 * @property {() => void} [script] runs in the page before its own scripts
 * @property {number} [width]
 * @property {number} [height]
 */

/**
 * @typedef {object} Pair the selected candidate pair of one connection
 * @property {string} local candidate type
 * @property {string} remote candidate type
 * @property {string} [relayProtocol] how the own relay is reached, where there is one
 * @property {string} [localAddress]
 * @property {string} [remoteAddress]
 */

export class CallPage {
  /** The requests of the page. @type {string[]} */
  requests = [];
  /** Uncaught errors of the page. @type {string[]} */
  faults = [];

  /** @param {import('puppeteer-core').Page} page @param {string} label names it in failures */
  constructor(page, label) {
    this.page = page;
    this.label = label;
    page.on('request', (request) => this.requests.push(`${request.method()} ${request.url()}`));
    page.on('pageerror', (error) => {
      // Firefox reports a server that is away here too, and a connection that is tried anew;
      // a page cannot catch that.
      if (!/can.t establish a connection|interrupted while the page was loading|ICE failed, see about:webrtc/.test(String(error))) this.faults.push(String(error));
    });
  }

  /**
   * @param {import('./launch.js').Running} running
   * @param {string} url
   * @param {OpenOptions} [options]
   */
  static async open(running, url, { webSocket = true, onlyIceServer, width, height, script } = {}) {
    // A window of its own: a page in a hidden tab would be slowed down.
    const page = await running.browser.newPage({ type: 'window' });
    if (width && height) await page.setViewport({ width, height });
    const call = new CallPage(page, `${running.name} at ${url}`);
    if (!webSocket) await page.evaluateOnNewDocument('delete globalThis.WebSocket');
    if (script) await page.evaluateOnNewDocument(script);
    if (onlyIceServer) await page.evaluateOnNewDocument(keepOnly, onlyIceServer);
    await page.goto(url, { timeout: STEP_TIMEOUT, waitUntil: 'load' });
    return call;
  }

  /**
   * Opens the link of a session and joins it.
   * @param {import('./launch.js').Running} running @param {string} origin @param {string} token
   * @param {OpenOptions} [options]
   */
  static async join(running, origin, token, options = {}) {
    const call = await CallPage.open(running, `${origin}/#${token}`, options);
    await call.until('the first view', () => document.body.dataset.view === 'lobby');
    if (options.name) await call.type('name-input', options.name);
    if (options.media === false) {
      for (const device of ['with-microphone', 'with-camera']) await call.click(device);
    }
    await call.click('start-button');
    await call.inSession();
    return call;
  }

  /** Waits until the server has let it in. */
  inSession() {
    return this.until('being in the session', () => {
      const state = document.querySelector('[data-testid=status]')?.getAttribute('data-state');
      return state === 'waiting' || state === 'in-call';
    });
  }

  /**
   * Waits until exactly so many peers are there and connected, if not at the first attempt of the
   * page.
   * @param {number} count
   */
  connectedTo(count) {
    const areConnected = (/** @type {number} */ expected) => {
      const tiles = [...document.querySelectorAll('[data-testid=tile]')];
      const up = tiles.filter((tile) => tile.getAttribute('data-connection-state') === 'connected');
      return tiles.length === expected && up.length === expected;
    };
    return this.#repeat(`${count} connected peers`, () => this.#ask(areConnected, count), 2 * STEP_TIMEOUT);
  }

  /** The `data-state` of the call, which the page also says in words. */
  state() {
    return this.page.$eval('[data-testid=status]', (status) => status.getAttribute('data-state'));
  }

  /** Presses a control. @param {string} id its test id */
  async click(id) {
    await this.page.$eval(`[data-testid=${id}]`, (element) => /** @type {HTMLElement} */ (element).click());
  }

  /** @param {string} id @param {string} text */
  async type(id, text) {
    await this.page.$eval(
      `[data-testid=${id}]`,
      (element, value) => {
        /** @type {HTMLInputElement} */ (element).value = value;
        element.dispatchEvent(new Event('input', { bubbles: true }));
      },
      text,
    );
  }

  /** Says something to everybody. @param {string} text */
  async chat(text) {
    await this.type('chat-input', text);
    await this.click('chat-send');
  }

  /** Waits until another peer has said this. @param {string} text */
  receives(text) {
    return this.until(
      `the chat message ${text}`,
      (wanted) =>
        [...document.querySelectorAll('[data-testid=chat-message]')].some(
          (message) => message.getAttribute('data-from') !== 'self' && message.textContent?.includes(wanted),
        ),
      text,
    );
  }

  /** Video frames decoded so far, per peer. @returns {Promise<Record<string, number>>} */
  framesDecoded() {
    return this.page.evaluate(async () => {
      /** @type {Record<string, number>} */
      const frames = {};
      for (const [id, { connection }] of /** @type {any} */ (globalThis).columba.call.peers) {
        frames[id] = 0;
        for (const report of (await connection.getStats()).values()) {
          if (report.type === 'inbound-rtp' && report.kind === 'video') frames[id] += report.framesDecoded ?? 0;
        }
      }
      return frames;
    });
  }

  /**
   * Waits until every peer's video has advanced by so many frames, and shows a picture that
   * changes.
   * @param {number} peers
   */
  async seesVideo(peers, frames = 15) {
    const before = await this.framesDecoded();
    if (Object.keys(before).length !== peers) throw new Error(`${this.label}: ${Object.keys(before).length} peers`);
    const pictures = await this.pictures();
    let now = before;
    await this.#repeat(`${frames} more frames from each of ${peers} peers`, async () => {
      now = await this.framesDecoded();
      return Object.keys(before).every((id) => now[id] >= before[id] + frames);
    });
    let later = pictures;
    await this.#repeat('pictures that change and are not black', async () => {
      later = await this.pictures();
      return later.length === peers && later.every(({ sum, bright }, index) => bright && sum !== pictures[index]?.sum);
    }).catch((error) => {
      throw new Error(`${error.message}\n${JSON.stringify({ pictures, later })}`);
    });
  }

  /**
   * Waits until the participant of this name was seen for so many frames, and heard.
   * @param {string} name
   * @param {{ frames: number, width: number }} wanted
   */
  async watches(name, { frames, width }) {
    await this.until(`a tile of ${name}`, (/** @type {string} */ wanted) => {
      const tiles = [...document.querySelectorAll('[data-testid=tile]')];
      const tile = tiles.find((one) => one.querySelector('[data-testid=tile-name]')?.textContent === wanted);
      const video = tile?.querySelector('video');
      if (!video?.srcObject) return false;
      const page = /** @type {any} */ (globalThis);
      page.seen ??= { frames: 0, width: 0, last: -1, backwards: 0 };
      if (page.seen.video === video) return true;
      page.seen.video = video;
      const count = (/** @type {number} */ _now, /** @type {any} */ about) => {
        page.seen.frames += 1;
        page.seen.width = about.width;
        if (about.mediaTime < page.seen.last) page.seen.backwards += 1;
        page.seen.last = about.mediaTime;
        video.requestVideoFrameCallback(count);
      };
      // Firefox has it from 132 on.
      video.requestVideoFrameCallback(count);
      return true;
    }, name);
    await this.until(`${frames} frames of ${name}`, (/** @type {number} */ least, /** @type {number} */ size) => {
      const { seen } = /** @type {any} */ (globalThis);
      return seen.frames >= least && seen.width === size && seen.backwards === 0;
    }, frames, width);
    await this.until(`sound of ${name}`, async () => {
      for (const { connection } of /** @type {any} */ (globalThis).columba.call.peers.values()) {
        for (const report of (await connection.getStats()).values()) {
          if (report.type === 'inbound-rtp' && report.kind === 'audio' && report.totalAudioEnergy > 0) return true;
        }
      }
      return false;
    });
  }

  /**
   * Draws each peer's video into a canvas: whether anything bright is in it, and a sum of its
   * pixels.
   */
  pictures() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll('[data-testid=tile-video]')].map((element) => {
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [64, 48];
        const context = canvas.getContext('2d', { willReadFrequently: true });
        context?.drawImage(/** @type {HTMLVideoElement} */ (element), 0, 0, 64, 48);
        const pixels = context?.getImageData(0, 0, 64, 48).data ?? new Uint8ClampedArray();
        let [sum, bright] = [0, false];
        pixels.forEach((value, index) => {
          if (index % 4 === 3) return; // opacity
          sum = (sum * 31 + value) % 0x7fffffff;
          bright ||= value > 60;
        });
        return { sum, bright };
      }),
    );
  }

  /** The selected candidate pair of each connection. @returns {Promise<Pair[]>} */
  pairs() {
    return this.page.evaluate(async () => {
      const pairs = [];
      for (const { connection } of /** @type {any} */ (globalThis).columba.call.peers.values()) {
        const reports = [...(await connection.getStats()).values()];
        const byId = new Map(reports.map((report) => [report.id, report]));
        const transport = reports.find((report) => report.type === 'transport');
        // Firefox marks the pair itself.
        const pair =
          byId.get(transport?.selectedCandidatePairId) ??
          reports.find((report) => report.type === 'candidate-pair' && report.selected);
        if (!pair) continue;
        const [local, remote] = [byId.get(pair.localCandidateId), byId.get(pair.remoteCandidateId)];
        pairs.push({
          local: local.candidateType,
          remote: remote.candidateType,
          relayProtocol: local.relayProtocol,
          localAddress: local.address,
          remoteAddress: remote.address,
        });
      }
      return pairs;
    });
  }

  /** The route of each connection as the page shows it. @returns {Promise<(string | null)[]>} */
  routes() {
    return this.page.$$eval('[data-testid=route-badge]', (badges) => badges.map((badge) => badge.getAttribute('data-route')));
  }

  /**
   * Waits until all selected pairs take this route, and the page says so.
   * @param {'direct' | 'relayed'} route
   * @param {number} [timeout]
   */
  takes(route, timeout) {
    const isTaken = async () => {
      const pairs = await this.pairs();
      const relayed = pairs.map((pair) => (pair.local === 'relay' || pair.remote === 'relay' ? 'relayed' : 'direct'));
      return pairs.length > 0 && [...relayed, ...(await this.routes())].every((found) => found === route);
    };
    return this.#repeat(`${route} connection`, isTaken, timeout);
  }

  /**
   * Asks the page again and again until the answer is yes. Not `waitForFunction`: that waits for
   * animation frames, which a window in the background may not get.
   * @param {string} what
   * @param {(...args: any[]) => unknown} question runs in the page
   * @param {any[]} args
   */
  until(what, question, ...args) {
    return this.#repeat(what, () => this.#ask(question, ...args));
  }

  /** @param {(...args: any[]) => unknown} question @param {any[]} args */
  #ask(question, ...args) {
    return this.page.evaluate(question, ...args).catch(whileNavigating);
  }

  /**
   * @param {string} what
   * @param {() => Promise<unknown>} question
   * @param {number} [timeout] milliseconds
   */
  async #repeat(what, question, timeout = STEP_TIMEOUT) {
    const end = Date.now() + timeout;
    while (!(await question())) {
      if (Date.now() > end) throw new Error(`${this.label}: no ${what} within ${timeout} ms\n${await this.describe()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** The page as a person sees it, for failures. */
  async describe() {
    const seen = await this.page
      .evaluate(() => {
        const words = document.querySelector('[data-testid=status]')?.textContent;
        const notices = document.querySelector('[data-testid=notices]')?.textContent?.trim();
        const transfers = [...document.querySelectorAll('[data-testid=transfer]')].map(({ textContent }) => textContent);
        const tiles = [...document.querySelectorAll('[data-testid=tile]')].map((tile) => ({ .../** @type {HTMLElement} */ (tile).dataset }));
        const videos = [...document.querySelectorAll('video')].map(
          (video) => `${video.dataset.testid} ${video.paused ? 'paused' : 'plays'} ${video.videoWidth}x${video.videoHeight} at ${video.currentTime}`,
        );
        const { visibilityState } = document;
        return JSON.stringify({ view: document.body.dataset.view, visibilityState, words, notices, transfers, tiles, videos });
      })
      .catch(String);
    return [seen, ...this.faults].join('\n');
  }

  async close() {
    await this.page.close();
  }
}

/** A question that a navigation interrupted has no answer yet. @param {Error} error */
function whileNavigating(error) {
  if (/destroyed|navigat|detached|discarded|no such frame/i.test(error.message)) return false;
  throw error;
}

/**
 * Wraps RTCPeerConnection so that it knows only some of the servers it is given. Runs in the
 * page.
 * @param {string} url
 */
function keepOnly(url) {
  const Native = globalThis.RTCPeerConnection;
  /** @param {RTCConfiguration} [configuration] */
  const kept = (configuration) => ({
    ...configuration,
    // With the credentials that the server gave for its own.
    iceServers: configuration?.iceServers?.flatMap((server) => (server.username && url !== 'none' ? [{ ...server, urls: [url] }] : [])),
  });
  globalThis.RTCPeerConnection = class extends Native {
    /** @param {RTCConfiguration} [configuration] */
    constructor(configuration) {
      super(kept(configuration));
    }
    /** @param {RTCConfiguration} [configuration] */
    setConfiguration(configuration) {
      super.setConfiguration(kept(configuration));
    }
  };
}
