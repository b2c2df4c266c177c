import { FolderSink, FormerFolder } from './folder.js';
import { TransferError } from './incoming.js';
import { holdTransfer } from './locks.js';
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
 * Opens the place for an offer. Where the person has to choose a folder, it must be called in a
 * click.
 *
 * @param {import('./incoming.js').Offer} offer
 * @returns {Promise<MemorySink | FolderSink | StorageSink>}
 * @throws {TransferError} if another page of this browser has the transfer
 */
export async function openSink(offer) {
  const place = await placeFor(offer);
  if (place === 'folder') {
    const folder = await /** @type {any} */ (globalThis).showDirectoryPicker({ mode: 'readwrite' });
    await hold(offer.transfer);
    return new FolderSink(folder, offer.transfer);
  }
  await hold(offer.transfer);
  if (place === 'storage') {
    try {
      return await StorageSink.open(offer.transfer);
    } catch {
      // Where there are no locks, another page of the same link may write there.
    }
  }
  return new MemorySink();
}

/**
 * The place to which a page that was there before has written some of this transfer: open, or a
 * folder that the person has to allow again.
 *
 * @param {import('./incoming.js').Offer} offer
 * @returns {Promise<StorageSink | FolderSink | FormerFolder | null>}
 * @throws {TransferError} if another page of this browser has the transfer
 */
export async function formerSink({ transfer }) {
  await hold(transfer);
  try {
    if (await StorageSink.has(transfer)) return await StorageSink.open(transfer);
    const folder = await FormerFolder.of(transfer);
    return folder !== null && (await folder.isAllowed()) ? await folder.open() : folder;
  } catch {
    // What was there is gone.
    return null;
  }
}

/** @param {string} transfer */
async function hold(transfer) {
  if (!(await holdTransfer(transfer))) throw new TransferError('elsewhere', 'Another page of this browser receives these files.');
}
