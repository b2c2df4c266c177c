// coturn's server, in a node of the laboratory.

import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { stop } from './shell.js';

/** The secret that both kinds of servers get, and from which users are made. */
export const SECRET = 'shared-with-the-servers';

/** A user for an hour, as both coturn and `columba serve` know it from the shared secret. */
export function turnUser() {
  const username = `${Math.floor(Date.now() / 1000) + 3600}:ice`;
  return { username, credential: createHmac('sha1', SECRET).update(username).digest('base64') };
}

let count = 0;

export class Coturn {
  #log = '';

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (this.#log += text));
  }

  /**
   * Starts it and waits until it listens.
   * @param {import('./lab.js').Lab} lab @param {string} node
   * @param {{address: string, ipv6?: string, port: number, tls?:
   *   import('../browser/authority.js').Certificate, alternate?: string}} options with TLS on the
   *   same port, and sending its clients on to another server
   */
  static async start(lab, node, { address, ipv6, port, tls, alternate }) {
    const own = `${lab.folder}/coturn-${++count}`;
    const files = ['--no-cli', '--pidfile', `${own}.pid`, '--log-file', 'stdout', '-b', `${own}.db`];
    const secret = ['--use-auth-secret', '--static-auth-secret', SECRET, '--realm', 'coturn.example'];
    const addresses = [address, ...(ipv6 ? [ipv6] : [])].flatMap((each) => ['-L', each, '-E', each]);
    // It tells by the first bytes of a connection which of the two it is.
    const secured = tls ? ['--no-dtls', '--cert', tls.cert, '--pkey', tls.key] : ['--no-tls', '--no-dtls'];
    const next = alternate ? ['--alternate-server', alternate, '--tls-alternate-server', alternate] : [];
    const where = [...addresses, '-p', String(port), ...secured, ...next, '-v'];
    const coturn = new Coturn(lab.spawn(node, 'turnserver', ['-n', ...where, ...secret, ...files], { stdio: ['ignore', 'pipe', 'pipe'] }));
    const end = Date.now() + 10_000;
    for (const protocol of ['-t', '-u']) {
      // Another one may listen at another address already.
      while (!(await lab.run(node, 'ss', ['-Hln', protocol, 'src', `${address}:${port}`])).trim()) {
        if (Date.now() > end || coturn.child.exitCode !== null) throw new Error(`coturn does not listen:\n${coturn.log}`);
        await sleep(20);
      }
    }
    return coturn;
  }

  get log() {
    return this.#log;
  }

  async stop() {
    await stop(this.child, { signal: 'SIGKILL' });
  }
}
