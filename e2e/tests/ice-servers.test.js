// Relays over TLS, and servers that send their clients on: our ICE agent with coturn, and Pion's
// with our server.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Authority } from '../browser/authority.js';
import { Coturn, SECRET, turnUser } from '../lab/coturn.js';
import { Couple, IcePeer } from '../peers/ice-peer.js';
import { buildPion } from '../peers/pion/build.js';
import { labMissing, programsMissing } from '../lab/available.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { figure3, PEER, PUBLIC_HOST, setNat } from '../lab/figures.js';
import { Server } from '../lab/server.js';

/** @typedef {import('../peers/ice-peer.js').Maker} Maker */
/** @typedef {import('../peers/ice-peer.js').Role} Role */
/** @typedef {import('../lab/lab.js').Lab} Lab */
/** @typedef {import('../browser/authority.js').Certificate & {authority: string}} Identity */
/** @typedef {'udp' | 'tcp' | 'tls'} Transport */

const skip = (await programsMissing('go', 'openssl')) || (await labMissing('turnserver'));

/** Each of a laboratory's tests changes it. */
const ONE_BY_ONE = { concurrency: 1 };

/** Behind the NAT that lets nothing but this TCP port through, it must be there. */
const PORT = 443;
const { address, second } = PUBLIC_HOST;

/** @param {Transport} transport */
const turn = (transport) => ({ kind: /** @type {const} */ ('turn'), host: address, port: PORT, transport, ...turnUser() });

/** @type {Record<string, (lab: Lab, tls: Identity) => Promise<{stop: () => Promise<void>}>>} */
const RELAYS = {
  coturn: (lab, tls) => Coturn.start(lab, 'server', { address, port: PORT, tls }),
  columba: (lab, tls) =>
    Server.start({
      at: { lab, node: 'server' },
      address: '0.0.0.0',
      host: address,
      ports: { web: 8443, stun: 3478, turns: PORT },
      tls,
      // 10.0.0.0/8 plays the public Internet here.
      args: ['--turn-secret', SECRET, '--allow-peer', '10.0.0.0/8'],
    }),
};

/**
 * The way leads through the own relay.
 * @param {IcePeer} peer
 * @param {Transport} transport
 * @param {string} [at]
 */
function isOwnRelay({ pair }, transport, at = address) {
  assert.deepEqual([pair.local, pair.protocol, pair.to], ['relay', transport, `${at}:${PORT}`], JSON.stringify(pair));
}

describe('ICE agents and their servers', { skip, ...ONE_BY_ONE, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Lab} */ let lab;
  /** @type {Identity} */ let tls;
  /** @type {string} the certificate of an authority that has signed nothing */ let stranger;
  before(async () => {
    await buildPion('ice');
    lab = await figure3({ r1: { kind: 'tcp443' }, r2: { kind: 'tcp443' } });
    const authority = await Authority.create(`${lab.folder}/authority`);
    tls = { ...(await authority.issue('server', [`IP:${address}`])), authority: authority.cert };
    stranger = (await Authority.create(`${lab.folder}/stranger`)).cert;
  }, { timeout: 300_000 });
  after(() => lab?.down());

  for (const [relay, start] of Object.entries(RELAYS)) {
    describe(`relays over TLS by ${relay}, and nothing but TCP to port 443 passes`, ONE_BY_ONE, () => {
      /** @type {{stop: () => Promise<void>}} */ let server;
      before(async () => void (server = await start(lab, tls)));
      after(() => server?.stop());

      for (const [rival, roles] of /** @type {[Maker, Role[]][]} */ ([['ours', ['controlling']], ['pion', ['controlling', 'controlled']]])) {
        for (const role of roles) {
          it(`${role}, with ${rival}, and again after a restart`, async (t) => {
            const common = { addresses: [PEER.private1], servers: [turn('tls')], authority: tls.authority };
            const opposite = /** @type {Role} */ (role === 'controlling' ? 'controlled' : 'controlling');
            const couple = new Couple(
              t,
              ['ours', { role, ...common }, { lab, node: 'p1' }],
              [rival, { role: opposite, ...common }, { lab, node: 'p2' }],
            );
            await couple.meet();
            for (const again of [false, true]) {
              if (again) await couple.restart();
              isOwnRelay(couple.one, 'tls');
              assert.equal(couple.other.pair.local, 'relay', JSON.stringify(couple.other.pair));
            }
          });
        }
      }

      it('whose certificate is not trusted is not used', async (t) => {
        const options = { role: /** @type {Role} */ ('controlling'), addresses: [PEER.private1], servers: [turn('tls')], authority: stranger };
        const peer = new IcePeer('ours', options, { lab, node: 'p1' });
        t.after(() => peer.kill());
        await peer.until('the end', ({ event }) => event === 'gathered');
        assert.ok(peer.events.some(({ event, code }) => event === 'serverError' && code === 701), String(peer));
        assert.ok(!peer.events.some(({ line }) => line?.includes('typ relay')), String(peer));
      });
    });
  }

  describe('a server that sends its clients on to another one', ONE_BY_ONE, () => {
    /** @type {Coturn[]} */ let servers = [];
    before(async () => {
      await Promise.all([setNat(lab, 'r1', { kind: 'port' }), setNat(lab, 'r2', { kind: 'port' })]);
      servers = [
        await Coturn.start(lab, 'server', { address: second, port: PORT, tls }),
        await Coturn.start(lab, 'server', { address, port: PORT, tls, alternate: `${second}:${PORT}` }),
      ];
    });
    after(() => Promise.all(servers.map((server) => server.stop())));

    for (const transport of /** @type {Transport[]} */ (['udp', 'tcp', 'tls'])) {
      it(`is followed over ${transport}, with Pion`, async (t) => {
        const stun = { kind: /** @type {const} */ ('stun'), host: second, port: PORT };
        const couple = new Couple(
          t,
          ['ours', { role: 'controlling', addresses: [PEER.private1], servers: [turn(transport)], relayOnly: true, authority: tls.authority }, { lab, node: 'p1' }],
          ['pion', { role: 'controlled', addresses: [PEER.private1], servers: [stun] }, { lab, node: 'p2' }],
        );
        await couple.meet().catch((error) => {
          throw new Error(`${error.message}\n${servers.map(({ log }) => log.slice(-4000)).join('\n')}`);
        });
        isOwnRelay(couple.one, transport, second);
      });
    }
  });
});
