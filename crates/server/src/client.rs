//! The client of a request: address, host and scheme, seen through the proxies that are trusted.

use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version, header};
use ipnet::IpNet;

use crate::config::{AllowedOrigin, Host};

/// Headers that proxies add beside those which name the client.
const OF_PROXIES: [&str; 4] = ["via", "x-real-ip", "x-forwarded-host", "x-forwarded-proto"];

/// The transport connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) tls: bool,
}

/// The client of a request, as far as it can be known.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its address, or that of the nearest proxy that is not trusted.
    pub(crate) ip: IpAddr,
    /// The host that it asked for, if it asked for a valid one.
    pub(crate) host: Option<Host>,
    /// And the port, where it named one.
    pub(crate) port: Option<u16>,
    /// The address that it reached.
    pub(crate) local: SocketAddr,
    /// True if it came over TLS, to us or to a trusted proxy.
    pub(crate) secure: bool,
    /// True if it came through a trusted proxy.
    pub(crate) proxied: bool,
    /// True if the request has passed a proxy that is not trusted: its address does not show its
    /// place then.
    pub(crate) through_stranger: bool,
}

impl Client {
    pub(crate) fn new(connection: Connection, headers: &HeaderMap, uri: &Uri, trusted: &[IpNet]) -> Self {
        let peer = connection.peer.ip().to_canonical();
        let believed = contains(trusted, peer);
        let (ip, hops_left) = if believed { nearest_stranger(headers, trusted, peer) } else { (peer, false) };
        let has_one_of = |names: &[&str]| names.iter().any(|name| headers.contains_key(*name));
        let forwarded = has_one_of(&["x-forwarded-for", "forwarded"]);
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // The nearest proxy writes the last one; those before it may be the client's own.
        let last = |name: &str| {
            let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
            value.rsplit(',').next().map(str::trim)
        };

        let asked = believed.then(|| last("x-forwarded-host")).flatten();
        let asked =
            asked.or_else(|| uri.authority().map(|a| a.as_str())).or_else(|| text(header::HOST.as_str()));
        let (host, port) = asked.and_then(authority).map_or((None, None), |(host, port)| (Some(host), port));
        let proto = believed.then(|| last("x-forwarded-proto")).flatten();
        Self {
            ip,
            host,
            port,
            local: SocketAddr::new(connection.local.ip().to_canonical(), connection.local.port()),
            secure: connection.tls || proto == Some("https"),
            proxied: believed && forwarded,
            through_stranger: if believed { hops_left } else { forwarded || has_one_of(&OF_PROXIES) },
        }
    }

    /// The host and port for a URL that leads the client back here.
    pub(crate) fn authority(&self) -> String {
        let host = self.host.clone().unwrap_or_else(|| Host::from_ip(self.local.ip()));
        match self.port {
            Some(port) => format!("{}:{port}", host.for_url()),
            None if self.host.is_none() => format!("{}:{}", host.for_url(), self.local.port()),
            None => host.for_url().to_owned(),
        }
    }

    /// Returns whether the request names the server as one does who has reached it directly: by an
    /// address or as `localhost`, from this machine by a loopback address, and from elsewhere also
    /// by the operator's name for it.
    ///
    /// A page whose name was made to lead to this server (DNS rebinding) names it otherwise, and so
    /// does a proxy on this machine that passes the name on.
    pub(crate) fn names_server(&self, public_host: Option<&Host>) -> bool {
        let Some(host) = &self.host else { return false };
        let is_here = self.ip.is_loopback();
        match host.ip() {
            Some(ip) => ip.is_loopback() || !is_here,
            None => host.for_url() == "localhost" || (!is_here && Some(host) == public_host),
        }
    }

    /// Returns whether a page of this origin may use signaling: the server's own pages may, and
    /// those that the operator named.
    ///
    /// A page that came over plain HTTP is not the same origin as one over TLS; the other way round
    /// it is, since a proxy in front may do the TLS without a header.
    pub(crate) fn allows_origin(&self, origin: &str, allowed: &[AllowedOrigin]) -> bool {
        if allowed.iter().any(|allowed| allowed.matches(origin)) {
            return true;
        }
        let origin = origin.to_ascii_lowercase();
        let (rest, own_port, https) = match origin.split_once("://") {
            Some(("https", rest)) => (rest, 443, true),
            Some(("http", rest)) => (rest, 80, false),
            _ => return false,
        };
        let Some((host, port)) = authority(rest) else { return false };
        let default_port = if self.secure { 443 } else { own_port };
        Some(&host) == self.host.as_ref()
            && port.unwrap_or(own_port) == self.port.unwrap_or(default_port)
            && (https || !self.secure)
    }
}

/// Returns whether a request must be refused because it does not say, or not clearly, which host it
/// is for (RFC 9112 §3.2, RFC 9113 §8.3.1).
pub(crate) fn is_misaddressed(version: Version, headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    let host = host.map(|value| value.to_str().ok());
    let is_legible = |text: &str| authority(text).is_some();
    if another.is_some() || host.is_some_and(|host| !host.is_some_and(is_legible)) {
        return true;
    }
    let named = uri.authority().map(Authority::as_str);
    if version >= Version::HTTP_2 {
        match (named, host.flatten()) {
            (Some(named), Some(host)) => !named.eq_ignore_ascii_case(host),
            (named, host) => named.or(host).is_none(),
        }
    } else {
        version == Version::HTTP_11 && host.is_none()
    }
}

pub(crate) fn contains(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// Walks `X-Forwarded-For` from our side outwards up to the first address that is not trusted, and
/// returns whether there is something behind it.
fn nearest_stranger(headers: &HeaderMap, trusted: &[IpNet], peer: IpAddr) -> (IpAddr, bool) {
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let hops: Vec<&str> = lines.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut nearest = peer;
    for (behind, hop) in hops.iter().enumerate().rev() {
        let Some(ip) = hop_address(hop) else { return (nearest, true) };
        nearest = ip;
        if !contains(trusted, ip) {
            return (ip, behind > 0);
        }
    }
    (nearest, false)
}

/// Some proxies write the port too.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip())).ok()?;
    Some(ip.to_canonical())
}

/// Splits `host[:port]`.
fn authority(text: &str) -> Option<(Host, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    Some((host.parse().ok()?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(headers: &[(&'static str, &str)], peer: &str, tls: bool, trusted: &[&str]) -> Client {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let connection = Connection {
            peer: peer.parse().unwrap(),
            local: "[::ffff:192.0.2.9]:8080".parse().unwrap(),
            tls,
        };
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Client::new(connection, &map, &Uri::from_static("/x"), &trusted)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let headers =
            [("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.0.0.2"), ("x-forwarded-proto", "https")];
        let stranger = client(&headers, "203.0.113.99:1", false, &["10.0.0.0/8"]);
        assert_eq!(stranger.ip.to_string(), "203.0.113.99");
        assert!(stranger.through_stranger && !stranger.secure);
        let known = client(&headers, "[::ffff:10.0.0.1]:1", false, &["10.0.0.0/8"]);
        assert_eq!(known.ip.to_string(), "203.0.113.7");
        assert!(known.through_stranger && known.secure);
        let broken = client(&[("x-forwarded-for", "unknown")], "10.0.0.1:1", false, &["10.0.0.0/8"]);
        assert_eq!(broken.ip.to_string(), "10.0.0.1");
        assert!(broken.through_stranger);
        let local = client(&[("x-real-ip", "203.0.113.7")], "127.0.0.1:1", false, &[]);
        assert!(local.through_stranger && !local.proxied);
        let inside = client(&[("x-forwarded-for", "[2001:db8::1]:99")], "10.0.0.1:1", false, &["10.0.0.0/8"]);
        assert_eq!(inside.ip.to_string(), "2001:db8::1");
        assert!(!inside.through_stranger);
    }

    #[test]
    fn the_host_is_taken_from_the_request_or_the_socket() {
        assert_eq!(
            client(&[("host", "Example.org:99")], "192.0.2.1:1", false, &[]).authority(),
            "example.org:99"
        );
        assert_eq!(
            client(&[("host", "[2001:db8::1]")], "192.0.2.1:1", false, &[]).authority(),
            "[2001:db8::1]"
        );
        assert_eq!(client(&[], "192.0.2.1:1", false, &[]).authority(), "192.0.2.9:8080");
        let odd = client(&[("host", "a;b'\"c")], "192.0.2.1:1", false, &[]);
        assert_eq!((odd.host.clone(), odd.authority()), (None, "192.0.2.9:8080".to_owned()));
    }

    #[test]
    fn nearest_proxy_has_the_last_word() {
        let headers = [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-host", "evil.test, a.test"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "gopher, http"),
        ];
        let trusted = client(&headers, "10.0.0.1:1", false, &["10.0.0.0/8"]);
        assert_eq!((trusted.authority().as_str(), trusted.secure), ("a.test", false));
    }

    #[test]
    fn server_is_named_by_its_address() {
        let names = |host: &str, peer: &str| {
            let client = client(&[("host", host)], peer, false, &[]);
            client.names_server(Some(&"a.test".parse().unwrap()))
        };
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]"] {
            assert!(names(host, "127.0.0.1:1") && names(host, "192.0.2.1:1"), "{host}");
        }
        for host in ["192.0.2.9", "[2001:db8::9]:80", "a.test"] {
            assert!(!names(host, "127.0.0.1:1") && names(host, "192.0.2.1:1"), "{host}");
        }
        for host in ["rebound.test", "127.0.0.1.evil.test", "a;b"] {
            assert!(!names(host, "127.0.0.1:1") && !names(host, "192.0.2.1:1"), "{host}");
        }
    }

    #[test]
    fn requests_name_one_host() {
        let is = |version, hosts: &[&str], uri: &'static str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append("host", host.parse().unwrap());
            }
            is_misaddressed(version, &headers, &Uri::from_static(uri))
        };
        let (one, two, zero) = (Version::HTTP_11, Version::HTTP_2, Version::HTTP_10);
        assert!(!is(one, &["a.test:80"], "/") && !is(zero, &[], "/") && !is(two, &[], "http://a.test/"));
        assert!(!is(two, &["A.test"], "http://a.test/") && !is(two, &["a.test"], "/"));
        for (version, hosts, uri) in [
            (one, &[][..], "/"),
            (one, &[], "http://a.test/"),
            (one, &["a.test", "a.test"], "/"),
            (zero, &["a.test", "b.test"], "/"),
            (one, &["a b"], "/"),
            (two, &["b.test"], "http://a.test/"),
            (two, &[], "/"),
        ] {
            assert!(is(version, hosts, uri), "{version:?} {hosts:?} {uri}");
        }
    }

    #[test]
    fn own_and_allowed_origins_are_let_in() {
        let plain = client(&[("host", "a.b:8080")], "192.0.2.1:1", false, &[]);
        assert!(plain.allows_origin("http://a.b:8080", &[]));
        assert!(plain.allows_origin("https://a.b:8080", &[]), "a proxy in front may do the TLS");
        assert!(!plain.allows_origin("http://a.b", &[]));
        assert!(!plain.allows_origin("http://c.b:8080", &[]));
        assert!(!plain.allows_origin("null", &[]));
        assert!(plain.allows_origin("https://c.d", &["https://c.d".parse().unwrap()]));
        assert!(plain.allows_origin("null", &["*".parse().unwrap()]));
        assert!(plain.allows_origin("capacitor://localhost", &["capacitor://localhost".parse().unwrap()]));
        assert!(!plain.allows_origin("capacitor://a.b:8080", &[]));
        assert!(plain.allows_origin("https://x.c.d", &["https://*.c.d".parse().unwrap()]));
        let tls = client(&[("host", "a.b")], "192.0.2.1:1", true, &[]);
        assert!(tls.allows_origin("https://a.b", &[]));
        assert!(!tls.allows_origin("http://a.b", &[]));
        let proxied = client(&[("host", "a.b")], "192.0.2.1:1", false, &[]);
        assert!(proxied.allows_origin("https://a.b", &[]));
    }
}
