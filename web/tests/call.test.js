import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Call } from '../src/index.js';
import { FakeNetwork } from './support/channel.js';
import { FakePeerConnection } from './support/peer-connection.js';

const FAST = { patience: 40, disconnected: 30, polite: 40, retry: 200, sendAgain: 60, absent: 80, route: 1000 };

class FakeStream {
  /** @type {any[]} */
  #tracks = [];
  getTracks() { return this.#tracks; }
  /** @param {any} track */
  addTrack(track) { this.#tracks.push(track); }
  /** @param {any} track */
  removeTrack(track) { this.#tracks = this.#tracks.filter((each) => each !== track); }
}

/** @type {FakeNetwork} */
let network;
/** @type {Call[]} */
let calls = [];

beforeEach(() => {
  Object.assign(globalThis, { RTCPeerConnection: FakePeerConnection, MediaStream: FakeStream });
  FakePeerConnection.works = true;
  FakePeerConnection.created = 0;
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

const pause = (/** @type {number} */ time) => new Promise((resolve) => setTimeout(resolve, time));

/** @param {...Call} all */
const connected = (...all) => until(
  () => all.every((call) => call.peers.size === all.length - 1 && [...call.peers.values()].every((peer) => peer.isConnected)),
  'everybody is connected to everybody',
);

/** @param {Call} call @param {string} [id] @returns {any} */
const connectionOf = (call, id) => (id === undefined ? [...call.peers.values()][0] : call.peers.get(id))?.connection;

test('two peers connect in either order without a collision', async () => {
  for (const [first, second] of [['a', 'b'], ['d', 'c']]) {
    const { call: one } = enter(`${first}`);
    const { call: two } = enter(`${second}`);
    await connected(one, two);
    assert.ok(!connectionOf(one).log.includes('rollback') && !connectionOf(two).log.includes('rollback'));
    assert.equal(one.state, 'in-call');
    one.leave();
    two.leave();
    await pause(10);
  }
});

test('a mesh of four has one connection per pair', async () => {
  const all = ['a', 'b', 'c', 'd'].map((id) => enter(id).call);
  await connected(...all);
  assert.equal(FakePeerConnection.created, 12);
});

test('both sides may change something at once, again and again', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const [one, two] = [connectionOf(a), connectionOf(b)];
  // Both ended with the same pair of descriptions.
  const agree = () => [one, two].every((each) => each.signalingState === 'stable')
    && one.localDescription.sdp === two.remoteDescription.sdp && two.localDescription.sdp === one.remoteDescription.sdp;
  for (let round = 0; round < 24; round += 1) {
    // Once they are at rest, a change on both sides in the same moment is a collision for certain.
    if (round % 8 === 0) await until(agree, `they agree before round ${round}`);
    one.change();
    two.change();
    await pause(round % 8);
  }
  await until(agree, 'they agree in the end');
  assert.ok(one.log.includes('rollback') || two.log.includes('rollback'), 'there were collisions');
});

test('leaving and renewing close connections, never data channels one by one', async () => {
  // Chromium cannot close 580 channels of a connection at once; closing the connection has no such
  // bound.
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const first = [connectionOf(a), connectionOf(b)];
  // The other side's page has gone and come back: both make a new connection.
  first[0].close();
  await until(() => [a, b].every((call) => connectionOf(call) && !first.includes(connectionOf(call))), 'it is made anew');
  await connected(a, b);
  const second = [connectionOf(a), connectionOf(b)];
  a.leave();
  b.leave();
  await until(() => [...first, ...second].every((each) => each.connectionState === 'closed'), 'all are closed');
  for (const each of [...first, ...second]) assert.ok(!each.log.includes('close channel'));
});

test('only the polite side takes its offer back', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  for (let round = 0; round < 10; round += 1) {
    connectionOf(a).change();
    connectionOf(b).change();
    await pause(15);
  }
  assert.ok(!connectionOf(b).log.includes('rollback'), 'b, whose id is greater, is impolite');
});

test('lost offers, answers and candidates are said again', async () => {
  for (const kind of ['offer', 'answer', 'candidate']) {
    let left = 2;
    network.loses = (message) => {
      const isIt = kind === 'candidate' ? message.candidate !== undefined : message.description?.type === kind;
      return isIt && left-- > 0;
    };
    const { call: a } = enter(`a ${kind}`);
    const { call: b } = enter(`b ${kind}`);
    await connected(a, b);
    a.leave();
    b.leave();
    await pause(10);
  }
});

test('a restart of the server does not touch connections that are up', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const before = [connectionOf(a), connectionOf(b)];
  /** @type {string[]} */
  const changes = [];
  a.addEventListener('peer', (/** @type {any} */ event) => event.change !== 'changed' && changes.push(event.change));
  network.stop();
  await pause(100);
  assert.equal(a.peers.size, 1);
  await network.restart();
  await pause(150);
  assert.deepEqual([connectionOf(a), connectionOf(b)], before);
  assert.deepEqual(changes, []);
  assert.ok(!before[0].log.includes('restartIce'));
});

test('a restart of the server in the middle of connecting is survived', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await pause(4);
  network.stop();
  await pause(20);
  await network.restart();
  await connected(a, b);
});

test('ICE restarts after failed, with fresh credentials set before', async () => {
  const { call: a, channel } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  connectionOf(b).setState('failed');
  connectionOf(a).setState('failed');
  await connected(a, b);
  assert.ok(channel.refreshed <= 1);
  const { log, configuration } = connectionOf(b);
  assert.ok(log.indexOf('setConfiguration') >= 0 && log.indexOf('setConfiguration') < log.indexOf('restartIce'));
  assert.match(configuration.iceServers[0].username, /^fresh/);
  assert.equal(log.filter((/** @type {string} */ each) => each === 'restartIce').length, 1);
});

test('a short interruption is waited out, a longer one is not', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  connectionOf(b).setState('disconnected');
  await pause(10);
  connectionOf(b).setState('connected');
  await pause(60);
  assert.ok(!connectionOf(b).log.includes('restartIce'));
  connectionOf(b).setState('disconnected');
  await until(() => connectionOf(b).log.includes('restartIce'), 'the restart');
});

test('another network restarts ICE', async () => {
  const page = new EventTarget();
  Object.assign(globalThis, { addEventListener: page.addEventListener.bind(page), removeEventListener: page.removeEventListener.bind(page) });
  try {
    const { call: a } = enter('a');
    const { call: b } = enter('b');
    await connected(a, b);
    page.dispatchEvent(new Event('online'));
    await until(() => connectionOf(a).log.includes('restartIce'), 'the restart');
    await connected(a, b);
  } finally {
    delete (/** @type {any} */ (globalThis).addEventListener);
    delete (/** @type {any} */ (globalThis).removeEventListener);
  }
});

test('when restarts do not help, the connection is made anew', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const before = connectionOf(a);
  FakePeerConnection.works = false;
  connectionOf(a).setState('failed');
  connectionOf(b).setState('failed');
  await until(() => connectionOf(a) !== before && connectionOf(a) !== undefined, 'a new one');
  FakePeerConnection.works = true;
  await connected(a, b);
});

test('a description that cannot be applied leads to a new connection', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const before = connectionOf(b);
  connectionOf(a).setRemoteDescription = async () => { throw new Error('no'); };
  const error = new Promise((resolve) => a.addEventListener('error', resolve));
  connectionOf(b).change();
  assert.equal(/** @type {any} */ (await error).code, 'negotiation-failed');
  await until(() => connectionOf(b) !== before, 'a new one');
  await connected(a, b);
});

test('who hangs up is gone at once', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  b.leave();
  await until(() => a.peers.size === 0, 'b is gone');
  assert.equal(a.state, 'waiting');
  assert.equal(b.state, 'ended');
});

test('peer-left does not end a connection that is up, and an end of the connection then does', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  network.leave('b', 'left');
  await pause(120);
  assert.equal(a.peers.size, 1);
  connectionOf(a).setState('disconnected');
  await until(() => a.peers.size === 0, 'b is gone');
});

test('a peer that vanished is kept for a while, and comes back as the same', async () => {
  const { call: a, channel } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const peer = a.peers.get('b');
  channel.went('b', 'timeout');
  connectionOf(a).setState('disconnected');
  await pause(40);
  channel.came('b');
  assert.equal(a.peers.get('b'), peer);
  await connected(a, b);
  network.loses = () => true;
  // What is still on its way from the restart before would connect them once more.
  await pause(50);
  channel.went('b', 'timeout');
  connectionOf(a).setState('disconnected');
  await until(() => a.peers.size === 0, 'it is gone when it does not come back');
});

test('a reloaded peer is a new one, and the old one goes', async () => {
  const { call: a } = enter('a');
  const { call: b } = enter('b1');
  await connected(a, b);
  b.leave();
  const { call: again } = enter('b2');
  await connected(a, again);
  assert.deepEqual([...a.peers.keys()], ['b2']);
});

test('a second call on the same channel reaches the same peers', async () => {
  for (const [first, second] of [['a', 'b'], ['d', 'c']]) {
    const { call: one, channel } = enter(`${first}`);
    const { call: two } = enter(`${second}`);
    await connected(one, two);
    connectionOf(one).close();
    const again = new Call(/** @type {any} */ (channel), { timing: FAST });
    calls.push(again);
    void again.join();
    await until(() => again.peers.size === 1 && connectionOf(again)?.connectionState === 'connected', 'connected again');
    again.leave();
    one.leave();
    two.leave();
    await pause(10);
  }
});

test('names, microphone, camera and chat go directly', async () => {
  const { call: a } = enter('a', { name: 'Ada' });
  const { call: b } = enter('b');
  /** @type {string[]} */
  const heard = [];
  b.onchat = ({ peer, text }) => heard.push(`${peer.name}: ${text}`);
  await until(() => a.peers.size === 1, 'b is there');
  a.sendChat('before the connection is up');
  await connected(a, b);
  a.sendChat('after');
  await until(() => heard.length === 2, 'both messages');
  assert.deepEqual(heard, ['Ada: before the connection is up', 'Ada: after']);
  await a.setTrack('audio', /** @type {any} */ ({ kind: 'audio', enabled: true }));
  await until(() => b.peers.get('a')?.microphone === true, 'the microphone');
  a.setMicrophoneEnabled(false);
  await until(() => b.peers.get('a')?.microphone === false, 'the mute');
  assert.ok(!network.log.some((message) => JSON.stringify(message).includes('after')));
});

test('tracks come, change and go on both sides without negotiating', async () => {
  const { call: a } = enter('a', { stream: { getTracks: () => [{ kind: 'audio', enabled: true, early: true }] } });
  const { call: b } = enter('b');
  await connected(a, b);
  await pause(60);
  const before = network.log.length;
  for (const call of [a, b]) {
    await call.setTrack('video', /** @type {any} */ ({ kind: 'video', enabled: true }));
    await call.setTrack('video', null);
    await call.setTrack('video', /** @type {any} */ ({ kind: 'video', enabled: true, another: true }));
  }
  await pause(40);
  assert.equal(network.log.length, before);
  for (const call of [a, b]) {
    const { transceivers } = connectionOf(call);
    assert.deepEqual(transceivers.map((/** @type {any} */ { kind, direction }) => [kind, direction]), [['audio', 'sendrecv'], ['video', 'sendrecv']]);
    assert.equal(transceivers[1].sender.track.another, true);
  }
  assert.equal(connectionOf(a).transceivers[0].sender.track.early, true);
  assert.equal(b.peers.get('a')?.stream?.getTracks().length, 2);
});

test('nonsense from a peer is ignored', async () => {
  const { call: a, channel } = enter('a');
  const { call: b } = enter('b');
  await connected(a, b);
  const before = connectionOf(b);
  for (const call of [5, null, [], {}, { attempt: 'x' }, { attempt: -1, description: 7 }, { renew: 'x' }, { attempt: 1e300 }, { candidate: 3 }]) {
    channel.send({ call }, 'b');
  }
  await pause(50);
  assert.equal(connectionOf(b), before);
  assert.equal(b.peers.size, 1);
});

test('a call that waits renews its credentials before they end', async () => {
  const channel = network.join('a');
  channel.iceServersExpire = new Date(Date.now() + 400);
  const call = new Call(/** @type {any} */ (channel), { timing: FAST });
  calls.push(call);
  await call.join();
  await pause(50);
  assert.equal(channel.refreshed, 0);
  await until(() => channel.refreshed === 1, 'the credentials are renewed');
  const { call: other } = enter('b');
  await connected(call, other);
  const [peer] = [...call.peers.values()];
  assert.equal(configurationOf(peer).iceServers[0].username, 'fresh 1');
});

test('credentials that come unasked are given to every connection', async () => {
  const { call, channel } = enter('a');
  const { call: other } = enter('b');
  await connected(call, other);
  channel.offer('of late');
  const [peer] = [...call.peers.values()];
  assert.equal(configurationOf(peer).iceServers[0].username, 'of late');
});

/** The configuration of a peer's connection. @param {any} peer */
function configurationOf(peer) {
  return peer.connection.configuration;
}
