//! Attacks by connections that say nothing whole: on the web port, and on the STUN port over TCP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use columba_stun::Method;

use super::floods::FLOOD;
use super::{Attack, Report, attacker, for_so_long};
use crate::arena::Server;
use crate::wire::http::connect_from;
use crate::wire::turn::unauthenticated;

/// The time in which the server must have closed what says nothing whole: twice that of its own
/// patience.
const GIVEN_UP: Duration = Duration::from_secs(70);

/// The connections that dribble.
const DRIBBLING: u16 = 600;

/// The time between two bytes of each.
const DRIBBLE: Duration = Duration::from_millis(500);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("slowloris", |server| slowloris(server.web().address, web_bytes)),
    Attack::new("slowloris-stun", |server| slowloris(server.stun(), stun_bytes)),
    Attack::new("stun-garbage", stun_garbage),
    Attack::new("long-heads", long_heads),
];

/// Waits until the server has closed these connections; the number that is left.
pub(super) fn closed_by_the_server(server: &Server<'_>, open: &mut Vec<TcpStream>) -> usize {
    let start = Instant::now();
    while !open.is_empty() && start.elapsed() < GIVEN_UP && server.metrics().is_ok() {
        open.retain_mut(is_open);
        thread::sleep(DRIBBLE);
    }
    open.len()
}

/// Returns whether the other side has not closed a connection. What it says is read.
pub(super) fn is_open(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// The byte of a request that never ends: one more field, and one more.
fn web_bytes(at: usize) -> u8 {
    const BEGIN: &[u8] = b"GET /healthz HTTP/1.1\r\n";
    const FIELD: &[u8] = b"x-slow: 1\r\n";
    BEGIN.get(at).copied().unwrap_or_else(|| FIELD[(at - BEGIN.len()) % FIELD.len()])
}

/// The byte of a message of the greatest length.
fn stun_bytes(at: usize) -> u8 {
    const HEAD: &[u8] = &[0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42];
    HEAD.get(at).copied().unwrap_or(0)
}

/// Connections that send a byte now and then, and never anything whole.
pub(super) fn slowloris(port: SocketAddr, bytes: fn(usize) -> u8) -> Result<Report, String> {
    let mut report = Report::default();
    let mut open: Vec<TcpStream> = Vec::new();
    for n in 0..DRIBBLING {
        open.extend(connect_from(attacker(6400 + n % 100, 1), port).ok());
    }
    let (start, opened) = (Instant::now(), open.len());
    for at in 0.. {
        for stream in &mut open {
            report.bytes_in += u64::from(stream.write_all(&[bytes(at)]).is_ok());
        }
        thread::sleep(DRIBBLE);
        open.retain_mut(is_open);
        if open.is_empty() || start.elapsed() > GIVEN_UP {
            break;
        }
    }
    report.note = format!("{opened} connections, closed after {:.0} s", start.elapsed().as_secs_f64());
    report.promise(open.is_empty(), format!("{} of {opened} connections are still open", open.len()));
    Ok(report)
}

/// Streams of nothing, of half messages, and of messages that claim more than comes.
fn stun_garbage(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let request = unauthenticated(Method::BINDING, 1);
    let mut open: Vec<TcpStream> = Vec::new();
    let connections = for_so_long(FLOOD, |number| {
        let Ok(mut stream) = connect_from(attacker(6600 + (number % 50) as u16, 1), server.stun()) else {
            return;
        };
        let bytes = match number % 4 {
            0 => vec![(number % 251) as u8; 10_000],
            1 => request[..request.len() - 7].to_vec(),
            2 => [&[0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42][..], &[9; 30_000]].concat(),
            _ => [&request[..], &[0x40, 1, 0xff, 0xff], &[1; 5000]].concat(),
        };
        report.bytes_in += stream.write(&bytes).unwrap_or_default() as u64;
        if open.len() < 400 {
            open.push(stream);
        }
    });
    report.note = format!("{connections} connections");
    let left = closed_by_the_server(server, &mut open);
    report.promise(left == 0, format!("{left} streams without a whole message are still open"));
    Ok(report)
}

/// Heads of requests with a thousand fields, or with one of a megabyte.
fn long_heads(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let fields: String = (0..1000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let heads = [fields, format!("x-long: {}\r\n", "y".repeat(1 << 20))];
    let mut accepted = 0;
    let connections = for_so_long(FLOOD, |number| {
        let Ok(mut stream) = connect_from(attacker(6700, 1 + (number % 200) as u8), server.web().address)
        else {
            return;
        };
        let fields = &heads[(number % 2) as usize];
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", server.web());
        report.bytes_in += stream.write(head.as_bytes()).unwrap_or_default() as u64;
        let mut answer = [0; 12];
        accepted += u64::from(stream.read_exact(&mut answer).is_ok() && answer.ends_with(b"200"));
    });
    report.note = format!("{connections} connections");
    report.promise(accepted == 0, format!("{accepted} heads beyond all limits were taken"));
    Ok(report)
}
