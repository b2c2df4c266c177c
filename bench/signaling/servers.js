// The servers that are measured: how each is started, entered and spoken to.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

/** The core that a server has for itself, as far as the machine lets it. */
const CORE = '0';

/** The clock ticks of `/proc`, a second (proc(5)). */
const TICKS = 100;

/** A port that is free now. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/** A running server, with what its process has used. */
class Server {
  constructor(name, process, port) {
    this.name = name;
    this.process = process;
    this.port = port;
  }

  /** The memory that the process has, in bytes. */
  resident() {
    const status = readFileSync(`/proc/${this.process.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
  }

  /** The processor time that the process has used, in seconds. */
  processorTime() {
    const stat = readFileSync(`/proc/${this.process.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  async stop() {
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
  }
}

async function start(name, port, program, ...options) {
  const words = ['-c', CORE, program, ...options];
  const child = spawn('taskset', words, { stdio: 'ignore' });
  for (let tries = 0; tries < 200; tries++) {
    const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => null);
    if (answer) return new Server(name, child, port);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${name} does not answer`);
}

/** `columba serve`. */
export const columba = {
  name: 'columba',

  async start(program) {
    const port = await freePort();
    const many = String(1_000_000);
    return start('columba', port, program, 'serve', '--listen', `127.0.0.1:${port}`, '--stun-listen', 'off',
      '--max-connections', '20000', '--max-connections-per-client', '20000', '--max-peers-per-client', '20000', '--joins-per-minute', many,
      '--messages-per-second', many, '--message-burst', many, '--log-level', 'error');
  },

  /** Two members of one session, who have nothing to do. */
  async pair(server) {
    const session = randomBytes(16).toString('hex');
    return Promise.all([this.enter(server, session), this.enter(server, session)]);
  },

  async enter(server, session) {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/v1/signal`, 'columba.v1', OPTIONS);
    await once(socket, 'open');
    socket.send(JSON.stringify({ type: 'join', session }));
    const [joined] = await once(socket, 'message');
    return { socket, id: JSON.parse(joined).peer, sent: 0, received: 0 };
  },

  send(from, to, payload) {
    from.sent += 1;
    from.socket.send(`{"type":"send","seq":${from.sent},"to":"${to.id}","data":"${payload}"}`);
  },

  /**
   * The text of a message of the other's; null for anything else. Events are acknowledged as the
   * protocol asks.
   */
  receive(at, text) {
    if (!text.startsWith('{"type":"message"')) return null;
    at.received += 1;
    if (at.received % 32 === 0) at.socket.send(`{"type":"ack","seq":${JSON.parse(text).seq}}`);
    return text;
  },
};

/** The server of PeerJS. */
export const peerjs = {
  name: 'peerjs',

  async start() {
    const port = await freePort();
    const program = fileURLToPath(new URL('node_modules/.bin/peerjs', import.meta.url));
    return start('peerjs', port, program, '--host', '127.0.0.1', '--port', String(port), '--path', '/',
      '--concurrent_limit', '20000', '--alive_timeout', '600000');
  },

  async pair(server) {
    return Promise.all([this.enter(server), this.enter(server)]);
  },

  async enter(server) {
    const [id, token] = [randomBytes(8).toString('hex'), randomBytes(8).toString('hex')];
    const address = `ws://127.0.0.1:${server.port}/peerjs?key=peerjs&id=${id}&token=${token}&version=1.5.5`;
    const socket = new WebSocket(address, OPTIONS);
    // The first message may come with the answer to the handshake.
    const [opened] = await once(socket, 'message');
    if (JSON.parse(opened).type !== 'OPEN') throw new Error(`PeerJS answers ${opened}`);
    return { socket, id, sent: 0, received: 0 };
  },

  send(from, to, payload) {
    from.socket.send(`{"type":"CANDIDATE","dst":"${to.id}","payload":"${payload}"}`);
  },

  receive(at, text) {
    return text.startsWith('{"type":"CANDIDATE"') || text.includes('"CANDIDATE"') ? text : null;
  },
};

/** Browsers compress where a server offers it; neither of these does. */
const OPTIONS = { perMessageDeflate: false };
