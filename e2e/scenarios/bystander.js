// A client that takes no part in what a test does to the server, and must not notice it.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { STEP_TIMEOUT } from '../lab/timeouts.js';
import { SocketClient } from '../peers/signaling-client.js';
import { ATTRIBUTE, attribute, build, CLASS, errorCode, METHOD, readXorAddress, restUser, StunClient } from '../peers/stun-client.js';

/** The bystander's own network address: limits are kept per address. */
const HERE = '127.99.0.1';

/** A peer that the server under test must be allowed to relay to: `--allow-peer`. */
export const BYSTANDER_PEER = '127.99.0.2/32';

export class Bystander {
  #round = 0;
  /**
   * Datagrams that the peer has received, and their sources.
   * @type {Map<string, import('node:dgram').RemoteInfo>}
   */
  #heard = new Map();

  /**
   * @param {SocketClient} one @param {SocketClient} other both in one session
   * @param {StunClient} relayed holds an allocation
   * @param {import('node:dgram').Socket} peer relayed to
   */
  constructor(one, other, relayed, peer) {
    this.one = one;
    this.other = other;
    this.relayed = relayed;
    this.peer = peer;
    peer.on('message', (bytes, from) => this.#heard.set(bytes.toString(), from));
  }

  /** @param {import('../lab/server.js').Server} server @param {string} secret the TURN secret */
  static async arrive(server, secret) {
    const session = `bystander-${Date.now()}`;
    const one = await SocketClient.join(server.webSocket, { session }, { from: HERE });
    const other = await SocketClient.join(server.webSocket, { session }, { from: HERE });
    const relayed = await StunClient.open(server.address, server.ports.stun, HERE);
    await relayed.allocate(restUser(secret, 'bystander'));
    const peer = createSocket('udp4').bind(0, BYSTANDER_PEER.split('/')[0]);
    await once(peer, 'listening');
    assert.equal(await relayed.permit(peer.address().address), 0);
    return new Bystander(one, other, relayed, peer);
  }

  /**
   * Asserts that everything it uses works as before: signaling both ways, STUN, and its relayed
   * address both ways.
   */
  async works() {
    const text = `round ${++this.#round}`;
    this.one.say({ text });
    this.other.say({ text });
    for (const client of [this.one, this.other]) {
      const { data, seq } = await client.next('message');
      assert.deepEqual(data, { text }, 'the next message in order, once');
      client.sendMessage({ type: 'ack', seq });
    }
    await this.#binding();
    await this.#relays(text);
  }

  async #binding() {
    const answer = await this.relayed.ask(build(METHOD.binding, CLASS.request));
    assert.ok(answer, 'a Binding request is answered');
    const mapped = attribute(answer, ATTRIBUTE.mappedAddress);
    assert.ok(mapped);
    assert.equal(readXorAddress(mapped).address, HERE);
  }

  /** @param {string} text */
  async #relays(text) {
    const refreshed = await this.relayed.request(METHOD.refresh, []);
    assert.equal(errorCode(refreshed), 0, 'the allocation is refreshed');
    const { address, port } = this.peer.address();
    const end = Date.now() + STEP_TIMEOUT;
    // A datagram may be lost, where many others came at once.
    for (let tick = 0; !this.#heard.has(text) && Date.now() < end; tick++) {
      if (tick % 50 === 0) this.relayed.relay({ address, port }, text);
      await sleep(10);
    }
    const from = this.#heard.get(text);
    assert.ok(from, 'data goes out through the relay');
    const answer = () => this.peer.send(`back ${text}`, from.port, from.address);
    assert.ok(await this.relayed.relayed(`back ${text}`, answer), 'data comes back through the relay');
  }

  leave() {
    this.one.close();
    this.other.close();
    this.relayed.close();
    this.peer.close();
  }
}
