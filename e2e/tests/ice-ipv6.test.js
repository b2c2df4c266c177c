// Our ICE agent against those of others where there is IPv6: alone, beside an IPv4 that is worse
// or that is all that works, and on one side only, where nothing but a relay leads from one
// family to the other.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Coturn, SECRET, turnUser } from '../lab/coturn.js';
import { Couple } from '../peers/ice-peer.js';
import { buildPion } from '../peers/pion/build.js';
import { labMissing, programsMissing } from '../lab/available.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { addressesOf, dualStack, IPV6, IPV6_NETWORK, setFamilies, setIpv6 } from '../lab/dual-stack.js';
import { PUBLIC_HOST, setNat } from '../lab/figures.js';
import { Server } from '../lab/server.js';

/** @typedef {import('../peers/ice-peer.js').Maker} Maker */
/** @typedef {import('../peers/ice-peer.js').Role} Role */
/** @typedef {import('../lab/dual-stack.js').Families} Families */
/** @typedef {import('../lab/dual-stack.js').Ipv6} Ipv6 */
/** @typedef {import('../lab/lab.js').Lab} Lab */
/** @typedef {import('../lab/nat.js').NatKind} NatKind */

const skip = (await programsMissing('go', 'python3')) || (await labMissing('turnserver'));

const RIVALS = /** @type {const} */ (['ours', 'pion', 'libnice']);
const ROLES = /** @type {const} */ (['controlling', 'controlled']);
/** @param {Role} role @returns {Role} */
const opposite = (role) => (role === 'controlling' ? 'controlled' : 'controlling');

/** Each of a laboratory's tests changes it. */
const ONE_BY_ONE = { concurrency: 1 };

const PORT = 3478;
/**
 * The servers that relay, both with an address of each family.
 * @type {Record<string, (lab: Lab) => Promise<{stop: () => Promise<void>}>>}
 */
const RELAYS = {
  columba: (lab) =>
    Server.start({
      at: { lab, node: 'server' },
      address: '[::]',
      host: PUBLIC_HOST.address,
      ports: { web: 80, stun: PORT },
      // They play the public Internet here.
      args: ['--turn-secret', SECRET, '--allow-peer', '10.0.0.0/8', '--allow-peer', IPV6_NETWORK],
    }),
  coturn: (lab) => Coturn.start(lab, 'server', { address: PUBLIC_HOST.address, port: PORT, ipv6: IPV6.server }),
};

/**
 * The server as those see it who have these families.
 * @param {Families} families
 * @param {'stun' | 'turn'} kind
 */
function servers(families, kind) {
  const hosts = { ipv4: [PUBLIC_HOST.address], ipv6: [IPV6.server], both: [IPV6.server, PUBLIC_HOST.address] };
  return hosts[families].map((host) => ({ kind, host, port: PORT, ...(kind === 'turn' && turnUser()) }));
}

/**
 * Ours in p1, the other in p2, with these families and everything that the server offers.
 * @param {import('node:test').TestContext} test
 * @param {Lab} lab
 * @param {Role} role
 * @param {Maker} rival
 * @param {[Families, Families]} families @param {{kinds?: ('stun' | 'turn')[]}} [options]
 */
async function meet(test, lab, role, rival, families, { kinds = ['stun', 'turn'] } = {}) {
  const [ours, theirs] = families;
  await Promise.all([setFamilies(lab, 'p1', ours), setFamilies(lab, 'p2', theirs)]);
  const start = (/** @type {'p1' | 'p2'} */ peer, /** @type {Families} */ its) => ({
    addresses: addressesOf(peer, its),
    servers: kinds.flatMap((kind) => servers(its, kind)),
  });
  const couple = new Couple(
    test,
    ['ours', { role, ...start('p1', ours) }, { lab, node: 'p1' }],
    [rival, { role: opposite(role), ...start('p2', theirs) }, { lab, node: 'p2' }],
  );
  await couple.meet();
  return couple;
}

describe('ICE agents where there is IPv6', { skip, ...ONE_BY_ONE, timeout: SUITE_TIMEOUT }, () => {
  before(() => buildPion('ice'), { timeout: 300_000 });

  for (const [relay, start] of Object.entries(RELAYS)) {
    describe(`servers by ${relay}`, ONE_BY_ONE, () => {
      /** @type {Lab} */ let lab;
      /** @type {{stop: () => Promise<void>}} */ let server;
      before(async () => {
        lab = await dualStack();
        server = await start(lab);
      });
      after(async () => {
        await server?.stop();
        lab?.down();
      });

      /** @param {NatKind} kind @param {Ipv6} ipv6 */
      const network = async (kind, ipv6) => void (await Promise.all([setNat(lab, 'r1', { kind }), setNat(lab, 'r2', { kind }), setIpv6(lab, ipv6)]));

      if (relay === 'columba') {
        for (const rival of RIVALS) {
          for (const role of ROLES) {
            it(`${role} with IPv6 only, with ${rival}: host to host`, async (t) => {
              await network('port', 'open');
              await areHosts(await meet(t, lab, role, rival, ['ipv6', 'ipv6']));
            });
            it(`${role} with IPv6 only behind walls, with ${rival}: host to host`, async (t) => {
              await network('port', 'walled');
              await areHosts(await meet(t, lab, role, rival, ['ipv6', 'ipv6']));
            });
            it(`${role} with both families, IPv4 behind symmetric NATs, with ${rival}: host to host over IPv6`, async (t) => {
              await network('symmetric', 'open');
              await areHosts(await meet(t, lab, role, rival, ['both', 'both']));
            });
            it(`${role} with an IPv6 that leads nowhere, with ${rival}: over IPv4`, async (t) => {
              await network('cone', 'lost');
              const couple = await meet(t, lab, role, rival, ['both', 'both']);
              for (const { pair } of couple.both) assert.ok(!isIpv6(pair.to), JSON.stringify(pair));
            });
          }
        }
      }

      // libnice asks for IPv4 only.
      for (const rival of /** @type {const} */ (['ours', 'pion'])) {
        for (const families of /** @type {[Families, Families][]} */ ([['ipv6', 'ipv4'], ['ipv4', 'ipv6']])) {
          it(`${families[0]} only, with ${rival} with ${families[1]} only: through a relay`, async (t) => {
            await network('port', 'walled');
            const couple = await meet(t, lab, 'controlling', rival, families);
            assert.ok(couple.isRelayed, JSON.stringify(couple.both.map(({ pair }) => pair)));
            await couple.restart();
            assert.ok(couple.isRelayed, JSON.stringify(couple.both.map(({ pair }) => pair)));
          });
        }
      }
    });
  }
});

/** @param {string} place an address with its port */
const isIpv6 = (place) => place.includes('2001:db8');

/**
 * Both take the direct way over IPv6 in the end: the first one may be another, where that answers
 * sooner.
 * @param {Couple} couple
 */
async function areHosts(couple) {
  const isBest = (/** @type {import('../peers/ice-peer.js').Pair} */ { local, remote, from, to, protocol }) =>
    // What a check discovers behind a wall is the same address.
    [from, to].every(isIpv6) && local === 'host' && ['host', 'prflx'].includes(remote) && protocol === 'udp';
  const end = Date.now() + 10_000;
  while (!couple.both.every(({ pair }) => isBest(pair))) {
    if (Date.now() > end) throw new Error(`not host to host over IPv6: ${couple.both.join('\n')}`);
    await couple.talk();
  }
}
