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
   * @param {string} code a code of the signaling channel, or `negotiation-failed`
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
