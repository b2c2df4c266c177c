//! Networks, as operators write them, in the form in which addresses are compared.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::units::Host;

/// The bits in front of the IPv4 address in an IPv4-mapped one (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// Reads a network, or an address that stands for itself. Addresses are compared as IPv4 where they
/// are IPv4-mapped, so a network of such is that of the IPv4 addresses.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network,
        (_, Ok(address)) => IpNet::from(address),
        _ => return Err("write a network like 192.0.2.0/24 or 2001:db8::/32, or an address".to_owned()),
    };
    Ok(match network {
        IpNet::V6(network) => of_mapped(network).map_or(IpNet::V6(network), IpNet::V4),
        IpNet::V4(_) => network,
    })
}

/// Reads an address that clients can send to.
pub(super) fn reachable(text: &str) -> Result<IpAddr, String> {
    let Ok(address) = text.parse::<IpAddr>().map(|address| address.to_canonical()) else {
        return Err("write an address like 203.0.113.1 or 2001:db8::1, without a port".to_owned());
    };
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(format!("{address} is no address of one machine: write the one that clients send to"));
    }
    Ok(address)
}

/// Reads a host name, or an address that clients can send to.
pub(super) fn reachable_host(text: &str) -> Result<Host, String> {
    let host: Host = text.parse()?;
    host.ip().map_or(Ok(()), |ip| reachable(&ip.to_string()).map(drop))?;
    Ok(host)
}

fn of_mapped(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Ipv4Net::new(network.addr().to_ipv4_mapped()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_match_the_addresses_that_they_name() {
        for (text, address, is_within) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.9.9.9/8", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:DB8:0::/32", "2001:db8::1", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:a00:0/104", "11.1.2.3", false),
            ("::ffff:10.1.2.3", "10.1.2.3", true),
            ("::ffff:0:0/96", "10.1.2.3", true),
            ("0.0.0.0/0", "10.1.2.3", true),
            ("::/0", "2001:db8::1", true),
        ] {
            let network = network(text).expect(text);
            assert_eq!(network.contains(&address.parse::<IpAddr>().unwrap()), is_within, "{text}: {address}");
        }
    }

    #[test]
    fn addresses_that_no_client_can_send_to_are_refused() {
        for text in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0"] {
            assert!(reachable(text).unwrap_err().contains("one machine"), "{text}");
            assert!(reachable_host(text).is_err(), "{text}");
        }
        assert!(reachable("203.0.113.1:80").unwrap_err().contains("without a port"));
        assert_eq!(reachable("::ffff:203.0.113.1"), Ok(IpAddr::from([203, 0, 113, 1])));
        assert!(reachable_host("example.org").is_ok() && reachable_host("[2001:db8::1]").is_ok());
    }

    #[test]
    fn anything_else_is_refused_with_a_sentence() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "example.org", "10.0.0.0-10.0.0.9", "*"] {
            assert!(network(text).unwrap_err().contains("192.0.2.0/24"), "{text}");
        }
    }
}
