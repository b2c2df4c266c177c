//! Attacks that make the server hold memory.

use std::io::Write as _;
use std::time::Duration;

use super::{Attack, Promise, Report, Watched, attacker};
use crate::arena::Server;
use crate::wire::h2;
use crate::wire::http::{join, request};
use crate::wire::websocket::WebSocket;

/// The time for which an attacker holds what it has opened.
const HOLD: Duration = Duration::from_secs(4);

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "polls",
        options: &[],
        bystander: Watched::Member,
        run: polls,
        promise: Promise::SERVED,
        is_short: true,
    },
    Attack {
        name: "bodies",
        options: &[],
        bystander: Watched::Member,
        run: bodies,
        promise: Promise::SERVED,
        is_short: true,
    },
    Attack {
        name: "websockets",
        options: &[],
        bystander: Watched::Member,
        run: websockets,
        promise: Promise::SERVED,
        is_short: false,
    },
    Attack {
        name: "slow-readers",
        options: &[],
        bystander: Watched::Member,
        run: slow_readers,
        promise: Promise::SERVED,
        is_short: true,
    },
];

/// One member's backlog of 3 MB is polled on 60 connections with 32 streams each, whose windows are
/// closed: the answers cannot leave.
fn polls(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let source = attacker(11, 1);
    let session = r#"{"type":"join","session":"backlog-of-an-attacker"}"#;
    let fail = |error: std::io::Error| format!("the backlog cannot be made: {error}");
    let (_, sender) = join(source, server.web(), session).map_err(fail)?;
    let (_, receiver) = join(source, server.web(), session).map_err(fail)?;
    let data = "y".repeat(250_000);
    for seq in 1..=12 {
        let message = format!(r#"{{"type":"send","seq":{seq},"data":"{data}"}}"#);
        let bearer = format!("Authorization: Bearer {sender}\r\n");
        let _ = request(source, server.web(), "POST /v1/signal/messages", &bearer, &message);
    }
    let bearer = format!("Bearer {receiver}");
    let path = "/v1/signal/events?after=0&wait=0";
    let block = h2::request("GET", path, server.web(), &[("authorization", &bearer)]);
    let mut open = Vec::new();
    for _ in 0..60 {
        // Refused connections are a good answer too.
        let Ok(mut stream) = h2::connect(source, server.web(), 0) else { continue };
        let requests: Vec<u8> = (0..32u32)
            .flat_map(|n| h2::frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1 + 2 * n, &block))
            .collect();
        report.bytes_in += requests.len() as u64;
        let _ = stream.write_all(&requests);
        open.push(stream);
    }
    std::thread::sleep(HOLD);
    report.note = format!("{} connections with 32 polls", open.len());
    Ok(report)
}

/// 256 connections of one address begin 32 requests each, send a megabyte of each body, and never
/// end.
fn bodies(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let block = h2::request("POST", "/v1/signal", server.web(), &[]);
    let chunk = vec![b'x'; 16_000];
    let mut open = Vec::new();
    for _ in 0..256 {
        let Ok(mut stream) = h2::connect(attacker(12, 1), server.web(), 65_535) else { continue };
        let _ = stream.set_write_timeout(Some(Duration::from_millis(50)));
        for n in 0..32u32 {
            let id = 1 + 2 * n;
            let mut bytes = h2::frame(h2::HEADERS, h2::END_HEADERS, id, &block);
            for _ in 0..4 {
                bytes.extend(h2::frame(h2::DATA, 0, id, &chunk));
            }
            if stream.write_all(&bytes).is_err() {
                break;
            }
            report.bytes_in += bytes.len() as u64;
        }
        open.push(stream);
    }
    std::thread::sleep(HOLD);
    report.note = format!("{} connections", open.len());
    Ok(report)
}

/// As many idle members as the server takes connections.
fn websockets(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let before = server.resident();
    let mut open = Vec::new();
    'networks: for network in 0..50u16 {
        for _ in 0..200 {
            let source = attacker(1000 + network, 1);
            let Ok(mut socket) = WebSocket::open(source, server.web()) else { break 'networks };
            if socket.ask(r#"{"type":"create"}"#).is_err() {
                break;
            }
            open.push(socket);
        }
    }
    let each = server.resident().saturating_sub(before) / open.len().max(1) as u64;
    report.note = format!("{} members, {:.1} kB each", open.len(), each as f64 / 1e3);
    Ok(report)
}

/// Forty members that do not read are sent 3.6 MB each.
fn slow_readers(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let data = "y".repeat(200_000);
    let mut open = Vec::new();
    for n in 0..40u16 {
        let enter = format!(r#"{{"type":"join","session":"slow-{n}-of-an-attacker"}}"#);
        let fail = |error: std::io::Error| format!("the members cannot join: {error}");
        let mut slow = WebSocket::open(attacker(13, 1), server.web()).map_err(fail)?;
        slow.ask(&enter).map_err(fail)?;
        let mut fast = WebSocket::open(attacker(13, 2), server.web()).map_err(fail)?;
        fast.ask(&enter).map_err(fail)?;
        fast.stream.set_write_timeout(Some(Duration::from_millis(200))).map_err(fail)?;
        open.push((slow, fast));
    }
    for seq in 1..=18 {
        for (_, fast) in &mut open {
            let message = format!(r#"{{"type":"send","seq":{seq},"data":"{data}"}}"#);
            if fast.send(&message).is_ok() {
                report.bytes_in += message.len() as u64;
            }
        }
    }
    let joins = join(attacker(14, 1), server.web(), r#"{"type":"create"}"#).is_ok();
    report.promise(joins, "another client cannot join");
    report.note = format!("{} put out", server.metric("columba_signal_put_out_slow_total"));
    Ok(report)
}
