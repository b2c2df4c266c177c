/** @typedef {import('./peer.js').CallPeer} CallPeer */

/**
 * A peer came (`joined`), went (`left`), or something about it changed: name, connection, route,
 * microphone or camera.
 */
export class CallPeerEvent extends Event {
  /**
   * @param {CallPeer} peer
   * @param {'joined' | 'changed' | 'left'} change
   */
  constructor(peer, change) {
    super('peer');
    this.peer = peer;
    this.change = change;
  }
}

/** A track of a peer arrived; `stream` holds all of its tracks. */
export class CallTrackEvent extends Event {
  /**
   * @param {'track' | 'stream'} type `stream` comes once per connection, with the first track
   * @param {CallPeer} peer
   * @param {MediaStream} stream
   * @param {MediaStreamTrack} track
   */
  constructor(type, peer, stream, track) {
    super(type);
    this.peer = peer;
    this.stream = stream;
    this.track = track;
  }
}

/** A new connection to a peer is up, and channels can be opened on it. */
export class CallConnectedEvent extends Event {
  /** @param {CallPeer} peer */
  constructor(peer) {
    super('connected');
    this.peer = peer;
  }
}

/** A peer has opened a data channel. */
export class CallChannelEvent extends Event {
  /**
   * @param {CallPeer} peer
   * @param {RTCDataChannel} channel
   */
  constructor(peer, channel) {
    super('channel');
    this.peer = peer;
    this.channel = channel;
  }
}

/** A message came through the signaling server that is not the call's own. */
export class CallSignalEvent extends Event {
  /**
   * @param {string} peer the sender's peer id
   * @param {any} data
   */
  constructor(peer, data) {
    super('signal');
    this.peer = peer;
    this.data = data;
  }
}

/** A peer said something. */
export class CallChatEvent extends Event {
  /**
   * @param {CallPeer} peer
   * @param {string} text
   */
  constructor(peer, text) {
    super('chat');
    this.peer = peer;
    this.text = text;
    this.time = new Date();
  }
}

/** The call's state changed, see `Call.state`. */
export class CallStateEvent extends Event {
  /** @param {import('../call.js').CallState} state */
  constructor(state) {
    super('state');
    this.state = state;
  }
}

/** Something went wrong; `fatal` means that the call is over. */
export class CallErrorEvent extends Event {
  /**
   * @param {string} code a code of the signaling channel, `negotiation-failed`, or
   *   `seal-refused`: a message was dropped, because it was not sealed as it must be
   * @param {string} message a sentence for a person
   * @param {{ peer?: CallPeer, fatal?: boolean, retryAfter?: number }} [details]
   */
  constructor(code, message, { peer, fatal = false, retryAfter } = {}) {
    super('error');
    this.code = code;
    this.message = message;
    this.peer = peer;
    this.fatal = fatal;
    this.retryAfter = retryAfter;
  }
}
