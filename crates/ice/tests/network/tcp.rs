//! TCP candidates (RFC 6544): where they are the way, and where they are not.

use std::time::Duration;

use columba_ice::{CandidateKind, CandidateTransport, Config, TcpMode, TcpType, Transport};
use columba_netsim::{Firewall, Link, Nat, Router};

use crate::lab::{ALICE, BOB, Lab, with_stun};
use crate::meeting::behind;

const SECOND: Duration = Duration::from_secs(1);

fn link() -> Link {
    Link::with_delay(Duration::from_millis(10))
}

/// Alice behind a NAT whose firewall no datagram passes, Bob with a public address.
fn walled(configs: [Config; 2], seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    let wall = Router { firewall: Firewall::only_tcp(), ..behind("198.51.100.1", Nat::PORT) };
    let home = lab.add_home(wall);
    let internet = lab.internet;
    let [one, two] = configs;
    lab.add_peer(home, "192.168.0.7", one, link());
    lab.add_peer(internet, "203.0.113.9", two, link());
    lab
}

/// Two peers in one network, without datagrams.
fn lan(modes: [TcpMode; 2], seed: u64) -> Lab {
    let configs = modes.map(|tcp| Config { udp: false, tcp, ..Config::default() });
    Lab::one_lan(configs, Duration::from_millis(20), seed)
}

fn transports(lab: &Lab) -> [Option<Transport>; 2] {
    [ALICE, BOB].map(|index| lab.peer(index).selected.last().map(|pair| pair.path.transport))
}

#[test]
fn where_no_datagram_passes_a_connection_does() {
    let mut lab = walled([with_stun(), with_stun()], 1);
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.talks());
    assert_eq!(transports(&lab), [Some(Transport::Tcp); 2]);
    let pair = lab.peer(ALICE).selected.last().unwrap();
    assert_eq!(pair.local.transport, CandidateTransport::Tcp(TcpType::Active));
    assert_eq!(pair.remote.transport, CandidateTransport::Tcp(TcpType::Passive));
    assert_eq!(pair.remote.kind, CandidateKind::Host);
    let pair = lab.peer(BOB).selected.last().unwrap();
    assert_eq!(pair.local.transport, CandidateTransport::Tcp(TcpType::Passive));
    assert_eq!(pair.remote.transport, CandidateTransport::Tcp(TcpType::Active));
    assert_eq!(pair.remote.kind, CandidateKind::PeerReflexive);
    assert_ne!(pair.remote.port, 9);
    // An hour of consent.
    lab.run_for(SECOND * 3600);
    assert!(lab.connected() && lab.talks());
    assert!(lab.both(|host| host.paths.len() == 1), "one connection is left");
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.agent.close(now));
    }
    lab.run_for(SECOND);
    assert!(lab.both(|host| host.paths.is_empty() && host.listeners == 0 && host.sockets == 0));
}

#[test]
fn it_does_not_matter_who_accepts_the_connection() {
    for index in [ALICE, BOB] {
        let mut modes = [TcpMode::ActivePassive; 2];
        modes[index] = TcpMode::Active;
        let mut lab = lan(modes, 2 + index as u64);
        lab.start();
        assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
        assert!(lab.talks());
        assert_eq!(lab.peer(index).listeners, 0);
        let pair = lab.peer(index).selected.last().unwrap();
        assert_eq!(pair.local.transport, CandidateTransport::Tcp(TcpType::Active));
    }
}
