import { TransferError } from './incoming.js';

/**
 * Folders of transfers that were not touched for so long are removed when another begins, in
 * milliseconds.
 */
const FORGOTTEN = 7 * 24 * 3600 * 1000;

const PREFIX = 'transfer-';

/**
 * Writes into the page's own storage, out of which files are saved later. What is there survives
 * the page: one that is loaded again goes on with it.
 *
 * @implements {Sink}
 * @typedef {import('./incoming.js').Sink} Sink
 */
export class StorageSink {
  /** @type {import('./sink.js').Arrived[]} */
  arrived = [];
  /** @type {import('./incoming.js').KeptPlace | null} where a former page was with this transfer */
  kept = null;
  #folder;
  #worker;
  #last = 0;
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();

  /**
   * @param {any} folder a `FileSystemDirectoryHandle`
   * @param {Worker} worker
   */
  constructor(folder, worker) {
    this.#folder = folder;
    this.#worker = worker;
    worker.onmessage = ({ data: { id, result, error } }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new TransferError('no-space', error));
    };
    worker.onerror = ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(message));
      this.#waiting.clear();
    };
  }

  /**
   * Opens the storage of a transfer.
   *
   * @param {string} transfer
   * @returns {Promise<StorageSink>}
   * @throws if this browser has none, as in private windows, or another page writes there
   */
  static async open(transfer) {
    const root = await navigator.storage.getDirectory();
    const name = folderOf(transfer);
    await removeForgotten(root, name);
    const folder = await root.getDirectoryHandle(name, { create: true });
    const sink = new StorageSink(folder, new Worker(new URL('./storage-worker.js', import.meta.url), { type: 'module' }));
    try {
      const { place } = await sink.#ask('open', name);
      sink.kept = place;
      return sink;
    } catch (error) {
      sink.#worker.terminate();
      throw error;
    }
  }

  /**
   * Returns whether a former page has begun this transfer.
   *
   * @param {string} transfer
   */
  static async has(transfer) {
    try {
      const root = await navigator.storage.getDirectory();
      return (await lastKept(await root.getDirectoryHandle(folderOf(transfer)))) > 0;
    } catch {
      return false;
    }
  }

  /**
   * @param {string[]} names
   * @param {{ n: number }} entry
   */
  async begin(names, { n }) {
    await this.#ask('begin', n, names.join('/'));
  }

  /**
   * @param {number} offset
   * @param {Uint8Array<ArrayBuffer>} content
   */
  async write(offset, content) {
    await this.#ask('write', offset, content);
  }

  /** @param {number | undefined} size */
  async end(size) {
    await this.#ask('end', size);
  }

  async folder() {}

  /** @param {import('./incoming.js').KeptPlace} place */
  async keep(place) {
    await this.#ask('keep', place);
  }

  async done() {
    const files = await this.#ask('done');
    for (const { name, entry } of files) {
      const file = await this.#folder.getFileHandle(`entry-${entry}`);
      this.arrived.push({ name, blob: await file.getFile() });
    }
    this.#worker.terminate();
  }

  async abort() {
    this.arrived = [];
    await this.#ask('clear');
  }

  /**
   * @param {string} method
   * @param {...any} values
   * @returns {Promise<any>}
   */
  #ask(method, ...values) {
    const id = (this.#last += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, values });
    });
  }
}

/** @param {string} transfer */
function folderOf(transfer) {
  return PREFIX + transfer.replaceAll(/[^0-9a-f]/g, '').slice(0, 64);
}

/**
 * The time at which a folder's state was written last, in milliseconds of Unix time; 0 if it has
 * none.
 *
 * @param {any} folder
 */
async function lastKept(folder) {
  const times = ['state-0', 'state-1'].map(async (name) => {
    try {
      const file = await (await folder.getFileHandle(name)).getFile();
      return file.size > 0 ? file.lastModified : 0;
    } catch {
      return 0;
    }
  });
  return Math.max(...(await Promise.all(times)));
}

/**
 * Removes what other transfers have left; what another page writes to cannot be removed.
 *
 * @param {any} root
 * @param {string} present
 */
async function removeForgotten(root, present) {
  for await (const [name, folder] of root.entries()) {
    if (!name.startsWith(PREFIX) || name === present || folder.kind !== 'directory') continue;
    if (Date.now() - (await lastTouched(folder)) < FORGOTTEN) continue;
    await root.removeEntry(name, { recursive: true }).catch(() => {});
  }
}

/**
 * The time at which anything in a folder was written last.
 *
 * @param {any} folder
 */
async function lastTouched(folder) {
  let last = 0;
  for await (const handle of folder.values()) {
    if (handle.kind === 'file') last = Math.max(last, (await handle.getFile()).lastModified);
  }
  return last;
}
