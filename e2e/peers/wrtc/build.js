// Installs libwebrtc's binding for Node.js from npm beside the other programs: it is large, and
// only the whole comparison needs it.

import { copyFileSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from '../../lab/shell.js';

const OUT = fileURLToPath(new URL('../../out/wrtc/', import.meta.url));
const VERSION = '0.10.0';

/** Milliseconds that it may take, with the downloads of the first time. */
const INSTALL_TIMEOUT = 300_000;

/** The path of the program, which stands beside what it imports. */
export const wrtcScript = () => `${OUT}film.mjs`;

export async function installWrtc() {
  mkdirSync(OUT, { recursive: true });
  const options = ['--prefix', OUT, '--no-audit', '--no-fund', '--loglevel=error', '--no-save'];
  await run('npm', ['install', ...options, `@roamhq/wrtc@${VERSION}`], { timeout: INSTALL_TIMEOUT, env: process.env });
  copyFileSync(fileURLToPath(new URL('film.mjs', import.meta.url)), wrtcScript());
}
