// A long way to a server: what is sent over TCP arrives after a delay, and as it was sent.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class SlowWay {
  /** The time of the first connection. */
  begun = NaN;
  /** @type {Set<import('node:net').Socket>} */
  #sockets = new Set();
  #server;

  /**
   * @param {import('node:net').Server} server
   * @param {number} port that of the server at the end
   * @param {number} delay each way, in milliseconds
   */
  constructor(server, port, delay) {
    this.#server = server;
    server.on('connection', (near) => {
      if (Number.isNaN(this.begun)) this.begun = performance.now();
      const far = connect(port, '127.0.0.1');
      for (const [from, to] of [[near, far], [far, near]]) {
        this.#sockets.add(from);
        const later = (/** @type {() => void} */ action) => void setTimeout(() => !to.destroyed && action(), delay);
        from.setNoDelay(true);
        from.on('data', (bytes) => later(() => to.write(bytes)));
        from.on('end', () => later(() => to.end()));
        from.on('error', () => to.destroy());
        from.on('close', () => this.#sockets.delete(from));
      }
    });
  }

  /** @param {number} port @param {number} delay */
  static async open(port, delay) {
    const server = createServer({ allowHalfOpen: true });
    const way = new SlowWay(server, port, delay);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return way;
  }

  get origin() {
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://localhost:${address.port}`;
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
