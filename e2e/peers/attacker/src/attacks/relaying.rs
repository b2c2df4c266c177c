//! Attacks on relaying: by those who have credentials, by members beside it, and by time itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use columba_stun::attributes::{Nonce, Realm, RequestedTransport, Username, XorPeerAddress};
use columba_stun::{Class, IntegrityKey, MessageBuilder, Method, TransactionId};
use columba_turn::server::{Credentials, UnixTime};

use super::floods::{FLOOD, FLOW, flood, frames};
use super::membership::turn_of;
use super::{Attack, Promise, Report, Watched, attacker, for_so_long};
use crate::arena::{SECRET, Server};
use crate::wire::http::join;
use crate::wire::turn::Turn;
use crate::wire::websocket::{PING, frame};

/// A relayed flow that is compared with a forwarded one, whatever the machine makes of both.
const COMPARED: Promise = Promise { loss: 100.0, delay: Duration::MAX, amplification: f64::INFINITY };

/// Nothing of a flow is lost, however the clock goes.
const UNDISTURBED: Promise =
    Promise { loss: 0.5, delay: Duration::from_millis(500), amplification: f64::INFINITY };

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("senders", senders).beside(Watched::Compared, COMPARED).short(),
    Attack::new("clock-step", clock_step).with_clock().beside(Watched::Flow, UNDISTURBED).short(),
    Attack::new("channels", channels).beside(Watched::Flow, FLOW),
    Attack::new("permissions", permissions).beside(Watched::Flow, FLOW),
    Attack::new("false-nonces", false_nonces).beside(Watched::Flow, Promise { amplification: 1.0, ..FLOW }),
];

/// Twenty members send what they can of everything: acknowledgements, pings of both kinds, repeats,
/// gaps, fragments, and large messages that are refused.
fn senders(server: &Server<'_>) -> Result<Report, String> {
    let text = |text: &str| frame(1, text.as_bytes());
    let fragment = |opcode: u8, payload: &[u8]| {
        let mut bytes = frame(opcode, payload);
        bytes[0] &= 0x7f;
        bytes
    };
    let fragments = [fragment(1, b"\""), fragment(0, b"x").repeat(50), frame(0, b"\"")].concat();
    let blocks = [
        text(r#"{"type":"ack","seq":0}"#),
        text(r#"{"type":"send","seq":1,"data":"y"}"#),
        text(r#"{"type":"send","seq":9,"data":"gap"}"#),
        text(r#"{"type":"pong"}"#),
        frame(PING, &[b'x'; 120]),
        fragments,
        text(&format!(r#"{{"type":"pong","x":"{}"}}"#, "z".repeat(60_000))),
    ];
    frames(server, |n| {
        let block = &blocks[usize::from(n) % blocks.len()];
        block.repeat(1 + 30_000 / block.len())
    })
}

/// Credentials for a user, made when the clock showed `now`, good until `now + lives`.
fn minted(now: Duration, lives: Duration, user: &str) -> Credentials {
    Credentials::mint(SECRET.as_bytes(), UnixTime(now), lives, user)
}

/// The server's clock is stepped: by hours and days either way, to shortly after 1970 as on a
/// machine without a clock of its own, and beyond what 32 bits hold. What lives goes on, and what
/// is new is judged by the time that is shown.
fn clock_step(server: &Server<'_>) -> Result<Report, String> {
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: i64 = 24 * 3600;
    let mut report = Report::default();
    let text = |error: std::io::Error| error.to_string();
    let mut client = Turn::udp(attacker(7000, 1), server.stun(), "before").map_err(text)?;
    client.allocate().map_err(text)?.map_err(|code| format!("an allocation is answered {code}"))?;
    let since_1970 = i64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_secs())
        .map_err(|error| error.to_string())?;
    let shortly_after = 2 * DAY - since_1970;
    let steps = [DAY / 2, 3 * DAY, -30 * DAY, -DAY / 2, shortly_after, 90 * 365 * DAY, 0];
    for (number, seconds) in (1u8..).zip(steps) {
        let shown = server.step_clock(seconds)?;
        let refreshed = client.refresh(HOUR / 6).map_err(text)?;
        report.promise(refreshed == Ok(()), format!("{seconds} s: a refresh is answered {refreshed:?}"));
        let channel = 0x4000 + u16::from(number);
        let bound = client.bind_channel(channel, (Ipv4Addr::new(9, 7, 7, number), 9).into());
        report.promise(matches!(bound, Ok(Ok(()))), format!("{seconds} s: a channel is answered {bound:?}"));
        let allocate = |host: u8, credentials: &Credentials| {
            let Credentials { username, password } = credentials;
            let source = attacker(7001, 4 * number + host);
            let mut other = Turn::with(source, server.stun(), username, password)?;
            let allocated = other.allocate()?.map(drop);
            if allocated.is_ok() {
                let _ = other.release();
            }
            Ok::<_, std::io::Error>(allocated)
        };
        let fresh = allocate(0, &minted(shown, HOUR, "fresh")).map_err(text)?;
        report.promise(fresh == Ok(()), format!("{seconds} s: fresh credentials are answered {fresh:?}"));
        let expired = allocate(1, &minted(shown - 3 * HOUR, HOUR, "expired")).map_err(text)?;
        report.promise(
            expired == Err(401),
            format!("{seconds} s: expired credentials are answered {expired:?}"),
        );
        let (joined, _) = join(attacker(7002, number), server.web(), r#"{"type":"create"}"#).map_err(text)?;
        let (username, password) = turn_of(&joined).ok_or("a member is given no TURN credentials")?;
        let given = allocate(2, &Credentials { username, password }).map_err(text)?;
        report.promise(given == Ok(()), format!("{seconds} s: the server's own are answered {given:?}"));
    }
    let _ = client.release();
    report.note = format!("{} steps, from 1970 to the next century", steps.len());
    Ok(report)
}

/// An allocation of the attacker's, and calls of `each` for as long as a flood.
fn churn(
    server: &Server<'_>,
    mut each: impl FnMut(&mut Turn, u64) -> std::io::Result<Result<(), u16>>,
) -> Result<Report, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut client = Turn::udp(attacker(7100, 1), server.stun(), "churner").map_err(text)?;
    client.allocate().map_err(text)?.map_err(|code| format!("an allocation is answered {code}"))?;
    let before = server.resident();
    let mut granted = 0u64;
    let asked = for_so_long(FLOOD, |number| {
        granted += u64::from(matches!(each(&mut client, number), Ok(Ok(()))));
    });
    let grown = server.resident().saturating_sub(before);
    let mut report = Report { note: format!("{granted} of {asked} granted"), ..Report::default() };
    report.promise(grown < 8 << 20, format!("one allocation makes the server hold {grown} bytes"));
    let _ = client.release();
    Ok(report)
}

fn peer(number: u64) -> SocketAddr {
    let [.., a, b, c] = number.to_be_bytes();
    ([9, a, b, c], 9).into()
}

/// Channels to one peer after the other.
fn channels(server: &Server<'_>) -> Result<Report, String> {
    churn(server, |client, number| {
        client.bind_channel(0x4000 + (number % 0x1000) as u16, peer(number + number / 0x1000))
    })
}

/// Permissions for one peer after the other, eight in a request.
fn permissions(server: &Server<'_>) -> Result<Report, String> {
    churn(server, |client, number| {
        let peers: Vec<SocketAddr> = (0..8).map(|at| peer(number * 8 + at)).collect();
        client.permit(&peers)
    })
}

/// Requests that look authenticated, from everywhere, with nonces that were never given.
fn false_nonces(server: &Server<'_>) -> Result<Report, String> {
    let key =
        IntegrityKey::long_term_md5("stranger", "columba", "nothing").map_err(|error| error.to_string())?;
    let mut buffer = [0; 300];
    let build = |buffer: &mut [u8]| {
        let mut builder =
            MessageBuilder::new(buffer, Class::Request, Method::ALLOCATE, TransactionId([1; 12]))?;
        builder.push(&RequestedTransport::UDP)?.push(&Username("1900000000:stranger"))?;
        builder.push(&Realm(b"columba"))?.push(&Nonce(&[b'n'; 32]))?;
        builder.push(&XorPeerAddress(peer(1)))?.integrity(&key)?;
        Ok::<_, columba_stun::BuildError>(builder.as_bytes().len())
    };
    let length = build(&mut buffer).map_err(|error| error.to_string())?;
    let mut request = buffer[..length].to_vec();
    let (bytes_in, bytes_out) = flood(server.stun(), |number| {
        // Another transaction each time; the integrity is looked at after the nonce.
        request[8..16].copy_from_slice(&number.to_be_bytes());
        request.clone()
    })?;
    Ok(Report { bytes_in, bytes_out, note: "20000 a second".to_owned(), ..Report::default() })
}
