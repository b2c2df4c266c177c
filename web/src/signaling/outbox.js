/**
 * What this client sends, until the server has accepted it. A message waits in `held` until there is somebody to receive it, then goes
 * into `flight` under the next sequence number and stays there until it is acknowledged.
 *
 * Bounds: {@link MAX_MESSAGES} messages and {@link MAX_BYTES} bytes; whoever wants to add more is refused. A message to a peer that
 * does not come is dropped after `hold` milliseconds.
 *
 * @typedef {object} Outgoing
 * @property {string} json the message's JSON text
 * @property {string | null} to a peer id, or null for all others
 * @property {number} bytes
 * @property {number} since when it was added or last refused
 * @property {number} seq 0 while it is held
 * @property {boolean} sent whether it went out on the present connection
 */

const MAX_MESSAGES = 1024;
const MAX_BYTES = 8 * 1024 * 1024;

/** Unacknowledged messages at a time: what a refused one makes the client send again stays small. */
const WINDOW = 64;

const encoder = new TextEncoder();

export class Outbox {
  /** @type {Outgoing[]} */
  #held = [];
  /** @type {Outgoing[]} */
  #flight = [];
  #nextSeq = 1;
  #bytes = 0;
  #hold;

  /** @param {number} hold how long a message to an absent peer is kept, in milliseconds */
  constructor(hold) {
    this.#hold = hold;
  }

  /** How many messages have not been accepted by the server yet. */
  get length() {
    return this.#held.length + this.#flight.length;
  }

  /** How many of them have a sequence number already. */
  get inFlight() {
    return this.#flight.length;
  }

  /**
   * @param {string} json
   * @param {string | null} to
   * @param {number} now
   * @returns {boolean} false if the outbox is full
   */
  add(json, to, now) {
    const bytes = encoder.encode(json).length;
    this.#dropOverdue(now);
    if (this.length >= MAX_MESSAGES || this.#bytes + bytes > MAX_BYTES) return false;
    this.#held.push({ json, to, bytes, since: now, seq: 0, sent: false });
    this.#bytes += bytes;
    return true;
  }

  /**
   * The messages to transmit now, in order.
   *
   * @param {(to: string | null) => boolean} isReachable whether somebody would receive it
   * @param {number} limit the largest message that the server takes, in bytes
   * @param {number} now
   * @returns {{ messages: string[], tooLarge: number }} and how many were dropped because they are too large
   */
  take(isReachable, limit, now) {
    this.#dropOverdue(now);
    const messages = [];
    let tooLarge = 0;
    for (const entry of this.#flight) {
      if (entry.sent) continue;
      entry.sent = true;
      messages.push(frame(entry));
    }
    const waiting = [];
    for (const entry of this.#held) {
      if (this.#flight.length >= WINDOW || !isReachable(entry.to)) {
        waiting.push(entry);
        continue;
      }
      entry.seq = this.#nextSeq;
      const text = frame(entry);
      if (encoder.encode(text).length > limit) {
        this.#bytes -= entry.bytes;
        tooLarge += 1;
        continue;
      }
      this.#nextSeq += 1;
      entry.sent = true;
      this.#flight.push(entry);
      messages.push(text);
    }
    this.#held = waiting;
    return { messages, tooLarge };
  }

  /**
   * The server has everything up to `seq`.
   *
   * @param {number} seq
   */
  acknowledge(seq) {
    this.#flight = this.#flight.filter((entry) => {
      if (entry.seq > seq) return true;
      this.#bytes -= entry.bytes;
      return false;
    });
  }

  /**
   * Everything from `seq` on must be transmitted again, under the same numbers.
   *
   * @param {number} seq
   */
  goBack(seq) {
    for (const entry of this.#flight) if (entry.seq >= seq) entry.sent = false;
  }

  /**
   * The server refused this one for good.
   *
   * @param {number} seq
   */
  drop(seq) {
    this.#flight = this.#flight.filter((entry) => {
      if (entry.seq !== seq) return true;
      this.#bytes -= entry.bytes;
      return false;
    });
  }

  /**
   * Its receiver had just left: it waits for the receiver's return, under a new number.
   *
   * @param {number} seq
   */
  holdAgain(seq) {
    const entry = this.#flight.find((each) => each.seq === seq);
    if (entry === undefined) return;
    this.#flight = this.#flight.filter((each) => each !== entry);
    this.#held.unshift({ ...entry, seq: 0, sent: false });
  }

  /** A new membership: numbers start from 1 again, and what was never acknowledged goes first. */
  restart() {
    const unacknowledged = this.#flight.map((entry) => ({ ...entry, seq: 0, sent: false }));
    this.#held = [...unacknowledged, ...this.#held];
    this.#flight = [];
    this.#nextSeq = 1;
  }

  /**
   * Drops what waits for a peer that has gone for good.
   *
   * @param {string} peer
   */
  forget(peer) {
    this.#keepHeld((entry) => entry.to !== peer);
  }

  /** @param {number} now */
  #dropOverdue(now) {
    this.#keepHeld((entry) => entry.to === null || now - entry.since <= this.#hold);
  }

  /** @param {(entry: Outgoing) => boolean} wanted */
  #keepHeld(wanted) {
    this.#held = this.#held.filter((entry) => {
      if (wanted(entry)) return true;
      this.#bytes -= entry.bytes;
      return false;
    });
  }
}

/**
 * @param {Outgoing} entry
 * @returns {string}
 */
function frame({ seq, to, json }) {
  const receiver = to === null ? '' : `"to":${JSON.stringify(to)},`;
  return `{"type":"send","seq":${seq},${receiver}"data":${json}}`;
}
