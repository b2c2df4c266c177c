//! `iceServers` for each client: addresses that it can reach, and credentials of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use columba_signal::{IceServer, IceServers, PeerId};
use columba_turn::server::{Credentials, Transport, UnixTime};

use super::members::Members;
use crate::client::Client;
use crate::config::{Host, RelayOptions, Secret, TurnCredentials};

/// A socket that STUN and TURN are served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
    /// True if this is the web port, which a client behind an HTTP proxy cannot use for TURN.
    pub(crate) web: bool,
}

/// The source of URLs and credentials.
#[derive(Debug)]
pub(crate) struct IceServerSource {
    public_host: Option<Host>,
    public_addresses: Vec<IpAddr>,
    /// The listeners in effect.
    endpoints: Vec<Endpoint>,
    /// Makes credentials; without it only STUN is offered.
    secret: Arc<RwLock<Option<Secret>>>,
    lifetime: Duration,
    members: Arc<Members>,
}

/// The servers for one client: the URLs are settled, the credentials are made each time.
#[derive(Clone, Debug)]
pub(crate) struct IceServersOf {
    stun: Arc<[String]>,
    turn: Arc<[String]>,
    secret: Arc<RwLock<Option<Secret>>>,
    lifetime: Duration,
    members: Arc<Members>,
}

impl IceServerSource {
    /// `members` keeps those whom credentials were made for.
    pub(crate) fn new(
        options: &RelayOptions,
        endpoints: Vec<Endpoint>,
        secret: Option<Secret>,
        members: Arc<Members>,
    ) -> Self {
        let secret = secret.filter(|_| options.turn_credentials() != TurnCredentials::Off);
        Self {
            public_host: options.public_host.clone(),
            public_addresses: options.public_address.clone(),
            endpoints,
            secret: Arc::new(RwLock::new(secret)),
            lifetime: options.credential_lifetime(),
            members,
        }
    }

    /// Makes credentials with this secret from now on, if any are made.
    pub(super) fn set_secret(&self, secret: Option<Secret>) {
        *self.secret.write().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    /// The servers for a client.
    pub(crate) fn of(&self, client: &Client) -> IceServersOf {
        let (stun, turn) = self.urls(client);
        IceServersOf {
            stun: stun.into(),
            turn: turn.into(),
            secret: self.secret.clone(),
            lifetime: self.lifetime,
            members: self.members.clone(),
        }
    }

    /// This peer's membership has ended.
    pub(super) fn forget(&self, peer: PeerId) {
        self.members.forget(peer);
    }

    /// At most one URL for each way, because a browser makes an allocation for each, and gathers
    /// more slowly.
    fn urls(&self, client: &Client) -> (Vec<String>, Vec<String>) {
        let reachable = |endpoint: &&Endpoint| {
            let loopback = endpoint.address.ip().to_canonical().is_loopback();
            (!loopback || client.ip.is_loopback()) && !(endpoint.web && client.proxied)
        };
        let of = |transport, web| {
            let wanted = move |e: &&Endpoint| e.transport == transport && e.web == web;
            self.endpoints.iter().filter(reachable).find(wanted)
        };
        let udp = of(Transport::Udp, false);
        let tcp = of(Transport::Tcp, false).or_else(|| of(Transport::Tcp, true));
        // Port 443 passes where others do not; another web port only helps where there is no TURN
        // port.
        let web_tls = of(Transport::Tls, true);
        let tls =
            web_tls.filter(|e| e.address.port() == 443).or_else(|| of(Transport::Tls, false)).or(web_tls);
        let url = |scheme: &str, endpoint: &Endpoint, transport: &str| {
            let host = self.host(endpoint, client);
            let suffix = if transport.is_empty() { String::new() } else { format!("?transport={transport}") };
            format!("{scheme}:{}:{}{suffix}", host.for_url(), endpoint.address.port())
        };
        let stun: Vec<String> = udp.map(|e| url("stun", e, "")).into_iter().collect();
        let turn = [
            udp.map(|e| url("turn", e, "udp")),
            tcp.map(|e| url("turn", e, "tcp")),
            tls.map(|e| url("turns", e, "tcp")),
        ];
        let turn = turn.into_iter().flatten().collect();
        (stun, turn)
    }

    /// By which name the client finds the endpoint: the operator's choice, the address that it is
    /// bound to, or what the client called us.
    fn host(&self, endpoint: &Endpoint, client: &Client) -> Host {
        if let Some(host) = &self.public_host {
            return host.clone();
        }
        let bound = endpoint.address.ip().to_canonical();
        // The name is kept where it leads to this very address, because a certificate may have no
        // other.
        if bound.is_unspecified() || bound == client.local.ip().to_canonical() {
            return client.host.clone().unwrap_or_else(|| Host::from_ip(client.local.ip()));
        }
        let outside = self.public_addresses.iter().find(|public| public.is_ipv4() == bound.is_ipv4());
        Host::from_ip(if bound.is_loopback() { bound } else { outside.copied().unwrap_or(bound) })
    }
}

impl IceServersOf {
    /// The servers with fresh credentials for this peer.
    pub(crate) fn for_peer(&self, peer: PeerId) -> IceServers {
        let mut servers = Vec::new();
        let plain =
            |urls: &Arc<[String]>| IceServer { urls: urls.to_vec(), username: None, credential: None };
        if !self.stun.is_empty() {
            servers.push(plain(&self.stun));
        }
        let mut expire = None;
        let secret = self.secret.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(secret) = secret.filter(|_| !self.turn.is_empty()) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let name = self.members.name(peer);
            let made = Credentials::mint(secret.expose().as_bytes(), UnixTime(now), self.lifetime, &name);
            expire = Some(now.saturating_add(self.lifetime).as_secs());
            servers.push(IceServer {
                username: Some(made.username),
                credential: Some(made.password),
                ..plain(&self.turn)
            });
        }
        IceServers { servers, expire }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(transport: Transport, address: &str, web: bool) -> Endpoint {
        Endpoint { transport, address: address.parse().unwrap(), web }
    }

    fn source(endpoints: Vec<Endpoint>) -> IceServerSource {
        IceServerSource {
            public_host: None,
            public_addresses: Vec::new(),
            endpoints,
            secret: Arc::new(RwLock::new(Some(Secret::new("north".into())))),
            lifetime: Duration::from_secs(60),
            members: Arc::new(Members::new().unwrap()),
        }
    }

    fn client(host: Option<&str>, ip: &str) -> Client {
        Client {
            ip: ip.parse().unwrap(),
            host: host.map(|host| host.parse().unwrap()),
            port: None,
            local: "192.0.2.9:8443".parse().unwrap(),
            secure: true,
            proxied: false,
            through_stranger: false,
        }
    }

    #[test]
    fn each_transport_is_offered_once() {
        let all = source(vec![
            endpoint(Transport::Udp, "[::]:3478", false),
            endpoint(Transport::Tcp, "[::]:3478", false),
            endpoint(Transport::Tls, "[::]:5349", false),
            endpoint(Transport::Tls, "[::]:443", true),
        ]);
        let (stun, turn) = all.urls(&client(Some("a.b"), "203.0.113.1"));
        assert_eq!(stun, ["stun:a.b:3478"]);
        let wanted =
            ["turn:a.b:3478?transport=udp", "turn:a.b:3478?transport=tcp", "turns:a.b:443?transport=tcp"];
        assert_eq!(turn, wanted);
        let (_, turn) = all.urls(&Client { proxied: true, ..client(Some("[2001:db8::1]"), "203.0.113.1") });
        assert_eq!(turn.last().unwrap(), "turns:[2001:db8::1]:5349?transport=tcp");
    }

    #[test]
    fn hosts_of_urls_follow_options_and_requests() {
        let bound = || source(vec![endpoint(Transport::Udp, "10.0.0.5:3478", false)]);
        assert_eq!(bound().urls(&client(Some("a.b"), "203.0.113.1")).0, ["stun:10.0.0.5:3478"]);
        let mapped = IceServerSource { public_addresses: vec!["198.51.100.1".parse().unwrap()], ..bound() };
        assert_eq!(mapped.urls(&client(Some("a.b"), "203.0.113.1")).0, ["stun:198.51.100.1:3478"]);
        let named = IceServerSource { public_host: Some("c.d".parse().unwrap()), ..bound() };
        assert_eq!(named.urls(&client(Some("a.b"), "203.0.113.1")).0, ["stun:c.d:3478"]);
        let local = source(vec![endpoint(Transport::Udp, "127.0.0.1:9", false)]);
        assert!(local.urls(&client(Some("a.b"), "203.0.113.1")).0.is_empty());
        assert_eq!(local.urls(&client(Some("localhost"), "127.0.0.1")).0, ["stun:127.0.0.1:9"]);
        let same = source(vec![endpoint(Transport::Tls, "192.0.2.9:5349", false)]);
        assert_eq!(same.urls(&client(Some("a.b"), "203.0.113.1")).1, ["turns:a.b:5349?transport=tcp"]);
        let any = source(vec![endpoint(Transport::Udp, "[::]:3478", false)]);
        assert_eq!(any.urls(&client(None, "203.0.113.1")).0, ["stun:192.0.2.9:3478"]);
    }

    #[test]
    fn the_web_port_stands_in_where_there_is_no_turn_port() {
        let plain = source(vec![endpoint(Transport::Tcp, "[::]:8080", true)]);
        assert_eq!(plain.urls(&client(Some("a.b"), "203.0.113.1")).1, ["turn:a.b:8080?transport=tcp"]);
        let tls = source(vec![endpoint(Transport::Tls, "[::]:8443", true)]);
        assert_eq!(tls.urls(&client(Some("a.b"), "203.0.113.1")).1, ["turns:a.b:8443?transport=tcp"]);
    }

    #[test]
    fn credentials_are_made_for_each_peer() {
        let peer: PeerId = "0123456789abcdef".parse().unwrap();
        let of = source(vec![endpoint(Transport::Udp, "[::]:3478", false)])
            .of(&client(Some("a.b"), "203.0.113.1"));
        let servers = of.for_peer(peer);
        let expire = servers.expire.unwrap();
        assert_eq!(servers.servers.len(), 2);
        assert_eq!(servers.servers[0].username, None);
        let username = servers.servers[1].username.as_ref().unwrap();
        assert!(username.starts_with(&format!("{expire}:0123456789abcdef.")), "{username}");
        let no_secret = source(vec![endpoint(Transport::Udp, "[::]:3478", false)]);
        no_secret.set_secret(None);
        let servers = no_secret.of(&client(Some("a.b"), "203.0.113.1")).for_peer(peer);
        assert_eq!((servers.servers.len(), servers.expire), (1, None));
    }
}
