// A small STUN and TURN client (RFC 8489, 8656) for tests: what a real client would send, and
// what none would.

import { createHash, createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { STEP_TIMEOUT } from '../lab/timeouts.js';

const COOKIE = 0x2112a442;

/**
 * Milliseconds until a request is sent again: datagrams get lost, also where nothing is between
 * the two but a full buffer.
 */
const AGAIN = 500;

export const METHOD = { binding: 1, allocate: 3, refresh: 4, send: 6, data: 7, createPermission: 8, channelBind: 9 };
export const CLASS = { request: 0, indication: 1, success: 2, error: 3 };
export const ATTRIBUTE = {
  username: 0x0006,
  integrity: 0x0008,
  errorCode: 0x0009,
  channelNumber: 0x000c,
  lifetime: 0x000d,
  peerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  relayedAddress: 0x0016,
  requestedTransport: 0x0019,
  mappedAddress: 0x0020,
  fingerprint: 0x8028,
};

/** @typedef {[number, Buffer]} Attribute */
/**
 * @typedef {{method: number, class: number, transaction: Buffer, attributes: Attribute[]}} Parsed
 */
/** @typedef {{username: string, realm: string, nonce: Buffer, key: Buffer}} Credential */

/**
 * @param {number} method @param {number} kind one of CLASS
 * @param {Attribute[]} [attributes]
 * @param {{transaction?: Buffer, credential?: Credential, fingerprint?: boolean}} [options]
 */
export function build(method, kind, attributes = [], { transaction = randomBytes(12), credential, fingerprint = false } = {}) {
  const header = Buffer.alloc(20);
  header.writeUInt16BE((method & 0xf) | ((method & 0x70) << 1) | ((kind & 1) << 4) | ((kind & 2) << 7));
  header.writeUInt32BE(COOKIE, 4);
  transaction.copy(header, 8);
  const all = [...attributes];
  if (credential) {
    all.push([ATTRIBUTE.username, Buffer.from(credential.username)], [ATTRIBUTE.realm, Buffer.from(credential.realm)]);
    all.push([ATTRIBUTE.nonce, credential.nonce]);
  }
  let message = Buffer.concat([header, ...all.map(encode)]);
  if (credential) {
    message.writeUInt16BE(message.length - 20 + 24, 2);
    const mac = createHmac('sha1', credential.key).update(message).digest();
    message = Buffer.concat([message, encode([ATTRIBUTE.integrity, mac])]);
  }
  message.writeUInt16BE(message.length - 20 + (fingerprint ? 8 : 0), 2);
  if (!fingerprint) return message;
  const value = Buffer.alloc(4);
  value.writeUInt32BE((crc32(message) ^ 0x5354554e) >>> 0);
  return Buffer.concat([message, encode([ATTRIBUTE.fingerprint, value])]);
}

/** @param {Attribute} attribute */
function encode([type, value]) {
  const padded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  padded.writeUInt16BE(type);
  padded.writeUInt16BE(value.length, 2);
  value.copy(padded, 4);
  return padded;
}

/** @param {Buffer} bytes @returns {Parsed | undefined} */
export function parse(bytes) {
  if (bytes.length < 20 || bytes.readUInt32BE(4) !== COOKIE) return undefined;
  const type = bytes.readUInt16BE(0);
  /** @type {Attribute[]} */
  const attributes = [];
  for (let at = 20; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16BE(at + 2);
    attributes.push([bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + length)]);
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return {
    method: (type & 0xf) | ((type >> 1) & 0x70),
    class: ((type >> 4) & 1) | ((type >> 7) & 2),
    transaction: bytes.subarray(8, 20),
    attributes,
  };
}

/** @param {Parsed} message @param {number} type */
export function attribute(message, type) {
  return message.attributes.find(([found]) => found === type)?.[1];
}

/** In hexadecimal; of what is not STUN, some bytes. @param {Buffer} bytes */
function transactionOf(bytes) {
  return bytes.toString('hex', 8, 20);
}

/** The error code of a response, or 0 for success. @param {Parsed} message */
export function errorCode(message) {
  if (message.class === CLASS.success) return 0;
  const value = attribute(message, ATTRIBUTE.errorCode);
  if (!value) throw new Error('an error response without ERROR-CODE');
  return (value[2] & 7) * 100 + value[3];
}

/**
 * An XOR address attribute's value.
 * @param {string} address IPv4, or IPv6 as 8 full groups
 * @param {number} port
 */
export function xorAddress(address, port, transaction = Buffer.alloc(12)) {
  const isV4 = !address.includes(':');
  const bytes = isV4
    ? Buffer.from(address.split('.').map(Number))
    : Buffer.from(address.split(':').map((group) => group.padStart(4, '0')).join(''), 'hex');
  const value = Buffer.alloc(4 + bytes.length);
  value[1] = isV4 ? 1 : 2;
  value.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  mask(bytes, transaction).copy(value, 4);
  return value;
}

/** @param {Buffer} value an IPv4 XOR address attribute */
export function readXorAddress(value) {
  const port = value.readUInt16BE(2) ^ (COOKIE >>> 16);
  return { address: [...mask(value.subarray(4, 8), Buffer.alloc(12))].join('.'), port };
}

/** @param {Buffer} bytes @param {Buffer} transaction */
function mask(bytes, transaction) {
  const pad = Buffer.concat([Buffer.from([0x21, 0x12, 0xa4, 0x42]), transaction]);
  return Buffer.from(bytes.map((byte, index) => byte ^ pad[index]));
}

/** @param {Buffer} bytes */
function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return (sum ^ 0xffffffff) >>> 0;
}

/**
 * A user of the REST convention.
 * @param {string} secret
 * @param {string} [name]
 * @param {number} [expiry] Unix seconds
 */
export function restUser(secret, name = 'test', expiry = Math.floor(Date.now() / 1000) + 3600) {
  const username = `${expiry}:${name}`;
  return { username, password: createHmac('sha1', secret).update(username).digest('base64') };
}

/** A UDP client of one server. */
export class StunClient {
  /** @type {Buffer[]} */
  #inbox = [];
  /**
   * Transactions that are over: an answer to a request that was sent twice may come twice.
   * @type {Set<string>}
   */
  #over = new Set();
  /** @type {Credential | undefined} */
  credential;

  /** @param {string} host @param {number} port */
  constructor(host, port) {
    this.host = host;
    this.port = port;
    this.socket = createSocket('udp4');
    this.socket.on('message', (bytes) => {
      if (!this.#over.has(transactionOf(bytes))) this.#inbox.push(bytes);
    });
    this.socket.on('error', () => {});
  }

  /** @param {string} host @param {number} port @param {string} [from] the local address */
  static async open(host, port, from = '127.0.0.1') {
    const client = new StunClient(host, port);
    client.socket.bind(0, from);
    await once(client.socket, 'listening');
    return client;
  }

  /** @param {Buffer} bytes */
  send(bytes) {
    this.socket.send(bytes, this.port, this.host);
  }

  /**
   * Takes the first datagram that `wanted` says yes to; undefined after `wait` ms.
   * @param {(bytes: Buffer) => boolean} wanted
   */
  async receive(wanted, wait = STEP_TIMEOUT) {
    const end = Date.now() + wait;
    for (;;) {
      const index = this.#inbox.findIndex(wanted);
      if (index >= 0) return this.#inbox.splice(index, 1)[0];
      if (Date.now() >= end) return undefined;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** Sends a request until its response comes, undefined if none does. @param {Buffer} request */
  async ask(request) {
    const transaction = transactionOf(request);
    const bytes = await this.#until(
      () => this.send(request),
      (datagram) => parse(datagram) !== undefined && transactionOf(datagram) === transaction,
    );
    this.#over.add(transaction);
    this.#inbox = this.#inbox.filter((datagram) => transactionOf(datagram) !== transaction);
    return bytes && parse(bytes);
  }

  /** Does something again and again until what is wanted comes, undefined if it does not. */
  /** @param {() => void} act @param {(bytes: Buffer) => boolean} wanted */
  async #until(act, wanted) {
    const end = Date.now() + STEP_TIMEOUT;
    for (;;) {
      act();
      const bytes = await this.receive(wanted, AGAIN);
      if (bytes || Date.now() > end) return bytes;
    }
  }

  /**
   * An authenticated request.
   * @param {number} method
   * @param {Attribute[]} attributes
   * @returns {Promise<Parsed>}
   */
  async request(method, attributes) {
    const response = await this.ask(build(method, CLASS.request, attributes, { credential: this.credential }));
    if (!response) throw new Error(`no answer to method ${method}`);
    return response;
  }

  /**
   * Asks for a challenge and takes realm and nonce from it.
   * @param {{username: string, password: string}} user
   */
  async challenge({ username, password }) {
    const answer = await this.ask(build(METHOD.allocate, CLASS.request, [UDP]));
    const realm = answer && attribute(answer, ATTRIBUTE.realm)?.toString();
    const nonce = answer && attribute(answer, ATTRIBUTE.nonce);
    if (!realm || !nonce) throw new Error('an Allocate without credentials was not challenged');
    const key = createHash('md5').update(`${username}:${realm}:${password}`).digest();
    this.credential = { username, realm, nonce: Buffer.from(nonce), key };
  }

  /** Gets a relayed address. @param {{username: string, password: string}} user */
  async allocate(user) {
    await this.challenge(user);
    const answer = await this.request(METHOD.allocate, [UDP]);
    const relayed = attribute(answer, ATTRIBUTE.relayedAddress);
    if (!relayed) throw new Error(`no allocation: ${errorCode(answer)}`);
    return readXorAddress(relayed);
  }

  /** The error code (0: success) for a permission to talk to a peer. @param {string} address */
  async permit(address) {
    const transaction = randomBytes(12);
    const peer = xorAddress(address, 9, transaction);
    const bytes = build(METHOD.createPermission, CLASS.request, [[ATTRIBUTE.peerAddress, peer]], {
      transaction,
      credential: this.credential,
    });
    const answer = await this.ask(bytes);
    if (!answer) throw new Error(`no answer to a permission for ${address}`);
    return errorCode(answer);
  }

  /**
   * Sends data to a peer by indication.
   * @param {{address: string, port: number}} peer
   * @param {string} text
   */
  relay({ address, port }, text) {
    /** @type {Attribute[]} */
    const attributes = [
      [ATTRIBUTE.peerAddress, xorAddress(address, port)],
      [ATTRIBUTE.data, Buffer.from(text)],
    ];
    this.send(build(METHOD.send, CLASS.indication, attributes));
  }

  /**
   * Waits for data with this text, which is sent again and again.
   * @param {string} text
   * @param {() => void} say
   */
  async relayed(text, say) {
    const found = await this.#until(say, (bytes) => {
      const message = parse(bytes);
      return message?.method === METHOD.data && attribute(message, ATTRIBUTE.data)?.toString() === text;
    });
    return found !== undefined;
  }

  close() {
    this.socket.close();
  }
}

/** REQUESTED-TRANSPORT: UDP. @type {Attribute} */
export const UDP = [ATTRIBUTE.requestedTransport, Buffer.from([17, 0, 0, 0])];
