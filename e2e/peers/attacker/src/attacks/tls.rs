//! Attacks over TLS: those on memory again, and on the handshake.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::floods::{FLOOD, FLOW};
use super::memory::{bodies, polls, slow_readers, websockets};
use super::streams::closed_by_the_server;
use super::{Attack, Report, Watched, attacker};
use crate::arena::Server;
use crate::wire::http::connect_from;
use crate::wire::transport::Transport;

const TLS: &[&str] = &["--tls", "self-signed"];

/// The bytes that an idle member costs at most over TLS.
const IDLE_MEMBER: u64 = 20_000;

/// The connections that stop in the middle of a handshake.
const STALLED: u16 = 2000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("polls-tls", polls).with(TLS),
    Attack::new("bodies-tls", bodies).with(TLS),
    Attack::new("websockets-tls", |server| websockets(server, IDLE_MEMBER)).with(TLS),
    Attack::new("slow-readers-tls", slow_readers).with(TLS),
    Attack::new("stalled-handshakes", stalled_handshakes).with(TLS),
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
