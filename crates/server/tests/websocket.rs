//! The WebSocket transport, message by message.

mod common;

use std::io::Write as _;
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, receive, receive_close, send_text, text};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

const INSTANCE: &str = "abcdefghijklmnopqrstuv";

fn join(server: &Server, session: &str) -> (common::Socket, serde_json::Value) {
    let mut socket = server.websocket();
    send_text(&mut socket, &json!({"type": "join", "session": session}).to_string());
    let joined = receive(&mut socket);
    assert_eq!(joined["type"], "joined", "{joined}");
    (socket, joined)
}

#[test]
fn two_peers_find_each_other_and_talk() {
    let server = Server::start(&[]);
    let (mut a, joined_a) = join(&server, "meeting");
    assert_eq!(joined_a["peers"], json!([]));
    let servers = joined_a["iceServers"].as_array().unwrap();
    let port = server.stun_port("UDP");
    assert_eq!(servers[0]["urls"][0], format!("stun:a.test:{port}"));
    assert!(text(&servers[1]["urls"][0]).starts_with("turn:a.test:"), "{servers:?}");
    assert!(text(&servers[1]["username"]).contains(&format!(":{}.", text(&joined_a["peer"]))));

    let (mut b, joined_b) = join(&server, "meeting");
    assert_eq!(joined_b["peers"][0]["peer"], joined_a["peer"]);
    let event = receive(&mut a);
    assert_eq!(
        (&event["type"], &event["seq"], &event["peer"]),
        (&json!("peer-joined"), &json!(1), &joined_b["peer"])
    );

    let message = r#"{"type":"send","seq":1,"data":{"b":1.50,"a":"\u00e4"}}"#;
    send_text(&mut a, message);
    assert_eq!(receive(&mut a), json!({"type": "ack", "seq": 1}));
    let raw = loop {
        if let Message::Text(text) = b.read().unwrap() {
            break text;
        }
    };
    assert!(raw.contains(r#""data":{"b":1.50,"a":"\u00e4"}"#), "the bytes that were sent: {raw}");

    send_text(&mut a, r#"{"type":"leave"}"#);
    assert_eq!(receive_close(&mut a).0, 1000);
    let left = receive(&mut b);
    assert_eq!((&left["type"], &left["reason"]), (&json!("peer-left"), &json!("left")));
}

#[test]
fn a_broken_connection_is_resumed_without_loss() {
    let server = Server::start(&[]);
    let (mut a, _) = join(&server, "meeting");
    let (b, joined_b) = join(&server, "meeting");
    drop(b);
    receive(&mut a);
    send_text(&mut a, r#"{"type":"send","seq":1,"data":"while you were away"}"#);
    assert_eq!(receive(&mut a)["type"], "ack");
    let mut b = server.websocket();
    let resume = json!({"type": "resume", "peer": joined_b["peer"], "secret": joined_b["secret"], "seq": 0});
    send_text(&mut b, &resume.to_string());
    assert_eq!(receive(&mut b)["type"], "resumed");
    let event = receive(&mut b);
    assert_eq!((&event["seq"], &event["data"]), (&json!(1), &json!("while you were away")));

    // A second resume takes the membership over, and the first connection is closed.
    let mut c = server.websocket();
    send_text(&mut c, &resume.to_string());
    assert_eq!(receive(&mut c)["type"], "resumed");
    let (code, reason, last) = receive_close(&mut b);
    assert_eq!((code, reason.as_str()), (1008, "replaced"));
    assert_eq!(last.unwrap()["code"], "replaced");

    let mut d = server.websocket();
    let wrong = json!({"type": "resume", "peer": joined_b["peer"], "secret": INSTANCE, "seq": 0});
    send_text(&mut d, &wrong.to_string());
    assert_eq!(receive(&mut d)["code"], "wrong-secret");
}

#[test]
fn the_handshake_is_checked() {
    let server = Server::start(&["--allow-origin", "https://b.test"]);
    let refused = |headers: &[(&'static str, &str)]| match server.try_websocket(headers) {
        Err(Error::Http(answer)) => {
            let body: serde_json::Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
            (answer.status().as_u16(), text(&body["code"]).to_owned())
        }
        other => panic!("{other:?}"),
    };
    let protocol = ("sec-websocket-protocol", "columba.v1");
    assert_eq!(refused(&[]), (400, "subprotocol-required".to_owned()));
    assert_eq!(
        refused(&[("sec-websocket-protocol", "columba.v0")]),
        (400, "subprotocol-required".to_owned())
    );
    for origin in ["https://c.test", "http://a.test", "null", "http://a.test:99.evil.test"] {
        assert_eq!(
            refused(&[protocol, ("origin", origin)]),
            (403, "origin-not-allowed".to_owned()),
            "{origin}"
        );
    }
    for origin in ["http://a.test:99", "https://b.test"] {
        let (_, answer) = server.try_websocket(&[protocol, ("origin", origin)]).unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "columba.v1");
    }
}

#[test]
fn nonsense_is_answered_and_disturbs_no_client() {
    let server = Server::start(&["--message-size", "1KiB"]);
    let (mut bystander, _) = join(&server, "other");
    let (mut a, _) = join(&server, "meeting");
    for (message, code) in [
        ("{", "bad-json"),
        ("[]", "bad-json"),
        (r#"{"type":"dance"}"#, "unknown-type"),
        (r#"{"type":"send","seq":"x","data":1}"#, "bad-message"),
        (r#"{"type":"send","seq":2,"data":1}"#, "sequence-gap"),
        (r#"{"type":"send","seq":1,"to":"0123456789abcdef","data":1}"#, "no-such-peer"),
        (r#"{"type":"join","session":"x"}"#, "already-joined"),
    ] {
        send_text(&mut a, message);
        let mut answer = receive(&mut a);
        while answer["type"] == "ack" {
            answer = receive(&mut a);
        }
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{message}");
    }
    let big = json!({"type": "send", "seq": 2, "data": "x".repeat(1500)}).to_string();
    send_text(&mut a, &big);
    let mut answer = receive(&mut a);
    while answer["type"] == "ack" {
        answer = receive(&mut a);
    }
    assert_eq!((&answer["code"], &answer["fatal"]), (&json!("message-too-large"), &json!(false)));

    a.send(Message::binary(vec![0; 3])).unwrap();
    let (code, reason, last) = receive_close(&mut a);
    assert_eq!((code, reason.as_str()), (1003, "binary-frame"));
    assert_eq!(last.unwrap()["fatal"], true);

    send_text(&mut bystander, r#"{"type":"ping"}"#);
    assert_eq!(receive(&mut bystander)["type"], "pong");
}

#[test]
fn a_frame_too_large_to_be_read_ends_the_connection() {
    let server = Server::start(&["--message-size", "1KiB"]);
    let (mut a, _) = join(&server, "meeting");
    send_text(&mut a, &"x".repeat(3000));
    let (code, reason, last) = receive_close(&mut a);
    assert_eq!((code, reason.as_str()), (1009, "message-too-large"));
    assert_eq!(last.unwrap()["code"], "message-too-large");
}

#[test]
fn silent_client_is_removed() {
    let server = Server::start(&["--join-timeout", "2s", "--ping-interval", "200ms", "--idle-timeout", "1s"]);
    let mut silent = server.websocket();
    assert_eq!(receive_close(&mut silent).1, "join-timeout");
    let (mut idle, _) = join(&server, "meeting");
    // Reading would answer the ping frames, so the end must be decided when the reading begins.
    let decided = "columba_signal_errors_total{code=\"idle-timeout\"} 1\n";
    let deadline = Instant::now() + PATIENCE;
    while !server.request("GET /metrics\nhost: localhost", "").body.contains(decided) {
        assert!(Instant::now() < deadline, "the silent client is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_, reason, last) = receive_close(&mut idle);
    assert_eq!(reason, "idle-timeout");
    assert_eq!(last.unwrap()["code"], "idle-timeout");
}

#[test]
fn slow_reader_is_removed_and_the_others_are_notified() {
    let server = Server::start(&[
        "--message-size",
        "64KiB",
        "--peer-buffer",
        "1MiB",
        "--message-burst",
        "1000000",
        "--messages-per-second",
        "1000000",
    ]);
    let (mut fast, _) = join(&server, "meeting");
    let (slow, _) = join(&server, "meeting");
    receive(&mut fast);
    let data = "x".repeat(60_000);
    let reason = (1..2000).find_map(|seq| {
        send_text(&mut fast, &json!({"type": "send", "seq": seq, "data": data}).to_string());
        let received = receive(&mut fast);
        (received["type"] == "peer-left").then(|| received["reason"].clone())
    });
    assert_eq!(reason, Some(json!("too-slow")));
    drop(slow);
}

/// A client that asks much at once, and reads afterwards, is answered and not put out: what it asks
/// is read no faster than the answers leave.
#[test]
fn many_questions_at_once_are_all_answered() {
    const COUNT: usize = 3000;
    const PING: &[u8] = br#"{"type":"ping"}"#;
    let server = Server::start(&["--messages-per-second", "100000", "--message-burst", "100000"]);
    let mut socket = server.websocket();
    send_text(&mut socket, r#"{"type":"create"}"#);
    assert_eq!(receive(&mut socket)["type"], "joined");
    let frame = [&[0x81, 0x80 | PING.len() as u8, 0, 0, 0, 0][..], PING].concat();
    socket.get_mut().write_all(&frame.repeat(COUNT)).expect("the questions are taken");
    for at in 0..COUNT {
        assert_eq!(receive(&mut socket)["type"], "pong", "answer {at}");
    }
}
