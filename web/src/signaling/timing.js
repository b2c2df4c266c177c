/**
 * Every duration of the signaling client, in milliseconds. `options.timing` of a channel overrides
 * single ones (tests make them short; a very slow network may want them longer).
 *
 * @typedef {object} Timing
 * @property {number} open how long a WebSocket may take to open before HTTP is tried
 * @property {number} answer how long the server may take to answer the first message of a
 *   connection
 * @property {number} request how long one HTTP request may take, long polls excepted
 * @property {number} firstByte how long an event stream may stay empty before it counts as buffered
 *   by a proxy
 * @property {number} silence how long nothing may arrive before the connection is probed
 *   (WebSocket)
 * @property {number} probe how long the answer to a probe may take before the connection counts as
 *   dead
 * @property {number} hurry the same after the network has come back, when a dead connection is
 *   likely
 * @property {number} streamSilence how long an event stream may be silent; the server comments
 *   every 15 s
 * @property {number} acknowledge how long an event may stay unacknowledged; the protocol allows 1 s
 * @property {number} backoff the first pause between two attempts to connect; it doubles each time
 * @property {number} backoffMax the longest such pause
 * @property {number} retryWebSocket the time after which a blocked transport is tried again
 * @property {number} hold how long a message to an absent peer is kept
 * @property {number} refresh how long fresh ICE servers may take to arrive
 */

/** @type {Readonly<Timing>} */
export const TIMING = Object.freeze({
  open: 2500,
  answer: 5000,
  request: 15000,
  firstByte: 3000,
  silence: 12000,
  probe: 5000,
  hurry: 2000,
  streamSilence: 32000,
  acknowledge: 400,
  backoff: 250,
  backoffMax: 5000,
  retryWebSocket: 60000,
  hold: 60000,
  refresh: 5000,
});
