import { Incoming, LABEL, Outgoing, PROTOCOL, openSink } from '/columba/files/index.js';
import { addEntry } from './chat.js';
import { byId } from './dom.js';
import { Speed, sizeWords, timeWords } from './files.js';
import { oneLine } from './foreign.js';
import { nameOf } from './tiles.js';

/** @typedef {import('/columba/files/outgoing.js').Sent} Sent */

/** Files at most that are sent at once. */
const MAX_FILES = 10000;

/**
 * Makes files in a call work: by the button, by paste, and by drag and drop they go to everybody;
 * what the others send is shown in the chat, with a question.
 *
 * @param {import('/columba/index.js').Call} call
 * @param {AbortSignal} signal the end of the call
 */
export function startTransfers(call, signal) {
  const input = /** @type {HTMLInputElement} */ (byId('chat-files'));
  byId('chat-attach').addEventListener('click', () => input.click(), { signal });
  input.addEventListener('change', () => {
    sendAll(call, [...(input.files ?? [])].map((file) => ({ path: file.name, file })));
    input.value = '';
  }, { signal });
  const stage = byId('stage');
  const chat = byId('chat');
  stage.addEventListener('dragover', (event) => {
    if (event.dataTransfer?.types.includes('Files') !== true) return;
    event.preventDefault();
    chat.classList.add('is-target');
  }, { signal });
  stage.addEventListener('dragleave', () => chat.classList.remove('is-target'), { signal });
  stage.addEventListener('drop', (event) => {
    chat.classList.remove('is-target');
    const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry());
    if (entries.length === 0) return;
    event.preventDefault();
    void collect(entries).then((files) => sendAll(call, files));
  }, { signal });
  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    sendAll(call, files.map((file) => ({ path: file.name, file })));
  }, { signal });
  call.addEventListener('channel', ({ peer, channel }) => {
    if (channel.label === LABEL) receive(peer, channel);
  }, { signal });
}

/**
 * The files in what was dropped, those in folders with their paths.
 *
 * @param {(FileSystemEntry | null)[]} entries
 */
async function collect(entries) {
  /** @type {Sent[]} */
  const files = [];
  /** @type {(entry: any, path: string) => Promise<void>} */
  const walk = async (entry, path) => {
    if (files.length >= MAX_FILES) return;
    if (entry.isFile) {
      files.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
      return;
    }
    const reader = entry.createReader();
    for (let count = 0; ; ) {
      /** @type {any[]} */
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      count += some.length;
      // Folders with something in them are made by their files' paths.
      if (count === 0) files.push({ path, file: null });
      if (some.length === 0) return;
      for (const each of some) await walk(each, `${path}/${each.name}`);
    }
  };
  for (const entry of entries) if (entry !== null) await walk(entry, entry.name);
  return files;
}

/**
 * @param {import('/columba/index.js').Call} call
 * @param {Sent[]} files
 */
function sendAll(call, files) {
  if (files.length === 0) return;
  const distinct = withDistinctPaths(files);
  for (const peer of call.peers.values()) {
    if (peer.isConnected) send(call, peer, distinct);
  }
}

/**
 * Two pictures that were pasted may have the same name.
 *
 * @param {Sent[]} files
 */
function withDistinctPaths(files) {
  const seen = new Set();
  return files.map(({ path, file }) => {
    let distinct = path;
    for (let n = 2; seen.has(distinct); n++) distinct = path.replace(/(\.[^./]*)?$/, (ending) => ` (${n})${ending}`);
    seen.add(distinct);
    return { path: distinct, file };
  });
}

/**
 * @param {import('/columba/index.js').Call} call
 * @param {import('/columba/index.js').CallPeer} peer
 * @param {Sent[]} files
 */
function send(call, peer, files) {
  const outgoing = new Outgoing(peer.openChannel(LABEL, { protocol: PROTOCOL }), files, call.name);
  const names = files.length === 1 ? (files[0]?.path ?? '') : `${files.length} files`;
  const view = new TransferView('self', `You send ${names} to ${nameOf(peer)}`, outgoing.total);
  view.say(`Waiting until ${nameOf(peer)} takes it…`);
  view.buttons({ Cancel: () => outgoing.cancel() });
  outgoing.addEventListener('accepted', () => view.progress(0));
  outgoing.addEventListener('progress', () => view.progress(outgoing.bytes));
  outgoing.addEventListener('done', () => view.end(`${sizeWords(outgoing.total)}, arrived.`));
  outgoing.addEventListener('error', (event) => view.end(oneLine(/** @type {any} */ (event).error.message)));
}

/**
 * @param {import('/columba/index.js').CallPeer} peer
 * @param {RTCDataChannel} channel
 */
function receive(peer, channel) {
  const incoming = new Incoming(channel);
  /** @type {TransferView | null} */
  let view = null;
  incoming.addEventListener('offer', () => {
    const offer = /** @type {import('/columba/files/incoming.js').Offer} */ (incoming.offer);
    const first = oneLine(offer.top[0]?.name ?? 'files');
    const names = offer.files === 1 ? first : `${offer.files} files`;
    const shown = new TransferView(peer.id, `${nameOf(peer)} sends ${names}`, offer.bytes);
    view = shown;
    shown.say(offer.bytes === undefined ? '' : sizeWords(offer.bytes));
    shown.buttons({
      Take: () => void take(incoming, shown),
      Decline: () => incoming.cancel(),
    });
  });
  incoming.addEventListener('progress', () => view?.progress(incoming.bytes));
  incoming.addEventListener('error', (event) => view?.end(oneLine(/** @type {any} */ (event).error.message)));
}

/**
 * @param {Incoming} incoming
 * @param {TransferView} view
 */
async function take(incoming, view) {
  if (incoming.offer === null) return;
  try {
    const sink = await openSink(incoming.offer);
    incoming.addEventListener('done', () => {
      view.end(`${sizeWords(incoming.bytes)}, checked.`);
      view.files(sink.arrived);
    });
    view.buttons({ Cancel: () => incoming.cancel() });
    view.progress(0);
    incoming.accept(sink);
  } catch {
    // No folder was chosen; the question stays.
  }
}

/** A transfer in the chat. */
class TransferView {
  #text = document.createElement('p');
  #bar = document.createElement('progress');
  #row = document.createElement('div');
  #speed = new Speed();
  #total;

  /**
   * @param {string} from a peer id, or `self`
   * @param {string} title
   * @param {number | undefined} total
   */
  constructor(from, title, total) {
    this.#total = total;
    const item = document.createElement('li');
    item.className = 'chat-message transfer';
    item.dataset.testid = 'transfer';
    item.dataset.from = from;
    const head = document.createElement('p');
    head.textContent = title;
    this.#text.className = 'muted small';
    this.#text.setAttribute('role', 'status');
    this.#bar.hidden = true;
    this.#bar.setAttribute('aria-label', 'Progress');
    this.#row.className = 'transfer-buttons';
    item.append(head, this.#text, this.#bar, this.#row);
    addEntry(item, from !== 'self');
  }

  /** @param {string} text */
  say(text) {
    this.#text.textContent = text;
  }

  /** @param {Record<string, () => void>} actions */
  buttons(actions) {
    this.#row.replaceChildren(...Object.entries(actions).map(([name, act], at) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = at === 0 && name === 'Take' ? 'button primary' : 'button';
      button.dataset.testid = `transfer-${name.toLowerCase()}`;
      button.textContent = name;
      button.addEventListener('click', act);
      return button;
    }));
  }

  /** @param {number} bytes */
  progress(bytes) {
    const total = this.#total;
    this.#bar.hidden = total === undefined;
    if (total !== undefined) {
      this.#bar.max = Math.max(1, total);
      this.#bar.value = bytes;
    }
    const speed = this.#speed.of(bytes, performance.now());
    const left = total === undefined || speed === 0 ? '' : `, ${timeWords((total - bytes) / speed)}`;
    this.say(`${sizeWords(bytes)}${total === undefined ? '' : ` of ${sizeWords(total)}`}, ${sizeWords(speed)}/s${left}`);
  }

  /** @param {string} text */
  end(text) {
    this.#bar.hidden = true;
    this.#row.replaceChildren();
    this.say(text);
  }

  /** @param {import('/columba/files/sink.js').Arrived[]} arrived */
  files(arrived) {
    this.#row.replaceChildren(...arrived.slice(0, 100).map(({ name, blob }) => {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(blob);
      link.download = name.split('/').at(-1) ?? 'file';
      link.textContent = `Save ${oneLine(name)}`;
      link.dataset.testid = 'transfer-save';
      return link;
    }));
  }
}
