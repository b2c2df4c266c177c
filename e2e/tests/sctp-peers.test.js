// Our data channels against other implementations of SCTP, over DTLS and ICE as people use them: usrsctp (libdatachannel, Firefox) and
// dcsctp (Chromium). Either side offers, which decides who is who in DTLS.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BROWSER_PROGRAMS, launch } from '../browser/launch.js';
import { programsMissing } from '../lab/available.js';
import { hostPages } from '../pages/host.js';
import { browser, columba, libdatachannel } from '../sctp/peers.js';
import { close, connect, end, everyKind, everySize, idsAreUsedAgain, manyChannels, negotiated, open, reversed, transfer } from '../sctp/scenarios.js';

/** @typedef {import('../sctp/scenarios.js').Pair} Pair */
/** @typedef {import('../sctp/peers.js').Peer} Peer */

const skipBrowsers = await programsMissing(...BROWSER_PROGRAMS);

/** Bytes each way. */
const MUCH = 20_000_000;

/**
 * @typedef {object} Rival
 * @property {string} name
 * @property {false | string} [skip]
 * @property {number} longest bytes of the longest message either side takes
 * @property {readonly string[]} [knows] what it can tell of channels that were opened by us
 */

/** @type {Rival[]} */
const RIVALS = [
  { name: 'columba', longest: 262_144 },
  { name: 'libdatachannel', longest: 262_144, knows: ['protocol'] },
  { name: 'chromium', skip: skipBrowsers, longest: 262_144 },
  { name: 'firefox', skip: skipBrowsers, longest: 262_144 },
];

for (const { name, skip, longest, knows } of RIVALS) {
  describe(`SCTP with ${name}`, { skip, timeout: 120_000 }, () => {
    /** @type {() => Peer | Promise<Peer>} */ let rival;
    /** @type {(() => unknown)[]} */ const ends = [];

    before(async () => {
      if (name === 'columba') rival = columba;
      else if (name === 'libdatachannel') rival = libdatachannel;
      else {
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

        before(async () => {
          ours = [columba(), await rival()];
          pair = offers === 'ours' ? ours : reversed(ours);
          ({ label: first } = await connect(pair));
        });
        after(() => Promise.all(ours.map((peer) => peer.end())));

        it('20 MB each way', async (test) => {
          const { megabitsEachWay } = await transfer(pair, MUCH);
          test.diagnostic(`${megabitsEachWay.toFixed(0)} Mbit/s each way`);
        });
        it('channels of every kind, opened by us', () => everyKind(ours, { knows }));
        it('channels of every kind, opened by them', () => everyKind(reversed(ours)));
        it('a channel that both open by its number', () => negotiated(pair));
        it('messages of every size', () => everySize(ours, longest));
        it('numbers of channels are used again', async () => {
          for (const way of [ours, reversed(ours)]) assert.ok((await idsAreUsedAgain(way)).size < 6);
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
