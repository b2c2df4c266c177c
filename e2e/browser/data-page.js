// A page with nothing but data: a browser's own RTCPeerConnection used as the introductions write it, saying what the
// Rust program in `peer/` says, so that each can talk to the other and to its like.

/** How long a talk may take. */
const PATIENCE = 60_000;

/**
 * @typedef {object} TalkOptions
 * @property {string} token
 * @property {'offer' | 'answer'} role
 * @property {boolean} closes whether this side closes the connection in the end
 * @property {number} bytes how many to send; the other side sends as many
 * @property {string} [iceServers] only servers whose URL begins so are used
 * @property {'fingerprint' | 'description'} [spoil] sends a description that is wrong in this way
 */

/**
 * @typedef {object} Talk what a side has sent and heard
 * @property {string} greeting
 * @property {{bytes: number, sha256: string}} sent
 * @property {{bytes: number, sha256: string}} received
 * @property {{local: string, remote: string}} pair candidate types
 * @property {string} sdp the own description, with its candidates
 * @property {string} end
 */

/**
 * Opens a page of the server's origin and talks in it.
 * @param {import('./launch.js').Running} running @param {string} origin @param {TalkOptions} options
 * @returns {Promise<Talk>}
 */
export async function talkInPage(running, origin, options) {
  // A window of its own: a page in a hidden tab would be slowed down.
  const page = await running.browser.newPage({ type: 'window' });
  try {
    await page.goto(origin, { timeout: PATIENCE, waitUntil: 'load' });
    return await page.evaluate(talk, options, PATIENCE);
  } finally {
    await page.close();
  }
}

/** Runs in the page. @param {TalkOptions} options @param {number} patience @returns {Promise<Talk>} */
async function talk({ token, role, closes, bytes, iceServers = '', spoil }, patience) {
  const CHUNK = 1 << 16;
  const ROOM = 1 << 20;
  /** @type {(reason: Error) => void} */
  let fail = () => {};
  const failure = new Promise((_, reject) => (fail = reject));
  failure.catch(() => {});
  setTimeout(() => fail(new Error(`the talk took more than ${patience} ms; ${said}`)), patience);
  let said = 'nothing was said';

  const { SignalingChannel } = await import(/** @type {any} */ ('/columba/index.js'));
  const signaling = new SignalingChannel(token);
  await new Promise((resolve) => signaling.addEventListener('open', resolve, { once: true }));
  const connection = new RTCPeerConnection({
    iceServers: signaling.iceServers.flatMap((/** @type {RTCIceServer} */ server) => {
      const urls = [server.urls].flat().filter((url) => url.startsWith(iceServers));
      return urls.length > 0 ? [{ ...server, urls }] : [];
    }),
  });
  connection.addEventListener('connectionstatechange', () => {
    if (connection.connectionState === 'failed') fail(new Error('the connection failed'));
  });
  connection.addEventListener('icecandidate', ({ candidate }) => {
    if (candidate) signaling.send({ 'new-ice-candidate': candidate });
  });
  /** @type {RTCDataChannel[]} */
  const arrived = [];
  /** @type {((channel: RTCDataChannel) => void)[]} */
  const awaiting = [];
  connection.addEventListener('datachannel', ({ channel }) => {
    listenTo(channel);
    const waiter = awaiting.shift();
    if (waiter) waiter(channel);
    else arrived.push(channel);
  });

  // What comes on a channel is kept from the first moment; `null` is its end.
  /** @type {WeakMap<RTCDataChannel, {messages: any[], waiters: ((message: any) => void)[], closed: Promise<void>}>} */
  const inboxes = new WeakMap();
  /** @param {RTCDataChannel} channel */
  function listenTo(channel) {
    channel.binaryType = 'arraybuffer';
    /** @type {any[]} */ const messages = [];
    /** @type {((message: any) => void)[]} */ const waiters = [];
    const take = (/** @type {any} */ message) => {
      const waiter = waiters.shift();
      if (waiter) waiter(message);
      else messages.push(message);
    };
    const closed = /** @type {Promise<void>} */ (new Promise((resolve) => channel.addEventListener('close', () => resolve())));
    channel.addEventListener('message', ({ data }) => take(data));
    closed.then(() => take(null));
    inboxes.set(channel, { messages, waiters, closed });
    return channel;
  }
  /** @param {RTCDataChannel} channel @returns {Promise<any>} */
  function next(channel) {
    const inbox = /** @type {NonNullable<ReturnType<typeof inboxes.get>>} */ (inboxes.get(channel));
    return inbox.messages.length > 0 ? inbox.messages.shift() : new Promise((resolve) => inbox.waiters.push(resolve));
  }
  /** @param {RTCDataChannel} channel */
  const closedOf = (channel) => inboxes.get(channel)?.closed;
  /** @returns {Promise<RTCDataChannel>} */
  const theirs = async () => arrived.shift() ?? (await new Promise((resolve) => awaiting.push(resolve)));
  /** @param {RTCDataChannel} channel @param {unknown} text */
  async function expect(channel, text) {
    const found = await next(channel);
    if (found !== text) throw new Error(`${found} came instead of ${text}`);
  }
  /** @param {ArrayBuffer} buffer */
  const sha256 = async (buffer) =>
    [...new Uint8Array(await crypto.subtle.digest('SHA-256', buffer))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

  async function describe() {
    await connection.setLocalDescription();
    const { type, sdp } = /** @type {RTCSessionDescription} */ (connection.localDescription);
    const spoilt = {
      none: sdp,
      // Another certificate's, as of somebody in the middle.
      fingerprint: sdp.replace(/(a=fingerprint:\S+ )(..)/, (_, before, byte) => before + (byte === '00' ? '01' : '00')),
      description: 'This is not a description.',
    }[spoil ?? 'none'];
    signaling.send({ [type]: { type, sdp: spoilt } });
  }
  let hearing = Promise.resolve();
  signaling.addEventListener('message', (/** @type {any} */ { offer, answer, iceCandidate }) => {
    const hear = async () => {
      if (offer) {
        await connection.setRemoteDescription(offer);
        await describe();
      }
      if (answer) await connection.setRemoteDescription(answer);
      if (iceCandidate) await connection.addIceCandidate(iceCandidate);
    };
    hearing = hearing.then(hear).catch(fail);
  });

  /** @param {RTCDataChannel} channel */
  async function say(channel) {
    if (channel.readyState === 'connecting') await new Promise((resolve) => channel.addEventListener('open', resolve, { once: true }));
    channel.send(`hello from ${role}`);
    const data = new Uint8Array(bytes);
    // As fast as a page can make that much noise.
    for (let at = 0; at < bytes; at += CHUNK) crypto.getRandomValues(data.subarray(at, Math.min(at + CHUNK, bytes)));
    channel.bufferedAmountLowThreshold = ROOM / 2;
    for (let at = 0; at < bytes; at += CHUNK) {
      if (channel.bufferedAmount > ROOM) {
        await new Promise((resolve) => channel.addEventListener('bufferedamountlow', resolve, { once: true }));
      }
      channel.send(data.subarray(at, Math.min(at + CHUNK, bytes)));
    }
    const digest = await sha256(data.buffer);
    channel.send(digest);
    return { bytes, sha256: digest };
  }
  /** @param {RTCDataChannel} channel */
  async function listen(channel) {
    const greeting = await next(channel);
    said = 'a greeting came';
    const data = new Uint8Array(bytes);
    let length = 0;
    for (;;) {
      const message = await next(channel);
      if (message === null) throw new Error(`the channel was closed after ${length} bytes`);
      if (typeof message === 'string') {
        const digest = await sha256(data.buffer);
        if (digest !== message) throw new Error(`${length} bytes came with the digest ${digest} instead of ${message}`);
        return { greeting, bytes: length, sha256: digest };
      }
      data.set(new Uint8Array(message), length);
      length += message.byteLength;
      said = `${length} bytes came`;
    }
  }
  async function sayGoodbye() {
    const channel = listenTo(connection.createDataChannel('goodbye'));
    await new Promise((resolve) => channel.addEventListener('open', resolve, { once: true }));
    channel.send('goodbye');
    await closedOf(channel);
  }
  async function hearGoodbye() {
    const channel = await theirs();
    await expect(channel, 'goodbye');
    channel.close();
    await closedOf(channel);
  }
  async function pair() {
    const reports = [...(await connection.getStats()).values()];
    const transport = reports.find((report) => report.type === 'transport');
    // Firefox marks the pair itself.
    const selected =
      reports.find((report) => report.id === transport?.selectedCandidatePairId) ??
      reports.find((report) => report.type === 'candidate-pair' && report.selected);
    const typeOf = (/** @type {string} */ id) => reports.find((report) => report.id === id)?.candidateType;
    return { local: typeOf(selected?.localCandidateId), remote: typeOf(selected?.remoteCandidateId) };
  }

  async function all() {
    const own = role === 'offer' ? listenTo(connection.createDataChannel('talk')) : undefined;
    if (own) await describe();
    const channel = own ?? (await theirs());
    const [sent, { greeting, ...received }] = await Promise.all([say(channel), listen(channel)]);
    channel.send('whole');
    await expect(channel, 'whole');
    said = 'everything was said but goodbye';
    await Promise.all([sayGoodbye(), hearGoodbye()]);
    said = 'everything was said but the end';
    // Who closes must know that the other side is waiting for nothing else: closing takes back what is not sent yet.
    if (closes) await expect(channel, 'ready');
    else channel.send('ready');
    const found = { greeting, sent, received, pair: await pair(), sdp: connection.localDescription?.sdp ?? '' };
    if (!closes) await expect(channel, null);
    connection.close();
    return { ...found, end: 'closed' };
  }
  try {
    return /** @type {any} */ (await Promise.race([all(), failure]));
  } finally {
    connection.close();
    signaling.close();
  }
}
