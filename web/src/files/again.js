import { hmac } from '../vendor/noble-hashes/hmac.js';
import { sha256 } from '../vendor/noble-hashes/sha2.js';
import { hex } from './tree.js';

/**
 * A receiver whose page or connection was lost asks a participant of the call for its transfers
 * again, without knowing whether that is their sender: what it says means nothing to others, and
 * nothing on another connection (`docs/files.md`).
 */

/** The label of the channel on which it asks. */
export const LABEL_AGAIN = 'files-again';

/** The most transfers that are asked for at once. */
export const MAX_ASKED = 64;

/** The most characters of a question. */
const MAX_QUESTION = 8192;

const encoder = new TextEncoder();

/**
 * The question for these transfers.
 *
 * @param {string[]} transfers
 * @param {RTCPeerConnection} connection
 */
export function questionFor(transfers, connection) {
  const { own, other } = fingerprints(connection);
  return JSON.stringify({ type: 'again', proofs: transfers.slice(0, MAX_ASKED).map((each) => proofOf(each, own, other)) });
}

/**
 * Those of the transfers that a question asks for.
 *
 * @param {unknown} question
 * @param {string[]} transfers
 * @param {RTCPeerConnection} connection
 * @returns {string[]}
 */
export function askedFor(question, transfers, connection) {
  if (typeof question !== 'string' || question.length > MAX_QUESTION) return [];
  try {
    const { type, proofs } = JSON.parse(question) ?? {};
    if (type !== 'again' || !Array.isArray(proofs)) return [];
    const { own, other } = fingerprints(connection);
    return transfers.filter((each) => proofs.includes(proofOf(each, other, own)));
  } catch {
    return [];
  }
}

/**
 * @param {string} transfer
 * @param {string} asker the fingerprint of the certificate of the one who asks
 * @param {string} asked that of the other
 */
function proofOf(transfer, asker, asked) {
  return hex(hmac(sha256, encoder.encode(transfer), encoder.encode(`columba files 1 again ${asker} ${asked}`)));
}

/** @param {RTCPeerConnection} connection */
function fingerprints({ currentLocalDescription, currentRemoteDescription }) {
  const of = (/** @type {RTCSessionDescription | null} */ description) => /a=fingerprint:(\S+ \S+)/.exec(description?.sdp ?? '')?.[1]?.toLowerCase() ?? '';
  return { own: of(currentLocalDescription), other: of(currentRemoteDescription) };
}
