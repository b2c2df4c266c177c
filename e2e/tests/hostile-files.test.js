// Files through a signaling server that swaps fingerprints, replays and drops: nothing but the
// files themselves arrives, or nothing at all.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { HostileSignaling } from '../peers/hostile-signaling.js';
import { Terminal } from '../peers/terminal.js';
import { Server } from '../lab/server.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';

/** @typedef {import('../peers/hostile-signaling.js').Change} Change */

const CONTENT = 'the file itself';

/** The fingerprints in a text are others. @param {any} data */
function swapped(data) {
  const swap = (/** @type {string} */ _, /** @type {string} */ head, /** @type {string} */ byte) => `${head}${byte === '00' ? '11' : '00'}`;
  return JSON.parse(JSON.stringify(data).replaceAll(/(fingerprint:sha-256 )([0-9A-F]{2})/g, swap));
}

describe('files through a hostile signaling server', { timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;
  /** @type {string} */ let folder;
  let count = 0;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'columba-hostile-'));
    writeFileSync(join(folder, 'file'), CONTENT);
    server = await Server.start({ args: ['--joins-per-minute', '1000'] });
  });
  after(async () => {
    await server?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  /**
   * Both sides meet by a code or a link through a server that changes messages.
   * @param {import('node:test').TestContext} t @param {'code' | 'link'} by @param {Change} change
   */
  async function meet(t, by, change) {
    const hostile = await HostileSignaling.start(server.ports.web, change);
    const [home1, home2, out] = ['home', 'home', 'out'].map((name) => join(folder, `${name}${++count}`));
    [home1, home2, out].forEach((path) => mkdirSync(path));
    const route = ['--server', hostile.origin];
    const sender = new Terminal(['send', ...route, join(folder, 'file')], { home: home1 });
    const waiting = await sender.event('waiting');
    const receiver = new Terminal(['receive', '--yes', '--out', out, ...route, waiting[by]], { home: home2 });
    t.after(async () => {
      await Promise.all([sender.kill(), receiver.kill()]);
      hostile.close();
    });
    return { hostile, sender, receiver, out };
  }

  /** @param {Awaited<ReturnType<typeof meet>>} sides */
  async function arrives({ hostile, sender, receiver, out }) {
    assert.equal(await receiver.ended, 0, receiver.said);
    assert.equal(await sender.ended, 0, sender.said);
    assert.equal(readFileSync(join(out, 'file'), 'utf8'), CONTENT);
    assert.ok(hostile.messages > 2);
  }

  for (const by of /** @type {const} */ (['code', 'link'])) {
    it(`by a ${by}, one that swaps fingerprints is found out, and nothing arrives`, async (t) => {
      const { sender, receiver, out } = await meet(t, by, swapped);
      const refusal = (/** @type {any} */ event) => event.text === 'A message without the right seal was dropped.';
      // Each side sends again after 5 s; none of it is taken.
      const twice = (/** @type {Terminal} */ side) => side.event('note', () => side.events.filter(refusal).length > 1);
      await Promise.any([sender, receiver].map(twice));
      for (const side of [sender, receiver]) assert.ok(!side.events.some(({ event }) => event === 'connected' || event === 'offer'));
      assert.deepEqual(readdirSync(out), []);
    });

    it(`by a ${by}, one that replays older messages is not believed`, async (t) => {
      /** @type {Map<string, any[]>} */
      const seen = new Map();
      const replay = (/** @type {any} */ data, /** @type {any} */ { from }) => {
        if (data.call === undefined) return data;
        const older = seen.get(from) ?? [];
        seen.set(from, [...older, data]);
        return older.length % 3 === 1 ? older[0] : data;
      };
      await arrives(await meet(t, by, replay));
    });

    it(`by a ${by}, messages that are dropped come again`, async (t) => {
      let passed = 0;
      await arrives(await meet(t, by, (data) => (data.call !== undefined && passed++ % 3 === 0 ? {} : data)));
    });
  }

  it('one that gives back the share of a code learns nothing', async (t) => {
    /** @type {string[]} */
    const shares = [];
    const { sender, receiver, out } = await meet(t, 'code', (data) => {
      if (data.send?.share === undefined) return data;
      shares.push(data.send.share);
      return { send: { share: shares[0] } };
    });
    assert.equal(await receiver.ended, 4);
    assert.match(receiver.said, /^columba: No sender answers at the code/m);
    assert.deepEqual(readdirSync(out), []);
    assert.ok(!sender.events.some(({ event }) => event === 'connected'));
  });
});
