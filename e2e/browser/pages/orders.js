// Two connections in a page, and the order of their events, which e2e/record/orders.js writes to
// files.

/** @typedef {'caller' | 'callee'} Name the name of a side */
/** @typedef {Record<string, Record<string, string[]>>} Sections lines of each section and side */

/** The lines that were told, in sections. */
class Log {
  /** @type {Sections} */ sections = {};
  /** @type {Set<() => void>} */ #waiting = new Set();
  #section = '';

  /** @param {string} name */
  async begin(name) {
    // Time for the events that the last section has queued.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    this.#section = name;
    this.sections[name] = {};
  }

  /** @param {Name} side @param {string} what @param {string} values that the page sees */
  tell(side, what, values) {
    const lines = (this.sections[this.#section][side] ??= []);
    const line = `${what} | ${values}`;
    // How many candidates there are is up to the host.
    if (!(what === 'icecandidate' && lines.at(-1) === line)) lines.push(line);
    // Behind what else happens in this task.
    setTimeout(() => this.#waiting.forEach((check) => check()));
  }

  /** @param {() => boolean | undefined} condition */
  async until(condition) {
    for (;;) {
      if (condition()) return;
      await new Promise((resolve) => {
        const check = () => {
          this.#waiting.delete(check);
          resolve(undefined);
        };
        this.#waiting.add(check);
      });
    }
  }

  /**
   * Returns how often the side has told this in the section.
   * @param {Name} side @param {string} what
   */
  count(side, what) {
    const lines = this.sections[this.#section][side] ?? [];
    return lines.filter((line) => line.startsWith(`${what} |`)).length;
  }
}

/** A connection that tells the log of its events. */
class Side {
  connection = new RTCPeerConnection();
  /** @type {RTCDataChannel | undefined} */ #channel;
  /** @type {Set<unknown>} */ #known = new Set();

  /** @param {Name} name @param {Log} log */
  constructor(name, log) {
    this.name = name;
    this.log = log;
    const { connection } = this;
    for (const kind of /** @type {const} */ (['negotiationneeded', 'signalingstatechange', 'icegatheringstatechange', 'iceconnectionstatechange', 'connectionstatechange'])) {
      connection.addEventListener(kind, () => {
        this.#attend();
        this.tell(kind);
      });
    }
    connection.addEventListener('icecandidate', ({ candidate }) => this.tell(candidate ? (candidate.candidate ? 'icecandidate' : 'icecandidate end') : 'icecandidate null'));
    connection.addEventListener('track', ({ track, streams }) => {
      this.tell(`track ${track.kind} ${streams.length}${track.muted ? ' muted' : ''}`);
      for (const kind of ['mute', 'unmute', 'ended']) track.addEventListener(kind, () => this.tell(`track ${kind}`));
      for (const stream of streams) stream.addEventListener('removetrack', () => this.tell('stream removetrack'));
    });
    connection.addEventListener('datachannel', (event) => {
      this.use(event.channel);
      this.tell('datachannel');
    });
  }

  get channel() {
    return /** @type {RTCDataChannel} */ (this.#channel);
  }

  /** The values that the page sees. */
  get #values() {
    const { connection } = this;
    const sctp = connection.sctp;
    const ice = sctp?.transport.iceTransport;
    const states = [connection.signalingState, connection.iceGatheringState, connection.iceConnectionState, connection.connectionState];
    return [...states, ice?.gatheringState, ice?.state, sctp?.transport.state, sctp?.state, this.#channel?.readyState].map((state) => state ?? '-').join(' ');
  }

  /** @param {string} what */
  tell(what) {
    this.log.tell(this.name, what, this.#values);
  }

  /** @param {string} what */
  told(what) {
    return this.log.count(this.name, what) > 0;
  }

  /** Tells of the objects that are there now. */
  #attend() {
    const { sctp } = this.connection;
    if (sctp && !this.#known.has(sctp)) {
      this.#known.add(sctp);
      sctp.addEventListener('statechange', () => this.tell('sctp statechange'));
      sctp.transport.addEventListener('statechange', () => this.tell('dtls statechange'));
      const ice = sctp.transport.iceTransport;
      for (const kind of ['statechange', 'gatheringstatechange', 'selectedcandidatepairchange']) ice.addEventListener(kind, () => this.tell(`ice ${kind}`));
    }
  }

  /** @param {string} what @param {() => Promise<unknown>} operation */
  async chain(what, operation) {
    this.tell(`${what} called`);
    await operation();
    this.#attend();
    this.tell(`${what} resolved`);
  }

  /** @param {RTCDataChannel} channel */
  use(channel) {
    this.#channel = channel;
    for (const kind of ['open', 'message', 'bufferedamountlow', 'error', 'closing', 'close']) channel.addEventListener(kind, () => this.tell(`channel ${kind}`));
  }

  async gathered() {
    await this.log.until(() => this.connection.iceGatheringState === 'complete');
  }
}

/**
 * Exchanges descriptions that have all candidates.
 * @param {Side} own @param {Side} other
 */
async function negotiate(own, other) {
  await own.chain('setLocalDescription(offer)', () => own.connection.setLocalDescription());
  await own.gathered();
  const offer = /** @type {RTCSessionDescription} */ (own.connection.localDescription);
  await other.chain('setRemoteDescription(offer)', () => other.connection.setRemoteDescription(offer));
  await other.chain('setLocalDescription(answer)', () => other.connection.setLocalDescription());
  await other.gathered();
  const answer = /** @type {RTCSessionDescription} */ (other.connection.localDescription);
  await own.chain('setRemoteDescription(answer)', () => own.connection.setRemoteDescription(answer));
}

/**
 * Plays all sections with two connections, whose descriptions are exchanged when they have all
 * candidates, so that there is one order of everything.
 * @returns {Promise<Sections>}
 */
export async function play() {
  const log = new Log();
  const caller = new Side('caller', log);
  const callee = new Side('callee', log);

  await log.begin('a channel is created, and connects');
  caller.use(caller.connection.createDataChannel('chat'));
  await log.until(() => caller.told('negotiationneeded'));
  await negotiate(caller, callee);
  await log.until(() => caller.told('channel open') && callee.told('channel open'));
  await log.until(() => caller.told('connectionstatechange') && caller.connection.connectionState === 'connected' && callee.connection.connectionState === 'connected');

  await log.begin('messages');
  caller.channel.send('coo');
  caller.tell('send returned');
  await log.until(() => callee.told('channel message') && caller.told('channel bufferedamountlow'));

  await log.begin('ICE restarts');
  caller.connection.restartIce();
  await log.until(() => caller.told('negotiationneeded'));
  await negotiate(caller, callee);
  caller.channel.send('coo');
  await log.until(() => callee.told('channel message'));

  await log.begin('an offer is taken back by both');
  const kept = caller.connection.addTransceiver('audio');
  await log.until(() => caller.told('negotiationneeded'));
  await caller.chain('setLocalDescription(offer)', () => caller.connection.setLocalDescription());
  await callee.chain('setRemoteDescription(offer)', () => callee.connection.setRemoteDescription(/** @type {RTCSessionDescription} */ (caller.connection.localDescription)));
  await callee.chain('setRemoteDescription(rollback)', () => callee.connection.setRemoteDescription({ type: 'rollback', sdp: '' }));
  await caller.chain('setLocalDescription(rollback)', () => caller.connection.setLocalDescription({ type: 'rollback' }));
  await log.until(() => log.count('caller', 'negotiationneeded') === 2);

  await log.begin('a transceiver is added');
  kept.direction = 'sendrecv';
  await negotiate(caller, callee);

  await log.begin('a transceiver stops');
  kept.stop();
  await log.until(() => caller.told('negotiationneeded'));
  await negotiate(caller, callee);

  await log.begin('a channel closes');
  caller.channel.close();
  caller.tell('close returned');
  await log.until(() => callee.told('channel close') && caller.told('channel close'));

  await log.begin('a connection closes');
  caller.use(caller.connection.createDataChannel('another'));
  await log.until(() => caller.told('channel open') && callee.told('channel open'));
  await log.begin('a connection closes');
  caller.connection.close();
  caller.tell('close returned');
  await log.until(() => callee.told('channel close'));
  await log.begin('the end');
  delete log.sections['the end'];
  return log.sections;
}
