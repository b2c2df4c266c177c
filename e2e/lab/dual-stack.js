// Figure 3 with IPv6 beside IPv4, as most households have it: every host has an address of its
// own that is routed everywhere and never translated, and what may pass is a matter of walls
// only.

import { PEER, privateNetwork, PUBLIC_HOST, publicNetwork } from './figures.js';
import { Lab } from './lab.js';

/** The IPv6 addresses of those who have one (RFC 3849). */
export const IPV6 = { server: '2001:db8:70::10', p1: '2001:db8:1::200', p2: '2001:db8:2::200' };
/** All of them, and those of the relays. */
export const IPV6_NETWORK = '2001:db8::/32';

/** @typedef {'p1' | 'p2'} Peer */
/** @typedef {'both' | 'ipv4' | 'ipv6'} Families */

/**
 * The treatment of IPv6 between the hosts: everything passes; each router lets in only what was
 * asked for from inside (RFC 6092); addresses and routes are there, but nothing comes through.
 * @typedef {'open' | 'walled' | 'lost'} Ipv6
 */

/**
 * Routers have these on a cable, outside and inside of it; as everywhere, gateways are named by
 * their link-local addresses.
 */
const [UPPER, LOWER] = ['fe80::1', 'fe80::2'];

const WALL = `table ip6 wall {
  chain through {
    type filter hook forward priority filter
    iifname "wan0" ct state established,related accept
    iifname "wan0" drop
  }
}
`;
const LOSS = `table ip6 loss {
  chain through {
    type filter hook forward priority filter
    drop
  }
}
`;

/**
 * Both peers behind routers of their own, and the public host; all with both families.
 * @param {import('./figures.js').NatOptions} [nat]
 */
export async function dualStack(nat = { kind: 'port' }) {
  const lab = new Lab({ ipv6: true });
  publicNetwork(lab);
  lab.inside('core', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding');
  uplink(lab, 'server', `${IPV6.server}/128`);
  lab.inside('server', `ip addr add ${IPV6.server}/128 dev wan0 nodad`);
  for (const [router, peer] of /** @type {const} */ ([['r1', 'p1'], ['r2', 'p2']])) {
    privateNetwork(lab, router, peer, nat);
    lab.inside(router, 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding');
    const network = `${IPV6[peer].split('::')[0]}::/64`;
    uplink(lab, router, network);
    lab.inside(router, `ip addr add ${UPPER}/64 dev lan0 nodad`, `ip route add ${network} dev lan0`);
    lab.inside(peer, ...ADDRESSES.ipv6(peer));
  }
  lab.host(PUBLIC_HOST.name, IPV6.server);
  return await lab.up();
}

/**
 * IPv6 over the cable to the core.
 * @param {Lab} lab
 * @param {string} node
 * @param {string} network what is behind it
 */
function uplink(lab, node, network) {
  lab.inside(node, `ip addr add ${LOWER}/64 dev wan0 nodad`, `ip route add default via ${UPPER} dev wan0`);
  lab.inside('core', `ip addr add ${UPPER}/64 dev ${node} nodad`, `ip route add ${network} via ${LOWER} dev ${node}`);
}

/** Commands that give a peer its address and its route. */
const ADDRESSES = {
  ipv4: () => [`ip addr replace ${PEER.private1}/24 brd + dev eth0`, 'ip route replace default via 192.168.0.1'],
  ipv6: (/** @type {Peer} */ peer) => [
    `ip addr replace ${IPV6[peer]}/64 dev eth0 nodad`,
    `ip -6 route replace default via ${UPPER} dev eth0`,
  ],
};

/**
 * From now on a peer has these families.
 * @param {Lab} lab
 * @param {Peer} peer
 * @param {Families} families
 */
export async function setFamilies(lab, peer, families) {
  const lines = [
    ...(families === 'ipv6' ? ['ip -4 addr flush dev eth0'] : ADDRESSES.ipv4()),
    // The link-local address stays, as it does where there is no router.
    ...(families === 'ipv4' ? ['ip -6 addr flush dev eth0 scope global', 'ip -6 route flush default'] : ADDRESSES.ipv6(peer)),
  ];
  await lab.run(peer, 'sh', ['-e', '-s'], { input: lines.join('\n') });
}

/** From now on this becomes of IPv6. @param {Lab} lab @param {Ipv6} what */
export async function setIpv6(lab, what) {
  const load = (/** @type {string} */ node, /** @type {string} */ table, /** @type {string | false} */ rules) =>
    lab.run(node, 'nft', ['-f', '-'], { input: `table ip6 ${table}\ndelete table ip6 ${table}\n${rules || ''}` });
  await Promise.all([
    load('core', 'loss', what === 'lost' && LOSS),
    ...['r1', 'r2'].map((router) => load(router, 'wall', what === 'walled' && WALL)),
  ]);
}

/**
 * The addresses that a peer has with these families, for agents that are told them.
 * @param {Peer} peer
 * @param {Families} families
 */
export function addressesOf(peer, families) {
  const all = { ipv4: [PEER.private1], ipv6: [IPV6[peer]], both: [IPV6[peer], PEER.private1] };
  return all[families];
}
