//! Attacks that make the server hold memory.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::streams::is_open;
use super::{Attack, Report, attacker};
use crate::arena::Server;
use crate::wire::h2;
use crate::wire::http::{connect_from, join, request};
use crate::wire::websocket::WebSocket;

/// The time for which an attacker holds what it has opened.
const HOLD: Duration = Duration::from_secs(4);

/// The bytes that an idle member costs at most.
const IDLE_MEMBER: u64 = 4700;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("polls", polls).short(),
    Attack::new("bodies", bodies).short(),
    Attack::new("websockets", |server| websockets(server, IDLE_MEMBER)),
    Attack::new("slow-readers", slow_readers).short(),
    Attack::new("never-read", never_read).short(),
    Attack::new("pipelined", pipelined),
];

/// One member's backlog of 3 MB is polled on 60 connections with 32 streams each, whose windows are
/// closed: the answers cannot leave.
pub(super) fn polls(server: &Server<'_>) -> Result<Report, String> {
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
pub(super) fn bodies(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let block = h2::request("POST", "/v1/signal", server.web(), &[]);
    let chunk = vec![b'x'; 16_000];
    let mut open = Vec::new();
    for _ in 0..256 {
        let Ok(mut stream) = h2::connect(attacker(12, 1), server.web(), 65_535) else { continue };
        let _ = stream.tcp().set_write_timeout(Some(Duration::from_millis(50)));
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
pub(super) fn websockets(server: &Server<'_>, most: u64) -> Result<Report, String> {
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
    report.promise(each <= most, format!("an idle member costs {each} bytes"));
    Ok(report)
}

/// Forty members that do not read are sent 3.6 MB each.
pub(super) fn slow_readers(server: &Server<'_>) -> Result<Report, String> {
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
        fast.stream.tcp().set_write_timeout(Some(Duration::from_millis(200))).map_err(fail)?;
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

/// Clients of many networks wait by long polls, and send on meanwhile: what the server leaves
/// unread waits in the kernel. Clients who only wait are not disturbed.
fn pipelined(server: &Server<'_>) -> Result<Report, String> {
    const HONEST: u16 = 40;
    let mut report = Report::default();
    let fail = |error: std::io::Error| format!("a client cannot poll: {error}");
    let poll = |source: IpAddr| {
        let (_, bearer) = join(source, server.web(), r#"{"type":"create"}"#)?;
        let mut stream = connect_from(source, server.web().address)?;
        write!(
            stream,
            "GET /v1/signal/events?wait=30 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {bearer}\r\n\r\n",
            server.web()
        )?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut honest = Vec::new();
    for n in 0..HONEST {
        honest.push(poll(attacker(1900 + n, 1)).map_err(fail)?);
    }
    let (mut open, junk) = (Vec::new(), vec![b'j'; 200_000]);
    for n in 0..2400u16 {
        let Ok(mut stream) = poll(attacker(2100 + n / 8, 1 + (n % 8) as u8)) else { continue };
        report.bytes_in += stream.write(&junk).unwrap_or_default() as u64;
        open.push(stream);
    }
    std::thread::sleep(HOLD);
    for stream in &mut open {
        report.bytes_in += stream.write(&junk).unwrap_or_default() as u64;
    }
    std::thread::sleep(HOLD);
    let opened = open.len();
    open.retain_mut(is_open);
    honest.retain_mut(is_open);
    report.note = format!("{} of {opened} that send on are left, {} who wait", open.len(), honest.len());
    report.promise(honest.len() == usize::from(HONEST), "clients who only wait were put out");
    Ok(report)
}

/// Members of many networks that never read and never acknowledge are sent as much as is kept for
/// each: what the kernel has taken of it is memory, too.
fn never_read(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let fail = |error: std::io::Error| format!("the members cannot join: {error}");
    let data = "n".repeat(200_000);
    let mut open = Vec::new();
    let mut put_in = 0u64;
    for n in 0..160u16 {
        let enter = format!(r#"{{"type":"join","session":"never-{n}-of-an-attacker"}}"#);
        let mut sender = WebSocket::open(attacker(1500 + n, 1), server.web()).map_err(fail)?;
        sender.ask(&enter).map_err(fail)?;
        for host in 0..4 {
            let mut member = WebSocket::open(attacker(1700 + n, host + 1), server.web()).map_err(fail)?;
            member.ask(&enter).map_err(fail)?;
            open.push(member);
        }
        sender.stream.tcp().set_write_timeout(Some(Duration::from_millis(100))).map_err(fail)?;
        for seq in 1..=8 {
            let message = format!(r#"{{"type":"send","seq":{seq},"data":"{data}"}}"#);
            if sender.send(&message).is_ok() {
                put_in += message.len() as u64;
            }
        }
        open.push(sender);
    }
    report.bytes_in = put_in;
    std::thread::sleep(HOLD);
    let metrics = server.metrics().map_err(|error| format!("the metrics do not come: {error}"))?;
    let held = metrics.iter().filter(|(name, _)| name.starts_with("columba_memory_held_bytes"));
    let held: f64 = held.map(|(_, bytes)| bytes).sum();
    report.note = format!("{} members, {:.0} MB in the budget", open.len(), held / 1e6);
    report.promise(held > 0.0, "what is held is not in the budget");
    Ok(report)
}
