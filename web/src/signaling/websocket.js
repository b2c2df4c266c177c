import { lost, parseObject, refusal, unreachable } from './failure.js';

/** The subprotocol of version 1. */
const SUBPROTOCOL = 'columba.v1';

/**
 * The WebSocket transport.
 *
 * @implements {Connection}
 * @typedef {import('./failure.js').Connection} Connection
 */
export class WebSocketConnection {
  /** @type {'websocket'} */
  transport = 'websocket';
  acknowledges = false;

  /** @type {WebSocket} */
  #socket;
  #handlers;
  #timing;
  #entered = false;
  #ended = false;
  #lastHeard = Date.now();
  /** When an unanswered probe must have been answered; 0 if none is under way. */
  #probeUntil = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #heartbeat;

  /**
   * @param {import('./failure.js').ConnectionOptions} options
   * @throws if there is no WebSocket here, or it may not be used
   */
  constructor({ url, entry, handlers, timing }) {
    this.#handlers = handlers;
    this.#timing = timing;
    const address = new URL(url);
    address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new globalThis.WebSocket(address.href, SUBPROTOCOL);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#end(unreachable()), timing.open);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#end(unreachable()), timing.answer);
      socket.send(JSON.stringify(entry));
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#end(this.#entered ? lost() : unreachable());
    socket.onerror = () => {
      if (!this.#entered) this.#end(unreachable());
    };
  }

  /** @param {string[]} messages */
  send(messages) {
    if (this.#ended || this.#socket.readyState !== 1) return;
    for (const message of messages) this.#socket.send(message);
  }

  /** @param {number} within */
  probe(within) {
    if (this.#ended || !this.#entered || this.#probeUntil !== 0) return;
    this.#probeUntil = Date.now() + within;
    this.send(['{"type":"ping"}']);
  }

  leave() {
    this.send(['{"type":"leave"}']);
    this.abort();
  }

  abort() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    clearInterval(this.#heartbeat);
    try {
      this.#socket.close(1000);
    } catch {
      // A socket that is still connecting may refuse; it is forgotten all the same.
    }
  }

  /** @param {unknown} text */
  #receive(text) {
    if (this.#ended) return;
    this.#lastHeard = Date.now();
    this.#probeUntil = 0;
    const message = parseObject(text);
    if (message === null || message.type === 'pong') return;
    if (message.type === 'ping') return this.send(['{"type":"pong"}']);
    if (message.type === 'error' && (message.fatal === true || !this.#entered)) return this.#end(refusal(message));
    if (this.#entered) return this.#handlers.message(message);
    if (message.type === 'joined' || message.type === 'resumed') this.#enter(message);
  }

  /** @param {any} answer */
  #enter(answer) {
    this.#entered = true;
    clearTimeout(this.#timer);
    this.#heartbeat = setInterval(() => this.#watch(), Math.max(50, this.#timing.probe / 5));
    this.#handlers.entered(answer);
  }

  /**
   * Browsers notice a dead connection only after minutes; an unanswered question shows it in
   * seconds.
   */
  #watch() {
    const now = Date.now();
    if (this.#probeUntil !== 0) {
      if (now >= this.#probeUntil) this.#end(lost());
    } else if (now - this.#lastHeard >= this.#timing.silence) {
      this.probe(this.#timing.probe);
    }
  }

  /** @param {import('./failure.js').Failure} failure */
  #end(failure) {
    if (this.#ended) return;
    this.abort();
    this.#handlers.ended(failure);
  }
}
