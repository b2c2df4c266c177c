//! Linux's table of IPv6 addresses, `/proc/net/if_inet6`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::Ipv6Flags;

/// The flags of `linux/if_addr.h`.
const TEMPORARY: u32 = 0x01;
const DUPLICATE: u32 = 0x08;
const DEPRECATED: u32 = 0x20;
const TENTATIVE: u32 = 0x40;

/// Parses the lines `address index prefix scope flags name`, numbers in hexadecimal; others are
/// skipped.
pub(super) fn parse(table: &str) -> BTreeMap<IpAddr, Ipv6Flags> {
    table.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(IpAddr, Ipv6Flags)> {
    let mut words = line.split_whitespace();
    let address = Ipv6Addr::from(u128::from_str_radix(words.next()?, 16).ok()?);
    let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
    let has = |flag: u32| flags & flag != 0;
    let flags = Ipv6Flags {
        temporary: has(TEMPORARY),
        unusable: has(DUPLICATE) || has(DEPRECATED) || has(TENTATIVE),
    };
    Some((address.into(), flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_and_unusable_addresses_are_distinguished() {
        let table = parse(
            "20010db8000000000000000000000001 02 40 00 80     eth0\n\
             20010db8000000000000000000000002 02 40 00 01     eth0\n\
             20010db8000000000000000000000003 02 40 00 21     eth0\n\
             20010db8000000000000000000000004 02 40 00 c0     eth0\n\
             this is no address\n",
        );
        let flags = |last: u16| {
            let address: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into();
            table.get(&address).map(|flags| (flags.temporary, flags.unusable))
        };
        assert_eq!(flags(1), Some((false, false)));
        assert_eq!(flags(2), Some((true, false)));
        assert_eq!(flags(3), Some((true, true)));
        assert_eq!(flags(4), Some((false, true)));
        assert_eq!(table.len(), 4);
    }
}
