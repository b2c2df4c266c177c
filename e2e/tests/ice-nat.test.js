// Our ICE agent against those of others behind the NATs of the laboratory: direct where the truth
// table says that it is possible, through a relay of coturn's or of our own where it must be, and
// over the next path where one dies.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Coturn, SECRET, turnUser } from '../lab/coturn.js';
import { Couple } from '../peers/ice-peer.js';
import { buildPion } from '../peers/pion/build.js';
import { labMissing, programsMissing } from '../lab/available.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { figure1, figure2, figure3, moveToCellular, OUTER, PEER, PUBLIC_HOST, setNat } from '../lab/figures.js';
import { meetsDirectly } from '../lab/nat.js';
import { Server } from '../lab/server.js';

/** @typedef {import('../peers/ice-peer.js').Maker} Maker */
/** @typedef {import('../peers/ice-peer.js').Role} Role */
/** @typedef {import('../peers/ice-peer.js').Start} Start */
/** @typedef {import('../lab/lab.js').Lab} Lab */
/** @typedef {import('../lab/nat.js').NatKind} NatKind */

const skip = (await programsMissing('go', 'python3')) || (await labMissing('turnserver'));

const RIVALS = /** @type {const} */ (['pion', 'libnice']);
const ROLES = /** @type {const} */ (['controlling', 'controlled']);
/** @param {Role} role @returns {Role} */
const opposite = (role) => (role === 'controlling' ? 'controlled' : 'controlling');

/** Behind the NAT that lets nothing but this TCP port through, it must be there. */
const PORT = 443;
const STUN = { kind: /** @type {const} */ ('stun'), host: PUBLIC_HOST.address, port: PORT };
/** @param {'udp' | 'tcp'} transport */
const turn = (transport) => ({ kind: /** @type {const} */ ('turn'), host: PUBLIC_HOST.address, port: PORT, transport, ...turnUser() });

/**
 * The servers that relay: coturn's, and our own.
 * @type {Record<string, (lab: Lab) => Promise<{stop: () => Promise<void>}>>}
 */
const RELAYS = {
  coturn: (lab) => Coturn.start(lab, 'server', { address: PUBLIC_HOST.address, port: PORT }),
  columba: (lab) =>
    Server.start({
      at: { lab, node: 'server' },
      address: '0.0.0.0',
      host: PUBLIC_HOST.address,
      ports: { web: 80, stun: PORT },
      // 10.0.0.0/8 plays the public Internet here.
      args: ['--turn-secret', SECRET, '--allow-peer', '10.0.0.0/8'],
    }),
};

/** Rules of a host whose packets of this kind do not leave. @param {string} which */
const DEAD = (which) => `table ip dead { chain out { type filter hook output priority 0; ${which} drop; }; }`;

/**
 * Each part has a laboratory of its own, whose tests change it; and times are only kept where
 * nothing else takes the processor.
 */
const ONE_BY_ONE = { concurrency: 1 };

/** The IP address of a place. @param {string} place */
const host = (place) => place.slice(0, place.lastIndexOf(':'));

describe('ICE agents in the laboratory', { skip, ...ONE_BY_ONE, timeout: SUITE_TIMEOUT }, () => {
  before(() => buildPion('ice'), { timeout: 300_000 });

  /**
   * Ours in p1, the other in p2.
   * @param {import('node:test').TestContext} test
   * @param {Lab} lab
   * @param {Start} ours
   * @param {Maker} rival
   * @param {Start} theirs
   */
  async function meet(test, lab, ours, rival, theirs) {
    const couple = new Couple(test, ['ours', ours, { lab, node: 'p1' }], [rival, theirs, { lab, node: 'p2' }]);
    await couple.meet();
    return couple;
  }

  describe('figure 1: one private network', ONE_BY_ONE, () => {
    /** @type {Lab} */ let lab;
    before(async () => {
      lab = await figure1();
      // Two ways between the peers.
      await lab.run('p1', 'ip', ['addr', 'add', '192.168.0.210/24', 'dev', 'eth0']);
    });
    after(() => lab?.down());

    for (const rival of RIVALS) {
      it(`leaves a path that dies for another, with ${rival}`, async (t) => {
        const addresses = [PEER.private1, '192.168.0.210'];
        const couple = await meet(t, lab, { role: 'controlling', addresses }, rival, { role: 'controlled', addresses: [PEER.private2] });
        const dead = host(couple.one.pair.from);
        await lab.run('p1', 'nft', ['-f', '-'], { input: DEAD(`ip saddr ${dead}`) });
        t.after(() => lab.run('p1', 'nft', ['delete', 'table', 'ip', 'dead']));
        // libnice may have ended its checks before it came to the other path; then ours asks for
        // a restart, as it should.
        const talks = couple.talk().then(() => true, () => false);
        const asks = couple.one.until('a request for a restart', ({ event }) => event === 'restartWanted').then(() => false, () => false);
        if (!(await Promise.race([talks, asks]))) {
          assert.equal(rival, 'libnice', couple.both.join('\n'));
          await couple.restart();
        }
        const [living] = addresses.filter((address) => address !== dead);
        assert.equal(host(couple.one.pair.from), living);
        assert.ok(!couple.one.states.includes('failed'), String(couple.one.states));
      });

      for (const role of ROLES) {
        it(`${role} over TCP where datagrams are blocked, with ${rival}`, async (t) => {
          await lab.run('p1', 'nft', ['-f', '-'], { input: DEAD('meta l4proto udp') });
          t.after(() => lab.run('p1', 'nft', ['delete', 'table', 'ip', 'dead']));
          const theirs = { role: opposite(role), addresses: [PEER.private2], tcp: true };
          // Candidates of kinds that the others do not have are ignored.
          const ours = { role, addresses: [PEER.private1], simultaneous: true };
          const couple = await meet(t, lab, ours, rival, theirs);
          assert.equal(couple.one.pair.protocol, 'tcp', JSON.stringify(couple.one.pair));
          assert.ok(!couple.isRelayed);
        });
      }
    }
  });

  describe('figure 2: ours behind a router, the other public', ONE_BY_ONE, () => {
    /** @type {Lab} */ let lab;
    /** @type {Coturn} */ let coturn;
    before(async () => {
      lab = await figure2({ r1: { kind: 'port' } });
      coturn = await Coturn.start(lab, 'server', { address: PUBLIC_HOST.address, port: PORT });
    });
    after(async () => {
      await coturn?.stop();
      lab?.down();
    });

    for (const rival of RIVALS) {
      for (const kind of /** @type {const} */ (['port', 'symmetric'])) {
        for (const role of ROLES) {
          it(`${role} behind ${kind}, with ${rival}`, async (t) => {
            await setNat(lab, 'r1', { kind });
            const ours = { role, addresses: [PEER.private1], servers: [STUN] };
            const couple = await meet(t, lab, ours, rival, { role: opposite(role), addresses: [PEER.public2], servers: [STUN] });
            isDirect(couple, PEER.public2, OUTER.r1);
          });
        }
      }

      it(`with ${rival}, which is lite`, async (t) => {
        const ours = { role: /** @type {Role} */ ('controlling'), addresses: [PEER.private1], servers: [STUN] };
        const couple = await meet(t, lab, ours, rival, { role: 'controlled', lite: true, addresses: [PEER.public2] });
        isDirect(couple, PEER.public2, OUTER.r1);
      });

      it(`lite, with ${rival} behind the router`, async (t) => {
        const ours = { role: /** @type {Role} */ ('controlled'), lite: true, addresses: [PEER.public2] };
        const theirs = { role: /** @type {Role} */ ('controlling'), addresses: [PEER.private1], servers: [STUN] };
        const couple = new Couple(t, ['ours', ours, { lab, node: 'p2' }], [rival, theirs, { lab, node: 'p1' }]);
        await couple.meet();
        isDirect(couple, OUTER.r1, PEER.public2);
      });
    }
  });

  describe('figure 3: ours moves to another network', ONE_BY_ONE, () => {
    for (const rival of RIVALS) {
      it(`and takes ${rival} along, without a restart`, async (t) => {
        const kind = /** @type {const} */ ({ kind: 'cone' });
        const lab = await figure3({ r1: kind, r2: kind, rc: kind });
        t.after(() => lab.down());
        await Coturn.start(lab, 'server', { address: PUBLIC_HOST.address, port: PORT });
        const common = { addresses: [PEER.private1], servers: [STUN] };
        const couple = await meet(t, lab, { role: 'controlling', ...common }, rival, { role: 'controlled', ...common });
        isDirect(couple, OUTER.r2, OUTER.r1);
        await moveToCellular(lab);
        couple.one.command({ do: 'network', addresses: [PEER.private1], network: 2 });
        await couple.other.until('a way to the new network', ({ event, to }) => event === 'pair' && host(to) === OUTER.rc);
        await couple.talk();
        isDirect(couple, OUTER.r2, OUTER.rc);
        assert.ok(!couple.one.states.includes('failed'), String(couple.one.states));
      });
    }
  });

  for (const [relay, start] of Object.entries(RELAYS)) {
    describe(`figure 3: each behind a router of its own, servers by ${relay}`, ONE_BY_ONE, () => {
      /** @type {Lab} */ let lab;
      /** @type {{stop: () => Promise<void>}} */ let server;
      before(async () => {
        lab = await figure3({ r1: { kind: 'cone' }, r2: { kind: 'cone' } });
        server = await start(lab);
      });
      after(async () => {
        await server?.stop();
        lab?.down();
      });

      for (const [r1, r2, transport] of /** @type {[NatKind, NatKind, 'udp' | 'tcp'][]} */ ([
        ['cone', 'port', 'udp'],
        ['symmetric', 'addr', 'udp'],
        ['symmetric', 'symmetric', 'udp'],
        ['symmetric', 'port', 'tcp'],
        ['tcp443', 'tcp443', 'tcp'],
      ])) {
        for (const rival of RIVALS) {
          const direct = meetsDirectly(r1, r2);
          it(`${r1} and ${r2}, with ${rival}: ${direct ? 'direct' : `relayed over ${transport}`}`, async (t) => {
            await Promise.all([setNat(lab, 'r1', { kind: r1 }), setNat(lab, 'r2', { kind: r2 })]);
            const common = { addresses: [PEER.private1], servers: [STUN, turn(transport)] };
            const role = ROLES[Number(transport === 'tcp')];
            const couple = await meet(t, lab, { role, ...common }, rival, { role: opposite(role), ...common });
            if (direct) return isDirect(couple, OUTER.r2, OUTER.r1);
            assert.ok(couple.isRelayed, JSON.stringify(couple.both.map(({ pair }) => pair)));
          });
        }
      }

      it('two of ours behind walls that no datagram passes: one connection that both open', async (t) => {
        await Promise.all([setNat(lab, 'r1', { kind: 'tcp' }), setNat(lab, 'r2', { kind: 'tcp' })]);
        const common = { addresses: [PEER.private1], servers: [STUN], simultaneous: true };
        const couple = await meet(t, lab, { role: 'controlling', ...common }, 'ours', { role: 'controlled', ...common });
        isDirect(couple, OUTER.r2, OUTER.r1);
        assert.deepEqual(couple.both.map(({ pair }) => pair.protocol), ['tcp', 'tcp']);
      });

      for (const transport of /** @type {const} */ (['udp', 'tcp'])) {
        for (const rival of RIVALS) {
          it(`relay to relay over ${transport}, with ${rival}, and again after a restart`, async (t) => {
            await Promise.all([setNat(lab, 'r1', { kind: 'port' }), setNat(lab, 'r2', { kind: 'port' })]);
            const common = { addresses: [PEER.private1], servers: [turn(transport)], relayOnly: true };
            const couple = await meet(t, lab, { role: 'controlling', ...common }, rival, { role: 'controlled', ...common });
            isOwnRelay(couple, transport);
            await couple.restart();
            isOwnRelay(couple, transport);
          });
        }
      }
    });
  }
});

/**
 * The way is the direct one: ours sends where the other is to be reached from outside, and the
 * other way round.
 * @param {Couple} couple @param {string} other @param {string} ours
 */
function isDirect(couple, other, ours) {
  const pairs = couple.both.map(({ pair }) => pair);
  assert.ok(!couple.isRelayed, JSON.stringify(pairs));
  assert.deepEqual(pairs.map(({ to }) => host(to)), [other, ours], JSON.stringify(pairs));
}

/** Ours sends to its relay. @param {Couple} couple @param {string} transport */
function isOwnRelay({ one: { pair } }, transport) {
  assert.deepEqual([pair.local, pair.protocol, pair.to], ['relay', transport, `${PUBLIC_HOST.address}:${PORT}`], JSON.stringify(pair));
}
