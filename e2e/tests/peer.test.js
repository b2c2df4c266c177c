// The Rust peer and real browsers, and two Rust peers: messages both ways, 20 MB each way whole, and the close from either
// side, over loopback and in the figures of the laboratory.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { talkInPage } from '../browser/data-page.js';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { Scene } from '../browser/scene.js';
import { RustPeer } from '../clients/rust-peer.js';
import { labMissing, programsMissing } from '../lab/available.js';
import { figure1, figure2, figure3, PRIVATE_HOST, PUBLIC_HOST, setNat } from '../lab/figures.js';
import { meetsDirectly, NAT_KINDS } from '../lab/nat.js';
import { Server } from '../server.js';

/** @typedef {'offer' | 'answer'} Role */
/** @typedef {import('../browser/data-page.js').Said} Said */
/** @typedef {(options: {token: string, role: Role, closes: boolean, bytes: number, direct: boolean, iceServers?: string}) => Promise<Said>} Speaker */

const skip = await programsMissing(...BROWSER_PROGRAMS);
const skipLab = await labMissing(...BROWSER_PROGRAMS);

/** Bytes each way. */
const MUCH = 20_000_000;
/** What the whole matrix is tried with. */
const LITTLE = 500_000;

/** Enough that the server's fairness does not hold 20 MB back. */
const GENEROUS = ['--bandwidth-per-user', '1GB', '--bandwidth-per-client', '1GB', '--max-bandwidth', '1GB'];

/** Browsers, and what is said of them. */
const BROWSERS = /** @type {const} */ (['chromium', 'firefox']);
const ROLES = /** @type {Role[]} */ (['offer', 'answer']);

/**
 * Two talk; each must have heard what the other has said.
 * @param {Speaker} offerer @param {Speaker} answerer
 * @param {{closes?: Role, bytes?: number, direct?: boolean, iceServers?: string}} [options]
 * @returns {Promise<[Said, Said]>}
 */
async function talk(offerer, answerer, { closes = 'offer', bytes = MUCH, direct = true, iceServers } = {}) {
  const token = randomUUID();
  const [offered, answered] = await Promise.all(
    [offerer, answerer].map((speaker, index) => {
      const role = ROLES[index];
      return speaker({ token, role, closes: role === closes, bytes, direct, iceServers });
    }),
  );
  assert.equal(offered.greeting, 'hello from answer');
  assert.equal(answered.greeting, 'hello from offer');
  assert.deepEqual(offered.received, answered.sent);
  assert.deepEqual(answered.received, offered.sent);
  for (const said of [offered, answered]) {
    assert.equal(said.sent.bytes, bytes);
    assert.equal(said.end, 'closed');
  }
  // One side that sees the relay is enough: the other may know it as a peer-reflexive address.
  const pairs = [offered.pair, answered.pair];
  assert.equal(pairs.some(({ local, remote }) => [local, remote].includes('relay')), !direct, JSON.stringify(pairs));
  assert.notEqual(offered.sent.sha256, answered.sent.sha256);
  return [offered, answered];
}

/** The browser of a scene. @param {Scene} scene @param {number} index @returns {Speaker} */
const browserOf = (scene, index) => (options) => talkInPage(scene.browsers[index], scene.server.origin, options);

/** A Rust peer at a node of a scene. @param {Scene} scene @param {string} node @returns {Speaker} */
const rustAt = (scene, node) => (options) =>
  new RustPeer({ ...options, server: scene.server.origin, at: { lab: scene.lab, node }, authority: scene.authority.cert }).talk();

describe('over loopback', { skip, timeout: 120_000 }, () => {
  /** @type {Server} */ let server;
  /** @type {import('../browser/launch.js').Running[]} */ let running = [];

  before(async () => {
    server = await Server.start({ args: ['--joins-per-minute', '1000'] });
    running = await Promise.all(BROWSERS.map((name) => launch(name)));
  });
  after(async () => {
    await Promise.all(running.map((browser) => browser.close()));
    await server?.stop();
  });

  /** @type {Speaker} */
  const rust = (options) => new RustPeer({ ...options, server: server.origin }).talk();
  for (const [index, name] of BROWSERS.entries()) {
    const browser = /** @type {Speaker} */ ((options) => talkInPage(running[index], server.origin, options));
    for (const closes of ROLES) {
      it(`${name} offers, and who ${closes}s closes`, async () => void (await talk(browser, rust, { closes })));
      it(`${name} answers, and who ${closes}s closes`, async () => void (await talk(rust, browser, { closes })));
    }
  }
  it('two Rust peers', async () => void (await talk(rust, rust)));
});

describe("figure 1, with the browsers' own defaults: hidden addresses, no permission", { skip: skipLab, timeout: 90_000 }, () => {
  /** @type {Scene} */ let scene;
  before(async () => {
    scene = await Scene.set(await figure1({ peers: 3 }), PRIVATE_HOST, { browsers: [...BROWSERS], asShipped: true });
  });
  after(() => scene?.strike());

  // Without STUN, which in this network would tell the hidden addresses again.
  const options = { iceServers: 'none' };
  /** Names, and nothing else, and yet host to host. @param {Said} page @param {Said} rust */
  function areHosts(page, rust) {
    const hosts = page.sdp?.match(/candidate:.* typ host/g);
    assert.ok(hosts?.every((line) => line.includes('.local ')), String(hosts));
    for (const { pair } of [page, rust]) {
      assert.equal(pair.local, 'host');
      assert.match(pair.remote, /^(host|prflx)$/);
    }
  }
  for (const [index, name] of BROWSERS.entries()) {
    it(`${name} offers`, async () => {
      const [page, rust] = await talk(browserOf(scene, index), rustAt(scene, 'p3'), options);
      areHosts(page, rust);
    });
    it(`${name} answers`, async () => {
      const [rust, page] = await talk(rustAt(scene, 'p3'), browserOf(scene, index), options);
      areHosts(page, rust);
    });
  }
  it('two Rust peers', async () => {
    for (const { pair } of await talk(rustAt(scene, 'p1'), rustAt(scene, 'p2'), options)) {
      assert.equal(pair.local, 'host');
      assert.match(pair.remote, /^(host|prflx)$/);
    }
  });
});

describe('figure 2: p1 behind a router, p2 public', { skip: skipLab, timeout: 120_000 }, () => {
  /** @type {Scene} */ let scene;
  before(async () => {
    const lab = await figure2({ r1: { kind: 'cone' } });
    scene = await Scene.set(lab, PUBLIC_HOST, { browsers: [...BROWSERS], args: GENEROUS });
  });
  after(() => scene?.strike());

  for (const kind of NAT_KINDS) {
    const direct = kind !== 'tcp443';
    it(`two Rust peers, ${kind}: ${direct ? 'direct' : 'relayed'}`, async () => {
      await setNat(scene.lab, 'r1', { kind });
      await talk(rustAt(scene, 'p1'), rustAt(scene, 'p2'), { direct });
      await talk(rustAt(scene, 'p2'), rustAt(scene, 'p1'), { direct, closes: 'answer', bytes: LITTLE });
    });
  }
  for (const kind of /** @type {const} */ (['port', 'symmetric'])) {
    it(`browsers, ${kind}: direct`, async () => {
      await setNat(scene.lab, 'r1', { kind });
      // Chromium lives at p1, Firefox at p2.
      await talk(browserOf(scene, 0), rustAt(scene, 'p2'));
      await talk(rustAt(scene, 'p2'), browserOf(scene, 0), { closes: 'answer' });
      await talk(browserOf(scene, 1), rustAt(scene, 'p1'), { closes: 'answer' });
      await talk(rustAt(scene, 'p1'), browserOf(scene, 1));
    });
  }
});

describe('figure 3: each peer behind a router of its own', { skip: skipLab, timeout: 180_000 }, () => {
  /** @type {Scene} */ let scene;
  before(async () => {
    const lab = await figure3({ r1: { kind: 'cone' }, r2: { kind: 'cone' } });
    scene = await Scene.set(lab, PUBLIC_HOST, { browsers: [...BROWSERS], args: GENEROUS });
  });
  after(() => scene?.strike());

  /** @param {import('../lab/nat.js').NatKind} r1 @param {import('../lab/nat.js').NatKind} r2 */
  async function behind(r1, r2) {
    await Promise.all([setNat(scene.lab, 'r1', { kind: r1 }), setNat(scene.lab, 'r2', { kind: r2 })]);
    return meetsDirectly(r1, r2);
  }

  for (const r1 of NAT_KINDS) {
    for (const r2 of NAT_KINDS) {
      it(`two Rust peers, ${r1} and ${r2}: ${meetsDirectly(r1, r2) ? 'direct' : 'relayed'}`, async () => {
        const direct = await behind(r1, r2);
        await talk(rustAt(scene, 'p1'), rustAt(scene, 'p2'), { direct, bytes: r1 === r2 ? MUCH : LITTLE });
      });
    }
  }
  for (const kind of /** @type {const} */ (['port', 'symmetric', 'tcp443'])) {
    it(`browsers, ${kind} and ${kind}: ${meetsDirectly(kind, kind) ? 'direct' : 'relayed'}`, async () => {
      const direct = await behind(kind, kind);
      await talk(browserOf(scene, 0), rustAt(scene, 'p2'), { direct });
      await talk(rustAt(scene, 'p2'), browserOf(scene, 0), { direct, closes: 'answer' });
      await talk(browserOf(scene, 1), rustAt(scene, 'p1'), { direct, closes: 'answer' });
      await talk(rustAt(scene, 'p1'), browserOf(scene, 1), { direct });
    });
  }
});
