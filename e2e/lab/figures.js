// The three figures that every introduction to WebRTC draws, with their addresses.

import { Lab } from './lab.js';
import { CORE_RULES, natRules } from './nat.js';

/** The public host of figures 2 and 3. It has a second address, for probing NATs. */
export const PUBLIC_HOST = { name: 'meet.example', address: '10.70.0.10', second: '10.70.0.11' };
/** The server of figure 1, in the private network. */
export const PRIVATE_HOST = { name: 'meet.example', address: '192.168.0.2' };
/** The outer addresses of the routers. */
export const OUTER = { r1: '10.50.200.5', r2: '10.60.200.5', rc: '10.80.200.5' };
/** The addresses of the peers. */
export const PEER = { private1: '192.168.0.200', private2: '192.168.0.201', public2: '10.50.150.3' };

/** The core's end of every cable has this address; each leaf has a route of its own to it. */
const CORE_ADDRESS = '10.255.0.1';

/** @typedef {import('./nat.js').NatOptions} NatOptions */
/** @typedef {'r1' | 'r2' | 'rc'} Router */

/**
 * Figure 1: two peers or more, p1 and on, and the server, in one private network.
 * @param {{peers?: number}} [options]
 */
export async function figure1({ peers = 2 } = {}) {
  const lab = new Lab();
  lab.node('lan', [
    'ip link add br0 type bridge mcast_snooping 0',
    'ip link set br0 up',
    'ip addr add 192.168.0.1/24 dev br0',
  ]);
  /** @param {string} node @param {string} address */
  const join = (node, address) => {
    lab.node(node).cable(node, 'eth0', 'lan', node).inside('lan', `ip link set ${node} master br0`);
    lab.inside(node, `ip addr add ${address}/24 brd + dev eth0`, 'ip route add default via 192.168.0.1');
  };
  join('server', PRIVATE_HOST.address);
  for (let peer = 1; peer <= peers; peer++) join(`p${peer}`, `192.168.0.${199 + peer}`);
  lab.host(PRIVATE_HOST.name, PRIVATE_HOST.address);
  return await lab.up();
}

/** Figure 2: p1 behind r1, p2 with a public address. @param {{r1: NatOptions}} routers */
export async function figure2({ r1 }) {
  const lab = new Lab();
  publicNetwork(lab);
  privateNetwork(lab, 'r1', 'p1', r1);
  leaf(lab, 'p2', PEER.public2);
  return await lab.up();
}

/**
 * Figure 3: both peers behind routers of their own, with the same private address. A third
 * router, rc, is there to move p1 to.
 * @param {{r1: NatOptions, r2: NatOptions, rc?: NatOptions}} routers
 */
export async function figure3({ r1, r2, rc = { kind: 'symmetric' } }) {
  const lab = new Lab();
  publicNetwork(lab);
  privateNetwork(lab, 'r1', 'p1', r1);
  privateNetwork(lab, 'r2', 'p2', r2);
  router(lab, 'rc', rc);
  lab.cable('p1', 'cell0', 'rc', 'lan0').inside('rc', 'ip addr add 192.168.0.1/24 brd + dev lan0');
  lab.inside('p1', 'ip link set cell0 down');
  return await lab.up();
}

/**
 * Gives a router another behaviour, and forgets every mapping.
 * @param {Lab} lab
 * @param {Router} name
 * @param {NatOptions} options
 */
export async function setNat(lab, name, options) {
  await lab.run(name, 'nft', ['-f', '-'], { input: rulesOf(name, options) });
  await lab.run(name, 'conntrack', ['-F']);
}

/**
 * No datagram leaves a node any more, or all may again.
 * @param {Lab} lab
 * @param {string} node
 * @param {boolean} blocked
 */
export async function blockUdp(lab, node, blocked) {
  const rules = 'table ip no_udp {\n chain out {\n type filter hook output priority filter\n meta l4proto udp drop\n }\n}\n';
  const input = `table ip no_udp\ndelete table ip no_udp\n${blocked ? rules : ''}`;
  await lab.run(node, 'nft', ['-f', '-'], { input });
}

/**
 * A router forgets every mapping, as if it had been restarted.
 * @param {Lab} lab
 * @param {Router} name
 */
export async function flushMappings(lab, name) {
  const maps = ['eim', 'eif', 'adf'].map((map) => `flush map ip nat_lab ${map}\n`).join('');
  await lab.run(name, 'nft', ['-f', '-'], { input: maps });
  await lab.run(name, 'conntrack', ['-F']);
}

/** Figure 3: p1 leaves r1 for the cellular network behind rc. @param {Lab} lab */
export async function moveToCellular(lab) {
  const lines = [
    'ip link set eth0 down',
    'ip link set cell0 up',
    `ip addr replace ${PEER.private1}/24 brd + dev cell0`,
    'ip route replace default via 192.168.0.1',
  ];
  await lab.run('p1', 'sh', ['-e', '-s'], { input: lines.join('\n') });
}

/** The core and the public host. @param {Lab} lab */
export function publicNetwork(lab) {
  lab.node('core', ['echo 1 > /proc/sys/net/ipv4/ip_forward', nft(CORE_RULES)]);
  leaf(lab, 'server', PUBLIC_HOST.address, PUBLIC_HOST.second);
  lab.host(PUBLIC_HOST.name, PUBLIC_HOST.address);
}

/**
 * A node with public addresses on a cable of its own to the core.
 * @param {Lab} lab
 * @param {string} name
 * @param {...string} addresses
 */
function leaf(lab, name, ...addresses) {
  lab.node(name);
  uplink(lab, name, ...addresses);
}

/** @param {Lab} lab @param {string} name @param {...string} addresses */
function uplink(lab, name, ...addresses) {
  lab.cable(name, 'wan0', 'core', name);
  for (const address of addresses) {
    lab.inside(name, `ip addr add ${address}/32 dev wan0`);
    lab.inside('core', `ip route add ${address}/32 dev ${name}`);
  }
  lab.inside('core', `ip addr add ${CORE_ADDRESS}/32 dev ${name}`);
  lab.inside(name, `ip route add default via ${CORE_ADDRESS} dev wan0 onlink src ${addresses[0]}`);
}

/** @param {Lab} lab @param {Router} name @param {NatOptions} options */
function router(lab, name, options) {
  lab.node(name, ['echo 1 > /proc/sys/net/ipv4/ip_forward', nft(rulesOf(name, options))]);
  uplink(lab, name, OUTER[name]);
}

/**
 * A router with one peer behind it.
 * @param {Lab} lab
 * @param {Router} name
 * @param {string} peer
 * @param {NatOptions} options
 */
export function privateNetwork(lab, name, peer, options) {
  router(lab, name, options);
  lab.node(peer).cable(peer, 'eth0', name, 'lan0');
  lab.inside(name, 'ip addr add 192.168.0.1/24 brd + dev lan0');
  lab.inside(peer, `ip addr add ${PEER.private1}/24 brd + dev eth0`, 'ip route add default via 192.168.0.1');
}

/** @param {Router} name @param {NatOptions} options */
function rulesOf(name, options) {
  return natRules({ wan: 'wan0', lan: 'lan0', outer: OUTER[name] }, options);
}

/** A shell line that loads a ruleset. @param {string} rules */
function nft(rules) {
  return `nft -f - <<'RULES'\n${rules}RULES`;
}
