import { byId, initials, part } from './dom.js';
import { oneLine } from './foreign.js';
import { dismiss, notify } from './notices.js';
import { CONNECTION_WORDS } from './words.js';

/** @typedef {import('/columba/call/peer.js').CallPeer} CallPeer */

/** @type {Map<string, HTMLElement>} */
const tiles = new Map();

/** Those who record the call, by name. @type {Map<string, string>} */
const recorders = new Map();

/** Numbers those who gave no name, in the order in which they came. */
let guests = 0;

/** @type {Map<string, string>} */
const guestNames = new Map();

/**
 * The name of a participant.
 *
 * @param {CallPeer} peer
 */
export function nameOf(peer) {
  if (peer.name !== '') return oneLine(peer.name);
  let name = guestNames.get(peer.id);
  if (name === undefined) {
    guests += 1;
    name = `Guest ${guests}`;
    guestNames.set(peer.id, name);
  }
  return name;
}

/**
 * Brings a participant's tile up to date; makes it if there is none.
 *
 * @param {CallPeer} peer
 */
export function showPeer(peer) {
  let tile = tiles.get(peer.id);
  if (tile === undefined) {
    const template = byId('tile-template');
    if (!(template instanceof HTMLTemplateElement)) return;
    tile = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
    tile.dataset.peer = peer.id;
    tiles.set(peer.id, tile);
    byId('tiles').append(tile);
    countTiles();
  }
  const state = peer.connectionState;
  const name = nameOf(peer);
  tile.dataset.connectionState = state;
  tile.dataset.camera = String(peer.camera && peer.stream !== null);
  part(tile, 'tile-name').textContent = name;
  part(tile, 'tile-state').textContent = CONNECTION_WORDS[state] ?? '';
  part(tile, 'tile-muted').hidden = peer.microphone || state !== 'connected';
  part(tile, 'tile-recording').hidden = !peer.recording;
  if (peer.recording) recorders.set(peer.id, name);
  else recorders.delete(peer.id);
  showRecorders();
  part(tile, 'tile-video').setAttribute('aria-label', `Picture of ${name}`);
  const avatar = tile.querySelector('.avatar');
  if (avatar !== null) avatar.textContent = initials(name);
  showRoute(part(tile, 'route-badge'), peer);
  showStream(part(tile, 'tile-video'), peer.stream);
}

/** @param {CallPeer} peer */
export function removePeer(peer) {
  const tile = tiles.get(peer.id);
  if (tile === undefined) return;
  /** @type {HTMLVideoElement} */ (part(tile, 'tile-video')).srcObject = null;
  tile.remove();
  tiles.delete(peer.id);
  recorders.delete(peer.id);
  showRecorders();
  countTiles();
}

export function removeAll() {
  for (const tile of tiles.values()) tile.remove();
  tiles.clear();
  recorders.clear();
  showRecorders();
  guestNames.clear();
  guests = 0;
  countTiles();
}

/** A sign over the whole call as long as someone records it. */
function showRecorders() {
  const sign = byId('recording');
  sign.hidden = recorders.size === 0;
  sign.textContent = recorders.size === 0 ? '' : `Recorded by ${[...recorders.values()].join(', ')}`;
}

/** The layout depends on how many there are. */
function countTiles() {
  byId('tiles').dataset.count = String(Math.min(tiles.size + 1, 17));
}

/**
 * @param {HTMLElement} badge
 * @param {CallPeer} peer
 */
function showRoute(badge, { route, connectionState }) {
  badge.hidden = route === null || connectionState !== 'connected';
  badge.dataset.route = route?.kind ?? 'unknown';
  if (route === null) return;
  badge.dataset.local = route.local;
  badge.dataset.remote = route.remote;
  badge.textContent = route.kind;
  const words = route.kind === 'direct' ? 'Packets go straight to this peer' : 'Packets go through a relay, encrypted end to end';
  badge.title = `${words} (${route.local} to ${route.remote} over ${route.protocol})`;
}

/**
 * @param {HTMLVideoElement} video
 * @param {MediaStream | null} stream
 */
export function showStream(video, stream) {
  if (video.srcObject === stream) return;
  video.srcObject = stream;
  if (stream === null) return;
  video.play().catch((/** @type {DOMException} */ error) => {
    if (error.name === 'NotAllowedError') notify('play-blocked', { stays: true, action: 'Play the sound', onAction: playAll });
  });
}

function playAll() {
  dismiss('play-blocked');
  for (const video of document.querySelectorAll('video')) void video.play().catch(() => {});
}
