// Two Rust peers, and the Rust peer and real browsers, where there is IPv6: alone, beside a worse
// IPv4, as a road that leads nowhere, and on one side only.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BROWSER_PROGRAMS } from '../browser/launch.js';
import { Scene } from '../scenarios/scene.js';
import { labMissing } from '../lab/available.js';
import { dualStack, IPV6, IPV6_NETWORK, setFamilies, setIpv6 } from '../lab/dual-stack.js';
import { OUTER, PUBLIC_HOST, setNat } from '../lab/figures.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { BROWSERS, browserOf, LITTLE, rustAt, talk } from '../scenarios/talks.js';

/** @typedef {import('../scenarios/talks.js').TalkReport} TalkReport */
/** @typedef {import('../scenarios/talks.js').Participant} Participant */
/** @typedef {import('../lab/dual-stack.js').Peer} Peer */

const skip = await labMissing(...BROWSER_PROGRAMS);

/**
 * The address families of the peers, the routers between them, and the path that must be found.
 * @typedef {object} Case
 * @property {[import('../lab/dual-stack.js').Families, import('../lab/dual-stack.js').Families]}
 *   families p1's and p2's
 * @property {import('../lab/nat.js').NatKind} nat
 * @property {import('../lab/dual-stack.js').Ipv6} ipv6
 * @property {'ipv6' | 'ipv4' | 'relay'} way
 */

/** @type {Record<string, Case>} */
const CASES = {
  // First: browsers go on to use a connection to the server over an IPv6 that was there before.
  'an IPv6 that leads nowhere: direct over IPv4': { families: ['both', 'both'], nat: 'cone', ipv6: 'lost', way: 'ipv4' },
  'IPv6 only: direct': { families: ['ipv6', 'ipv6'], nat: 'port', ipv6: 'open', way: 'ipv6' },
  'IPv6 only behind walls: direct': { families: ['ipv6', 'ipv6'], nat: 'port', ipv6: 'walled', way: 'ipv6' },
  'both families, IPv4 behind symmetric NATs: direct over IPv6': { families: ['both', 'both'], nat: 'symmetric', ipv6: 'walled', way: 'ipv6' },
  'IPv6 only and IPv4 only: through a relay': { families: ['ipv6', 'ipv4'], nat: 'port', ipv6: 'walled', way: 'relay' },
  'IPv4 only and IPv6 only: through a relay': { families: ['ipv4', 'ipv6'], nat: 'port', ipv6: 'walled', way: 'relay' },
};

describe('where there is IPv6', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Scene} */ let scene;
  before(async () => {
    // The pages and peers of a talk gather before the other side is there.
    const args = ['--allow-peer', IPV6_NETWORK, '--turn-credentials', 'open'];
    scene = await Scene.set(await dualStack(), PUBLIC_HOST, { browsers: [...BROWSERS], listen: '[::]', args });
  });
  after(() => scene?.strike());

  for (const [name, { families, nat, ipv6, way }] of Object.entries(CASES)) {
    describe(name, () => {
      before(async () => {
        const { lab } = scene;
        await Promise.all([setNat(lab, 'r1', { kind: nat }), setNat(lab, 'r2', { kind: nat }), setIpv6(lab, ipv6)]);
        await Promise.all([setFamilies(lab, 'p1', families[0]), setFamilies(lab, 'p2', families[1])]);
      });

      /**
       * They talk, and the Rust peers say which way.
       * @param {Participant} offerer
       * @param {Participant} answerer
       */
      async function takesTheWay(offerer, answerer) {
        const talked = await talk(offerer, answerer, { direct: way !== 'relay', bytes: LITTLE });
        if (way === 'relay') return;
        const ways = talked.flatMap(({ pair }) => pair.to ?? []);
        assert.ok(ways.length > 0);
        for (const to of ways) assert.ok(PLACES[way].some((place) => to.startsWith(place)), to);
      }

      it('two Rust peers', () => takesTheWay(rustAt(scene, 'p1'), rustAt(scene, 'p2')));
      // Chromium lives at p1, Firefox at p2.
      for (const [index, other] of /** @type {[number, Peer][]} */ ([[0, 'p2'], [1, 'p1']])) {
        it(`${BROWSERS[index]} offers`, () => takesTheWay(browserOf(scene, index), rustAt(scene, other)));
        it(`${BROWSERS[index]} answers`, () => takesTheWay(rustAt(scene, other), browserOf(scene, index)));
      }
    });
  }
});

/** Where each direct way leads. */
const PLACES = {
  ipv6: [`[${IPV6.p1}]:`, `[${IPV6.p2}]:`],
  ipv4: [`${OUTER.r1}:`, `${OUTER.r2}:`],
};
