//! Attacks of few who want the place of many, and on what the relay may reach.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use columba_stun::Method;

use super::{Attack, Report, attacker};
use crate::arena::Server;
use crate::wire::http::{connect_from, request};
use crate::wire::turn::{Turn, unauthenticated};
use crate::wire::websocket::WebSocket;

/// The address in a network of its own of one who comes after the attacker.
const LATECOMER: u16 = 50_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("silent-streams", silent_streams).short(),
    Attack::new("forwarded", forwarded).with(&["--trust-proxy", "9.9.0.0/16"]).short(),
    Attack::new("ipv6-connections", ipv6_connections).short(),
    Attack::new("allocations", allocations).short(),
    Attack::new("own-sockets", own_sockets).short(),
];

/// 4,032 TURN streams of 16 addresses say nothing; a client that speaks comes over TCP.
fn silent_streams(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let mut open: Vec<TcpStream> = Vec::new();
    for network in 0..16 {
        for _ in 0..252 {
            open.extend(connect_from(attacker(2000 + network, 1), server.stun()).ok());
        }
    }
    report.note = format!("{} streams", open.len());
    let client = Turn::tcp(attacker(LATECOMER, 1), server.stun(), "latecomer");
    let allocated = client.and_then(|mut client| client.allocate());
    report.promise(matches!(allocated, Ok(Ok(_))), format!("a client over TCP is kept out: {allocated:?}"));
    Ok(report)
}

/// One client behind a trusted proxy opens as many WebSockets as it gets; another client comes
/// through the same proxy.
fn forwarded(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let mut open = Vec::new();
    for n in 0..3000u32 {
        let proxy = IpAddr::from([9, 9, 1, 1 + (n % 200) as u8]);
        match WebSocket::open_with(proxy, server.web(), "X-Forwarded-For: 203.0.113.66\r\n") {
            Ok(socket) => open.push(socket),
            Err(_) => break,
        }
    }
    report.promise(open.len() <= 1000, format!("one forwarded client has {} connections", open.len()));
    report.note = format!("{} connections", open.len());
    let other = "X-Forwarded-For: 198.51.100.7\r\n";
    let served = request([9, 9, 2, 1].into(), server.web(), "GET /healthz", other, "");
    report.promise(matches!(served, Ok((200, _))), format!("another client is kept out: {served:?}"));
    Ok(report)
}

/// Connections from the /64s of one /48, as many as it gets; a client from elsewhere comes.
fn ipv6_connections(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let here = Ipv6Addr::new(0x2a00, 5, 0, 0, 0, 0, 0, 1);
    let web = SocketAddr::new(here.into(), server.web().address.port());
    let mut open: Vec<TcpStream> = Vec::new();
    'prefix: for subnet in 0..45 {
        for host in 1..=250 {
            let source = Ipv6Addr::new(0x2a00, 9, 1, subnet, 0, 0, 0, host);
            let Ok(mut stream) = connect_from(source.into(), web) else { break 'prefix };
            // What is refused is closed at once.
            let begun = std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n");
            if begun.is_ok() {
                open.push(stream);
            }
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let held = server.metric("columba_http_connections");
    report.promise(held < 9000.0, format!("one /48 has {held} connections"));
    report.note = format!("{held} connections of one /48");
    let served = request(attacker(LATECOMER, 1), server.web(), "GET /healthz", "", "");
    report
        .promise(matches!(served, Ok((200, _))), format!("a client from elsewhere is kept out: {served:?}"));
    Ok(report)
}

/// The relay is sent to sockets of this machine: at an address that is new, and at one of a network
/// that is routed to the machine itself.
fn own_sockets(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let mut client =
        Turn::udp(attacker(4000, 1), server.stun(), "attacker").map_err(|error| error.to_string())?;
    let allocated = client.allocate().map_err(|error| error.to_string())?;
    allocated.map_err(|code| format!("the attacker's allocation is answered {code}"))?;
    server.there("addr add 5.0.0.77/24 dev there")?;
    server.there("route add local 5.0.115.0/24 dev lo")?;
    for (channel, address) in [(0x4001, [5, 0, 0, 77]), (0x4002, [5, 0, 115, 9])] {
        reach(server, &mut client, channel, SocketAddr::from((address, 3478)), &mut report)?;
    }
    anycast(server, &mut report)?;
    server.there("route del local 5.0.115.0/24 dev lo")?;
    server.there("addr del 5.0.0.77/24 dev there")?;
    let _ = client.release();
    Ok(report)
}

/// With forwarding on, the machine answers at the subnet-router anycast address of each of its
/// networks (RFC 4291 §2.6.1).
fn anycast(server: &Server<'_>, report: &mut Report) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    server.set_there("net/ipv6/conf/all/forwarding", "1")?;
    server.there("-6 addr add 2a00:5:0:7::1/64 dev there nodad")?;
    let stun = SocketAddr::new(Ipv6Addr::new(0x2a00, 5, 0, 0, 0, 0, 0, 1).into(), server.stun().port());
    let source = Ipv6Addr::new(0x2a00, 9, 4, 0, 0, 0, 0, 1);
    let mut client = Turn::udp(source.into(), stun, "attacker").map_err(text)?;
    let allocated = client.allocate_ipv6().map_err(text)?;
    allocated.map_err(|code| format!("the attacker's IPv6 allocation is answered {code}"))?;
    for (channel, subnet) in [(0x4001, 0), (0x4002, 7)] {
        let address = Ipv6Addr::new(0x2a00, 5, 0, subnet, 0, 0, 0, 0);
        reach(server, &mut client, channel, SocketAddr::new(address.into(), stun.port()), report)?;
    }
    let _ = client.release();
    server.there("-6 addr del 2a00:5:0:7::1/64 dev there")?;
    server.set_there("net/ipv6/conf/all/forwarding", "0")
}

/// Relays a Binding request to one of the server's listeners; it must not arrive.
fn reach(
    server: &Server<'_>,
    client: &mut Turn,
    channel: u16,
    listener: SocketAddr,
    report: &mut Report,
) -> Result<(), String> {
    const BINDINGS: &str = "columba_turn_requests_total{method=\"binding\"}";
    let before = server.metric(BINDINGS);
    let bound = client.bind_channel(channel, listener).map_err(|error| error.to_string())?;
    if bound.is_ok() {
        client.send_channel(channel, &unauthenticated(Method::BINDING, u64::from(channel)));
        std::thread::sleep(Duration::from_millis(300));
    }
    report
        .promise(server.metric(BINDINGS) <= before, format!("the relay reaches the server's own {listener}"));
    Ok(())
}

/// One address asks for more allocations than it may have, and the relay for what it must not
/// reach: its own listeners, and addresses of this machine.
fn allocations(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let mut held = Vec::new();
    let mut refused = 0;
    for n in 0..300 {
        let client = Turn::udp(attacker(3000, 1), server.stun(), &format!("attacker-{}", n / 20));
        let Ok(mut client) = client else { continue };
        match client.allocate() {
            Ok(Ok(_)) => held.push(client),
            _ => refused += 1,
        }
        if refused > 3 {
            break;
        }
    }
    report.promise(held.len() <= 192, format!("one address has {} allocations", held.len()));
    let mut other = Turn::udp(attacker(LATECOMER, 1), server.stun(), "latecomer")
        .map_err(|error| format!("there is no client from elsewhere: {error}"))?;
    let allocated = other.allocate();
    report.promise(
        matches!(allocated, Ok(Ok(_))),
        format!("a client from elsewhere is kept out: {allocated:?}"),
    );
    report.note = format!("{} of one address", held.len());
    if let Some(client) = held.first_mut() {
        let listener = server.stun();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 8080));
        let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
        for (channel, peer) in [(0x4001, loopback), (0x4002, metadata)] {
            let bound = client.bind_channel(channel, peer).map_err(|error| error.to_string())?;
            report.promise(bound == Err(403), format!("a channel to {peer} is answered {bound:?}"));
        }
        // The relay's own address may be a peer, since two relays meet there, but no socket is.
        reach(server, client, 0x4003, listener, &mut report)?;
    }
    // They end with their lifetime, which is longer than this test; released here.
    for client in held.iter_mut().chain([&mut other]) {
        let _ = client.release();
    }
    Ok(report)
}
