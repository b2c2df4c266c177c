import { TransferError } from './incoming.js';

/** @typedef {import('./incoming.js').Sink} Sink */

/** The bytes that are kept in memory where there is no other place. */
export const MEMORY_LIMIT = 2 ** 30;

/**
 * A file that has arrived: it waits in the browser until it is saved.
 *
 * @typedef {{ name: string, blob: Blob }} Arrived
 */

/**
 * The places that this browser can write to, the best first: a folder that the person chooses, the
 * page's own storage, or memory.
 *
 * @param {import('./incoming.js').Offer} offer
 * @returns {'folder' | 'storage' | 'memory'}
 */
export function placeFor(offer) {
  const wide = /** @type {any} */ (globalThis);
  const isSmall = offer.bytes !== undefined && offer.bytes <= 64 * 2 ** 20;
  if (isSmall && offer.files <= 20) return 'memory';
  if (typeof wide.showDirectoryPicker === 'function') return 'folder';
  return typeof navigator.storage?.getDirectory === 'function' ? 'storage' : 'memory';
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
 * Writes into a folder: one that the person has chosen, or the page's own storage.
 *
 * @implements {Sink}
 */
export class FolderSink {
  /** @type {Arrived[]} */
  arrived = [];
  #top;
  #isOwn;
  /** @type {any} */
  #file = null;
  /** @type {any} */
  #writable = null;
  /** @type {string} */
  #name = '';
  /** @type {string[]} names at the top that this transfer has made */
  #made = [];

  /**
   * @param {any} top a `FileSystemDirectoryHandle`
   * @param {boolean} isOwn true for the page's storage, out of which files are saved later
   */
  constructor(top, isOwn) {
    this.#top = top;
    this.#isOwn = isOwn;
  }

  /** @param {string[]} names */
  async begin(names) {
    const folder = await this.#folder(names.slice(0, -1));
    const name = names.at(-1) ?? '';
    const known = !this.#isOwn && !this.#made.includes(names[0] ?? '') && (await exists(folder, name));
    if (known) throw new TransferError('exists', `${name} is there already; choose another folder.`);
    if (names.length === 1) this.#made.push(name);
    this.#name = names.join('/');
    await this.#writable?.abort();
    this.#file = await folder.getFileHandle(name, { create: true });
    this.#writable = await this.#file.createWritable();
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
    if (this.#isOwn) this.arrived.push({ name: this.#name, blob: await this.#file.getFile() });
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
      const isNew = depth === 0 && !this.#isOwn && !this.#made.includes(name);
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
 * @returns {Promise<MemorySink | FolderSink>}
 */
export async function openSink(offer) {
  const place = placeFor(offer);
  if (place === 'folder') {
    return new FolderSink(await /** @type {any} */ (globalThis).showDirectoryPicker({ mode: 'readwrite' }), false);
  }
  if (place === 'storage') {
    try {
      const own = await navigator.storage.getDirectory();
      return new FolderSink(await own.getDirectoryHandle(`transfer-${offer.transfer.replaceAll(/[^0-9a-f]/g, '')}`, { create: true }), true);
    } catch {
      // Private windows have no storage.
    }
  }
  return new MemorySink();
}
