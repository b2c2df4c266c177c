/** A session token, as `docs/signaling.md` describes it. */
const TOKEN = /^[\w.~-]{1,128}$/;

/** The text between the token and the server's join key. */
const KEY = '&key=';

/**
 * The place that a link names behind its `#`, which browsers do not send.
 *
 * @typedef {{ token: string | null, key: string }} Place `token` is null if it is none; `key` is
 *   the server's join key, or empty
 */

/**
 * Reads a link's fragment, or a code.
 *
 * @param {string} fragment
 * @returns {Place}
 */
export function readFragment(fragment) {
  const at = fragment.indexOf(KEY);
  const token = at < 0 ? fragment : fragment.slice(0, at);
  return { token: TOKEN.test(token) ? token : null, key: at < 0 ? '' : decode(fragment.slice(at + KEY.length)) };
}

/**
 * The fragment for a place, with its `#`.
 *
 * @param {string} token
 * @param {string} [key]
 */
export function fragmentOf(token, key = '') {
  return key === '' ? `#${token}` : `#${token}${KEY}${encodeURIComponent(key)}`;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
