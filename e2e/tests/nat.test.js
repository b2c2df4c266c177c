// Real browsers behind real NATs, each in a network namespace of its own, the page over HTTPS:
// direct wherever the truth table says that it is possible, relayed only where it must be. The
// measured table is printed, and kept in docs/nat-matrix.md (UPDATE_DOCS=1 writes it).

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BROWSER_PROGRAMS } from '../browser/launch.js';
import { Scene } from '../scenarios/scene.js';
import { labMissing } from '../lab/available.js';
import { figure1, figure2, figure3, PRIVATE_HOST, PUBLIC_HOST, setNat } from '../lab/figures.js';
import { meetsDirectly, NAT_KINDS } from '../lab/nat.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { keepMatrix } from '../scenarios/nat-matrix.js';

/** @typedef {import('../lab/nat.js').NatKind} NatKind */

const skip = await labMissing(...BROWSER_PROGRAMS);

/** The measured rows. @type {import('../scenarios/nat-matrix.js').Row[]} */
const measured = [];

/** As on a public address: the first member gets TURN credentials when the second one comes. */
const IN_COMPANY = ['--turn-credentials', 'peers'];

/** @param {boolean} direct */
const routeOf = (direct) => (direct ? 'direct' : 'relayed');

describe('figure 1: both peers and the server in one private network', { skip, timeout: SUITE_TIMEOUT }, () => {
  it('host to host', async (t) => {
    const scene = await Scene.set(await figure1(), PRIVATE_HOST, { browsers: ['chromium', 'firefox'] });
    t.after(() => scene.strike());
    const found = await scene.route('direct');
    // A check that overtakes the candidate it comes from makes the other side call that host
    // peer-reflexive.
    for (const types of [found.p1, found.p2]) assert.match(types, /^host – (host|prflx)$/);
    measured.push({ figure: 1, r1: '–', r2: '–', ...found });
  });

  it("with the browsers' own defaults: hidden addresses, no permission, data only", async (t) => {
    const scene = await Scene.set(await figure1(), PRIVATE_HOST, { browsers: ['chromium', 'firefox'], asShipped: true });
    t.after(() => scene.strike());
    await scene.call(
      async (...pages) => {
        for (const [index, page] of pages.entries()) {
          await page.chat(`hello from ${index}`);
          await pages[1 - index].receives(`hello from ${index}`);
          const described = await page.page.evaluate(() =>
            [.../** @type {any} */ (globalThis).columba.call.peers.values()].map(({ connection }) => connection.localDescription.sdp).join(),
          );
          const hosts = /** @type {string[] | null} */ (described.match(/candidate:.* typ host/g));
          assert.ok(hosts?.every((line) => line.includes('.local ')), String(hosts));
          const [pair] = await page.pairs();
          assert.equal(pair.local, 'host');
          assert.match(pair.remote, /^(host|prflx)$/);
        }
      },
      // Without STUN, which in this network would tell the hidden addresses again.
      { media: false, onlyIceServer: 'none' },
    );
    measured.push({ figure: 1, r1: 'own defaults (mDNS)', r2: '–', route: 'direct', p1: 'host – host', p2: 'host – host' });
  });
});

describe('figure 2: p1 behind a router, p2 public', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Scene} */ let scene;
  before(async () => {
    scene = await Scene.set(await figure2({ r1: { kind: 'cone' } }), PUBLIC_HOST, { browsers: ['firefox', 'chromium'], args: IN_COMPANY });
  });
  after(() => scene?.strike());

  for (const kind of NAT_KINDS) {
    const route = routeOf(kind !== 'tcp443');
    it(`${kind}: ${route}`, async () => {
      await setNat(scene.lab, 'r1', { kind });
      measured.push({ figure: 2, r1: kind, r2: '–', ...(await scene.route(route)) });
    });
  }
});

describe('figure 3: each peer behind a router of its own', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Scene} */ let scene;
  before(async () => {
    const lab = await figure3({ r1: { kind: 'cone' }, r2: { kind: 'cone' } });
    scene = await Scene.set(lab, PUBLIC_HOST, { browsers: ['chromium', 'firefox'], args: IN_COMPANY });
  });
  after(() => scene?.strike());

  /** @param {NatKind} r1 @param {NatKind} r2 */
  async function behind(r1, r2) {
    await Promise.all([setNat(scene.lab, 'r1', { kind: r1 }), setNat(scene.lab, 'r2', { kind: r2 })]);
  }

  for (const r1 of NAT_KINDS) {
    for (const r2 of NAT_KINDS) {
      const route = routeOf(meetsDirectly(r1, r2));
      it(`${r1} and ${r2}: ${route}`, async () => {
        await behind(r1, r2);
        measured.push({ figure: 3, r1, r2, ...(await scene.route(route)) });
      });
    }
  }

  for (const [url, protocol, kind] of /** @type {[string, string, NatKind][]} */ ([
    [`turn:${PUBLIC_HOST.name}:3478?transport=udp`, 'udp', 'symmetric'],
    [`turn:${PUBLIC_HOST.name}:3478?transport=tcp`, 'tcp', 'symmetric'],
    [`turn:${PUBLIC_HOST.name}:443?transport=tcp`, 'tcp', 'tcp443'],
    [`turns:${PUBLIC_HOST.name}:443?transport=tcp`, 'tls', 'tcp443'],
  ])) {
    it(`relays through ${url} alone, behind ${kind}`, async () => {
      await behind(kind, kind);
      const options = { onlyIceServer: url };
      await scene.call(async (...pages) => {
        await Promise.all(pages.map((page) => page.seesVideo(1)));
        const pairs = (await Promise.all(pages.map((page) => page.pairs()))).flat();
        // One relay is enough: the other side may reach it as a peer-reflexive address.
        assert.ok(pairs.every((pair) => [pair.local, pair.remote].includes('relay')), JSON.stringify(pairs));
        const own = pairs.filter((pair) => pair.local === 'relay');
        assert.ok(own.length > 0 && own.every((pair) => pair.relayProtocol === protocol), JSON.stringify(pairs));
      }, options);
    });
  }

  it('the table is the one in docs/nat-matrix.md', () => keepMatrix(measured));
});
