/**
 * One page of this browser at a time receives a transfer: it holds a lock of the browser's, which
 * is free again when the page is closed or loaded again.
 */

/** The time in which a page that was there before must let go, in milliseconds. */
const LETS_GO = 5000;

/** @type {Map<string, () => void>} transfers that this page has, and how to let go of them */
const held = new Map();

/**
 * Holds a transfer for this page.
 *
 * @param {string} transfer
 * @returns {Promise<boolean>} false if another page has it
 */
export async function holdTransfer(transfer) {
  // Pages that are not secure have no locks.
  if (held.has(transfer) || typeof navigator === 'undefined' || navigator.locks === undefined) return true;
  return await new Promise((resolve) => {
    const hold = () => {
      resolve(true);
      return new Promise((release) => held.set(transfer, () => release(undefined)));
    };
    navigator.locks.request(`columba transfer ${transfer}`, { signal: AbortSignal.timeout(LETS_GO) }, hold).catch(() => resolve(false));
  });
}

/**
 * Lets another page have the transfer.
 *
 * @param {string} transfer
 */
export function letGoOf(transfer) {
  held.get(transfer)?.();
  held.delete(transfer);
}
