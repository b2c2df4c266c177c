import {
  FormerFolder, Incoming, LABEL, LABEL_AGAIN, Outgoing, PROTOCOL, TransferError, askedFor, formerSink, newTransfer, openSink, placeFor, questionFor,
} from '/columba/files/index.js';
import { byId } from './dom.js';
import { collect, withDistinctPaths } from './dropped.js';
import { sizeWords } from './files.js';
import { oneLine } from './foreign.js';
import { KeptTransfers } from './kept-transfers.js';
import { nameOf } from './tiles.js';
import { TransferView } from './transfer-view.js';

/** @typedef {import('/columba/files/outgoing.js').Sent} Sent */
/** @typedef {import('/columba/index.js').CallPeer} CallPeer */

/**
 * Files that this page sends, until they have arrived.
 *
 * @typedef {object} SentFiles
 * @property {string} transfer
 * @property {TransferView} view
 * @property {Sent[] | null} files `null` if the person has to choose them again
 * @property {string} other the receiver's name
 * @property {Outgoing | null} outgoing
 * @property {CallPeer | null} asking a receiver who waits until they are chosen, or until channels
 *   can be opened
 */

/**
 * Files that come, or came before the connection or the page was lost.
 *
 * @typedef {object} Coming
 * @property {string} transfer
 * @property {TransferView} view
 * @property {string} other the sender's name
 * @property {boolean} accepted
 * @property {Incoming | null} incoming
 * @property {boolean} isLost it waits for the sender
 */

/**
 * Makes files in a call work: by the button, by paste, and by drag and drop they go to everybody;
 * what the others send is shown in the chat, with a question.
 *
 * @param {import('/columba/index.js').Call} call
 * @param {string} token
 * @param {AbortSignal} signal the end of the call
 */
export function startTransfers(call, token, signal) {
  const transfers = new Transfers(call, token);
  const input = /** @type {HTMLInputElement} */ (byId('chat-files'));
  byId('chat-attach').addEventListener('click', () => input.click(), { signal });
  input.addEventListener('change', () => {
    transfers.sendAll([...(input.files ?? [])].map((file) => ({ path: file.name, file })));
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
    void collect(entries).then((files) => transfers.sendAll(files));
  }, { signal });
  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    transfers.sendAll(files.map((file) => ({ path: file.name, file })));
  }, { signal });
  call.addEventListener('channel', ({ peer, channel }) => {
    if (channel.label === LABEL) transfers.receive(peer, channel);
    else if (channel.label === LABEL_AGAIN) transfers.hear(peer, channel);
  }, { signal });
  call.addEventListener('connected', ({ peer }) => transfers.connected(peer), { signal });
  void transfers.restore();
}

/** The transfers of a call. */
class Transfers {
  #call;
  #kept;
  /** @type {Map<string, SentFiles>} */
  #sent = new Map();
  /** @type {Map<string, Coming>} */
  #coming = new Map();
  /** The files of the page before are found a moment after the start. */
  #restored = Promise.resolve();

  /**
   * @param {import('/columba/index.js').Call} call
   * @param {string} token
   */
  constructor(call, token) {
    this.#call = call;
    this.#kept = new KeptTransfers(token);
  }

  /** Shows what the page before has left. */
  restore() {
    for (const { transfer, title, other, bytes, accepted = false } of this.#kept.received) {
      const view = new TransferView('', title, bytes ?? undefined);
      const coming = { transfer, view, other, accepted, incoming: null, isLost: true };
      this.#coming.set(transfer, coming);
      this.#waitFor(coming);
    }
    this.#restored = this.#restoreSent();
    return this.#restored;
  }

  async #restoreSent() {
    for (const { transfer, title, other, bytes, files: about } of this.#kept.sent) {
      const files = await this.#kept.filesOf(transfer);
      if (files === null && about === undefined) {
        this.#kept.forget(transfer);
        continue;
      }
      const view = new TransferView('self', title, bytes ?? undefined);
      const sent = { transfer, view, files, other, outgoing: null, asking: null };
      this.#sent.set(transfer, sent);
      if (files === null) this.#letChoose(sent, about ?? []);
      else this.#waitUntilAsked(sent);
    }
  }

  /** @param {Sent[]} files */
  sendAll(files) {
    if (files.length === 0) return;
    const distinct = withDistinctPaths(files);
    for (const peer of this.#call.peers.values()) {
      if (!peer.isConnected) continue;
      const names = distinct.length === 1 ? (distinct[0]?.path ?? '') : `${distinct.length} files`;
      const title = `You send ${names} to ${nameOf(peer)}`;
      const bytes = distinct.reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
      const transfer = newTransfer();
      const sent = { transfer, view: new TransferView('self', title, bytes), files: distinct, other: nameOf(peer), outgoing: null, asking: null };
      this.#sent.set(transfer, sent);
      this.#offer(sent, peer);
      void this.#kept.send({ transfer, title, other: sent.other, bytes }, distinct);
    }
  }

  /** @param {SentFiles} sent @param {CallPeer} peer */
  #offer(sent, peer) {
    const { view, transfer, files } = sent;
    if (files === null) return;
    sent.asking = peer.isReady ? null : peer;
    if (sent.asking !== null) return;
    sent.outgoing?.handOver();
    const outgoing = new Outgoing(peer.openChannel(LABEL, { protocol: PROTOCOL }), files, this.#call.name, transfer);
    sent.outgoing = outgoing;
    view.say(`Waiting until ${nameOf(peer)} takes it…`);
    view.buttons({ Cancel: () => outgoing.cancel() });
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ listener) =>
      outgoing.addEventListener(type, (event) => sent.outgoing === outgoing && listener(event));
    on('accepted', () => view.progress(outgoing.bytes));
    on('progress', () => view.progress(outgoing.bytes));
    on('done', () => this.#endSent(sent, `${sizeWords(outgoing.total)}, arrived.`));
    on('error', ({ error }) => {
      if (error.code === 'lost') this.#waitUntilAsked(sent);
      else this.#endSent(sent, oneLine(error.message));
    });
  }

  /** @param {SentFiles} sent */
  #waitUntilAsked(sent) {
    sent.view.pause(`It goes on when ${sent.other} is back…`);
    sent.view.buttons({ Cancel: () => this.#endSent(sent, 'You have stopped the transfer.') });
  }

  /**
   * The page was loaded again, and the browser does not keep files as large as these.
   *
   * @param {SentFiles} sent
   * @param {{ path: string, bytes: number, modified: number }[]} about
   */
  #letChoose(sent, about) {
    const input = document.createElement('input');
    input.type = 'file';
    input.multiple = about.length > 1;
    input.dataset.testid = 'transfer-choose-input';
    input.addEventListener('change', () => {
      const chosen = about.map(({ path, bytes, modified }) => {
        const file = [...(input.files ?? [])].find((each) => each.size === bytes && each.lastModified === modified);
        return { path, file: file ?? null };
      });
      if (chosen.some(({ file }) => file === null)) return sent.view.say('These are not the same files, or they have changed.');
      sent.files = chosen;
      this.#waitUntilAsked(sent);
      if (sent.asking?.isConnected === true) this.#offer(sent, sent.asking);
    });
    sent.view.say('This page was loaded again: choose the same files to go on.');
    sent.view.buttons({ Choose: () => input.click(), Cancel: () => this.#endSent(sent, 'You have stopped the transfer.') });
    sent.view.hold(input);
  }

  /** @param {SentFiles} sent @param {string} words */
  #endSent(sent, words) {
    this.#sent.delete(sent.transfer);
    this.#kept.forget(sent.transfer);
    sent.view.end(words);
  }

  /** Channels to a participant can be opened. @param {CallPeer} peer */
  connected(peer) {
    for (const sent of this.#sent.values()) if (sent.asking === peer) this.#offer(sent, peer);
    this.askAgain(peer);
  }

  /**
   * Asks a participant for what was lost: they may be its sender, in a page that was loaded again.
   *
   * @param {CallPeer} peer
   * @param {Coming[]} [coming] all that is lost, unless it is given
   */
  askAgain(peer, coming = [...this.#coming.values()].filter(({ isLost }) => isLost)) {
    const transfers = coming.map(({ transfer }) => transfer);
    const { connection } = peer;
    if (transfers.length === 0 || connection === null || !peer.isReady) return;
    const channel = peer.openChannel(LABEL_AGAIN, { protocol: PROTOCOL });
    const ask = () => channel.send(questionFor(transfers, connection));
    if (channel.readyState === 'open') ask();
    else channel.addEventListener('open', ask, { once: true });
  }

  /**
   * A participant asks for transfers again: only one to whom they were offered can.
   *
   * @param {CallPeer} peer
   * @param {RTCDataChannel} channel
   */
  hear(peer, channel) {
    channel.addEventListener('message', async ({ data }) => {
      channel.close();
      await this.#restored;
      const { connection } = peer;
      if (connection === null || !peer.isConnected) return;
      for (const transfer of askedFor(data, [...this.#sent.keys()], connection)) {
        const sent = this.#sent.get(transfer);
        if (sent === undefined) continue;
        sent.other = nameOf(peer);
        sent.asking = peer;
        this.#offer(sent, peer);
      }
    }, { once: true });
  }

  /**
   * @param {CallPeer} peer
   * @param {RTCDataChannel} channel
   */
  receive(peer, channel) {
    const incoming = new Incoming(channel);
    incoming.addEventListener('offer', () => this.#offered(peer, incoming));
  }

  /** @param {CallPeer} peer @param {Incoming} incoming */
  #offered(peer, incoming) {
    const offer = /** @type {import('/columba/files/incoming.js').Offer} */ (incoming.offer);
    const known = this.#coming.get(offer.transfer);
    const coming = known ?? this.#newComing(peer, offer);
    const former = coming.incoming;
    coming.incoming = incoming;
    coming.isLost = false;
    coming.other = nameOf(peer);
    const { view } = coming;
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ listener) =>
      incoming.addEventListener(type, (event) => coming.incoming === incoming && listener(event));
    on('progress', () => view.progress(incoming.bytes));
    on('error', ({ error }) => {
      if (error.code === 'lost') this.#waitFor(coming);
      else this.#endComing(coming, oneLine(error.message));
    });
    if (former?.canGoOn === true) void this.#goOn(coming, incoming, former);
    else if (coming.accepted) void this.#takeAgain(coming, incoming);
    else this.#ask(coming, incoming, null);
  }

  /**
   * @param {CallPeer} peer
   * @param {import('/columba/files/incoming.js').Offer} offer
   * @returns {Coming}
   */
  #newComing(peer, { transfer, top, files, bytes }) {
    const names = files === 1 ? oneLine(top[0]?.name ?? 'files').slice(0, 200) : `${files} files`;
    const title = `${nameOf(peer)} sends ${names}`;
    const coming = { transfer, view: new TransferView(peer.id, title, bytes), other: nameOf(peer), accepted: false, incoming: null, isLost: false };
    this.#coming.set(transfer, coming);
    this.#kept.receive({ transfer, title, other: coming.other, bytes: bytes ?? null });
    return coming;
  }

  /**
   * @param {Coming} coming
   * @param {Incoming} incoming
   * @param {FormerFolder | null} folder the one with the first part
   */
  #ask({ transfer, view }, incoming, folder) {
    const bytes = incoming.offer?.bytes;
    const size = bytes === undefined ? '' : sizeWords(bytes);
    view.pause(folder === null ? size : `${sizeWords(folder.bytes)} of ${size} are in the folder ${oneLine(folder.name)} already.`);
    const coming = this.#coming.get(transfer);
    if (coming === undefined) return;
    view.buttons({ Take: () => void this.#take(coming, incoming, folder), Decline: () => incoming.cancel() });
  }

  /**
   * @param {Coming} coming
   * @param {Incoming} incoming
   * @param {FormerFolder | null} folder
   */
  async #take(coming, incoming, folder) {
    if (incoming.offer === null) return;
    try {
      const former = await folder?.open();
      const sink = former ?? (await openSink(incoming.offer));
      this.#accept(coming, incoming, sink, former?.kept ?? null);
    } catch (error) {
      if (error instanceof TransferError) coming.view.say(oneLine(error.message));
      // Else no folder was chosen; the question stays.
    }
  }

  /**
   * Takes what the person has taken before the page was loaded again.
   *
   * @param {Coming} coming
   * @param {Incoming} incoming
   */
  async #takeAgain(coming, incoming) {
    const { offer } = incoming;
    if (offer === null) return;
    try {
      const former = await formerSink(offer);
      if (former instanceof FormerFolder) return this.#ask(coming, incoming, former);
      if (former !== null) return this.#accept(coming, incoming, former, former.kept);
      if ((await placeFor(offer)) === 'folder') return this.#ask(coming, incoming, null);
      this.#accept(coming, incoming, await openSink(offer), null);
    } catch (error) {
      this.#endComing(coming, oneLine(error instanceof Error ? error.message : String(error)));
    }
  }

  /** @param {Coming} coming @param {Incoming} incoming @param {Incoming} former */
  async #goOn(coming, incoming, former) {
    await former.handOver();
    const { sink } = former;
    if (sink !== null) this.#accept(coming, incoming, /** @type {any} */ (sink), former);
  }

  /**
   * @param {Coming} coming
   * @param {Incoming} incoming
   * @param {Awaited<ReturnType<typeof openSink>>} sink
   * @param {Incoming | import('/columba/files/incoming.js').KeptPlace | null} former
   */
  #accept(coming, incoming, sink, former) {
    if (coming.incoming !== incoming || incoming.state !== 'offered') return;
    const { transfer, view, other } = coming;
    incoming.addEventListener('done', () => {
      this.#endComing(coming, `${sizeWords(incoming.bytes)}, checked.`);
      view.files(sink.arrived);
    }, { once: true });
    view.buttons({ Cancel: () => incoming.cancel() });
    view.progress(incoming.bytes);
    coming.accepted = true;
    this.#kept.receive({ transfer, title: view.title, other, bytes: incoming.offer?.bytes ?? null, accepted: true });
    incoming.accept(sink, former);
  }

  /** @param {Coming} coming */
  #waitFor(coming) {
    coming.isLost = true;
    coming.view.pause(`It goes on when ${coming.other} is back…`);
    coming.view.buttons({ Cancel: () => this.#endComing(coming, 'You have stopped the transfer.') });
    // What came before the loss was still being written, and the sender may be back already.
    for (const peer of this.#call.peers.values()) this.askAgain(peer, [coming]);
  }

  /** @param {Coming} coming @param {string} words */
  #endComing(coming, words) {
    this.#coming.delete(coming.transfer);
    this.#kept.forget(coming.transfer);
    coming.view.end(words);
  }
}
