/**
 * Why a connection ended, or an error that it goes on after.
 *
 * @typedef {object} Failure
 * @property {'unreachable' | 'refused' | 'lost'} [kind] the server was never reached; it refused;
 *   the connection broke
 * @property {string} code a code of the protocol, or `unreachable`, `connection-lost`, …
 * @property {string} message a sentence for a person
 * @property {boolean} [fatal]
 * @property {number} [retryAfter] milliseconds
 * @property {number} [seq] the `send` that was refused
 */

/**
 * One connection to the server, over either transport. It reports through {@link
 * ConnectionHandlers} and never after `ended`.
 *
 * @typedef {object} Connection
 * @property {'websocket' | 'http'} transport
 * @property {boolean} acknowledges whether receiving itself acknowledges events, so that no `ack`
 *   need be sent
 * @property {(messages: string[]) => void} send sends messages, each the JSON text of one
 * @property {(within: number) => void} probe ends the connection unless the server answers within
 *   so many milliseconds
 * @property {() => void} leave leaves the session and ends the connection
 * @property {() => void} abort ends the connection; the membership stays
 */

/**
 * @typedef {object} ConnectionHandlers
 * @property {(answer: any) => void} entered the server's `joined` or `resumed` message
 * @property {(message: any) => void} message any later message
 * @property {(failure: Failure) => void} ended the connection is over
 * @property {() => number} lastSeq the last event received
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {URL} url the signaling address, with an `http:` or `https:` scheme
 * @property {any} entry the first message: `join`, `create`, `meet` or `resume`
 * @property {ConnectionHandlers} handlers
 * @property {import('./timing.js').Timing} timing
 */

/**
 * The failure that an `error` message of the server means.
 *
 * @param {any} error
 * @returns {Failure}
 */
export function refusal(error) {
  const { code, message, fatal, retryAfter, seq } = error ?? {};
  return {
    kind: 'refused',
    code: typeof code === 'string' ? code : 'unknown',
    message: typeof message === 'string' ? message : 'The server refused without saying why.',
    fatal: fatal === true,
    retryAfter: typeof retryAfter === 'number' ? retryAfter : undefined,
    seq: typeof seq === 'number' ? seq : undefined,
  };
}

/** @returns {Failure} */
export function unreachable() {
  return { kind: 'unreachable', code: 'unreachable', message: 'The signaling server cannot be reached.' };
}

/** @returns {Failure} */
export function lost() {
  return { kind: 'lost', code: 'connection-lost', message: 'The connection to the signaling server is lost.' };
}

/**
 * A JSON object from text; `null` for anything else, because what cannot be understood is ignored.
 *
 * @param {unknown} text
 * @returns {any}
 */
export function parseObject(text) {
  if (typeof text !== 'string') return null;
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
