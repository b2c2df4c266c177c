// Bad input to STUN and TURN: each has its clear answer or none, and other clients do not notice.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Bystander, BYSTANDER_PEER } from '../scenarios/bystander.js';
import { ATTRIBUTE, attribute, build, CLASS, errorCode, METHOD, parse, restUser, StunClient, UDP } from '../peers/stun-client.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { Server } from '../lab/server.js';

const SECRET = 'bad-stun';

describe('bad STUN and TURN', { timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;
  /** @type {Bystander} */ let bystander;
  /** @type {StunClient[]} */ const clients = [];
  let network = 0;

  before(async () => {
    server = await Server.start({ args: ['--turn-secret', SECRET, '--allow-peer', BYSTANDER_PEER] });
    bystander = await Bystander.arrive(server, SECRET);
  });
  after(async () => {
    clients.forEach((client) => client.close());
    bystander?.leave();
    await server?.stop();
  });

  /** A client in a network of its own: answers to strangers are limited per network. */
  async function client() {
    const opened = await StunClient.open(server.address, server.ports.stun, `127.${++network}.1.1`);
    clients.push(opened);
    return opened;
  }

  /** Everything that has come, after some time for more. @param {StunClient} from */
  async function answers(from) {
    const all = [];
    for (;;) {
      const next = await from.receive(() => true, 100);
      if (!next) return all;
      all.push(next);
    }
  }

  const allocate = (/** @type {StunClient} */ { credential }) =>
    build(METHOD.allocate, CLASS.request, [UDP], { credential, fingerprint: true });

  it('garbage at the STUN port is not answered', async () => {
    const stranger = await client();
    for (let count = 0; count < 3000; count++) {
      const garbage = randomBytes(Math.floor(Math.random() * 1400));
      if (garbage.length > 0) garbage[0] = count; // every kind of first byte
      stranger.send(garbage);
      if (count % 100 === 0) await new Promise(setImmediate);
    }
    // What is sent later is answered later: all answers to what came before are here then.
    const answer = await stranger.ask(build(METHOD.binding, CLASS.request));
    assert.equal(answer?.class, CLASS.success);
    assert.deepEqual(await answers(stranger), []);
    await bystander.works();
  });

  it('truncated STUN is not answered', async () => {
    const user = await client();
    await user.challenge(restUser(SECRET));
    const whole = allocate(user);
    for (let length = 0; length < whole.length; length++) user.send(whole.subarray(0, length));
    const answer = await user.ask(whole);
    assert.equal(answer?.class, CLASS.success);
    assert.deepEqual(await answers(user), []);
    await bystander.works();
  });

  it('bit-flipped STUN never succeeds', async () => {
    const user = await client();
    await user.challenge(restUser(SECRET));
    const request = () => build(METHOD.allocate, CLASS.request, [UDP], { credential: user.credential });
    const good = request();
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good);
      bad[bit >> 3] ^= 1 << (bit & 7);
      user.send(bad);
      if (bit % 50 === 0) await new Promise(setImmediate);
    }
    // In a transaction of its own: the answer to a flipped one could be taken for its answer.
    const answer = await user.ask(request());
    assert.equal(answer?.class, CLASS.success);
    for (const bytes of await answers(user)) {
      const message = parse(bytes);
      assert.ok(message, 'what comes back is STUN');
      // A request whose method the flip turned into Binding needs no credentials.
      if (message.method === METHOD.binding) continue;
      assert.equal(message.class, CLASS.error);
      assert.ok([400, 401, 420, 438].includes(errorCode(message)), `answered with ${errorCode(message)}`);
    }
    await bystander.works();
  });

  it('an allocation without authentication is challenged', async () => {
    const stranger = await client();
    const answer = await stranger.ask(build(METHOD.allocate, CLASS.request, [UDP]));
    assert.ok(answer);
    assert.equal(errorCode(answer), 401);
    assert.ok(attribute(answer, ATTRIBUTE.realm));
    assert.ok(attribute(answer, ATTRIBUTE.nonce));
    assert.equal(attribute(answer, ATTRIBUTE.relayedAddress), undefined);
    await bystander.works();
  });

  for (const [what, user] of [
    ['a wrong password', { ...restUser(SECRET), password: 'guessed' }],
    ['a user of another secret', restUser('not the secret')],
    ['an expired user', restUser(SECRET, 'test', Math.floor(Date.now() / 1000) - 1)],
    ['a user name without a time', { username: 'test', password: restUser(SECRET).password }],
  ]) {
    it(`${what} is refused with 401`, async () => {
      const stranger = await client();
      await stranger.challenge(/** @type {{username: string, password: string}} */ (user));
      const answer = await stranger.request(METHOD.allocate, [UDP]);
      assert.equal(errorCode(answer), 401);
      await bystander.works();
    });
  }

  it('a stale nonce is refused with 438 and a fresh one', async () => {
    const user = await client();
    await user.challenge(restUser(SECRET));
    const { credential } = user;
    assert.ok(credential);
    const stale = Buffer.from(credential.nonce);
    stale[stale.length - 1] ^= 1;
    user.credential = { ...credential, nonce: stale };
    const answer = await user.request(METHOD.allocate, [UDP]);
    assert.equal(errorCode(answer), 438);
    const fresh = attribute(answer, ATTRIBUTE.nonce);
    assert.ok(fresh);
    user.credential = { ...credential, nonce: Buffer.from(fresh) };
    assert.equal(errorCode(await user.request(METHOD.allocate, [UDP])), 0);
    await bystander.works();
  });

  it('peers at loopback, private and other special addresses are refused with 403', async () => {
    const user = await client();
    await user.allocate(restUser(SECRET));
    const refused = ['127.0.0.1', '0:0:0:0:0:ffff:0a00:0001', '10.0.0.1', '172.16.0.1', '192.168.1.1'];
    const special = ['169.254.169.254', '100.64.0.1', '224.0.0.1', '0.0.0.0', '255.255.255.255'];
    for (const address of [...refused, ...special]) assert.equal(await user.permit(address), 403, address);
    assert.equal(await user.permit('198.41.0.4'), 0, 'a public address is welcome');
    await bystander.works();
  });

  it('a flood of requests without credentials gets back less than it sends', async () => {
    const forger = await client();
    const flood = 20_000;
    let sent = 0;
    for (let count = 0; count < flood; count++) {
      const request = build(METHOD.allocate, CLASS.request, [UDP]);
      sent += request.length;
      forger.send(request);
      if (count % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const first = await forger.receive(() => true);
    assert.ok(first, 'the first ones are answered');
    const received = [first, ...(await answers(forger))].reduce((sum, bytes) => sum + bytes.length, 0);
    assert.ok(received < sent, `${sent} bytes sent, ${received} bytes came back`);
    await bystander.works();
  });
});
