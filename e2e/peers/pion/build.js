// Builds the programs on Pion's libraries. The versions are those of `go.sum`; others are refused.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../lab/shell.js';

const OUT = fileURLToPath(new URL('../../out/', import.meta.url));

/** Milliseconds that a build may take, with the downloads of the first one. */
const BUILD_TIMEOUT = 300_000;

/** @typedef {'film' | 'ice' | 'webrtc'} PionProgram the folder of its source */

/** The path of a built program. @param {PionProgram} name */
export const pionProgram = (name) => join(OUT, `pion-${name}`);

/** @param {PionProgram} name */
export async function buildPion(name) {
  mkdirSync(OUT, { recursive: true });
  const cwd = fileURLToPath(new URL(`${name}/`, import.meta.url));
  await run('go', ['build', '-mod=readonly', '-o', pionProgram(name), '.'], { cwd, timeout: BUILD_TIMEOUT, env: process.env });
}
