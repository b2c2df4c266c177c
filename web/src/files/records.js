/**
 * Records that survive the page: what a page that is loaded again needs, to go on with transfers.
 * They are in IndexedDB, because that keeps handles of folders, and files.
 */

/** Records that were not touched for so long are removed when another is kept, in milliseconds. */
const FORGOTTEN = 7 * 24 * 3600 * 1000;

const DATABASE = 'columba-files';

/** @typedef {'folders' | 'sent'} Kind folders that transfers arrive in; files that are sent */

/** @type {Kind[]} */
const KINDS = ['folders', 'sent'];

/**
 * The record of a transfer, if there is one.
 *
 * @param {Kind} kind
 * @param {string} transfer
 * @returns {Promise<any>}
 */
export async function recordOf(kind, transfer) {
  if (typeof indexedDB === 'undefined') return null;
  const database = await open();
  try {
    return (await result(database.transaction(kind).objectStore(kind).get(transfer))) ?? null;
  } finally {
    database.close();
  }
}

/**
 * Keeps the record of a transfer, and removes forgotten ones.
 *
 * @param {Kind} kind
 * @param {string} transfer
 * @param {object} record
 */
export async function keepRecord(kind, transfer, record) {
  const database = await open();
  try {
    const store = database.transaction(kind, 'readwrite').objectStore(kind);
    await result(store.put({ ...record, time: Date.now() }, transfer));
    const forgotten = IDBKeyRange.upperBound(Date.now() - FORGOTTEN);
    const keys = await result(store.index('time').getAllKeys(forgotten));
    await Promise.all(keys.map((key) => result(store.delete(key))));
  } finally {
    database.close();
  }
}

/**
 * @param {Kind} kind
 * @param {string} transfer
 */
export async function removeRecord(kind, transfer) {
  if (typeof indexedDB === 'undefined') return;
  const database = await open();
  try {
    await result(database.transaction(kind, 'readwrite').objectStore(kind).delete(transfer));
  } finally {
    database.close();
  }
}

/** @returns {Promise<IDBDatabase>} */
function open() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    for (const kind of KINDS) request.result.createObjectStore(kind).createIndex('time', 'time');
  };
  return result(request);
}

/**
 * @template Result
 * @param {IDBRequest<Result>} request
 * @returns {Promise<Result>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
