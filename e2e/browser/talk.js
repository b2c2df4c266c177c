// What a page with nothing but data does: a browser's own RTCPeerConnection used as the
// introductions write it, saying what the Rust program in `peers/rust/` says. These classes run
// in the page: they use nothing else of this file.

/** The messages of a channel, from its first moment on; `null` is its end. */
export class Inbox {
  /** @type {any[]} */
  #messages = [];
  /** @type {((message: any) => void)[]} */
  #readers = [];

  /** @param {RTCDataChannel} channel */
  constructor(channel) {
    this.channel = channel;
    channel.binaryType = 'arraybuffer';
    this.open = new Promise((resolve) => {
      if (channel.readyState === 'open') resolve(undefined);
      else channel.addEventListener('open', resolve, { once: true });
    });
    this.closed = new Promise((resolve) => channel.addEventListener('close', resolve, { once: true }));
    channel.addEventListener('message', ({ data }) => this.#take(data));
    this.closed.then(() => this.#take(null));
  }

  /** @returns {Promise<any>} */
  async next() {
    return this.#messages.length > 0 ? this.#messages.shift() : await new Promise((resolve) => this.#readers.push(resolve));
  }

  /** @param {unknown} message */
  async expect(message) {
    const found = await this.next();
    if (found !== message) throw new Error(`${found} came instead of ${message}`);
  }

  /** @param {any} message */
  #take(message) {
    const reader = this.#readers.shift();
    if (reader) reader(message);
    else this.#messages.push(message);
  }
}

export class Talk {
  #chunk = 1 << 16;
  #room = 1 << 20;
  /** The progress of the talk, for failures. */
  #progress = 'nothing was sent';
  /**
   * Candidates and errors of gathering, with the milliseconds since the page began, for failures.
   * @type {string[]}
   */
  #gathered = [];
  /** Channels of the other side's that were not asked for yet. @type {Inbox[]} */
  #arrived = [];
  /** @type {((inbox: Inbox) => void)[]} */
  #awaiting = [];
  #handling = Promise.resolve();
  /** The other side has left the session. */
  #left = false;
  /** The other side's first words have come. @type {() => void} */
  #greeted = () => {};
  #greeting = new Promise((resolve) => (this.#greeted = () => resolve(undefined)));
  /** @type {(reason: Error) => void} */
  #fail = () => {};

  /**
   * @param {import('./data-page.js').TalkOptions} options
   * @param {any} signaling
   * @param {typeof Inbox} inbox
   */
  constructor(options, signaling, inbox) {
    this.options = options;
    this.signaling = signaling;
    this.newInbox = (/** @type {RTCDataChannel} */ channel) => new inbox(channel);
    const prefix = options.iceServers ?? '';
    this.connection = new RTCPeerConnection({
      iceServers: signaling.iceServers.flatMap((/** @type {RTCIceServer} */ server) => {
        const urls = [server.urls].flat().filter((url) => url.startsWith(prefix));
        return urls.length > 0 ? [{ ...server, urls }] : [];
      }),
    });
  }

  /**
   * From the first word to the last.
   * @param {number} timeout milliseconds
   * @returns {Promise<import('./data-page.js').TalkReport>}
   */
  async hold(timeout) {
    const failure = new Promise((_, reject) => (this.#fail = reject));
    const timer = setTimeout(() => this.#fail(new Error(`this took more than ${timeout} ms; ${this.#progress}`)), timeout);
    try {
      this.#negotiate();
      return /** @type {any} */ (await Promise.race([this.#talk(), failure]));
    } catch (error) {
      const { connectionState, iceConnectionState, sctp } = this.connection;
      const states = { connectionState, iceConnectionState, dtls: sctp?.transport.state, sctp: sctp?.state, gathered: this.#gathered, pairs: await this.#pairs() };
      throw new Error(`the page: ${error instanceof Error ? error.message : error}; ${this.#progress}; ${JSON.stringify(states)}`);
    } finally {
      clearTimeout(timer);
      this.connection.close();
      this.signaling.close();
    }
  }

  async #talk() {
    const { role, closes, media } = this.options;
    if (media) this.#addTracks();
    const own = role === 'offer' ? this.newInbox(this.connection.createDataChannel('talk')) : undefined;
    if (own) await this.#describe();
    const inbox = own ?? (await this.#theirs());
    const [sent, { greeting, ...received }] = await Promise.all([this.#send(inbox), this.#listen(inbox)]);
    const pair = await this.#settledPair();
    const directions = this.connection.getTransceivers().map(({ currentDirection }) => currentDirection);
    inbox.channel.send('whole');
    await inbox.expect('whole');
    this.#progress = 'everything was sent but goodbye';
    await Promise.all([this.#sendGoodbye(), this.#receiveGoodbye()]);
    this.#progress = 'everything was sent but the end';
    // Who closes must know that the other side is waiting for nothing else: closing takes back
    // what is not sent yet.
    if (closes) {
      await inbox.expect('ready');
    } else {
      inbox.channel.send('ready');
      await inbox.expect(null);
    }
    return { greeting, sent, received, pair, directions, sdp: this.connection.localDescription?.sdp ?? '', end: 'closed' };
  }

  /** Adds sound and picture that need no devices and no permission. */
  #addTracks() {
    const sound = new AudioContext().createMediaStreamDestination().stream;
    const canvas = document.createElement('canvas');
    canvas.getContext('2d')?.fillRect(0, 0, 1, 1);
    for (const stream of [sound, canvas.captureStream()]) {
      for (const track of stream.getTracks()) this.connection.addTrack(track, stream);
    }
  }

  #negotiate() {
    const { connection, signaling } = this;
    connection.addEventListener('connectionstatechange', () => this.#failIfAlone());
    signaling.addEventListener('peer', (/** @type {any} */ { change }) => {
      this.#left = change === 'left';
      this.#failIfAlone();
    });
    connection.addEventListener('icecandidateerror', ({ address, url, errorCode, errorText }) => {
      this.#gathered.push(`${Math.round(performance.now())}: ${url} from ${address}: ${errorCode} ${errorText}`);
    });
    connection.addEventListener('icecandidate', ({ candidate }) => {
      this.#gathered.push(`${Math.round(performance.now())}: ${candidate?.candidate}`);
      if (candidate) signaling.send({ 'new-ice-candidate': candidate });
    });
    connection.addEventListener('datachannel', ({ channel }) => {
      const inbox = this.newInbox(channel);
      const waiter = this.#awaiting.shift();
      if (waiter) waiter(inbox);
      else this.#arrived.push(inbox);
    });
    signaling.addEventListener('message', (/** @type {any} */ message) => {
      this.#handling = this.#handling.then(() => this.#handleSignal(message)).catch(this.#fail);
    });
  }

  /**
   * Fails if the connection has failed and the other side has given up. Before that it may recover:
   * Chromium says `failed` as soon as all pairs so far have failed, and checks again when the next
   * candidate comes (docs/known-failures.md).
   */
  #failIfAlone() {
    if (this.#left && this.connection.connectionState === 'failed') this.#fail(new Error('the connection failed'));
  }

  /** @param {any} message */
  async #handleSignal({ offer, answer, iceCandidate }) {
    if (offer) {
      await this.connection.setRemoteDescription(offer);
      await this.#describe();
    }
    if (answer) await this.connection.setRemoteDescription(answer);
    if (iceCandidate) await this.connection.addIceCandidate(iceCandidate);
  }

  async #describe() {
    await this.connection.setLocalDescription();
    const { type, sdp } = /** @type {RTCSessionDescription} */ (this.connection.localDescription);
    const spoilt = {
      // Another certificate's, as of a man in the middle.
      fingerprint: () => sdp.replace(/(a=fingerprint:\S+ )(..)/, (_, before, byte) => before + (byte === '00' ? '01' : '00')),
      description: () => 'This is not a description.',
      nothing: () => sdp,
    }[this.options.spoil ?? 'nothing']();
    this.signaling.send({ [type]: { type, sdp: spoilt } });
  }

  /** The next channel that the other side opens. @returns {Promise<Inbox>} */
  async #theirs() {
    return this.#arrived.shift() ?? (await new Promise((resolve) => this.#awaiting.push(resolve)));
  }

  /** @param {Inbox} inbox */
  async #send({ channel, open }) {
    const { bytes, role } = this.options;
    await open;
    // Chromium announces a channel of the other side's as open before it is, and what is sent at
    // once is lost now and then (once in a hundred times, also between two pages of its own).
    if (role === 'answer') await this.#greeting;
    channel.send(`hello from ${role}`);
    const data = new Uint8Array(bytes);
    /** @type {(at: number) => Uint8Array<ArrayBuffer>} */
    const chunk = (at) => data.subarray(at, Math.min(at + this.#chunk, bytes));
    for (let at = 0; at < bytes; at += this.#chunk) crypto.getRandomValues(chunk(at));
    channel.bufferedAmountLowThreshold = this.#room / 2;
    for (let at = 0; at < bytes; at += this.#chunk) {
      if (channel.bufferedAmount > this.#room) {
        await new Promise((resolve) => channel.addEventListener('bufferedamountlow', resolve, { once: true }));
      }
      channel.send(chunk(at));
    }
    const sha256 = await this.#sha256(data);
    channel.send(sha256);
    return { bytes, sha256 };
  }

  /** @param {Inbox} inbox */
  async #listen(inbox) {
    const greeting = await inbox.next();
    this.#greeted();
    const data = new Uint8Array(this.options.bytes);
    let bytes = 0;
    for (;;) {
      this.#progress = `${bytes} bytes came`;
      const message = await inbox.next();
      if (message === null) throw new Error(`the channel was closed after ${bytes} bytes`);
      if (typeof message === 'string') {
        const sha256 = await this.#sha256(data);
        if (sha256 !== message) throw new Error(`${bytes} bytes came with the digest ${sha256} instead of ${message}`);
        return { greeting, bytes, sha256 };
      }
      data.set(new Uint8Array(message), bytes);
      bytes += message.byteLength;
    }
  }

  /** Opens a channel that the other side closes. */
  async #sendGoodbye() {
    const { channel, open, closed } = this.newInbox(this.connection.createDataChannel('goodbye'));
    await open;
    channel.send('goodbye');
    await closed;
  }

  /** Closes the channel that the other side opens. */
  async #receiveGoodbye() {
    const inbox = await this.#theirs();
    await inbox.expect('goodbye');
    inbox.channel.close();
    await inbox.closed;
  }

  /** The selected pair's candidate types, once there is no relay in it where there need not be. */
  async #settledPair() {
    for (;;) {
      const pair = await this.#pair();
      if (!this.options.direct || ![pair.local, pair.remote].includes('relay')) return pair;
      this.#progress = `the pair is ${pair.local} – ${pair.remote}`;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #pair() {
    const reports = [...(await this.connection.getStats()).values()];
    const transport = reports.find((report) => report.type === 'transport');
    // Firefox marks the pair itself.
    const pair =
      reports.find((report) => report.id === transport?.selectedCandidatePairId) ??
      reports.find((report) => report.type === 'candidate-pair' && report.selected);
    const [local, remote] = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => reports.find((report) => report.id === id));
    return { local: local?.candidateType, remote: remote?.candidateType, protocol: local?.protocol };
  }

  /** The results of the checks, for failures. */
  async #pairs() {
    const reports = await this.connection.getStats();
    const place = (/** @type {string} */ id) => {
      const { candidateType, address, port } = reports.get(id) ?? {};
      return `${candidateType} ${address}:${port}`;
    };
    const pairs = [...reports.values()].filter(({ type }) => type === 'candidate-pair');
    return pairs.map(({ localCandidateId, remoteCandidateId, state, nominated, ...counts }) => {
      const { requestsSent, responsesReceived, requestsReceived, responsesSent } = counts;
      const checks = `sent ${requestsSent}, answered ${responsesReceived}, received ${requestsReceived}, answers ${responsesSent}`;
      return `${place(localCandidateId)} – ${place(remoteCandidateId)}: ${state}${nominated ? ', nominated' : ''}; ${checks}`;
    });
  }

  /** In hexadecimal. @param {Uint8Array<ArrayBuffer>} data */
  async #sha256(data) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
    return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }
}
