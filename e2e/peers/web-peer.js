// A peer on the W3C's interface that executes commands, as `peers/rust/` does: for the
// browsers' pages, and for libdatachannel behind the same interface in Node.js. The class also
// runs in a page: it uses nothing else of this file.

/**
 * @typedef {{label: string, id?: number} & Omit<RTCDataChannelInit, 'id' | 'negotiated'>} Open
 *   `id` is set if both sides open it
 * @typedef {{messages: number, bytes: number, digest: Uint8Array, each: string[], last: number,
 *   ordered: boolean}} Tally
 * @typedef {object} Attended
 * @property {RTCDataChannel} channel
 * @property {Tally} sent
 * @property {Tally} received
 * @property {number} number of the next message
 * @property {number} [expected] messages
 * @property {Promise<void>} sending one order after the other
 * @property {Promise<void>} receiving one message after the other
 */

export class WebPeer {
  /** Bytes that may wait on a channel. */
  #room = 1 << 20;
  /** Messages whose own digests are reported, too. */
  #listed = 500;
  #longest = 4 << 20;
  /**
   * The protocol of channels whose messages are counted without a digest, which would be what is
   * measured.
   */
  #counted = 'counted';
  #pattern;
  /** Bytes that have come on all channels. */
  #before = 0;
  /** @type {Map<string, Attended>} */
  #channels = new Map();

  /** @param {RTCPeerConnection} connection @param {(event: object) => void} report */
  constructor(connection, report) {
    this.connection = connection;
    this.report = report;
    this.#pattern = new Uint8Array(this.#longest + (1 << 16));
    let state = 1;
    for (let at = 0; at < this.#pattern.length; at++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      this.#pattern[at] = state >>> 24;
    }
    connection.addEventListener('icegatheringstatechange', () => this.#describeIfGathered());
    connection.addEventListener('connectionstatechange', () => report({ event: 'state', state: connection.connectionState }));
    connection.addEventListener('datachannel', ({ channel }) => this.#attend(channel));
  }

  /** @param {any} command */
  async obey(command) {
    const { do: what, label } = command;
    const attended = label === undefined ? undefined : this.#channels.get(label);
    if (what === 'offer') return await this.connection.setLocalDescription();
    if (what === 'setRemote') {
      await this.connection.setRemoteDescription({ type: command.type, sdp: command.sdp });
      if (command.type === 'offer') await this.connection.setLocalDescription();
      return;
    }
    if (what === 'open') return this.#attend(this.#create(command));
    if (what === 'media') {
      for (const kind of command.kinds) this.connection.addTransceiver(kind);
      return;
    }
    if (what === 'transports') return this.#reportTransports();
    if (what === 'end') return this.connection.close();
    if (what === 'closeAll') {
      for (const label of command.labels) this.#channels.get(label)?.channel.close();
      return;
    }
    if (!['send', 'expect', 'close'].includes(what)) throw new Error(`there is no command ${what}`);
    if (!attended) throw new Error(`${what}: there is no channel ${label}`);
    if (what === 'send') attended.sending = attended.sending.then(() => this.#send(attended, command));
    if (what === 'expect') {
      attended.expected = command.messages;
      this.#reportReceived(attended);
    }
    if (what === 'close') attended.channel.close();
  }

  #reportTransports() {
    const { connection } = this;
    const carriers = [...connection.getTransceivers().map(({ sender }) => sender), connection.sctp];
    const transports = new Set(carriers.map((carrier) => carrier?.transport));
    const states = [...transports].flatMap((transport) => transport?.state ?? []);
    this.report({ event: 'transports', states });
  }

  /** @param {Open} open */
  #create({ label, ordered, maxPacketLifeTime, maxRetransmits, protocol, id }) {
    /** @type {RTCDataChannelInit} */
    const init = { ordered, maxPacketLifeTime, maxRetransmits, protocol, id, negotiated: id === undefined ? undefined : true };
    const said = Object.entries(init).filter(([, value]) => value !== undefined && value !== null);
    return this.connection.createDataChannel(label, Object.fromEntries(said));
  }

  #describeIfGathered() {
    const { iceGatheringState, localDescription } = this.connection;
    if (iceGatheringState !== 'complete' || !localDescription) return;
    this.report({ event: 'description', type: localDescription.type, sdp: localDescription.sdp });
  }

  /** @param {RTCDataChannel} channel */
  #attend(channel) {
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = this.#room / 2;
    const [sent, received] = [this.#newTally(), this.#newTally()];
    /** @type {Attended} */
    const attended = { channel, sent, received, number: 0, sending: Promise.resolve(), receiving: Promise.resolve() };
    const { label } = channel;
    this.#channels.set(label, attended);
    const opened = () => {
      const { id, ordered, maxPacketLifeTime, maxRetransmits, protocol, negotiated } = channel;
      this.report({ event: 'open', label, id, ordered, maxPacketLifeTime, maxRetransmits, protocol, negotiated });
    };
    if (channel.readyState === 'open') opened();
    else channel.addEventListener('open', opened, { once: true });
    channel.addEventListener('message', ({ data }) => {
      const before = this.#before;
      this.#before += data.byteLength ?? 0;
      attended.receiving = attended.receiving.then(() => this.#receive(attended, data, before));
    });
    channel.addEventListener('close', () => {
      attended.receiving.then(() => this.report({ event: 'closed', label, error: null }));
    });
  }

  /** @param {Attended} attended @param {string | ArrayBuffer} data @param {number} before */
  async #receive(attended, data, before) {
    if (typeof data === 'string') {
      this.report({ event: 'message', label: attended.channel.label, text: data, before });
      return;
    }
    await this.#take(attended.channel, attended.received, new Uint8Array(data));
    this.#reportReceived(attended);
  }

  /** @param {Attended} attended */
  #reportReceived(attended) {
    if (attended.expected === undefined || attended.received.messages < attended.expected) return;
    attended.expected = undefined;
    this.#reportTally('received', attended.channel.label, attended.received);
  }

  /** @param {Attended} attended @param {{text?: string, count: number, size: number}} order */
  async #send(attended, { text, count, size }) {
    const { channel, sent } = attended;
    try {
      await this.#untilOpen(channel);
      if (text !== undefined) {
        channel.send(text);
      } else {
        for (let left = count; left > 0; left--) {
          await this.#untilOpen(channel);
          if (channel.bufferedAmount > this.#room) await this.#untilLow(channel);
          const message = this.#message(attended.number++, size);
          await this.#take(channel, sent, message);
          channel.send(message);
        }
      }
      this.#reportTally('sent', channel.label, sent);
    } catch (error) {
      this.report({ event: 'unsent', label: channel.label, message: `${error}` });
    }
  }

  /**
   * Chromium may take a channel that it has announced as open back to `connecting` for a moment.
   * @param {RTCDataChannel} channel
   */
  async #untilOpen(channel) {
    while (channel.readyState === 'connecting') {
      await new Promise((resolve) => {
        for (const event of ['open', 'close']) channel.addEventListener(event, resolve, { once: true });
      });
    }
  }

  /** @param {RTCDataChannel} channel */
  async #untilLow(channel) {
    await new Promise((resolve) => {
      channel.addEventListener('bufferedamountlow', resolve, { once: true });
      // It may have become low before the listener was there.
      if (channel.bufferedAmount <= this.#room / 2) resolve(undefined);
    });
  }

  /** @param {number} number @param {number} size */
  #message(number, size) {
    const start = (number * 257) % (1 << 16);
    const message = this.#pattern.slice(start, start + size);
    if (size >= 4) new DataView(message.buffer).setUint32(0, number);
    return message;
  }

  /** @returns {Tally} */
  #newTally() {
    return { messages: 0, bytes: 0, digest: new Uint8Array(32), each: [], last: -1, ordered: true };
  }

  /**
   * @param {RTCDataChannel} channel
   * @param {Tally} tally
   * @param {Uint8Array<ArrayBuffer>} message
   */
  async #take(channel, tally, message) {
    // What is counted has its digest: a command may ask meanwhile.
    if (channel.protocol !== this.#counted) await this.#digest(tally, message);
    tally.messages += 1;
    tally.bytes += message.length;
    if (message.length >= 4) {
      const number = new DataView(message.buffer).getUint32(0);
      tally.ordered &&= tally.last < number;
      tally.last = number;
    }
  }

  /** @param {Tally} tally @param {Uint8Array<ArrayBuffer>} message */
  async #digest(tally, message) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', message));
    tally.digest.forEach((byte, at) => (tally.digest[at] = byte ^ digest[at]));
    if (tally.each.length <= this.#listed) tally.each.push(this.#hexadecimal(digest.subarray(0, 8)));
  }

  /** @param {string} event @param {string} label @param {Tally} tally */
  #reportTally(event, label, { messages, bytes, digest, each, ordered }) {
    const listed = each.length <= this.#listed ? each : null;
    this.report({ event, label, messages, bytes, digest: this.#hexadecimal(digest), ordered, each: listed });
  }

  /** @param {Uint8Array} bytes */
  #hexadecimal(bytes) {
    return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }
}
