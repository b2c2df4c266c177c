/**
 * Perfect negotiation (WebRTC 1.0, section 10.7) on one RTCPeerConnection: either side may want to
 * change something at any time; when both do at once, the impolite one's offer wins and the polite
 * one takes its own back.
 *
 * Beyond the pattern: offers are numbered and answers name the offer that they answer, so that a
 * message which was lost can be sent again and one that comes twice or late does no harm; and
 * candidates wait until the description that they belong to has been applied.
 *
 * @typedef {object} NegotiationMessage
 * @property {{ type: string, sdp: string }} [description]
 * @property {number} [offer] the number of this offer, or of the offer that this answers
 * @property {number} [withdrawn] the sender has withdrawn its offers up to this one
 * @property {RTCIceCandidateInit} [candidate]
 */

/** Candidates that wait for their description; the oldest is dropped first. */
const MAX_HELD = 256;

/**
 * Local candidates of one generation kept for sending again; a machine with more has enough of them
 * in the first ones.
 */
const MAX_LOCAL = 64;

export class Negotiation {
  #connection;
  #polite;
  #send;
  #failed;
  #makingOffer = false;
  /** The number of the last own offer. */
  #offer = 0;
  /** The highest own offer that was taken back. */
  #withdrawn = 0;
  /** The number of the last offer of the other side that was applied, or taken back by it. */
  #remoteOffer = 0;
  /** @type {NegotiationMessage | null} the answer to it */
  #answer = null;
  /** @type {RTCIceCandidateInit[]} */
  #held = [];
  /** @type {RTCIceCandidateInit[]} of the descriptions that are in force or pending */
  #local = [];
  #work = Promise.resolve();

  /**
   * @param {RTCPeerConnection} connection
   * @param {object} options
   * @param {boolean} options.polite whether this side gives way
   * @param {(message: NegotiationMessage) => void} options.send
   * @param {(error: unknown) => void} options.failed a description could not be applied: this
   *   connection cannot go on
   */
  constructor(connection, { polite, send, failed }) {
    this.#connection = connection;
    this.#polite = polite;
    this.#send = send;
    this.#failed = failed;
    connection.onnegotiationneeded = () => this.#negotiate();
    connection.onicecandidate = ({ candidate }) => this.#candidate(candidate);
  }

  /** Stops acting; the connection itself is the owner's. */
  stop() {
    this.#connection.onnegotiationneeded = null;
    this.#connection.onicecandidate = null;
  }

  /**
   * Takes a message of the other side. Messages are worked off one after the other.
   *
   * @param {NegotiationMessage} message
   */
  receive(message) {
    this.#work = this.#work.then(() => this.#process(message)).catch((error) => {
      if (!this.#isClosed()) this.#failed(error);
    });
  }

  /**
   * Sends again what may have been lost on the way: an offer that was not answered, with the
   * candidates in it, or else the candidates of the description in force.
   */
  sendAgain() {
    const { signalingState, localDescription } = this.#connection;
    if (signalingState === 'have-local-offer' && localDescription !== null && this.#offer > 0) {
      this.#send({ description: plain(localDescription), offer: this.#offer });
    } else {
      const own = ownFragments(this.#connection);
      for (const candidate of this.#local) if (isOf(own, candidate)) this.#send({ candidate });
    }
  }

  #isClosed() {
    return this.#connection.signalingState === 'closed';
  }

  /** The first offer is the impolite side's, so that the two do not begin with a collision. */
  #negotiate() {
    if (!this.#polite || this.#connection.remoteDescription !== null) void this.#makeOffer();
  }

  async #makeOffer() {
    this.#makingOffer = true;
    try {
      await this.#connection.setLocalDescription();
      const { localDescription } = this.#connection;
      if (localDescription === null || localDescription.type !== 'offer') return;
      this.#offer += 1;
      this.#send({ description: plain(localDescription), offer: this.#offer });
    } catch (error) {
      if (!this.#isClosed()) this.#failed(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  /** @param {NegotiationMessage} message */
  async #process({ description, offer = 0, withdrawn = 0, candidate }) {
    if (this.#isClosed()) return;
    if (withdrawn > this.#remoteOffer) {
      // An offer that its sender has taken back means nothing when it comes late.
      this.#remoteOffer = withdrawn;
      this.#answer = null;
    }
    if (description?.type === 'offer') await this.#takeOffer(description.sdp, offer);
    else if (description?.type === 'answer') await this.#takeAnswer(description.sdp, offer);
    if (candidate !== undefined && candidate !== null) await this.#takeCandidate(candidate);
  }

  /**
   * @param {string} sdp
   * @param {number} offer
   */
  async #takeOffer(sdp, offer) {
    if (offer <= this.#remoteOffer) {
      // It asks again because the answer did not arrive.
      if (offer === this.#remoteOffer && this.#answer !== null) this.#send(this.#answer);
      return;
    }
    const collision = this.#makingOffer || this.#connection.signalingState !== 'stable';
    if (collision && !this.#polite) return;
    await this.#connection.setRemoteDescription({ type: 'offer', sdp });
    if (collision) this.#withdrawn = this.#offer;
    this.#remoteOffer = offer;
    this.#answer = null;
    await this.#connection.setLocalDescription();
    const { localDescription } = this.#connection;
    if (localDescription === null) return;
    this.#answer = { description: plain(localDescription), offer };
    if (this.#withdrawn > 0) this.#answer.withdrawn = this.#withdrawn;
    this.#send(this.#answer);
    await this.#takeHeld();
  }

  /**
   * @param {string} sdp
   * @param {number} offer
   */
  async #takeAnswer(sdp, offer) {
    if (offer !== this.#offer || this.#connection.signalingState !== 'have-local-offer') return;
    await this.#connection.setRemoteDescription({ type: 'answer', sdp });
    await this.#takeHeld();
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #takeCandidate(candidate) {
    if (!this.#belongs(candidate)) {
      this.#held.push(candidate);
      if (this.#held.length > MAX_HELD) this.#held.shift();
      return;
    }
    // One candidate that this browser does not understand must not end a connection that others may
    // make.
    await this.#connection.addIceCandidate(candidate).catch(() => {});
  }

  async #takeHeld() {
    for (const candidate of this.#held.splice(0)) await this.#takeCandidate(candidate);
  }

  /**
   * Returns whether the description that this candidate belongs to is in force or pending.
   *
   * @param {RTCIceCandidateInit} candidate
   */
  #belongs(candidate) {
    const { currentRemoteDescription, pendingRemoteDescription, remoteDescription } = this.#connection;
    if (remoteDescription === null) return false;
    return isOf(fragments(currentRemoteDescription, pendingRemoteDescription, remoteDescription), candidate);
  }

  /** @param {RTCIceCandidate | null} candidate */
  #candidate(candidate) {
    const init = candidate === null ? this.#endOfCandidates() : candidate.toJSON();
    if (init === null) return;
    const isSame = (/** @type {RTCIceCandidateInit} */ each) => each.usernameFragment === init.usernameFragment;
    if (!this.#local.some(isSame)) {
      const own = ownFragments(this.#connection);
      this.#local = this.#local.filter((each) => isOf(own, each));
    }
    // Some browsers say themselves that a generation has ended, before they say that all have.
    if (init.candidate === '' && this.#local.some((each) => each.candidate === '' && isSame(each))) return;
    if (this.#local.filter(isSame).length < MAX_LOCAL) this.#local.push(init);
    this.#send({ candidate: init });
  }

  /**
   * The notice that no more candidates of the present generation come.
   *
   * @returns {RTCIceCandidateInit | null}
   */
  #endOfCandidates() {
    const sdp = this.#connection.localDescription?.sdp ?? '';
    const usernameFragment = /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1];
    if (usernameFragment === undefined) return null;
    return { candidate: '', sdpMid: /^a=mid:(\S+)/m.exec(sdp)?.[1] ?? '0', sdpMLineIndex: 0, usernameFragment };
  }
}

/** @param {RTCPeerConnection} connection */
function ownFragments({ currentLocalDescription, pendingLocalDescription, localDescription }) {
  return fragments(currentLocalDescription, pendingLocalDescription, localDescription);
}

/**
 * The fragments of user names in these descriptions.
 *
 * @param {...(RTCSessionDescription | null | undefined)} descriptions
 */
function fragments(...descriptions) {
  const lines = descriptions.flatMap((each) => [...(each?.sdp ?? '').matchAll(/^a=ice-ufrag:(\S+)/gm)]);
  return new Set(lines.map((match) => match[1]));
}

/**
 * Returns whether a candidate is of a description with these fragments; one without belongs to any.
 *
 * @param {Set<string>} own
 * @param {RTCIceCandidateInit} candidate
 */
function isOf(own, candidate) {
  const fragment = candidate.usernameFragment || / ufrag (\S+)/.exec(candidate.candidate ?? '')?.[1];
  return !fragment || own.has(fragment);
}

/**
 * @param {RTCSessionDescription} description
 * @returns {{ type: string, sdp: string }}
 */
function plain({ type, sdp }) {
  return { type, sdp };
}
