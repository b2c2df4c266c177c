/**
 * The transfers of a call that are not over, as far as this tab keeps them for the page that
 * follows when it is loaded again. Contents are in the browser's databases.
 */

import { keepRecord, recordOf, removeRecord } from '/columba/files/index.js';

/** @typedef {import('/columba/files/outgoing.js').Sent} Sent */

/** Where this tab keeps the list. */
const KEY = 'columba.transfers';

/** The most transfers in each direction that are kept. */
const MAX_KEPT = 32;

/** Files up to so many bytes in all are kept by the browser; others have to be chosen again. */
const KEPT_BYTES = 64 * 1024 * 1024;

/**
 * @typedef {object} KeptTransfer
 * @property {string} transfer
 * @property {string} title the words about it
 * @property {string} other the name of the other participant
 * @property {number | null} bytes
 * @property {boolean} [accepted] the person has taken it
 * @property {{ path: string, bytes: number, modified: number }[]} [files] what it was made of
 */

/** @typedef {{ token: string, sent: KeptTransfer[], received: KeptTransfer[] }} Kept */

export class KeptTransfers {
  /** @type {Kept} */
  #kept;

  /** @param {string} token of the call */
  constructor(token) {
    const none = { token, sent: [], received: [] };
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
      this.#kept = kept?.token === token ? kept : none;
    } catch {
      this.#kept = none;
    }
  }

  get sent() {
    return [...this.#kept.sent];
  }

  get received() {
    return [...this.#kept.received];
  }

  /**
   * Keeps a transfer to another, and its files where they are not too large.
   *
   * @param {Omit<KeptTransfer, 'files'>} transfer
   * @param {Sent[]} files
   */
  async send(transfer, files) {
    const about = files.map(({ path, file }) => ({ path, bytes: file?.size ?? -1, modified: file?.lastModified ?? 0 }));
    // Of those with a path only the browser can bring them back.
    const canChoose = files.every(({ path, file }) => file !== null && !path.includes('/'));
    this.#put(this.#kept.sent, { ...transfer, files: canChoose ? about : undefined });
    if ((transfer.bytes ?? Infinity) <= KEPT_BYTES) await keepRecord('sent', transfer.transfer, { files }).catch(() => {});
  }

  /**
   * The files of a transfer of the page before.
   *
   * @param {string} transfer
   * @returns {Promise<Sent[] | null>} `null` if they have to be chosen again
   */
  async filesOf(transfer) {
    const record = await recordOf('sent', transfer).catch(() => null);
    return record?.files ?? null;
  }

  /** @param {KeptTransfer} transfer */
  receive(transfer) {
    this.#put(this.#kept.received, transfer);
  }

  /** @param {string} transfer */
  forget(transfer) {
    const others = (/** @type {KeptTransfer[]} */ list) => list.filter((each) => each.transfer !== transfer);
    if (this.#kept.sent.some((each) => each.transfer === transfer)) void removeRecord('sent', transfer).catch(() => {});
    this.#kept = { ...this.#kept, sent: others(this.#kept.sent), received: others(this.#kept.received) };
    this.#write();
  }

  /** @param {KeptTransfer[]} list @param {KeptTransfer} transfer */
  #put(list, transfer) {
    const at = list.findIndex((each) => each.transfer === transfer.transfer);
    if (at >= 0) list[at] = transfer;
    else list.push(transfer);
    if (list.length > MAX_KEPT) list.shift();
    this.#write();
  }

  #write() {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(this.#kept));
    } catch {
      // Storage may be forbidden or full: a page that is loaded again begins anew.
    }
  }
}

/** The call is over. */
export function forgetTransfers() {
  try {
    const { sent = [] } = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') ?? {};
    for (const { transfer } of sent) void removeRecord('sent', String(transfer)).catch(() => {});
    sessionStorage.removeItem(KEY);
  } catch {
    // See above.
  }
}
