import { TransferError } from './incoming.js';
import { StorageSink } from './storage.js';

/** @typedef {import('./incoming.js').Sink} Sink */

/** The bytes that are kept in memory where there is no other place. */
export const MEMORY_LIMIT = 2 ** 30;

/**
 * A file that has arrived: it waits in the browser until it is saved.
 *
 * @typedef {{ name: string, blob: Blob }} Arrived
 */

/** Transfers up to this size are kept in memory: they are sent again faster than gone on with. */
const SMALL = 2 ** 20;

/** The share of the free storage that a transfer may take. */
const SHARE = 0.9;

/**
 * The places that this browser can write to, the best first: the page's own storage, which survives
 * the page; a folder that the person chooses, where the storage has no room; or memory.
 *
 * @param {import('./incoming.js').Offer} offer
 * @returns {Promise<'folder' | 'storage' | 'memory'>}
 */
export async function placeFor({ bytes, files }) {
  if (bytes !== undefined && bytes <= SMALL && files <= 20) return 'memory';
  const canChoose = typeof (/** @type {any} */ (globalThis).showDirectoryPicker) === 'function';
  if (await hasStorage(bytes, canChoose)) return 'storage';
  return canChoose ? 'folder' : 'memory';
}

/**
 * Returns whether the page's own storage has room.
 *
 * @param {number | undefined} bytes
 * @param {boolean} canChoose whether there is another place for what may be large
 */
async function hasStorage(bytes, canChoose) {
  if (typeof navigator === 'undefined' || typeof navigator.storage?.getDirectory !== 'function' || typeof Worker !== 'function') return false;
  try {
    await navigator.storage.getDirectory();
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    return bytes === undefined ? !canChoose : bytes <= SHARE * (quota - usage);
  } catch {
    // Private windows have no storage.
    return false;
  }
}

/**
 * Keeps files in memory.
 *
 * @implements {Sink}
 */
export class MemorySink {
  /** @type {Arrived[]} */
  arrived = [];
  /** @type {string} */
  #name = '';
  /** @type {Uint8Array<ArrayBuffer>[]} */
  #parts = [];
  #end = 0;
  #total = 0;

  /** @param {string[]} names */
  async begin(names) {
    this.#name = names.join('/');
    // The file may have begun before, on a connection that was lost.
    this.#total -= this.#end;
    this.#parts = [];
    this.#end = 0;
  }

  /**
   * @param {number} offset
   * @param {Uint8Array<ArrayBuffer>} content
   */
  async write(offset, content) {
    this.#fill(offset);
    this.#grow(content.length);
    this.#parts.push(content);
    this.#end += content.length;
  }

  /** @param {number | undefined} size */
  async end(size) {
    this.#fill(size ?? this.#end);
    this.arrived.push({ name: this.#name, blob: new Blob(this.#parts) });
    this.#parts = [];
    this.#end = 0;
  }

  async folder() {}

  async abort() {
    this.#parts = [];
    this.arrived = [];
    [this.#end, this.#total] = [0, 0];
  }

  /** @param {number} offset the end of a hole */
  #fill(offset) {
    const hole = offset - this.#end;
    if (hole <= 0) return;
    this.#grow(hole);
    this.#parts.push(new Uint8Array(hole));
    this.#end = offset;
  }

  /** @param {number} bytes */
  #grow(bytes) {
    this.#total += bytes;
    if (this.#total > MEMORY_LIMIT) throw new TransferError('no-space', 'This browser can keep 1 GiB in memory; use the program for more.');
  }
}

/**
 * Writes into a folder that the person has chosen.
 *
 * @implements {Sink}
 */
export class FolderSink {
  /** @type {Arrived[]} */
  arrived = [];
  #top;
  /** @type {any} */
  #writable = null;
  /** @type {string[]} names at the top that this transfer has made */
  #made = [];

  /** @param {any} top a `FileSystemDirectoryHandle` */
  constructor(top) {
    this.#top = top;
  }

  /** @param {string[]} names */
  async begin(names) {
    const folder = await this.#folder(names.slice(0, -1));
    const name = names.at(-1) ?? '';
    const known = !this.#made.includes(names[0] ?? '') && (await exists(folder, name));
    if (known) throw new TransferError('exists', `${name} is there already; choose another folder.`);
    if (names.length === 1) this.#made.push(name);
    await this.#writable?.abort();
    const file = await folder.getFileHandle(name, { create: true });
    this.#writable = await file.createWritable();
  }

  /**
   * @param {number} offset
   * @param {Uint8Array<ArrayBuffer>} content
   */
  async write(offset, content) {
    await this.#writable.write({ type: 'write', position: offset, data: content });
  }

  /** @param {number | undefined} size */
  async end(size) {
    if (size !== undefined) await this.#writable.truncate(size);
    await this.#writable.close();
    this.#writable = null;
  }

  /** @param {string[]} names */
  async folder(names) {
    await this.#folder(names);
  }

  async abort() {
    await this.#writable?.abort();
    this.#writable = null;
    this.arrived = [];
  }

  /** @param {string[]} names */
  async #folder(names) {
    let folder = this.#top;
    for (const [depth, name] of names.entries()) {
      const isNew = depth === 0 && !this.#made.includes(name);
      if (isNew && (await exists(folder, name))) throw new TransferError('exists', `${name} is there already; choose another folder.`);
      if (depth === 0) this.#made.push(name);
      folder = await folder.getDirectoryHandle(name, { create: true });
    }
    return folder;
  }
}

/**
 * @param {any} folder
 * @param {string} name
 */
async function exists(folder, name) {
  try {
    await folder.getFileHandle(name);
    return true;
  } catch (error) {
    return error instanceof DOMException && error.name === 'TypeMismatchError';
  }
}

/**
 * Opens the place for an offer. Where the person has to choose a folder, it must be called in a
 * click.
 *
 * @param {import('./incoming.js').Offer} offer
 * @returns {Promise<MemorySink | FolderSink | StorageSink>}
 */
export async function openSink(offer) {
  const place = await placeFor(offer);
  if (place === 'folder') {
    return new FolderSink(await /** @type {any} */ (globalThis).showDirectoryPicker({ mode: 'readwrite' }));
  }
  if (place === 'storage') {
    try {
      return await StorageSink.open(offer.transfer);
    } catch {
      // Another page of the same link writes there.
    }
  }
  return new MemorySink();
}
