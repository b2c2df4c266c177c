// What a NAT does, found out from inside and outside as RFC 5780 does it, with datagrams of our
// own.
//
// Runs within a node, driven over its standard input and output by `probing.js`: one JSON command
// per line.

import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** @type {Map<string, import('node:dgram').Socket>} */
const sockets = new Map();
/** @type {Map<string, {from: string, text: string}[]>} */
const arrived = new Map();

/** @type {Record<string, (command: any) => Promise<unknown>>} */
const commands = {
  /** Opens a UDP socket under a name; answers with its port. */
  async open({ name, address = '0.0.0.0', port = 0 }) {
    const socket = createSocket('udp4');
    arrived.set(name, []);
    socket.on('message', (text, { address: host, port: from }) => {
      arrived.get(name)?.push({ from: `${host}:${from}`, text: text.toString() });
    });
    await new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, address, () => resolve(undefined));
    });
    socket.on('error', () => {}); // unreachable ports answer with ICMP; the probe only counts what arrives
    sockets.set(name, socket);
    return socket.address().port;
  },

  async send({ name, to, text }) {
    const [host, port] = to.split(':');
    // An error is no matter: the probe only counts what arrives.
    await new Promise((resolve) => sockets.get(name)?.send(text, Number(port), host, resolve));
  },

  /**
   * Waits until a datagram with this text is there; answers with its source, or null after `wait`
   * ms.
   */
  async receive({ name, text, wait }) {
    const end = Date.now() + wait;
    for (;;) {
      const found = arrived.get(name)?.find((datagram) => datagram.text === text);
      if (found) return found.from;
      if (Date.now() >= end) return null;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  },

  async close() {
    for (const socket of sockets.values()) socket.close();
    sockets.clear();
    arrived.clear();
  },

  async listen({ address, port }) {
    const server = createServer((socket) => socket.end('hello'));
    await new Promise((resolve) => server.listen(port, address, () => resolve(undefined)));
  },

  /** Tries a TCP connection; answers with "open", "refused" or "timeout". */
  async dial({ to, wait }) {
    const [host, port] = to.split(':');
    return new Promise((resolve) => {
      const socket = connect(Number(port), host);
      /** @param {string} how */
      const done = (how) => {
        socket.destroy();
        resolve(how);
      };
      socket.setTimeout(wait, () => done('timeout'));
      socket.on('data', () => done('open'));
      socket.on('error', () => done('refused'));
    });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...rest } = JSON.parse(line);
  commands[command](rest).then(
    (answer) => console.log(JSON.stringify({ id, answer })),
    (error) => console.log(JSON.stringify({ id, error: String(error) })),
  );
}
process.exit(0);
