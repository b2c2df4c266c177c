import { Call, SignalingChannel } from '/columba/index.js';
import { FormerFolder, Incoming, LABEL, Secret, formerSink, openSink, placeFor } from '/columba/files/index.js';
import { readFragment } from './address.js';
import { byId } from './dom.js';
import { oneLine } from './foreign.js';

/** @typedef {Awaited<ReturnType<typeof openSink>>} OwnSink */

/** The page's view of files that a link offers. */

const BEFORE = 'send=';

/** Speed is an average over so many milliseconds. */
const SPEED_OVER = 3000;

/**
 * The secret in the address, if it is a link to files.
 *
 * @param {string} fragment
 * @returns {{ secret: Secret | null, key: string } | null}
 */
export function readSendFragment(fragment) {
  if (!fragment.startsWith(BEFORE)) return null;
  const [text = ''] = fragment.slice(BEFORE.length).split('&key=');
  return { secret: Secret.parse(text), key: readFragment(fragment).key };
}

/** @param {number} bytes */
export function sizeWords(bytes) {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(size < 10 ? 1 : 0)} ${units[unit]}`;
}

/** @param {number} seconds */
export function timeWords(seconds) {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min left`;
  return `${(seconds / 3600).toFixed(1)} h left`;
}

/** Measures speed over the last seconds. */
export class Speed {
  /** @type {{ at: number, bytes: number }[]} */
  #seen = [];

  /**
   * @param {number} bytes
   * @param {number} now
   * @returns {number} bytes a second
   */
  of(bytes, now) {
    this.#seen.push({ at: now, bytes });
    while (this.#seen.length > 2 && now - (this.#seen[0]?.at ?? now) > SPEED_OVER) this.#seen.shift();
    const first = this.#seen[0] ?? { at: now, bytes };
    return now === first.at ? 0 : ((bytes - first.bytes) * 1000) / (now - first.at);
  }
}

/** One link to files, from the offer to the saved files. */
export class FilesScreen {
  call;
  /** @type {import('/columba/files/sink.js').Arrived[]} the files that have arrived */
  arrived = [];
  /** @type {Incoming | null} */
  #incoming = null;
  /** @type {Incoming | null} one that was lost while it came */
  #former = null;
  /** @type {FormerFolder | null} the folder of a former page, which the person has to allow */
  #folder = null;
  #onStatus;
  #speed = new Speed();
  #watching = new AbortController();
  /** @type {string[]} */
  #urls = [];

  /**
   * @param {Secret} secret
   * @param {string} joinKey
   * @param {(state: string, text: string) => void} onStatus
   */
  constructor(secret, joinKey, onStatus) {
    this.#onStatus = onStatus;
    this.call = new Call(new SignalingChannel(secret.session(), { joinKey }), { seal: secret.seal() });
  }

  start() {
    const { signal } = this.#watching;
    const { call } = this;
    this.#show('waiting', 'Looking for the sender', 'The sender has to keep its window open until everything has arrived.');
    call.addEventListener('channel', ({ channel }) => {
      if (channel.label === LABEL) this.#begin(channel);
    }, { signal });
    call.addEventListener('peer', () => this.#showRoute(), { signal });
    call.addEventListener('error', ({ code, message, fatal }) => {
      if (fatal) this.#show('failed', 'The server cannot be reached', oneLine(message));
      else if (code === 'seal-refused') this.#onStatus('reconnecting', 'A message without the right seal was dropped');
    }, { signal });
    byId('files-take').addEventListener('click', () => void this.#take(), { signal });
    byId('files-decline').addEventListener('click', () => this.#incoming?.cancel(), { signal });
    byId('files-cancel').addEventListener('click', () => this.#incoming?.cancel(), { signal });
    // What goes wrong comes as an event as well.
    call.join().catch(() => {});
    this.#onStatus('connecting', 'Connecting…');
  }

  leave() {
    this.#watching.abort();
    this.call.leave();
    for (const url of this.#urls) URL.revokeObjectURL(url);
  }

  /** @param {RTCDataChannel} channel */
  #begin(channel) {
    // A sender that was started again takes the place of the former, and goes on with its files.
    const incoming = new Incoming(channel);
    const former = this.#incoming?.canGoOn === true ? this.#incoming : this.#former;
    this.#former = former;
    this.#incoming = incoming;
    this.#speed = new Speed();
    this.#folder = null;
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ listener) =>
      incoming.addEventListener(type, (event) => this.#incoming === incoming && listener(event));
    on('offer', () => {
      if (former !== null && former.offer?.transfer === incoming.offer?.transfer) void this.#goOn(incoming, former);
      else void this.#offeredAgain(incoming);
    });
    on('wait', () => this.#show('waiting', 'Another person receives these files now', 'They opened the same link before. If they end without the files, it is your turn: keep this page open.'));
    on('progress', () => this.#progress());
    on('error', ({ error }) => {
      if (error.code === 'lost') return this.#show('waiting', 'The connection is lost', 'Waiting for the sender to come back…');
      this.#show('failed', error.code === 'declined' ? 'Nothing was taken' : 'The transfer has ended', oneLine(error.message));
    });
  }

  /**
   * Goes on with what this page had before it was loaded again, or asks.
   *
   * @param {Incoming} incoming
   */
  async #offeredAgain(incoming) {
    const { offer } = incoming;
    if (offer === null) return;
    let former;
    try {
      former = await formerSink(offer);
    } catch {
      // The sender goes on with the other page: this one must not refuse the files.
      if (this.#incoming !== incoming) return;
      this.#incoming = null;
      this.leave();
      this.#onStatus('ended', '');
      return this.#show('failed', 'Another page of this browser has these files', 'They arrive there. You can close this page.');
    }
    if (this.#incoming !== incoming) return;
    if (former instanceof FormerFolder) this.#folder = former;
    else if (former !== null) return this.#receive(incoming, /** @type {OwnSink} */ (former), former.kept);
    await this.#offered(offer);
  }

  /** @param {import('/columba/files/incoming.js').Offer} offer */
  async #offered(offer) {
    const place = await placeFor(offer);
    const folder = this.#folder;
    const from = offer.from === '' ? 'Someone' : oneLine(offer.from);
    const size = offer.bytes === undefined ? 'of unknown length' : sizeWords(offer.bytes);
    const one = offer.files === 1 ? 'a file' : `${offer.files} files`;
    this.#show('offered', `${from} offers you ${one}`, `${size}, straight from the other machine, encrypted.`);
    const list = byId('files-list');
    list.replaceChildren(...offer.top.map((top) => row(`${oneLine(top.name)}${top.folder ? '/' : ''}`, top.bytes)));
    if (offer.more > 0) list.append(row(`and ${offer.more} more`, undefined));
    byId('files-place').textContent = folder !== null ? `${sizeWords(folder.bytes)} of it are in the folder ${oneLine(folder.name)} already, and are not sent again.` : {
      folder: 'You choose the folder next.',
      storage: 'The browser keeps the files until you save them, also if this page is loaded again.',
      memory: 'The browser keeps the files in memory until you save them, at most 1 GiB.',
    }[place];
  }

  async #take() {
    const incoming = this.#incoming;
    if (incoming?.offer === null || incoming?.offer === undefined) return;
    try {
      const former = await this.#folder?.open();
      this.#receive(incoming, /** @type {OwnSink} */ (former ?? (await openSink(incoming.offer))), former?.kept ?? null);
    } catch {
      // No folder was chosen, or the former one is not allowed or gone; the offer stays.
      if (this.#folder !== null) {
        this.#folder = null;
        await this.#offered(incoming.offer);
      }
    }
  }

  /**
   * @param {Incoming} incoming
   * @param {Incoming} former
   */
  async #goOn(incoming, former) {
    await former.handOver();
    this.#receive(incoming, /** @type {OwnSink} */ (former.sink), former);
  }

  /**
   * @param {Incoming} incoming
   * @param {OwnSink} sink
   * @param {Incoming | import('/columba/files/incoming.js').KeptPlace | null} former
   */
  #receive(incoming, sink, former) {
    incoming.addEventListener('done', () => this.#done(sink.arrived), { once: true });
    const from = oneLine(incoming.offer?.from ?? '');
    this.#show('receiving', 'Receiving', from === '' ? 'Straight from the other machine.' : `Straight from ${from}.`);
    incoming.accept(sink, former);
  }

  #progress() {
    const { bytes = 0, offer } = this.#incoming ?? {};
    const total = offer?.bytes;
    const speed = this.#speed.of(bytes, performance.now());
    const bar = /** @type {HTMLProgressElement} */ (byId('files-bar'));
    if (total !== undefined) {
      bar.max = Math.max(1, total);
      bar.value = bytes;
    }
    const left = total === undefined ? '' : `, ${timeWords((total - bytes) / speed)}`;
    const of = total === undefined ? '' : ` of ${sizeWords(total)}`;
    byId('files-progress').textContent = `${sizeWords(bytes)}${of}, ${sizeWords(speed)}/s${speed > 0 ? left : ''}`;
  }

  /** @param {import('/columba/files/sink.js').Arrived[]} arrived */
  #done(arrived) {
    this.arrived = arrived;
    const size = sizeWords(this.#incoming?.bytes ?? 0);
    const text = arrived.length === 0 ? `${size}, in the folder that you chose.` : `${size}, checked. Save what you want to keep.`;
    this.#show('done', 'Everything has arrived', text);
    byId('files-list').replaceChildren(...arrived.map(({ name, blob }) => {
      const item = row('', blob.size);
      const link = document.createElement('a');
      const url = URL.createObjectURL(blob);
      this.#urls.push(url);
      link.href = url;
      link.download = name.split('/').at(-1) ?? 'file';
      link.textContent = oneLine(name);
      link.dataset.testid = 'files-save';
      item.prepend(link);
      return item;
    }));
    this.#onStatus('ended', 'Complete');
    if (arrived.length === 1) /** @type {HTMLElement | null} */ (byId('files-list').querySelector('a'))?.click();
  }

  #showRoute() {
    const [peer] = this.call.peers.values();
    if (peer?.isConnected === true) this.#onStatus('in-call', 'Connected to the sender');
    else this.#onStatus('waiting', peer === undefined ? 'Waiting for the sender' : 'Connecting to the sender…');
  }

  /**
   * @param {'waiting' | 'offered' | 'receiving' | 'done' | 'failed'} state
   * @param {string} title
   * @param {string} text
   */
  #show(state, title, text) {
    const view = byId('files');
    view.dataset.state = state;
    byId('files-title').textContent = title;
    byId('files-text').textContent = text;
    byId('files-list').hidden = state !== 'offered' && state !== 'done';
    byId('files-choice').hidden = state !== 'offered';
    byId('files-running').hidden = state !== 'receiving';
    if (state === 'receiving') byId('files-progress').textContent = '';
  }
}

/**
 * A line of the list of files.
 *
 * @param {string} name
 * @param {number | undefined} bytes
 */
export function row(name, bytes) {
  const item = document.createElement('li');
  item.dataset.testid = 'files-row';
  const size = document.createElement('span');
  size.className = 'muted small';
  size.textContent = bytes === undefined ? '' : sizeWords(bytes);
  if (name !== '') {
    const label = document.createElement('span');
    label.textContent = name;
    item.append(label);
  }
  item.append(size);
  return item;
}
