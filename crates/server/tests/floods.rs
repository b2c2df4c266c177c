//! Clients that send as much as they can, or open as much as they can.

mod common;

use std::io::Write as _;
use std::time::{Duration, Instant};

use common::{Server, Socket, receive, receive_close, send_text};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A server whose rates are soon used up: 320 units of effort a second, 6400 at once.
fn strict() -> Server {
    Server::start(&["--messages-per-second", "10", "--message-burst", "200"])
}

fn join(server: &Server) -> Socket {
    let mut socket = server.websocket();
    send_text(&mut socket, r#"{"type":"join","session":"flood"}"#);
    assert_eq!(receive(&mut socket)["type"], "joined");
    socket
}

/// Writes frames as fast as the server takes them, up to its close.
fn flood(mut socket: Socket, message: &Message) -> (u64, (u16, String, Option<serde_json::Value>)) {
    let mut reader = tungstenite_reader(&socket);
    let closing = std::thread::spawn(move || receive_close(&mut reader));
    let mut sent = 0;
    while !closing.is_finished() && socket.send(message.clone()).is_ok() {
        sent += 1;
    }
    (sent, closing.join().expect("a close frame comes"))
}

/// Reads the same connection from another thread.
fn tungstenite_reader(socket: &Socket) -> Socket {
    let stream = socket.get_ref().try_clone().expect("a socket can be shared");
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    Socket::from_raw_socket(stream, role, None)
}

#[test]
fn floods_of_every_kind_are_held_back_and_closed() {
    let server = strict();
    let mut bystander = join(&server);
    let long = format!("{}{}", r#"{"type":"pong"}"#, " ".repeat(10_000));
    let kinds = [
        Message::text(r#"{"type":"ack","seq":0}"#),
        Message::text(r#"{"type":"pong"}"#),
        Message::text(long),
        Message::Ping(Default::default()),
    ];
    std::thread::scope(|scope| {
        let floods: Vec<_> = kinds
            .iter()
            .map(|message| {
                let socket = join(&server);
                scope.spawn(move || flood(socket, message))
            })
            .collect();
        while floods.iter().any(|flood| !flood.is_finished()) {
            // Three pings a second are within the rate of ten messages, and all are answered.
            send_text(&mut bystander, r#"{"type":"ping"}"#);
            while receive(&mut bystander)["type"] != "pong" {}
            std::thread::sleep(Duration::from_millis(300));
        }
        for flood in floods {
            let (sent, (code, reason, last)) = flood.join().expect("the flood ends");
            assert_eq!((code, reason.as_str()), (1008, "rate-limited"), "after {sent} frames: {last:?}");
        }
    });
}

#[test]
fn polls_and_requests_count_against_a_rate() {
    // 64 requests at once, and three a second.
    let server = Server::start(&["--messages-per-second", "1", "--message-burst", "20"]);
    let (_, bearer) = server.join(r#"{"type":"create"}"#);
    let poll = format!("GET /v1/signal/events?after=0&wait=0\n{bearer}");
    let statuses: Vec<u16> =
        (0..200).map(|_| server.request(&poll, "").status).take_while(|s| *s != 429).collect();
    assert!(statuses.len() < 200, "200 polls at once were answered");
    assert!(statuses.len() >= 60 && statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let refused = server.request(&poll, "");
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate-limited")));
    assert_ne!(refused.header("retry-after"), "");
}

#[test]
fn clients_behind_a_trusted_proxy_have_the_limit_of_a_client() {
    let server = Server::start(&["--trust-proxy", "127.0.0.0/8", "--max-connections-per-client", "4"]);
    let open = |client: &str| {
        let headers = [("sec-websocket-protocol", "columba.v1"), ("x-forwarded-for", client)];
        server.try_websocket(&headers)
    };
    let mut sockets: Vec<Socket> = (0..4).map(|_| open("192.0.2.1").expect("there is room").0).collect();
    match open("192.0.2.1") {
        Err(Error::Http(answer)) => {
            assert_eq!(answer.status().as_u16(), 429);
            assert_eq!(answer.headers()["retry-after"], "31");
        }
        other => panic!("{other:?}"),
    }
    assert!(open("192.0.2.2").is_ok(), "another client of the same proxy");
    let healthy = server.request("GET /healthz", "");
    assert_eq!(healthy.status, 200, "the proxy itself has no limit");
    drop(sockets.pop());
    let deadline = Instant::now() + common::PATIENCE;
    while open("192.0.2.1").is_err() {
        assert!(Instant::now() < deadline, "the place was not given back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn messages_are_read_in_any_parts() {
    let server = Server::start(&[]);
    let (mut one, mut two) = (join(&server), join(&server));
    assert_eq!(receive(&mut one)["type"], "peer-joined");
    let data = "ä".repeat(50_000);
    let message = json!({"type": "send", "seq": 1, "data": data}).to_string();
    // The longest form of a length, zero as the mask, and one write for each part.
    let stream = two.get_mut();
    let (first, rest) = message.as_bytes().split_at(1001);
    for (opcode, part) in [(0x01, first), (0x80, rest)] {
        let head = [&[opcode, 0xff][..], &(part.len() as u64).to_be_bytes(), &[0; 4]].concat();
        for byte in head {
            stream.write_all(&[byte]).expect("a byte is taken");
        }
        for piece in part.chunks(10_007) {
            stream.write_all(piece).expect("a piece is taken");
        }
        // An empty ping between the parts.
        stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).expect("a ping is taken");
    }
    assert_eq!(receive(&mut one)["data"], data.as_str());
}
