// libdatachannel, and with it usrsctp, as a program: commands come on its standard input, a JSON object a line. At a line that
// is no object it ends with one sentence on its standard error and exit code 2.

import { createInterface } from 'node:readline';
import { RTCPeerConnection } from 'node-datachannel/polyfill';
import { WebPeer } from '../web-peer.js';

/** The exit code for a line that is no command. */
const USAGE_ERROR = 2;

/** @param {object} event */
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

// Its own types are narrower in places that are not used here.
const connection = /** @type {globalThis.RTCPeerConnection} */ (/** @type {unknown} */ (new RTCPeerConnection({ iceServers: [] })));
const peer = new WebPeer(connection, tell);
createInterface({ input: process.stdin })
  .on('line', (line) => {
    peer.obey(parse(line)).catch((error) => tell({ event: 'error', message: `${error}` }));
  })
  .on('close', () => process.exit());

/** @param {string} line */
function parse(line) {
  try {
    const command = JSON.parse(line);
    if (typeof command?.do === 'string') return command;
    throw new Error('an object with the member "do" is expected');
  } catch (error) {
    console.error(`libdatachannel: not a command: ${/** @type {Error} */ (error).message}`);
    process.exit(USAGE_ERROR);
  }
}
