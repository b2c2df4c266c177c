import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { WebSocket } from 'ws';
import { SignalingChannel, senderOf } from '../src/index.js';
import { FakeRelay } from './support/relay.js';

/** Short durations, so that tests are quick. */
const FAST = { open: 300, answer: 1000, firstByte: 200, silence: 100, probe: 100, acknowledge: 5, backoff: 10, backoffMax: 50 };
const TOKEN = 'a-token-that-cannot-be-guessed';

/** @type {FakeRelay} */
let relay;
/** @type {SignalingChannel[]} */
let channels = [];

beforeEach(async () => {
  /** @type {any} */ (globalThis).WebSocket = WebSocket;
  relay = await new FakeRelay().listen();
});

afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await relay.close();
});

/**
 * @param {string | null} [remote] @param {import('../src/signaling-channel.js').SignalingOptions}
 *   [options]
 */
function open(remote = TOKEN, options = {}) {
  const channel = new SignalingChannel(remote, { url: relay.url, ...options, timing: { ...FAST, ...options.timing } });
  channels.push(channel);
  return channel;
}

/**
 * @param {EventTarget} target
 * @param {string} type
 * @param {(event: any) => boolean} [wanted]
 * @returns {Promise<any>}
 */
function once(target, type, wanted = () => true) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${type} event within a minute`)), 60_000);
    target.addEventListener(type, function listener(event) {
      if (!wanted(event)) return;
      clearTimeout(timer);
      target.removeEventListener(type, listener);
      resolve(event);
    });
  });
}

/** @param {() => boolean} condition @param {string} what */
async function until(condition, what) {
  for (let tries = 0; tries < 6000; tries += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`it did not come true within a minute: ${what}`);
}

/** @param {SignalingChannel} channel @returns {any[]} */
function collect(channel) {
  /** @type {any[]} */
  const received = [];
  channel.addEventListener('message', (/** @type {any} */ event) => received.push(event.data));
  return received;
}

/** @param {number} count */
const numbers = (count) => Array.from({ length: count }, (_, index) => index);

for (const transport of /** @type {const} */ (['websocket', 'http'])) {
  test(`two peers exchange messages in order over ${transport}`, async () => {
    const [a, b] = [open(TOKEN, { transport }), open(TOKEN, { transport })];
    const received = collect(b);
    const answers = collect(a);
    for (const n of numbers(100)) a.send({ n });
    await until(() => received.length === 100, '100 messages');
    b.send({ answer: 'yes' });
    await until(() => answers.length === 1, 'the answer');
    assert.deepEqual(received, numbers(100).map((n) => ({ n })));
    assert.equal(a.transport, transport);
    await until(() => a.queued === 0, 'everything acknowledged');
  });

  test(`a message sent long before the other peer comes is delivered, over ${transport}`, async () => {
    const a = open(TOKEN, { transport });
    a.send({ early: 1 });
    await once(a, 'open');
    a.send({ early: 2 });
    const b = open(TOKEN, { transport });
    const received = collect(b);
    await until(() => received.length === 2, 'both messages');
    assert.deepEqual(received, [{ early: 1 }, { early: 2 }]);
  });

  test(`broken connections lose and double nothing over ${transport}`, async () => {
    const [a, b] = [open(TOKEN, { transport }), open(TOKEN, { transport })];
    const received = collect(b);
    await Promise.all([once(a, 'peer'), once(b, 'peer')]);
    for (const n of numbers(60)) {
      a.send(n);
      if (n % 20 === 10) {
        relay.dropConnections();
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    }
    await until(() => received.length >= 60, '60 messages');
    await until(() => a.queued === 0, 'everything acknowledged');
    assert.deepEqual(received, numbers(60));
  });

  test(`after a restart of the server the same peers find each other again over ${transport}`, async () => {
    const [a, b] = [open(TOKEN, { transport }), open(TOKEN, { transport })];
    await Promise.all([once(a, 'peer'), once(b, 'peer')]);
    const ids = [a.peerId, b.peerId];
    const received = collect(b);
    const rejoined = once(a, 'state', (event) => event.state === 'open');
    relay.restart();
    a.send('while it is away');
    a.send('for b alone', b.peerId);
    assert.equal((await rejoined).rejoined, true);
    await until(() => received.length === 2, 'the messages');
    assert.deepEqual(received, ['while it is away', 'for b alone']);
    assert.deepEqual([a.peerId, b.peerId], ids);
    await until(() => a.peers.size === 1 && b.peers.size === 1, 'each sees the other once');
  });

  test(`a refused send is sent again, in order, over ${transport}`, async () => {
    relay.refuseOnce = { code: 'rate-limited', retryAfter: 10 };
    const [a, b] = [open(TOKEN, { transport }), open(TOKEN, { transport })];
    const received = collect(b);
    const refused = once(a, 'error', (event) => event.code === 'rate-limited');
    for (const n of numbers(10)) a.send(n);
    assert.equal((await refused).retryAfter, 10);
    await until(() => received.length === 10, '10 messages');
    assert.deepEqual(received, numbers(10));
  });

  test(`close leaves the session over ${transport}`, async () => {
    const [a, b] = [open(TOKEN, { transport }), open(TOKEN, { transport })];
    await once(b, 'peer');
    const left = once(b, 'peer', (event) => event.change === 'left');
    await until(() => a.state === 'open', 'open');
    const closed = once(a, 'close');
    a.close();
    assert.equal((await closed).code, 'closed');
    assert.equal((await left).reason, 'left');
    assert.throws(() => a.send('more'), { name: 'InvalidStateError' });
  });
}

test('the listener finds the properties of the sent object on its argument', async () => {
  const [a, b] = [open(), open()];
  const event = once(b, 'message');
  a.send({ offer: { type: 'offer', sdp: 'v=0' }, type: 'not the event type', target: 1, from: 'me', data: 5, ['__proto__x']: 2 });
  const message = await event;
  assert.deepEqual(message.offer, { type: 'offer', sdp: 'v=0' });
  assert.equal(message.type, 'message');
  assert.equal(message.target, b);
  assert.equal(message.data.type, 'not the event type');
  assert.equal(message.data.data, 5);
  assert.equal(message.from, 'me');
  assert.equal(senderOf(message), a.peerId);
});

test('a message cannot reach the prototype of its event', async () => {
  const [a, b] = [open(), open()];
  const event = once(b, 'message');
  a.send(JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'));
  const message = await event;
  assert.equal(message.polluted, undefined);
  assert.equal(typeof message.constructor, 'function');
});

test('a candidate is offered under both names', async () => {
  const [a, b] = [open(), open()];
  const received = /** @type {any[]} */ ([]);
  b.onmessage = (message) => received.push(message);
  a.send({ 'new-ice-candidate': { candidate: 'x' } });
  a.send({ iceCandidate: { candidate: 'y' } });
  a.send('text');
  a.send(null);
  a.send([1, 2]);
  await until(() => received.length === 5, 'all');
  assert.deepEqual(received[0].iceCandidate, { candidate: 'x' });
  assert.deepEqual(received[1]['new-ice-candidate'], { candidate: 'y' });
  assert.deepEqual(received.slice(2).map((message) => message.data), ['text', null, [1, 2]]);
  assert.equal(received[4][0], undefined);
});

test('what arrives before the first listener waits for it, and for those added in the same task', async () => {
  const [a, b] = [open(), open()];
  a.send({ n: 1 });
  a.send({ n: 2 });
  await until(() => a.queued === 0 && b.peers.size === 1, 'sent');
  await new Promise((resolve) => setTimeout(resolve, 30));
  const first = collect(b);
  const second = collect(b);
  assert.equal(first.length, 0);
  await until(() => second.length === 2, 'delivered');
  assert.deepEqual(first, [{ n: 1 }, { n: 2 }]);
});

test('clients meet by id', async () => {
  const waiting = open(null, { clientId: 'anna' });
  await once(waiting, 'open');
  const asking = open('@anna', { clientId: 'bert' });
  const received = collect(waiting);
  asking.send('hello');
  await until(() => received.length === 1, 'the greeting');
  assert.deepEqual([...waiting.peers.values()], [{ id: 'bert' }]);
  assert.equal(waiting.clientId, 'anna');
  assert.equal(waiting.session, null);
});

test('the server makes a token, and the channel comes back to that session', async () => {
  const a = open('', { create: true });
  await once(a, 'open');
  const token = a.session;
  assert.match(String(token), /^[\w-]{22}$/);
  relay.restart();
  await once(a, 'state', (event) => event.state === 'open');
  assert.equal(a.session, token);
  assert.deepEqual(relay.log.filter((each) => ['create', 'resume', 'join'].includes(each)), ['create', 'resume', 'join']);
});

for (const way of /** @type {const} */ (['refuse', 'hang', 'absent', 'throws'])) {
  test(`where WebSockets are blocked (${way}) the channel opens over HTTP, and stays there`, async () => {
    const world = /** @type {any} */ (globalThis);
    if (way === 'absent') world.WebSocket = undefined;
    else if (way === 'throws') world.WebSocket = class { constructor() { throw new Error('blocked'); } };
    else relay.webSockets = way;
    const a = open();
    await once(a, 'open');
    assert.equal(a.transport, 'http');
    const b = open(TOKEN, { transport: 'http' });
    const received = collect(b);
    a.send(1);
    await until(() => received.length === 1, 'the message');
    relay.dropConnections();
    a.send(2);
    await until(() => received.length === 2, 'the message after the break');
    // What was said may be there before the way back is open again.
    await until(() => a.transport !== null, 'the transport after the break');
    assert.equal(a.transport, 'http');
  });
}

test('a membership moves from one transport to the other', async () => {
  const [a, b] = [open(), open()];
  const received = collect(b);
  a.send(1);
  await until(() => received.length === 1, 'over WebSocket');
  relay.webSockets = 'refuse';
  relay.dropConnections();
  a.send(2);
  await until(() => received.length === 2, 'over HTTP');
  a.send(3);
  await until(() => received.length === 3, 'over HTTP again');
  assert.deepEqual(received, [1, 2, 3]);
  assert.equal(b.transport, 'http');
  assert.equal(relay.log.filter((each) => each === 'join').length, 2);
});

test('a connection that died silently is noticed and replaced', async () => {
  const a = open();
  await once(a, 'open');
  relay.deaf = true;
  await once(a, 'state', (event) => event.state === 'reconnecting');
  relay.deaf = false;
  await until(() => a.state === 'open', 'open again');
});

test('a final refusal closes the channel with its code and sentence', async () => {
  relay.refuseEntry = { code: 'session-full', message: 'The session is full.' };
  const a = open();
  const refused = once(a, 'error');
  const closed = await once(a, 'close');
  assert.equal((await refused).fatal, true);
  assert.equal(closed.code, 'session-full');
  assert.equal(closed.reason, 'The session is full.');
  assert.equal(a.state, 'closed');
});

test('a refusal for now is tried again when the server says so', async () => {
  relay.refuseEntry = { code: 'too-many-joins', message: 'Wait.', retryAfter: 150 };
  const a = open();
  const error = await once(a, 'error');
  assert.equal(error.retryAfter, 150);
  assert.equal(error.fatal, false);
  const refused = Date.now();
  relay.refuseEntry = null;
  await once(a, 'open');
  assert.ok(Date.now() - refused >= 140);
});

test('a client id that is taken for now is asked for again', async () => {
  relay.refuseEntry = { code: 'id-taken', message: 'Another client is reachable under this id.', retryAfter: 50 };
  const a = open(null, { clientId: 'desk' });
  const error = await once(a, 'error');
  assert.deepEqual([error.code, error.fatal], ['id-taken', false]);
  relay.refuseEntry = null;
  await once(a, 'open');
  // A server that gives no time to try again means it for good.
  relay.refuseEntry = { code: 'id-taken', message: 'Another client is reachable under this id.' };
  const closed = await once(open(null, { clientId: 'other' }), 'close');
  assert.equal(closed.code, 'id-taken');
});

test('a page with a fixed client id is the same peer after a reload, and a duplicate is another', async () => {
  const page = new EventTarget();
  /** @type {Map<string, string>} */
  const store = new Map();
  Object.assign(globalThis, {
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
    sessionStorage: {
      getItem: (/** @type {string} */ key) => store.get(key) ?? null,
      setItem: (/** @type {string} */ key, /** @type {string} */ value) => void store.set(key, value),
      removeItem: (/** @type {string} */ key) => void store.delete(key),
    },
  });
  try {
    const before = open(null, { clientId: 'desk' });
    await once(before, 'open');
    page.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }));
    assert.equal(before.state, 'closed');
    const after = open(null, { clientId: 'desk' });
    await once(after, 'open');
    assert.equal(after.peerId, before.peerId);
    assert.equal(store.size, 0);
    const duplicate = open(null, { clientId: 'desk' });
    await once(duplicate, 'open');
    assert.notEqual(duplicate.peerId, after.peerId);
  } finally {
    for (const name of ['addEventListener', 'removeEventListener', 'sessionStorage']) Reflect.deleteProperty(globalThis, name);
  }
});

test('an unreachable server is told once per attempt, and found when it comes', async () => {
  const { port } = relay;
  await relay.close();
  const a = open();
  assert.equal((await once(a, 'error')).code, 'unreachable');
  assert.equal(a.state, 'connecting');
  relay = await new FakeRelay().listen(port);
  await once(a, 'open');
});

test('a server that goes away is told, and the channel finds its successor', async () => {
  const a = open();
  await once(a, 'open');
  const told = once(a, 'error');
  for (const socket of relay.sockets.clients) socket.send('{"type":"going-away","after":20}');
  assert.equal((await told).code, 'going-away');
  await once(a, 'state', (event) => event.state === 'open');
});

test('a message larger than the limit is refused here, and the rest goes on', async () => {
  relay.messageBytes = 1000;
  const [a, b] = [open(), open()];
  const received = collect(b);
  const refused = once(a, 'error');
  a.send('x'.repeat(2000));
  a.send('small');
  assert.equal((await refused).code, 'message-too-large');
  await until(() => received.length === 1, 'the small one');
});

test('the queue is bounded, and says so', async () => {
  const a = open();
  for (const n of numbers(1024)) a.send(n);
  assert.throws(() => a.send('one more'), { name: 'QuotaExceededError' });
  assert.throws(() => a.send(undefined), TypeError);
});

test('fresh ICE servers come on request', async () => {
  const a = open();
  await once(a, 'open');
  const before = a.iceServers;
  const after = await a.refreshIceServers();
  assert.equal(a.iceServers, after);
  assert.notDeepEqual(after, before);
  assert.ok(a.iceServersExpire.getTime() > Date.now());
});

test('ICE servers that come are announced', async () => {
  const a = open();
  await once(a, 'open');
  const announced = once(a, 'iceservers');
  void a.refreshIceServers();
  await announced;
});

test('the join key is sent, and a wrong one ends the channel', async () => {
  relay.joinKey = 'sesame';
  for (const [joinKey, code] of [[undefined, 'key-required'], ['guess', 'wrong-key']]) {
    const refused = open(TOKEN, { joinKey });
    const closed = await once(refused, 'close');
    assert.equal(closed.code, code);
  }
  await once(open(TOKEN, { joinKey: 'sesame' }), 'open');
});

test('a gap in the numbers is filled', async () => {
  const [a, b] = [open(), open()];
  const received = collect(b);
  await until(() => a.peers.size === 1, 'the peer');
  relay.losesSends = 1;
  for (const n of numbers(30)) a.send(n);
  await until(() => received.length >= 30, '30 messages');
  assert.deepEqual(received, numbers(30));
  assert.ok(relay.log.filter((each) => each === 'send').length <= 61);
});

test('online makes a waiting channel connect at once', async () => {
  const world = /** @type {any} */ (globalThis);
  const page = new EventTarget();
  world.addEventListener = page.addEventListener.bind(page);
  world.removeEventListener = page.removeEventListener.bind(page);
  try {
    const { port } = relay;
    await relay.close();
    const a = open(TOKEN, { timing: { backoff: 60000, backoffMax: 60000 } });
    await once(a, 'error');
    relay = await new FakeRelay().listen(port);
    page.dispatchEvent(new Event('online'));
    await once(a, 'open');
    const closed = once(a, 'close');
    page.dispatchEvent(new Event('pagehide'));
    await closed;
  } finally {
    delete world.addEventListener;
    delete world.removeEventListener;
  }
});

test('a server that answers later than a connection may take is entered all the same', async () => {
  for (const transport of /** @type {const} */ (['auto', 'websocket', 'http'])) {
    relay.delay = 250;
    const channel = open(TOKEN, { transport, timing: { answer: 50, request: 50 } });
    await once(channel, 'open');
    relay.delay = 0;
    channel.close();
  }
});
