/**
 * The instance of the page before this one, if that had the same client id. Only one page takes it:
 * in a duplicate of the tab it is gone.
 *
 * @param {string | undefined} clientId
 * @param {URL} url
 * @returns {string | null}
 */
export function takeInstance(clientId, url) {
  if (clientId === undefined) return null;
  try {
    const key = instanceKey(clientId, url);
    const instance = globalThis.sessionStorage.getItem(key);
    globalThis.sessionStorage.removeItem(key);
    return instance !== null && /^[\w-]{22,64}$/.test(instance) ? instance : null;
  } catch {
    // Without a store each page is a client of its own.
    return null;
  }
}

/**
 * Keeps the instance for the next page of this tab.
 *
 * @param {string | undefined} clientId
 * @param {URL} url
 * @param {string} instance
 */
export function keepInstance(clientId, url, instance) {
  if (clientId === undefined) return;
  try {
    globalThis.sessionStorage.setItem(instanceKey(clientId, url), instance);
  } catch {
    // Without a store each page is a client of its own.
  }
}

/**
 * @param {string} clientId
 * @param {URL} url
 */
function instanceKey(clientId, url) {
  return `columba instance ${clientId} ${url}`;
}
