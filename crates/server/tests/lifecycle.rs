//! Starting, reloading and stopping; TLS; TURN on the web port.

mod common;

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use common::{Answer, Events, Folder, PATIENCE, Server, program, receive, receive_close, send_text};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};

/// The server gives those who are still there 5 s.
const LESS_THAN_A_DRAIN: Duration = Duration::from_secs(4);

/// A STUN Binding request (RFC 8489 §5) without attributes.
const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// A success response to it.
fn is_binding_success(answer: &[u8]) -> bool {
    answer.len() > 20 && answer[..2] == [1, 1] && answer[8..20] == BINDING[8..]
}

type TlsStream = StreamOwned<ClientConnection, std::net::TcpStream>;

/// Connects as a client that trusts this certificate alone.
fn tls(server: &Server, trusted: &str, alpn: &[&str]) -> Result<TlsStream, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut socket = server.connect();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(|error| {
            error
                .get_ref()
                .and_then(|e| e.downcast_ref::<rustls::Error>())
                .cloned()
                .unwrap_or_else(|| panic!("{error}"))
        })?;
    }
    Ok(StreamOwned::new(connection, socket))
}

fn health(server: &Server, trusted: &str) -> u16 {
    let mut stream = tls(server, trusted, &["http/1.1"]).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    Answer::read(stream).status
}

fn self_signed(folder: &Folder) -> Command {
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--stun-listen", "off", "--turns-listen", "127.0.0.1:0"]);
    command.args(["--tls", "self-signed", "--state-dir"]).arg(folder.path().join("state"));
    command
}

#[test]
fn sigterm_notifies_all_clients_and_ends_in_time() {
    let mut server = Server::start(&[]);
    let mut socket = server.websocket();
    send_text(&mut socket, r#"{"type":"join","session":"meeting"}"#);
    assert_eq!(receive(&mut socket)["type"], "joined");
    let (_, bearer) = server.join(r#"{"type":"create"}"#);
    let mut events = Events::open(&server, &bearer);

    server.signal(Signal::TERM);
    let mut received = receive(&mut socket);
    while received["type"] != "going-away" {
        received = receive(&mut socket);
    }
    assert!(received["after"].as_u64().is_some_and(|after| after <= 5000), "{received}");
    let health = server.request("GET /healthz", "");
    assert_eq!((health.status, health.body.as_str()), (503, "draining\n"));
    let late = server.request("POST /v1/signal", r#"{"type":"create"}"#);
    assert_eq!((late.status, &late.json()["code"]), (503, &json!("draining")));
    assert!(late.header("retry-after").parse::<u64>().is_ok());
    // Present clients can still talk.
    send_text(&mut socket, r#"{"type":"ping"}"#);
    assert_eq!(receive(&mut socket)["type"], "pong");

    let told = std::iter::from_fn(|| events.next()).find(|(_, event)| event["type"] == "going-away");
    assert!(told.is_some());
    assert!(events.next().is_none(), "the stream ends");
    assert_eq!(receive_close(&mut socket).0, 1001);
    assert_eq!(server.exit_within(PATIENCE), Some(0));
}

#[test]
fn a_poll_is_ended_too_and_an_idle_server_is_gone_at_once() {
    let mut server = Server::start(&[]);
    let (_, bearer) = server.join(r#"{"type":"create"}"#);
    let mut stream = server.connect();
    write!(
        stream,
        "GET /v1/signal/events?wait=30 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{bearer}\r\n\r\n"
    )
    .unwrap();
    // The poll is there when the metrics send_text so.
    while !server.request("GET /metrics\nhost: localhost", "").body.contains("columba_signal_connections 1\n")
    {
    }
    server.signal(Signal::INT);
    let answer = Answer::read(stream);
    assert_eq!(answer.json()[0]["type"], "going-away");
    assert_eq!(server.exit_within(PATIENCE), Some(0));

    let mut idle = Server::start(&[]);
    idle.signal(Signal::TERM);
    assert_eq!(idle.exit_within(LESS_THAN_A_DRAIN), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::start(&[]);
    let mut socket = server.websocket();
    send_text(&mut socket, r#"{"type":"create"}"#);
    assert_eq!(receive(&mut socket)["type"], "joined");
    server.signal(Signal::TERM);
    assert_eq!(receive(&mut socket)["type"], "going-away");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_within(LESS_THAN_A_DRAIN), Some(0));
}

#[test]
fn the_self_signed_certificate_survives_a_restart() {
    let folder = Folder::new();
    let mut server = Server::spawn(&mut self_signed(&folder));
    server.wait_for("fingerprint");
    server.wait_for(":");
    let fingerprint = |server: &Server| server.output.lines().last().unwrap().trim().to_owned();
    let first = fingerprint(&server);
    assert_eq!(first.len(), 32 * 3 - 1, "{first}");
    assert!(server.output.contains("https://localhost:"), "{}", server.output);
    let state = folder.path().join("state");
    let mode = std::fs::metadata(state.join("self-signed.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let trusted = std::fs::read_to_string(state.join("self-signed.crt")).unwrap();
    assert_eq!(health(&server, &trusted), 200);
    let mut stream = tls(&server, &trusted, &["http/1.1"]).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").unwrap();
    let page = Answer::read(stream);
    assert_eq!((page.status, page.header("strict-transport-security")), (200, ""));
    drop(server);

    let mut again = Server::spawn(&mut self_signed(&folder));
    again.wait_for("fingerprint");
    again.wait_for(":");
    assert_eq!(fingerprint(&again), first);
    assert_eq!(health(&again, &trusted), 200);
}

#[test]
fn without_a_state_directory_the_certificate_is_for_this_run() {
    let folder = Folder::new();
    let file = folder.file("no-folder", "");
    let mut server = Server::spawn(program().args([
        "--listen",
        "127.0.0.1:0",
        "--stun-listen",
        "off",
        "--turns-listen",
        "off",
        "--tls",
        "self-signed",
        "--state-dir",
        &file,
    ]));
    server.wait_for("Warning:");
    assert!(server.output.contains("--state-dir"), "{}", server.output);
}

#[test]
fn plain_http_on_the_tls_port_is_redirected() {
    let folder = Folder::new();
    let server = Server::spawn(&mut self_signed(&folder));
    let answer = server.request("GET /x?y=1\nhost: a.test:8443", "");
    assert_eq!((answer.status, answer.header("location")), (308, "https://a.test:8443/x?y=1"));
}

#[test]
fn a_new_certificate_is_read_on_sighup() {
    let folder = Folder::new();
    let make = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert =
            rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    };
    let (first, key) = make();
    let (cert_file, key_file) = (folder.file("a.crt", &first), folder.file("a.key", &key));
    let mut server = Server::spawn(program().args([
        "--listen",
        "127.0.0.1:0",
        "--stun-listen",
        "off",
        "--tls-cert",
        &cert_file,
        "--tls-key",
        &key_file,
        "--turns-listen",
        "127.0.0.1:0",
    ]));
    assert_eq!(health(&server, &first), 200);
    let mut stream = tls(&server, &first, &["http/1.1"]).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").unwrap();
    assert!(Answer::read(stream).header("strict-transport-security").starts_with("max-age="));

    // A broken file changes nothing.
    folder.file("a.crt", "");
    server.signal(Signal::HUP);
    server.wait_for("The certificate in use stays");
    assert_eq!(health(&server, &first), 200);
    let (second, key) = make();
    folder.file("a.crt", &second);
    folder.file("a.key", &key);
    server.signal(Signal::HUP);
    server.wait_for("has been read again");
    assert_eq!(health(&server, &second), 200);
    assert!(tls(&server, &first, &[]).is_err(), "the old one is gone");
}

#[test]
fn the_join_key_is_read_again_on_sighup() {
    let folder = Folder::new();
    let file = folder.file("key", "first\n");
    let mut server = Server::start(&["--join-key-file", &file]);
    let enter = |server: &Server, key: &str| {
        let body = json!({"type": "create", "key": key}).to_string();
        server.request("POST /v1/signal", &body).status
    };
    assert_eq!((enter(&server, "first"), enter(&server, "second")), (201, 403));
    let (_, bearer) = server.join(r#"{"type":"create","key":"first"}"#);
    // A broken file changes nothing.
    folder.file("key", "");
    server.signal(Signal::HUP);
    server.wait_for("The key in use stays");
    assert_eq!(enter(&server, "first"), 201);
    folder.file("key", "second");
    server.signal(Signal::HUP);
    server.wait_for("the join key has been read again");
    assert_eq!((enter(&server, "first"), enter(&server, "second")), (403, 201));
    let poll = format!("GET /v1/signal/events?after=0&wait=0\n{bearer}");
    assert_eq!(server.request(&poll, "").status, 200, "a member stays");
}

#[test]
fn the_web_port_serves_stun_too() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(&BINDING).unwrap();
    let mut answer = [0; 32];
    stream.read_exact(&mut answer).unwrap();
    assert!(is_binding_success(&answer), "{answer:?}");
    assert_eq!(server.request("GET /healthz", "").status, 200);

    let folder = Folder::new();
    let server = Server::spawn(&mut self_signed(&folder));
    let trusted = std::fs::read_to_string(folder.path().join("state/self-signed.crt")).unwrap();
    for alpn in [&[][..], &["stun.turn"]] {
        let mut stream = tls(&server, &trusted, alpn).unwrap();
        stream.write_all(&BINDING).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert!(is_binding_success(&answer), "{answer:?}");
    }
}

#[test]
fn stun_is_served_over_udp_and_can_be_switched_off() {
    let server = Server::start(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&BINDING, ("127.0.0.1", server.stun_port("UDP"))).unwrap();
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer).unwrap();
    assert!(is_binding_success(&answer[..length]));

    let off = Server::spawn(program().args(["--listen", "127.0.0.1:0", "--stun-listen", "off"]));
    let (joined, _) = off.join(r#"{"type":"create"}"#);
    assert_eq!(joined["iceServers"], json!([]));
    let mut stream = off.connect();
    stream.write_all(&BINDING).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
}

#[test]
fn log_is_machine_readable_and_names_no_client() {
    let mut child = program()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--stun-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--log-level",
            "trace",
        ])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let mut url = String::new();
    loop {
        let line = next();
        if let Some(found) = line["url"].as_str() {
            url = found.to_owned();
        }
        if line["message"] == "ready" {
            break;
        }
    }
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let body = r#"{"type":"join","session":"token-not-to-be-seen"}"#;
    for head in ["POST /v1/signal", "GET /v1/signal/events?access_token=hush.hush", "GET /hush"] {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        assert!(Answer::read(stream).status >= 201);
    }
    let mut request = format!("ws://127.0.0.1:{port}/v1/signal").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "columba.v1".parse().unwrap());
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    send_text(&mut socket, body);
    assert_eq!(receive(&mut socket)["type"], "joined");
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        assert!(!["not-to-be-seen", "hush", "127.0.0.1"].iter().any(|word| line.contains(word)), "{line}");
    }
}
