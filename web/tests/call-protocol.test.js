import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Negotiation } from '../src/call/negotiation.js';
import { Call } from '../src/index.js';
import { SignalingMessageEvent } from '../src/signaling/events.js';
import { FakeNetwork } from './support/channel.js';
import { FakePeerConnection } from './support/peer-connection.js';

const FAST = { patience: 40, disconnected: 30, polite: 40, retry: 200, sendAgain: 60, absent: 80, route: 1000 };

class FakeStream {
  getTracks() { return []; }
  addTrack() {}
  removeTrack() {}
}

/** @type {FakeNetwork} */
let network;
/** @type {Call[]} */
let calls = [];

beforeEach(() => {
  Object.assign(globalThis, { RTCPeerConnection: FakePeerConnection, MediaStream: FakeStream });
  FakePeerConnection.works = true;
  network = new FakeNetwork();
});

afterEach(() => {
  for (const call of calls.splice(0)) call.leave();
});

/** @param {string} id @param {any} [options] */
function enter(id, options = {}) {
  const channel = network.join(id);
  const call = new Call(/** @type {any} */ (channel), { timing: FAST, name: id, ...options });
  calls.push(call);
  void call.join();
  return { call, channel };
}

/** @param {() => boolean} condition @param {string} what */
async function until(condition, what) {
  for (let tries = 0; tries < 12_000; tries += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`it did not come true within a minute: ${what}`);
}

/** @param {...Call} all */
const connected = (...all) => until(
  () => all.every((call) => call.peers.size === all.length - 1 && [...call.peers.values()].every((peer) => peer.isConnected)),
  'everybody is connected to everybody',
);

/** @param {Call} call @returns {any} */
const connectionOf = (call) => [...call.peers.values()][0]?.connection;

/** A toy that binds a text to a key. @param {string} key */
function toy(key) {
  const tag = (/** @type {string} */ text) => [...key + text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 1e9, 7);
  return {
    seal: async (/** @type {string} */ text) => `${tag(text)}:${text}`,
    open: async (/** @type {string} */ sealed) => {
      const text = sealed.slice(sealed.indexOf(':') + 1);
      if (sealed !== `${tag(text)}:${text}`) throw new Error('The seal is broken.');
      return text;
    },
  };
}

/** The codes of a call's errors. @param {Call} call */
function errorsOf(call) {
  /** @type {string[]} */
  const codes = [];
  call.onerror = ({ code }) => void codes.push(code);
  return codes;
}

test('every message names the version', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  assert.ok(network.log.length > 2 && network.log.every(({ version }) => version === 2));
});

test('messages of version 1 are understood', async () => {
  network.loses = (message) => !(delete message.version);
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
});

test('sealed calls show the server nothing', async () => {
  const { call: a } = enter('a', { seal: toy('key') });
  const { call: b } = enter('b', { seal: toy('key') });
  await connected(a, b);
  for (const { from, to, ...call } of network.log) assert.deepEqual(Object.keys(call).sort(), ['sealed', 'version']);
  a.leave();
  await until(() => b.peers.size === 0, 'a is gone');
});

test('another key, or none, connects nothing', async () => {
  for (const [one, other] of [[toy('key'), toy('another')], [toy('key'), undefined], [undefined, toy('key')]]) {
    const { call: a } = enter('a', { seal: one });
    const { call: b } = enter('b', { seal: other });
    const [ofA, ofB] = [errorsOf(a), errorsOf(b)];
    await until(() => ofA.includes('seal-refused') && ofB.includes('seal-refused'), 'both refuse');
    assert.ok([a, b].every((call) => connectionOf(call)?.remoteDescription == null));
    for (const call of calls.splice(0)) call.leave();
    network = new FakeNetwork();
  }
});

test('messages in clear, and those that are sent back, do not touch a sealed call', async () => {
  const { call: a, channel } = enter('a', { seal: toy('key') });
  const { call: b, channel: other } = enter('b', { seal: toy('key') });
  await connected(a, b);
  const before = connectionOf(b);
  const errors = errorsOf(b);
  const own = network.log.find(({ from }) => from === 'b');
  channel.send({ call: { bye: true } }, 'b');
  channel.send({ call: { renew: 0 } }, 'b');
  channel.send({ call: { version: 2, sealed: own.sealed } }, 'b');
  channel.send({ call: { version: 2, sealed: 'nonsense' } }, 'b');
  await until(() => errors.length === 4, 'four refusals');
  assert.deepEqual([...new Set(errors)], ['seal-refused']);
  assert.ok(connectionOf(b) === before && b.peers.size === 1 && other.state === 'open');
});

test('on request nothing is connected before it is wanted', async () => {
  const { call: a, channel } = enter('a', { admission: 'on-request' });
  const { call: b } = enter('b');
  /** @type {any[]} */
  const signals = [];
  b.onsignal = ({ peer, data }) => void signals.push([peer, data]);
  await until(() => network.log.some(({ description }) => description?.type === 'offer'), 'the offer');
  a.signal('b', { pake: 'x' });
  await until(() => signals.length === 1, 'the signal');
  assert.deepEqual(signals, [['a', { pake: 'x' }]]);
  assert.equal(connectionOf(a), null);
  assert.ok(!network.log.some(({ from, attempt }) => from === channel.peerId && attempt !== undefined));
  const up = new Promise((resolve) => b.addEventListener('connected', resolve));
  a.connect('b');
  await connected(a, b);
  await up;
});

test('a renewal that comes twice or late does not tear a connection down', async () => {
  const { call: a, channel } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const before = connectionOf(b);
  for (const renew of [0, 0, 1, 0]) channel.send({ call: { renew } }, 'b');
  await until(() => network.log.filter(({ renew }) => renew !== undefined).length >= 4, 'they are sent');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(connectionOf(b), before);
  // Where the connection does not work any more, it is what makes another.
  FakePeerConnection.works = false;
  before.setState('failed');
  channel.send({ call: { renew: 0 } }, 'b');
  await until(() => connectionOf(b) !== before, 'another connection');
});

test('what is made for an earlier connection never names a later one', async () => {
  const original = FakePeerConnection.prototype.setLocalDescription;
  /** @type {Array<() => void>} */
  const waiting = [];
  FakePeerConnection.prototype.setLocalDescription = async function late() {
    await new Promise((resolve) => waiting.push(() => resolve(undefined)));
    return original.call(this);
  };
  try {
    const { call: b, channel } = enter('b');
    enter('a');
    await until(() => waiting.length > 0, 'the first offer is being made');
    const first = connectionOf(b);
    const begun = waiting.length;
    // A peer that asks for another connection than this one.
    first.setState('failed');
    network.channels.find(({ peerId }) => peerId === 'a')?.send({ call: { renew: 0 } }, 'b');
    await until(() => connectionOf(b) !== first && waiting.length > begun, 'the second offer is being made');
    first.signalingState = 'stable';
    for (const go of waiting) go();
    await until(() => network.log.some(({ from, description }) => from === 'b' && description?.type === 'offer'), 'an offer');
    const of = (/** @type {any} */ connection) => network.log.filter(({ description }) => description?.sdp === connection.localDescription?.sdp);
    const numbers = (/** @type {any} */ connection) => new Set(of(connection).map(({ attempt }) => attempt));
    const [early, late] = [numbers(first), numbers(connectionOf(b))];
    assert.ok(early.size > 0 && late.size > 0, 'both have sent their offers');
    for (const number of early) assert.ok(!late.has(number), 'the earlier offer names the later connection');
    assert.equal(channel.state, 'open');
  } finally {
    FakePeerConnection.prototype.setLocalDescription = original;
  }
});

/** Two negotiations whose messages the test carries. */
function pair() {
  const side = (/** @type {boolean} */ polite) => {
    const connection = new FakePeerConnection({});
    /** @type {any[]} */
    const sent = [];
    const negotiation = new Negotiation(/** @type {any} */ (connection), {
      polite,
      send: (message) => void sent.push(structuredClone(message)),
      failed: (error) => assert.fail(String(error)),
    });
    /** The next message that `is` is true for. @param {(message: any) => boolean} is */
    const next = async (is) => {
      await until(() => sent.some(is), 'a message');
      return sent.splice(sent.findIndex(is), 1)[0];
    };
    return { connection, negotiation, sent, next };
  };
  return [side(true), side(false)];
}

const isOffer = (/** @type {any} */ { description }) => description?.type === 'offer';
const isAnswer = (/** @type {any} */ { description }) => description?.type === 'answer';

test('an offer that was taken back and comes late is not applied', async () => {
  const [polite, impolite] = pair();
  impolite.connection.change();
  polite.negotiation.receive(await impolite.next(isOffer));
  impolite.negotiation.receive(await polite.next(isAnswer));
  await until(() => [polite, impolite].every(({ connection }) => connection.signalingState === 'stable'), 'they agree');
  polite.connection.change();
  const withdrawn = await polite.next(isOffer);
  impolite.connection.change();
  polite.negotiation.receive(await impolite.next(isOffer));
  const answer = await polite.next(isAnswer);
  assert.equal(answer.withdrawn, 1);
  impolite.negotiation.receive(answer);
  await until(() => impolite.connection.signalingState === 'stable', 'the answer is applied');
  const before = impolite.connection.remoteDescription;
  impolite.negotiation.receive(withdrawn);
  polite.connection.change();
  const next = await polite.next(isOffer);
  assert.equal(next.offer, 2);
  assert.equal(impolite.connection.remoteDescription, before);
  impolite.negotiation.receive(next);
  polite.negotiation.receive(await impolite.next(isAnswer));
});

test('candidates end with a notice, and only those that live are said again', async () => {
  const [polite, impolite] = pair();
  impolite.connection.change();
  polite.negotiation.receive(await impolite.next(isOffer));
  impolite.negotiation.receive(await polite.next(isAnswer));
  const live = (await polite.next(({ candidate }) => candidate !== undefined)).candidate;
  polite.connection.onicecandidate({ candidate: null });
  const end = (await polite.next(({ candidate }) => candidate?.candidate === '')).candidate;
  assert.equal(end.usernameFragment, live.usernameFragment);
  polite.connection.restartIce();
  await polite.next(isOffer);
  const dead = (await polite.next(({ candidate }) => candidate !== undefined)).candidate;
  assert.notEqual(dead.usernameFragment, live.usernameFragment);
  // The restart is taken back.
  polite.connection.signalingState = 'stable';
  polite.connection.localDescription = { type: 'answer', sdp: `a=ice-ufrag:${live.usernameFragment}\r\n` };
  polite.sent.length = 0;
  polite.negotiation.sendAgain();
  assert.deepEqual(polite.sent.map(({ candidate }) => candidate), [live, end]);
});

test('what comes late does not bring a peer back that has left, and a new connection does', async () => {
  for (const seal of [undefined, toy('key')]) {
    for (const [first, second] of [['a', 'b'], ['d', 'c']]) {
      const { call: one, channel } = enter(first, { seal });
      const { call: two, channel: other } = enter(second, { seal });
      await connected(one, two);
      const id = /** @type {string} */ (other.peerId);
      const late = network.log.filter(({ from }) => from === id).map(({ from: _from, to: _to, ...call }) => ({ call }));
      assert.ok(late.length > 0, 'an offer or an answer');
      /** @type {string[]} */
      const changes = [];
      one.onpeer = ({ change }) => change !== 'changed' && changes.push(change);
      network.loses = () => true;
      [...two.peers.values()][0].sendBye();
      await until(() => one.peers.size === 0, 'it has left');
      for (const data of late) channel.dispatchEvent(new SignalingMessageEvent(data, id));
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.deepEqual(changes, ['left']);
      // The other side has not closed its call, and makes a new connection.
      network.loses = () => false;
      await until(() => one.peers.size === 1, 'it calls again');
      await connected(one, two);
      for (const call of calls.splice(0)) call.leave();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
});
