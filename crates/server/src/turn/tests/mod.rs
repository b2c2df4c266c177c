//! The whole service over real sockets of the loopback interface: free ports, and waits that have
//! an end.

mod client;
mod datagrams;
mod health;
mod isolation;
mod mobility;
mod own_addresses;
mod relaying;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use columba_turn::server::{Config, Credentials, Rate, Transport, UnixTime};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::Service;
use super::config::{StreamLimits, TurnConfig};
use super::listener::Bound;
use crate::memory::Budget;
use crate::supervision::Supervisor;

/// The secret behind the credentials.
const SECRET: &[u8] = b"tern";

/// The time for which anything is waited for. Nothing takes that long but on a very busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration for tests: credentials of [`SECRET`], peers on this host allowed.
fn config() -> TurnConfig {
    let server = Config {
        secrets: vec![SECRET.to_vec()],
        allow_peers: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        bandwidth_per_credential: Rate::per_second(1 << 30),
        bandwidth_per_address: Rate::per_second(1 << 30),
        bandwidth_total: Rate::per_second(1 << 30),
        ..Config::default()
    };
    TurnConfig { server, ..TurnConfig::default() }
}

/// A relay on free ports of 127.0.0.1, and where it listens.
struct Running {
    service: Service,
    udp: SocketAddr,
    tcp: SocketAddr,
    tls: SocketAddr,
    certificate: CertificateDer<'static>,
}

fn start(config: TurnConfig) -> Running {
    start_at("127.0.0.1:0", config)
}

fn start_at(address: &str, config: TurnConfig) -> Running {
    let bind = |transport| Bound::new(address.parse().unwrap(), transport).unwrap();
    let bound = vec![bind(Transport::Udp), bind(Transport::Tcp), bind(Transport::Tls)];
    let (tls, certificate) = tls_config();
    let service = Service::start(config, bound, Some(tls), Supervisor::new(), Budget::new(1 << 30)).unwrap();
    let address = |index: usize| service.listening()[index].address;
    let (udp, tcp, tls) = (address(0), address(1), address(2));
    Running { udp, tcp, tls, service, certificate }
}

fn tls_config() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["relay.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    // As a web server has it; a TURN client must not be turned away for it.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (Arc::new(config), certificate)
}

fn credentials() -> Credentials {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Credentials::mint(SECRET, UnixTime(now), Duration::from_secs(600), "test")
}

/// Waits until something is so.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Limits that a test can wait for. Who is quick enough for them on a busy machine needs some of
/// the first.
fn quick_limits() -> StreamLimits {
    StreamLimits {
        idle_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_millis(300),
        ..StreamLimits::default()
    }
}

#[tokio::test]
async fn taken_port_is_reported_in_one_sentence() {
    let taken = Bound::new("127.0.0.1:0".parse().unwrap(), Transport::Udp).unwrap();
    let address = taken.listening().address;
    let error = Bound::new(address, Transport::Udp).unwrap_err();
    assert_eq!(error.error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on {address} (UDP): ")), "{error}");
    // Each listener stands for itself.
    Bound::new(address, Transport::Tcp).unwrap();
}

/// The web port's streams in tests: they have no runtime of their own.
impl super::ClientStream for tokio::io::DuplexStream {
    fn adopt(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
