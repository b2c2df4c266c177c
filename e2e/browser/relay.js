// Carries the connections that reach a local TCP port to the same port in another network
// namespace.
//
// Firefox is driven over a WebSocket on its own loopback interface, which only its namespace can
// reach. Unix sockets have names in the file system and so cross namespaces: a small process
// inside (this file, run as a program) listens on one and dials the port; the driver's side
// listens on the port and dials the Unix socket.

import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stop } from '../lab/shell.js';
import { STEP_TIMEOUT } from '../lab/timeouts.js';

/**
 * Opens the way to a port in a node.
 * @param {import('../lab/lab.js').Lab} lab @param {string} node
 * @returns {Promise<{port: number, close: () => Promise<void>}>} the port, the same on both sides
 */
export async function relayInto(lab, node) {
  const outside = createServer();
  outside.listen(0, '127.0.0.1');
  await once(outside, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (outside.address());
  const path = join(lab.folder, `${node}-${port}.sock`);
  outside.on('connection', (socket) => splice(socket, connect(path)));

  const inside = lab.spawn(node, process.execPath, [fileURLToPath(import.meta.url), path, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (!inside.stdout) throw new Error('a relay without output');
  await once(inside.stdout, 'data', { signal: AbortSignal.timeout(STEP_TIMEOUT) });
  return {
    port,
    close: async () => {
      outside.close();
      await stop(inside, { signal: 'SIGKILL' });
    },
  };
}

/** @param {import('node:net').Socket} one @param {import('node:net').Socket} other */
function splice(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path, port] = process.argv.slice(2);
  const server = createServer((socket) => splice(socket, connect(Number(port), '127.0.0.1')));
  server.listen(path, () => console.log('ready'));
}
