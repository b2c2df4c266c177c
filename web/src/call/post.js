/**
 * Seals what goes through the signaling server, and opens what comes, so that the server can
 * neither read nor change nor make any of it. It fails closed: what is not sealed, or is refused,
 * is dropped.
 *
 * @typedef {object} Seal
 * @property {(text: string, peer: string) => string | Promise<string>} seal seals a text for a peer
 * @property {(sealed: string, peer: string) => string | Promise<string>} open opens what a peer has
 *   sealed; throws if it is not what that peer has sealed
 */

/** The version of the protocol (`docs/call.md`). Messages without one are of version 1. */
export const VERSION = 2;

/** Messages that wait to be sealed or opened, each way; more are dropped. */
const MAX_WAITING = 256;

/** The longest sealed text that is looked at, in UTF-16 units. */
const MAX_SEALED = 1 << 20;

/** The messages between this side and one peer: sealed and opened on their way, in order. */
export class Post {
  #seal;
  #own;
  #peer;
  #outgoing;
  #incoming;

  /**
   * @param {Seal | undefined} seal
   * @param {string} own this side's peer id
   * @param {string} peer
   * @param {object} ways
   * @param {(message: object) => void} ways.send takes a message for the signaling server
   * @param {(call: any) => void} ways.receive takes a message of the peer's
   * @param {(error: Error) => void} ways.refused something was dropped
   */
  constructor(seal, own, peer, { send, receive, refused }) {
    this.#seal = seal;
    this.#own = own;
    this.#peer = peer;
    this.#outgoing = new Line((/** @type {Error} */ error) => refused(error));
    this.#incoming = new Line((/** @type {Error} */ error) => refused(error));
    this.#transmit = send;
    this.#deliver = receive;
  }

  /** @type {(message: object) => void} */
  #transmit;
  /** @type {(call: any) => void} */
  #deliver;

  /** @param {object} message */
  send(message) {
    const call = { version: VERSION, ...message };
    const seal = this.#seal;
    if (seal === undefined) return this.#transmit({ call });
    const text = JSON.stringify({ from: this.#own, to: this.#peer, call });
    this.#outgoing.add(async () => {
      this.#transmit({ call: { version: VERSION, sealed: await seal.seal(text, this.#peer) } });
    });
  }

  /** @param {any} call the content of `call` in what came from the peer */
  receive(call) {
    const seal = this.#seal;
    const isSealed = typeof call.sealed === 'string';
    if (seal === undefined && !isSealed) return this.#deliver(call);
    this.#incoming.add(async () => {
      if (seal === undefined) throw new Error('The message is sealed, and there is no key.');
      if (!isSealed) throw new Error('The message is not sealed.');
      if (call.sealed.length > MAX_SEALED) throw new Error('The sealed message is too long.');
      const { from, to, call: message } = JSON.parse(await seal.open(call.sealed, this.#peer)) ?? {};
      if (from !== this.#peer || to !== this.#own || from === to || typeof message !== 'object' || message === null) {
        throw new Error('The sealed message is not from this peer to this one.');
      }
      this.#deliver(message);
    });
  }
}

/** Work that is done piece by piece, in order. */
class Line {
  #work = Promise.resolve();
  #waiting = 0;
  #failed;

  /** @param {(error: Error) => void} failed */
  constructor(failed) {
    this.#failed = failed;
  }

  /** @param {() => Promise<void>} piece */
  add(piece) {
    if (this.#waiting >= MAX_WAITING) return;
    this.#waiting += 1;
    this.#work = this.#work.then(piece).catch((error) => {
      this.#failed(error instanceof Error ? error : new Error(String(error)));
    }).finally(() => {
      this.#waiting -= 1;
    });
  }
}
