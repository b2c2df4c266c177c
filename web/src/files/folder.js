import { TransferError } from './incoming.js';
import { keepRecord, recordOf, removeRecord } from './records.js';

/** @typedef {import('./incoming.js').Sink} Sink */
/** @typedef {import('./incoming.js').KeptPlace} KeptPlace */

/** The least time between two places that are kept, in milliseconds. */
const KEEP_EACH = 500;

/**
 * The share of the time that keeping places may take. A browser writes into a copy of the file, and
 * a place is good once that has become the file: where the file system copies large files slowly,
 * places are kept less often.
 */
const KEEP_SHARE = 0.1;

const READ_WRITE = { mode: 'readwrite' };

/**
 * The record of a folder with part of a transfer.
 *
 * @typedef {object} FolderRecord
 * @property {any} folder a `FileSystemDirectoryHandle`
 * @property {string[]} made names at the top that the transfer has made
 * @property {string[] | null} open the file that is being written
 * @property {number} end how far it is written
 * @property {KeptPlace} place
 */

/**
 * Writes into a folder that the person has chosen. A page that is loaded again goes on with what is
 * there.
 *
 * @implements {Sink}
 */
export class FolderSink {
  /** @type {import('./sink.js').Arrived[]} */
  arrived = [];
  /** @type {KeptPlace | null} where a former page was with this transfer */
  kept = null;
  #top;
  #transfer;
  /** @type {any} */
  #file = null;
  /** @type {any} */
  #writable = null;
  /** @type {string[] | null} */
  #open = null;
  #end = 0;
  /** @type {string[]} names at the top that this transfer has made */
  #made = [];
  #keptAt = -Infinity;
  #keptFor = 0;

  /**
   * @param {any} top a `FileSystemDirectoryHandle`
   * @param {string} transfer
   */
  constructor(top, transfer) {
    this.#top = top;
    this.#transfer = transfer;
  }

  /**
   * Opens the folder of a former page again.
   *
   * @param {FolderRecord} record
   * @param {string} transfer
   * @returns {Promise<FolderSink>}
   */
  static async goOn({ folder, made, open, end, place }, transfer) {
    const sink = new FolderSink(folder, transfer);
    sink.#made = made;
    if (open === null) {
      sink.kept = place;
      return sink;
    }
    sink.#file = await (await sink.#folder(open.slice(0, -1))).getFileHandle(open.at(-1), { create: true });
    // Someone may have removed it meanwhile.
    if ((await sink.#file.getFile()).size < end) return sink;
    sink.kept = place;
    sink.#open = open;
    sink.#end = end;
    sink.#writable = await sink.#file.createWritable({ keepExistingData: true });
    return sink;
  }

  /**
   * @param {string[]} names
   */
  async begin(names) {
    const folder = await this.#folder(names.slice(0, -1));
    const name = names.at(-1) ?? '';
    const known = !this.#made.includes(names[0] ?? '') && (await exists(folder, name));
    if (known) throw new TransferError('exists', `${name} is there already; choose another folder.`);
    if (names.length === 1) this.#made.push(name);
    await this.#writable?.abort();
    this.#file = await folder.getFileHandle(name, { create: true });
    this.#writable = await this.#file.createWritable();
    this.#open = names;
    this.#end = 0;
  }

  /**
   * @param {number} offset
   * @param {Uint8Array<ArrayBuffer>} content
   */
  async write(offset, content) {
    await this.#writable.write({ type: 'write', position: offset, data: content });
    this.#end = Math.max(this.#end, offset + content.length);
  }

  /** @param {number | undefined} size */
  async end(size) {
    if (size !== undefined) await this.#writable.truncate(size);
    await this.#writable.close();
    this.#writable = null;
    this.#open = null;
  }

  /** @param {string[]} names */
  async folder(names) {
    await this.#folder(names);
  }

  /** @param {KeptPlace} place */
  async keep(place) {
    const began = performance.now();
    if (began - this.#keptAt < Math.max(KEEP_EACH, this.#keptFor / KEEP_SHARE)) return;
    await this.#writable?.close();
    const record = { folder: this.#top, made: this.#made, open: this.#open, end: this.#end, place };
    // Where the browser keeps no records a reload begins anew.
    await keepRecord('folders', this.#transfer, record).catch(() => {});
    if (this.#writable !== null) this.#writable = await this.#file.createWritable({ keepExistingData: true });
    this.#keptAt = performance.now();
    this.#keptFor = this.#keptAt - began;
  }

  async done() {
    await removeRecord('folders', this.#transfer).catch(() => {});
  }

  async abort() {
    await this.#writable?.abort();
    this.#writable = null;
    this.#open = null;
    this.arrived = [];
    await removeRecord('folders', this.#transfer).catch(() => {});
  }

  /** @param {string[]} names */
  async #folder(names) {
    let folder = this.#top;
    for (const [depth, name] of names.entries()) {
      const isNew = depth === 0 && !this.#made.includes(name);
      if (isNew && (await exists(folder, name))) throw new TransferError('exists', `${name} is there already; choose another folder.`);
      if (isNew) this.#made.push(name);
      folder = await folder.getDirectoryHandle(name, { create: true });
    }
    return folder;
  }
}

/** A folder that a former page has written to, which the browser may have to ask the person for. */
export class FormerFolder {
  #record;
  #transfer;

  /**
   * @param {FolderRecord} record
   * @param {string} transfer
   */
  constructor(record, transfer) {
    this.#record = record;
    this.#transfer = transfer;
  }

  /**
   * The folder of a transfer that a former page has begun.
   *
   * @param {string} transfer
   * @returns {Promise<FormerFolder | null>}
   */
  static async of(transfer) {
    const record = await recordOf('folders', transfer);
    return record === null ? null : new FormerFolder(record, transfer);
  }

  get name() {
    return String(this.#record.folder.name);
  }

  get bytes() {
    const { place } = this.#record;
    return place.bytes + place.position.offset;
  }

  /** Returns whether the page may write there without a question. */
  async isAllowed() {
    return (await this.#record.folder.queryPermission(READ_WRITE)) === 'granted';
  }

  /**
   * Opens it. Where it is not allowed yet, it must be called in a click.
   *
   * @returns {Promise<FolderSink>}
   * @throws if the person does not allow it, or the folder is gone
   */
  async open() {
    const { folder } = this.#record;
    if (!(await this.isAllowed()) && (await folder.requestPermission(READ_WRITE)) !== 'granted') {
      throw new TransferError('other', 'The folder may not be written to.');
    }
    return await FolderSink.goOn(this.#record, this.#transfer);
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
