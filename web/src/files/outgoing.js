import { TransferError, VERSION, cancelWords, read } from './incoming.js';
import { PIECE, Tree, hex, pieceHash } from './tree.js';

const HEADER = 48;

/** The bytes that may wait in the channel. */
const BUFFERED = 4 * 1024 * 1024;

/** The bytes that may be ahead of what the receiver has written. */
const WINDOW = 64 * 1024 * 1024;

/** The most names that an offer lists. */
const MAX_TOP = 32;

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
   * @param {{ path: string, file: File }[]} files with their paths in the transfer
   * @param {string} from the own name
   */
  constructor(channel, files, from) {
    super();
    this.#channel = channel;
    this.#files = files;
    this.total = files.reduce((sum, { file }) => sum + file.size, 0);
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = BUFFERED / 2;
    channel.addEventListener('bufferedamountlow', () => this.#wake());
    channel.addEventListener('message', ({ data }) => this.#take(data));
    channel.addEventListener('close', () => this.#fail(new TransferError('lost', 'The connection is lost.')));
    const offer = () => this.#send(this.#offer(from));
    if (channel.readyState === 'open') offer();
    else channel.addEventListener('open', offer, { once: true });
  }

  /** Stops. */
  cancel() {
    this.#fail(new TransferError('stopped', 'You have stopped the transfer.'));
  }

  /** @param {string} from */
  #offer(from) {
    const random = crypto.getRandomValues(new Uint8Array(8));
    /** @type {Map<string, { name: string, folder: boolean, bytes: number }>} */
    const top = new Map();
    for (const { path, file } of this.#files) {
      const [name = '', ...rest] = path.split('/');
      const known = top.get(name) ?? { name, folder: rest.length > 0, bytes: 0 };
      known.bytes += file.size;
      top.set(name, known);
    }
    const count = this.#files.length;
    const names = [...top.values()];
    return {
      type: 'offer', version: VERSION, transfer: hex(random), from, entries: count, files: count, bytes: this.total,
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
        this.#run().catch((error) => this.#fail(error));
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

  async #run() {
    this.#send({ type: 'start', entry: 0, offset: 0 });
    for (const [n, { path, file }] of this.#files.entries()) {
      const modified = [Math.floor(file.lastModified / 1000), (file.lastModified % 1000) * 1e6];
      this.#send({ type: 'entry', n, path, kind: 'file', bytes: file.size, modified });
      const tree = new Tree();
      for (let offset = 0; offset < file.size; offset += PIECE) {
        await this.#room();
        if (this.state !== 'sending') return;
        const content = new Uint8Array(await file.slice(offset, Math.min(offset + PIECE, file.size)).arrayBuffer());
        this.#piece(n, offset, content, tree);
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
