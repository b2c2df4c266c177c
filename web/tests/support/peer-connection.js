/**
 * As much of RTCPeerConnection as negotiation needs: the signaling states with rollback, operations
 * that take a moment, and ICE that connects when each side knows the other's description and a
 * candidate of it. Two of them find each other by their fragments.
 */
export class FakePeerConnection extends EventTarget {
  /** @type {Map<string, FakePeerConnection>} all connections by ICE fragment */
  static byFragment = new Map();
  static created = 0;
  static isFake = true;

  signalingState = 'stable';
  connectionState = 'new';
  /** @type {any} */ localDescription = null;
  /** @type {any} */ remoteDescription = null;
  /** @type {any} */ onnegotiationneeded = null;
  /** @type {any} */ onicecandidate = null;
  /** @type {any} */ onconnectionstatechange = null;
  /** @type {any} */ ontrack = null;
  /** @type {any[]} */ transceivers = [];
  /** @type {any} */ channel = null;
  /** What happened, for assertions. */
  log = /** @type {string[]} */ ([]);
  /** True if candidates of the other side are good for anything. */
  static works = true;

  #version = 0;
  #needed = false;
  #busy = 0;
  #chain = Promise.resolve();
  #restart = true;
  #fragment = '';
  /** @type {any} */ #current = { local: null, remote: null };
  #knowsCandidate = false;

  /** @param {any} configuration */
  constructor(configuration) {
    super();
    this.configuration = configuration;
    FakePeerConnection.created += 1;
  }

  createDataChannel() {
    const channel = {
      readyState: 'connecting',
      send: (/** @type {string} */ text) => this.#sendData(text),
      close: () => void this.log.push('close channel'),
      onopen: null,
      onmessage: null,
      onclose: null,
    };
    this.channel = /** @type {any} */ (channel);
    this.#negotiationNeeded();
    return channel;
  }

  /** Something that makes another negotiation necessary. */
  change() {
    this.#negotiationNeeded();
  }

  /** @param {any} trackOrKind @param {any} [options] */
  addTransceiver(trackOrKind, options) {
    const isKind = typeof trackOrKind === 'string';
    const transceiver = this.#addTransceiver(isKind ? trackOrKind : trackOrKind.kind, options?.direction ?? 'sendrecv');
    transceiver.sender.track = isKind ? null : trackOrKind;
    this.#negotiationNeeded();
    return transceiver;
  }

  /** @param {string} kind @param {string} direction */
  #addTransceiver(kind, direction) {
    const sender = { track: /** @type {any} */ (null), replaceTrack: async (/** @type {any} */ other) => void (sender.track = other) };
    const transceiver = { kind, direction, sender, announced: false };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  /** Takes the media of the other side's description. @param {string} sdp */
  #takeMedia(sdp) {
    for (const [index, [, kind, direction]] of [...sdp.matchAll(/^m=(\w+) (\w+)/gm)].entries()) {
      const transceiver = this.transceivers[index] ?? this.#addTransceiver(kind, 'recvonly');
      if (transceiver.announced || !direction.startsWith('send')) continue;
      transceiver.announced = true;
      this.ontrack?.({ track: { kind }, transceiver });
    }
  }

  restartIce() {
    this.log.push('restartIce');
    this.#restart = true;
    this.#negotiationNeeded();
  }

  /** @param {any} configuration */
  setConfiguration(configuration) {
    this.log.push('setConfiguration');
    this.configuration = configuration;
  }

  async setLocalDescription() {
    await this.#operation(() => {
      const type = this.signalingState === 'have-remote-offer' ? 'answer' : 'offer';
      if (this.#restart) {
        this.#restart = false;
        this.#fragment = `f${Math.random().toString(36).slice(2)}`;
        FakePeerConnection.byFragment.set(this.#fragment, this);
      }
      this.#version += 1;
      const media = this.transceivers.map(({ kind, direction }) => `m=${kind} ${direction}\r\n`).join('');
      this.localDescription = { type, sdp: `v=${this.#version}\r\na=ice-ufrag:${this.#fragment}\r\n${media}` };
      this.#needed = false;
      if (type === 'answer') this.#stable();
      else this.signalingState = 'have-local-offer';
      const candidate = { candidate: `candidate:1 1 udp 1 10.0.0.1 9 typ host ufrag ${this.#fragment}`, usernameFragment: this.#fragment };
      setTimeout(() => this.onicecandidate?.({ candidate: { ...candidate, toJSON: () => candidate } }));
    });
  }

  /** @param {any} description */
  async setRemoteDescription(description) {
    await this.#operation(() => {
      if (description.type === 'offer') {
        if (this.signalingState === 'have-local-offer') {
          this.log.push('rollback');
          this.localDescription = this.#current.local;
          if (this.#current.local === null) this.#restart = true;
          this.#needed = true;
        }
        this.remoteDescription = description;
        this.signalingState = 'have-remote-offer';
        this.#takeMedia(description.sdp);
      } else {
        if (this.signalingState !== 'have-local-offer') throw new Error(`an answer in ${this.signalingState}`);
        this.remoteDescription = description;
        this.#takeMedia(description.sdp);
        this.#stable();
      }
    });
  }

  /** @param {any} candidate */
  async addIceCandidate(candidate) {
    await this.#operation(() => {
      if (this.remoteDescription === null) throw new Error('a candidate before any description');
      if (!this.remoteDescription.sdp.includes(candidate.usernameFragment)) throw new Error('a candidate of another description');
      this.#knowsCandidate = true;
      this.log.push('candidate');
      this.#tryConnect();
    });
  }

  get currentLocalDescription() {
    return this.#current.local;
  }

  get pendingLocalDescription() {
    return this.signalingState === 'have-local-offer' ? this.localDescription : null;
  }

  async getStats() {
    return new Map();
  }

  close() {
    if (this.signalingState === 'closed') return;
    const other = this.#other();
    this.signalingState = 'closed';
    this.connectionState = 'closed';
    setTimeout(() => {
      if (other?.channel?.readyState !== 'open' || other.signalingState === 'closed') return;
      other.channel.readyState = 'closed';
      other.channel.onclose?.();
    });
  }

  /** @param {string} state */
  setState(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  /**
   * Operations wait for each other (WebRTC 1.0, section 4.4.1.2).
   *
   * @param {() => void} action
   */
  #operation(action) {
    this.#busy += 1;
    const operation = this.#chain.then(async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
      this.#busy -= 1;
      if (this.signalingState === 'closed') throw new Error('closed');
      action();
      if (this.#needed) this.#negotiationNeeded();
    });
    this.#chain = operation.catch(() => {});
    return operation;
  }

  #stable() {
    this.signalingState = 'stable';
    this.#current = { local: this.localDescription, remote: this.remoteDescription };
    this.#tryConnect();
  }

  #negotiationNeeded() {
    this.#needed = true;
    setTimeout(() => {
      if (!this.#needed || this.#busy > 0 || this.signalingState !== 'stable') return;
      this.onnegotiationneeded?.();
    });
  }

  #other() {
    const fragment = /ice-ufrag:(\S+)/.exec(this.#current.remote?.sdp ?? '')?.[1] ?? '';
    return FakePeerConnection.byFragment.get(fragment);
  }

  /** @param {string} text */
  #sendData(text) {
    const other = this.#other();
    setTimeout(() => other?.channel?.onmessage?.({ data: text }));
  }

  #tryConnect() {
    const other = this.#other();
    if (!FakePeerConnection.works || !other || !this.#knowsCandidate || !other.#knowsCandidate || other.#other() !== this) return;
    for (const side of [this, other]) {
      if (side.connectionState === 'connected' || side.signalingState === 'closed') continue;
      setTimeout(() => {
        if (side.signalingState === 'closed') return;
        side.setState('connected');
        if (side.channel.readyState !== 'connecting') return;
        side.channel.readyState = 'open';
        side.channel.onopen?.();
      });
    }
  }
}
