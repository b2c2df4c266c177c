//! Handshakes with the program `openssl`, over sockets of the loopback interface: DTLS 1.2 with
//! certificates of every kind, with and without Extended Master Secret.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test with a real program")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_dtls::{
    Association, Certificate, CipherSuite, Config, Error, Event, Fingerprint, HashFunction, KeyAlgorithm,
    Role, Versions,
};
use common::{certificates, fingerprints, seal};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// The time in which everything has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `openssl`, ended when dropped.
struct Openssl {
    child: Child,
    output: std::sync::mpsc::Receiver<String>,
    said: String,
}

impl Openssl {
    fn start(arguments: &[&str], certificate: &Certificate, name: &str) -> Self {
        Self::start_with(arguments, certificate, name, None)
    }

    fn start_with(
        arguments: &[&str],
        certificate: &Certificate,
        name: &str,
        configuration: Option<&Path>,
    ) -> Self {
        let pem = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&pem, certificate.to_pem()).unwrap();
        let pem = pem.to_str().unwrap();
        let mut child = Command::new("openssl")
            .envs(configuration.map(|path| ("OPENSSL_CONF", path)))
            .args(arguments)
            .args(["-cert", pem, "-key", pem])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, output) = std::sync::mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, output, said: String::new() }
    }

    fn hear(&mut self) {
        while let Ok(line) = self.output.try_recv() {
            self.said += &line;
            self.said.push('\n');
        }
    }

    fn say(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.said.contains(text) {
            assert!(Instant::now() < end, "no {text}: {}", self.said);
            if let Ok(line) = self.output.recv_timeout(Duration::from_millis(100)) {
                self.said += &line;
                self.said.push('\n');
            }
        }
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_there() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: the program openssl is not installed");
    }
    found
}

/// The outcome of a connection.
struct Outcome {
    own: Association,
    events: Vec<Event>,
    heard: Vec<u8>,
}

/// Drives an association until a packet has come back, or it has failed.
fn drive(mut own: Association, socket: &UdpSocket, openssl: &mut Openssl, begun: Instant) -> Outcome {
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let (mut buf, mut events, mut heard) = (vec![0; 65_536], Vec::new(), Vec::new());
    let mut has_said = false;
    while begun.elapsed() < PATIENCE && !heard.ends_with(b"answer\n") {
        let now = Instant::now();
        own.handle_timeout(now);
        while let Some(length) = own.poll_transmit(now, &mut buf) {
            let _ = socket.send(&buf[..length]);
        }
        while let Some(event) = own.poll_event() {
            events.push(event);
        }
        if matches!(events.last(), Some(Event::Failed(_))) {
            break;
        }
        if events.contains(&Event::Connected) && !has_said {
            has_said = true;
            socket.send(&seal(&mut own, b"question\n")).unwrap();
        }
        openssl.hear();
        if openssl.said.contains("question") {
            openssl.said = openssl.said.replace("question", "heard");
            openssl.say("answer\n");
        }
        if let Ok((length, from)) = socket.recv_from(&mut buf) {
            let _ = socket.connect(from);
            own.handle_input(Instant::now(), &mut buf[..length]);
            while let Some(packet) = own.read(&buf) {
                heard.extend_from_slice(packet);
            }
        }
    }
    Outcome { own, events, heard }
}

fn own(role: Role, config: Config, other: &Certificate) -> Association {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    Association::new(role, Arc::new(config), fingerprints(other), Instant::now(), &mut rng)
}

fn config(algorithm: KeyAlgorithm) -> Config {
    let mut config = Config::new(certificates(algorithm)[0].clone());
    config.first_timeout = Duration::from_millis(300);
    config
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The own side is the client.
fn with_server(config: Config, theirs: KeyAlgorithm, more: &[&str], name: &str) -> Outcome {
    let other = &certificates(theirs)[1];
    let port = free_port();
    let accept = format!("127.0.0.1:{port}");
    let arguments = [&["s_server", "-dtls1_2", "-Verify", "1", "-accept", &accept][..], more].concat();
    let mut openssl = Openssl::start(&arguments, other, name);
    openssl.wait_for("ACCEPT");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    drive(own(Role::Client, config, other), &socket, &mut openssl, Instant::now())
}

/// The own side is the server.
fn with_client(config: Config, theirs: KeyAlgorithm, more: &[&str], name: &str) -> Outcome {
    let other = &certificates(theirs)[1];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let connect = socket.local_addr().unwrap().to_string();
    let own = own(Role::Server, config, other);
    let arguments = [&["s_client", "-dtls1_2", "-connect", &connect][..], more].concat();
    let mut openssl = Openssl::start(&arguments, other, name);
    drive(own, &socket, &mut openssl, Instant::now())
}

fn assert_connected(outcome: &Outcome, what: &str) {
    assert_eq!(outcome.events, [Event::Connected], "{what}");
    assert_eq!(outcome.heard, b"answer\n", "{what}");
}

#[test]
fn certificates_of_every_kind_connect_both_ways() {
    if !is_there() {
        return;
    }
    use KeyAlgorithm as K;
    for (ours, theirs) in [
        (K::EcdsaP256, K::EcdsaP256),
        (K::EcdsaP256, K::Rsa2048),
        (K::Rsa2048, K::EcdsaP256),
        (K::Rsa2048, K::Rsa2048),
        // OpenSSL has no Ed25519 in DTLS.
        (K::EcdsaP384, K::Rsa3072),
        (K::EcdsaP256, K::EcdsaP384),
    ] {
        let what = format!("{ours:?}-{theirs:?}");
        let outcome = with_server(config(ours), theirs, &[], &format!("server-{what}"));
        assert_connected(&outcome, &format!("as client, {what}"));
        assert!(outcome.own.negotiated().unwrap().extended_master_secret);
        let outcome = with_client(config(ours), theirs, &[], &format!("client-{what}"));
        assert_connected(&outcome, &format!("as server, {what}"));
    }
}

#[test]
fn every_cipher_suite_connects() {
    if !is_there() {
        return;
    }
    for suite in CipherSuite::ALL.into_iter().filter(|suite| suite.name().contains("WITH")) {
        let kind = if suite.name().contains("RSA") { KeyAlgorithm::Rsa2048 } else { KeyAlgorithm::EcdsaP256 };
        let mut config = config(kind);
        config.cipher_suites = vec![suite];
        let name = format!("suite-{}", suite.number());
        assert_connected(&with_server(config.clone(), kind, &[], &name), suite.name());
        assert_connected(&with_client(config, kind, &[], &(name + "-client")), suite.name());
    }
}

#[test]
fn small_datagrams_and_protocols_of_srtp_and_alpn_connect() {
    if !is_there() {
        return;
    }
    let mut config = config(KeyAlgorithm::Rsa2048);
    config.datagram_size = 508;
    config.alpn = vec![b"webrtc".to_vec()];
    let more = ["-mtu", "508", "-alpn", "webrtc", "-use_srtp", "SRTP_AEAD_AES_128_GCM"];
    let outcome = with_client(config.clone(), KeyAlgorithm::Rsa2048, &more, "small-client");
    assert_connected(&outcome, "as server");
    let negotiated = outcome.own.negotiated().unwrap();
    assert_eq!(negotiated.alpn.as_deref(), Some(&b"webrtc"[..]));
    assert!(outcome.own.srtp_keys().is_some());
    let outcome = with_server(config, KeyAlgorithm::Rsa2048, &more, "small-server");
    assert_connected(&outcome, "as client");
    assert_eq!(outcome.own.negotiated().unwrap(), negotiated);
}

#[test]
fn peers_without_extended_master_secret_connect() {
    if !is_there() {
        return;
    }
    let conf = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-ems.cnf");
    let text = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nOptions = -ExtendedMasterSecret\n";
    std::fs::write(&conf, text).unwrap();
    for role in [Role::Client, Role::Server] {
        let other = &certificates(KeyAlgorithm::EcdsaP256)[1];
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free_port();
        let address = match role {
            Role::Client => format!("127.0.0.1:{port}"),
            Role::Server => socket.local_addr().unwrap().to_string(),
        };
        let arguments: &[&str] = match role {
            Role::Client => &["s_server", "-dtls1_2", "-Verify", "1", "-accept", &address],
            Role::Server => &["s_client", "-dtls1_2", "-connect", &address],
        };
        let association = own(role, config(KeyAlgorithm::EcdsaP256), other);
        let mut openssl = Openssl::start_with(arguments, other, "no-ems", Some(&conf));
        if role == Role::Client {
            openssl.wait_for("ACCEPT");
            socket.connect(("127.0.0.1", port)).unwrap();
        }
        let outcome = drive(association, &socket, &mut openssl, Instant::now());
        assert_connected(&outcome, &format!("{role:?}"));
        assert!(!outcome.own.negotiated().unwrap().extended_master_secret);
    }
}

/// The lines that were written down.
#[derive(Debug, Default)]
struct Lines(std::sync::Mutex<Vec<String>>);

impl columba_dtls::KeyLog for Lines {
    fn log(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

#[test]
fn secrets_are_written_down_as_openssl_does() {
    if !is_there() {
        return;
    }
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("key.log");
    let _ = std::fs::remove_file(&file);
    let lines = Arc::new(Lines::default());
    let mut config = config(KeyAlgorithm::EcdsaP256);
    config.key_log = Some(lines.clone());
    let more = ["-keylogfile", file.to_str().unwrap()];
    assert_connected(&with_client(config, KeyAlgorithm::EcdsaP256, &more, "key-log"), "as server");
    let theirs = std::fs::read_to_string(&file).unwrap();
    let theirs: Vec<&str> = theirs.lines().filter(|line| line.starts_with("CLIENT_RANDOM")).collect();
    let ours = lines.0.lock().unwrap();
    assert_eq!(
        ours.iter().map(|line| line.to_lowercase()).collect::<Vec<_>>(),
        theirs.iter().map(|line| line.to_lowercase()).collect::<Vec<_>>()
    );
    assert_eq!(ours.len(), 1);
}

#[test]
fn refusals_are_named_at_once() {
    if !is_there() {
        return;
    }
    let begun = Instant::now();
    let outcome =
        with_server(config(KeyAlgorithm::EcdsaP256), KeyAlgorithm::EcdsaP256, &["-cipher", "PSK"], "refuse");
    let refused = columba_dtls::AlertDescription::HANDSHAKE_FAILURE;
    assert_eq!(outcome.events[0], Event::Alert(refused));
    assert_eq!(outcome.events.last(), Some(&Event::Failed(Error::PeerAlert(refused))));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let mut config = config(KeyAlgorithm::EcdsaP256);
    config.versions = Versions::Only12;
    let other = &certificates(KeyAlgorithm::EcdsaP384)[0];
    let wrong = Fingerprint::of(HashFunction::Sha512, other.der());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let accept = format!("127.0.0.1:{port}");
    let server = &certificates(KeyAlgorithm::EcdsaP256)[1];
    let arguments = ["s_server", "-dtls1_2", "-Verify", "1", "-accept", &accept];
    let mut openssl = Openssl::start(&arguments, server, "wrong");
    openssl.wait_for("ACCEPT");
    socket.connect(("127.0.0.1", port)).unwrap();
    let mut association = own(Role::Client, config, other);
    association.set_fingerprints(vec![wrong]);
    let outcome = drive(association, &socket, &mut openssl, Instant::now());
    assert_eq!(outcome.events, [Event::Failed(Error::FingerprintMismatch)]);
}
