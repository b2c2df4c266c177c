// werift as a program: see `../commands.js`.

import { createPolyfillRTCPeerConnection } from 'werift/polyfill';
import { obeyInput, report } from '../commands.js';
import { WebPeer } from '../web-peer.js';

// Its own types are narrower in places that are not used here.
const RTCPeerConnection = createPolyfillRTCPeerConnection();
const connection = /** @type {globalThis.RTCPeerConnection} */ (/** @type {unknown} */ (new RTCPeerConnection({ iceServers: [] })));
obeyInput('werift', new WebPeer(connection, report));
