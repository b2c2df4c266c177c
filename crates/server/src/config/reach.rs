//! The reach of the server: the Internet, or this machine and its network, as far as options and
//! addresses show.

use std::net::{IpAddr, SocketAddr};

use super::options::ServeOptions;
use super::units::Listen;

/// Returns whether the server is for this machine or its network only: all addresses that it
/// listens at are loopback, private or link-local ones, and no option speaks of the outside.
///
/// Where the addresses cannot be told, it counts as reachable.
pub(super) fn is_local(options: &ServeOptions) -> bool {
    let relay = &options.relay;
    let speaks_of_outside = relay.public_host.is_some()
        || !relay.public_address.is_empty()
        || !options.web.trust_proxy.is_empty();
    if speaks_of_outside {
        return false;
    }
    let listening = [&options.web.listen, &relay.stun_listen, &relay.turns_listen];
    let addresses: Vec<IpAddr> = listening.into_iter().flatten().filter_map(address).collect();
    // Without any the default holds, which is every address.
    let everywhere = options.web.listen.is_empty() || addresses.iter().any(IpAddr::is_unspecified);
    let interfaces = if everywhere { if_addrs::get_if_addrs().ok() } else { Some(Vec::new()) };
    interfaces.is_some_and(|interfaces| {
        let own = interfaces.iter().map(if_addrs::Interface::ip);
        all_local(addresses.into_iter().chain(own))
    })
}

fn address(listen: &Listen) -> Option<IpAddr> {
    match listen {
        Listen::On(address) => Some(SocketAddr::ip(address).to_canonical()),
        Listen::Off => None,
    }
}

fn all_local(mut addresses: impl Iterator<Item = IpAddr>) -> bool {
    addresses.all(|ip| ip.is_unspecified() || !is_public(ip))
}

/// Returns whether the address may be reachable from anywhere.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_local() {
        let local = |text: &str| all_local(text.split(' ').map(|ip| ip.parse().unwrap()));
        assert!(local(
            "127.0.0.1 ::1 10.0.0.1 192.168.1.5 fe80::1 fd00::1 169.254.0.1 100.64.0.1 :: 0.0.0.0"
        ));
        assert!(local("::ffff:10.0.0.1"));
        for public in ["203.0.113.1", "2a00::1", "::ffff:8.8.8.8", "10.0.0.1 8.8.8.8"] {
            assert!(!local(public), "{public}");
        }
    }
}
