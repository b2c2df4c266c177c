// Perfect negotiation as the W3C's example writes it, by commands: in pages of browsers, and as
// the program in `peers/rust/src/negotiator.rs`, which says the same.

import { pagePeer, programPeer, PROGRAMS } from './data-peer.js';

/** @typedef {'restart' | 'addAudio' | 'addVideo' | 'turn' | 'stop' | 'rollback'} Act */
/** @typedef {{polite: boolean, unbundled?: boolean}} NegotiatorOptions */

/** Runs in the page: it uses nothing else of this file. */
export class Negotiator {
  /**
   * Offers that are being made. Chromium may ask for another one before the last is taken back
   * (docs/known-failures.md), and then a flag would be cleared too early.
   */
  #offersBeingMade = 0;
  #ignoreOffer = false;
  #isSettingRemoteAnswerPending = false;
  /** A description of the other side's is being set. */
  #isTaking = false;
  /** The next offer is taken back before it is sent. */
  #takesBack = false;
  /** Transceivers that exist at once, at most: beyond it the first is stopped instead. */
  #most = 4;

  /** @param {NegotiatorOptions} options @param {(event: object) => void} report */
  constructor({ polite, unbundled = false }, report) {
    const connection = new RTCPeerConnection({ bundlePolicy: unbundled ? 'max-compat' : 'balanced' });
    this.connection = connection;
    this.polite = polite;
    this.report = report;
    this.channel = connection.createDataChannel('echo', { negotiated: true, id: 0 });
    this.channel.addEventListener('open', () => report({ event: 'open' }));
    this.channel.addEventListener('close', () => report({ event: 'error', message: 'the channel closed' }));
    this.channel.addEventListener('message', ({ data }) => report({ event: 'heard', text: data }));
    connection.addEventListener('negotiationneeded', () => this.#offer().catch((error) => this.#fail(error)));
    connection.addEventListener('icecandidate', ({ candidate }) => report({ event: 'signal', candidate: candidate?.toJSON() ?? null }));
    connection.addEventListener('connectionstatechange', () => report({ event: 'state', state: connection.connectionState }));
  }

  /** @param {unknown} error */
  #fail(error) {
    this.report({ event: 'error', message: `${error}` });
  }

  async #offer() {
    try {
      this.#offersBeingMade += 1;
      await this.connection.setLocalDescription();
      // Not while the other side's offer waits in the chain: it would be taken back instead.
      if (this.#takesBack && !this.#isTaking && this.connection.signalingState === 'have-local-offer') {
        this.#takesBack = false;
        this.report({ event: 'tookBack' });
        await this.connection.setLocalDescription({ type: 'rollback' });
        return;
      }
      this.report({ event: 'signal', description: this.connection.localDescription?.toJSON() });
    } finally {
      this.#offersBeingMade -= 1;
    }
  }

  /** @param {any} command */
  async obey({ do: what, description, candidate, what: act, text, number }) {
    if (what === 'act') this.#act(act);
    else if (what === 'say') this.channel.send(text);
    else if (what === 'status') await this.#reportStatus(number);
    else if (description) await this.#take(description);
    else await this.#add(candidate);
  }

  /** @param {RTCSessionDescriptionInit} description */
  async #take(description) {
    const { connection, polite } = this;
    const isOffer = description.type === 'offer';
    const readyForOffer = this.#offersBeingMade === 0 && (connection.signalingState === 'stable' || this.#isSettingRemoteAnswerPending);
    const offerCollision = isOffer && !readyForOffer;
    this.#ignoreOffer = !polite && offerCollision;
    if (offerCollision) this.report({ event: 'collision' });
    if (this.#ignoreOffer) return;
    this.#isSettingRemoteAnswerPending = description.type === 'answer';
    try {
      this.#isTaking = true;
      await connection.setRemoteDescription(description);
    } finally {
      this.#isSettingRemoteAnswerPending = false;
      this.#isTaking = false;
    }
    if (!isOffer) return;
    await connection.setLocalDescription();
    this.report({ event: 'signal', description: connection.localDescription?.toJSON() });
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  async #add(candidate) {
    try {
      await this.connection.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      // Of an offer that was ignored or replaced meanwhile, perhaps.
      if (!this.#ignoreOffer) this.report({ event: 'refused', message: `${error}` });
    }
  }

  /** @param {Act} what */
  #act(what) {
    const live = this.connection.getTransceivers().filter(({ direction }) => direction !== 'stopped');
    const [first, last] = [live[0], live.at(-1)];
    const add = (/** @type {string} */ kind) => {
      if (live.length >= this.#most) first.stop();
      else this.connection.addTransceiver(kind);
    };
    if (what === 'rollback') this.#takesBack = true;
    if (what === 'restart' || what === 'rollback') this.connection.restartIce();
    else if (what === 'addAudio') add('audio');
    else if (what === 'addVideo' || !last) add('video');
    else if (what === 'turn') last.direction = last.direction === 'inactive' ? 'sendrecv' : 'inactive';
    else last.stop();
  }

  /** @param {number} number */
  async #reportStatus(number) {
    // Behind the events that are queued.
    await new Promise((resolve) => setTimeout(resolve));
    const { connection } = this;
    const sections = connection.getTransceivers().flatMap(({ mid, currentDirection: direction, receiver }) => {
      return direction && direction !== 'stopped' ? [{ mid, kind: receiver.track.kind, direction }] : [];
    });
    const signaling = this.#offersBeingMade > 0 ? 'making-offer' : connection.signalingState;
    this.report({ event: 'status', number, signaling, connection: connection.connectionState, sections });
  }
}

/** @param {NegotiatorOptions} options */
export function rustNegotiator(options) {
  const [path] = PROGRAMS.columba();
  return programPeer('columba', [path, JSON.stringify({ do: 'negotiate', ...options })]);
}

/**
 * @param {import('../browser/launch.js').Running} running
 * @param {string} origin
 * @param {NegotiatorOptions} options
 */
export const browserNegotiator = (running, origin, options) => pagePeer(running, origin, `new (${Negotiator})(${JSON.stringify(options)}, report)`);
