import { Call, SignalingChannel } from '/columba/index.js';
import { LABEL, Outgoing, PROTOCOL, Secret, newTransfer } from '/columba/files/index.js';
import { byId } from './dom.js';
import { Speed, row, sizeWords, timeWords } from './files.js';
import { oneLine } from './foreign.js';

/** The page as the sender of files: it shows a link, and serves each who opens it. */
export class SendScreen {
  call;
  link;
  #files;
  #name;
  /** The same for all who open the link, so that one who comes back goes on. */
  #transfer = newTransfer();
  #onStatus;
  #watching = new AbortController();
  #sent = 0;
  #speed = new Speed();

  /**
   * @param {{ path: string, file: File }[]} files
   * @param {string} name the own name, which the receiver sees
   * @param {string} joinKey
   * @param {(state: string, text: string) => void} onStatus
   */
  constructor(files, name, joinKey, onStatus) {
    this.#files = files;
    this.#name = name;
    this.#onStatus = onStatus;
    const secret = new Secret(crypto.getRandomValues(new Uint8Array(16)));
    const address = new URL(location.href);
    address.hash = `send=${secret.reveal()}`;
    this.link = address.href;
    this.call = new Call(new SignalingChannel(secret.session(), { joinKey }), { seal: secret.seal(), name });
  }

  start() {
    const { signal } = this.#watching;
    const { call } = this;
    const total = this.#files.reduce((sum, { file }) => sum + file.size, 0);
    byId('files').dataset.state = 'sending';
    byId('files-title').textContent = 'Send this link to one who shall have the files';
    byId('files-text').textContent = `${sizeWords(total)}. They go straight from here; keep this page open until they have arrived.`;
    byId('files-list').hidden = false;
    byId('files-list').replaceChildren(...this.#files.slice(0, 32).map(({ path, file }) => row(oneLine(path), file.size)));
    byId('files-choice').hidden = true;
    byId('files-running').hidden = true;
    byId('files-share').hidden = false;
    const link = /** @type {HTMLInputElement} */ (byId('files-link'));
    link.value = this.link;
    byId('files-copy').addEventListener('click', () => {
      link.select();
      // On pages that are not secure there is no clipboard.
      if (navigator.clipboard === undefined) document.execCommand('copy');
      else void navigator.clipboard.writeText(link.value).catch(() => {});
    }, { signal });
    call.addEventListener('connected', ({ peer }) => this.#send(peer), { signal });
    call.addEventListener('error', ({ message, fatal }) => {
      if (fatal) byId('files-text').textContent = oneLine(message);
    }, { signal });
    // What goes wrong comes as an event as well.
    call.join().catch(() => {});
    this.#onStatus('waiting', 'Waiting for the receiver');
  }

  leave() {
    this.#watching.abort();
    this.call.leave();
    byId('files-share').hidden = true;
  }

  /** @param {import('/columba/index.js').CallPeer} peer */
  #send(peer) {
    const outgoing = new Outgoing(peer.openChannel(LABEL, { protocol: PROTOCOL }), this.#files, this.#name, this.#transfer);
    const bar = /** @type {HTMLProgressElement} */ (byId('files-bar'));
    bar.max = Math.max(1, outgoing.total);
    byId('files-cancel').onclick = () => outgoing.cancel();
    outgoing.addEventListener('accepted', () => {
      byId('files-running').hidden = false;
      this.#onStatus('in-call', 'Sending');
    });
    outgoing.addEventListener('progress', () => {
      const speed = this.#speed.of(outgoing.bytes, performance.now());
      bar.value = outgoing.bytes;
      const left = speed === 0 ? '' : `, ${timeWords((outgoing.total - outgoing.bytes) / speed)}`;
      byId('files-progress').textContent = `${sizeWords(outgoing.bytes)} of ${sizeWords(outgoing.total)}, ${sizeWords(speed)}/s${left}`;
    });
    outgoing.addEventListener('done', () => {
      this.#sent++;
      byId('files-running').hidden = true;
      byId('files-text').textContent = this.#sent === 1 ? 'The files have arrived. The link stays good while this page is open.' : `The files have arrived ${this.#sent} times.`;
      this.#onStatus('ended', 'Arrived');
    });
    outgoing.addEventListener('error', (event) => {
      byId('files-running').hidden = true;
      byId('files-text').textContent = oneLine(/** @type {any} */ (event).error.message);
    });
  }
}
