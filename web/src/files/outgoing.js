import { TransferError, VERSION, cancelWords, read } from './incoming.js';
import { NO_CHAIN, PIECE, Tree, chainWith, hex, pieceHash } from './tree.js';

const HEADER = 48;

/** The bytes that may wait in the channel. */
const BUFFERED = 4 * 1024 * 1024;

/** The bytes that may be ahead of what the receiver has written. */
const WINDOW = 64 * 1024 * 1024;

/** The most names that an offer lists. */
const MAX_TOP = 32;

/**
 * A file that is sent, or without one an empty folder, with its path in the transfer.
 *
 * @typedef {{ path: string, file: File | null }} Sent
 */

/** A new identifier of a transfer, which stays the same when it goes on over another channel. */
export const newTransfer = () => hex(crypto.getRandomValues(new Uint8Array(8)));

/**
 * Files that are sent over a data channel, which this side has opened. Events: `accepted`,
 * `progress`, `done`, `error` (with `error`).
 */
export class Outgoing extends EventTarget {
  #channel;
  #files;
  bytes = 0;
  #written = 0;
  /** @type {'offered' | 'sending' | 'done' | 'over'} */
  state = 'offered';
  /** Wakes the one who waits for room. */
  #wake = () => {};

  /**
   * @param {RTCDataChannel} channel
   * @param {Sent[]} files
   * @param {string} from the own name
   * @param {string} [transfer] its identifier
   */
  constructor(channel, files, from, transfer = newTransfer()) {
    super();
    this.#channel = channel;
    this.#files = files;
    this.total = files.reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = BUFFERED / 2;
    channel.addEventListener('bufferedamountlow', () => this.#wake());
    channel.addEventListener('message', ({ data }) => this.#take(data));
    channel.addEventListener('close', () => this.#fail(new TransferError('lost', 'The connection is lost.')));
    const offer = () => this.#send(this.#offer(from, transfer));
    if (channel.readyState === 'open') offer();
    else channel.addEventListener('open', offer, { once: true });
  }

  /** Ends without a word, so that another goes on from here. */
  handOver() {
    this.state = 'over';
    this.#wake();
  }

  /** Stops. */
  cancel() {
    this.#fail(new TransferError('stopped', 'You have stopped the transfer.'));
  }

  /**
   * @param {string} from
   * @param {string} transfer
   */
  #offer(from, transfer) {
    /** @type {Map<string, { name: string, folder: boolean, bytes: number }>} */
    const top = new Map();
    for (const { path, file } of this.#files) {
      const [name = '', ...rest] = path.split('/');
      const known = top.get(name) ?? { name, folder: rest.length > 0 || file === null, bytes: 0 };
      known.bytes += file?.size ?? 0;
      top.set(name, known);
    }
    const files = this.#files.filter(({ file }) => file !== null).length;
    const names = [...top.values()];
    return {
      type: 'offer', version: VERSION, transfer, from, entries: this.#files.length, files, bytes: this.total,
      top: names.slice(0, MAX_TOP), more: Math.max(0, names.length - MAX_TOP),
    };
  }

  /** @param {object} message */
  #send(message) {
    if (this.#channel.readyState === 'open') this.#channel.send(JSON.stringify(message));
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.state === 'over') return;
    this.state = 'over';
    const fault = error instanceof TransferError ? error : new TransferError('failed', String(error));
    if (fault.code !== 'lost') this.#send({ type: 'cancel', code: fault.code, text: fault.message });
    this.#wake();
    this.dispatchEvent(Object.assign(new Event('error'), { error: fault }));
  }

  /** @param {unknown} data */
  #take(data) {
    if (typeof data !== 'string' || this.state === 'over') return;
    try {
      const message = read(data);
      if (message.type === 'cancel') {
        this.state = 'over';
        this.#wake();
        const fault = new TransferError(message.code === 'declined' ? 'declined' : 'stopped', cancelWords(message));
        this.dispatchEvent(Object.assign(new Event('error'), { error: fault }));
      } else if (message.type === 'accept' && this.state === 'offered') {
        this.state = 'sending';
        this.dispatchEvent(new Event('accepted'));
        this.#run(message.at).catch((error) => this.#fail(error));
      } else if (message.type === 'have') {
        this.#written = Math.min(this.bytes, Number(message.bytes) || 0);
        this.#wake();
      } else if (message.type === 'finished' && this.state === 'done') {
        this.state = 'over';
        this.#channel.close();
        this.dispatchEvent(new Event('done'));
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * The message that announces an entry: the same each time, so that both sides know it again.
   *
   * @param {number} n
   */
  #entry(n) {
    const { path = '', file = null } = this.#files[n] ?? {};
    if (file === null) return JSON.stringify({ type: 'entry', n, path, kind: 'folder' });
    const modified = [Math.floor(file.lastModified / 1000), (file.lastModified % 1000) * 1e6];
    return JSON.stringify({ type: 'entry', n, path, kind: 'file', bytes: file.size, modified });
  }

  /**
   * The place to go on from: the one that the receiver asks for, if it has the same there; else the
   * beginning.
   *
   * @param {any} at
   * @returns {Promise<{ n: number, tree: Tree }>}
   */
  async #find(at) {
    const anew = { n: 0, tree: new Tree() };
    if (at === undefined || !Number.isSafeInteger(at.entry) || at.entry < 0 || at.entry > this.#files.length) return anew;
    let chain = NO_CHAIN;
    for (let n = 0; n < at.entry; n++) chain = chainWith(chain, this.#entry(n));
    if (hex(chain) !== at.before) return anew;
    const found = { n: at.entry, tree: new Tree() };
    const file = this.#files[at.entry]?.file ?? null;
    const isInside = Number.isSafeInteger(at.offset) && at.offset > 0 && at.offset % PIECE === 0 && at.offset <= (file?.size ?? 0);
    if (file === null || !isInside || hex(chainWith(chain, this.#entry(at.entry))) !== at.with) return found;
    const tree = new Tree();
    for (let offset = 0; offset < at.offset; offset += PIECE) {
      const content = await contentOf(file, offset);
      tree.push(content, pieceHash(offset, content));
    }
    return tree.stack.map(hex).join() === String(at.stack) ? { n: at.entry, tree } : found;
  }

  /** @param {any} at the place that the receiver asks for */
  async #run(at) {
    const found = await this.#find(at);
    if (this.state !== 'sending') return;
    const before = this.#files.slice(0, found.n).reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
    this.bytes = before + found.tree.pieces * PIECE;
    this.#written = this.bytes;
    this.#send({ type: 'start', entry: found.n, offset: found.tree.pieces * PIECE });
    for (let n = found.n; n < this.#files.length; n++) {
      const file = this.#files[n]?.file ?? null;
      this.#channel.send(this.#entry(n));
      if (file === null) continue;
      const tree = n === found.n ? found.tree : new Tree();
      for (let offset = tree.pieces * PIECE; offset < file.size; offset += PIECE) {
        await this.#room();
        if (this.state !== 'sending') return;
        this.#piece(n, offset, await contentOf(file, offset), tree);
        this.dispatchEvent(new Event('progress'));
      }
      this.#send({ type: 'end', n, bytes: file.size, hash: hex(tree.root()) });
    }
    this.state = 'done';
    this.#send({ type: 'done', entries: this.#files.length, bytes: this.bytes });
  }

  /**
   * @param {number} n
   * @param {number} offset
   * @param {Uint8Array} content
   * @param {Tree} tree
   */
  #piece(n, offset, content, tree) {
    const hash = pieceHash(offset, content);
    tree.push(content, hash);
    const message = new Uint8Array(HEADER + content.length);
    const view = new DataView(message.buffer);
    message[0] = 1;
    view.setUint32(4, n);
    view.setBigUint64(8, BigInt(offset));
    message.set(hash, 16);
    message.set(content, HEADER);
    this.#channel.send(message);
    this.bytes += content.length;
  }

  /** Waits until the channel and the receiver take more. */
  async #room() {
    while (this.state === 'sending' && (this.#channel.bufferedAmount > BUFFERED || this.bytes - this.#written >= WINDOW)) {
      await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
      });
    }
  }
}

/**
 * A piece of a file.
 *
 * @param {File} file
 * @param {number} offset
 */
async function contentOf(file, offset) {
  return new Uint8Array(await file.slice(offset, Math.min(offset + PIECE, file.size)).arrayBuffer());
}
