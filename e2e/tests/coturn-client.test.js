// coturn's own client against our server, with a shared secret.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { programsMissing } from '../lab/available.js';
import { run } from '../lab/shell.js';
import { STEP_TIMEOUT, SUITE_TIMEOUT } from '../lab/timeouts.js';
import { Server } from '../lab/server.js';

const SECRET = 'shared-with-coturn';
const skip = await programsMissing('turnutils_uclient');

describe('turnutils_uclient', { skip, concurrency: true, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Server} */ let server;

  before(async () => {
    server = await Server.start({ args: ['--turn-secret', SECRET, '--allow-peer', '127.0.0.0/8'] });
  });
  after(() => server?.stop());

  for (const [transport, flags] of [
    ['UDP', []],
    ['TCP', ['-t']],
  ]) {
    for (const [data, how] of [
      ['channels', []],
      ['indications', ['-s']],
    ]) {
      it(`relays between its clients over ${transport} with ${data}`, async () => {
        const clients = ['-m', '4', '-n', '20', '-l', '500', '-y', '-c'];
        const where = ['-W', SECRET, '-u', 'coturn', '-p', String(server.ports.stun), server.address];
        const said = await run('turnutils_uclient', [...flags, ...how, ...clients, ...where], { timeout: 2 * STEP_TIMEOUT });
        assert.match(said, /Total lost packets 0 /, said);
        assert.doesNotMatch(said, /error/i);
      });
    }

    // It allocates, comes back from another port with its ticket, and sends every request twice.
    it(`takes its allocations along over ${transport}`, async () => {
      const metric = async () => {
        const text = await (await fetch(`${server.origin}/metrics`)).text();
        return Number(/^columba_turn_allocations_moved_total (\d+)/m.exec(text)?.[1]);
      };
      const before = await metric();
      const where = ['-W', SECRET, '-u', 'coturn', '-p', String(server.ports.stun), server.address];
      const said = await run('turnutils_uclient', [...flags, '-M', '-m', '4', '-n', '20', '-l', '500', '-y', '-c', ...where], { timeout: 2 * STEP_TIMEOUT });
      assert.match(said, /Total lost packets 0 /, said);
      assert.doesNotMatch(said, /error/i);
      assert.ok((await metric()) >= before + 4);
    });
  }
});
