// The Rust peer and real browsers, and two Rust peers: messages both ways, 20 MB each way whole, and the close from either
// side, over loopback and in the figures of the laboratory.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { talkInPage } from '../browser/data-page.js';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { RustPeer } from '../clients/rust-peer.js';
import { programsMissing } from '../lab/available.js';
import { Server } from '../server.js';

/** @typedef {'offer' | 'answer'} Role */
/** @typedef {import('../browser/data-page.js').Talk} Talk */

const skip = await programsMissing(...BROWSER_PROGRAMS);

/** Bytes each way. */
const MUCH = 20_000_000;

/** @param {Role} role @returns {Role} */
const other = (role) => (role === 'offer' ? 'answer' : 'offer');

/** Each has heard what the other has said. @param {Talk} offerer @param {Talk} answerer @param {number} bytes */
function haveUnderstood(offerer, answerer, bytes) {
  assert.equal(offerer.greeting, 'hello from answer');
  assert.equal(answerer.greeting, 'hello from offer');
  assert.deepEqual(offerer.received, answerer.sent);
  assert.deepEqual(answerer.received, offerer.sent);
  assert.equal(offerer.sent.bytes, bytes);
  assert.equal(answerer.sent.bytes, bytes);
  assert.notEqual(offerer.sent.sha256, answerer.sent.sha256);
  assert.deepEqual([offerer.end, answerer.end], ['closed', 'closed']);
}

describe('over loopback', { skip, timeout: 120_000 }, () => {
  /** @type {Server} */ let server;
  /** @type {import('../browser/launch.js').Running[]} */ let running = [];

  before(async () => {
    server = await Server.start({ args: ['--joins-per-minute', '1000'] });
    running = await Promise.all([launch('chromium'), launch('firefox')]);
  });
  after(async () => {
    await Promise.all(running.map((browser) => browser.close()));
    await server?.stop();
  });

  for (const [index, name] of ['Chromium', 'Firefox'].entries()) {
    for (const role of /** @type {Role[]} */ (['offer', 'answer'])) {
      for (const closes of [true, false]) {
        it(`${name} ${role}s, and the ${closes ? 'browser' : 'Rust peer'} closes`, async () => {
          const token = randomUUID();
          const rust = new RustPeer({ server: server.origin, token, role: other(role), closes: !closes, bytes: MUCH });
          const page = talkInPage(running[index], server.origin, { token, role, closes, bytes: MUCH });
          const [inPage, inRust] = await Promise.all([page, rust.talk()]);
          if (role === 'offer') haveUnderstood(inPage, inRust, MUCH);
          else haveUnderstood(inRust, inPage, MUCH);
        });
      }
    }
  }
});
