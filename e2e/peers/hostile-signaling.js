// A signaling server that changes what peers send each other: a relay in front of the real one,
// which rewrites the events of its WebSockets.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** The opcode of text, in a final frame (RFC 6455 §5.2). */
const TEXT = 0x81;

/**
 * The change of the data of a message between peers.
 * @callback Change
 * @param {any} data @param {any} event
 * @returns {any}
 */

export class HostileSignaling {
  /** Messages between peers that passed. */
  messages = 0;
  #server;
  /** @type {Set<import('node:net').Socket>} */
  #sockets = new Set();

  /** @param {number} port the real server's @param {Change} change */
  constructor(port, change) {
    this.#server = createServer((client) => {
      const server = connect(port, '127.0.0.1');
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => [client, server].forEach((each) => each.destroy()));
      }
      client.pipe(server);
      this.#rewrite(server, client, change);
    });
  }

  /** @param {number} port @param {Change} change */
  static async start(port, change) {
    const relay = new HostileSignaling(port, change);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get origin() {
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${address.port}/`;
  }

  close() {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#server.close();
  }

  /**
   * @param {import('node:net').Socket} from @param {import('node:net').Socket} to
   * @param {Change} change
   */
  #rewrite(from, to, change) {
    let waiting = Buffer.alloc(0);
    let isOpen = false;
    from.on('data', (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
      if (!isOpen) {
        const end = waiting.indexOf('\r\n\r\n');
        if (end < 0) return;
        isOpen = true;
        to.write(waiting.subarray(0, end + 4));
        waiting = waiting.subarray(end + 4);
      }
      for (let frame = first(waiting); frame; frame = first(waiting)) {
        const { head, payload, length } = frame;
        waiting = waiting.subarray(length);
        to.write(framed(head, head === TEXT ? this.#changed(payload, change) : payload));
      }
    });
  }

  /** @param {Buffer} payload @param {Change} change */
  #changed(payload, change) {
    const event = JSON.parse(payload.toString());
    if (event.type !== 'message') return payload;
    this.messages++;
    return Buffer.from(JSON.stringify({ ...event, data: change(event.data, event) }));
  }
}

/** The first whole frame; those of a server are not masked. @param {Buffer} bytes */
function first(bytes) {
  if (bytes.length < 2) return undefined;
  const short = bytes[1] & 0x7f;
  const header = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < header) return undefined;
  const size = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < header + size) return undefined;
  return { head: bytes[0], payload: bytes.subarray(header, header + size), length: header + size };
}

/** @param {number} head @param {Buffer} payload */
function framed(head, payload) {
  const header = Buffer.alloc(payload.length > 65_535 ? 10 : payload.length > 125 ? 4 : 2);
  header[0] = head;
  if (header.length === 2) header[1] = payload.length;
  else if (header.length === 4) [header[1]] = [126, header.writeUInt16BE(payload.length, 2)];
  else [header[1]] = [127, header.writeBigUInt64BE(BigInt(payload.length), 2)];
  return Buffer.concat([header, payload]);
}
