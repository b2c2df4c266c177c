import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { closeChannels } from '../src/index.js';

/** The channels whose closing is under way, as Chromium would put them into one request. */
let waiting = 0;
let most = 0;

class Channel extends EventTarget {
  readyState = 'open';

  close() {
    if (this.readyState !== 'open') return;
    this.readyState = 'closing';
    most = Math.max(most, ++waiting);
    void turn().then(() => this.end());
  }

  end() {
    this.readyState = 'closed';
    waiting -= 1;
    this.dispatchEvent(new Event('close'));
  }
}

/** @param {Channel[]} channels */
const close = (channels) => closeChannels(/** @type {any} */ (channels));

test('channels are closed at most 500 at a time', async () => {
  for (const count of [0, 1, 499, 500, 501, 579, 580, 1000, 1750]) {
    most = 0;
    const channels = Array.from({ length: count }, () => new Channel());
    await close(channels);
    assert.ok(channels.every(({ readyState }) => readyState === 'closed'), `${count}`);
    assert.equal(most, Math.min(count, 500), `of ${count}`);
  }
});

test('channels that are closed, or being closed, do not hold up the others', async () => {
  const [open, closing, closed] = [new Channel(), new Channel(), new Channel()];
  closing.close();
  closed.readyState = 'closed';
  await close([closed, closing, open]);
  assert.deepEqual([open, closing].map(({ readyState }) => readyState), ['closed', 'closed']);
});
