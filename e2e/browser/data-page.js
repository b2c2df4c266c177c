// A page with nothing but data, the browser's side of a talk with the Rust program in
// `peers/rust/`.

import { STEP_TIMEOUT } from '../lab/timeouts.js';
import { Inbox, Talk } from './talk.js';

/** Milliseconds that a talk may take, which carries much. */
const TALK_TIMEOUT = 3 * STEP_TIMEOUT;

/**
 * @typedef {object} TalkOptions
 * @property {string} token
 * @property {'offer' | 'answer'} role
 * @property {boolean} closes whether this side closes the connection in the end
 * @property {number} bytes how many to send; the other side sends as many
 * @property {boolean} [direct] whether to go on until the path needs no relay
 * @property {string} [iceServers] only servers whose URL begins so are used
 * @property {boolean} [media] offers sound and picture before the data
 * @property {'fingerprint' | 'description'} [spoil] sends a description that is wrong in this way
 */

/**
 * @typedef {object} TalkReport what a side has sent and heard
 * @property {string} greeting
 * @property {{bytes: number, sha256: string}} sent
 * @property {{bytes: number, sha256: string}} received
 * @property {{local: string, remote: string, protocol: string, to?: string}} pair candidate
 *   types, and what they speak: `udp` or `tcp`; where it leads, as a Rust peer says
 * @property {string} [sdp] the own description, with its candidates
 * @property {(string | null)[]} [directions] of the page's transceivers, as they were agreed
 * @property {string[]} [resolved] the other side's hidden addresses that were found
 * @property {string} end
 */

/**
 * Opens a page of the server's origin and talks in it.
 * @param {import('./launch.js').Running} running
 * @param {string} origin
 * @param {TalkOptions} options
 * @returns {Promise<TalkReport>}
 */
export async function talkInPage(running, origin, options) {
  // A window of its own: a page in a hidden tab would be slowed down.
  const page = await running.browser.newPage({ type: 'window' });
  try {
    return await talkIn(page, origin, options);
  } finally {
    await page.close();
  }
}

/**
 * Talks in a page that the caller closes.
 * @param {import('puppeteer-core').Page} page @param {string} origin @param {TalkOptions} options
 * @returns {Promise<TalkReport>}
 */
export async function talkIn(page, origin, options) {
  await page.goto(origin, { timeout: STEP_TIMEOUT, waitUntil: 'load' });
  return /** @type {TalkReport} */ (await page.evaluate(`(async () => {
    const { SignalingChannel } = await import('/columba/index.js');
    const Inbox = ${Inbox}, Talk = ${Talk};
    const options = ${JSON.stringify(options)};
    const signaling = new SignalingChannel(options.token);
    await new Promise((resolve) => signaling.addEventListener('open', resolve, { once: true }));
    return await new Talk(options, signaling, Inbox).hold(${TALK_TIMEOUT});
  })()`));
}
