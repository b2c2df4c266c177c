import { SHA256_IV } from '../vendor/noble-hashes/_md.js';
import { _compress } from '../vendor/noble-hashes/blake2.js';

/** The bytes of a piece; only the last of a file is shorter. */
export const PIECE = 64 * 1024;

const CHUNK = 1024;
const BLOCK = 64;

const CHUNK_START = 1;
const CHUNK_END = 2;
const PARENT = 4;
const ROOT = 8;

/** The order of message words in the seven rounds of BLAKE3. */
const SIGMA = (() => {
  const step = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
  const order = new Uint8Array(7 * 16);
  let row = Array.from({ length: 16 }, (_, at) => at);
  for (let round = 0; round < 7; round++) {
    order.set(row, round * 16);
    row = step.map((at) => /** @type {number} */ (row[at]));
  }
  return order;
})();

const IV = SHA256_IV.slice();

/**
 * The words of the hash after one block.
 *
 * @param {Uint32Array} state changed
 * @param {Uint32Array} words
 * @param {number} at
 * @param {number} counter
 * @param {number} length
 * @param {number} flags
 */
function compress(state, words, at, counter, length, flags) {
  const v = _compress(
    SIGMA, at, words, 7,
    /** @type {number} */ (state[0]), /** @type {number} */ (state[1]), /** @type {number} */ (state[2]), /** @type {number} */ (state[3]),
    /** @type {number} */ (state[4]), /** @type {number} */ (state[5]), /** @type {number} */ (state[6]), /** @type {number} */ (state[7]),
    /** @type {number} */ (IV[0]), /** @type {number} */ (IV[1]), /** @type {number} */ (IV[2]), /** @type {number} */ (IV[3]),
    counter | 0, Math.floor(counter / 2 ** 32), length, flags,
  );
  state[0] = v.v0 ^ v.v8;
  state[1] = v.v1 ^ v.v9;
  state[2] = v.v2 ^ v.v10;
  state[3] = v.v3 ^ v.v11;
  state[4] = v.v4 ^ v.v12;
  state[5] = v.v5 ^ v.v13;
  state[6] = v.v6 ^ v.v14;
  state[7] = v.v7 ^ v.v15;
}

/**
 * The words of a subtree: at most a piece of content, not empty.
 *
 * @param {Uint32Array} words the content, padded with zeros to whole blocks
 * @param {number} from the first word
 * @param {number} length bytes
 * @param {number} chunk the number of the first chunk in the file
 * @param {number} flags `ROOT` if it is the whole file
 * @returns {Uint32Array}
 */
function subtree(words, from, length, chunk, flags) {
  if (length > CHUNK) {
    let left = CHUNK;
    while (left * 2 < length) left *= 2;
    const one = subtree(words, from, left, chunk, 0);
    const other = subtree(words, from + left / 4, length - left, chunk + left / CHUNK, 0);
    return join(one, other, flags);
  }
  const state = IV.slice();
  for (let at = 0; at < length || at === 0; at += BLOCK) {
    const isLast = at + BLOCK >= length;
    const kind = (at === 0 ? CHUNK_START : 0) | (isLast ? CHUNK_END | flags : 0);
    compress(state, words, from + at / 4, chunk, isLast ? length - at : BLOCK, kind);
  }
  return state;
}

/**
 * @param {Uint32Array} left
 * @param {Uint32Array} right
 * @param {number} flags
 */
function join(left, right, flags) {
  const block = new Uint32Array(16);
  block.set(left);
  block.set(right, 8);
  const state = IV.slice();
  compress(state, block, 0, 0, BLOCK, PARENT | flags);
  return state;
}

/** @param {Uint32Array} words */
const bytesOf = (words) => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** @param {Uint8Array} content */
function wordsOf(content) {
  const whole = content.byteLength % BLOCK === 0 && content.byteOffset % 4 === 0 && content.byteLength > 0;
  if (whole) return new Uint32Array(content.buffer, content.byteOffset, content.byteLength / 4);
  const words = new Uint32Array(Math.max(1, Math.ceil(content.byteLength / BLOCK)) * 16);
  bytesOf(words).set(content);
  return words;
}

/**
 * The hash of a piece at this place of the file: the chaining value of BLAKE3's subtree.
 *
 * @param {number} offset a multiple of `PIECE`
 * @param {Uint8Array} content at most `PIECE` bytes, not none
 */
export function pieceHash(offset, content) {
  return bytesOf(subtree(wordsOf(content), 0, content.byteLength, offset / CHUNK, 0));
}

/**
 * The chain of entries before the first.
 *
 * @type {Uint8Array}
 */
export const NO_CHAIN = new Uint8Array(32);

/**
 * The chain with one more entry, given as its message's text.
 *
 * @param {Uint8Array} chain
 * @param {string} text
 */
export function chainWith(chain, text) {
  const entry = new TextEncoder().encode(text);
  const all = new Uint8Array(chain.length + entry.length);
  all.set(chain);
  all.set(entry, chain.length);
  return bytesOf(subtree(wordsOf(all), 0, all.byteLength, 0, ROOT));
}

/** The hash tree of a file as far as it is known. */
export class Tree {
  /** @type {Uint32Array[]} */
  #stack = [];
  #pieces = 0;
  /** @type {Uint8Array | null} the first piece's hash as the root */
  #single = null;

  /**
   * A tree whose complete subtrees have these values.
   *
   * @param {Uint8Array[]} stack
   * @param {number} pieces more than one
   */
  static restore(stack, pieces) {
    const tree = new Tree();
    tree.#stack = stack.map((value) => new Uint32Array(value.slice().buffer, 0, 8));
    tree.#pieces = pieces;
    return tree;
  }

  /**
   * Adds the next piece.
   *
   * @param {Uint8Array} content
   * @param {Uint8Array} hash
   */
  push(content, hash) {
    const isFirst = this.#pieces === 0;
    this.#single = isFirst ? bytesOf(subtree(wordsOf(content), 0, content.byteLength, 0, ROOT)) : null;
    // As late as possible, because the last joint is the root.
    const complete = ones(this.#pieces);
    while (this.#stack.length > complete) {
      const [left, right] = this.#stack.splice(-2);
      if (left !== undefined && right !== undefined) this.#stack.push(join(left, right, 0));
    }
    const copy = hash.slice();
    this.#stack.push(new Uint32Array(copy.buffer, 0, 8));
    this.#pieces++;
  }

  get pieces() {
    return this.#pieces;
  }

  /** The values of the complete subtrees, from the left. */
  get stack() {
    return this.#stack.map((words) => bytesOf(words));
  }

  /** The hash of the file, if this was all of it. */
  root() {
    if (this.#pieces === 0) return bytesOf(subtree(wordsOf(new Uint8Array(0)), 0, 0, 0, ROOT));
    if (this.#pieces === 1) return /** @type {Uint8Array} */ (this.#single);
    let right = /** @type {Uint32Array} */ (this.#stack.at(-1));
    for (let at = this.#stack.length - 2; at >= 0; at--) {
      right = join(/** @type {Uint32Array} */ (this.#stack[at]), right, at === 0 ? ROOT : 0);
    }
    return bytesOf(right);
  }
}

/** @param {number} number */
function ones(number) {
  let count = 0;
  for (let rest = number; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

/**
 * The bytes of hexadecimal text.
 *
 * @param {string} text
 * @returns {Uint8Array}
 */
export function unhex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
