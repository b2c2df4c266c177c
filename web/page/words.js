import { oneLine } from './foreign.js';

/** The sentence that the page shows for each error. */
const WORDS = /** @type {Record<string, string>} */ ({
  'insecure-origin':
    'Browsers give the camera and the microphone only to secure pages. Open this page over https, or as http://localhost. You take part with text for now.',
  'permission-denied':
    'The browser does not let this page use the camera or the microphone. Allow it at the left of the address bar, then press the button again. You take part without for now.',
  'no-camera': 'No camera was found. The others hear you, but do not see you.',
  'no-microphone': 'No microphone was found. You hear the others, and can write to them.',
  'no-devices': 'No camera and no microphone were found. You see and hear the others, and can write to them.',
  'camera-busy': 'The camera is used by another program. Close that one, then press the camera button.',
  'microphone-busy': 'The microphone is used by another program. Close that one, then press the microphone button.',
  'device-failed': 'The camera or the microphone could not be started.',
  'camera-lost': 'The camera was unplugged or taken away. Press the camera button to use another one.',
  'microphone-lost': 'The microphone was unplugged or taken away. Press the microphone button to use another one.',
  'no-webrtc': 'This browser cannot make calls, because it has no WebRTC or it is switched off.',
  'bad-link': 'This is neither a link to a call nor its code.',
  'play-blocked': 'The browser keeps the sound off until you click.',
  unreachable: 'The server cannot be reached. Trying again…',
  'unreachable-in-call': 'The server cannot be reached. Calls that are connected go on; trying again…',
  'going-away': 'The server is being restarted. Calls that are connected go on.',
  draining: 'The server is stopping and takes no new calls. Trying again…',
  'server-full': 'The server has as many calls as it can take. Trying again…',
  'too-many-joins': 'Too many calls were joined from your network within a minute. Trying again…',
  'session-full': 'This call is full.',
  'origin-not-allowed': 'The server does not take calls from a page at this address. Its operator can allow it with --allow-origin.',
  'bad-token': 'This link is not a link to a call: its code has the wrong form.',
  'key-required': 'This server asks for a key. Its operator can give you one.',
  'wrong-key': 'This is not the key of this server.',
  replaced: 'This call was opened in another place, which took over.',
  'too-slow': 'Your connection to the server is too slow. Joining again…',
  'bad-ice-servers': 'The browser does not take all of the servers that help behind routers; calls may fail in some networks.',
  'negotiation-failed': 'A connection had to be made anew.',
});

/**
 * @param {string} code
 * @param {string} [fallback] the server's message
 * @returns {string}
 */
export function wordsFor(code, fallback = '') {
  return WORDS[code] ?? oneLine(fallback || `Something went wrong (${code}).`);
}

/** The text of a tile about its connection. */
export const CONNECTION_WORDS = /** @type {Record<string, string>} */ ({
  new: 'Connecting…',
  connecting: 'Connecting…',
  connected: '',
  disconnected: 'Connection interrupted, mending it…',
  failed: 'Looking for another way…',
  closed: 'Connection closed',
});
