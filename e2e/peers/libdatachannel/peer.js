// libdatachannel, and with it usrsctp, as a program: what it is told comes on its standard input, a JSON object a line.

import { createInterface } from 'node:readline';
import { RTCPeerConnection } from 'node-datachannel/polyfill';
import { WebPeer } from '../web-peer.js';

/** @param {object} event */
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

// Its own types are narrower in places that are not used here.
const connection = /** @type {globalThis.RTCPeerConnection} */ (/** @type {unknown} */ (new RTCPeerConnection({ iceServers: [] })));
const peer = new WebPeer(connection, tell);
createInterface({ input: process.stdin })
  .on('line', (line) => {
    peer.obey(JSON.parse(line)).catch((error) => tell({ event: 'error', message: `${error}` }));
  })
  .on('close', () => process.exit());
