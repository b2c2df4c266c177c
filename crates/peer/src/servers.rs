//! The URLs of ICE servers (RFC 7064, RFC 7065).

use std::net::IpAddr;
use std::sync::Arc;

use columba_ice::{Host, ServerKind, Transport};

use crate::configuration::IceServer;
use crate::error::Error;

/// The reason for which a server is refused that needs credentials.
pub(crate) const NO_CREDENTIALS: &str = "a TURN server needs a user name and a credential";

/// The reason for which a server is refused that is reached in no way that exists here.
pub(crate) const NO_TURN_OVER_DTLS: &str = "TURN over DTLS is not supported";

/// Parses all URLs of all servers (W3C "set the ICE servers").
pub(crate) fn parse(servers: &[IceServer]) -> Result<Vec<columba_ice::IceServer>, Error> {
    if servers.iter().any(|server| server.urls.is_empty()) {
        return Err(Error::InvalidIceServer { url: String::new(), reason: "it has no URL" });
    }
    let urls = servers.iter().flat_map(|server| server.urls.iter().map(move |url| (server, url)));
    urls.map(|(server, url)| {
        parse_url(server, url).map_err(|reason| Error::InvalidIceServer { url: url.clone(), reason })
    })
    .collect()
}

fn parse_url(server: &IceServer, url: &str) -> Result<columba_ice::IceServer, &'static str> {
    let (scheme, rest) = url.split_once(':').ok_or("it has no scheme")?;
    let (kind, secure) = match scheme.to_ascii_lowercase().as_str() {
        "stun" => (ServerKind::Stun, false),
        "stuns" => (ServerKind::Stun, true),
        "turn" => (ServerKind::Turn, false),
        "turns" => (ServerKind::Turn, true),
        _ => return Err("the scheme is none of stun, stuns, turn and turns"),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let transport = match (query, kind, secure) {
        (None, _, false) => Transport::Udp,
        (None, _, true) | (Some("transport=tcp"), ServerKind::Turn, true) => Transport::Tls,
        (Some("transport=udp"), ServerKind::Turn, false) => Transport::Udp,
        (Some("transport=tcp"), ServerKind::Turn, false) => Transport::Tcp,
        (Some("transport=udp"), ServerKind::Turn, true) => return Err(NO_TURN_OVER_DTLS),
        (Some(_), ..) => return Err("what follows the question mark is not transport=udp or transport=tcp"),
    };
    let (host, port) = parse_authority(place)?;
    if kind == ServerKind::Turn && (server.username.is_empty() || server.credential.is_empty()) {
        return Err(NO_CREDENTIALS);
    }
    Ok(columba_ice::IceServer {
        kind,
        host,
        port: port.unwrap_or(if secure { 5349 } else { 3478 }),
        transport,
        username: server.username.as_str().into(),
        credential: server.credential.as_str().into(),
        url: url.into(),
    })
}

/// Parses `host`, `host:port`, `[address]` or `[address]:port`.
fn parse_authority(place: &str) -> Result<(Host, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let address: IpAddr = address.parse().map_err(|_| "there is no IPv6 address in the brackets")?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or("a port comes after a colon")?),
        };
        (Host::Ip(address), port)
    } else {
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
            return Err("there is no host name");
        }
        (host.parse().map_or_else(|_| Host::Name(Arc::from(host)), Host::Ip), port)
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or("the port is not one"));
    Ok((host, port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(url: &str) -> Result<columba_ice::IceServer, Error> {
        let server = IceServer { urls: vec![url.to_owned()], username: "u".into(), credential: "c".into() };
        parse(&[server]).map(|mut servers| servers.remove(0))
    }

    #[test]
    fn all_forms_of_urls_are_read() {
        for (url, kind, transport, port) in [
            ("stun:example.org", ServerKind::Stun, Transport::Udp, 3478),
            ("STUN:192.0.2.1:99", ServerKind::Stun, Transport::Udp, 99),
            ("turn:example.org", ServerKind::Turn, Transport::Udp, 3478),
            ("turn:[2001:db8::1]:80?transport=udp", ServerKind::Turn, Transport::Udp, 80),
            ("turn:example.org?transport=tcp", ServerKind::Turn, Transport::Tcp, 3478),
            ("turns:example.org", ServerKind::Turn, Transport::Tls, 5349),
            ("turns:example.org:443?transport=tcp", ServerKind::Turn, Transport::Tls, 443),
        ] {
            let server = one(url).unwrap();
            assert_eq!((server.kind, server.transport, server.port), (kind, transport, port), "{url}");
            assert_eq!(&*server.url, url);
        }
        assert_eq!(one("turn:[2001:db8::1]").unwrap().host, Host::Ip("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn malformed_urls_are_refused() {
        for url in [
            "",
            "example.org",
            "http://example.org",
            "stun:",
            "stun:a b",
            "stun:example.org:0",
            "stun:example.org:65536",
            "stun:example.org?transport=udp",
            "turn:[::1",
            "turn:[::1]80",
            "turn:example.org?transport=sctp",
            "turns:example.org?transport=udp",
        ] {
            assert!(matches!(one(url), Err(Error::InvalidIceServer { .. })), "{url}");
        }
        let anonymous = IceServer { urls: vec!["turn:example.org".into()], ..IceServer::default() };
        assert!(parse(&[anonymous]).is_err());
        assert!(parse(&[IceServer::default()]).is_err(), "without a URL");
    }
}
