import { Negotiation } from './negotiation.js';
import { Post } from './post.js';
import { selectedRoute } from './route.js';

/**
 * Durations of a call, in milliseconds.
 *
 * @typedef {object} CallTiming
 * @property {number} patience how long the polite side waits for the first offer before it asks for
 *   it
 * @property {number} disconnected how long a connection may stay `disconnected` before ICE is
 *   restarted
 * @property {number} polite how much later the polite side acts, so that both do not restart at
 *   once
 * @property {number} retry how long a connection may take to come up before the next attempt; twice
 *   as long after each connection that never came up, up to four times
 * @property {number} sendAgain how long an offer waits for its answer before it is sent again
 * @property {number} absent how long a peer that neither the server nor a connection reaches is
 *   kept
 * @property {number} close how long a connection may outlive the goodbye of its other side
 * @property {number} route how often the route is looked up
 */

/** @type {Readonly<CallTiming>} */
export const CALL_TIMING = Object.freeze({
  patience: 3000,
  disconnected: 5000,
  polite: 1500,
  retry: 12000,
  sendAgain: 5000,
  absent: 15000,
  close: 2000,
  route: 3000,
});

/**
 * The services of a call for its peers.
 *
 * @typedef {object} PeerHost
 * @property {CallTiming} timing
 * @property {(peer: CallPeer) => RTCPeerConnection} connect makes a connection, configured and
 *   without tracks
 * @property {() => Promise<RTCConfiguration>} freshConfiguration with new TURN credentials, if they
 *   can be had
 * @property {(peer: CallPeer) => boolean} isReachable whether signaling reaches the peer now
 * @property {() => boolean} signalingIsUp
 * @property {() => Map<string, MediaStreamTrack>} tracks the own tracks, by kind
 * @property {() => MediaStream} localStream
 * @property {() => object} status the own status: name, microphone, camera
 * @property {string} id the own peer id
 * @property {import('./post.js').Seal | undefined} seal
 * @property {(peer: CallPeer, message: object) => void} send sends through the signaling server
 * @property {(peer: CallPeer) => void} connected a new connection is up
 * @property {(peer: CallPeer, channel: RTCDataChannel) => void} channel the peer has opened
 *   a channel
 * @property {(peer: CallPeer) => void} changed
 * @property {(peer: CallPeer, track: MediaStreamTrack, first: boolean) => void} track
 * @property {(peer: CallPeer, text: string) => void} chat
 * @property {(peer: CallPeer) => void} gone
 * @property {(peer: CallPeer, code: string, message: string) => void} error
 */

/** After so many ICE restarts in vain the whole connection is made anew. */
const MAX_RESTARTS = 3;

/** Chat messages that wait for the data channel; the oldest is dropped first. */
const MAX_WAITING_CHAT = 50;

/** The longest chat message, in UTF-16 units. */
export const MAX_CHAT = 4000;

const MAX_NAME = 40;

/** Messages that wait until the call connects to the peer; the oldest is dropped first. */
const MAX_HELD = 64;

/** Messages that wait for the first offer of their connection; the oldest is dropped first. */
const MAX_EARLY = 64;

/** A machine that is slow to connect gets up to so many times as much time. */
const MAX_SLOWNESS = 4;

/**
 * Another participant of a {@link import('../call.js').Call}, and the connection to it.
 *
 * Of two peers the impolite one begins: it makes the first offer, and when a connection cannot go
 * on, it is the one that makes the next. It numbers them (`attempt`), and every message names its
 * number, so that what was meant for an earlier connection does not disturb a later one. The polite
 * one follows, and asks for a new attempt when it needs one.
 */
export class CallPeer {
  /** The peer id. */
  id;
  /** @type {string | undefined} the client id, if it gave one */
  clientId;
  /** The name of the participant; empty if it gave none. */
  name = '';
  /** True if it sends sound. */
  microphone = false;
  /** True if it sends a picture. */
  camera = false;
  /** True if it records what the others send. */
  recording = false;
  /** @type {import('./route.js').Route | null} the way that packets take, while connected */
  route = null;

  #host;
  #polite;
  #post;
  #started = false;
  /** Messages from before the start, and whether each was opened. @type {[any, boolean][]} */
  #held = [];
  /** The number of the present connection; 0 before the first. */
  #attempt = 0;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {Negotiation | null} */
  #negotiation = null;
  /** @type {RTCDataChannel | null} */
  #data = null;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {Map<string, RTCRtpSender>} */
  #senders = new Map();
  /** @type {string[]} */
  #waitingChat = [];
  /**
   * Messages of a connection later than the present one, whose first offer is not here yet.
   *
   * @type {any[]}
   */
  #early = [];
  #restarts = 0;
  /** The connection whose restart waits for credentials. @type {RTCPeerConnection | null} */
  #restarting = null;
  /** Doubled by each connection that never came up. */
  #slowness = 1;
  #cameUp = true;
  #dataWasClosed = false;
  #hasLeft = false;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();

  /**
   * @param {PeerHost} host
   * @param {string} id
   * @param {{ polite: boolean, clientId?: string }} options
   */
  constructor(host, id, { polite, clientId }) {
    this.#host = host;
    this.#polite = polite;
    this.id = id;
    this.clientId = clientId;
    this.#post = new Post(host.seal, host.id, id, {
      send: (message) => host.send(this, message),
      receive: (message) => this.#take(message),
      refused: (error) => host.error(this, 'seal-refused', error.message),
    });
  }

  /** The number of the present connection, or of the last one; 0 before the first. */
  get attempt() {
    return this.#attempt;
  }

  /** The browser's own connection to this peer; another one after it had to be made anew. */
  get connection() {
    return this.#connection;
  }

  /** Its tracks; `null` before the first arrives. */
  get stream() {
    return this.#stream;
  }

  /**
   * The connection's state: `new`, `connecting`, `connected`, `disconnected`, `failed` or `closed`.
   */
  get connectionState() {
    const state = this.#connection?.connectionState ?? 'new';
    return state === 'connected' && this.#dataWasClosed ? 'disconnected' : state;
  }

  get isConnected() {
    return this.connectionState === 'connected';
  }

  /**
   * True if `openChannel` opens a channel. That may be before the connection says that it is
   * connected, and is no more when it is just being lost.
   */
  get isReady() {
    return this.#connection !== null && this.#data?.readyState === 'open';
  }

  /** Opens the connection, or waits for the other side to do it. */
  start() {
    if (this.#started) return;
    this.#started = true;
    this.#renew();
    this.#watch();
    for (const [message, isOpened] of this.#held.splice(0)) {
      if (isOpened) this.#take(message);
      else this.#post.receive(message);
    }
  }

  /**
   * Opens a data channel on the present connection. Labels that begin with `columba` are the call's
   * own. When the connection has to be made anew, its channels are closed.
   *
   * @param {string} label
   * @param {RTCDataChannelInit} [init]
   * @returns {RTCDataChannel}
   * @throws {DOMException} `InvalidStateError` while there is no connection
   */
  openChannel(label, init) {
    if (this.#connection === null || !this.isReady) {
      throw new DOMException('There is no connection to this peer now.', 'InvalidStateError');
    }
    return this.#connection.createDataChannel(label, init);
  }

  /**
   * Takes what the peer sent through the signaling channel.
   *
   * @param {any} message
   */
  receive(message) {
    if (this.#started) return this.#post.receive(message);
    this.#hold(message, false);
  }

  /**
   * Takes a message that was opened, if it was sealed.
   *
   * @param {any} message
   */
  receiveOpened(message) {
    if (this.#started) return this.#take(message);
    this.#hold(message, true);
  }

  /** @param {any} message @param {boolean} isOpened */
  #hold(message, isOpened) {
    this.#held.push([message, isOpened]);
    if (this.#held.length > MAX_HELD) this.#held.shift();
  }

  /** @param {any} message */
  #take(message) {
    if (message.bye === true) return this.#saidGoodbye();
    if (Number.isSafeInteger(message.renew)) return this.#renewalAsked(message.renew);
    if (!Number.isSafeInteger(message.attempt)) return;
    if (this.#polite && message.attempt > this.#attempt) return this.#takeLater(message);
    if (message.attempt === this.#attempt) this.#negotiate(message);
  }

  /**
   * Follows the first offer of a later connection. Anything else of it waits for that: a connection
   * of which this side has forgotten the offer, because it was loaded again or had given the peer
   * up, would never come up.
   *
   * @param {any} message
   */
  #takeLater(message) {
    const { attempt, description } = message;
    if (description?.type !== 'offer') {
      this.#early.push(message);
      if (this.#early.length > MAX_EARLY) this.#early.shift();
      return;
    }
    const early = this.#early.splice(0);
    this.#open(attempt);
    this.#negotiate(message);
    for (const each of early) {
      if (each.attempt === attempt) this.#negotiate(each);
      else if (each.attempt > attempt) this.#early.push(each);
    }
  }

  /** @param {any} message of the present connection */
  #negotiate({ description, offer, withdrawn, candidate }) {
    const isDescription = typeof description?.sdp === 'string' && typeof description.type === 'string';
    this.#negotiation?.receive({
      description: isDescription ? description : undefined,
      offer: Number.isSafeInteger(offer) ? offer : 0,
      withdrawn: Number.isSafeInteger(withdrawn) ? withdrawn : 0,
      candidate: typeof candidate === 'object' && candidate !== null ? candidate : undefined,
    });
    if (isDescription) this.#watch();
  }

  /** Waits for the end of the channel, so that what was sent before on it comes first. */
  #saidGoodbye() {
    if (this.#data?.readyState !== 'open') return this.#host.gone(this);
    this.#after('goodbye', this.#host.timing.close, () => this.#host.gone(this));
  }

  /** Signaling reaches the peer (again); `anew` means that messages may have been lost. */
  reachable({ anew = false } = {}) {
    this.#hasLeft = false;
    this.#clear('absent');
    if (anew) this.#negotiation?.sendAgain();
    if (!this.isConnected) this.#watch();
  }

  /**
   * Signaling does not reach the peer any more. That alone ends nothing.
   *
   * @param {string} [reason] the reason that the server gives
   */
  unreachable(reason) {
    // Half a minute of silence on both ways is long enough.
    const isSilent = reason === 'timeout' && this.connectionState === 'failed';
    if (reason === 'left' || isSilent) this.#hasLeft = true;
    this.#clear('absent');
    this.#checkAbsence();
  }

  /** The machine has another network now. */
  networkChanged() {
    if (this.#connection?.remoteDescription) void this.#restart();
  }

  /** @param {RTCConfiguration} configuration */
  setConfiguration(configuration) {
    try {
      this.#connection?.setConfiguration(configuration);
    } catch {
      // A browser that cannot change it keeps the old servers, which serve until their credentials
      // end.
    }
  }

  /**
   * Sends another own track, or none, of this kind.
   *
   * @param {string} kind
   * @param {MediaStreamTrack | null} track
   */
  async setTrack(kind, track) {
    // A peer that wants no media has stopped the sender; then there is nothing to send to.
    await this.#senders.get(kind)?.replaceTrack(track).catch(() => {});
  }

  /** Sends this side's name, microphone and camera to the peer. */
  sendStatus() {
    this.#sendData({ type: 'status', ...this.#host.status() });
  }

  /** @param {string} text */
  sendChat(text) {
    if (this.#sendData({ type: 'chat', text })) return;
    this.#waitingChat.push(text);
    if (this.#waitingChat.length > MAX_WAITING_CHAT) this.#waitingChat.shift();
  }

  /** Sends `bye` on the direct way. */
  sendBye() {
    this.#sendData({ type: 'bye' });
  }

  /** Ends the connection. */
  close() {
    for (const name of [...this.#timers.keys()]) this.#clear(name);
    this.#negotiation?.stop();
    this.#negotiation = null;
    if (this.#data !== null) this.#data.onclose = null;
    this.#data = null;
    this.#connection?.close();
    this.#connection = null;
    this.#senders.clear();
    this.route = null;
  }

  /**
   * A new connection, for the reason that the present one cannot go on: the impolite side makes it,
   * the polite one asks for it.
   */
  #renew() {
    // It grows over calls on the same channel as well, because the clock does.
    if (!this.#polite) this.#open(Math.max(this.#attempt + 1, Date.now()));
    else if (this.#connection !== null) this.#post.send({ renew: this.#attempt });
    else this.#after('ask', this.#host.timing.patience, () => this.#ask());
  }

  /**
   * Asks for the first offer, until it comes. If the other side is at a connection already, it is
   * one whose offer this side does not have: it cannot go on, whatever the other side thinks of it.
   */
  #ask() {
    if (this.#connection !== null) return;
    const renew = Math.max(0, ...this.#early.map(({ attempt }) => attempt));
    if (this.#host.isReachable(this)) this.#post.send({ renew });
    this.#after('ask', this.#host.timing.sendAgain, () => this.#ask());
  }

  /**
   * Renews in a while, when signaling reaches the peer; the polite side asks until it has another
   * connection.
   *
   * @param {number} delay
   */
  #renewSoon(delay) {
    this.#after('renew', delay, () => {
      this.#renewSoon(this.#host.timing.sendAgain);
      if (this.#host.isReachable(this)) this.#renew();
    });
  }

  /**
   * The polite side needs a new connection, or knows none. Such a message may be late, or come
   * twice: one that the present connection contradicts is only answered with what may have been
   * lost.
   *
   * @param {number} attempt the last that it knows; 0 for none
   */
  #renewalAsked(attempt) {
    if (this.#polite) return;
    // Its number is greater where the clock of this side was set back.
    if (attempt > this.#attempt && attempt < Number.MAX_SAFE_INTEGER) this.#attempt = attempt;
    if (attempt === this.#attempt || (attempt === 0 && !this.#isInUse())) this.#renew();
    else this.#negotiation?.sendAgain();
  }

  /** Returns whether the connection is being made, or is up. */
  #isInUse() {
    const isAlive = ['new', 'connecting', 'connected'].includes(this.connectionState);
    return this.#connection !== null && isAlive && !this.#dataWasClosed;
  }

  /** @param {number} attempt */
  #open(attempt) {
    this.close();
    if (!this.#cameUp) this.#slowness = Math.min(2 * this.#slowness, MAX_SLOWNESS);
    this.#cameUp = false;
    this.#attempt = attempt;
    this.#restarts = 0;
    this.#dataWasClosed = false;
    this.#stream = null;
    const connection = this.#host.connect(this);
    this.#connection = connection;
    this.#negotiation = new Negotiation(connection, {
      polite: this.#polite,
      // The number is that of this connection, however late the message is made.
      send: (message) => {
        this.#post.send({ attempt, ...message });
        if (message.description !== undefined) this.#watch();
      },
      failed: (error) => this.#negotiationFailed(error),
    });
    connection.onconnectionstatechange = () => this.#stateChanged();
    connection.onsignalingstatechange = () => this.#agreed();
    connection.ontrack = ({ track, transceiver }) => this.#trackArrived(track, transceiver);
    connection.ondatachannel = ({ channel }) => this.#host.channel(this, channel);
    this.#openData(connection);
    if (!this.#polite) this.#offerMedia(connection);
    this.#watch();
    this.#host.changed(this);
  }

  /** @param {RTCPeerConnection} connection */
  #openData(connection) {
    const data = connection.createDataChannel('columba', { negotiated: true, id: 0 });
    this.#data = data;
    data.onopen = () => {
      this.sendStatus();
      for (const text of this.#waitingChat.splice(0)) this.#sendData({ type: 'chat', text });
      this.#host.changed(this);
      this.#host.connected(this);
    };
    data.onmessage = ({ data: text }) => this.#receiveData(text);
    data.onclose = () => this.#dataClosed();
  }

  /**
   * @param {object} message
   * @returns {boolean} whether the data channel took it
   */
  #sendData(message) {
    if (this.#data?.readyState !== 'open') return false;
    try {
      this.#data.send(JSON.stringify(message));
      return true;
    } catch {
      return false;
    }
  }

  /** @param {unknown} text */
  #receiveData(text) {
    if (typeof text !== 'string' || text.length > 8 * MAX_CHAT) return;
    /** @type {any} */
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (message?.type === 'bye') return this.#host.gone(this);
    if (message?.type === 'chat' && typeof message.text === 'string') {
      this.#host.chat(this, message.text.slice(0, MAX_CHAT));
    } else if (message?.type === 'status') {
      this.name = typeof message.name === 'string' ? message.name.trim().slice(0, MAX_NAME) : '';
      this.microphone = message.microphone === true;
      this.camera = message.camera === true;
      this.recording = message.recording === true;
      this.#host.changed(this);
    }
  }

  /** The other side closed its connection, because it leaves or because it makes a new one. */
  #dataClosed() {
    this.#dataWasClosed = true;
    if (this.#timers.has('goodbye')) return this.#host.gone(this);
    this.#host.changed(this);
    this.#checkAbsence();
    this.#renewSoon(this.#host.timing.disconnected);
  }

  /**
   * Room for sound and a picture both ways from the first offer on, so that tracks come and go
   * without negotiating: where both sides begin to send at once, offers would collide, and Chromium
   * may never show a picture whose negotiation was taken back.
   *
   * @param {RTCPeerConnection} connection
   */
  #offerMedia(connection) {
    for (const kind of ['audio', 'video']) {
      const options = { direction: /** @type {const} */ ('sendrecv'), streams: [this.#host.localStream()] };
      const { sender } = connection.addTransceiver(this.#host.tracks().get(kind) ?? kind, options);
      this.#senders.set(kind, sender);
    }
  }

  /**
   * @param {MediaStreamTrack} track
   * @param {RTCRtpTransceiver} transceiver
   */
  #trackArrived(track, transceiver) {
    const { kind } = track;
    if (!this.#senders.has(kind)) {
      // The polite side sends on what the other has offered; this runs before the answer is made.
      transceiver.direction = 'sendrecv';
      transceiver.sender.setStreams?.(this.#host.localStream());
      this.#senders.set(kind, transceiver.sender);
      void this.setTrack(kind, this.#host.tracks().get(kind) ?? null);
    }
    const first = this.#stream === null;
    this.#stream ??= new MediaStream();
    this.#stream.addTrack(track);
    this.#host.track(this, track, first);
  }

  #stateChanged() {
    const state = this.#connection?.connectionState;
    if (state === 'connected') {
      this.#restarts = 0;
      this.#slowness = 1;
      this.#cameUp = true;
      for (const name of ['disconnected', 'retry', 'absent']) this.#clear(name);
      void this.#lookUpRoute();
    } else if (state === 'disconnected') {
      this.#after('disconnected', this.#host.timing.disconnected, () => this.#recover());
    } else if (state === 'failed') {
      this.#clear('disconnected');
      this.#recover();
    }
    if (state !== 'connected') this.#checkAbsence();
    this.#host.changed(this);
  }

  /** Restarts ICE soon; the polite side leaves it to the other for a moment. */
  #recover() {
    if (this.isConnected) return;
    this.#after('retry', this.#polite ? this.#host.timing.polite : 0, () => {
      if (!this.isConnected) this.#restartUnlessConnected();
    });
  }

  /** Keeps an eye on a connection that is not up: repeats, restarts and finally renews. */
  #watch() {
    if (!this.#timers.has('sendAgain')) this.#after('sendAgain', this.#host.timing.sendAgain, () => this.#checkAnswer());
    if (!this.isConnected && !this.#timers.has('retry')) this.#retryLater();
  }

  #retryLater() {
    this.#after('retry', this.#host.timing.retry * this.#slowness, () => this.#retry());
  }

  /** Gives what was agreed all of the time to come up. */
  #agreed() {
    if (this.#connection?.signalingState === 'stable' && !this.isConnected) this.#retryLater();
  }

  #checkAnswer() {
    if (this.#connection?.signalingState !== 'have-local-offer') return;
    if (this.#host.isReachable(this)) this.#negotiation?.sendAgain();
    this.#after('sendAgain', this.#host.timing.sendAgain, () => this.#checkAnswer());
  }

  /** @returns {void} */
  #retry() {
    if (this.isConnected) return;
    if (!this.#host.isReachable(this)) return this.#retryLater();
    if (this.#connection === null) return;
    if (this.#restarts < MAX_RESTARTS) return this.#restartUnlessConnected();
    // The polite side asks again, until it has another connection.
    this.#renew();
    this.#watch();
  }

  /** Restarts ICE, unless the connection comes up before that, or an offer has no answer yet. */
  #restartUnlessConnected() {
    // It is sent again. A restart behind it would only undo what its answer begins.
    const isUnanswered = () => this.#connection?.signalingState === 'have-local-offer';
    void this.#restart(() => !this.isConnected && !isUnanswered());
  }

  /**
   * Restarts ICE, with fresh TURN credentials, because the old ones may have ended.
   *
   * @param {() => boolean} isNeeded asked again when the credentials are there
   */
  async #restart(isNeeded = () => true) {
    const connection = this.#connection;
    if (connection === null) return;
    this.#retryLater();
    if (this.#restarting === connection) return;
    this.#restarting = connection;
    this.#restarts += 1;
    try {
      this.setConfiguration(await this.#host.freshConfiguration());
    } finally {
      if (this.#restarting === connection) this.#restarting = null;
    }
    if (connection !== this.#connection) return;
    if (isNeeded()) connection.restartIce();
    this.#watch();
  }

  /** @param {unknown} error */
  #negotiationFailed(error) {
    const detail = error instanceof Error ? error.message : String(error);
    this.#host.error(this, 'negotiation-failed', `The connection to this peer has to be made anew: ${detail}`);
    this.#renewSoon(this.#host.timing.patience);
  }

  /**
   * A peer that the server does not know any more stays as long as a connection reaches it, and a
   * little longer.
   */
  #checkAbsence() {
    if (this.#host.isReachable(this) || this.isConnected) return this.#clear('absent');
    if (this.#hasLeft && this.#host.signalingIsUp()) return this.#host.gone(this);
    if (this.#dataWasClosed && this.#host.signalingIsUp()) return this.#host.gone(this);
    if (this.#timers.has('absent')) return;
    this.#after('absent', this.#host.timing.absent, () => {
      if (this.#host.isReachable(this) || this.isConnected) return;
      // While the server is away no peer is reachable, which shows nothing about this one.
      if (this.#host.signalingIsUp()) this.#host.gone(this);
      else this.#checkAbsence();
    });
  }

  async #lookUpRoute() {
    const connection = this.#connection;
    if (connection === null || connection.connectionState !== 'connected') return;
    this.#after('route', this.route === null ? 500 : this.#host.timing.route, () => void this.#lookUpRoute());
    const route = await selectedRoute(connection).catch(() => null);
    if (connection !== this.#connection || route === null) return;
    if (JSON.stringify(route) === JSON.stringify(this.route)) return;
    this.route = route;
    this.#host.changed(this);
  }

  /**
   * @param {string} name
   * @param {number} delay
   * @param {() => unknown} action
   */
  #after(name, delay, action) {
    this.#clear(name);
    this.#timers.set(name, setTimeout(() => {
      this.#timers.delete(name);
      action();
    }, delay));
  }

  /** @param {string} name */
  #clear(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
