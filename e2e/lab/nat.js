// NAT behaviour (RFC 4787) as nftables rules, entirely in the kernel.
//
// Masquerading alone maps and filters by address and port. The other kinds remember, in dynamic
// maps filled after source NAT, which outer port an inner endpoint was given, and use that memory
// for its next flows (endpoint-independent mapping) and for packets from outside (the wider kinds
// of filtering).

/**
 * `tcp` is not of {@link NAT_KINDS}: it is as `port`, but that no datagram passes.
 * @typedef {'cone' | 'addr' | 'port' | 'symmetric' | 'tcp443' | 'tcp'} NatKind
 */

/**
 * @typedef {object} NatOptions
 * @property {NatKind} kind
 * @property {boolean} [hairpin] inner hosts reach each other by their outer addresses
 * @property {boolean} [preservePorts] the outer port is the inner one where it is free
 */

/** @type {NatKind[]} */
export const NAT_KINDS = ['cone', 'addr', 'port', 'symmetric', 'tcp443'];

/** The behaviour of each kind as an RFC 5780 probe must find it. */
export const EXPECTED_BEHAVIOUR = /** @type {const} */ ({
  cone: { mapping: 'endpoint-independent', filtering: 'endpoint-independent' },
  addr: { mapping: 'endpoint-independent', filtering: 'address-dependent' },
  port: { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' },
  symmetric: { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' },
  tcp443: { mapping: 'blocked', filtering: 'blocked' },
  tcp: { mapping: 'blocked', filtering: 'blocked' },
});

/**
 * Returns whether two peers that send at the same time can meet without a relay.
 * @param {NatKind} a
 * @param {NatKind} b
 */
export function meetsDirectly(a, b) {
  if ([a, b].some((kind) => kind === 'tcp443' || kind === 'tcp')) return false;
  const portFiltered = (/** @type {NatKind} */ kind) => kind === 'port' || kind === 'symmetric';
  return !((a === 'symmetric' && portFiltered(b)) || (b === 'symmetric' && portFiltered(a)));
}

/**
 * The rules of one router for `nft -f -`, in place of those that it had; what it does with IPv6
 * stays.
 * @param {{wan: string, outer: string, lan: string}} router interface names, and the outer address
 * @param {NatOptions} options
 */
export function natRules({ wan, outer, lan }, { kind, hairpin = false, preservePorts = false }) {
  const independentMapping = kind !== 'symmetric';
  const source = preservePorts ? `snat ip to ${outer}` : `snat ip to ${outer}:1024-65535 fully-random`;
  const inner = 'ct original ip saddr . ct original proto-src';
  const remembered = `snat ip to ${outer} : ip saddr . udp sport map @eim`;
  const inbound = {
    cone: `iifname "${wan}" dnat ip to udp dport map @eif`,
    addr: `iifname "${wan}" dnat ip to ip saddr . udp dport map @adf`,
    port: '',
    symmetric: '',
    tcp443: '',
    tcp: '',
  }[kind];
  const leaves = [`oifname "${wan}"`];
  // The mark says that a packet came from inside for the outer address: postrouting cannot see
  // where it entered.
  if (hairpin) leaves.push('meta mark 1');
  const each = (/** @type {string} */ rule) => leaves.map((match) => `    ${match} ${rule}`).join('\n');

  return `table ip nat_lab
delete table ip nat_lab
table ip nat_lab {
  map eim {
    type ipv4_addr . inet_service : inet_service
    flags dynamic,timeout
    size 65535
  }
  map eif {
    type inet_service : ipv4_addr . inet_service
    flags dynamic,timeout
    size 65535
  }
  map adf {
    type ipv4_addr . inet_service : ipv4_addr . inet_service
    flags dynamic,timeout
    size 65535
  }
  chain turn_back {
    type filter hook prerouting priority mangle
    ${hairpin ? `iifname "${lan}" ip daddr ${outer} meta l4proto udp meta mark set 1` : ''}
  }
  chain inward {
    type nat hook prerouting priority dstnat
    ${inbound}
    ${hairpin ? 'meta mark 1 dnat ip to udp dport map @eif' : ''}
  }
  chain outward {
    type nat hook postrouting priority srcnat
${independentMapping ? each(`meta l4proto udp ${remembered}`) : ''}
${each(`meta l4proto udp ${source}`)}
    oifname "${wan}" masquerade
  }
  chain learn {
    type filter hook postrouting priority 110
${each(`ct direction original meta l4proto udp update @eim { ${inner} timeout 120s : ct reply proto-dst }`)}
${each(`ct direction original meta l4proto udp update @eif { ct reply proto-dst timeout 120s : ${inner} }`)}
${each(`ct direction original meta l4proto udp update @adf { ip daddr . ct reply proto-dst timeout 120s : ${inner} }`)}
  }
  chain to_router {
    type filter hook input priority filter
    # Accepted here, conntrack would keep the 5-tuple, and the peer's own punch would leave from another port.
    iifname "${wan}" ct state new drop
    meta mark 1 drop
  }
  chain through {
    type filter hook forward priority filter
    iifname "${wan}" ct state established,related accept
    iifname "${wan}" ct status dnat accept
    iifname "${wan}" drop
    ${kind === 'tcp' ? `iifname "${lan}" meta l4proto udp drop` : ''}
    ${kind === 'tcp443' ? `iifname "${lan}" meta l4proto udp drop\n    iifname "${lan}" tcp dport != 443 drop\n    iifname "${lan}" meta l4proto icmp drop` : ''}
  }
}
`;
}

/**
 * Private addresses have no way through the public network: a leaked host candidate cannot
 * connect by luck.
 */
export const CORE_RULES = `table ip core_lab {
  chain through {
    type filter hook forward priority filter
    ip saddr 192.168.0.0/16 drop
    ip daddr 192.168.0.0/16 drop
  }
}
`;
