import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SignalingChannel } from '../src/index.js';
import { FakeRelay } from './support/relay.js';

// In a file of its own, because a page remembers that streams are buffered.
test('where event streams are held back, messages come by long poll', async () => {
  const relay = await new FakeRelay().listen();
  relay.bufferStreams = true;
  const options = { url: relay.url, transport: /** @type {const} */ ('http'), timing: { firstByte: 100 } };
  const [a, b] = [new SignalingChannel('token', options), new SignalingChannel('token', options)];
  const received = await new Promise((resolve) => {
    /** @type {any[]} */
    const all = [];
    b.onmessage = (message) => {
      all.push(message.data);
      if (all.length < 20) a.send(all.length);
      else resolve(all);
    };
    a.send(0);
  });
  assert.deepEqual(received, Array.from({ length: 20 }, (_, index) => index));
  assert.ok(relay.log.filter((each) => each === 'http GET /events').length > 2);
  a.close();
  b.close();
  await relay.close();
});
