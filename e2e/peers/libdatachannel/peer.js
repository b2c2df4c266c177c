// libdatachannel, and with it usrsctp, as a program: see `../commands.js`.

import { RTCPeerConnection } from 'node-datachannel/polyfill';
import { obeyInput, report } from '../commands.js';
import { WebPeer } from '../web-peer.js';

// Its own types are narrower in places that are not used here.
const connection = /** @type {globalThis.RTCPeerConnection} */ (/** @type {unknown} */ (new RTCPeerConnection({ iceServers: [] })));
obeyInput('libdatachannel', new WebPeer(connection, report));
