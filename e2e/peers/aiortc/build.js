// Installs aiortc from PyPI beside the other programs, in a Python environment of its own.

import { fileURLToPath } from 'node:url';
import { run } from '../../lab/shell.js';

const OUT = fileURLToPath(new URL('../../out/aiortc/', import.meta.url));
const VERSION = '1.16.0';

/** Milliseconds that it may take, with the downloads of the first time. */
const INSTALL_TIMEOUT = 300_000;

/** The Python that has it. */
export const aiortcPython = () => `${OUT}bin/python`;

export async function installAiortc() {
  await run('/usr/bin/python3', ['-m', 'venv', OUT], { timeout: INSTALL_TIMEOUT });
  await run(aiortcPython(), ['-m', 'pip', 'install', '--quiet', `aiortc==${VERSION}`], { timeout: INSTALL_TIMEOUT, env: process.env });
}
