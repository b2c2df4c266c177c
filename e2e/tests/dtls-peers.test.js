// Our DTLS against other implementations, alone over UDP: GnuTLS, Mbed TLS, OpenSSL, wolfSSL and
// Pion's, in both roles. A few handshakes of each; `cargo xtask interop dtls` goes through the
// whole matrix and prints a table.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { programsMissing, pythonMissing } from '../lab/available.js';
import { SUITE_TIMEOUT } from '../lab/timeouts.js';
import { installAiortc } from '../peers/aiortc/build.js';
import { aiortc, gstreamer } from '../peers/data-peer.js';
import { buildLibraryPeer, LIBRARY_NAMES, makeCertificates } from '../peers/dtls/build.js';
import { talk, talkOnChannel } from '../scenarios/dtls-talks.js';

/** @typedef {import('../scenarios/dtls-talks.js').Talk} Talk */
/** @typedef {import('../peers/dtls/build.js').Key} Key */
/** @typedef {import('../peers/dtls/build.js').Library} Library */

const skip = await programsMissing('cc', 'go');
const whole = process.env.DTLS_MATRIX === 'whole';

/** Bytes of the smallest datagram that every path carries. */
const NARROW = 508;
/** Handshakes over a path that loses, of each pair of the whole matrix. */
const HARSH = 5;

/** Suites of DTLS 1.2, by the kind of the certificates. @type {[Key, string][]} */
const SUITES = ['AES_128_GCM_SHA256', 'AES_256_GCM_SHA384', 'CHACHA20_POLY1305_SHA256'].flatMap((cipher) => [
  /** @type {[Key, string]} */ (['p256', `TLS_ECDHE_ECDSA_WITH_${cipher}`]),
  /** @type {[Key, string]} */ (['rsa2048', `TLS_ECDHE_RSA_WITH_${cipher}`]),
]);

/** Groups of DTLS 1.2, by our names. */
const GROUPS = ['x25519', 'secp256r1', 'secp384r1'];

/**
 * Cases that a library cannot do.
 * @type {Partial<Record<Library, (talk: Partial<Talk>) => boolean | undefined>>}
 */
const CANNOT = {
  mbedtls: ({ own }) => own === 'ed25519',
  openssl: ({ own }) => own === 'ed25519',
  wolfssl: ({ role, own = 'p256', other = 'p256', mtu, harsh, withoutEms }) =>
    // The smallest datagram is a choice of those who build it.
    mtu !== undefined ||
    (role === 'client'
      ? // Its servers cannot do without, and ask for signatures of their own certificate's kind only.
        withoutEms || own.slice(0, 3) !== other.slice(0, 3)
      : // Its clients give up at their first timeout.
        harsh),
};

/** @typedef {{name: string, talk: Omit<Talk, 'library'>}} Case */

/** The cases of one role. @param {'client' | 'server'} role @returns {Case[]} */
function cases(role) {
  /** @type {Case[]} */
  const few = [
    { name: 'P-256', talk: { role } },
    { name: 'RSA, they close', talk: { role, own: 'rsa2048', other: 'rsa2048', otherCloses: true } },
    { name: `RSA and P-256, harsh path of ${NARROW} bytes`, talk: { role, other: 'rsa2048', mtu: NARROW, harsh: true } },
  ];
  if (!whole) return few;
  return [
    ...few,
    { name: 'P-256, they close', talk: { role, otherCloses: true } },
    { name: 'P-256 and RSA', talk: { role, other: 'rsa2048' } },
    { name: 'RSA and P-256', talk: { role, own: 'rsa2048' } },
    { name: 'P-384 and RSA-3072', talk: { role, own: 'p384', other: 'rsa3072' } },
    { name: 'P-384', talk: { role, own: 'p384', other: 'p384' } },
    { name: 'Ed25519 and P-256', talk: { role, own: 'ed25519' } },
    { name: 'no Extended Master Secret', talk: { role, withoutEms: true } },
    { name: `${NARROW} bytes`, talk: { role, mtu: NARROW } },
    { name: `RSA-3072, ${NARROW} bytes`, talk: { role, own: 'rsa3072', other: 'rsa3072', mtu: NARROW } },
    ...SUITES.map(([key, suite]) => ({ name: suite, talk: { role, own: key, other: key, suite } })),
    // The curve of a certificate would have to be among the groups.
    ...GROUPS.map((group) => ({ name: group, talk: /** @type {const} */ ({ role, group, own: 'rsa2048', other: 'rsa2048' }) })),
    ...Array.from({ length: HARSH }, (_, index) => ({ name: `harsh path ${index + 1}`, talk: { role, harsh: true } })),
    ...Array.from({ length: HARSH }, (_, index) => ({
      name: `harsh path ${index + 1}, RSA, ${NARROW} bytes`,
      talk: /** @type {const} */ ({ role, own: 'rsa2048', other: 'rsa2048', mtu: NARROW, harsh: true }),
    })),
  ];
}

/** @type {string[]} */
const table = [];

describe('DTLS with the libraries of others', { skip, timeout: 4 * SUITE_TIMEOUT }, () => {
  before(makeCertificates);
  after(() => whole && console.log(['| library | ours | case | version | cipher | group | ms |', '|---|---|---|---|---|---|---|', ...table].join('\n')));
  for (const library of LIBRARY_NAMES) {
    describe(library, { concurrency: 2, timeout: 4 * SUITE_TIMEOUT }, () => {
      before(() => buildLibraryPeer(library));
      for (const role of /** @type {const} */ (['client', 'server'])) {
        for (const [index, { name, talk: one }] of cases(role).entries()) {
          if (CANNOT[library]?.(one)) continue;
          it(`${role}: ${name}`, async () => {
            const done = await talk({ library, ...one }, index + 1);
            table.push(`| ${library} | ${role} | ${name} | ${done.version} | ${done.cipher} | ${done.group} | ${done.milliseconds} |`);
            assert.equal(done.version, 'DTLS 1.2');
            assert.equal(done.otherClosed, one.otherCloses ?? false);
            assert.equal(done.ems, !one.withoutEms);
            if (one.suite) assert.equal(done.cipher, one.suite);
            if (one.group) assert.equal(done.group, one.group);
          });
        }
      }
    });
  }
});

/** The reason why Debian's Python has no GStreamer, if so. */
const skipGstreamer = await pythonMissing('Gst', 'GstSdp', 'GstWebRTC');

describe('peers with certificates of RSA, as whole peers', { timeout: SUITE_TIMEOUT }, () => {
  for (const role of /** @type {const} */ (['offer', 'answer'])) {
    it(`GStreamer's webrtcbin, we ${role}`, { skip: skipGstreamer }, async () => void (await talkOnChannel(gstreamer, role)));
  }
  describe('aiortc', { skip: !whole && 'cargo xtask interop dtls installs it' }, () => {
    before(installAiortc);
    for (const key of /** @type {const} */ (['ec', 'rsa'])) {
      for (const role of /** @type {const} */ (['offer', 'answer'])) {
        it(`with a certificate of ${key}, we ${role}`, async () => void (await talkOnChannel(() => aiortc(key), role)));
      }
    }
  });
});
