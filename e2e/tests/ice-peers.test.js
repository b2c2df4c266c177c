// Our ICE agent against those of others, alone on real sockets: Pion's and libnice's, full and
// lite, in both roles.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Couple } from '../peers/ice-peer.js';
import { buildPion } from '../peers/pion/build.js';
import { programsMissing } from '../lab/available.js';
import { STEP_TIMEOUT, SUITE_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../peers/ice-peer.js').Maker} Maker */
/** @typedef {import('../peers/ice-peer.js').Role} Role */
/** @typedef {import('../peers/ice-peer.js').Start} Start */

const skip = await programsMissing('go', 'python3');

const RIVALS = /** @type {const} */ (['pion', 'libnice']);
const ROLES = /** @type {const} */ (['controlling', 'controlled']);
/** @param {Role} role @returns {Role} */
const opposite = (role) => (role === 'controlling' ? 'controlled' : 'controlling');

const LOOPBACK = ['127.0.0.1'];
/** So that a peer that vanishes is missed within a test's timeout. */
const IMPATIENT = { disconnectedAfter: 1500, failedAfter: 2000 };

before(() => (skip ? undefined : buildPion('ice')), { timeout: 300_000 });

/**
 * Host to host, or what a check that overtakes its candidate makes of it.
 * @param {Couple} couple
 */
function areHosts({ one, other }) {
  for (const { pair } of [one, other]) {
    for (const kind of [pair.local, pair.remote]) assert.match(kind, /^(host|prflx)$/);
  }
  assert.equal(one.pair.from, other.pair.to);
  assert.equal(one.pair.to, other.pair.from);
}

describe('over loopback', { skip, concurrency: true, timeout: SUITE_TIMEOUT }, () => {
  for (const rival of RIVALS) {
    for (const role of ROLES) {
      it(`${role}, with ${rival}`, async (t) => {
        const couple = new Couple(t, ['ours', { role, addresses: LOOPBACK }], [rival, { role: opposite(role), addresses: LOOPBACK }]);
        await couple.meet();
        areHosts(couple);
      });

      it(`${role} like ${rival}: the conflict is resolved`, async (t) => {
        const couple = new Couple(t, ['ours', { role, addresses: LOOPBACK }], [rival, { role, addresses: LOOPBACK }]);
        await couple.meet();
        areHosts(couple);
        const changes = couple.one.events.filter(({ event }) => event === 'role');
        assert.ok(changes.length <= 1, `roles settle: ${couple.one}`);
      });

      it(`${role}: a restart with ${rival}`, async (t) => {
        const couple = new Couple(t, ['ours', { role, addresses: LOOPBACK }], [rival, { role: opposite(role), addresses: LOOPBACK }]);
        await couple.meet();
        await couple.restart();
        areHosts(couple);
        await couple.restart();
        areHosts(couple);
      });

      it(`${role}: misses ${rival} when it vanishes`, async (t) => {
        const start = { role, addresses: LOOPBACK, ...IMPATIENT };
        const { one, other, ...couple } = await connected(t, ['ours', start], [rival, { role: opposite(role), addresses: LOOPBACK }]);
        await other.kill();
        await one.isIn(['failed']);
        assert.deepEqual(one.states.slice(-2), ['disconnected', 'failed'], String(couple));
      });
    }

    it(`with ${rival}, which is lite`, async (t) => {
      // Who meets a lite agent controls, whatever it has thought before.
      for (const role of ROLES) {
        const couple = await connected(t, ['ours', { role, addresses: LOOPBACK }], [rival, { role: 'controlled', lite: true, addresses: LOOPBACK }]);
        areHosts(couple);
      }
    });

    it(`lite, with ${rival}`, async (t) => {
      const couple = await connected(t, ['ours', { role: 'controlled', lite: true, addresses: LOOPBACK, ...IMPATIENT }], [rival, { role: 'controlling', addresses: LOOPBACK }]);
      areHosts(couple);
      await couple.restart();
      areHosts(couple);
    });
  }

  it('is missed by Pion when it vanishes', async (t) => {
    const couple = await connected(t, ['ours', { role: 'controlling', addresses: LOOPBACK }], ['pion', { role: 'controlled', addresses: LOOPBACK, ...IMPATIENT }]);
    await couple.one.kill();
    await couple.other.isIn(['failed']);
    assert.deepEqual(couple.other.states.slice(-2), ['disconnected', 'failed']);
  });

  it('goes along when Pion nominates another pair', async (t) => {
    const addresses = ['127.0.0.1', '127.0.0.2'];
    const couple = await connected(t, ['ours', { role: 'controlled', addresses }], ['pion', { role: 'controlling', addresses: LOOPBACK }]);
    // Twice, so that also the way back is taken.
    for (const _ of ['there', 'back']) {
      const next = addresses.find((address) => !couple.one.pair.from.startsWith(`${address}:`));
      await eventually(() => {
        couple.other.command({ do: 'renominate', local: '127.0.0.1', remote: next });
        return couple.one.pair.from.startsWith(`${next}:`);
      }, couple);
      await couple.talk();
      await eventually(() => couple.other.pair.to === couple.one.pair.from, couple);
    }
  });

  for (const rival of RIVALS) {
    it(`consent holds for more than 30 s with ${rival}, though nothing is said`, async (t) => {
      const couple = await connected(t, ['ours', { role: 'controlling', addresses: LOOPBACK }], [rival, { role: 'controlled', addresses: LOOPBACK }]);
      await sleep(33_000);
      await couple.talk();
      for (const { states } of couple.both) assert.ok(!states.includes('disconnected') && !states.includes('failed'), String(states));
    });
  }
});

/**
 * @param {import('node:test').TestContext} test
 * @param {ConstructorParameters<typeof Couple>[1]} one
 * @param {ConstructorParameters<typeof Couple>[2]} other
 */
async function connected(test, one, other) {
  const couple = new Couple(test, one, other);
  await couple.meet();
  return couple;
}

/** @param {() => boolean} holds @param {Couple} couple */
async function eventually(holds, couple) {
  const end = Date.now() + STEP_TIMEOUT;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`this did not come: ${couple.both.join('\n')}`);
    await sleep(200);
  }
}
