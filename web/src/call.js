import {
  CallChannelEvent,
  CallChatEvent,
  CallConnectedEvent,
  CallErrorEvent,
  CallPeerEvent,
  CallSignalEvent,
  CallStateEvent,
  CallTrackEvent,
} from './call/events.js';
import { CALL_TIMING, CallPeer, MAX_CHAT } from './call/peer.js';
import { Post, VERSION } from './call/post.js';
import { SignalingChannel } from './signaling-channel.js';
import { HandlerTarget, senderOf } from './signaling/events.js';

/**
 * `idle` before `join`, `connecting` until the session is entered, `waiting` while there is no
 * other participant, `in-call`, at last `ended`.
 *
 * @typedef {'idle' | 'connecting' | 'waiting' | 'in-call' | 'ended'} CallState
 */

/**
 * @typedef {object} CallOptions
 * @property {MediaStream} [stream] what to send; `setTrack` changes it later
 * @property {string} [name] the name of this participant
 * @property {RTCConfiguration} [configuration] for every connection; the server's `iceServers` are
 *   added to its own
 * @property {import('./signaling-channel.js').SignalingOptions} [signaling] options of the channel,
 *   if the call makes it
 * @property {Partial<import('./call/peer.js').CallTiming>} [timing] other durations than the usual
 *   ones
 * @property {'automatic' | 'on-request'} [admission] whether a connection to everybody is made, or
 *   only to those for whom `connect` was called
 * @property {import('./call/post.js').Seal} [seal] seals what goes through the signaling server
 */

/**
 * The events of a call.
 *
 * @typedef {object} CallEvents
 * @property {CallPeerEvent} peer
 * @property {CallTrackEvent} track
 * @property {CallTrackEvent} stream
 * @property {CallConnectedEvent} connected
 * @property {CallChannelEvent} channel
 * @property {CallSignalEvent} signal
 * @property {CallChatEvent} chat
 * @property {CallStateEvent} state
 * @property {CallErrorEvent} error
 */

/** Fresh TURN credentials are fetched so long before the old ones end, in milliseconds. */
const RENEW_BEFORE = 120000;

/** The pause before they are asked for again, in milliseconds. */
const RENEW_AGAIN = 15000;

/** The longest delay that timers keep. */
const MAX_DELAY = 2 ** 31 - 1;

/**
 * Credentials so young are fresh enough for all connections that restart together, in milliseconds.
 */
const FRESH = 3000;

/** The time for `bye` to leave before the connections are closed, in milliseconds. */
const CLOSE_DELAY = 100;

/**
 * A call with everybody in a session: a connection to each of them, kept up by perfect negotiation
 * and ICE restarts.
 *
 * ```js
 * const call = new Call(token, { stream });
 * call.addEventListener('stream', ({ peer, stream }) => { … });
 * await call.join();
 * ```
 *
 * Once a connection to a peer is up, the call does not need the signaling server: losing it, or its
 * restart, disturbs no connection.
 *
 * Events: `peer`, `track`, `stream`, `connected`, `channel`, `signal`, `chat`, `state`, `error`
 * (see `call/events.js`).
 */
export class Call extends HandlerTarget {
  #channel;
  #options;
  /** @type {Map<string, CallPeer>} */
  #peers = new Map();
  /**
   * Peers that have said goodbye and are in the session still. They may call again on their
   * channel, but what they have sent before may come later than the goodbye, which goes over the
   * connection.
   *
   * @type {Map<string, { attempt: number, post: Post }>}
   */
  #farewells = new Map();
  /** @type {Map<string, MediaStreamTrack>} */
  #tracks = new Map();
  #localStream;
  /** @type {CallState} */
  #state = 'idle';
  #name;
  #watching = new AbortController();
  /** @type {{ since: number, servers: Promise<unknown> } | null} */
  #refreshing = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renewTimer;
  #networkType = networkType();

  /**
   * @param {SignalingChannel | string} channel a channel, or a session token to open one with
   * @param {CallOptions} [options]
   */
  constructor(channel, options = {}) {
    super();
    this.#channel = typeof channel === 'string' ? new SignalingChannel(channel, options.signaling) : channel;
    this.#options = options;
    this.#host.seal = options.seal;
    Object.assign(this.#host.timing, options.timing);
    this.#name = options.name ?? '';
    this.#localStream = new MediaStream();
    for (const track of options.stream?.getTracks() ?? []) this.#keepTrack(track.kind, track);
  }

  /** The channel that the peers find each other through. */
  get channel() {
    return this.#channel;
  }

  get state() {
    return this.#state;
  }

  /**
   * The other participants by peer id.
   *
   * @returns {ReadonlyMap<string, CallPeer>}
   */
  get peers() {
    return this.#peers;
  }

  /** The own tracks: at most one of a kind. */
  get localStream() {
    return this.#localStream;
  }

  /** The name of this participant. */
  get name() {
    return this.#name;
  }

  set name(name) {
    this.#name = name;
    this.#sendStatus();
  }

  /** Returns whether sound is sent: there is a microphone, and it is not muted. */
  get microphoneEnabled() {
    return this.#tracks.get('audio')?.enabled ?? false;
  }

  /** Returns whether a picture is sent. */
  get cameraEnabled() {
    return this.#tracks.get('video')?.enabled ?? false;
  }

  /**
   * Enters the call. Connections to those who are there, and who come later, are made from now on.
   *
   * @returns {Promise<void>} fulfilled when the session is entered; rejected if it cannot be
   */
  join() {
    if (this.#state !== 'idle') return Promise.reject(new DOMException('This call was joined before.', 'InvalidStateError'));
    const { signal } = this.#watching;
    /** @type {(type: string, listener: (event: any) => void) => void} */
    const on = (type, listener) => this.#channel.addEventListener(type, listener, { signal });
    this.#setState('connecting');
    on('peer', (event) => this.#presenceChanged(event));
    on('message', (event) => this.#received(event.data, senderOf(event)));
    on('state', (event) => this.#signalingChanged(event));
    on('iceservers', () => this.#useIceServers());
    on('error', (event) => !event.fatal && this.#dispatchError(event.code, event.message, event));
    on('close', (event) => this.#signalingClosed(event));
    this.#watchNetwork(signal);
    for (const [id, { id: clientId }] of this.#channel.peers) this.#addPeer(id, clientId);
    if (this.#channel.state === 'open') {
      this.#useIceServers();
      this.#updateState();
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      on('open', () => resolve());
      on('close', (event) => reject(new DOMException(event.reason, 'NetworkError')));
    });
  }

  /** Hangs up: says goodbye to everybody, closes the connections and the channel. */
  leave() {
    if (this.#state === 'ended') return;
    this.#watching.abort();
    clearTimeout(this.#renewTimer);
    // What is sealed takes a moment; the others learn it from the server, too.
    if (this.#channel.state === 'open' && this.#options.seal === undefined) {
      try {
        this.#channel.send({ call: { version: VERSION, bye: true } });
      } catch {
        // A full queue keeps `bye` from being sent this way; the connections send it as well.
      }
    }
    const peers = [...this.#peers.values()];
    for (const peer of peers) peer.sendBye();
    this.#channel.close();
    setTimeout(() => peers.forEach((peer) => peer.close()), CLOSE_DELAY);
    this.#peers.clear();
    this.#setState('ended');
    for (const peer of peers) this.dispatchEvent(new CallPeerEvent(peer, 'left'));
  }

  /**
   * Makes a connection to this peer, where the call does not to everybody (`admission`).
   *
   * @param {string} id its peer id
   */
  connect(id) {
    this.#peers.get(id)?.start();
  }

  /**
   * Sends a message through the signaling server, which can read it; it comes as `signal`.
   *
   * @param {string} id the receiver's peer id
   * @param {unknown} data anything that has JSON text; an object has no field `call`
   */
  signal(id, data) {
    this.#channel.send(data, id);
  }

  /**
   * Mutes or unmutes the microphone.
   *
   * @param {boolean} enabled
   */
  setMicrophoneEnabled(enabled) {
    this.#setEnabled('audio', enabled);
  }

  /**
   * Makes the picture black or shows it again. To switch the camera off for good, stop its track
   * and `setTrack('video', null)`.
   *
   * @param {boolean} enabled
   */
  setCameraEnabled(enabled) {
    this.#setEnabled('video', enabled);
  }

  /**
   * Sends another track, or none, of this kind to everybody. Stopping the one before is the
   * caller's business.
   *
   * @param {'audio' | 'video'} kind
   * @param {MediaStreamTrack | null} track
   */
  async setTrack(kind, track) {
    const former = this.#tracks.get(kind);
    if (former !== undefined) this.#localStream.removeTrack(former);
    this.#tracks.delete(kind);
    if (track !== null) this.#keepTrack(kind, track);
    await Promise.all([...this.#peers.values()].map((peer) => peer.setTrack(kind, track)));
    this.#sendStatus();
  }

  /**
   * Sends a line to everybody in the call, directly. A peer that is being connected gets it when
   * the connection is up.
   *
   * @param {string} text at most 4000 characters
   */
  sendChat(text) {
    for (const peer of this.#peers.values()) peer.sendChat(text.slice(0, MAX_CHAT));
  }

  /**
   * @template {keyof CallEvents} K
   * @overload
   * @param {K} type
   * @param {((event: CallEvents[K]) => unknown) | { handleEvent(event: CallEvents[K]): unknown } |
   *   null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @overload
   * @param {string} type
   * @param {((event: any) => unknown) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @param {string} type
   * @param {any} listener
   * @param {boolean | AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
  }

  /** @type {((event: CallEvents['peer']) => unknown) | null} */
  get onpeer() { return this._handler('peer'); }
  set onpeer(handler) { this._setHandler('peer', handler); }
  /** @type {((event: CallEvents['track']) => unknown) | null} */
  get ontrack() { return this._handler('track'); }
  set ontrack(handler) { this._setHandler('track', handler); }
  /** @type {((event: CallEvents['stream']) => unknown) | null} */
  get onstream() { return this._handler('stream'); }
  set onstream(handler) { this._setHandler('stream', handler); }
  /** @type {((event: CallEvents['connected']) => unknown) | null} */
  get onconnected() { return this._handler('connected'); }
  set onconnected(handler) { this._setHandler('connected', handler); }
  /** @type {((event: CallEvents['channel']) => unknown) | null} */
  get onchannel() { return this._handler('channel'); }
  set onchannel(handler) { this._setHandler('channel', handler); }
  /** @type {((event: CallEvents['signal']) => unknown) | null} */
  get onsignal() { return this._handler('signal'); }
  set onsignal(handler) { this._setHandler('signal', handler); }
  /** @type {((event: CallEvents['chat']) => unknown) | null} */
  get onchat() { return this._handler('chat'); }
  set onchat(handler) { this._setHandler('chat', handler); }
  /** @type {((event: CallEvents['state']) => unknown) | null} */
  get onstate() { return this._handler('state'); }
  set onstate(handler) { this._setHandler('state', handler); }
  /** @type {((event: CallEvents['error']) => unknown) | null} */
  get onerror() { return this._handler('error'); }
  set onerror(handler) { this._setHandler('error', handler); }

  /**
   * @param {string} kind
   * @param {MediaStreamTrack} track
   */
  #keepTrack(kind, track) {
    if (this.#tracks.has(kind)) return;
    this.#tracks.set(kind, track);
    this.#localStream.addTrack(track);
  }

  /**
   * @param {string} kind
   * @param {boolean} enabled
   */
  #setEnabled(kind, enabled) {
    const track = this.#tracks.get(kind);
    if (track !== undefined) track.enabled = enabled;
    this.#sendStatus();
  }

  #sendStatus() {
    for (const peer of this.#peers.values()) peer.sendStatus();
  }

  /** @param {import('./signaling/events.js').PeerEvent} event */
  #presenceChanged({ change, peer: id, id: clientId, reason }) {
    const peer = this.#peers.get(id);
    this.#farewells.delete(id);
    if (change === 'left') peer?.unreachable(reason);
    else if (peer === undefined) this.#addPeer(id, clientId);
    // It is the same peer as before, whatever happened to the server meanwhile.
    else peer.reachable({ anew: true });
  }

  /**
   * @param {any} data
   * @param {string} from
   */
  #received(data, from) {
    const message = data?.call;
    if (message === undefined) return void this.dispatchEvent(new CallSignalEvent(from, data));
    if (typeof message !== 'object' || message === null) return;
    if (!this.#peers.has(from) && this.#channel.peers.has(from)) {
      // One that has left on this channel may be calling again.
      const farewell = this.#farewells.get(from);
      if (farewell !== undefined) return farewell.post.receive(message);
      if (message.bye !== true) this.#addPeer(from, this.#channel.peers.get(from)?.id);
    }
    this.#peers.get(from)?.receive(message);
  }

  /** @param {CallPeer} peer */
  #keepFarewell({ id, attempt }) {
    const post = new Post(this.#options.seal, this.#host.id, id, {
      send: () => {},
      receive: (message) => {
        if (this.#farewells.get(id)?.post === post && isLater(message, attempt)) {
          this.#addPeer(id, this.#channel.peers.get(id)?.id);
        }
        this.#peers.get(id)?.receiveOpened(message);
      },
      refused: () => {},
    });
    this.#farewells.set(id, { attempt, post });
  }

  /** @param {import('./signaling/events.js').SignalingStateEvent} event */
  #signalingChanged({ state, rejoined }) {
    if (state === 'open') {
      this.#useIceServers();
      for (const peer of this.#peers.values()) {
        if (this.#channel.peers.has(peer.id)) peer.reachable({ anew: rejoined });
      }
    }
    this.#updateState();
  }

  /** @param {import('./signaling/events.js').SignalingCloseEvent} event */
  #signalingClosed({ code, reason }) {
    if (this.#state === 'ended') return;
    // Connections that are up need no server.
    const goesOn = [...this.#peers.values()].some((peer) => peer.isConnected);
    this.#dispatchError(code, reason, { fatal: !goesOn });
    if (!goesOn) this.leave();
  }

  /**
   * @param {string} id
   * @param {string} [clientId]
   */
  #addPeer(id, clientId) {
    this.#farewells.delete(id);
    this.#host.id = this.#channel.peerId ?? '';
    const peer = new CallPeer(this.#host, id, { polite: (this.#channel.peerId ?? '') < id, clientId });
    this.#peers.set(id, peer);
    this.#updateState();
    this.dispatchEvent(new CallPeerEvent(peer, 'joined'));
    if (this.#options.admission !== 'on-request') peer.start();
  }

  /** @param {CallPeer} peer */
  #removePeer(peer) {
    if (this.#peers.get(peer.id) !== peer) return;
    this.#peers.delete(peer.id);
    peer.close();
    if (this.#channel.peers.has(peer.id)) this.#keepFarewell(peer);
    this.dispatchEvent(new CallPeerEvent(peer, 'left'));
    this.#updateState();
    if (this.#channel.state === 'closed' && this.#peers.size === 0) this.leave();
  }

  /** @type {import('./call/peer.js').PeerHost} */
  #host = {
    id: '',
    seal: undefined,
    timing: { ...CALL_TIMING },
    connect: () => this.#connect(),
    freshConfiguration: () => this.#freshConfiguration(),
    isReachable: (peer) => this.#channel.state === 'open' && this.#channel.peers.has(peer.id),
    signalingIsUp: () => this.#channel.state === 'open' || this.#channel.state === 'closed',
    tracks: () => this.#tracks,
    localStream: () => this.#localStream,
    status: () => ({ name: this.#name, microphone: this.microphoneEnabled, camera: this.cameraEnabled }),
    send: (peer, message) => this.#signal(peer, message),
    changed: (peer) => this.#peers.get(peer.id) === peer && this.dispatchEvent(new CallPeerEvent(peer, 'changed')),
    track: (peer, track, first) => this.#trackArrived(peer, track, first),
    connected: (peer) => this.dispatchEvent(new CallConnectedEvent(peer)),
    channel: (peer, channel) => this.dispatchEvent(new CallChannelEvent(peer, channel)),
    chat: (peer, text) => this.dispatchEvent(new CallChatEvent(peer, text)),
    gone: (peer) => this.#removePeer(peer),
    error: (peer, code, message) => this.#dispatchError(code, message, { peer }),
  };

  /**
   * @param {CallPeer} peer
   * @param {object} message
   */
  #signal(peer, message) {
    if (this.#channel.state === 'closed') return;
    try {
      this.#channel.send(message, peer.id);
    } catch {
      // The queue is full; offers are sent again when they are not answered.
    }
  }

  /**
   * @param {CallPeer} peer
   * @param {MediaStreamTrack} track
   * @param {boolean} first
   */
  #trackArrived(peer, track, first) {
    const { stream } = peer;
    if (stream === null) return;
    this.dispatchEvent(new CallTrackEvent('track', peer, stream, track));
    if (first) this.dispatchEvent(new CallTrackEvent('stream', peer, stream, track));
  }

  /** @returns {RTCPeerConnection} */
  #connect() {
    const configuration = this.#configuration();
    try {
      return new RTCPeerConnection(configuration);
    } catch (error) {
      // Browsers refuse all servers for one that they do not like, such as one on a port that they
      // block.
      const iceServers = (configuration.iceServers ?? []).filter(isAcceptable);
      const connection = new RTCPeerConnection({ ...configuration, iceServers });
      this.#dispatchError('bad-ice-servers', `The browser does not take all STUN and TURN servers: ${String(error)}`);
      return connection;
    }
  }

  /** @returns {RTCConfiguration} */
  #configuration() {
    const own = this.#options.configuration ?? {};
    return { ...own, iceServers: [...(own.iceServers ?? []), ...this.#channel.iceServers] };
  }

  async #freshConfiguration() {
    const now = Date.now();
    if (this.#channel.state === 'open' && (this.#refreshing === null || now - this.#refreshing.since > FRESH)) {
      // Without fresh ones the old ones may still do.
      this.#refreshing = { since: now, servers: this.#channel.refreshIceServers().catch(() => {}) };
    }
    await this.#refreshing?.servers;
    return this.#configuration();
  }

  /** Gives the server's present ICE servers to all connections, and plans the next renewal. */
  #useIceServers() {
    const configuration = this.#configuration();
    for (const peer of this.#peers.values()) peer.setConfiguration(configuration);
    this.#renewCredentialsLater();
  }

  /**
   * Keeps the credentials of all connections valid, so that a candidate can be gathered at any
   * time.
   */
  #renewCredentialsLater() {
    clearTimeout(this.#renewTimer);
    const expire = this.#channel.iceServersExpire.getTime();
    if (expire <= 0 || this.#state === 'ended') return;
    const left = expire - Date.now();
    // What has ended already was made by another clock, or long ago.
    const delay = left > 0 ? Math.min(MAX_DELAY, Math.max(left - RENEW_BEFORE, left / 2)) : RENEW_AGAIN;
    this.#renewTimer = setTimeout(() => {
      // If no answer comes, it is asked for again; an answer comes as an event, and plans anew.
      this.#renewTimer = setTimeout(() => this.#renewCredentialsLater(), RENEW_AGAIN);
      void this.#freshConfiguration();
    }, delay);
  }

  /** @param {AbortSignal} signal */
  #watchNetwork(signal) {
    if (typeof globalThis.addEventListener !== 'function') return;
    const changed = () => this.#peers.forEach((peer) => peer.networkChanged());
    globalThis.addEventListener('online', changed, { signal });
    globalThis.addEventListener('pagehide', (event) => !event.persisted && this.leave(), { signal });
    const connection = /** @type {any} */ (globalThis.navigator)?.connection;
    // It also reports every change of the estimated speed; only another kind of network is another
    // network.
    connection?.addEventListener?.('change', () => {
      if (networkType() === this.#networkType) return;
      this.#networkType = networkType();
      changed();
    }, { signal });
  }

  #updateState() {
    if (this.#state === 'idle' || this.#state === 'ended') return;
    if (this.#peers.size > 0) this.#setState('in-call');
    else if (this.#channel.peerId !== null) this.#setState('waiting');
  }

  /** @param {CallState} state */
  #setState(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.dispatchEvent(new CallStateEvent(state));
  }

  /**
   * @param {string} code
   * @param {string} message
   * @param {{ peer?: CallPeer, fatal?: boolean, retryAfter?: number }} [details]
   */
  #dispatchError(code, message, details) {
    this.dispatchEvent(new CallErrorEvent(code, message, details));
  }
}

/**
 * Returns whether a message can be about a later connection than this one.
 *
 * @param {any} message
 * @param {number} attempt
 */
function isLater(message, attempt) {
  return message.bye !== true && (Number.isSafeInteger(message.renew) || message.attempt > attempt);
}

/**
 * Returns whether the browser takes this server.
 *
 * @param {RTCIceServer} server
 */
function isAcceptable(server) {
  try {
    new RTCPeerConnection({ iceServers: [server] }).close();
    return true;
  } catch {
    return false;
  }
}

/** The kind of network, where the browser tells: `wifi`, `cellular`, … */
function networkType() {
  return /** @type {any} */ (globalThis.navigator)?.connection?.type;
}
