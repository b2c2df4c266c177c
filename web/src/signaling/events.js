/**
 * The sender of a message, whatever the message itself claims: kept beside the events, where no
 * message can write.
 */
const senders = new WeakMap();

/**
 * The tutorials of the field send a candidate under the first name and read it under the second, so
 * a message that has one is offered under both.
 */
const CANDIDATE_NAMES = ['new-ice-candidate', 'iceCandidate'];

/**
 * A message from another peer. `data` is what was sent. If that was an object, its properties are
 * here as well (`message.offer`), except those that an Event already has (`type`, `target`, …):
 * they are only in `data`. `from` is the sender's peer id, unless the sent object has a `from` of
 * its own; {@link senderOf} always tells.
 */
export class SignalingMessageEvent extends Event {
  /**
   * @param {unknown} data what was sent
   * @param {string} from the sender's peer id
   */
  constructor(data, from) {
    super('message');
    senders.set(this, from);
    define(this, 'data', data);
    if (typeof data === 'object' && data !== null && !Array.isArray(data)) {
      const sent = /** @type {Record<string, unknown>} */ (data);
      for (const key of Object.keys(sent)) offer(this, key, sent[key]);
      for (const key of CANDIDATE_NAMES) {
        if (Object.hasOwn(sent, key)) for (const other of CANDIDATE_NAMES) offer(this, other, sent[key]);
      }
    }
    offer(this, 'from', from);
  }
}

/**
 * The peer id of the sender of a message.
 *
 * @param {Event} event a `message` event of a SignalingChannel
 * @returns {string}
 */
export function senderOf(event) {
  return senders.get(event) ?? '';
}

/** A peer can be reached through the server now (`change` is `joined`), or no longer (`left`). */
export class PeerEvent extends Event {
  /**
   * @param {'joined' | 'left'} change
   * @param {string} peer its peer id
   * @param {{ id?: string, reason?: string }} details its client id, if it gave one; why it left:
   *   `left`, `timeout`, `replaced`, `too-slow`, `violation`, or `unknown` when it was missing
   *   after this channel had to join anew
   */
  constructor(change, peer, { id, reason } = {}) {
    super('peer');
    this.change = change;
    this.peer = peer;
    this.id = id;
    this.reason = reason;
  }
}

/**
 * Something went wrong. The channel goes on by itself unless `fatal`; then `close` follows.
 */
export class SignalingErrorEvent extends Event {
  /** @param {import('./failure.js').Failure} failure */
  constructor({ code, message, fatal, retryAfter, seq }) {
    super('error');
    /**
     * A code of the protocol, or one of the client's own: `unreachable`, `connection-lost`,
     * `going-away`, `held-overflow`.
     */
    this.code = code;
    /** A sentence for a person. */
    this.message = message;
    this.fatal = fatal ?? false;
    /** Milliseconds until the channel tries again, if it does. */
    this.retryAfter = retryAfter;
    this.seq = seq;
  }
}

/** The channel's state changed, see `SignalingChannel.state`. */
export class SignalingStateEvent extends Event {
  /**
   * @param {'connecting' | 'open' | 'reconnecting' | 'closed'} state
   * @param {{ rejoined?: boolean }} [details] whether it had to join anew, so that messages may
   *   have been lost
   */
  constructor(state, { rejoined } = {}) {
    super('state');
    this.state = state;
    this.rejoined = rejoined ?? false;
  }
}

/**
 * The channel is closed for good: by `close()` (`code` is `closed`), or for the reason that `code`
 * and `reason` tell.
 */
export class SignalingCloseEvent extends Event {
  /**
   * @param {string} code
   * @param {string} reason a sentence for a person
   */
  constructor(code, reason) {
    super('close');
    this.code = code;
    this.reason = reason;
  }
}

/**
 * An EventTarget with `on…` properties.
 *
 * @typedef {((event: any) => void) | null} Handler
 */
export class HandlerTarget extends EventTarget {
  /** @type {Map<string, Handler>} */
  #handlers = new Map();

  /**
   * @param {string} type
   * @returns {Handler}
   */
  _handler(type) {
    return this.#handlers.get(type) ?? null;
  }

  /**
   * @param {string} type
   * @param {Handler} handler
   */
  _setHandler(type, handler) {
    const known = this.#handlers.has(type);
    this.#handlers.set(type, typeof handler === 'function' ? handler : null);
    if (!known) this.addEventListener(type, (event) => this.#handlers.get(type)?.call(this, event));
  }
}

/**
 * Gives an event a property, unless it has it already.
 *
 * @param {Event} event
 * @param {string} key
 * @param {unknown} value
 */
function offer(event, key, value) {
  if (!(key in event)) define(event, key, value);
}

/**
 * @param {Event} event
 * @param {string} key
 * @param {unknown} value
 */
function define(event, key, value) {
  Object.defineProperty(event, key, { value, enumerable: true, configurable: true });
}
