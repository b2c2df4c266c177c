//! Text of clients that looks like a line of the log, or moves a terminal's cursor, reaches neither
//! the log at its most talkative level nor the metrics.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use common::Server;
use rustix::process::Signal;

/// A line break, a line of a log, and the escape sequence of red letters.
const FORGED: &str = "x\n2026-01-01T00:00:00.000000Z ERROR FORGED \u{1b}[31m\u{202e}\r\u{85}";

/// A frame of HTTP/2.
fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, 0][..], &stream.to_be_bytes(), payload].concat()
}

/// A masked frame of a WebSocket.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    assert!(length < 126, "a short payload");
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0][..], payload].concat()
}

/// Writes what a client says, and reads what the server says until it closes or is silent.
fn say(server: &Server, bytes: &[u8]) -> String {
    let mut stream: TcpStream = server.connect();
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
    stream.write_all(bytes).expect("the bytes are taken");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// An Allocate request whose user and software are the forged line.
fn allocate() -> Vec<u8> {
    let text = FORGED.as_bytes();
    let mut attributes = Vec::new();
    for kind in [0x0006_u16, 0x8022, 0x0014, 0x0015] {
        attributes.extend(kind.to_be_bytes());
        attributes.extend((text.len() as u16).to_be_bytes());
        attributes.extend(text);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    let length = (attributes.len() as u16).to_be_bytes();
    [&[0, 3][..], &length, &[0x21, 0x12, 0xa4, 0x42], &[7; 12], &attributes].concat()
}

#[test]
fn text_of_clients_forges_nothing_in_log_and_metrics() {
    let mut server = Server::start(&["--turn-secret", "north", "--log-level", "trace"]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let goaway = frame(7, 0, &[&[0; 8], FORGED.as_bytes()].concat());
    say(&server, &[&preface[..], &frame(4, 0, &[]), &goaway].concat());
    for head in [
        format!("GET /{FORGED} HTTP/1.1\r\nhost: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: {FORGED}\r\nconnection: close\r\n\r\n"),
        format!("GET /?{} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {FORGED}\r\n\r\n", FORGED.escape_unicode()),
        format!("{FORGED} / HTTP/1.1\r\n\r\n"),
    ] {
        say(&server, head.as_bytes());
    }
    let quoted = serde_json::Value::from(FORGED).to_string();
    for message in [
        format!(r#"{{"type":{quoted}}}"#),
        format!(r#"{{"type":"join","session":{quoted},"id":{quoted}}}"#),
        format!(r#"{{"type":"meet","id":{quoted}}}"#),
        format!(r#"{{"type":"create","key":{quoted},"instance":{quoted}}}"#),
    ] {
        server.request("POST /v1/signal", &message);
    }
    let upgrade = "GET /v1/signal HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   sec-websocket-protocol: columba.v1\r\n\r\n";
    let close = masked(8, &[&1000_u16.to_be_bytes(), FORGED.as_bytes()].concat());
    for bytes in [masked(1, FORGED.as_bytes()), masked(9, FORGED.as_bytes()), close] {
        let answer = say(&server, &[upgrade.as_bytes(), &bytes].concat());
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    }
    say(&server, &allocate());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(("127.0.0.1", server.stun_port("UDP"))).expect("an address");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    socket.send(&allocate()).expect("it is sent");
    let mut answer = [0; 1500];
    socket.recv(&mut answer).expect("an answer comes");

    let metrics = say(&server, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(metrics.contains("columba_") && !metrics.contains("FORGED"), "{metrics}");
    server.signal(Signal::TERM);
    let log = server.rest_of_output();
    assert!(log.iter().any(|line| line.contains("DEBUG") || line.contains("TRACE")), "it is talkative");
    for line in &log {
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00"), "a forged line: {line:?}");
    }
}
