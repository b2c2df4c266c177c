//! Attacks over TLS: those on memory again, and on the handshake.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::floods::{FLOOD, FLOW};
use super::memory::{bodies, polls, slow_readers, websockets};
use super::streams::{closed_by_the_server, slowloris};
use super::{Attack, Report, Watched, attacker};
use crate::arena::Server;
use crate::wire::http::connect_from;
use crate::wire::transport::Transport;

const TLS: &[&str] = &["--tls", "self-signed"];

/// The bytes that an idle member costs at most over TLS.
const IDLE_MEMBER: u64 = 20_000;

/// The connections that stop in the middle of a handshake.
const STALLED: u16 = 2000;

/// The connections that send records of one byte.
const CRUMBLING: u16 = 400;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("polls-tls", polls).with(TLS),
    Attack::new("bodies-tls", bodies).with(TLS),
    Attack::new("websockets-tls", |server| websockets(server, IDLE_MEMBER)).with(TLS),
    Attack::new("slow-readers-tls", slow_readers).with(TLS),
    Attack::new("stalled-handshakes", stalled_handshakes).with(TLS),
    Attack::new("slowloris-tls", |server| slowloris(server.web().address, hello_bytes)).with(TLS),
    Attack::new("crumbs-hello", crumbs_of_a_hello).with(TLS),
    Attack::new("crumbs-head", crumbs_of_a_head).with(TLS),
    Attack::new("handshakes", handshakes).with(TLS).beside(Watched::Flow, FLOW),
];

/// Connections that begin a handshake and say no more: with one byte, with the head of a record, or
/// with half of a hello.
fn stalled_handshakes(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 200]].concat();
    let mut open: Vec<TcpStream> = Vec::new();
    for n in 0..STALLED {
        let Ok(mut stream) = connect_from(attacker(6000 + n % 100, 1), server.web().address) else {
            continue;
        };
        let part = [1, 5, hello.len()][usize::from(n % 3)];
        if stream.write_all(&hello[..part]).is_ok() {
            open.push(stream);
        }
    }
    report.note = format!("{} connections", open.len());
    let left = closed_by_the_server(server, &mut open);
    report.promise(left == 0, format!("{left} connections that said nothing more are still open"));
    Ok(report)
}

/// The byte of a hello of 16 MB, of which each record holds one byte.
fn hello_bytes(at: usize) -> u8 {
    const HEAD: [u8; 5] = [0x16, 3, 1, 0, 1];
    const HELLO: [u8; 6] = [1, 0xff, 0xff, 0xff, 3, 3];
    match (at / 6, at % 6) {
        (_, place @ 0..5) => HEAD[place],
        (number, _) => HELLO.get(number).copied().unwrap_or(7),
    }
}

/// Connections that send such a hello as fast as they can.
fn crumbs_of_a_hello(server: &Server<'_>) -> Result<Report, String> {
    let bytes: Vec<u8> = (0..6 * 20_000).map(hello_bytes).collect();
    let before = server.resident();
    let mut report = Report::default();
    let mut open: Vec<TcpStream> = Vec::new();
    for n in 0..CRUMBLING {
        let Ok(mut stream) = connect_from(attacker(6800 + n % 100, 1), server.web().address) else {
            continue;
        };
        stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        report.bytes_in += stream.write(&bytes).unwrap_or_default() as u64;
        open.push(stream);
    }
    let grown = server.resident().saturating_sub(before);
    report.note = format!("{} connections, {} kB of memory", open.len(), grown / 1000);
    let left = closed_by_the_server(server, &mut open);
    report.promise(left == 0, format!("{left} connections with a hello without end are still open"));
    Ok(report)
}

/// Connections over TLS whose requests come byte by byte, each in a record of its own, and never
/// end.
fn crumbs_of_a_head(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let mut open: Vec<Transport> = Vec::new();
    for n in 0..CRUMBLING / 4 {
        let Ok(mut stream) = Transport::connect(attacker(6900 + n % 100, 1), server.web(), None) else {
            continue;
        };
        let head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ";
        for byte in head.iter().chain(&[b'1'; 2000]) {
            if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
                break;
            }
            report.bytes_in += 1;
        }
        open.push(stream);
    }
    report.note = format!("{} connections", open.len());
    let mut sockets: Vec<TcpStream> =
        open.iter().filter_map(|stream| stream.tcp().try_clone().ok()).collect();
    let left = closed_by_the_server(server, &mut sockets);
    report.promise(left == 0, format!("{left} connections with half a head are still open"));
    Ok(report)
}

/// Whole handshakes, as many as there can be.
fn handshakes(server: &Server<'_>) -> Result<Report, String> {
    let web = server.web();
    let (start, count) = (Instant::now(), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..20u8 {
            let count = &count;
            scope.spawn(move || {
                while start.elapsed() < FLOOD {
                    let made = Transport::connect(attacker(6200, n + 1), web, None).is_ok();
                    count.fetch_add(u64::from(made), Ordering::Relaxed);
                    if !made {
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            });
        }
    });
    let rate = count.load(Ordering::Relaxed) as f64 / FLOOD.as_secs_f64();
    Ok(Report { note: format!("{rate:.0} handshakes a second"), ..Report::default() })
}
