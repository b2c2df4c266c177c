import { Call, SignalingChannel } from '/columba/index.js';
import { addMessage, addRemark, clearChat } from './chat.js';
import { byId, initials, setIcon } from './dom.js';
import { setAlone, setLink } from './invite.js';
import { openDevices } from './media.js';
import { dismiss, notify } from './notices.js';
import { startTransfers } from './transfers.js';
import { nameOf, removeAll, removePeer, showPeer, showStream } from './tiles.js';

/** @typedef {import('./media.js').Kind} Kind */

/** Problems with the server that end when it answers again. */
const SERVER_TROUBLES = ['unreachable', 'unreachable-in-call', 'going-away', 'draining', 'server-full', 'too-many-joins', 'connection-lost'];

/** Errors that mend themselves at once, and are not shown. */
const SILENT = new Set(['connection-lost', 'no-such-peer', 'rate-limited', 'sequence-gap', 'negotiation-failed', 'idle-timeout']);

/** The time for which the server may be away before a notice is shown, in milliseconds. */
const TELL_AFTER = 1500;

/**
 * @typedef {object} ScreenOptions
 * @property {string} token
 * @property {string} joinKey the server's join key; empty for none
 * @property {string} linkKey the same, if the link to the call is to have it
 * @property {string} name
 * @property {Kind[]} kinds what to send
 * @property {MediaStreamTrack | null} camera the camera, if the lobby has opened it
 * @property {(state: string, text: string) => void} onStatus
 * @property {(reason: { code: string, message: string } | null, hadBegun: boolean) => void} onEnd
 */

/** One call on the page, from joining to hanging up. */
export class CallScreen {
  call;
  token;
  #options;
  #watching = new AbortController();
  /** @type {{ code: string, message: string } | null} */
  #reason = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #troubleTimer;
  /** @type {Set<Kind>} devices that are being opened */
  #opening = new Set();
  /** @type {WakeLockSentinel | null} */
  #wakeLock = null;
  #over = false;

  /** @param {ScreenOptions} options */
  constructor(options) {
    this.#options = options;
    this.token = options.token;
    const stream = options.camera === null ? undefined : new MediaStream([options.camera]);
    this.call = new Call(new SignalingChannel(options.token, { joinKey: options.joinKey }), { name: options.name, stream });
  }

  start() {
    const { signal } = this.#watching;
    const { call } = this;
    /** @type {(type: string, listener: (event: any) => void) => void} */
    const on = (type, listener) => call.addEventListener(type, listener, { signal });
    on('peer', ({ peer, change }) => this.#peerChanged(peer, change));
    on('stream', ({ peer }) => showPeer(peer));
    on('chat', ({ peer, text, time }) => addMessage(peer.id, nameOf(peer), text, time));
    on('error', (event) => this.#failed(event));
    call.addEventListener('state', () => this.#showStatus());
    call.channel.addEventListener('state', () => this.#showStatus());
    byId('mic-button').addEventListener('click', () => void this.#toggle('audio'), { signal });
    byId('camera-button').addEventListener('click', () => void this.#toggle('video'), { signal });
    byId('hangup-button').addEventListener('click', () => this.hangUp(), { signal });
    document.addEventListener('visibilitychange', () => void this.#stayAwake(), { signal });
    clearChat();
    removeAll();
    startTransfers(call, this.token, signal);
    setLink(this.token, this.#options.linkKey);
    setAlone(true);
    byId('self-tile').querySelector('.avatar')?.replaceChildren(initials(this.#options.name || 'You'));
    for (const track of call.localStream.getTracks()) this.#watchTrack(track);
    this.#showOwn();
    // What goes wrong comes as an event as well.
    call.join().catch(() => {});
    this.#showStatus();
    void this.#openFirst();
    void this.#stayAwake();
  }

  hangUp() {
    this.call.leave();
    this.#end();
  }

  /** The call is joined meanwhile: it does not wait for a question that the browser asks. */
  async #openFirst() {
    const has = this.call.localStream.getTracks().map((track) => track.kind);
    await this.#open(this.#options.kinds.filter((kind) => !has.includes(kind)));
  }

  /** @param {Kind[]} kinds */
  async #open(kinds) {
    const wanted = kinds.filter((kind) => !this.#opening.has(kind));
    for (const kind of wanted) this.#opening.add(kind);
    const { tracks, problems } = await openDevices(wanted);
    for (const kind of wanted) this.#opening.delete(kind);
    if (this.#over) return tracks.forEach((track) => track.stop());
    dismiss('permission-denied', ...wanted.map((kind) => (kind === 'audio' ? 'microphone-lost' : 'camera-lost')));
    for (const code of problems) notify(code, { stays: true });
    for (const track of tracks) {
      this.#watchTrack(track);
      await this.call.setTrack(/** @type {Kind} */ (track.kind), track);
    }
    this.#showOwn();
  }

  /** @param {MediaStreamTrack} track */
  #watchTrack(track) {
    track.addEventListener('ended', () => {
      if (this.#over || !this.call.localStream.getTracks().includes(track)) return;
      notify(track.kind === 'audio' ? 'microphone-lost' : 'camera-lost', { stays: true });
      void this.call.setTrack(/** @type {Kind} */ (track.kind), null).then(() => this.#showOwn());
    }, { signal: this.#watching.signal });
  }

  /** @param {Kind} kind */
  async #toggle(kind) {
    const { call } = this;
    const track = call.localStream.getTracks().find((each) => each.kind === kind);
    if (track === undefined) return this.#open([kind]);
    if (kind === 'audio') {
      call.setMicrophoneEnabled(!track.enabled);
    } else {
      // Off means off: the camera's light goes out.
      track.stop();
      await call.setTrack('video', null);
    }
    this.#showOwn();
  }

  #showOwn() {
    if (this.#over) return;
    const { call } = this;
    const { microphoneEnabled, cameraEnabled } = call;
    showButton('mic-button', 'mic', microphoneEnabled);
    showButton('camera-button', 'camera', cameraEnabled);
    byId('self-tile').dataset.camera = String(cameraEnabled);
    byId('self-muted').hidden = microphoneEnabled;
    const video = /** @type {HTMLVideoElement} */ (byId('local-video'));
    const shown = video.srcObject instanceof MediaStream ? video.srcObject.getVideoTracks()[0] : undefined;
    const [track] = call.localStream.getVideoTracks();
    if (shown !== track) showStream(video, track === undefined ? null : new MediaStream([track]));
  }

  /**
   * @param {import('/columba/call/peer.js').CallPeer} peer
   * @param {'joined' | 'changed' | 'left'} change
   */
  #peerChanged(peer, change) {
    if (change === 'left') {
      addRemark(`${nameOf(peer)} has left`);
      removePeer(peer);
    } else {
      showPeer(peer);
    }
    this.#showStatus();
  }

  #showStatus() {
    const { call } = this;
    if (this.#over) return;
    if (call.state === 'ended') return this.#end();
    const others = call.peers.size;
    setAlone(others === 0);
    document.title = others === 0 ? 'Columba' : `(${others + 1}) Columba`;
    const away = call.channel.state === 'reconnecting' || (call.state !== 'connecting' && call.channel.state === 'connecting');
    if (away) {
      this.#showTroubleLater();
      return this.#options.onStatus('reconnecting', others === 0 ? 'Looking for the server…' : 'Server lost, the call goes on');
    }
    if (call.channel.state === 'open') {
      clearTimeout(this.#troubleTimer);
      this.#troubleTimer = undefined;
      dismiss(...SERVER_TROUBLES);
    }
    if (call.state === 'connecting') this.#options.onStatus('connecting', 'Connecting…');
    else if (others === 0) this.#options.onStatus('waiting', 'Waiting for others');
    else this.#options.onStatus('in-call', `In a call, ${others + 1} people`);
  }

  /** Most breaks are over before a notice could be read. */
  #showTroubleLater() {
    this.#troubleTimer ??= setTimeout(() => {
      if (this.#over || this.call.channel.state === 'open') return;
      notify(this.call.peers.size === 0 ? 'unreachable' : 'unreachable-in-call', { stays: true });
    }, TELL_AFTER);
  }

  /** @param {import('/columba/index.js').CallErrorEvent} event */
  #failed({ code, message, fatal }) {
    if (fatal) {
      this.#reason = { code, message };
      return;
    }
    if (SILENT.has(code)) return;
    if (code === 'unreachable') return this.#showTroubleLater();
    notify(code, { text: message, stays: SERVER_TROUBLES.includes(code) });
  }

  /** A phone that lies on the table during a call does not fall asleep. */
  async #stayAwake() {
    if (this.#over || document.visibilityState !== 'visible') return;
    try {
      this.#wakeLock = await navigator.wakeLock.request('screen');
      if (this.#over) await this.#wakeLock.release();
    } catch {
      // Not every browser can, and one with an empty battery does not want to.
    }
  }

  #end() {
    if (this.#over) return;
    this.#over = true;
    this.#watching.abort();
    clearTimeout(this.#troubleTimer);
    void this.#wakeLock?.release().catch(() => {});
    for (const track of this.call.localStream.getTracks()) track.stop();
    showStream(/** @type {HTMLVideoElement} */ (byId('local-video')), null);
    removeAll();
    document.title = 'Columba';
    this.#options.onEnd(this.#reason, this.call.channel.peerId !== null);
  }
}

/**
 * @param {string} id
 * @param {string} icon
 * @param {boolean} on
 */
function showButton(id, icon, on) {
  const button = byId(id);
  button.setAttribute('aria-pressed', String(on));
  const device = icon === 'mic' ? 'Microphone' : 'Camera';
  button.title = `${device} ${on ? 'on' : 'off'}`;
  setIcon(button, on ? icon : `${icon}-off`);
}
