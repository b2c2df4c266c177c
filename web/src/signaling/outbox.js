/**
 * The messages that the server has not accepted yet. A message is held until its receiver is
 * present, then it is in flight under the next sequence number until it is acknowledged.
 *
 * Messages to the same receiver leave in the order in which they were added, also after refusals.
 *
 * Bounds: {@link MAX_MESSAGES} messages and {@link MAX_BYTES} bytes; `add` refuses more. A message
 * to a peer that does not come is dropped after `hold` milliseconds.
 *
 * @typedef {object} Outgoing
 * @property {number} order the place in which it was added, never used twice
 * @property {string} json the message's JSON text
 * @property {string | null} to a peer id, or null for all others
 * @property {number} bytes
 * @property {number} since when it was added
 * @property {number} seq 0 while it is held
 * @property {boolean} sent true if it went out on the present connection
 */

/** Held and in flight together. */
const MAX_MESSAGES = 1024;
/** Bytes of JSON, held and in flight together. */
const MAX_BYTES = 8 * 1024 * 1024;

/** Messages in flight at a time, so that a refusal makes the client repeat few of them. */
const WINDOW = 64;

const encoder = new TextEncoder();

export class Outbox {
  /** @type {Outgoing[]} sorted by `order` */
  #held = [];
  /** @type {Outgoing[]} sorted by `seq` */
  #flight = [];
  #nextOrder = 1;
  #nextSeq = 1;
  #bytes = 0;
  #holdTime;

  /** @param {number} hold how long a message to an absent peer is kept, in milliseconds */
  constructor(hold) {
    this.#holdTime = hold;
  }

  /** The number of messages that the server has not accepted yet. */
  get length() {
    return this.#held.length + this.#flight.length;
  }

  /** The number of them that have a sequence number. */
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
    this.#held.push({ order: this.#nextOrder, json, to, bytes, since: now, seq: 0, sent: false });
    this.#nextOrder += 1;
    this.#bytes += bytes;
    return true;
  }

  /**
   * The messages to transmit now, in order.
   *
   * @param {(to: string | null) => boolean} isReachable true if a receiver is present
   * @param {number} limit the largest message that the server takes, in bytes
   * @param {number} now
   * @returns {{ messages: string[], tooLarge: number }} the messages, and the number dropped as too
   *   large
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
   * The receiver had just left: the message waits for its return, at its old place among the held
   * ones, and goes out under a new number.
   *
   * @param {number} seq
   */
  holdAgain(seq) {
    this.#hold(this.#flight.filter((entry) => entry.seq === seq));
    this.#flight = this.#flight.filter((entry) => entry.seq !== seq);
  }

  /** A new membership: numbers start from 1 again, and what was not acknowledged is sent again. */
  restart() {
    this.#hold(this.#flight);
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

  /**
   * Puts messages from the flight among the held ones, by the order in which they were added.
   *
   * @param {Outgoing[]} entries
   */
  #hold(entries) {
    for (const entry of entries) this.#held.push({ ...entry, seq: 0, sent: false });
    this.#held.sort((one, other) => one.order - other.order);
  }

  /** @param {number} now */
  #dropOverdue(now) {
    this.#keepHeld((entry) => entry.to === null || now - entry.since <= this.#holdTime);
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
