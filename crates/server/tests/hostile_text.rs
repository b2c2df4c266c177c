//! Text of clients that looks like a line of the log, or moves a terminal's cursor, reaches neither
//! the log at its most talkative level nor the metrics.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use common::program;

/// A line break, a line of a log, and the escape sequence of red letters.
const FORGED: &str = "x\n2026-01-01T00:00:00.000000Z ERROR FORGED \u{1b}[31m\u{202e}\r\u{85}";

/// A frame of HTTP/2.
fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, 0][..], &stream.to_be_bytes(), payload].concat()
}

/// A masked frame of a WebSocket.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0][..], payload].concat()
}

/// Writes what a client says, and reads what the server says until it closes or is silent.
fn say(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(bytes).unwrap();
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
    let mut child = program()
        .args(["--listen", "127.0.0.1:0", "--stun-listen", "127.0.0.1:0", "--turn-secret", "north"])
        .args(["--log-level", "trace"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    while !seen.contains("ready") {
        seen.push_str(&lines.next().unwrap().unwrap());
        seen.push('\n');
    }
    let mut announced = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    while !announced.contains("http://") {
        assert!(output.read_line(&mut announced).unwrap() > 0, "{announced}");
    }
    let (_, url) = announced.split_once("http://").unwrap();
    let digits = url.split(':').nth(1).unwrap().chars().take_while(char::is_ascii_digit);
    let port: u16 = digits.collect::<String>().parse().unwrap();

    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let goaway = frame(7, 0, &[&[0; 8], FORGED.as_bytes()].concat());
    say(port, &[&preface[..], &frame(4, 0, &[]), &goaway].concat());
    for head in [
        format!("GET /{FORGED} HTTP/1.1\r\nhost: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: {FORGED}\r\nconnection: close\r\n\r\n"),
        format!("GET /?{} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {FORGED}\r\n\r\n", FORGED.escape_unicode()),
        format!("{FORGED} / HTTP/1.1\r\n\r\n"),
    ] {
        say(port, head.as_bytes());
    }
    let quoted = serde_json::Value::from(FORGED).to_string();
    for message in [
        format!(r#"{{"type":{quoted}}}"#),
        format!(r#"{{"type":"join","session":{quoted},"id":{quoted}}}"#),
        format!(r#"{{"type":"meet","id":{quoted}}}"#),
        format!(r#"{{"type":"create","key":{quoted},"instance":{quoted}}}"#),
    ] {
        let length = message.len();
        let head = format!(
            "POST /v1/signal HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        say(port, &[head.as_bytes(), message.as_bytes()].concat());
    }
    let upgrade = "GET /v1/signal HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   sec-websocket-protocol: columba.v1\r\n\r\n";
    let close = masked(8, &[&1000_u16.to_be_bytes(), FORGED.as_bytes()].concat());
    for bytes in [masked(1, FORGED.as_bytes()), masked(9, FORGED.as_bytes()), close] {
        assert!(say(port, &[upgrade.as_bytes(), &bytes].concat()).starts_with("HTTP/1.1 101"));
    }
    say(port, &allocate());
    let stun = seen.lines().chain(announced.lines()).find_map(|line| {
        let (_, rest) = line.split_once("stun:")?;
        rest.split(':').nth(1)?.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    });
    if let Some(stun) = stun {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", stun)).unwrap();
        socket.send(&allocate()).unwrap();
    }
    let metrics = say(port, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(metrics.contains("columba_") && !metrics.contains("FORGED"), "{metrics}");
    child.kill().unwrap();
    child.wait().unwrap();
    let log: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(log.iter().any(|line| line.contains("DEBUG") || line.contains("TRACE")), "it is talkative");
    for line in &log {
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00"), "a forged line: {line:?}");
    }
}
