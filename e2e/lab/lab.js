// A network of namespaces: one per node, veth pairs between them, nothing shared with the
// machine's own network.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './shell.js';

/** Live labs of this process, removed whatever ends it. @type {Set<Lab>} */
const live = new Set();
let count = 0;

/** The first part of the names of namespaces; the process that made them follows. */
const FAMILY = 'columba';

/**
 * Duplicates of IPv6 addresses cannot occur, so that each is of use at once; and no router gives us
 * others.
 */
const WITHOUT_WAITING = [
  'for each in /proc/sys/net/ipv6/conf/*; do echo 0 > $each/accept_dad; echo 0 > $each/accept_ra; done',
];

export class Lab {
  /** @type {string[]} */
  #nodes = [];
  /** Commands for `ip -batch`, run once for all namespaces. @type {string[]} */
  #wiring = [];
  /** Shell lines to run inside each namespace. @type {Map<string, string[]>} */
  #inside = new Map();
  /** Names that every node resolves, each with an address. */
  #hosts = [['localhost', '127.0.0.1']];
  #ipv6;

  /** @param {{ipv6?: boolean}} [options] `ipv6`: whether its nodes speak it */
  constructor({ ipv6 = false } = {}) {
    this.#ipv6 = ipv6;
    this.prefix = `${FAMILY}-${process.pid}-${++count}`;
    /** Files of this lab; removed with it. */
    this.folder = mkdtempSync(join(tmpdir(), `${this.prefix}-`));
    live.add(this);
    removeWithProcess();
  }

  /** The namespace's name, for `ip netns exec`. @param {string} node */
  namespace(node) {
    if (!this.#nodes.includes(node)) throw new Error(`no node ${node} in this lab`);
    return `${this.prefix}-${node}`;
  }

  get nodes() {
    return [...this.#nodes];
  }

  /**
   * Plans a node. `lines` run in its namespace when the lab goes up.
   * @param {string} node
   * @param {string[]} [lines]
   */
  node(node, lines = []) {
    this.#nodes.push(node);
    this.#wiring.push(`netns add ${this.namespace(node)}`);
    // Where the figure shows IPv4 only, nothing else is to be gathered.
    const first = this.#ipv6 ? WITHOUT_WAITING : ['echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'];
    this.#inside.set(node, [...first, 'ip link set lo up', ...lines]);
    return this;
  }

  /**
   * Plans a cable between two nodes.
   * @param {string} a
   * @param {string} portA
   * @param {string} b
   * @param {string} portB
   */
  cable(a, portA, b, portB) {
    const [one, other] = [this.namespace(a), this.namespace(b)];
    this.#wiring.push(`link add name ${portA} netns ${one} type veth peer name ${portB} netns ${other}`);
    this.inside(a, `ip link set ${portA} up`);
    this.inside(b, `ip link set ${portB} up`);
    return this;
  }

  /** Plans shell lines for a node. @param {string} node @param {...string} lines */
  inside(node, ...lines) {
    this.#inside.get(node)?.push(...lines);
    return this;
  }

  /**
   * Plans a name that all nodes resolve; with several addresses if it comes again.
   * @param {string} name
   * @param {string} address
   */
  host(name, address) {
    this.#hosts.push([name, address]);
    return this;
  }

  /** Builds what was planned. */
  async up() {
    try {
      await sweep();
      // With the dot, because Chromium looks STUN servers up as absolute names.
      const hosts = this.#hosts.map(([name, address]) => `${address} ${name} ${name}.\n`).join('');
      writeFileSync(join(this.folder, 'hosts'), hosts);
      // No name server: a look-up of anything else fails at once instead of after seconds.
      writeFileSync(join(this.folder, 'resolv.conf'), 'nameserver 127.0.0.1\n');
      await run('ip', ['-batch', '-'], { input: this.#wiring.join('\n') });
      await Promise.all(
        [...this.#inside].map(([node, lines]) => this.run(node, 'sh', ['-e', '-s'], { input: lines.join('\n') })),
      );
      return this;
    } catch (error) {
      this.down();
      throw error;
    }
  }

  /**
   * Runs a program in a node to its end.
   * @param {string} node @param {string} program @param {string[]} [args]
   * @param {import('./shell.js').RunOptions} [options]
   */
  run(node, program, args = [], options = {}) {
    return run('ip', ['netns', 'exec', this.namespace(node), program, ...args], options);
  }

  /**
   * Starts a program in a node, with the lab's names.
   * @param {string} node @param {string} program @param {string[]} [args]
   * @param {import('node:child_process').SpawnOptions} [options]
   */
  spawn(node, program, args = [], options = {}) {
    return spawn(this.wrapper(node, program), args, options);
  }

  /**
   * A script that starts `program` in a node and becomes it, for launchers that want a path.
   * Inside, the lab's names resolve: `ip netns exec` gives a mount namespace of its own, so the
   * machine's files stay as they are.
   * @param {string} node @param {string} program
   */
  wrapper(node, program) {
    const path = join(this.folder, `${node}-${program.replaceAll('/', '_')}`);
    const mounts = ['hosts', 'resolv.conf'].map((file) => `mount --bind ${join(this.folder, file)} /etc/${file}`);
    const script = `#!/bin/sh
exec ip netns exec ${this.namespace(node)} sh -c '${mounts.join(' && ')} && exec "$@"' sh ${program} "$@"
`;
    writeFileSync(path, script, { mode: 0o755 });
    return path;
  }

  /**
   * Ends what still runs in the lab and removes it. Not asynchronous: it must also work while the
   * process ends.
   */
  down() {
    if (!live.delete(this)) return;
    removeNamespaces(this.#nodes.map((node) => `${this.prefix}-${node}`));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** @param {string[]} namespaces */
function removeNamespaces(namespaces) {
  for (const namespace of namespaces) {
    const inside = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
    for (const pid of inside.stdout?.split('\n').filter(Boolean) ?? []) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
  }
  spawnSync('ip', ['-force', '-batch', '-'], {
    input: namespaces.map((namespace) => `netns del ${namespace}`).join('\n'),
    stdio: ['pipe', 'ignore', 'ignore'],
  });
}

let watching = false;

function removeWithProcess() {
  if (watching) return;
  watching = true;
  const all = () => [...live].forEach((lab) => lab.down());
  process.on('exit', all);
  for (const signal of /** @type {NodeJS.Signals[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(signal, () => {
      all();
      process.kill(process.pid, signal);
    });
  }
}

/** Removes the labs of processes that were killed before they could. */
export async function sweep() {
  const listed = await run('ip', ['netns', 'list']);
  const orphans = listed
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter((name) => {
      const owner = new RegExp(`^${FAMILY}-(\\d+)-`).exec(name)?.[1];
      return owner !== undefined && !isAlive(Number(owner));
    });
  if (orphans.length > 0) removeNamespaces(orphans);
  return orphans;
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
