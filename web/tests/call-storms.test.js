import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Call } from '../src/index.js';
import { Machine, World } from './support/world.js';

/** The number of storms, and the seed of the first; the environment asks for others. */
const STORMS = Number(process.env.STORMS ?? 200);
const FIRST = Number(process.env.FIRST_STORM ?? 0);

/** The longest storm, in milliseconds. */
const STORM = 180_000;

/** The time of quiet within which all must be connected again. */
const CALM = 15_000;

/** Two calls in a world. */
class Pair {
  /** @type {Map<string, Call>} */
  calls = new Map();

  /** @param {number} seed */
  constructor(seed) {
    this.world = new World(seed);
    this.machines = ['a', 'b'].map((name) => new Machine(this.world, name));
  }

  /** A page enters after a while. @param {Machine} machine @param {number} delay */
  enter(machine, delay = 0) {
    this.world.after(delay, () => {
      const call = new Call(/** @type {any} */ (machine.channel), { name: machine.name });
      this.calls.set(machine.name, call);
      call.join().catch(() => {});
      this.world.server.enter(machine.channel, false);
    }, machine);
  }

  /**
   * Another page of the same client takes the place of one.
   *
   * @param {Machine} machine
   * @param {number} delay
   */
  reload(machine, delay) {
    machine.reload();
    this.enter(machine, delay);
  }

  /** Something goes wrong. */
  strike() {
    const { world, machines } = this;
    const machine = machines[Math.floor(world.random() * 2)];
    const time = world.random() * (world.random() < 0.3 ? 90_000 : 15_000);
    const kinds = [
      () => machine.stand(time),
      () => machines.forEach((each) => each.stand(time)),
      () => world.server.silent(machine, time),
      () => world.server.restart(),
      () => machine.connections.forEach((connection) => connection.break()),
      () => machines.forEach(({ connections }) => connections.forEach((connection) => connection.break())),
      () => world.after(0, () => this.calls.get(machine.name)?.peers.forEach((peer) => peer.networkChanged()), machine),
      () => this.reload(machine, 500 + world.random() * 3000),
    ];
    kinds[Math.floor(world.random() * kinds.length)]?.();
  }

  /** Returns whether the two are connected with each other, and both know it. */
  isConnected() {
    const [one, other] = this.machines.map(({ name }) => [...(this.calls.get(name)?.peers.values() ?? [])]);
    if (one?.length !== 1 || other?.length !== 1 || !one[0]?.isConnected || !other[0]?.isConnected) return false;
    const connection = /** @type {any} */ (one[0].connection);
    return connection.partner === other[0].connection && connection.channel.readyState === 'open';
  }

  /** Waits until they are connected; returns how long that takes. @param {number} time */
  async connects(time) {
    const begin = this.world.now;
    await this.world.run(begin + time, () => this.isConnected());
    return this.isConnected() ? this.world.now - begin : null;
  }

  /** Strikes for a while, and then waits for everything that stands still or is away. */
  async storm() {
    const { world } = this;
    for (const machine of this.machines) this.enter(machine, world.random() * 5000);
    const pace = 2000 + world.random() * 60_000;
    const end = 20_000 + world.random() * STORM;
    for (let at = world.random() * 10_000; at < end; at += pace * world.random()) {
      await world.run(at);
      this.strike();
    }
    world.trouble = 0;
    await world.run(Math.max(world.now, world.server.backAt, ...this.machines.map(({ standsUntil }) => standsUntil)));
  }

  /** The state of both, for a failure. */
  toString() {
    return this.machines.map(({ name, connections }) => {
      const peers = [...(this.calls.get(name)?.peers.values() ?? [])].map((peer) => peer.connectionState);
      const states = [...connections].map((each) => `${each.connectionState}, ${each.signalingState}`);
      return `${name}: ${peers.join()} (${states.join('; ')})`;
    }).join(', ');
  }
}

/**
 * Does something in the time of a pair's world.
 *
 * @param {number} seed
 * @param {(pair: Pair) => Promise<void>} work
 */
async function inWorld(seed, work) {
  const pair = new Pair(seed);
  pair.world.begin();
  try {
    await work(pair);
  } finally {
    pair.world.end();
  }
}

test(`after each of ${STORMS} storms both sides are connected, and stay so`, async () => {
  /** @type {string[]} */
  const failures = [];
  for (let seed = FIRST; seed < FIRST + STORMS; seed += 1) {
    await inWorld(seed, async (pair) => {
      await pair.storm();
      const time = await pair.connects(CALM);
      if (time === null) return void failures.push(`storm ${seed}: ${pair}`);
      await pair.world.run(pair.world.now + CALM);
      if (!pair.isConnected()) failures.push(`storm ${seed}, connected after ${time} ms: ${pair}`);
    });
  }
  assert.deepEqual(failures, []);
});

test('a side that has forgotten the other is connected again at once, whatever the other believes', async () => {
  for (const forgets of [0, 1]) {
    await inWorld(1, async (pair) => {
      const { world, machines } = pair;
      world.trouble = 0;
      for (const machine of machines) pair.enter(machine);
      assert.notEqual(await pair.connects(10_000), null, 'they are connected');
      pair.reload(/** @type {Machine} */ (machines[forgets]), 0);
      const time = await pair.connects(120_000);
      assert.ok(time !== null && time < 12_000, `${forgets === 0 ? 'the polite' : 'the impolite'} side forgets: ${time} ms`);
    });
  }
});

test('connections come up between machines on which everything takes long', async () => {
  /** @type {string[]} */
  const slow = [];
  for (let seed = 0; seed < 20; seed += 1) {
    await inWorld(seed, async (pair) => {
      const { world } = pair;
      world.trouble = 0.3;
      // Each operation and message takes up to 10 s, and the checks up to 40 s.
      world.slowness = 200;
      for (const machine of pair.machines) pair.enter(machine);
      const time = await pair.connects(300_000);
      if (time === null || world.connections > 8) slow.push(`${seed}: ${time} ms, ${world.connections} connections`);
    });
  }
  assert.deepEqual(slow, []);
});

test('an impolite side whose clock was set back gets its connection', async () => {
  await inWorld(1, async (pair) => {
    const { world, machines } = pair;
    const [, impolite] = /** @type {[Machine, Machine]} */ (machines);
    world.trouble = 0;
    for (const machine of machines) pair.enter(machine);
    assert.notEqual(await pair.connects(10_000), null);
    world.epoch -= 3_600_000;
    pair.reload(impolite, 0);
    assert.notEqual(await pair.connects(180_000), null, `${pair}`);
  });
});
