// Bad input to signaling: each has its clear answer, and other clients do not notice.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Bystander, BYSTANDER_PEER } from '../scenarios/bystander.js';
import { request, SocketClient } from '../peers/signaling-client.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { Server } from '../lab/server.js';

const SECRET = 'bad-signaling';
const KIB = 1024;

/** Milliseconds that a client which was put out has to read the server's last words. */
const FAREWELL = 2000;

describe('bad signaling', { timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;
  /** @type {Bystander} */ let bystander;
  let session = 0;

  before(async () => {
    const limits = ['--joins-per-minute', '60', '--peer-buffer', '1MiB', '--messages-per-second', '2000', '--message-burst', '2000'];
    server = await Server.start({ args: ['--turn-secret', SECRET, '--allow-peer', BYSTANDER_PEER, ...limits] });
    bystander = await Bystander.arrive(server, SECRET);
  });
  after(async () => {
    bystander?.leave();
    await server?.stop();
  });

  /** Joins a new session, over WebSocket. @param {object} [join] */
  const joined = (join = {}) => SocketClient.join(server.webSocket, { session: `bad-${++session}`, ...join });

  /** The connection still carries messages. @param {SocketClient} client */
  async function stillServed(client) {
    client.sendMessage({ type: 'ping' });
    await client.next('pong');
  }

  /** Joins over HTTP. */
  async function joinedOverHttp() {
    const body = JSON.stringify({ type: 'join', session: `bad-${++session}` });
    const { status, json } = await request(server.origin, 'POST', '/v1/signal', { body });
    assert.equal(status, 201);
    return `${json.peer}.${json.secret}`;
  }

  /** A sentence for a person. @param {any} error */
  function saysWhy(error) {
    assert.match(error.message, /^\S+( \S+){2,}$/, 'an error says in words what was wrong');
  }

  for (const [what, text] of [
    ['malformed JSON', '{"type":'],
    ['JSON that is not an object', '[1]'],
  ]) {
    it(`${what} is answered with bad-json`, async () => {
      const client = await joined();
      client.socket.send(text);
      const error = await client.next('error');
      assert.deepEqual([error.code, error.fatal], ['bad-json', false]);
      saysWhy(error);
      await stillServed(client);
      client.close();
      const entering = await request(server.origin, 'POST', '/v1/signal', { body: text });
      assert.deepEqual([entering.status, entering.json?.code], [400, 'bad-json']);
      await bystander.works();
    });
  }

  it('malformed JSON over HTTP leaves the membership as it was', async () => {
    const credential = await joinedOverHttp();
    const bad = await request(server.origin, 'POST', '/v1/signal/messages', { body: '{"type":', credential });
    assert.deepEqual([bad.status, bad.json?.code], [400, 'bad-json']);
    const good = await request(server.origin, 'POST', '/v1/signal/messages', { body: '{"type":"ping"}', credential });
    assert.equal(good.status, 200);
    await bystander.works();
  });

  it('an unknown type is answered with unknown-type', async () => {
    const client = await joined();
    client.sendMessage({ type: 'dance' });
    const error = await client.next('error');
    assert.deepEqual([error.code, error.fatal], ['unknown-type', false]);
    saysWhy(error);
    await stillServed(client);
    client.close();
    const credential = await joinedOverHttp();
    const body = '{"type":"dance"}';
    const answer = await request(server.origin, 'POST', '/v1/signal/messages', { body, credential });
    assert.deepEqual([answer.status, answer.json?.code], [400, 'unknown-type']);
    await bystander.works();
  });

  it('a missing field is named', async () => {
    const client = await joined();
    client.sendMessage({ type: 'send', data: 1 });
    const error = await client.next('error');
    assert.equal(error.code, 'bad-message');
    assert.match(error.message, /seq/);
    await stillServed(client);
    client.close();
  });

  it('a message that is too large is refused, and the next one goes through', async () => {
    const name = `large-${++session}`;
    const [client, other] = [await joined({ session: name }), await joined({ session: name })];
    client.say('x'.repeat(300 * KIB));
    const error = await client.next('error');
    assert.deepEqual([error.code, error.fatal, error.seq], ['message-too-large', false, 1]);
    saysWhy(error);
    client.say('small');
    assert.equal((await other.next('message')).data, 'small');
    await bystander.works();
    client.close();
    other.close();
  });

  it('a frame that is too large to be read ends the connection with 1009', async () => {
    const client = await joined();
    client.socket.send('x'.repeat(600 * KIB));
    assert.equal((await client.ended()).code, 1009);
    const credential = await joinedOverHttp();
    const body = JSON.stringify({ type: 'send', seq: 1, data: 'x'.repeat(600 * KIB) });
    const answer = await request(server.origin, 'POST', '/v1/signal/messages', { body, credential });
    assert.deepEqual([answer.status, answer.json?.code], [413, 'message-too-large']);
    await bystander.works();
  });

  it('a binary frame ends the connection with 1003', async () => {
    const client = await joined();
    client.socket.send(Buffer.from([1, 2, 3]));
    assert.equal((await client.next('error')).code, 'binary-frame');
    assert.deepEqual(await client.ended(), { code: 1003, reason: 'binary-frame' });
    await bystander.works();
  });

  it('a wrong resume secret is refused, and the owner of the membership stays', async () => {
    const owner = await joined();
    const { peer } = owner.joined;
    const thief = await SocketClient.connect(server.webSocket);
    thief.sendMessage({ type: 'resume', peer, secret: 'A'.repeat(22), seq: 0 });
    const error = await thief.next('error');
    assert.equal(error.code, 'wrong-secret');
    saysWhy(error);
    const credential = `${peer}.${'A'.repeat(22)}`;
    const polled = await request(server.origin, 'GET', '/v1/signal/events?after=0&wait=0', { credential });
    assert.deepEqual([polled.status, polled.json?.code], [401, 'wrong-secret']);
    await stillServed(owner);
    await bystander.works();
    thief.close();
    owner.close();
  });

  it('a message before joining, and a second join, are refused', async () => {
    const client = await SocketClient.connect(server.webSocket);
    client.sendMessage({ type: 'send', seq: 1, data: 1 });
    assert.equal((await client.next('error')).code, 'not-joined');
    client.close();
    const member = await joined();
    member.sendMessage({ type: 'join', session: 'another' });
    assert.equal((await member.next('error')).code, 'already-joined');
    member.close();
    const answer = await request(server.origin, 'POST', '/v1/signal/messages', { body: '{"type":"ping"}' });
    assert.deepEqual([answer.status, answer.json?.code], [401, 'not-joined']);
  });

  it('a page of another origin is refused', async () => {
    const headers = { origin: 'https://elsewhere.example' };
    const answer = await request(server.origin, 'POST', '/v1/signal', { body: '{"type":"create"}', headers });
    assert.deepEqual([answer.status, answer.json?.code], [403, 'origin-not-allowed']);
    await assert.rejects(SocketClient.connect(server.webSocket, { origin: headers.origin }), /403/);
    await assert.rejects(SocketClient.connect(server.webSocket, { protocol: null }), /400/);
  });

  it('a slow reader is put out with a reason, and holds no other client up', async () => {
    const name = `slow-${++session}`;
    const [sender, observer, slow] = [
      await joined({ session: name }),
      await joined({ session: name }),
      await joined({ session: name }),
    ];
    const { peer, secret } = slow.joined;
    slow.socket.pause();
    const start = performance.now();
    // Far more than the server's buffer and both kernels' buffers together.
    for (let count = 0; count < 100; count++) sender.say('x'.repeat(200 * KIB), peer);
    const left = await observer.next('peer-left');
    assert.deepEqual([left.peer, left.reason], [peer, 'too-slow']);
    // It learns why, if it reads on before the server's timeout for its last words is over; on a
    // starved machine it may not.
    slow.socket.resume();
    const end = await slow.ended();
    const isLate = performance.now() - start > FAREWELL && end.code === 1006;
    if (!isLate) assert.deepEqual(end, { code: 1008, reason: 'too-slow' });
    await bystander.works();
    sender.say('still here', observer.joined.peer);
    assert.equal((await observer.next('message')).data, 'still here');
    const back = await SocketClient.connect(server.webSocket);
    back.sendMessage({ type: 'resume', peer, secret, seq: 0 });
    assert.equal((await back.next('error')).code, 'resume-expired');
    for (const client of [sender, observer, back]) client.close();
  });

  it('a thousand joins from one address are limited for that address alone', async () => {
    const from = '127.7.7.7';
    const body = '{"type":"create"}';
    /** @type {Record<number, number>} */
    const answers = {};
    const start = performance.now();
    for (let round = 0; round < 20; round++) {
      const wave = Array.from({ length: 50 }, () => request(server.origin, 'POST', '/v1/signal', { body, from }));
      for (const { status, json, headers } of await Promise.all(wave)) {
        answers[status] = (answers[status] ?? 0) + 1;
        if (status !== 429) continue;
        assert.equal(json.code, 'too-many-joins');
        assert.ok(Number(headers['retry-after']) > 0, 'it says when to come again');
      }
    }
    assert.deepEqual(Object.keys(answers), ['201', '429']);
    // 60 a minute, and what the bucket regained meanwhile.
    const regained = (performance.now() - start) / 1000;
    assert.ok(answers[201] >= 60 && answers[201] <= 61 + regained, `${answers[201]} joins let in, ${regained} regained`);
    const elsewhere = await request(server.origin, 'POST', '/v1/signal', { body, from: '127.7.7.8' });
    assert.equal(elsewhere.status, 201);
    await bystander.works();
  });

  it('never logs what peers say, nor their tokens', () => {
    assert.doesNotMatch(server.log, /still here|xxxxxxxx|bad-\d|bystander-\d/);
  });
});
