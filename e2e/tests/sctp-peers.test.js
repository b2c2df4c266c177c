// Our data channels against other implementations of SCTP, over DTLS and ICE as people use them:
// usrsctp (libdatachannel, Firefox), dcsctp (Chromium) and Pion's. Either side offers, which
// decides who is who in DTLS.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { programsMissing } from '../lab/available.js';
import { hostPages } from '../browser/pages/host.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { LossyPath } from '../lab/lossy-path.js';
import { browser, columba, libdatachannel, pion, werift } from '../peers/data-peer.js';
import { buildPion } from '../peers/pion/build.js';
import {
  close,
  closeMany,
  connect,
  end,
  everyKind,
  everyKindWithLosses,
  everySize,
  idsAreUsedAgain,
  manyChannels,
  maxMessageSize,
  negotiated,
  open,
  reversed,
  tooLong,
  transfer,
  urgentFirst,
  withoutOffererCandidates,
} from '../scenarios/data-channels.js';

/** @typedef {import('../scenarios/data-channels.js').Pair} Pair */
/** @typedef {import('../peers/data-peer.js').Peer} Peer */

const skipBrowsers = await programsMissing(...BROWSER_PROGRAMS);
const skipPion = await programsMissing('go');

/** Bytes of the longest message that a test sends. */
const LONGEST = 4 << 20;
/** Bytes each way. */
const MUCH = 20_000_000;
/** Bytes over a path on which others are slow. */
const SOME = 2_000_000;

/**
 * @typedef {object} Rival
 * @property {string} name
 * @property {false | string} [skip]
 * @property {number} longest bytes of the longest message either side takes
 * @property {boolean} [usesIdsAgain] whether it does so itself
 * @property {readonly string[]} [knows] what it can tell of channels that were opened by us
 * @property {Parameters<typeof connect>[1]} [carry] what is made of descriptions when it offers
 */

/** @type {Rival[]} */
const RIVALS = [
  { name: 'columba', longest: LONGEST },
  { name: 'libdatachannel', longest: 262_144, knows: ['protocol'], carry: withoutOffererCandidates },
  // It counts the numbers of its channels up.
  { name: 'pion', skip: skipPion, longest: 1 << 20, usesIdsAgain: false },
  { name: 'chromium', skip: skipBrowsers, longest: 262_144 },
  { name: 'firefox', skip: skipBrowsers, longest: LONGEST },
];

for (const { name, skip, longest, usesIdsAgain = true, knows, carry } of RIVALS) {
  describe(`SCTP with ${name}`, { skip, timeout: SUITE_TIMEOUT }, () => {
    /** @type {() => Peer | Promise<Peer>} */ let rival;
    /** @type {(() => unknown)[]} */ const ends = [];

    before(async () => {
      if (name === 'columba') rival = columba;
      else if (name === 'libdatachannel') rival = libdatachannel;
      else if (name === 'pion') {
        await buildPion('webrtc');
        rival = pion;
      } else {
        const [pages, running] = [await hostPages(), await launch(/** @type {any} */ (name))];
        ends.push(() => running.close(), () => pages.close());
        rival = () => browser(running, pages.origin);
      }
    });
    after(async () => {
      for (const end of ends) await end();
    });

    for (const offers of ['ours', 'theirs']) {
      describe(offers === 'ours' ? 'we offer' : 'we answer', () => {
        /** @type {Pair} who offers first */ let pair;
        /** @type {Pair} ours first */ let ours;
        let first = '';
        /** Bytes of the longest message that they take, as they say. */
        let limit = 0;

        before(async () => {
          ours = [columba(), await rival()];
          pair = offers === 'ours' ? ours : reversed(ours);
          const connected = await connect(pair, offers === 'theirs' ? carry : undefined);
          first = connected.label;
          limit = maxMessageSize(offers === 'ours' ? connected.answer : connected.offer);
        });
        after(() => Promise.all(ours.map((peer) => peer.end())));

        it('20 MB each way', async (test) => {
          test.diagnostic(`${(await transfer(pair, MUCH)).toFixed(0)} Mbit/s each way`);
        });
        it('channels of every kind, opened by us', () => everyKind(ours, { knows }));
        it('channels of every kind, opened by them', () => everyKind(reversed(ours)));
        it('a channel that both open by its number', () => negotiated(pair));
        it('messages of every size', () => everySize(ours, longest));
        if (longest < LONGEST) it('a message that is too long for them', () => tooLong(ours, limit));
        it('numbers of channels are used again', async () => {
          const [byUs, byThem] = [await idsAreUsedAgain(ours), await idsAreUsedAgain(reversed(ours))];
          assert.ok(byUs.size < 6, `${byUs.size} numbers`);
          if (usesIdsAgain) assert.ok(byThem.size < 6, `${byThem.size} numbers`);
        });
        it('an urgent word overtakes a long speech of ours', async (test) => {
          const { before, bytes } = await urgentFirst(ours);
          test.diagnostic(`the word came after ${before} of ${bytes} bytes`);
          assert.ok(before < bytes / 2, `after ${before} of ${bytes} bytes`);
        });
        it('a thousand channels at once', () => manyChannels(ours));
        it('the end of a channel, and of everything', async () => {
          await close(reversed(ours), first);
          const { label } = await open(pair, 'last');
          await end(pair, label);
        });
      });
    }
  });
}

describe('SCTP over a path of 20 ms and 100 Mbit/s that loses one datagram of a hundred', { concurrency: true, timeout: SUITE_TIMEOUT }, () => {
  const kind = { delay: 10, loss: 0.01, megabits: 100 };
  for (const { name, skip, make } of [
    { name: 'columba', skip: false, make: columba },
    { name: 'libdatachannel', skip: false, make: libdatachannel },
    { name: 'pion', skip: skipPion, make: pion },
  ]) {
    it(`with ${name}`, { skip }, async (test) => {
      if (name === 'pion') await buildPion('webrtc');
      const path = new LossyPath(kind);
      /** @type {Pair} */
      const pair = [columba(), make()];
      try {
        await connect(pair, (sdp, side) => path.carry(sdp, side));
        const megabits = [];
        for (const way of [pair, reversed(pair)]) megabits.push((await transfer(way, SOME, { back: false })).toFixed(1));
        test.diagnostic(`${megabits[0]} Mbit/s to ${name}, ${megabits[1]} Mbit/s from ${name}`);
        for (const way of [pair, reversed(pair)]) await everyKindWithLosses(way, { count: 150, size: 3000 });
      } finally {
        await Promise.all([...pair.map((peer) => peer.end()), path.close()]);
      }
    });
  }
});

// Chromium never sends a request for more than 578 streams, and then ends no later closing either:
// ours have to leave room.
describe('many closings with chromium', { skip: skipBrowsers, timeout: SUITE_TIMEOUT }, () => {
  /** @type {Awaited<ReturnType<typeof hostPages>>} */ let pages;
  /** @type {Awaited<ReturnType<typeof launch>>} */ let running;
  before(async () => {
    [pages, running] = [await hostPages(), await launch('chromium')];
  });
  after(async () => {
    await running?.close();
    pages?.close();
  });

  for (const { path: kind, closings } of [
    { path: { delay: 50, loss: 0 }, closings: { byOther: 1000, byPage: 0 } },
    { path: { delay: 50, loss: 0 }, closings: { byOther: 500, byPage: 500 } },
    { path: { delay: 1, loss: 0.005 }, closings: { byOther: 1000, byPage: 0 } },
    { path: { delay: 1, loss: 0.02 }, closings: { byOther: 500, byPage: 500 } },
  ]) {
    const { byOther, byPage } = closings;
    it(`${byOther} by us and ${byPage} by a page, ${kind.delay} ms away, ${kind.loss * 100} % lost`, async () => {
      const path = new LossyPath({ ...kind, megabits: 1000 });
      /** @type {Pair} */
      const pair = [columba(), await browser(running, pages.origin)];
      try {
        const { label } = await connect(pair, (sdp, side) => path.carry(sdp, side));
        await closeMany(pair, closings);
        // Nothing hangs behind them.
        await close(reversed(pair), label);
      } finally {
        await Promise.all([...pair.map((peer) => peer.end()), path.close()]);
      }
    });
  }
});

// Its process used to end by a PAD chunk that it had not declared, sent as a probe of the path.
describe('SCTP with werift', { timeout: SUITE_TIMEOUT }, () => {
  for (const offers of ['ours', 'theirs']) {
    it(offers === 'ours' ? 'we offer' : 'we answer', async (test) => {
      /** @type {Pair} ours first */
      const ours = [columba(), werift()];
      const pair = offers === 'ours' ? ours : reversed(ours);
      try {
        const { label } = await connect(pair);
        // Enough for larger packets to be tried.
        test.diagnostic(`${(await transfer(ours, SOME, { back: false })).toFixed(0)} Mbit/s`);
        pair[1].command({ do: 'send', label, text: 'still here' });
        await pair[0].until('message', { label, text: 'still here' });
      } finally {
        await Promise.all(ours.map((peer) => peer.end()));
      }
    });
  }
});
