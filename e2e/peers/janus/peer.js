// Janus with its echo test and its rooms, behind the commands of `media-peer.js`: it answers and
// sends back what it gets, or offers to one what it gets of another, and counts nothing.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, stop } from '../../lab/shell.js';
import { STEP_TIMEOUT } from '../../lab/timeouts.js';
import { Peer } from '../data-peer.js';

/** Milliseconds between two looks for a beginning. */
const STEP = 100;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  return port;
}

/** A Janus of our own: a port and a certificate of P-256, since Debian's is of RSA. */
export class Janus {
  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {string} url
   * @param {string} folder
   */
  constructor(child, url, folder) {
    this.child = child;
    this.url = url;
    this.folder = folder;
  }

  static async start() {
    const folder = mkdtempSync(join(tmpdir(), 'columba-janus-'));
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const subject = ['-nodes', '-days', '30', '-subj', '/CN=janus'];
    await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', ...subject, '-keyout', key, '-out', certificate], { env: process.env });
    const port = await freePort();
    writeFileSync(join(folder, 'janus.transport.http.jcfg'), `general: { json = "plain" base_path = "/janus" http = true port = ${port} ip = "127.0.0.1" https = false }\nadmin: { admin_http = false admin_https = false }\n`);
    for (const plugin of ['echotest', 'videoroom']) writeFileSync(join(folder, `janus.plugin.${plugin}.jcfg`), 'general: { }\n');
    writeFileSync(
      join(folder, 'janus.jcfg'),
      `general: { configs_folder = "${folder}" plugins_folder = "/usr/lib/x86_64-linux-gnu/janus/plugins" transports_folder = "/usr/lib/x86_64-linux-gnu/janus/transports" debug_level = 4 }
certificates: { cert_pem = "${certificate}" cert_key = "${key}" }
plugins: { disable = "libjanus_audiobridge.so,libjanus_lua.so,libjanus_duktape.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_sipre.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_voicemail.so" }
transports: { disable = "libjanus_websockets.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so" }
`,
    );
    const child = spawn('janus', ['-F', folder, '-C', join(folder, 'janus.jcfg')], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said = (said + text).slice(-4000)));
    const janus = new Janus(child, `http://127.0.0.1:${port}/janus`, folder);
    const end = Date.now() + STEP_TIMEOUT;
    while (!(await fetch(`${janus.url}/info`).then(({ ok }) => ok, () => false))) {
      if (Date.now() > end || child.exitCode !== null) throw new Error(`Janus does not begin: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, STEP));
    }
    return janus;
  }

  async stop() {
    await stop(this.child);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A session with Janus: requests, and the events of its handles. */
class Session {
  isOver = false;

  /** @param {string} url @param {number} id */
  constructor(url, id) {
    this.url = url;
    this.id = id;
  }

  /** @param {string} url */
  static async create(url) {
    return new Session(url, (await Session.#post(url, { janus: 'create' })).data.id);
  }

  /** @param {string} url @param {object} body */
  static async #post(url, body) {
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify({ transaction: 'test', ...body }) });
    return /** @type {any} */ (await answer.json());
  }

  /** @param {string} path of a handle, or nothing @param {object} body */
  post(path, body) {
    return Session.#post(`${this.url}/${this.id}${path}`, body);
  }

  /** @param {string} plugin @returns {Promise<number>} */
  async attach(plugin) {
    return (await this.post('', { janus: 'attach', plugin })).data.id;
  }

  /**
   * Gives each event to the peer of its handle, until the session is over.
   * @param {(handle: number) => Peer | undefined} peerOf
   */
  async poll(peerOf) {
    while (!this.isOver) {
      const event = /** @type {any} */ (await (await fetch(`${this.url}/${this.id}?maxev=1`)).json());
      const peer = peerOf(event.sender);
      if (!peer) continue;
      const data = event.plugindata?.data;
      if (data) peer.take({ event: 'plugin', data });
      if (event.jsep) peer.take({ event: 'description', ...event.jsep });
      if (event.janus === 'webrtcup') peer.take({ event: 'state', state: 'connected' });
      if (event.janus === 'hangup') peer.take({ event: 'hangup', reason: event.reason });
      const error = event.error?.reason ?? data?.error;
      if (error) peer.take({ event: 'error', message: error });
    }
  }

  async end() {
    this.isOver = true;
    await this.post('', { janus: 'destroy' }).catch(() => {});
  }
}

/**
 * A peer at a handle.
 * @param {string} name
 * @param {Session} session
 * @param {(command: any) => Promise<unknown>} obey
 */
function handlePeer(name, session, obey) {
  /** @type {Peer} */
  const peer = new Peer(
    name,
    (command) => void obey(command).catch((error) => session.isOver || peer.take({ event: 'error', message: String(error) })),
    () => session.end(),
  );
  return peer;
}

/**
 * @param {Session} session
 * @param {(handle: number) => Peer | undefined} peerOf
 * @param {Peer} peer that is told of errors
 */
const follow = (session, peerOf, peer) =>
  void session.poll(peerOf).catch((error) => session.isOver || peer.take({ event: 'error', message: String(error) }));

export class JanusPeer {
  /** @param {string} url */
  static async create(url) {
    const session = await Session.create(url);
    const handle = await session.attach('janus.plugin.echotest');
    const peer = handlePeer('janus', session, async ({ do: what, type, sdp }) => {
      if (what === 'end') return await session.end();
      if (what !== 'setRemote') throw new Error(`Janus cannot ${what}`);
      await session.post(`/${handle}`, { janus: 'message', body: { audio: true, video: true }, jsep: { type, sdp } });
    });
    follow(session, () => peer, peer);
    return peer;
  }
}

/** A room: Janus answers the one who shows a film, and offers it to the one who watches. */
export class JanusRoom {
  static #room = 1234;

  /** @param {string} url */
  static async create(url) {
    const session = await Session.create(url);
    const room = JanusRoom.#room++;
    const [taking, offering] = [await session.attach('janus.plugin.videoroom'), await session.attach('janus.plugin.videoroom')];
    const ask = (/** @type {number} */ handle, /** @type {object} */ body, /** @type {object} */ jsep = {}) =>
      session.post(`/${handle}`, { janus: 'message', body, ...jsep });
    await ask(taking, { request: 'create', room, publishers: 2, videocodec: 'vp8', audiocodec: 'opus' });
    let feed = 0;
    const taker = handlePeer('janus, taking', session, async ({ do: what, type, sdp }) => {
      if (what === 'end') return await session.end();
      if (what !== 'setRemote') throw new Error(`Janus cannot ${what}`);
      await ask(taking, { request: 'join', ptype: 'publisher', room });
      feed = (await taker.until('plugin')).data.id;
      await ask(taking, { request: 'publish' }, { jsep: { type, sdp } });
    });
    const offerer = handlePeer('janus, offering', session, async ({ do: what, type, sdp }) => {
      if (what === 'end') return await session.end();
      if (what === 'offer') return await ask(offering, { request: 'join', ptype: 'subscriber', room, streams: [{ feed }] });
      if (what !== 'setRemote') throw new Error(`Janus cannot ${what}`);
      await ask(offering, { request: 'start' }, { jsep: { type, sdp } });
    });
    follow(session, (handle) => (handle === offering ? offerer : taker), taker);
    return { taker, offerer };
  }
}
