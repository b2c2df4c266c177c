import { SignalingChannel } from '/columba/index.js';
import { fragmentOf, readFragment } from './address.js';
import { startChat, clearChat } from './chat.js';
import { CallScreen } from './call-screen.js';
import { byId } from './dom.js';
import { FilesScreen, readSendFragment } from './files.js';
import { startInvite } from './invite.js';
import { forgetTransfers } from './kept-transfers.js';
import { openDevices, isAllowed } from './media.js';
import { dismissAll, notify } from './notices.js';
import { SendScreen } from './send-files.js';
import { showStream } from './tiles.js';
import { wordsFor } from './words.js';

/** Where this tab remembers that it was in a call, so that a reload joins it again. */
const IN_CALL = 'columba.in-call';
const NAME = 'columba.name';

/** Where it remembers the server's join key. */
const JOIN_KEY = 'columba.join-key';

/** Refusals after which the page asks for the join key. */
const ABOUT_KEY = ['key-required', 'wrong-key'];

/** @type {CallScreen | null} */
let screen = null;

/** @type {FilesScreen | SendScreen | null} */
let files = null;

/** The page is being left or reloaded, which hangs up but is not to be forgotten. */
let unloading = false;

/** @type {MediaStreamTrack | null} the camera that the lobby shows */
let previewTrack = null;

const nameInput = /** @type {HTMLInputElement} */ (byId('name'));
const withMicrophone = /** @type {HTMLInputElement} */ (byId('with-microphone'));
const withCamera = /** @type {HTMLInputElement} */ (byId('with-camera'));
const joinKey = /** @type {HTMLInputElement} */ (byId('join-key'));
const joinCode = /** @type {HTMLInputElement} */ (byId('join-code'));

start();

function start() {
  /** @type {any} */ (globalThis).columba = null;
  nameInput.value = recall(localStorage, NAME);
  joinKey.value = recall(sessionStorage, JOIN_KEY);
  startInvite();
  startChat((text) => screen?.call.sendChat(text));
  byId('lobby-form').addEventListener('submit', (event) => {
    event.preventDefault();
    enter(tokenInAddress() ?? SignalingChannel.newToken());
  });
  byId('join-code-button').addEventListener('click', () => joinByCode());
  joinCode.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    joinByCode();
  });
  const sendFiles = /** @type {HTMLInputElement} */ (byId('send-files'));
  byId('send-files-button').addEventListener('click', () => sendFiles.click());
  sendFiles.addEventListener('change', () => {
    offerFiles([...(sendFiles.files ?? [])]);
    sendFiles.value = '';
  });
  byId('rejoin-button').addEventListener('click', () => enter(tokenInAddress() ?? SignalingChannel.newToken()));
  byId('new-call-button').addEventListener('click', () => {
    history.replaceState(null, '', location.pathname);
    showLobby();
  });
  withCamera.addEventListener('change', () => void updatePreview());
  globalThis.addEventListener('hashchange', () => addressChanged());
  // Before the call's own listener, which hangs up.
  globalThis.addEventListener('pagehide', () => {
    unloading = true;
  });
  globalThis.addEventListener('pageshow', (event) => event.persisted && location.reload());
  if (showFiles()) return;
  const token = tokenInAddress();
  if (token !== null && recall(sessionStorage, IN_CALL) === token) enter(token);
  else showLobby();
}

/** The session that the address names, in the fragment, which browsers do not send. */
function tokenInAddress() {
  return readFragment(location.hash.slice(1)).token;
}

/** Shows the files that the address offers. False: it offers none. */
function showFiles() {
  files?.leave();
  files = null;
  const link = readSendFragment(location.hash.slice(1));
  if (link === null) return false;
  view('files');
  if (link.secret === null) {
    byId('files-title').textContent = 'This link is not complete';
    byId('files-text').textContent = 'Copy all of it, to its last letter.';
    return true;
  }
  files = new FilesScreen(link.secret, link.key, setStatus);
  /** @type {any} */ (globalThis).columba = { call: files.call, channel: files.call.channel, files };
  files.start();
  return true;
}

/** @param {File[]} chosen */
function offerFiles(chosen) {
  if (chosen.length === 0) return;
  stopPreview();
  view('files');
  const own = chosen.map((file) => ({ path: file.name, file }));
  files = new SendScreen(own, nameInput.value.trim(), joinKey.value.trim(), setStatus);
  /** @type {any} */ (globalThis).columba = { call: files.call, channel: files.call.channel, files };
  files.start();
}

function addressChanged() {
  if (screen === null && showFiles()) return;
  if (screen !== null && tokenInAddress() === screen.token) return;
  screen?.hangUp();
  screen = null;
  showLobby();
}

function showLobby() {
  view('lobby');
  dismissAll();
  const joins = tokenInAddress() !== null;
  document.title = 'Columba';
  byId('lobby-title').textContent = joins ? 'You are invited to a call' : 'Talk face to face';
  byId('start-button').textContent = joins ? 'Join the call' : 'Start a call';
  byId('join-other').hidden = joins;
  byId('send-files-button').hidden = joins;
  setStatus('idle', '');
  if (typeof RTCPeerConnection === 'undefined') notify('no-webrtc', { stays: true });
  else if (navigator.mediaDevices === undefined) notify('insecure-origin', { stays: true });
  if (location.hash.length > 1 && !joins) notify('bad-token', { stays: true });
  void updatePreview();
}

/** Shows the own picture before the call where that needs no question. */
async function updatePreview() {
  const wanted = withCamera.checked && document.body.dataset.view === 'lobby';
  if (!wanted) return stopPreview();
  byId('preview-note').textContent =
    navigator.mediaDevices === undefined
      ? 'You join without camera and microphone.'
      : 'Your browser will ask for the camera and the microphone when you join.';
  if (previewTrack !== null || !(await isAllowed('video'))) return;
  const { tracks, problems } = await openDevices(['video']);
  const [track] = tracks;
  if (problems[0] !== undefined) byId('preview-note').textContent = wordsFor(problems[0]);
  if (track === undefined) return;
  if (document.body.dataset.view !== 'lobby' || !withCamera.checked || previewTrack !== null) return track.stop();
  previewTrack = track;
  showStream(/** @type {HTMLVideoElement} */ (byId('lobby-video')), new MediaStream([track]));
  byId('lobby').dataset.preview = 'on';
}

function stopPreview() {
  previewTrack?.stop();
  previewTrack = null;
  showStream(/** @type {HTMLVideoElement} */ (byId('lobby-video')), null);
  byId('lobby').dataset.preview = 'off';
  byId('preview-note').textContent = 'You join without a camera.';
}

function joinByCode() {
  const text = joinCode.value.trim();
  const { token, key } = readFragment(text.includes('#') ? text.slice(text.indexOf('#') + 1) : text);
  if (token === null) return notify('bad-link');
  enter(token, key);
}

/**
 * @param {string} token
 * @param {string} [linkKey] the join key in the link to the call; a key that was typed is not
 *   passed on with the link
 */
function enter(token, linkKey = readFragment(location.hash.slice(1)).key) {
  if (screen !== null) return;
  dismissAll();
  history.replaceState(null, '', `${location.pathname}${fragmentOf(token, linkKey)}`);
  const key = linkKey === '' ? joinKey.value.trim() : linkKey;
  remember(sessionStorage, JOIN_KEY, key);
  const name = nameInput.value.trim();
  remember(localStorage, NAME, name);
  remember(sessionStorage, IN_CALL, token);
  view('call');
  /** @type {import('./media.js').Kind[]} */
  const kinds = [];
  if (withMicrophone.checked) kinds.push('audio');
  if (withCamera.checked) kinds.push('video');
  const camera = previewTrack;
  previewTrack = null;
  showStream(/** @type {HTMLVideoElement} */ (byId('lobby-video')), null);
  byId('lobby').dataset.preview = 'off';
  screen = new CallScreen({ token, joinKey: key, linkKey, name, kinds, camera, onStatus: setStatus, onEnd: ended });
  /** @type {any} */ (globalThis).columba = { call: screen.call, channel: screen.call.channel };
  screen.start();
}

/**
 * @param {{ code: string, message: string } | null} reason why the call ended, unless the person
 *   hung up
 * @param {boolean} hadBegun
 */
function ended(reason, hadBegun) {
  if (unloading) return;
  screen = null;
  /** @type {any} */ (globalThis).columba = null;
  remember(sessionStorage, IN_CALL, '');
  forgetTransfers();
  clearChat();
  dismissAll();
  if (reason !== null && ABOUT_KEY.includes(reason.code)) return askForKey(reason.code);
  view('ended');
  setStatus('ended', '');
  const failed = hadBegun ? 'The call has ended' : 'You could not join the call';
  byId('ended-title').textContent = reason === null ? 'You have left the call' : failed;
  byId('ended-text').textContent = reason === null ? '' : wordsFor(reason.code, reason.message);
  byId('ended-title').focus();
}

/**
 * Back to the lobby, to type the server's join key. One in the address was no good.
 *
 * @param {string} code
 */
function askForKey(code) {
  const token = tokenInAddress();
  history.replaceState(null, '', token === null ? location.pathname : `${location.pathname}${fragmentOf(token)}`);
  remember(sessionStorage, JOIN_KEY, '');
  showLobby();
  byId('join-key-field').hidden = false;
  notify(code, { stays: true });
  joinKey.value = '';
  joinKey.focus();
}

/** @param {'lobby' | 'call' | 'ended' | 'files'} name */
function view(name) {
  document.body.dataset.view = name;
  byId('lobby').hidden = name !== 'lobby';
  byId('stage').hidden = name !== 'call';
  byId('ended').hidden = name !== 'ended';
  byId('files').hidden = name !== 'files';
  byId('share-button').hidden = name !== 'call';
}

/**
 * @param {string} state
 * @param {string} text
 */
function setStatus(state, text) {
  const status = byId('status');
  status.dataset.state = state;
  if (status.textContent !== text) status.textContent = text;
}

/**
 * @param {Storage} storage
 * @param {string} key
 */
function recall(storage, key) {
  try {
    return storage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

/**
 * Storage may be forbidden or full; the page does without.
 *
 * @param {Storage} storage
 * @param {string} key
 * @param {string} value
 */
function remember(storage, key, value) {
  try {
    if (value === '') storage.removeItem(key);
    else storage.setItem(key, value);
  } catch {
    // See above.
  }
}
