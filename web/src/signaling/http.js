import { EventStreamReader } from './event-stream.js';
import { lost, parseObject, refusal, unreachable } from './failure.js';

/**
 * The most that one request to `/messages` carries: well below what a server with the default
 * limits reads.
 */
const BATCH_MESSAGES = 64;
const BATCH_CHARACTERS = 64 * 1024;

/** Seconds that a long poll waits on the server; most proxies allow 30. */
const POLL_SECONDS = 25;

/**
 * The pause before a stream or poll that ended is opened again, so that a broken proxy is not
 * hammered.
 */
const REOPEN = 100;

/**
 * Set once a stream has turned out to be buffered on its way: the next connections of this page
 * poll at once.
 */
let streamsAreBuffered = false;

/**
 * The HTTP transport: messages go out by POST and come in by an event stream, or by long polls
 * where something on the way holds streams back.
 *
 * @implements {Connection}
 * @typedef {import('./failure.js').Connection} Connection
 */
export class HttpConnection {
  /** @type {'http'} */
  transport = 'http';

  #url;
  #handlers;
  #timing;
  #credential = '';
  #ended = false;
  #entered = false;
  #polling = streamsAreBuffered;
  #stop = new AbortController();
  /** @type {string[]} */
  #queue = [];
  /** @type {Promise<void> | null} */
  #posting = null;

  /** @param {import('./failure.js').ConnectionOptions} options */
  constructor({ url, entry, handlers, timing }) {
    this.#url = url;
    this.#handlers = handlers;
    this.#timing = timing;
    void this.#enter(entry);
  }

  /** A poll acknowledges what the one before it brought. */
  get acknowledges() {
    return this.#polling;
  }

  /** @param {string[]} messages */
  send(messages) {
    if (this.#ended) return;
    this.#queue.push(...messages);
    this.#posting ??= this.#post().finally(() => {
      this.#posting = null;
    });
  }

  /** @param {number} within */
  probe(within) {
    if (!this.#entered) return;
    this.send(['{"type":"ping"}']);
    const posting = this.#posting;
    setTimeout(() => {
      if (posting !== null && this.#posting === posting) this.#end(lost());
    }, within);
  }

  leave() {
    if (this.#ended) return;
    const rest = this.#queue.splice(0);
    const posting = this.#posting;
    this.#ended = true;
    const goodbye = async () => {
      if (rest.length > 0) await this.#request('POST', '/messages', { body: `[${rest.join(',')}]`, keepalive: true });
      await this.#request('DELETE', '', { keepalive: true });
    };
    // Without anything to send, the request goes out within this very call: the page may be gone
    // after it.
    const left = posting === null ? goodbye() : posting.then(goodbye);
    void left.catch(() => {}).finally(() => this.#stop.abort());
  }

  abort() {
    if (this.#ended) return;
    this.#ended = true;
    this.#stop.abort();
  }

  /** @param {any} entry */
  async #enter(entry) {
    try {
      const answer = entry.type === 'resume' ? await this.#resume(entry) : await this.#join(entry);
      if (this.#ended) return;
      if (answer.type === 'error') return this.#end(refusal(answer));
      this.#entered = true;
      this.#handlers.entered(answer);
    } catch {
      return this.#end(unreachable());
    }
    await this.#receive();
  }

  /** @param {any} entry */
  async #join(entry) {
    const response = await this.#request('POST', '', { body: JSON.stringify(entry), timeout: this.#timing.answer });
    const answer = await this.#answer(response);
    if (answer.type === 'joined') this.#credential = `${answer.peer}.${answer.secret}`;
    return answer;
  }

  /**
   * There is no request that only resumes: the first one with the credential finds out whether the
   * membership is still there, and brings fresh ICE servers meanwhile.
   *
   * @param {any} entry
   */
  async #resume(entry) {
    this.#credential = `${entry.peer}.${entry.secret}`;
    const body = '[{"type":"ice-servers"}]';
    const response = await this.#request('POST', '/messages', { body, timeout: this.#timing.answer });
    const answer = await this.#answer(response);
    if (answer.type === 'error') return answer;
    const servers = Array.isArray(answer) ? answer.find((each) => each?.type === 'ice-servers') : undefined;
    return { ...servers, type: 'resumed', seq: null };
  }

  /** Posts what is queued, one request at a time, so that the order stays. */
  async #post() {
    while (this.#queue.length > 0 && !this.#ended) {
      const batch = this.#nextBatch();
      try {
        const response = await this.#request('POST', '/messages', { body: `[${batch.join(',')}]` });
        const answer = await this.#answer(response);
        if (this.#ended) return;
        if (Array.isArray(answer)) for (const each of answer) this.#deliver(each);
        else this.#deliver(answer);
      } catch {
        return this.#end(lost());
      }
    }
  }

  #nextBatch() {
    let characters = 0;
    let count = 0;
    for (const message of this.#queue) {
      characters += message.length;
      if (count > 0 && (count >= BATCH_MESSAGES || characters > BATCH_CHARACTERS)) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** Receives until the connection ends. */
  async #receive() {
    while (!this.#ended) {
      try {
        if (this.#polling) {
          if (await this.#poll()) continue;
        } else {
          await this.#stream();
        }
      } catch {
        return this.#end(lost());
      }
      if (!this.#ended) await new Promise((resolve) => setTimeout(resolve, REOPEN));
    }
  }

  /** @returns {Promise<boolean>} whether it brought something */
  async #poll() {
    const path = `/events?after=${this.#handlers.lastSeq()}&wait=${POLL_SECONDS}`;
    const timeout = POLL_SECONDS * 1000 + this.#timing.request;
    const response = await this.#request('GET', path, { timeout, accept: 'application/json' });
    const answer = await this.#answer(response);
    if (this.#ended) return false;
    if (!Array.isArray(answer)) this.#deliver(answer);
    else for (const each of answer) this.#deliver(each);
    return Array.isArray(answer) && answer.length > 0;
  }

  /**
   * Reads one event stream until it ends; one that stays empty turns this connection to polling.
   */
  async #stream() {
    const own = new AbortController();
    const stop = () => own.abort();
    this.#stop.signal.addEventListener('abort', stop);
    let received = false;
    let timer = setTimeout(stop, this.#timing.firstByte);
    try {
      const response = await fetch(this.#address('/events'), {
        headers: {
          ...this.#headers('text/event-stream'),
          'Last-Event-ID': String(this.#handlers.lastSeq()),
        },
        signal: own.signal,
        credentials: 'omit',
        cache: 'no-store',
      });
      const streams = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
      if (!response.ok || !streams || response.body === null) {
        received = true;
        this.#deliver(await this.#answer(response));
        return;
      }
      const reader = response.body.getReader();
      const events = new EventStreamReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.#ended) return;
        received = true;
        clearTimeout(timer);
        timer = setTimeout(stop, this.#timing.streamSilence);
        for (const data of events.push(value)) this.#deliver(parseObject(data));
      }
    } catch (error) {
      if (this.#ended) return;
      if (received || !own.signal.aborted) throw error;
      this.#polling = true;
      streamsAreBuffered = true;
    } finally {
      clearTimeout(timer);
      this.#stop.signal.removeEventListener('abort', stop);
    }
  }

  /** @param {any} message */
  #deliver(message) {
    if (this.#ended || message === null || typeof message !== 'object' || message.type === 'pong') return;
    if (message.type === 'ping') return this.send(['{"type":"pong"}']);
    // Only this connection's own earlier request can be meant, come late through some proxy.
    if (message.type === 'error' && message.code === 'replaced') return this.#end(lost());
    const membershipIsGone = ['resume-expired', 'wrong-secret', 'not-joined'].includes(message.code);
    if (message.type === 'error' && (message.fatal === true || membershipIsGone)) return this.#end(refusal(message));
    this.#handlers.message(message);
  }

  /**
   * @param {'GET' | 'POST' | 'DELETE'} method
   * @param {string} path below the signaling address
   * @param {{ body?: string, accept?: string, keepalive?: boolean, timeout?: number }} [options]
   */
  async #request(method, path, { body, accept = 'application/json', keepalive = false, timeout } = {}) {
    const own = new AbortController();
    const stop = () => own.abort();
    this.#stop.signal.addEventListener('abort', stop);
    const timer = setTimeout(stop, timeout ?? this.#timing.request);
    try {
      const headers = this.#headers(accept);
      if (body !== undefined) headers['Content-Type'] = 'application/json';
      const request = { method, headers, body, keepalive, signal: own.signal };
      const response = await fetch(this.#address(path), { ...request, credentials: 'omit', cache: 'no-store' });
      const text = await response.text();
      return { status: response.status, ok: response.ok, text: () => Promise.resolve(text) };
    } finally {
      clearTimeout(timer);
      this.#stop.signal.removeEventListener('abort', stop);
    }
  }

  /**
   * The body of an answer; one that is not of this protocol (a proxy's error page) counts as a
   * broken connection.
   *
   * @param {{ status: number, ok: boolean, text: () => Promise<string> }} response
   */
  async #answer(response) {
    const body = parseObject(await response.text());
    if (body === null) throw new Error(`status ${response.status} without a message`);
    if (!response.ok && body.type !== 'error') throw new Error(`status ${response.status}`);
    return body;
  }

  /** @param {string} path */
  #address(path) {
    const [name, query] = path.split('?');
    const address = new URL(this.#url);
    address.pathname = address.pathname.replace(/\/$/, '') + name;
    if (query !== undefined) address.search = query;
    return address.href;
  }

  /**
   * @param {string} accept
   * @returns {Record<string, string>}
   */
  #headers(accept) {
    /** @type {Record<string, string>} */
    const headers = { Accept: accept };
    if (this.#credential !== '') headers.Authorization = `Bearer ${this.#credential}`;
    return headers;
  }

  /** @param {import('./failure.js').Failure} failure */
  #end(failure) {
    if (this.#ended) return;
    this.abort();
    this.#handlers.ended(failure);
  }
}

/**
 * Leaves a session with a request that outlives the page: what is written to a WebSocket at the
 * last moment does not always get out.
 *
 * @param {URL} url the signaling address
 * @param {{ peer: string, secret: string }} membership
 */
export function leaveInPassing(url, { peer, secret }) {
  const headers = { Authorization: `Bearer ${peer}.${secret}` };
  void fetch(url, { method: 'DELETE', headers, keepalive: true, credentials: 'omit' }).catch(() => {});
}
