import { hkdf } from '../vendor/noble-hashes/hkdf.js';
import { hmac } from '../vendor/noble-hashes/hmac.js';
import { sha256 } from '../vendor/noble-hashes/sha2.js';

const encoder = new TextEncoder();

/** The labels by which keys for different uses are told apart. */
const SESSION = encoder.encode('columba send 1 session');
const SEAL = encoder.encode('columba send 1 seal');

/** The length of a secret in bytes. */
const LENGTH = 16;

/**
 * The secret of a transfer: out of a link. It never leaves the page.
 *
 * The page has cryptography of its own, because browsers give theirs only to secure pages, and one
 * in a local network is none.
 */
export class Secret {
  #bytes;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
  }

  /**
   * @param {string} text what a link has behind `send=`
   * @returns {Secret | null} null if it is none
   */
  static parse(text) {
    const bytes = fromBase64(text);
    return bytes?.length === LENGTH ? new Secret(bytes) : null;
  }

  /** The text form, for a link. */
  reveal() {
    return toBase64(this.#bytes);
  }

  /** The token of the session in which both sides meet. */
  session() {
    return toBase64(hkdf(sha256, this.#bytes, undefined, SESSION, LENGTH));
  }

  /**
   * The means by which both sides authenticate what they send through the server.
   *
   * @returns {import('../call/post.js').Seal}
   */
  seal() {
    const key = hkdf(sha256, this.#bytes, undefined, SEAL, 32);
    const tagOf = (/** @type {string} */ text) => hmac(sha256, key, encoder.encode(text));
    return {
      seal: (text) => `${toBase64(tagOf(text))}.${text}`,
      open: (sealed) => {
        const at = sealed.indexOf('.');
        const given = at < 0 ? null : fromBase64(sealed.slice(0, at));
        const text = sealed.slice(at + 1);
        if (given === null || !same(given, tagOf(text))) throw new Error('The message does not carry the seal of this transfer.');
        return text;
      },
    };
  }
}

/**
 * In a time that does not depend on the content.
 *
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
function same(one, other) {
  let difference = one.length ^ other.length;
  for (let at = 0; at < other.length; at++) difference |= (one[at] ?? 0) ^ /** @type {number} */ (other[at]);
  return difference === 0;
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * @param {string} text
 * @returns {Uint8Array | null}
 */
function fromBase64(text) {
  if (!/^[\w-]*$/.test(text)) return null;
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}
