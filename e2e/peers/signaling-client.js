// Clients of the signaling protocol, written from docs/signaling.md and nothing else: they send
// what a test tells them to, good or bad.

import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import WebSocket from 'ws';
import { STEP_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {Record<string, any> & {type: string}} Message */

export class SocketClient {
  /** @type {Message[]} */
  #inbox = [];
  /** @type {Set<() => void>} */
  #watchers = new Set();
  /** @type {{code: number, reason: string} | undefined} */
  closed;
  /** The number of the last `send`. */
  sent = 0;

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on('message', (data) => {
      this.#inbox.push(JSON.parse(data.toString()));
      this.#watchers.forEach((watch) => watch());
    });
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#watchers.forEach((watch) => watch());
    });
    socket.on('error', () => {}); // seen as a close
  }

  /**
   * Connects without saying anything.
   * @param {string} url
   * @param {{from?: string, origin?: string, protocol?: string | null}} [options] `from`: the
   *   local address
   */
  static async connect(url, { from, origin, protocol = 'columba.v1' } = {}) {
    const address = url.replace('//localhost', '//127.0.0.1');
    const socket = new WebSocket(address, protocol ?? [], { localAddress: from, origin, handshakeTimeout: STEP_TIMEOUT });
    const client = new SocketClient(socket);
    await once(socket, 'open');
    return client;
  }

  /**
   * Connects and joins.
   * @param {string} url
   * @param {object} join
   * @param {{from?: string}} [options]
   */
  static async join(url, join, options) {
    const client = await SocketClient.connect(url, options);
    client.sendMessage({ type: 'join', ...join });
    const joined = await client.next('joined');
    return Object.assign(client, { joined });
  }

  /** @param {object} message */
  sendMessage(message) {
    this.socket.send(JSON.stringify(message));
  }

  /** Sends the next numbered message. @param {unknown} data @param {string} [to] */
  say(data, to) {
    this.sendMessage({ type: 'send', seq: ++this.sent, to, data });
  }

  /**
   * Takes the next message of a type out of what has come, waiting for it.
   * @param {string} type
   * @returns {Promise<Message>}
   */
  next(type) {
    return this.#until(`a message ${type}`, () => {
      const index = this.#inbox.findIndex((message) => message.type === type);
      return index < 0 ? undefined : this.#inbox.splice(index, 1)[0];
    });
  }

  /** Waits until the connection has ended. */
  ended() {
    return this.#until('the end of the connection', () => this.closed);
  }

  /** Messages that have come and were not taken. */
  get left() {
    return [...this.#inbox];
  }

  close() {
    this.socket.terminate();
  }

  /** @template T @param {string} what @param {() => T | undefined} look @returns {Promise<T>} */
  #until(what, look) {
    return new Promise((resolve, reject) => {
      const watch = () => {
        const found = look();
        if (found === undefined) return;
        end();
        resolve(found);
      };
      const timer = setTimeout(() => {
        end();
        const state = this.closed ? `; closed with ${this.closed.code} ${this.closed.reason}` : '';
        reject(new Error(`${what} did not come; there is ${JSON.stringify(this.left).slice(0, 500)}${state}`));
      }, STEP_TIMEOUT);
      const end = () => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
      };
      this.#watchers.add(watch);
      watch();
    });
  }
}

/**
 * Sends one request to the HTTP transport.
 * @param {string} origin @param {string} method @param {string} path
 * @param {{body?: string, credential?: string, headers?: Record<string, string>, from?: string}}
 *   [options]
 * @returns {Promise<{status: number, headers: import('node:http').IncomingHttpHeaders, text:
 *   string, json: any}>}
 */
export async function request(origin, method, path, { body, credential, headers = {}, from } = {}) {
  if (credential) headers = { ...headers, authorization: `Bearer ${credential}` };
  if (body !== undefined) headers = { 'content-type': 'application/json', ...headers };
  const url = `${origin.replace('//localhost', '//127.0.0.1')}${path}`;
  const sent = httpRequest(url, { method, headers, localAddress: from, signal: AbortSignal.timeout(STEP_TIMEOUT) });
  sent.end(body);
  const [answer] = await once(sent, 'response');
  let text = '';
  for await (const piece of answer.setEncoding('utf8')) text += piece;
  return { status: answer.statusCode, headers: answer.headers, text, json: parse(text) };
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
