import { HandlerTarget, PeerEvent, SignalingMessageEvent, SignalingStateEvent } from '../../src/signaling/events.js';

/** Channels in one memory that a test can cut, restart, and make lose messages. */
export class FakeNetwork {
  /** @type {FakeChannel[]} */
  channels = [];
  /** Loses every message for which this is true. */
  loses = (/** @type {any} */ _message) => false;
  /** @type {any[]} */
  log = [];

  /** @param {string} id */
  join(id) {
    const channel = new FakeChannel(this, id);
    for (const other of this.channels) {
      channel.peers.set(other.peerId, {});
      other.came(id);
    }
    this.channels.push(channel);
    return channel;
  }

  /** @param {string} id @param {string} reason */
  leave(id, reason) {
    this.channels = this.channels.filter((each) => each.peerId !== id);
    for (const other of this.channels) other.went(id, reason);
  }

  /** The server is away: there are no events. */
  stop() {
    for (const channel of this.channels) channel.setState('reconnecting');
  }

  /** It is back without memory: everybody joins anew, one after the other. */
  async restart() {
    for (const channel of this.channels) {
      channel.setState('open', true);
      for (const other of [...channel.peers.keys()]) channel.went(other, 'unknown');
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
    for (const channel of this.channels) {
      for (const other of this.channels) if (other !== channel) channel.came(other.peerId);
    }
  }
}

export class FakeChannel extends HandlerTarget {
  /** @type {Map<string, { id?: string }>} */
  peers = new Map();
  state = 'open';
  iceServers = [{ urls: ['turn:relay.example'], username: 'old' }];
  iceServersExpire = new Date(Date.now() + 3600000);
  refreshed = 0;
  /** @type {any[]} */
  #waiting = [];

  /** @param {FakeNetwork} network @param {string} peerId */
  constructor(network, peerId) {
    super();
    this.network = network;
    this.peerId = peerId;
  }

  /** @param {any} data @param {string | null} [to] */
  send(data, to = null) {
    const text = JSON.stringify(data);
    if (this.state !== 'open') return void this.#waiting.push([data, to]);
    this.network.log.push({ from: this.peerId, to, ...data.call });
    if (this.network.loses(data.call)) return;
    setTimeout(() => {
      for (const other of this.network.channels) {
        if (other === this || (to !== null && other.peerId !== to) || !this.network.channels.includes(this)) continue;
        if (other.state === 'open') other.dispatchEvent(new SignalingMessageEvent(JSON.parse(text), this.peerId));
      }
    }, 1);
  }

  async refreshIceServers() {
    this.refreshed += 1;
    this.offer(`fresh ${this.refreshed}`);
    return this.iceServers;
  }

  /**
   * The server sends credentials for this user.
   *
   * @param {string} username
   */
  offer(username) {
    this.iceServers = [{ urls: ['turn:relay.example'], username }];
    this.iceServersExpire = new Date(Date.now() + 3600000);
    this.dispatchEvent(new Event('iceservers'));
  }

  close() {
    if (this.state === 'closed') return;
    this.state = 'closed';
    // What was sent before is on its way.
    setTimeout(() => this.network.leave(this.peerId, 'left'), 2);
  }

  /** @param {string} id */
  came(id) {
    if (this.peers.has(id)) return;
    this.peers.set(id, {});
    this.dispatchEvent(new PeerEvent('joined', id, {}));
  }

  /** @param {string} id @param {string} reason */
  went(id, reason) {
    if (this.peers.delete(id)) this.dispatchEvent(new PeerEvent('left', id, { reason }));
  }

  /** @param {any} state @param {boolean} [rejoined] */
  setState(state, rejoined = false) {
    this.state = state;
    this.dispatchEvent(new SignalingStateEvent(state, { rejoined }));
    if (state === 'open') for (const [data, to] of this.#waiting.splice(0)) this.send(data, to);
  }
}
