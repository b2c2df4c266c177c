import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../src/signaling/outbox.js';

const LIMIT = 1e6;
const all = () => true;

/**
 * An outbox with `count` messages to Bob in flight, and two more that were never sent.
 *
 * @param {number} count
 */
function filled(count) {
  const outbox = new Outbox(60_000);
  for (let number = 1; number <= count; number += 1) outbox.add(String(number), 'bob', 0);
  assert.equal(outbox.take(all, LIMIT, 0).messages.length, count);
  for (const late of [count + 1, count + 2]) outbox.add(String(late), 'bob', 0);
  return outbox;
}

/** @param {Outbox} outbox @param {(to: string | null) => boolean} [isReachable] */
const taken = (outbox, isReachable = all) => outbox.take(isReachable, LIMIT, 0).messages.map((text) => JSON.parse(text));

/**
 * All subsets of `items`, in all orders.
 *
 * @param {number[]} items
 * @returns {number[][]}
 */
function arrangements(items) {
  return [[], ...items.flatMap((item) => arrangements(items.filter((other) => other !== item)).map((rest) => [item, ...rest]))];
}

test('refused messages leave again in their order, whatever the order of the refusals', () => {
  for (const refusals of arrangements([1, 2, 3, 4])) {
    const outbox = filled(4);
    for (const seq of refusals) outbox.holdAgain(seq);
    assert.equal(outbox.inFlight, 4 - refusals.length);
    const data = taken(outbox).map((message) => message.data);
    assert.deepEqual(data, [...refusals.toSorted(), 5, 6], `refused: ${refusals}`);
  }
});

test('a new membership sends unacknowledged and refused messages in their order', () => {
  for (const refusals of arrangements([1, 2, 3, 4])) {
    const outbox = filled(4);
    for (const seq of refusals) outbox.holdAgain(seq);
    outbox.restart();
    const messages = taken(outbox);
    assert.deepEqual(messages.map((message) => message.data), [1, 2, 3, 4, 5, 6], `refused: ${refusals}`);
    assert.deepEqual(messages.map((message) => message.seq), [1, 2, 3, 4, 5, 6]);
  }
});

test('a message that is refused a second time keeps its place', () => {
  const outbox = filled(2);
  outbox.holdAgain(1);
  // The first goes out again, as number 3 before the new ones, ahead of the refusal of the second.
  assert.deepEqual(taken(outbox).map((message) => message.data), [1, 3, 4]);
  outbox.holdAgain(3);
  outbox.holdAgain(2);
  assert.deepEqual(taken(outbox).map((message) => message.data), [1, 2]);
});

test('messages to each receiver keep their order over any sequence of absences and refusals', () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    let state = seed;
    /** @param {number} bound */
    const random = (bound) => (state = (state * 48271) % 2147483647) % bound;
    const outbox = new Outbox(60_000);
    /** @type {Map<number, { to: string, data: number }>} */
    const flight = new Map();
    /**
     * @type {Record<string, number[]>} messages that the server has not been asked to take or has
     *   refused
     */
    const waiting = { bob: [], carol: [] };
    let next = 0;
    for (let step = 0; step < 120; step += 1) {
      const to = random(2) === 0 ? 'bob' : 'carol';
      if (random(3) === 0) {
        next += 1;
        outbox.add(String(next), to, 0);
        waiting[to].push(next);
      } else if (random(2) === 0) {
        const seqs = [...flight.keys()];
        if (seqs.length === 0) continue;
        const seq = seqs[random(seqs.length)];
        const refused = flight.get(seq);
        flight.delete(seq);
        outbox.holdAgain(seq);
        if (refused) waiting[refused.to].push(refused.data);
      } else if (random(8) === 0) {
        outbox.restart();
        for (const each of flight.values()) waiting[each.to].push(each.data);
        flight.clear();
      } else {
        for (const message of taken(outbox, (receiver) => receiver === to)) flight.set(message.seq, message);
        // All that waited for this receiver has left, the oldest first.
        const left = [...flight.values()].filter((each) => each.to === to).map((each) => each.data);
        const expected = waiting[to].toSorted((one, other) => one - other);
        assert.deepEqual(left.slice(left.length - expected.length), expected, `seed ${seed}, step ${step}`);
        waiting[to] = [];
      }
    }
  }
});

test('refused messages count towards the bounds and are forgotten with their receiver', () => {
  const outbox = filled(3);
  outbox.holdAgain(2);
  assert.equal(outbox.length, 5);
  outbox.forget('bob');
  assert.equal(outbox.length, 2);
  outbox.acknowledge(3);
  assert.equal(outbox.length, 0);
  assert.ok(outbox.add(`"${'x'.repeat(8 * 1024 * 1024 - 2)}"`, null, 0), 'all bytes are free again');
});
