// A certificate authority for tests, and certificates that it signs, made with the openssl program.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../lab/shell.js';

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** @typedef {{cert: string, key: string}} Certificate paths of PEM files */

export class Authority {
  /** @param {string} folder @param {Certificate} files */
  constructor(folder, files) {
    this.folder = folder;
    this.cert = files.cert;
    this.key = files.key;
  }

  /** Makes an authority whose files live in `folder`. @param {string} folder */
  static async create(folder) {
    mkdirSync(folder, { recursive: true });
    const [cert, key] = [join(folder, 'ca.pem'), join(folder, 'ca.key')];
    const name = ['-subj', '/CN=Columba test authority'];
    const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    await run('openssl', ['req', '-x509', ...KEY, '-days', '30', ...name, ...extensions, '-keyout', key, '-out', cert]);
    return new Authority(folder, { cert, key });
  }

  /**
   * A server certificate for these names and addresses.
   * @param {string} label names its files
   * @param {string[]} names for example `DNS:meet.example`, `IP:10.70.0.10`
   * @returns {Promise<Certificate>}
   */
  async issue(label, names) {
    const [cert, key, request, extensions] = ['pem', 'key', 'csr', 'ext'].map((end) => join(this.folder, `${label}.${end}`));
    writeFileSync(extensions, `subjectAltName=${names.join(',')}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n`);
    await run('openssl', ['req', ...KEY, '-subj', `/CN=${label}`, '-keyout', key, '-out', request]);
    const signer = ['-CA', this.cert, '-CAkey', this.key, '-CAcreateserial'];
    await run('openssl', ['x509', '-req', '-in', request, ...signer, '-days', '20', '-extfile', extensions, '-out', cert]);
    return { cert, key };
  }

  /**
   * Writes a certificate database that trusts this authority, as both browsers read it.
   * @param {string} folder
   */
  async trustIn(folder) {
    mkdirSync(folder, { recursive: true });
    await run('certutil', ['-N', '-d', `sql:${folder}`, '--empty-password']);
    await run('certutil', ['-A', '-d', `sql:${folder}`, '-n', 'Columba test authority', '-t', 'C,,', '-i', this.cert]);
  }
}
