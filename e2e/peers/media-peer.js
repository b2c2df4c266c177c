// The peers of the tests of media, ours and others, each behind the same commands: they send sound
// and a picture, and count what they get.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { program } from '../lab/server.js';
import { aiortcPython } from './aiortc/build.js';
import { pagePeer, programPeer } from './data-peer.js';
import { FilmPeer } from './film-peer.js';
import { JanusPeer, JanusRoom } from './janus/peer.js';
import { pionProgram } from './pion/build.js';
import { wrtcScript } from './wrtc/build.js';

/** @param {string} file */
const pathOf = (file) => fileURLToPath(new URL(file, import.meta.url));

/**
 * Ours, which shows the film, or sends back the picture that it gets; in place of the film's sound
 * it may send silence of another codec.
 * @param {{film: string, audio?: string, echo?: boolean, maxBundle?: boolean,
 *   simulcast?: boolean}} options
 */
export const columbaFilm = (options) =>
  programPeer('columba', [join(dirname(program()), 'columba-e2e-peer'), JSON.stringify({ do: 'film', ...options })]);

/** Pion, which shows files. @param {string} ivf @param {string} ogg */
export const pionFilm = (ivf, ogg) => programPeer('pion', [pionProgram('film'), ivf, ogg]);

/** aiortc, which encodes and decodes. */
export const aiortcFilm = () => programPeer('aiortc', [aiortcPython(), pathOf('aiortc/film.py')]);

/** libwebrtc in Node.js, which encodes and decodes. */
export const wrtcFilm = () => programPeer('libwebrtc', [process.execPath, wrtcScript()]);

/** Janus, which sends back what it gets. @param {string} url */
export const janusEcho = (url) => JanusPeer.create(url);

/**
 * A room of Janus: the side that takes a film, and the one that offers it.
 * @param {string} url
 */
export const janusRoom = (url) => JanusRoom.create(url);

/**
 * A page of a browser, which encodes and decodes.
 * @param {import('../browser/launch.js').Running} running
 * @param {string} origin of pages that may use media
 * @param {{audio?: string, video?: string, rids?: string[]}} [codecs] the only ones that it takes,
 *   and the names of the encodings that it sends
 */
export const browserFilm = (running, origin, codecs = {}) =>
  pagePeer(running, origin, `new (${FilmPeer})(${JSON.stringify(codecs)}, report)`);
