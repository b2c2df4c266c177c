// The programs that tests drive refuse what they cannot read: a test that drives one wrongly
// fails at once and says why.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { programsMissing } from '../lab/available.js';
import { program } from '../lab/server.js';
import { STEP_TIMEOUT } from '../lab/timeouts.js';
import { PROGRAMS as DATA_PROGRAMS } from '../peers/data-peer.js';
import { PROGRAMS as ICE_PROGRAMS } from '../peers/ice-peer.js';
import { buildPion } from '../peers/pion/build.js';

const skip = await programsMissing('go', 'python3');

/** A sentence on one line that names the program. */
const ONE_SENTENCE = /^[\w-]+: [^\n]+\n$/;

/**
 * Starts a program with this input and no more.
 * @param {string[]} command @param {string} input
 */
async function outcome([path, ...args], input) {
  const child = spawn(path, args, { stdio: 'pipe', timeout: STEP_TIMEOUT, killSignal: 'SIGKILL' });
  child.stdin.on('error', () => {}); // it may end before it reads
  child.stdin.write(input);
  let [written, errors] = ['', ''];
  child.stdout.on('data', (text) => (written += text));
  child.stderr.on('data', (text) => (errors += text));
  const [code] = await once(child, 'close');
  return { code, written, errors };
}

/** @param {Awaited<ReturnType<typeof outcome>>} result */
function isRefused({ code, written, errors }) {
  assert.equal(code, 2, `${code}: ${written}${errors}`);
  assert.match(errors, ONE_SENTENCE);
  assert.equal(written, '');
}

describe('programs that take commands', { skip, concurrency: true }, () => {
  before(() => Promise.all([buildPion('ice'), buildPion('webrtc')]), { timeout: 300_000 });

  const programs = [
    ...Object.entries(ICE_PROGRAMS).map(([name, command]) => /** @type {const} */ ([`${name}, ICE`, command])),
    ...Object.entries(DATA_PROGRAMS).map(([name, command]) => /** @type {const} */ ([`${name}, data channels`, command])),
  ];
  for (const [name, command] of programs) {
    for (const [what, line] of /** @type {const} */ ([
      ['JSON that ends early', '{"do":'],
      ['what is no object', '[1]'],
      ['an object without a command', '{}'],
    ])) {
      it(`${name}: ${what} is refused`, async () => isRefused(await outcome(command(), `${line}\n`)));
    }
  }
});

describe('the argument of the Rust peer', { concurrency: true }, () => {
  const rust = join(dirname(program()), 'columba-e2e-peer');
  const talk = { do: 'talk', server: 'http://localhost', token: 'talk', role: 'offer', closes: true, bytes: 1 };
  for (const [what, args] of /** @type {[string, string[]][]} */ ([
    ['no argument', []],
    ['two arguments', ['{"do":"obey"}', '{}']],
    ['JSON that ends early', ['{"do":']],
    ['an unknown mode', ['{"do":"dance"}']],
    ['an unknown option', [JSON.stringify({ ...talk, byte: 1 })]],
    ['a missing option', [JSON.stringify({ ...talk, role: undefined })]],
  ])) {
    it(`${what} is refused`, async () => isRefused(await outcome([rust, ...args], '')));
  }
});
