// Builds the DTLS peers around the libraries of others (`c/`, `pion/`), and certificates for all.

import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../lab/shell.js';
import { program } from '../../lab/server.js';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const OUT = fileURLToPath(new URL('../../out/', import.meta.url));

/** Milliseconds that a build may take, with the downloads of the first one. */
const BUILD_TIMEOUT = 300_000;

/** The libraries that a C program of this name links. @type {Record<string, string[]>} */
const LIBRARIES = {
  gnutls: ['gnutls'],
  mbedtls: ['mbedtls', 'mbedx509', 'mbedcrypto'],
  openssl: ['ssl', 'crypto'],
  wolfssl: ['wolfssl'],
};

/** Kinds of certificates, by the names that our peer has for them. */
export const KEYS = /** @type {const} */ (['p256', 'p384', 'ed25519', 'rsa2048', 'rsa3072']);

/** @typedef {typeof KEYS[number]} Key */
/** @typedef {'gnutls' | 'mbedtls' | 'openssl' | 'wolfssl' | 'pion'} Library */

/** @type {readonly Library[]} */
export const LIBRARY_NAMES = ['gnutls', 'mbedtls', 'openssl', 'wolfssl', 'pion'];

/** The path of our peer. */
export const ownProgram = () => join(dirname(program()), 'columba-e2e-dtls');

/** The path of a built peer. @param {Library} name */
export const libraryProgram = (name) => join(OUT, `dtls-${name}`);

/** @param {Library} name */
export async function buildLibraryPeer(name) {
  mkdirSync(OUT, { recursive: true });
  const out = libraryProgram(name);
  if (name === 'pion') {
    await run('go', ['build', '-mod=readonly', '-o', out, '.'], { cwd: `${HERE}pion`, timeout: BUILD_TIMEOUT, env: process.env });
  } else {
    const links = LIBRARIES[name].map((library) => `-l${library}`);
    await run('cc', ['-O1', '-Wall', '-Wextra', '-o', out, `c/${name}.c`, 'c/peer.c', ...links], { cwd: HERE, timeout: BUILD_TIMEOUT });
  }
}

/** The path of a certificate with its key. @param {Key} key @param {'own' | 'other'} whose */
export const certificate = (key, whose) => join(OUT, `dtls-${whose}-${key}.pem`);

/** Makes the certificates of all kinds. */
export async function makeCertificates() {
  mkdirSync(OUT, { recursive: true });
  for (const whose of /** @type {const} */ (['own', 'other'])) {
    for (const algorithm of KEYS) {
      await run(ownProgram(), [JSON.stringify({ do: 'certificate', algorithm, pem: certificate(algorithm, whose) })]);
    }
  }
}
