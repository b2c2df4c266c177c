// Programs that take commands on their standard input, a JSON object a line. At a line that is no
// object they end with one sentence on their standard error and exit code 2.

import { createInterface } from 'node:readline';

/** The exit code for a line that is no command. */
const USAGE_ERROR = 2;

/** @param {object} event */
export const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/**
 * Runs until the standard input ends.
 * @param {string} name
 * @param {{obey(command: object): Promise<void>}} peer
 */
export function obeyInput(name, peer) {
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      peer.obey(parse(name, line)).catch((error) => report({ event: 'error', message: `${error}` }));
    })
    .on('close', () => process.exit());
}

/** @param {string} name @param {string} line */
function parse(name, line) {
  try {
    const command = JSON.parse(line);
    if (typeof command?.do === 'string') return command;
    throw new Error('an object with the member "do" is expected');
  } catch (error) {
    console.error(`${name}: not a command: ${/** @type {Error} */ (error).message}`);
    process.exit(USAGE_ERROR);
  }
}
