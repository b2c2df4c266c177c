import {
  HandlerTarget,
  PeerEvent,
  SignalingCloseEvent,
  SignalingErrorEvent,
  SignalingMessageEvent,
  SignalingStateEvent,
} from './signaling/events.js';
import { HttpConnection, leaveInPassing } from './signaling/http.js';
import { keepInstance, takeInstance } from './signaling/instance.js';
import { Outbox } from './signaling/outbox.js';
import { TIMING } from './signaling/timing.js';
import { WebSocketConnection } from './signaling/websocket.js';

/**
 * @typedef {import('./signaling/failure.js').Connection} Connection
 * @typedef {import('./signaling/failure.js').Failure} Failure
 */

/**
 * @typedef {object} SignalingOptions
 * @property {string} [clientId] the own client id, by which others can ask for this client (`@id`);
 *   random if absent
 * @property {string | URL} [url] the address of the signaling service; by default `/v1/signal` on
 *   the page's own origin
 * @property {'auto' | 'websocket' | 'http'} [transport] the transport to use; `auto` takes HTTP
 *   where WebSockets are blocked
 * @property {string} [joinKey] the key that the server asks for on entering, if it does
 * @property {boolean} [create] enter a new session whose token the server makes; read it from
 *   `session` after `open`
 * @property {Partial<import('./signaling/timing.js').Timing>} [timing] other durations than the
 *   usual ones
 */

/**
 * The events of a channel. A `message` has the properties of what was sent, whatever they are.
 *
 * @typedef {object} SignalingEvents
 * @property {Event} open
 * @property {import('./signaling/events.js').PeerEvent} peer
 * @property {import('./signaling/events.js').SignalingMessageEvent & Record<string, any>} message
 * @property {import('./signaling/events.js').SignalingStateEvent} state
 * @property {Event} iceservers
 * @property {import('./signaling/events.js').SignalingErrorEvent} error
 * @property {import('./signaling/events.js').SignalingCloseEvent} close
 */

/**
 * The membership that the server granted.
 *
 * @typedef {{ peer: string, secret: string, session: string | null, limit: number }} Membership
 */

/** Refusals that trying again would not change. */
const FINAL = new Set([
  'bad-token', 'bad-id', 'bad-instance', 'bad-json', 'bad-message', 'unknown-type', 'id-taken', 'session-full', 'origin-not-allowed',
  'replaced', 'subprotocol-required', 'key-required', 'wrong-key',
]);

/** Refusals after which the membership is gone, so that the client has to join anew. */
const MEMBERSHIP_GONE = new Set(['resume-expired', 'wrong-secret', 'not-joined', 'too-slow', 'violation', 'too-many-errors']);

/**
 * The most received messages that wait for the first `message` listener; later ones are dropped
 * with the error `held-overflow`.
 */
const MAX_UNHEARD = 1024;

/** An event is acknowledged at the latest with the sixteenth; the protocol allows 32. */
const ACKNOWLEDGE_EVERY = 16;

/**
 * So many `sequence-gap` answers in a row mean that the two ends no longer agree; then the client
 * joins anew.
 */
const MAX_GAPS = 5;

/** So many times as long as usual a connection may take to be entered, after failures. */
const MAX_PATIENCE = 8;

/**
 * The time for which refusals of messages behind a missing one may still come in, in milliseconds.
 */
const GAP_PAUSE = 200;

/** The limit of a server that does not tell its own. */
const DEFAULT_MESSAGE_BYTES = 262144;

/**
 * Carries messages between peers that cannot reach each other yet.
 *
 * ```js
 * const channel = new SignalingChannel(location.hash.slice(1));
 * channel.addEventListener('message', (message) => { if (message.offer) … });
 * channel.send({ offer });
 * ```
 *
 * What is sent before the connection is up, or before another peer is there, waits and is delivered
 * to the first that come. What arrives before there is a `message` listener waits as well. Broken
 * connections are mended unseen: every message arrives once and in order as long as the server
 * keeps the membership (30 s); after that, and after a restart of the server, the channel joins
 * anew under the same peer id and sends again what was never acknowledged.
 *
 * Events: `open` (once), `peer`, `message`, `state`, `iceservers` (the server has sent other ones,
 * or fresh credentials), `error`, `close` (once, for good).
 */
export class SignalingChannel extends HandlerTarget {
  #options;
  #timing;
  #url;
  #instance;
  #clientId;
  /** @type {any} the message that enters the session */
  #entry;

  /** @type {'connecting' | 'open' | 'reconnecting' | 'closed'} */
  #state = 'connecting';
  /** @type {Connection | null} */
  #connection = null;
  /** Counts connections, so that a call from an earlier one is known and ignored. */
  #attempt = 0;
  /** @type {Membership | null} */
  #membership = null;
  /** @type {string | null} */
  #peerId = null;
  /** @type {string | null} */
  #session = null;
  #opened = false;
  /** @type {Map<string, { id?: string }>} */
  #peers = new Map();
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  #iceServersExpire = 0;
  /** @type {Array<(servers: RTCIceServer[]) => void>} */
  #waitingForServers = [];

  #outbox;
  #pausedUntil = 0;
  #gaps = 0;
  #lastSeq = 0;
  #acknowledged = 0;
  /** @type {Array<{ data: unknown, from: string }>} */
  #undelivered = [];
  #listening = false;

  #failures = 0;
  #webSocketShutUntil = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #acknowledgeTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #flushTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #departTimer;

  /**
   * @param {string | null} [remoteClientId] whom to meet: a session token that both sides pass, or
   *   `@id` for the client whose id is `id`. Without one, this client waits until another asks for
   *   its own `clientId`.
   * @param {SignalingOptions} [options]
   */
  constructor(remoteClientId, options = {}) {
    super();
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#url = signalingUrl(options.url);
    this.#clientId = options.clientId ?? randomText(12);
    this.#instance = takeInstance(options.clientId, this.#url) ?? randomText(24);
    this.#entry = entryFor(remoteClientId ?? '', options, this.#clientId, this.#instance);
    this.#outbox = new Outbox(this.#timing.hold);
    if (typeof globalThis.addEventListener === 'function') {
      for (const type of PAGE_EVENTS) globalThis.addEventListener(type, this.#pageEvent);
    }
    // Not before the caller had the chance to add listeners.
    queueMicrotask(() => this.#connect());
  }

  /**
   * A session token that cannot be guessed: 128 random bits in 22 URL-safe characters.
   *
   * @returns {string}
   */
  static newToken() {
    return randomText(16);
  }

  /** The own client id, by which others can ask for this client. */
  get clientId() {
    return this.#clientId;
  }

  /** The own peer id in the session; `null` before `open`. */
  get peerId() {
    return this.#peerId;
  }

  /** The session's token; `null` before `open`, and when clients meet by id. */
  get session() {
    return this.#session;
  }

  /** `connecting` until the first `open`, then `open` or `reconnecting`, at last `closed`. */
  get state() {
    return this.#state;
  }

  /** The transport in use: `websocket`, `http`, or `null` while there is no connection. */
  get transport() {
    return this.#connection !== null && this.#state === 'open' ? this.#connection.transport : null;
  }

  /**
   * The peers that can be reached through the server: peer ids, and the client id of those that
   * gave one.
   *
   * @returns {ReadonlyMap<string, { id?: string }>}
   */
  get peers() {
    return this.#peers;
  }

  /** STUN and TURN servers for `new RTCPeerConnection({ iceServers })`; empty before `open`. */
  get iceServers() {
    return this.#iceServers;
  }

  /** When the TURN credentials among them end. */
  get iceServersExpire() {
    return new Date(this.#iceServersExpire * 1000);
  }

  /** The number of sent messages that the server has not accepted yet. */
  get queued() {
    return this.#outbox.length;
  }

  /**
   * Sends a message: anything that `JSON.stringify` can turn to text, at the moment of the call.
   *
   * @param {unknown} object
   * @param {string | { to?: string | null } | null} [to] a peer id; without it the message goes to
   *   everybody who is there, or, while there is none, to the first that come
   * @throws {TypeError} if the value has no JSON text
   * @throws {DOMException} `InvalidStateError` after `close`, `QuotaExceededError` while 1024
   *   messages or 8 MiB wait
   */
  send(object, to = null) {
    const json = JSON.stringify(object);
    if (json === undefined) throw new TypeError('This value cannot be sent, because it has no JSON text.');
    if (this.#state === 'closed') throw new DOMException('The signaling channel is closed.', 'InvalidStateError');
    const receiver = typeof to === 'string' ? to : (to?.to ?? null);
    if (!this.#outbox.add(json, receiver, Date.now())) {
      throw new DOMException('Too many messages wait to be sent.', 'QuotaExceededError');
    }
    this.#flush();
  }

  /** Leaves the session for good. */
  close() {
    this.#close('closed', 'The channel was closed.');
  }

  /**
   * Asks the server for fresh TURN credentials.
   *
   * @returns {Promise<RTCIceServer[]>} the new `iceServers`; rejected if they do not come within 5
   *   s
   */
  refreshIceServers() {
    if (this.#state === 'closed') return Promise.reject(new DOMException('The signaling channel is closed.', 'InvalidStateError'));
    return new Promise((resolve, reject) => {
      const waiter = (/** @type {RTCIceServer[]} */ servers) => {
        clearTimeout(timer);
        resolve(servers);
      };
      const timer = setTimeout(() => {
        this.#waitingForServers = this.#waitingForServers.filter((each) => each !== waiter);
        reject(new DOMException('The signaling server did not send ICE servers in time.', 'TimeoutError'));
      }, this.#timing.refresh);
      this.#waitingForServers.push(waiter);
      if (this.#state === 'open') this.#connection?.send(['{"type":"ice-servers"}']);
    });
  }

  /**
   * @template {keyof SignalingEvents} K
   * @overload
   * @param {K} type
   * @param {((event: SignalingEvents[K]) => unknown) | { handleEvent(event: SignalingEvents[K]):
   *   unknown } | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @overload
   * @param {string} type
   * @param {((event: any) => unknown) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @param {string} type
   * @param {any} listener
   * @param {boolean | AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (type === 'message' && listener && !this.#listening) {
      this.#listening = true;
      // In a task of its own, so that the listeners which the caller adds next get these messages
      // as well.
      setTimeout(() => this.#deliverUndelivered());
    }
  }

  /** @type {((event: SignalingEvents['open']) => unknown) | null} */
  get onopen() { return this._handler('open'); }
  set onopen(handler) { this._setHandler('open', handler); }
  /** @type {((event: SignalingEvents['peer']) => unknown) | null} */
  get onpeer() { return this._handler('peer'); }
  set onpeer(handler) { this._setHandler('peer', handler); }
  /** @type {((event: SignalingEvents['message']) => unknown) | null} */
  get onmessage() { return this._handler('message'); }
  set onmessage(handler) { this._setHandler('message', handler); }
  /** @type {((event: SignalingEvents['state']) => unknown) | null} */
  get onstate() { return this._handler('state'); }
  set onstate(handler) { this._setHandler('state', handler); }
  /** @type {((event: SignalingEvents['iceservers']) => unknown) | null} */
  get oniceservers() { return this._handler('iceservers'); }
  set oniceservers(handler) { this._setHandler('iceservers', handler); }
  /** @type {((event: SignalingEvents['error']) => unknown) | null} */
  get onerror() { return this._handler('error'); }
  set onerror(handler) { this._setHandler('error', handler); }
  /** @type {((event: SignalingEvents['close']) => unknown) | null} */
  get onclose() { return this._handler('close'); }
  set onclose(handler) { this._setHandler('close', handler); }

  #connect() {
    if (this.#state === 'closed') return;
    clearTimeout(this.#retryTimer);
    const transport = this.#options.transport ?? 'auto';
    if (transport === 'http' || (transport === 'auto' && Date.now() < this.#webSocketShutUntil)) this.#open('http');
    else this.#open('websocket');
  }

  /** @param {'websocket' | 'http'} transport */
  #open(transport) {
    this.#abandon();
    const attempt = this.#attempt;
    const current = () => attempt === this.#attempt;
    const handlers = {
      entered: (/** @type {any} */ answer) => current() && this.#entered(answer, transport),
      message: (/** @type {any} */ message) => current() && this.#receive(message),
      ended: (/** @type {Failure} */ failure) => current() && this.#ended(failure, transport),
      lastSeq: () => this.#lastSeq,
    };
    const membership = this.#membership;
    const entry =
      membership === null
        ? this.#entry
        : { type: 'resume', peer: membership.peer, secret: membership.secret, seq: this.#lastSeq };
    const options = { url: this.#url, entry, handlers, timing: this.#patientTiming() };
    if (transport === 'http') {
      this.#connection = new HttpConnection(options);
      return;
    }
    try {
      this.#connection = new WebSocketConnection(options);
    } catch {
      this.#ended({ kind: 'unreachable', code: 'unreachable', message: 'This browser does not allow WebSockets here.' }, transport);
    }
  }

  /**
   * The durations of the next connection. After each failure it gets twice the time to be entered:
   * on a slow machine, or a slow network, none would ever be in otherwise.
   */
  #patientTiming() {
    const factor = Math.min(2 ** this.#failures, MAX_PATIENCE);
    const { open, answer, request, firstByte } = this.#timing;
    return {
      ...this.#timing,
      open: factor * open,
      answer: factor * answer,
      request: factor * request,
      firstByte: factor * firstByte,
    };
  }

  /** Ends the present connection and ignores whatever it still says. */
  #abandon() {
    this.#attempt += 1;
    clearTimeout(this.#departTimer);
    this.#connection?.abort();
    this.#connection = null;
  }

  /**
   * @param {Failure} failure
   * @param {'websocket' | 'http'} transport
   */
  #ended(failure, transport) {
    const wasOpen = this.#state === 'open';
    this.#abandon();
    const auto = (this.#options.transport ?? 'auto') === 'auto';
    if (failure.kind === 'unreachable' && transport === 'websocket' && auto && !wasOpen) {
      this.#webSocketShutUntil = Date.now() + this.#timing.retryWebSocket;
      return this.#open('http');
    }
    // If HTTP fares no better, the transport was not the reason.
    if (failure.kind === 'unreachable' && transport === 'http') this.#webSocketShutUntil = 0;
    if (isFinal(failure)) {
      this.dispatchEvent(new SignalingErrorEvent({ ...failure, fatal: true }));
      return this.#close(failure.code, failure.message);
    }
    if (wasOpen) this.#setState('reconnecting');
    if (MEMBERSHIP_GONE.has(failure.code) && this.#membership !== null) {
      this.#membership = null;
      // The server forgot this client; that is no error, and no reason to wait.
      if (failure.code === 'resume-expired') return this.#connect();
    }
    const delay = Math.max(this.#backoff(), failure.retryAfter ?? 0);
    this.dispatchEvent(new SignalingErrorEvent({ ...failure, fatal: false, retryAfter: Math.round(delay) }));
    if (this.#isClosed()) return;
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
  }

  #isClosed() {
    return this.#state === 'closed';
  }

  /**
   * The first pause is short, because most breaks are; a random part keeps a thousand clients from
   * coming back at once.
   */
  #backoff() {
    const longest = Math.min(this.#timing.backoffMax, this.#timing.backoff * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    return longest * (0.5 + Math.random() / 2);
  }

  /**
   * @param {any} answer
   * @param {'websocket' | 'http'} transport
   */
  #entered(answer, transport) {
    this.#failures = 0;
    this.#pausedUntil = 0;
    if (transport === 'websocket') this.#webSocketShutUntil = 0;
    this.#takeIceServers(answer);
    if (answer.type === 'resumed') {
      if (typeof answer.seq === 'number') this.#outbox.acknowledge(answer.seq);
      this.#outbox.goBack(0);
      this.#acknowledged = this.#lastSeq;
      this.#setState('open');
      return this.#flush();
    }
    const rejoined = this.#opened;
    const limit = answer.limits?.messageBytes;
    this.#membership = {
      peer: String(answer.peer),
      secret: String(answer.secret),
      session: answer.session ?? null,
      limit: typeof limit === 'number' ? limit : DEFAULT_MESSAGE_BYTES,
    };
    this.#peerId = this.#membership.peer;
    this.#session = this.#membership.session;
    if (this.#entry.type === 'create') this.#entry = { ...this.#entry, type: 'join', session: this.#session };
    this.#lastSeq = 0;
    this.#acknowledged = 0;
    this.#outbox.restart();
    this.#opened = true;
    this.#setState('open', rejoined);
    if (!rejoined) this.dispatchEvent(new Event('open'));
    this.#reconcile(Array.isArray(answer.peers) ? answer.peers : []);
    this.#flush();
  }

  /**
   * Tells what has changed since the last list of peers. Who is missing after joining anew may
   * simply not be back yet.
   *
   * @param {any[]} present
   */
  #reconcile(present) {
    const ids = new Set(present.map((each) => each?.peer));
    for (const peer of [...this.#peers.keys()]) if (!ids.has(peer)) this.#peerLeft(peer, 'unknown');
    for (const each of present) if (typeof each?.peer === 'string') this.#peerJoined(each.peer, each.id);
  }

  /**
   * @param {string} peer
   * @param {string} [id]
   */
  #peerJoined(peer, id) {
    if (this.#peers.has(peer)) return;
    this.#peers.set(peer, id === undefined ? {} : { id });
    this.dispatchEvent(new PeerEvent('joined', peer, { id }));
  }

  /**
   * @param {string} peer
   * @param {string} [reason]
   */
  #peerLeft(peer, reason) {
    const details = this.#peers.get(peer);
    if (!this.#peers.delete(peer)) return;
    if (reason === 'left') this.#outbox.forget(peer);
    this.dispatchEvent(new PeerEvent('left', peer, { id: details?.id, reason }));
  }

  /** @param {any} message */
  #receive(message) {
    switch (message.type) {
      case 'ack':
        this.#gaps = 0;
        this.#outbox.acknowledge(message.seq);
        return this.#flush();
      case 'ice-servers':
        this.#takeIceServers(message);
        return this.dispatchEvent(new Event('iceservers'));
      case 'going-away':
        return this.#depart(message.after);
      case 'error':
        return this.#refused(message);
      case 'peer-joined':
        return this.#isNext(message.seq) && this.#peerCame(message);
      case 'peer-left':
        return this.#isNext(message.seq) && this.#peerLeft(message.peer, message.reason);
      case 'message':
        return this.#isNext(message.seq) && this.#deliver(message.data, message.from);
    }
  }

  /** @param {any} message */
  #peerCame(message) {
    this.#peerJoined(message.peer, message.id);
    this.#flush();
  }

  /**
   * Returns whether this event is new; one that was received before is ignored, and one that leaves
   * a gap makes the client resume.
   *
   * @param {unknown} seq
   */
  #isNext(seq) {
    if (seq === this.#lastSeq + 1) {
      this.#lastSeq += 1;
      this.#acknowledgeSoon();
      return true;
    }
    if (typeof seq === 'number' && seq > this.#lastSeq) this.#reconnect();
    return false;
  }

  #acknowledgeSoon() {
    if (this.#connection?.acknowledges) return;
    if (this.#lastSeq - this.#acknowledged >= ACKNOWLEDGE_EVERY) return this.#acknowledge();
    this.#acknowledgeTimer ??= setTimeout(() => this.#acknowledge(), this.#timing.acknowledge);
  }

  #acknowledge() {
    clearTimeout(this.#acknowledgeTimer);
    this.#acknowledgeTimer = undefined;
    if (this.#state !== 'open' || this.#lastSeq === this.#acknowledged) return;
    this.#acknowledged = this.#lastSeq;
    this.#connection?.send([`{"type":"ack","seq":${this.#lastSeq}}`]);
  }

  /**
   * @param {unknown} data
   * @param {string} from
   */
  #deliver(data, from) {
    if (this.#listening && this.#undelivered.length === 0) {
      this.dispatchEvent(new SignalingMessageEvent(data, from));
    } else if (this.#undelivered.length < MAX_UNHEARD) {
      this.#undelivered.push({ data, from });
    } else {
      const message = 'Too many messages have arrived before the first listener; this one is dropped.';
      this.dispatchEvent(new SignalingErrorEvent({ code: 'held-overflow', message }));
    }
  }

  #deliverUndelivered() {
    for (;;) {
      const next = this.#undelivered[0];
      if (next === undefined) return;
      this.dispatchEvent(new SignalingMessageEvent(next.data, next.from));
      this.#undelivered.shift();
    }
  }

  /** @param {any} message */
  #refused(message) {
    const { code, seq, retryAfter } = message;
    if (code === 'rate-limited') {
      this.#outbox.goBack(typeof seq === 'number' ? seq : 0);
      this.#pausedUntil = Date.now() + (typeof retryAfter === 'number' ? retryAfter : 1000);
    } else if (code === 'sequence-gap') {
      if (!this.#fillGap()) return;
    } else if (code === 'no-such-peer' && typeof seq === 'number') {
      this.#outbox.holdAgain(seq);
    } else if (typeof seq === 'number') {
      this.#outbox.drop(seq);
    }
    this.dispatchEvent(new SignalingErrorEvent({ code, message: message.message, retryAfter, seq }));
    this.#flush();
  }

  /**
   * Sends everything unacknowledged again: once for the whole burst of refusals that one missing
   * message causes.
   *
   * @returns {boolean} false if this refusal needs no attention
   */
  #fillGap() {
    if (Date.now() < this.#pausedUntil) return false;
    this.#gaps += 1;
    if (this.#gaps > MAX_GAPS) {
      this.#membership = null;
      this.#reconnect();
      return false;
    }
    this.#outbox.goBack(0);
    this.#pausedUntil = Date.now() + GAP_PAUSE;
    return true;
  }

  /** Transmits what may go out now. */
  #flush() {
    if (this.#state !== 'open' || this.#membership === null || this.#connection === null) return;
    const now = Date.now();
    clearTimeout(this.#flushTimer);
    if (now < this.#pausedUntil) {
      this.#flushTimer = setTimeout(() => this.#flush(), this.#pausedUntil - now);
      return;
    }
    const isReachable = (/** @type {string | null} */ to) => (to === null ? this.#peers.size > 0 : this.#peers.has(to));
    const { messages, tooLarge } = this.#outbox.take(isReachable, this.#membership.limit, now);
    if (messages.length > 0) this.#connection.send(messages);
    for (let count = 0; count < tooLarge; count += 1) {
      const message = `A message larger than ${this.#membership.limit} bytes was not sent, because the server does not take it.`;
      this.dispatchEvent(new SignalingErrorEvent({ code: 'message-too-large', message }));
    }
  }

  /** @param {any} message */
  #takeIceServers({ iceServers, iceServersExpire }) {
    if (!Array.isArray(iceServers)) return;
    this.#iceServers = iceServers;
    this.#iceServersExpire = Number(iceServersExpire) || 0;
    for (const waiter of this.#waitingForServers.splice(0)) waiter(iceServers);
  }

  /**
   * The server is about to stop; its successor, if there is one, will be there then.
   *
   * @param {unknown} after milliseconds
   */
  #depart(after) {
    const delay = typeof after === 'number' && after >= 0 ? after : 1000;
    const message = 'The server is stopping; connecting again in a moment.';
    this.dispatchEvent(new SignalingErrorEvent({ code: 'going-away', message, retryAfter: delay }));
    clearTimeout(this.#departTimer);
    this.#departTimer = setTimeout(() => this.#reconnect(), delay);
  }

  /** Gives the present connection up and opens another at once. */
  #reconnect() {
    if (this.#state === 'closed') return;
    this.#abandon();
    if (this.#state === 'open') this.#setState('reconnecting');
    this.#connect();
  }

  /**
   * @param {'connecting' | 'open' | 'reconnecting' | 'closed'} state
   * @param {boolean} [rejoined]
   */
  #setState(state, rejoined) {
    if (this.#state === state) return;
    this.#state = state;
    this.dispatchEvent(new SignalingStateEvent(state, { rejoined }));
  }

  /**
   * @param {string} code
   * @param {string} reason
   */
  #close(code, reason) {
    if (this.#state === 'closed') return;
    if (this.#state === 'open') this.#connection?.leave();
    this.#abandon();
    for (const timer of [this.#retryTimer, this.#acknowledgeTimer, this.#flushTimer]) clearTimeout(timer);
    if (typeof globalThis.removeEventListener === 'function') {
      for (const type of PAGE_EVENTS) globalThis.removeEventListener(type, this.#pageEvent);
    }
    this.#setState('closed');
    this.#peers.clear();
    this.dispatchEvent(new SignalingCloseEvent(code, reason));
  }

  #pageEvent = (/** @type {Event} */ event) => {
    const kept = 'persisted' in event && event.persisted === true;
    switch (event.type) {
      case 'online':
        if (this.#state === 'open') this.#connection?.probe(this.#timing.hurry);
        else if (this.#connection === null) this.#connect();
        break;
      case 'pageshow':
        if (kept) this.#reconnect();
        break;
      case 'pagehide':
        // The others learn at once that this page is gone, instead of after half a minute.
        if (kept) break;
        // Loaded again, it is the same client: what has the server's memory of it still is its own.
        if (this.#state !== 'closed') keepInstance(this.#options.clientId, this.#url, this.#instance);
        if (this.#membership !== null && this.transport !== 'http') leaveInPassing(this.#url, this.#membership);
        this.#close('closed', 'The page was left.');
        break;
    }
  };
}

/**
 * Returns whether trying again would not change anything. A client id that is taken may be free
 * again when the membership of its holder ends, which the server says.
 *
 * @param {Failure} failure
 */
function isFinal({ code, retryAfter }) {
  return FINAL.has(code) && !(code === 'id-taken' && retryAfter !== undefined);
}

/** Events of the page that concern the connection. */
const PAGE_EVENTS = ['online', 'pagehide', 'pageshow'];

/**
 * @param {string} remote
 * @param {SignalingOptions} options
 * @param {string} clientId
 * @param {string} instance
 */
function entryFor(remote, options, clientId, instance) {
  if (typeof remote !== 'string') throw new TypeError('Whom to meet is a text: a session token, or @ and a client id.');
  // What is undefined has no JSON text.
  const key = options.joinKey === '' ? undefined : options.joinKey;
  if (options.create) return { type: 'create', instance, id: options.clientId, key };
  if (remote === '') return { type: 'meet', id: clientId, instance, key };
  if (remote.startsWith('@')) return { type: 'meet', id: clientId, with: remote.slice(1), instance, key };
  return { type: 'join', session: remote, instance, id: options.clientId, key };
}

/**
 * @param {string | URL | undefined} url
 * @returns {URL}
 */
function signalingUrl(url) {
  const base = typeof location === 'undefined' ? undefined : location.href;
  if (url === undefined && base === undefined) throw new TypeError('Outside a page, options.url must name the signaling service.');
  const address = new URL(url ?? '/v1/signal', base);
  if (address.protocol === 'ws:') address.protocol = 'http:';
  if (address.protocol === 'wss:') address.protocol = 'https:';
  if (address.protocol !== 'http:' && address.protocol !== 'https:') {
    throw new TypeError('The signaling service has an address with http, https, ws or wss.');
  }
  address.hash = '';
  return address;
}

/**
 * Random bytes as URL-safe text.
 *
 * @param {number} bytes
 * @returns {string}
 */
function randomText(bytes) {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...random)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
