// Running other programs, with what they said in the error when they fail.

import { execFile, spawn } from 'node:child_process';
import { STEP_TIMEOUT } from './timeouts.js';

/**
 * @typedef {object} RunOptions
 * @property {string} [input] what the program reads from its standard input
 * @property {number} [timeout] milliseconds until it is killed
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [cwd]
 */

/**
 * Runs a program to its end and answers with what it wrote.
 * @param {string} program
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<string>}
 */
export function run(program, args, { input, timeout = STEP_TIMEOUT, env, cwd } = {}) {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { timeout, env, cwd, killSignal: 'SIGKILL', maxBuffer: 16 << 20 },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        const why = error.killed ? `no end within ${timeout} ms` : `exit ${error.code}`;
        const said = `${stdout}${stderr}`.trim();
        reject(new Error(`${program} ${args.join(' ')}: ${why}${said ? `\n${said}` : ''}`));
      },
    );
    child.stdin?.on('error', () => {}); // a program that ends early does not read its input
    child.stdin?.end(input ?? '');
  });
}

/**
 * Ends a child of ours and waits until it is gone.
 * @param {import('node:child_process').ChildProcess} child
 * @param {{signal?: NodeJS.Signals, grace?: number}} [options] `grace`: milliseconds until SIGKILL
 */
export async function stop(child, { signal = 'SIGTERM', grace = 3000 } = {}) {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), grace);
  await gone;
  clearTimeout(timer);
}

/**
 * Returns whether a program can be found on the path.
 * @param {string} program
 */
export async function isInstalled(program) {
  const found = spawn('sh', ['-c', `PATH="$PATH:/usr/sbin:/sbin" command -v ${program}`], { stdio: 'ignore' });
  return new Promise((resolve) => found.once('exit', (code) => resolve(code === 0)));
}
