/**
 * The worker of a `StorageSink`: it writes into the page's own storage through access handles,
 * because what they have written is there also if the page is gone the next moment.
 *
 * A transfer has a folder of its own: the content of entry 5 in `entry-5`, and its state in
 * `state-0` and `state-1` by turns, so that one of them is whole at any time.
 */

/**
 * @typedef {object} State
 * @property {number} time when it was kept, in milliseconds of Unix time
 * @property {{ name: string, entry: number }[]} files those that are complete
 * @property {{ name: string, entry: number, end: number } | null} open the file that is being
 *   written, and how far
 * @property {any} place what `Incoming` needs to go on; `null` for nothing
 */

/** The place where it writes is kept by another page. */
const BUSY = 'NoModificationAllowedError';

/** The time in which a page that was there before must let go, in milliseconds. */
const LETS_GO = 5000;

class Storage {
  /** @type {any} */
  #folder;
  /**
   * Handles of the two states; while they are held no other page can have this transfer.
   *
   * @type {any[]}
   */
  #slots = [];
  #turn = 0;
  /** @type {any} */
  #file = null;
  /** @type {State} */
  #state = { time: 0, files: [], open: null, place: null };

  /**
   * Opens the folder of a transfer.
   *
   * @param {string} name
   * @returns {Promise<State>} what is there
   */
  async open(name) {
    const root = await navigator.storage.getDirectory();
    this.#folder = await root.getDirectoryHandle(name, { create: true });
    this.#slots = [await this.#handle('state-0'), await this.#handle('state-1')];
    const states = this.#slots.map(stateIn);
    const newest = (states[0]?.time ?? 0) > (states[1]?.time ?? 0) ? 0 : 1;
    this.#turn = 1 - newest;
    this.#state = states[newest] ?? this.#state;
    const { open } = this.#state;
    if (open !== null) {
      this.#file = await this.#handle(`entry-${open.entry}`);
      if (this.#file.getSize() < open.end) await this.clear();
    }
    if (this.#state.place === null) await this.clear();
    return this.#state;
  }

  /** @param {number} entry @param {string} name */
  async begin(entry, name) {
    this.#file?.close();
    this.#file = await this.#handle(`entry-${entry}`);
    this.#file.truncate(0);
    this.#state.open = { name, entry, end: 0 };
  }

  /** @param {number} offset @param {Uint8Array<ArrayBuffer>} content */
  write(offset, content) {
    const { open } = this.#state;
    if (open === null || this.#file.write(content, { at: offset }) !== content.length) throw new Error('There is no room for the files.');
    open.end = Math.max(open.end, offset + content.length);
  }

  /** @param {number | undefined} size */
  end(size) {
    const { open } = this.#state;
    if (open === null) return;
    if (size !== undefined) this.#file.truncate(size);
    this.#file.flush();
    this.#file.close();
    this.#file = null;
    this.#state.files.push({ name: open.name, entry: open.entry });
    this.#state.open = null;
  }

  /** @param {any} place */
  keep(place) {
    this.#file?.flush();
    this.#state.place = place;
    // The clock may be set back.
    this.#state.time = Math.max(Date.now(), this.#state.time + 1);
    const text = new TextEncoder().encode(JSON.stringify(this.#state));
    const slot = this.#slots[this.#turn];
    this.#turn = 1 - this.#turn;
    slot.truncate(0);
    slot.write(text, { at: 0 });
    slot.flush();
  }

  /** Removes everything; another transfer may begin. */
  async clear() {
    this.#file?.close();
    this.#file = null;
    this.#state = { time: this.#state.time, files: [], open: null, place: null };
    for (const slot of this.#slots) slot.truncate(0);
    for await (const name of this.#folder.keys()) if (name.startsWith('entry-')) await this.#folder.removeEntry(name);
  }

  /** Everything has arrived: the files stay, and nothing goes on from here. */
  done() {
    const files = this.#state.files;
    for (const slot of this.#slots) slot.truncate(0);
    return files;
  }

  /** @param {string} name */
  async #handle(name) {
    const file = await this.#folder.getFileHandle(name, { create: true });
    const end = Date.now() + LETS_GO;
    for (;;) {
      try {
        return await file.createSyncAccessHandle();
      } catch (error) {
        const isBusy = error instanceof DOMException && error.name === BUSY;
        if (!isBusy || Date.now() > end) throw error;
        // The handles of a page that was closed are given back a moment later.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

/**
 * The state that a file holds, if it is whole.
 *
 * @param {any} handle
 * @returns {State | null}
 */
function stateIn(handle) {
  const bytes = new Uint8Array(handle.getSize());
  handle.read(bytes, { at: 0 });
  try {
    const state = JSON.parse(new TextDecoder().decode(bytes));
    return typeof state?.time === 'number' && Array.isArray(state.files) ? state : null;
  } catch {
    return null;
  }
}

const storage = /** @type {any} */ (new Storage());
let work = Promise.resolve();
globalThis.onmessage = ({ data: { id, method, values } }) => {
  work = work.then(async () => {
    try {
      globalThis.postMessage({ id, result: await storage[method](...values) });
    } catch (error) {
      globalThis.postMessage({ id, error: String(error instanceof Error ? error.message : error) });
    }
  });
};
