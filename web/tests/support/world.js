import { HandlerTarget, PeerEvent, SignalingMessageEvent, SignalingStateEvent } from '../../src/signaling/events.js';

/**
 * A world in virtual time for calls: machines that stand still for a while, a signaling server that
 * delays, loses memberships and restarts, and connections that fail on one side or on both. All of
 * it is decided by a seed.
 */
export class World {
  now = 0;
  /** The machine on which something happens now. @type {Machine | null} */
  current = null;
  /** The share of things that go wrong or take long: from 0, a quiet world, to 1. */
  trouble = 1;
  /** A factor on the usual durations, as on a machine with too much to do. */
  slowness = 1;
  connections = 0;
  /** The Unix time at the beginning, in milliseconds. */
  epoch = 1_700_000_000_000;
  #seed;
  #sequence = 0;
  /**
   * @type {Map<number, { at: number, sequence: number, machine: Machine | null, page: number, act:
   *   () => void }>}
   */
  #events = new Map();
  #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, now: Date.now };

  /** @param {number} seed */
  constructor(seed) {
    this.#seed = seed * 2654435761 + 1;
    this.server = new Server(this);
  }

  /** Takes the place of the real clock until `end`. */
  begin() {
    const world = this;
    Object.assign(globalThis, {
      setTimeout: (/** @type {() => void} */ act, delay = 0) => this.after(delay, act),
      clearTimeout: (/** @type {number} */ id) => void this.#events.delete(id),
      RTCPeerConnection: class extends SimulatedConnection {
        constructor() {
          super(world, /** @type {Machine} */ (world.current));
        }
      },
      MediaStream: class {
        getTracks() { return []; }
        addTrack() {}
        removeTrack() {}
      },
    });
    Date.now = () => this.epoch + Math.floor(this.now);
  }

  end() {
    Object.assign(globalThis, { setTimeout: this.#real.setTimeout, clearTimeout: this.#real.clearTimeout });
    Date.now = this.#real.now;
  }

  /** A number from 0 to 1. */
  random() {
    // mulberry32
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  /** @param {number} probability */
  chance(probability) {
    return this.random() < probability * this.trouble;
  }

  /**
   * A duration: mostly `usual` at most, in trouble now and then up to `longest`.
   *
   * @param {number} usual
   * @param {number} longest
   */
  duration(usual, longest) {
    return this.chance(0.1) ? this.random() * longest : this.random() * usual * this.slowness;
  }

  /**
   * @param {number} delay
   * @param {() => void} act
   * @param {Machine | null} [machine] where it happens; a machine that stands still does it later
   */
  after(delay, act, machine = this.current) {
    const sequence = (this.#sequence += 1);
    const page = machine?.page ?? 0;
    this.#events.set(sequence, { at: this.now + Math.max(0, delay), sequence, machine, page, act });
    return sequence;
  }

  /**
   * Lets the time pass until then, or until `condition` holds.
   *
   * @param {number} end
   * @param {() => boolean} [condition]
   */
  async run(end, condition = () => false) {
    await settled();
    while (!condition()) {
      let next = null;
      for (const event of this.#events.values()) {
        const at = Math.max(event.at, event.machine?.standsUntil ?? 0);
        if (next === null || at < next.at || (at === next.at && event.sequence < next.sequence)) next = { ...event, at };
      }
      if (next === null || next.at > end) break;
      this.#events.delete(next.sequence);
      if (next.page !== (next.machine?.page ?? 0)) continue;
      this.now = next.at;
      this.current = next.machine;
      next.act();
      await settled();
    }
    this.current = null;
    if (!condition()) this.now = Math.max(this.now, end);
  }
}

/** Everything that follows at once has been done. */
function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A machine with one page. */
export class Machine {
  standsUntil = 0;
  /** Counts the pages; nothing happens any more on those before. */
  page = 0;

  /** @param {World} world @param {string} name */
  constructor(world, name) {
    this.world = world;
    this.name = name;
    this.channel = new SimulatedChannel(world, this);
    /** @type {Set<SimulatedConnection>} */
    this.connections = new Set();
  }

  /**
   * Nothing happens here for so long, as on a machine without a processor to spare.
   *
   * @param {number} time
   */
  stand(time) {
    this.standsUntil = Math.max(this.standsUntil, this.world.now + time);
    this.world.server.silent(this, time);
  }

  get stands() {
    return this.standsUntil > this.world.now;
  }

  /** Another page of the same client: it knows nothing of the one before. */
  reload() {
    for (const connection of [...this.connections]) connection.vanish();
    this.channel.vanish();
    this.page += 1;
    this.channel = new SimulatedChannel(this.world, this);
    return this.channel;
  }
}

/** The time for which the server keeps a membership without a connection. */
const RESUME_WITHIN = 30_000;

/** A signaling server that everybody is in one session of. */
export class Server {
  /**
   * Members by name, with the events that wait for them.
   *
   * @type {Map<string, { channel: SimulatedChannel, up: boolean, waiting: Array<() => void> }>}
   */
  members = new Map();
  /** The time at which all that are away are back. */
  backAt = 0;

  /** @param {World} world */
  constructor(world) {
    this.world = world;
  }

  /** @param {SimulatedChannel} channel @param {boolean} rejoined */
  enter(channel, rejoined) {
    const { name } = channel.machine;
    if (this.members.has(name)) this.#remove(name, 'replaced');
    const member = { channel, up: true, waiting: [] };
    for (const [other, { channel: to }] of this.members) if (other !== name) this.deliver(to, () => to.came(name));
    this.members.set(name, member);
    const others = [...this.members.keys()].filter((other) => other !== name);
    channel.entered(others, rejoined);
  }

  /** @param {string} name @param {string} reason */
  #remove(name, reason) {
    const member = this.members.get(name);
    if (member === undefined) return;
    this.members.delete(name);
    for (const { channel } of this.members.values()) this.deliver(channel, () => channel.went(name, reason));
  }

  /**
   * An event for a member, in order.
   *
   * @param {SimulatedChannel} channel
   * @param {() => void} event
   */
  deliver(channel, event) {
    const member = this.members.get(channel.machine.name);
    if (member?.channel !== channel) return;
    const arrive = () => {
      if (this.members.get(channel.machine.name) !== member || channel.state === 'closed') return;
      if (member.up) event();
      else member.waiting.push(event);
    };
    channel.arrives = Math.max(channel.arrives, this.world.now + this.world.duration(50, 8000));
    this.world.after(channel.arrives - this.world.now, arrive, channel.machine);
  }

  /** @param {SimulatedChannel} from @param {string} to @param {any} data */
  send(from, to, data) {
    const member = this.members.get(to);
    if (member === undefined || this.members.get(from.machine.name)?.channel !== from) return false;
    const { channel } = member;
    this.deliver(channel, () => channel.dispatchEvent(new SignalingMessageEvent(JSON.parse(data), from.machine.name)));
    return true;
  }

  /** A machine is not heard of for so long. @param {Machine} machine @param {number} time */
  silent(machine, time) {
    const { channel } = machine;
    const member = this.members.get(machine.name);
    if (member === undefined || !member.up || channel.state !== 'open') return;
    member.up = false;
    this.backAt = Math.max(this.backAt, this.world.now + time);
    this.world.after(Math.min(time, 5000), () => channel.state === 'open' && !member.up && channel.setState('reconnecting'), machine);
    const timer = this.world.after(RESUME_WITHIN, () => {
      if (this.members.get(machine.name) === member) this.#remove(machine.name, 'timeout');
    }, null);
    this.world.after(time, () => {
      globalThis.clearTimeout(timer);
      if (channel.state === 'closed') return;
      if (channel.state === 'open') channel.setState('reconnecting');
      if (this.members.get(machine.name) !== member) return this.enter(channel, true);
      member.up = true;
      channel.setState('open', false);
      for (const event of member.waiting.splice(0)) event();
    }, machine);
  }

  /** It is started again without memory; all come back after a while of their own. */
  restart() {
    const channels = [...this.members.values()].map(({ channel }) => channel);
    this.members.clear();
    this.backAt = Math.max(this.backAt, this.world.now + 5000);
    for (const channel of channels) {
      this.world.after(100, () => channel.state === 'open' && channel.setState('reconnecting'), channel.machine);
      this.world.after(200 + this.world.random() * 5000, () => channel.state !== 'closed' && this.enter(channel, true), channel.machine);
    }
  }

  /** @param {SimulatedChannel} channel */
  left(channel) {
    if (this.members.get(channel.machine.name)?.channel === channel) this.#remove(channel.machine.name, 'left');
  }
}

/** A `SignalingChannel` to the simulated server. */
export class SimulatedChannel extends HandlerTarget {
  /** @type {Map<string, { id?: string }>} */
  peers = new Map();
  state = 'connecting';
  /** @type {RTCIceServer[]} */
  iceServers = [];
  iceServersExpire = new Date(0);
  /** The time at which the last event on its way arrives: the next is not earlier. */
  arrives = 0;
  /** @type {Array<{ data: string, to: string, until: number }>} */
  #waiting = [];

  /** @param {World} world @param {Machine} machine */
  constructor(world, machine) {
    super();
    this.world = world;
    this.machine = machine;
    this.peerId = machine.name;
  }

  /** @param {any} message @param {string | null} [to] */
  send(message, to = null) {
    const data = JSON.stringify(message);
    const receivers = to === null ? [...this.peers.keys()] : [to];
    for (const receiver of receivers) this.#waiting.push({ data, to: receiver, until: this.world.now + 60_000 });
    this.#flush();
  }

  #flush() {
    if (this.state !== 'open') return;
    const { now } = this.world;
    this.#waiting = this.#waiting.filter(({ data, to, until }) => {
      if (until < now) return false;
      if (!this.peers.has(to)) return true;
      return !this.world.server.send(this, to, data);
    });
  }

  async refreshIceServers() {
    await new Promise((resolve) => setTimeout(resolve, this.state === 'open' ? this.world.duration(100, 5000) : 5000));
    return [];
  }

  close() {
    if (this.state === 'closed') return;
    this.world.server.left(this);
    this.setState('closed');
  }

  /** It is gone with its page, without a word of the page's; the server may learn it at once. */
  vanish() {
    if (this.world.random() < 0.5) this.world.server.left(this);
    this.state = 'closed';
  }

  /** @param {string[]} present @param {boolean} rejoined */
  entered(present, rejoined) {
    this.setState('open', rejoined);
    for (const peer of [...this.peers.keys()]) if (!present.includes(peer)) this.went(peer, 'unknown');
    for (const peer of present) this.came(peer);
    this.#flush();
  }

  /** @param {string} id */
  came(id) {
    if (this.peers.has(id)) return;
    this.peers.set(id, {});
    this.dispatchEvent(new PeerEvent('joined', id, {}));
    this.#flush();
  }

  /** @param {string} id @param {string} reason */
  went(id, reason) {
    if (!this.peers.delete(id)) return;
    if (reason === 'left') this.#waiting = this.#waiting.filter(({ to }) => to !== id);
    this.dispatchEvent(new PeerEvent('left', id, { reason }));
  }

  /** @param {any} state @param {boolean} [rejoined] */
  setState(state, rejoined = false) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new SignalingStateEvent(state, { rejoined }));
    if (state === 'open') this.#flush();
  }
}

/** The silence after which a connection is disconnected, and then failed. */
const DISCONNECTED = 5000;
const FAILED = 20_000;
/** The time for which the checks of one generation go on. */
const CHECKS = 25_000;
const TICK = 500;

/**
 * As much of RTCPeerConnection as a call needs, with ICE as browsers have it: checks that end in
 * vain, consent, restarts; and one DTLS association for all its life, which is with one other
 * connection.
 */
class SimulatedConnection {
  /**
   * All connections by the fragments of their descriptions.
   *
   * @type {WeakMap<World, Map<string, SimulatedConnection>>}
   */
  static #all = new WeakMap();

  signalingState = 'stable';
  connectionState = 'new';
  /** @type {any} */ localDescription = null;
  /** @type {any} */ remoteDescription = null;
  /** @type {any} */ currentLocalDescription = null;
  /** @type {any} */ currentRemoteDescription = null;
  /** @type {any} */ onnegotiationneeded = null;
  /** @type {any} */ onicecandidate = null;
  /** @type {any} */ onconnectionstatechange = null;
  /** @type {any} */ onsignalingstatechange = null;
  /** @type {any} */ ontrack = null;
  /** @type {any} */ ondatachannel = null;
  /** @type {any} */ channel = null;
  /** @type {Array<() => void>} */
  #operations = [];
  #busy = false;
  #needed = false;
  #restart = true;
  #fragment = '';
  #version = 0;
  /** The fragments of the other side of which a candidate is known. @type {Set<string>} */
  #candidates = new Set();
  /** The association's other end, once a description has named it. */
  #fingerprint = '';
  /** The pair of fragments that the checks are about, and since when. */
  #generation = '';
  #since = 0;
  /** The duration of its checks, and of DTLS. */
  #takes = 0;
  /** True if this generation has been connected. */
  #worked = false;
  #heard = 0;

  /** @param {World} world @param {Machine} machine */
  constructor(world, machine) {
    this.world = world;
    this.machine = machine;
    world.connections += 1;
    this.own = `dtls${world.connections}`;
    machine.connections.add(this);
    if (!SimulatedConnection.#all.has(world)) SimulatedConnection.#all.set(world, new Map());
    world.after(TICK, () => this.#tick(), machine);
  }

  get pendingLocalDescription() {
    return this.signalingState === 'have-local-offer' ? this.localDescription : null;
  }

  get pendingRemoteDescription() {
    return this.signalingState === 'have-remote-offer' ? this.remoteDescription : null;
  }

  createDataChannel() {
    const channel = {
      readyState: 'connecting',
      send: (/** @type {string} */ text) => this.#sendData(text),
      onopen: /** @type {any} */ (null),
      onmessage: /** @type {any} */ (null),
      onclose: /** @type {any} */ (null),
    };
    this.channel = channel;
    this.#negotiationNeeded();
    return channel;
  }

  addTransceiver() {
    this.#negotiationNeeded();
    return { sender: { replaceTrack: async () => {} } };
  }

  restartIce() {
    this.#restart = true;
    this.#negotiationNeeded();
  }

  setConfiguration() {}

  async getStats() {
    return new Map();
  }

  async setLocalDescription() {
    await this.#operation(() => {
      const type = this.signalingState === 'have-remote-offer' ? 'answer' : 'offer';
      const asked = type === 'answer' && fragmentOf(this.remoteDescription) !== fragmentOf(this.currentRemoteDescription);
      if (this.#restart || asked) {
        this.#restart = false;
        this.#fragment = `f${(this.world.random() * 2 ** 40).toString(36)}`;
        SimulatedConnection.#all.get(this.world)?.set(this.#fragment, this);
      }
      this.#version += 1;
      this.localDescription = { type, sdp: `v=${this.#version}\r\na=ice-ufrag:${this.#fragment}\r\na=fingerprint:${this.own}\r\n` };
      this.#needed = false;
      if (type === 'answer') this.#stable();
      else this.#signaling('have-local-offer');
      this.#gather(this.#fragment);
    });
  }

  /** @param {string} usernameFragment */
  #gather(usernameFragment) {
    const candidate = { candidate: `candidate:1 1 udp 1 10.0.0.1 9 typ host ufrag ${usernameFragment}`, usernameFragment };
    this.world.after(this.world.duration(100, 3000), () => {
      if (this.signalingState === 'closed') return;
      this.onicecandidate?.({ candidate: { ...candidate, toJSON: () => candidate } });
    }, this.machine);
  }

  /** @param {{ type: string, sdp: string }} description */
  async setRemoteDescription(description) {
    await this.#operation(() => {
      const fingerprint = /fingerprint:(\S+)/.exec(description.sdp)?.[1] ?? '';
      if (this.#fingerprint !== '' && this.#fingerprint !== fingerprint) throw new Error('another fingerprint');
      if (description.type === 'offer') {
        if (this.signalingState === 'have-local-offer') {
          this.localDescription = this.currentLocalDescription;
          this.#fragment = fragmentOf(this.localDescription);
          this.#restart = true;
          this.#needed = true;
        }
        this.#signaling('have-remote-offer');
      } else if (this.signalingState !== 'have-local-offer') {
        throw new Error(`an answer in ${this.signalingState}`);
      }
      this.#fingerprint = fingerprint;
      this.remoteDescription = description;
      if (description.type === 'answer') this.#stable();
    });
  }

  /** @param {RTCIceCandidateInit} candidate */
  async addIceCandidate({ candidate, usernameFragment }) {
    await this.#operation(() => {
      if (this.remoteDescription === null) throw new Error('a candidate before any description');
      if (candidate) this.#candidates.add(usernameFragment ?? '');
    });
  }

  close() {
    if (this.signalingState === 'closed') return;
    const other = this.#other();
    this.signalingState = 'closed';
    this.connectionState = 'closed';
    this.machine.connections.delete(this);
    // The other side may learn it at once, or by silence.
    if (other === undefined || !this.world.chance(0.7) && this.world.trouble > 0) return;
    this.world.after(this.world.duration(50, 1000), () => other.#closedByOther(), other.machine);
  }

  /** Its page is gone. */
  vanish() {
    this.signalingState = 'closed';
    this.connectionState = 'closed';
    this.machine.connections.delete(this);
    this.onconnectionstatechange = this.onnegotiationneeded = this.onicecandidate = null;
    if (this.channel !== null) this.channel.onclose = this.channel.onopen = this.channel.onmessage = null;
  }

  /** The path is dead for this generation, as this side finds out. */
  break() {
    if (this.connectionState === 'connected') this.#heard = -Infinity;
  }

  /**
   * The open connection at the other end, if both are about each other.
   *
   * @returns {SimulatedConnection | undefined}
   */
  get partner() {
    const other = this.#other();
    return other !== undefined && other.signalingState !== 'closed' && other.#other() === this ? other : undefined;
  }

  #closedByOther() {
    if (this.signalingState === 'closed' || this.channel?.readyState !== 'open') return;
    this.channel.readyState = 'closed';
    this.channel.onclose?.();
  }

  #other() {
    return SimulatedConnection.#all.get(this.world)?.get(fragmentOf(this.currentRemoteDescription));
  }

  /** @param {string} text */
  #sendData(text) {
    const { partner } = this;
    if (partner === undefined) return;
    this.world.after(this.world.duration(50, 2000), () => {
      if (partner.signalingState !== 'closed' && partner.channel?.readyState === 'open') partner.channel.onmessage?.({ data: text });
    }, partner.machine);
  }

  #tick() {
    if (this.signalingState === 'closed') return;
    this.world.after(TICK, () => this.#tick(), this.machine);
    const { now } = this.world;
    const remote = fragmentOf(this.currentRemoteDescription);
    if (remote === '') return;
    const generation = `${fragmentOf(this.currentLocalDescription)} ${remote}`;
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#since = now;
      this.#takes = this.world.duration(200, 20_000);
      this.#worked = false;
    }
    const other = this.partner;
    const reaches = other !== undefined && !other.machine.stands && this.#isAbout(other);
    if (!this.#worked) return this.#check(reaches, other);
    if (reaches && this.#heard !== -Infinity) this.#heard = now;
    const silence = now - this.#heard;
    if (silence < DISCONNECTED) this.#setState('connected');
    else if (silence < FAILED) this.#setState('disconnected');
    else this.#setState('failed');
  }

  /** @param {boolean} reaches @param {SimulatedConnection | undefined} other */
  #check(reaches, other) {
    const { now } = this.world;
    if (!this.#candidates.has(fragmentOf(this.currentRemoteDescription))) return;
    if (this.connectionState === 'new') this.#setState('connecting');
    if (reaches && other?.connectionState !== 'new' && now - this.#since >= this.#takes) {
      this.#worked = true;
      this.#heard = now;
      this.#setState('connected');
      if (this.channel?.readyState === 'connecting') {
        this.channel.readyState = 'open';
        this.channel.onopen?.();
      }
    } else if (now - this.#since > CHECKS * this.world.slowness) {
      this.#setState('failed');
    }
  }

  /** Both are about the same pair of descriptions. @param {SimulatedConnection} other */
  #isAbout(other) {
    return fragmentOf(other.currentRemoteDescription) === fragmentOf(this.currentLocalDescription);
  }

  /** @param {string} state */
  #setState(state) {
    if (this.connectionState === state) return;
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  /** Operations wait for each other (WebRTC 1.0, section 4.4.1.2). @param {() => void} action */
  #operation(action) {
    return new Promise((resolve, reject) => {
      this.#operations.push(() => {
        this.world.after(this.world.duration(50, 8000), () => {
          this.#busy = false;
          // A closed connection's operations are never settled.
          if (this.signalingState === 'closed') return;
          try {
            action();
            resolve(undefined);
          } catch (error) {
            reject(error);
          }
          if (this.#needed) this.#negotiationNeeded();
          this.#work();
        }, this.machine);
      });
      this.#work();
    });
  }

  #work() {
    if (this.#busy) return;
    const operation = this.#operations.shift();
    if (operation === undefined) return;
    this.#busy = true;
    operation();
  }

  #stable() {
    this.currentLocalDescription = this.localDescription;
    this.currentRemoteDescription = this.remoteDescription;
    this.#signaling('stable');
  }

  /** @param {string} state */
  #signaling(state) {
    this.signalingState = state;
    this.world.after(0, () => this.signalingState !== 'closed' && this.onsignalingstatechange?.(), this.machine);
  }

  #negotiationNeeded() {
    this.#needed = true;
    this.world.after(0, () => {
      if (!this.#needed || this.#busy || this.#operations.length > 0 || this.signalingState !== 'stable') return;
      this.onnegotiationneeded?.();
    }, this.machine);
  }
}

/** @param {{ sdp: string } | null} description */
function fragmentOf(description) {
  return /ice-ufrag:(\S+)/.exec(description?.sdp ?? '')?.[1] ?? '';
}
