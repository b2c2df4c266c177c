// The laboratory itself: every kind of NAT does what the truth table says, before any browser is
// asked.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { labMissing } from '../lab/available.js';
import { figure1, figure2, figure3, OUTER, PEER, PUBLIC_HOST } from '../lab/figures.js';
import { flushMappings, moveToCellular, setNat } from '../lab/figures.js';
import { EXPECTED_BEHAVIOUR, meetsDirectly, NAT_KINDS } from '../lab/nat.js';
import { behaviour, FILTERED, hairpinSource, meet, openOutside, Probe } from '../lab/probing.js';
import { STEP_TIMEOUT, SUITE_TIMEOUT } from '../lab/timeouts.js';

const skip = await labMissing();
/** @type {import('../lab/nat.js').NatKind[]} */
const UDP_KINDS = ['cone', 'addr', 'port', 'symmetric'];

describe('figure 3: two routers', { skip, timeout: SUITE_TIMEOUT }, () => {
  /** @type {import('../lab/lab.js').Lab} */ let lab;
  /** @type {Probe} */ let p1;
  /** @type {Probe} */ let p2;
  /** @type {Probe} */ let outside;

  before(async () => {
    lab = await figure3({ r1: { kind: 'cone' }, r2: { kind: 'cone' } });
    [p1, p2, outside] = ['p1', 'p2', 'server'].map((node) => new Probe(lab, node));
    await openOutside(outside);
    await outside.ask('listen', { address: PUBLIC_HOST.address, port: 443 });
    await outside.ask('listen', { address: PUBLIC_HOST.address, port: 80 });
  });
  after(() => lab?.down());

  for (const kind of NAT_KINDS) {
    for (const preservePorts of [false, true]) {
      it(`${kind}${preservePorts ? ', preserving ports,' : ''} maps and filters as it should`, async () => {
        await setNat(lab, 'r1', { kind, preservePorts });
        const { mapping, filtering } = EXPECTED_BEHAVIOUR[kind];
        const expected = {
          // A symmetric NAT with free ports to preserve gives every destination the same one.
          mapping: kind === 'symmetric' && preservePorts ? 'endpoint-independent' : mapping,
          filtering,
          preservesPorts: preservePorts && kind !== 'tcp443',
        };
        assert.deepEqual(await behaviour(p1, outside, expected), expected);
      });
    }
  }

  for (const kind of UDP_KINDS) {
    it(`${kind} carries hairpins only when told to, from the outer address`, async () => {
      await setNat(lab, 'r1', { kind });
      assert.equal((await hairpinSource(p1, outside, false)).source, null);
      await setNat(lab, 'r1', { kind, hairpin: true });
      const { source, outerOther } = await hairpinSource(p1, outside, true);
      if (kind === 'symmetric') assert.match(String(source), new RegExp(`^${OUTER.r1}:`));
      else assert.equal(source, outerOther);
      const { mapping, filtering } = await behaviour(p1, outside, EXPECTED_BEHAVIOUR[kind]);
      assert.deepEqual({ mapping, filtering }, EXPECTED_BEHAVIOUR[kind]);
    });
  }

  it('tcp443 lets TCP to port 443 through and nothing else', async () => {
    await setNat(lab, 'r1', { kind: 'tcp443' });
    assert.equal(await p1.ask('dial', { to: `${PUBLIC_HOST.address}:443`, wait: STEP_TIMEOUT }), 'open');
    assert.equal(await p1.ask('dial', { to: `${PUBLIC_HOST.address}:80`, wait: FILTERED }), 'timeout');
    await setNat(lab, 'r1', { kind: 'port' });
    assert.equal(await p1.ask('dial', { to: `${PUBLIC_HOST.address}:80`, wait: STEP_TIMEOUT }), 'open');
  });

  for (const [index, one] of UDP_KINDS.entries()) {
    for (const other of UDP_KINDS.slice(index)) {
      const direct = meetsDirectly(one, other);
      it(`${one} and ${other} ${direct ? 'meet' : 'do not meet'} when both send`, async () => {
        await Promise.all([setNat(lab, 'r1', { kind: one }), setNat(lab, 'r2', { kind: other })]);
        assert.equal(await meet(p1, p2, outside, direct), direct);
      });
    }
  }

  it('forgets mappings when a router is flushed', async () => {
    await setNat(lab, 'r1', { kind: 'cone' });
    const name = 'flushed';
    await p1.ask('open', { name });
    const seen = async (/** @type {string} */ text) => {
      await p1.ask('send', { name, to: `${PUBLIC_HOST.address}:3478`, text });
      return await outside.ask('receive', { name: 'A1', text, wait: STEP_TIMEOUT });
    };
    const before = await seen('before flush');
    assert.ok(before);
    assert.equal(await seen('again'), before);
    await flushMappings(lab, 'r1');
    assert.notEqual(await seen('after flush'), before);
  });

  it('moves p1 to the cellular network', async () => {
    await moveToCellular(lab);
    await p1.ask('open', { name: 'moved' });
    await p1.ask('send', { name: 'moved', to: `${PUBLIC_HOST.address}:3478`, text: 'moved' });
    const from = await outside.ask('receive', { name: 'A1', text: 'moved', wait: STEP_TIMEOUT });
    assert.match(String(from), new RegExp(`^${OUTER.rc}:`));
  });
});

describe('figure 2: one router', { skip, timeout: SUITE_TIMEOUT }, () => {
  it('carries nothing from private addresses into the public network, nor to them', async (t) => {
    const lab = await figure2({ r1: { kind: 'cone' } });
    t.after(() => lab.down());
    const [p1, p2] = ['p1', 'p2'].map((node) => new Probe(lab, node));
    await p1.ask('open', { name: 's', port: 5000 });
    await p2.ask('open', { name: 's', port: 5000 });
    await p2.ask('send', { name: 's', to: `${PEER.private1}:5000`, text: 'leak' });
    assert.equal(await p1.ask('receive', { name: 's', text: 'leak', wait: FILTERED }), null);
    await p1.ask('send', { name: 's', to: `${PEER.public2}:5000`, text: 'out' });
    const from = await p2.ask('receive', { name: 's', text: 'out', wait: STEP_TIMEOUT });
    assert.match(String(from), new RegExp(`^${OUTER.r1}:`));
    await p2.ask('send', { name: 's', to: from, text: 'back' });
    assert.equal(await p1.ask('receive', { name: 's', text: 'back', wait: STEP_TIMEOUT }), `${PEER.public2}:5000`);
  });
});

describe('figure 1: one private network', { skip, timeout: SUITE_TIMEOUT }, () => {
  it('joins the peers and the server', async (t) => {
    const lab = await figure1();
    t.after(() => lab.down());
    const [p1, p2] = ['p1', 'p2'].map((node) => new Probe(lab, node));
    await p1.ask('open', { name: 's', port: 5000 });
    await p2.ask('open', { name: 's', port: 5000 });
    await p1.ask('send', { name: 's', to: `${PEER.private2}:5000`, text: 'hello' });
    assert.equal(await p2.ask('receive', { name: 's', text: 'hello', wait: STEP_TIMEOUT }), `${PEER.private1}:5000`);
  });
});

describe("coturn's own probe agrees", { skip: skip || (await labMissing('turnserver')), concurrency: true, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Record<string, string>} */
  const words = {
    'endpoint-independent': 'Endpoint Independent',
    'address-dependent': 'Address Dependent',
    'address-and-port-dependent': 'Address and Port Dependent',
  };

  for (const kind of UDP_KINDS) {
    it(kind, async (t) => {
      const lab = await figure3({ r1: { kind }, r2: { kind } });
      t.after(() => lab.down());
      const { address, second } = PUBLIC_HOST;
      const plain = ['-n', '--no-auth', '--no-tls', '--no-dtls', '--no-cli', '--log-file=/dev/null'];
      lab.spawn('server', 'turnserver', [...plain, `--listening-ip=${address}`, `--listening-ip=${second}`], { stdio: 'ignore' });
      const listens = async (/** @type {string} */ at) => (await lab.run('server', 'ss', ['-Hlnu', 'src', `${at}:3478`])).trim();
      for (const at of [address, second]) while (!(await listens(at))) await sleep(20);
      // It takes an answer that is late for one that was filtered: then it is asked again.
      const finds = async (/** @type {string} */ what, /** @type {string} */ found) => {
        const ask = () => lab.run('p1', 'turnutils_natdiscovery', [what, '-L', PEER.private1, address]);
        let said = await ask();
        for (let trial = 0; trial < 4 && !said.includes(found); trial++) said = await ask();
        assert.ok(said.includes(found), said);
      };
      const { mapping, filtering } = EXPECTED_BEHAVIOUR[kind];
      await finds('-m', `NAT with ${words[mapping]} Mapping`);
      await finds('-f', `NAT with ${words[filtering]} Filtering`);
    });
  }
});
