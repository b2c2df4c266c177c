import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

/**
 * A small relay that speaks `docs/signaling.md`, for the unit tests: it can be told to misbehave in
 * the ways that networks and servers do. It also serves the call page, with the policy that the
 * real server sets.
 */
export class FakeRelay {
  /** @type {Map<string, any>} members by peer id */
  members = new Map();
  /** The types of the messages that came in, with the transport, for assertions. */
  log = /** @type {string[]} */ ([]);
  /** Refuse WebSocket upgrades: `no`, `refuse` or `hang`. */
  webSockets = /** @type {'yes' | 'refuse' | 'hang'} */ ('yes');
  /** Hold event streams back like a buffering proxy. */
  bufferStreams = false;
  /** Answer everything so many milliseconds late. */
  delay = 0;
  /** Swallow everything that arrives on WebSockets, like a network that went away silently. */
  deaf = false;
  /** Refuse every send once with this error before accepting it. */
  refuseOnce = /** @type {null | { code: string, retryAfter?: number }} */ (null);
  /** Answer the entering message with this error. */
  refuseEntry = /** @type {null | Record<string, unknown>} */ (null);
  /** Drop this many sends silently, as no correct server does. */
  losesSends = 0;
  /** Ask for this key. */
  joinKey = /** @type {string | null} */ (null);
  resumeWithin = 30000;
  upgraded = /** @type {Set<import('node:stream').Duplex>} */ (new Set());
  messageBytes = 262144;

  constructor() {
    this.server = createServer((request, response) => void this.#http(request, response));
    this.sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'columba.v1' });
    this.server.on('upgrade', (request, socket, head) => {
      if (this.webSockets === 'refuse') return socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      this.upgraded.add(socket);
      if (this.webSockets === 'hang') return;
      this.sockets.handleUpgrade(request, socket, head, (webSocket) => this.#webSocket(webSocket));
    });
  }

  async listen(port = 0) {
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', () => resolve(undefined)));
    const address = /** @type {import('node:net').AddressInfo} */ (this.server.address());
    this.port = address.port;
    this.url = `http://127.0.0.1:${this.port}/v1/signal`;
    return this;
  }

  async close() {
    for (const socket of this.upgraded) socket.destroy();
    this.dropConnections();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Cuts every connection; the memberships stay. */
  dropConnections() {
    for (const socket of this.sockets.clients) socket.terminate();
    for (const member of this.members.values()) member.stream?.destroy();
  }

  /** Forgets everything, as a restart does. */
  restart() {
    this.dropConnections();
    this.members.clear();
  }

  /**
   * @param {any} message
   * @returns {{ member?: any, answer: any }}
   */
  enter(message) {
    this.log.push(message.type);
    if (this.refuseEntry) return { answer: { type: 'error', message: 'No.', fatal: true, ...this.refuseEntry } };
    if (message.type === 'resume') return this.#resume(message);
    if (!['join', 'create', 'meet'].includes(message.type)) return { answer: error('not-joined', 'Join first.') };
    if (this.joinKey !== null && message.key !== this.joinKey) {
      return { answer: message.key === undefined ? error('key-required', 'Which key?') : error('wrong-key', 'Not this key.') };
    }
    const session = message.type === 'create' ? randomBytes(16).toString('base64url') : message.session;
    const key = message.type === 'meet' ? 'meet' : `token ${session}`;
    const instance = message.instance ?? randomBytes(16).toString('hex');
    const peer = createHash('sha256').update(key).update(instance).digest('base64url').slice(0, 16);
    const older = this.members.get(peer);
    if (older) this.remove(older, 'replaced');
    const member = {
      peer, id: message.id, with: message.with, key, secret: randomBytes(12).toString('base64url'),
      accepted: 0, seq: 0, events: /** @type {any[]} */ ([]), write: /** @type {any} */ (null), acknowledged: 0, refused: new Set(),
    };
    this.members.set(peer, member);
    const peers = this.others(member);
    for (const other of peers) this.event(other, { type: 'peer-joined', peer, id: member.id });
    const answer = {
      type: 'joined', peer, session: message.type === 'meet' ? null : session, secret: member.secret,
      peers: peers.map((each) => ({ peer: each.peer, id: each.id })), ...iceServers(), resumeWithin: this.resumeWithin,
      limits: { messageBytes: this.messageBytes, peers: 16, messagesPerSecond: 50, messageBurst: 200 },
    };
    return { member, answer };
  }

  /** @param {any} member */
  others(member) {
    return [...this.members.values()].filter((other) => {
      if (other === member || other.key !== member.key) return false;
      if (member.key !== 'meet') return true;
      const wants = (/** @type {any} */ a, /** @type {any} */ b) => a.with === b.id && (b.with === undefined || b.with === a.id);
      return wants(member, other) || wants(other, member);
    });
  }

  /** @param {any} member @param {any} event */
  event(member, event) {
    member.seq += 1;
    const { type, ...rest } = event;
    const message = { type, seq: member.seq, ...rest };
    member.events.push(message);
    member.write?.(message);
  }

  /** @param {any} member @param {string} reason */
  remove(member, reason) {
    if (this.members.get(member.peer) !== member) return;
    const others = this.others(member);
    this.members.delete(member.peer);
    for (const other of others) this.event(other, { type: 'peer-left', peer: member.peer, reason });
  }

  /** @param {any} message */
  #resume(message) {
    const member = this.members.get(message.peer);
    if (!member) return { answer: error('resume-expired', 'The membership is gone.') };
    if (member.secret !== message.secret) return { answer: error('wrong-secret', 'Wrong secret.') };
    this.acknowledge(member, message.seq);
    return { member, answer: { type: 'resumed', seq: member.accepted, ...iceServers() } };
  }

  /** @param {any} member @param {number} seq */
  acknowledge(member, seq) {
    member.acknowledged = Math.max(member.acknowledged, seq);
    member.events = member.events.filter((/** @type {any} */ each) => each.seq > seq);
  }

  /**
   * @param {any} member
   * @param {any} message
   * @returns {any} the answer, or null
   */
  handle(member, message) {
    this.log.push(message.type);
    if (message.type === 'ack') return this.acknowledge(member, message.seq);
    if (message.type === 'ping') return { type: 'pong' };
    if (message.type === 'ice-servers') return { type: 'ice-servers', ...iceServers() };
    if (message.type === 'leave') return this.remove(member, 'left');
    if (message.type !== 'send') return null;
    if (message.seq <= member.accepted) return { type: 'ack', seq: member.accepted };
    if (member.waitsFor && message.seq > member.waitsFor) return null;
    if (this.losesSends > 0) {
      this.losesSends -= 1;
      return null;
    }
    member.waitsFor = 0;
    if (message.seq > member.accepted + 1) return { ...error('sequence-gap', 'A send is missing.'), seq: member.accepted + 1 };
    if (this.refuseOnce && !member.refused.has(message.seq)) {
      member.refused.add(message.seq);
      member.waitsFor = message.seq;
      return { ...error(this.refuseOnce.code, 'Slower.'), retryAfter: this.refuseOnce.retryAfter, seq: message.seq };
    }
    member.accepted = message.seq;
    const others = this.others(member);
    const receivers = message.to == null ? others : others.filter((each) => each.peer === message.to);
    for (const other of receivers) this.event(other, { type: 'message', from: member.peer, data: message.data });
    if (message.to != null && receivers.length === 0) return { ...error('no-such-peer', 'No such peer.'), seq: message.seq };
    return { type: 'ack', seq: message.seq };
  }

  /** @param {import('ws').WebSocket} socket */
  #webSocket(socket) {
    /** @type {any} */
    let member = null;
    const write = (/** @type {any} */ message) => socket.send(JSON.stringify(message));
    socket.on('message', async (text) => {
      if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
      if (this.deaf) return;
      const message = JSON.parse(String(text));
      if (member) {
        const answer = this.handle(member, message);
        if (answer) write(answer);
        return;
      }
      const entered = this.enter(message);
      write(entered.answer);
      if (!entered.member) return socket.close(1008, entered.answer.code);
      member = entered.member;
      for (const event of member.events) write(event);
      member.write = write;
    });
    socket.on('close', () => {
      if (member?.write !== write) return;
      member.write = null;
      setTimeout(() => member.write === null && !member.stream && this.remove(member, 'timeout'), this.resumeWithin).unref();
    });
  }

  /**
   * @param {import('node:http').IncomingMessage} request @param
   *   {import('node:http').ServerResponse} response
   */
  async #http(request, response) {
    const url = new URL(request.url ?? '/', 'http://relay');
    if (!url.pathname.startsWith('/v1/signal')) return serveFile(url.pathname, response);
    let body = '';
    for await (const chunk of request) body += chunk;
    const json = (/** @type {number} */ status, /** @type {any} */ value) => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    const route = `${request.method} ${url.pathname.slice('/v1/signal'.length)}`;
    this.log.push(`http ${route}`);
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    if (route === 'POST ') {
      const { member, answer } = this.enter(JSON.parse(body));
      return json(member ? 201 : 409, answer);
    }
    const [peer = '', secret = ''] = (request.headers.authorization ?? '').replace('Bearer ', '').split('.');
    const member = this.members.get(peer);
    if (!member) return json(410, error('resume-expired', 'The membership is gone.'));
    if (member.secret !== secret) return json(401, error('wrong-secret', 'Wrong secret.'));
    if (route === 'DELETE ') {
      this.remove(member, 'left');
      return response.writeHead(204).end();
    }
    if (route === 'POST /messages') return json(200, this.#batch(member, JSON.parse(body)));
    if (request.headers.accept?.includes('text/event-stream')) return this.#stream(member, request, response);
    this.#poll(member, url, json);
  }

  /** @param {any} member @param {any} messages */
  #batch(member, messages) {
    const list = Array.isArray(messages) ? messages : [messages];
    const answers = list.map((each) => this.handle(member, each)).filter(Boolean);
    const sent = list.some((each) => each.type === 'send');
    return [...answers.filter((each) => each.type !== 'ack'), ...(sent ? [{ type: 'ack', seq: member.accepted }] : [])];
  }

  /**
   * @param {any} member @param {import('node:http').IncomingMessage} request @param
   *   {import('node:http').ServerResponse} response
   */
  #stream(member, request, response) {
    if (this.bufferStreams) return;
    this.acknowledge(member, Number(request.headers['last-event-id'] ?? 0));
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(': hello\n\n');
    member.stream = response;
    member.write = (/** @type {any} */ event) => response.write(`id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`);
    for (const event of member.events) member.write(event);
  }

  /** @param {any} member @param {URL} url @param {(status: number, value: any) => void} json */
  #poll(member, url, json) {
    this.acknowledge(member, Number(url.searchParams.get('after')));
    if (member.events.length > 0) return json(200, member.events);
    const answer = () => {
      member.write = null;
      clearTimeout(timer);
      setImmediate(() => json(200, member.events));
    };
    const timer = setTimeout(() => {
      // Who comes later must not answer it once more.
      if (member.write === answer) member.write = null;
      json(200, []);
    }, Number(url.searchParams.get('wait')) * 1000);
    timer.unref();
    member.write = answer;
  }
}

/** @param {string} code @param {string} message */
function error(code, message) {
  return { type: 'error', code, message, fatal: false };
}

function iceServers() {
  const expire = Math.floor(Date.now() / 1000) + 3600;
  const credential = randomBytes(6).toString('hex');
  return { iceServers: [{ urls: ['turn:127.0.0.1:34781?transport=udp'], username: `${expire}:x`, credential }], iceServersExpire: expire };
}

const TYPES = /** @type {Record<string, string>} */ ({
  '.html': 'text/html; charset=utf-8', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml',
});

/** @param {string} path @param {import('node:http').ServerResponse} response */
async function serveFile(path, response) {
  const file = path.startsWith('/columba/') ? `src/${path.slice(9)}` : `page/${path === '/' ? 'index.html' : path.slice(1)}`;
  try {
    const content = await readFile(fileURLToPath(new URL(`../../${file}`, import.meta.url)));
    response.writeHead(200, {
      'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
      'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
}
