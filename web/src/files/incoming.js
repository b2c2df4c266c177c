import { letGoOf } from './locks.js';
import { NO_CHAIN, PIECE, Tree, chainWith, hex, pieceHash, unhex } from './tree.js';

/** The version of the protocol (`docs/files.md`). */
export const VERSION = 1;

/** The label and the subprotocol of the data channel of a transfer. */
export const LABEL = 'files';
export const PROTOCOL = 'columba-files.1';

export const MAX_ENTRIES = 1_000_000;
const MAX_TEXT = 128 * 1024;
const MAX_PATH = 4096;
const MAX_NAME = 255;
const MAX_DEPTH = 128;
const HEADER = 48;

/** The bytes after which the sender is told how far everything is written. */
const HAVE_EACH = 1024 * 1024;

/**
 * @typedef {object} Offer
 * @property {number} version
 * @property {string} transfer
 * @property {string} from
 * @property {number} [entries]
 * @property {number} files
 * @property {number} [bytes]
 * @property {{ name: string, folder?: boolean, bytes?: number }[]} top
 * @property {number} more
 */

/**
 * The place that files are written to.
 *
 * @typedef {object} Sink
 * @property {(names: string[], entry: any) => Promise<void>} begin a file begins; one at a time
 * @property {(offset: number, content: Uint8Array<ArrayBuffer>) => Promise<void>} write
 * @property {(size: number | undefined) => Promise<void>} end the file is complete, and verified
 * @property {(names: string[]) => Promise<void>} folder
 * @property {() => Promise<void>} abort forgets everything
 * @property {(place: KeptPlace) => Promise<void>} [keep] keeps the place up to which everything is
 *   written, for a page that is loaded again
 * @property {() => Promise<void>} [done] everything has arrived
 */

/**
 * The place up to which everything is written, as JSON.
 *
 * @typedef {object} KeptPlace
 * @property {string} transfer
  * @property {{ entry: number, offset: number, before: string, with?: string, stack?: string[] }}
 *   position
 * @property {string} chain the chain with the entry
 * @property {number} pieces of the entry's content
 * @property {number} [declared] the bytes of its content
 * @property {number} bytes of the entries before it
 */

/**
 * @typedef {'declined' | 'stopped' | 'no-space' | 'exists' | 'failed' | 'violation' | 'other'
 *   | 'lost' | 'elsewhere'} TransferCode
 */

/** The fault of the other side, or of the disk; the transfer is over. */
export class TransferError extends Error {
  /**
   * @param {TransferCode} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * One transfer that arrives over a data channel. Events: `wait` (the sender serves another, and
 * offers later), `offer`, `progress`, `done`, `error` (with `error`).
 */
export class Incoming extends EventTarget {
  #channel;
  /** @type {Offer | null} */
  offer = null;
  bytes = 0;
  /** @type {'new' | 'offered' | 'accepted' | 'receiving' | 'done' | 'over'} */
  state = 'new';
  /** @type {Sink | null} */
  #sink = null;
  #next = 0;
  #untilHave = HAVE_EACH;
  #keepIsDue = false;
  /**
   * @type {{ n: number, bytes: number | undefined, entry: any, offset: number, tree: Tree } | null}
   */
  #file = null;
  /** The chain of entries before the present one, and with it. */
  #before = NO_CHAIN;
  #chain = NO_CHAIN;
  /** True if the connection was lost, so that another channel can go on. */
  #isLost = false;
  /** @type {KeptPlace | null} the one that this goes on from */
  #former = null;
  /** @type {KeptPlace | null} that of a file of which the first part is there */
  #resumed = null;
  /** Messages are taken one after the other, because writing takes time. */
  #queue = Promise.resolve();

  /** @param {RTCDataChannel} channel */
  constructor(channel) {
    super();
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', ({ data }) => {
      this.#queue = this.#queue.then(() => this.#take(data)).catch((error) => this.#fail(error));
    });
    channel.addEventListener('close', () => {
      this.#queue = this.#queue.then(() => {
        if (this.state !== 'over') throw new TransferError('lost', 'The connection to the sender is lost.');
      }).catch((error) => this.#fail(error));
    });
  }

  /**
   * Takes the files; what the former transfer has written is not sent again.
   *
   * @param {Sink} sink
   * @param {Incoming | KeptPlace | null} [former] where one with the same identifier was, which was
   *   lost
   */
  accept(sink, former = null) {
    if (this.state !== 'offered') return;
    this.#sink = sink;
    this.state = 'accepted';
    const place = former instanceof Incoming ? former.place : former;
    this.#former = place?.transfer === this.offer?.transfer ? place : null;
    this.#send(this.#former === null ? { type: 'accept' } : { type: 'accept', at: this.#former.position });
  }

  /** The place that files are written to, once they were taken. */
  get sink() {
    return this.#sink;
  }

  /** True if another channel with the same transfer may go on from here. */
  get canGoOn() {
    return this.#sink !== null && (this.#isLost || this.state === 'accepted' || this.state === 'receiving');
  }

  /** Ends without a word, so that another goes on from here. */
  async handOver() {
    this.#queue = this.#queue.then(() => {
      this.state = 'over';
    });
    await this.#queue;
  }

  /**
   * The place up to which everything is written. One piece of a file alone has no joint: it is sent
   * again.
   *
   * @returns {KeptPlace}
   */
  get place() {
    // It has not begun: what was there before it is there.
    if (this.#former !== null) return this.#former;
    const file = this.#file;
    const transfer = this.offer?.transfer ?? '';
    const chain = hex(this.#chain);
    if (file === null) return { transfer, position: { entry: this.#next, offset: 0, before: chain }, chain, pieces: 0, bytes: this.bytes };
    const isJoined = file.tree.pieces > 1 && file.offset % PIECE === 0;
    const position = {
      entry: file.n,
      offset: isJoined ? file.offset : 0,
      before: hex(this.#before),
      with: chain,
      stack: isJoined ? file.tree.stack.map(hex) : [],
    };
    return { transfer, position, chain, pieces: file.tree.pieces, declared: file.bytes, bytes: this.bytes - file.offset };
  }

  /** Does not take the files, or stops. */
  cancel() {
    if (this.state === 'over') return;
    const code = this.state === 'offered' ? 'declined' : 'stopped';
    this.#fail(new TransferError(code, code === 'declined' ? 'You did not take the files.' : 'You have stopped the transfer.'));
  }

  /** Another page of this browser may have the transfer. */
  #letGo() {
    if (this.offer !== null) letGoOf(this.offer.transfer);
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
    if (fault.code === 'lost') {
      this.#isLost = true;
    } else {
      this.#letGo();
      this.#send({ type: 'cancel', code: fault.code, text: fault.message });
      void this.#sink?.abort().catch(() => {});
    }
    this.dispatchEvent(Object.assign(new Event('error'), { error: fault }));
  }

  /** @param {string | ArrayBuffer} data */
  async #take(data) {
    if (this.state === 'over') return;
    if (typeof data !== 'string') return this.#piece(new Uint8Array(data));
    const message = read(data);
    if (message.type === 'cancel') throw new TransferError('stopped', cancelWords(message));
    const step = `${message.type} ${this.state}`;
    if (step === 'wait new') return void this.dispatchEvent(new Event('wait'));
    if (step === 'offer new') return this.#offered(message);
    if (step === 'start accepted') return this.#start(message);
    if (step === 'entry receiving' && this.#file === null) return this.#entry(message, data);
    if (step === 'end receiving') return this.#end(message);
    if (step === 'done receiving' && this.#file === null) return this.#done(message);
    throw new TransferError('violation', `The sender sends ${String(message.type).slice(0, 20)} out of order.`);
  }

  /** @param {any} offer */
  #offered(offer) {
    if (offer.version !== VERSION) throw new TransferError('violation', 'The sender speaks another version of the protocol.');
    const isCount = (/** @type {unknown} */ value) => value === undefined || (Number.isSafeInteger(value) && Number(value) >= 0);
    if (!isCount(offer.entries) || !isCount(offer.bytes) || !isCount(offer.files) || !Array.isArray(offer.top) || offer.top.length > 32) {
      throw new TransferError('violation', 'The offer cannot be read.');
    }
    if ((offer.entries ?? 0) > MAX_ENTRIES) throw new TransferError('violation', 'More than a million files are offered at once.');
    this.offer = { files: 0, more: 0, from: '', ...offer };
    this.state = 'offered';
    this.dispatchEvent(new Event('offer'));
  }

  /** @param {any} message */
  async #start({ entry, offset }) {
    const former = this.#former;
    const asked = former?.position;
    if (former !== null && asked !== undefined && entry === asked.entry && (offset === asked.offset || offset === 0)) {
      this.#next = entry;
      this.#chain = unhex(asked.before);
      this.bytes = former.bytes + offset;
      this.#resumed = offset > 0 ? former : null;
    } else if (entry === 0 && offset === 0) {
      // Something before it has changed: everything anew.
      if (former !== null) await this.#sink?.abort();
    } else {
      throw new TransferError('violation', 'The sender begins at a place that was not asked for.');
    }
    this.#former = null;
    this.state = 'receiving';
  }

  /**
   * @param {any} entry
   * @param {string} text the message
   */
  async #entry(entry, text) {
    if (entry.n !== this.#next || this.#next >= (this.offer?.entries ?? MAX_ENTRIES)) {
      throw new TransferError('violation', 'The sender sends more than it has offered.');
    }
    this.#next++;
    this.#before = this.#chain;
    this.#chain = chainWith(this.#chain, text);
    const resumed = this.#resumed;
    this.#resumed = null;
    const names = safeNames(entry.path);
    if (resumed !== null && (entry.kind !== 'file' || entry.bytes !== resumed.declared)) {
      throw new TransferError('violation', 'The sender goes on with another file.');
    }
    if (entry.kind === 'folder') return this.#sink?.folder(names);
    // Browsers make no links.
    if (entry.kind !== 'file') return;
    if (!extentsAreSound(entry)) throw new TransferError('violation', 'A file contradicts itself.');
    const tree = resumed === null ? new Tree() : Tree.restore((resumed.position.stack ?? []).map(unhex), resumed.pieces);
    this.#file = { n: entry.n, bytes: entry.bytes, entry, offset: resumed?.position.offset ?? 0, tree };
    if (resumed === null) await this.#sink?.begin(names, entry);
  }

  /** @param {Uint8Array<ArrayBuffer>} message */
  async #piece(message) {
    const file = this.#file;
    const content = message.subarray(HEADER);
    if (file === null || message[0] !== 1 || content.length === 0 || content.length > PIECE) {
      throw new TransferError('violation', 'The sender sends a piece out of order.');
    }
    const view = new DataView(message.buffer, message.byteOffset, HEADER);
    const offset = Number(view.getBigUint64(8));
    if (view.getUint32(4) !== file.n || offset !== file.offset || offset % PIECE !== 0) {
      throw new TransferError('violation', 'The sender sends a piece out of order.');
    }
    const end = offset + content.length;
    const total = this.bytes + content.length;
    if (end > (file.bytes ?? Infinity) || total > (this.offer?.bytes ?? Infinity)) {
      throw new TransferError('violation', 'The sender sends more than it has offered.');
    }
    const hash = message.subarray(16, HEADER);
    const body = content.slice();
    if (hex(pieceHash(offset, body)) !== hex(hash)) throw new TransferError('violation', 'A piece of a file arrived damaged.');
    file.tree.push(body, hash);
    file.offset = end;
    this.bytes = total;
    for (const [from, place, length] of partsOf(file.entry, offset, body.length)) {
      await this.#sink?.write(place, body.subarray(from, from + length));
    }
    if (this.#keepIsDue && content.length === PIECE) await this.#keep();
    this.#untilHave -= body.length;
    if (this.#untilHave <= 0) {
      this.#untilHave = HAVE_EACH;
      this.#keepIsDue = true;
      this.#send({ type: 'have', entry: file.n, offset: end, bytes: total });
    }
    this.dispatchEvent(new Event('progress'));
  }

  /** @param {any} message */
  async #end(message) {
    const file = this.#file;
    if (file === null || message.n !== file.n || message.bytes !== file.offset || file.offset !== (file.bytes ?? file.offset)) {
      throw new TransferError('violation', 'The sender ends a file that is not complete.');
    }
    if (hex(file.tree.root()) !== message.hash) throw new TransferError('violation', 'A file is not what its hash says.');
    this.#file = null;
    await this.#sink?.end(file.entry.size);
    if (this.#keepIsDue) await this.#keep();
  }

  /** Keeps the place: after a whole piece, or between two files. */
  async #keep() {
    this.#keepIsDue = false;
    await this.#sink?.keep?.(this.place);
  }

  /** @param {any} message */
  async #done(message) {
    if (message.entries !== this.#next || message.bytes !== this.bytes) {
      throw new TransferError('violation', 'The sender ends before everything has come.');
    }
    await this.#sink?.done?.();
    this.#letGo();
    this.state = 'over';
    this.#send({ type: 'finished' });
    this.dispatchEvent(new Event('done'));
  }
}

/** @param {string} text */
export function read(text) {
  if (text.length > MAX_TEXT) throw new TransferError('violation', 'The other side sends a message that is too long.');
  try {
    const message = JSON.parse(text);
    if (typeof message === 'object' && message !== null) return message;
  } catch {
    // See below.
  }
  throw new TransferError('violation', 'The other side sends a message that cannot be read.');
}

/** @param {any} message */
export function cancelWords({ code, text }) {
  if (code === 'declined') return 'The other side does not want the files.';
  if (code === 'no-space') return 'The other side has no room for the files.';
  if (code === 'stopped') return 'The other side has stopped the transfer.';
  if (code === 'taken') return 'Another person who opened this link has taken the files.';
  return typeof text === 'string' && text !== '' ? text.slice(0, 200) : 'The other side has ended the transfer.';
}

/**
 * The names of a path that stays below its folder, with characters that some system does not take
 * replaced.
 *
 * @param {unknown} path
 * @returns {string[]}
 */
export function safeNames(path) {
  const refuse = () => new TransferError('violation', 'The sender names a path that leads elsewhere.');
  if (typeof path !== 'string' || path.length > MAX_PATH) throw refuse();
  const names = path.split('/');
  if (names.length > MAX_DEPTH) throw refuse();
  return names.map((name) => {
    if (name === '' || name === '.' || name === '..' || name.length > MAX_NAME) throw refuse();
    // eslint-disable-next-line no-control-regex
    const safe = name.replaceAll(/[<>:"\\|?*\u0000-\u001f\u007f]/g, '_').replace(/[. ]+$/, (end) => '_'.repeat(end.length));
    return /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(safe) ? `_${safe}` : safe;
  });
}

/** @param {any} entry */
function extentsAreSound({ extents, size, bytes }) {
  const isSize = (/** @type {unknown} */ value) => Number.isSafeInteger(value) && Number(value) >= 0;
  if (bytes !== undefined && !isSize(bytes)) return false;
  if (extents === undefined) return size === undefined;
  if (!Array.isArray(extents) || !isSize(size) || extents.length > 2048) return false;
  let end = 0;
  let sum = 0;
  for (const extent of extents) {
    if (!Array.isArray(extent) || !isSize(extent[0]) || !isSize(extent[1]) || extent[0] < end || extent[1] === 0) return false;
    end = extent[0] + extent[1];
    sum += extent[1];
  }
  return end <= size && sum === bytes;
}

/**
 * The parts of a piece: offset in the piece, offset in the file, length.
 *
 * @param {any} entry
 * @param {number} offset
 * @param {number} length
 * @returns {[number, number, number][]}
 */
function partsOf({ extents }, offset, length) {
  if (extents === undefined) return [[0, offset, length]];
  /** @type {[number, number, number][]} */
  const parts = [];
  let before = 0;
  let done = 0;
  for (const [place, extent] of extents) {
    const begin = offset + done;
    if (begin < before + extent && done < length) {
      const part = Math.min(extent - (begin - before), length - done);
      parts.push([done, place + begin - before, part]);
      done += part;
    }
    before += extent;
  }
  return parts;
}
