// Janus with its echo test, behind the commands of `media-peer.js`: it answers, sends back what it
// gets, and counts nothing.

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
    writeFileSync(join(folder, 'janus.plugin.echotest.jcfg'), 'general: { }\n');
    writeFileSync(
      join(folder, 'janus.jcfg'),
      `general: { configs_folder = "${folder}" plugins_folder = "/usr/lib/x86_64-linux-gnu/janus/plugins" transports_folder = "/usr/lib/x86_64-linux-gnu/janus/transports" debug_level = 4 }
certificates: { cert_pem = "${certificate}" cert_key = "${key}" }
plugins: { disable = "libjanus_audiobridge.so,libjanus_lua.so,libjanus_duktape.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_sipre.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so" }
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

export class JanusPeer {
  /** @param {string} url */
  static async create(url) {
    const post = async (/** @type {string} */ path, /** @type {object} */ body) => {
      const answer = await fetch(url + path, { method: 'POST', body: JSON.stringify({ transaction: 'test', ...body }) });
      return /** @type {any} */ (await answer.json());
    };
    const session = (await post('', { janus: 'create' })).data.id;
    const handle = (await post(`/${session}`, { janus: 'attach', plugin: 'janus.plugin.echotest' })).data.id;
    let isOver = false;
    const obey = async (/** @type {any} */ { do: what, type, sdp }) => {
      if (what === 'end') return void (await post(`/${session}`, { janus: 'destroy' }));
      if (what !== 'setRemote') throw new Error(`Janus cannot ${what}`);
      await post(`/${session}/${handle}`, { janus: 'message', body: { audio: true, video: true }, jsep: { type, sdp } });
    };
    const fail = (/** @type {unknown} */ error) => isOver || peer.take({ event: 'error', message: String(error) });
    const peer = new Peer('janus', (command) => void obey(command).catch(fail), async () => {
      isOver = true;
      await post(`/${session}`, { janus: 'destroy' }).catch(() => {});
    });
    (async () => {
      while (!isOver) {
        const event = /** @type {any} */ (await (await fetch(`${url}/${session}?maxev=1`)).json());
        if (event.jsep) peer.take({ event: 'description', ...event.jsep });
        if (event.janus === 'webrtcup') peer.take({ event: 'state', state: 'connected' });
        if (event.janus === 'hangup') peer.take({ event: 'hangup', reason: event.reason });
        if (event.error) fail(event.error.reason);
      }
    })().catch(fail);
    return peer;
  }
}
