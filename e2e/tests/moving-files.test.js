// `columba send` and `columba receive` behind NATs: the network changes in the middle, the relay is
// restarted, the server goes for good; and two machines in one network without any server.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Scene } from '../scenarios/scene.js';
import { Terminal } from '../peers/terminal.js';
import { labMissing } from '../lab/available.js';
import { figure1, figure3, flushMappings, moveToCellular, PUBLIC_HOST } from '../lab/figures.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../lab/lab.js').Lab} Lab */

const skip = await labMissing('openssl');

/** Megabytes of the file: `cargo xtask soak files moves` sends more. */
const MEGABYTES = Number(process.env.MOVING_MEGABYTES ?? 40);
/** Its bytes and its rate: long enough to be in the middle of it for some seconds. */
const [BYTES, RATE] = [MEGABYTES * 1_000_000, `${Math.max(6, Math.round(MEGABYTES / 40))}M`];

/** A relay that carries more than the default, so that the rate is the sender's. */
const WIDE = ['--bandwidth-per-user', '100MB', '--bandwidth-per-client', '100MB'];

/** @param {string} path */
const digest = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/**
 * A file in a lab's folder, and the folders of both sides.
 * @param {Lab} lab @param {number} bytes
 */
function files(lab, bytes) {
  const [file, out] = [join(lab.folder, 'film.mkv'), join(lab.folder, 'out')];
  writeFileSync(file, randomBytes(bytes));
  const homes = ['home1', 'home2'].map((name) => join(lab.folder, name));
  homes.forEach((home) => mkdirSync(home));
  return { file, out, arrived: join(out, 'film.mkv'), homes };
}

/**
 * p1 sends to p2, and this happens in the middle of it. On loaded cores the relay may be the first
 * way that is found; how long nothing moved is printed, and is within 3 s where cores are free.
 * @param {(scene: Scene) => Promise<void>} event
 * @param {{kind?: import('../lab/nat.js').NatOptions['kind'], way?: RegExp}} [options]
 */
async function sendThrough(event, { kind = 'port', way = /^(directly|through the relay) over UDP$/ } = {}) {
  const lab = await figure3({ r1: { kind }, r2: { kind }, rc: { kind } });
  const scene = await Scene.set(lab, PUBLIC_HOST, { browsers: [], args: WIDE });
  try {
    const { file, out, arrived, homes } = files(lab, BYTES);
    const route = ['--server', scene.server.origin];
    const of = (/** @type {number} */ side) => ({ home: homes[side], at: { lab, node: `p${side + 1}` }, authority: scene.authority.cert });
    const sender = new Terminal(['send', ...route, '--limit', RATE, file], of(0));
    const { code } = await sender.event('waiting');
    const receiver = new Terminal(['receive', ...route, '--yes', '--out', out, code], of(1));
    assert.match((await receiver.event('connected')).way, way);
    const { at } = await receiver.reaches(BYTES / 8);
    await event(scene);
    assert.equal(await receiver.ended, 0, receiver.said);
    assert.equal(await sender.ended, 0, sender.said);
    assert.equal(digest(arrived), digest(file));
    return { pause: receiver.longestPause(at), sender, receiver };
  } finally {
    await scene.strike();
  }
}

describe('in the middle of a file', { skip, timeout: SUITE_TIMEOUT }, () => {
  it('the sender moves to another network, and it goes on by itself', async (t) => {
    const { pause } = await sendThrough(({ lab }) => moveToCellular(lab));
    t.diagnostic(`nothing moved for ${Math.round(pause)} ms`);
  });

  it('a router forgets its mappings, and it goes on by itself', async (t) => {
    const { pause } = await sendThrough(({ lab }) => flushMappings(lab, 'r1'));
    t.diagnostic(`nothing moved for ${Math.round(pause)} ms`);
  });

  it('the TURN server that relays it is restarted, and it goes on by itself', async (t) => {
    let away = 0;
    const { pause } = await sendThrough(
      async ({ server }) => {
        const began = performance.now();
        await server.kill();
        await server.start();
        away = performance.now() - began;
      },
      { kind: 'symmetric', way: /^through the relay over UDP$/ },
    );
    t.diagnostic(`nothing moved for ${Math.round(pause)} ms, of which the server was away ${Math.round(away)} ms`);
  });

  it('the signaling server goes for good, which nothing notices', async (t) => {
    const { pause } = await sendThrough(({ server }) => server.kill());
    t.diagnostic(`nothing moved for ${Math.round(pause)} ms`);
  });
});

describe('two machines in one network without a server', { skip, timeout: SUITE_TIMEOUT }, () => {
  for (const by of /** @type {const} */ (['code', 'link'])) {
    it(`a file goes by the ${by}`, async (t) => {
      const lab = await figure1();
      t.after(() => lab.down());
      const { file, out, arrived, homes } = files(lab, 1_000_000);
      const sender = new Terminal(['send', file], { home: homes[0], at: { lab, node: 'p1' } });
      const waiting = await sender.event('waiting');
      const receiver = new Terminal(['receive', '--yes', '--out', out, waiting[by]], { home: homes[1], at: { lab, node: 'p2' } });
      assert.equal(await receiver.ended, 0, receiver.said);
      assert.equal(await sender.ended, 0, sender.said);
      assert.equal(digest(arrived), digest(file));
    });
  }

  it('a code that no sender has gets a sentence', async (t) => {
    const lab = await figure1();
    t.after(() => lab.down());
    const { out, homes } = files(lab, 1);
    const receiver = new Terminal(['receive', '--yes', '--out', out, '7-copper-violin'], { home: homes[1], at: { lab, node: 'p2' } });
    assert.equal(await receiver.ended, 2);
    assert.match(receiver.said, /^columba: No sender with this code is in the local network/m);
  });
});
