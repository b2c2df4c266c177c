//! TCP candidates (RFC 6544): where they are the way, and where they are not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_ice::{
    AddressPolicy, Agent, Candidate, CandidateAddress, CandidateKind, CandidateTransport, Config, Ecn, Input,
    MdnsMode, Path, Received, Request, Role, ServerKind, State, TcpMode, TcpType, Transport, TransportPolicy,
};
use columba_netsim::{Firewall, Link, Loss, Nat, Network, Router};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

use crate::hostile::{check, stranger};

use crate::connecting::behind;
use crate::lab::{ALICE, AgentHost, BOB, Lab, ip, servers, with_stun};

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

/// An hour of consent over one connection; then, after the end, nothing is left.
pub(crate) fn lasts_and_is_released(lab: &mut Lab) {
    lab.run_for(SECOND * 3600);
    assert!(lab.connected() && lab.exchanges_data());
    assert!(lab.both(|host| host.paths.len() == 1), "one connection is left");
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.agent.close(now));
    }
    lab.run_for(SECOND);
    assert!(lab.both(|host| host.paths.is_empty() && host.listeners == 0 && host.sockets == 0));
}

#[test]
fn tcp_connects_where_udp_is_blocked() {
    let mut lab = walled([with_stun(), with_stun()], 1);
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
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
    lasts_and_is_released(&mut lab);
}

#[test]
fn either_side_may_accept_the_connection() {
    for index in [ALICE, BOB] {
        let mut modes = [TcpMode::ActivePassive; 2];
        modes[index] = TcpMode::Active;
        let mut lab = lan(modes, 2 + index as u64);
        lab.start();
        assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
        assert!(lab.exchanges_data());
        assert_eq!(lab.peer(index).listeners, 0);
        let pair = lab.peer(index).selected.last().unwrap();
        assert_eq!(pair.local.transport, CandidateTransport::Tcp(TcpType::Active));
    }
}

fn connect(lab: &mut Lab) {
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
}

#[test]
fn tcp_is_closed_where_udp_works() {
    for (seed, loss) in [(4, 0.0), (5, 0.2), (6, 0.2), (7, 0.2)] {
        let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), seed);
        for interface in lab.interfaces.clone() {
            lab.network.change_link(interface, |out, _| out.loss = Loss::Random(loss));
        }
        connect(&mut lab);
        lab.run_for(SECOND * 5);
        assert_eq!(transports(&lab), [Some(Transport::Udp); 2]);
        assert!(lab.both(|host| host.paths.is_empty() && host.listeners == 0 && host.sockets == 1));
        assert!(lab.both(|host| {
            let pairs = host.agent.stats().pairs;
            pairs.iter().all(|pair| pair.path.is_none_or(|path| path.transport == Transport::Udp))
        }));
        assert!(lab.both(|host| host.agent.state() == State::Completed));
        assert!(loss > 0.0 || lab.both(|host| host.most_streams == 0), "the first check was quicker");
        // What is not there any more is there again for a new generation.
        lab.network.run_for(SECOND);
        restart(&mut lab);
        assert!(lab.both(|host| host.listeners == 1));
        assert!(lab.run_until(SECOND * 5, Lab::settled));
    }
}

fn restart(lab: &mut Lab) {
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| {
            host.agent.restart(now, None);
            host.selected.clear();
            host.agent.gather(now);
        });
    }
    lab.signal_description(ALICE, BOB);
    lab.signal_description(BOB, ALICE);
}

#[test]
fn direct_tcp_is_preferred_to_a_relay() {
    let mut config = with_stun();
    config.servers.push(servers(ServerKind::Turn, Transport::Tcp, 443));
    let mut lab = walled([config.clone(), config], 8);
    connect(&mut lab);
    lab.run_for(SECOND * 3);
    assert_eq!(transports(&lab), [Some(Transport::Tcp); 2]);
    assert!(lab.kinds().iter().all(|kind| *kind != Some(CandidateKind::Relayed)));
}

/// A check that comes from a relay before the relay's candidate does looks as if datagrams passed
/// directly.
#[test]
fn undeclared_remote_relay_does_not_conclude_tcp() {
    for seed in 0..20 {
        let mut config = with_stun();
        config.servers.push(servers(ServerKind::Turn, Transport::Tcp, 443));
        let mut lab = Lab::new(100 + seed);
        // Alice has a public address, to which everything but datagrams passes; only Bob opens
        // connections.
        let firewall = Firewall { udp: false, ..Firewall::default() };
        let zone = lab.add_home(Router { firewall, ..Router::default() });
        lab.network.add_route(lab.internet, ip("203.0.114.0"), 24, lab.routers[0]);
        let internet = lab.internet;
        lab.add_peer(zone, "203.0.114.7", config.clone(), link());
        lab.add_peer(internet, "203.0.113.9", Config { tcp: TcpMode::Active, ..config }, link());
        for index in [ALICE, BOB] {
            lab.with(index, |host, _| host.disorder = SECOND * 2);
        }
        lab.start();
        assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
        lab.run_for(SECOND * 5);
        assert_eq!(transports(&lab), [Some(Transport::Tcp); 2], "seed {seed}: {:?}", lab.kinds());
    }
}

#[test]
fn two_nats_leave_the_relay() {
    let mut config = with_stun();
    config.servers.push(servers(ServerKind::Turn, Transport::Tcp, 443));
    let walls = ["198.51.100.1", "198.51.100.2"]
        .map(|outer| Router { firewall: Firewall::only_tcp(), ..behind(outer, Nat::PORT) });
    let mut lab = Lab::two_homes(walls, &config, 9);
    connect(&mut lab);
    assert_eq!(lab.kinds(), [Some(CandidateKind::Relayed); 2]);
}

#[test]
fn broken_connection_is_opened_again_without_restart() {
    let mut lab = walled([with_stun(), with_stun()], 10);
    connect(&mut lab);
    for index in [ALICE, BOB] {
        lab.run_for(SECOND * 15);
        lab.with(index, AgentHost::break_streams);
        lab.run_for(SECOND);
        assert!(lab.settled() && lab.exchanges_data(), "{}", lab.network.trace());
        assert!(lab.both(|host| host.restarts_wanted == 0 && host.paths.len() == 1));
        assert!(lab.both(|host| host.states.contains(&State::Disconnected)));
    }
}

#[test]
fn lost_connection_requests_a_restart() {
    let mut lab = walled([with_stun(), with_stun()], 11);
    connect(&mut lab);
    lab.run_for(SECOND * 15);
    let router = lab.routers[0];
    lab.network.change_router(router, |router| router.firewall.tcp_ports = Some(vec![]));
    lab.with(BOB, AgentHost::break_streams);
    assert!(lab.run_until(SECOND * 20, |lab| lab.both(|host| host.agent.state() == State::Disconnected)));
    assert!(lab.run_until(SECOND * 20, |lab| lab.both(|host| host.restarts_wanted == 1)));
    assert!(lab.run_until(SECOND * 60, |lab| lab.both(|host| host.agent.state() == State::Failed)));
    assert!(lab.both(|host| host.paths.is_empty()));
    lab.network.change_router(router, |router| router.firewall.tcp_ports = None);
    restart(&mut lab);
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
}

/// The connection is open, but nothing arrives.
#[test]
fn consent_expires_over_tcp() {
    let mut lab = walled([with_stun(), with_stun()], 12);
    connect(&mut lab);
    lab.run_for(SECOND * 15);
    let router = lab.routers[0];
    lab.network.change_router(router, |router| router.firewall.tcp_ports = Some(vec![]));
    lab.run_for(SECOND * 2);
    lab.with(ALICE, |host, now| host.send(now, b"\x80coo"));
    assert!(lab.run_until(SECOND * 20, |lab| lab.both(|host| host.agent.state() == State::Disconnected)));
    assert!(lab.run_until(SECOND * 60, |lab| lab.both(|host| host.agent.state() == State::Failed)));
    lab.run_for(SECOND);
    assert!(lab.both(|host| host.paths.is_empty()));
    lab.with(ALICE, |host, now| host.send(now, b"\x80coo"));
    assert_eq!(lab.peer(ALICE).unsent, 1, "no consent, no data");
}

#[test]
fn role_conflict_is_resolved_over_tcp() {
    for (seed, role) in [(13, Role::Controlling), (14, Role::Controlled), (15, Role::Controlling)] {
        let mut lab = lan([TcpMode::ActivePassive, TcpMode::Active], seed);
        for index in [ALICE, BOB] {
            lab.with(index, |host, _| host.agent.set_role(role));
        }
        connect(&mut lab);
        assert_eq!(lab.peer(ALICE).agent.role(), lab.peer(BOB).agent.role().opposite());
    }
}

#[test]
fn restart_uses_the_open_connection() {
    let mut lab = walled([with_stun(), with_stun()], 16);
    connect(&mut lab);
    lab.run_for(SECOND * 5);
    let before = lab.peer(ALICE).paths.clone();
    restart(&mut lab);
    assert!(lab.exchanges_data(), "the old pair carries data until there is a new one");
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    lab.run_for(SECOND * 5);
    assert!(lab.exchanges_data() && lab.both(|host| !host.states.contains(&State::Disconnected)));
    assert_eq!(lab.peer(ALICE).paths, before);
}

#[test]
fn lite_agent_is_reached_over_tcp() {
    let lite = Config { lite: true, ..Config::default() };
    let mut lab = walled([with_stun(), lite], 17);
    connect(&mut lab);
    assert_eq!(transports(&lab), [Some(Transport::Tcp); 2]);
    let found = &lab.peer(BOB).found;
    assert!(found.iter().all(|one| one.transport != CandidateTransport::Tcp(TcpType::Active)));
    lab.run_for(SECOND * 120);
    assert!(lab.connected() && lab.exchanges_data());
}

#[test]
fn address_policies_apply_to_tcp() {
    let hidden = Config { address_policy: AddressPolicy::DefaultRouteHidden, ..with_stun() };
    let relay = Config { policy: TransportPolicy::Relay, ..with_stun() };
    let off = Config { tcp: TcpMode::Off, ..with_stun() };
    let named = Config { mdns: MdnsMode::QueryAndGather, ..with_stun() };
    for (config, listeners) in [(hidden.clone(), 0), (relay, 0), (off, 0), (named, 1)] {
        let mut lab = walled([config.clone(), with_stun()], 18);
        lab.start();
        lab.run_for(SECOND);
        let host = lab.peer(ALICE);
        assert_eq!(host.listeners, listeners, "{config:?}");
        assert!(
            host.found.iter().all(|one| one.socket_address().is_none_or(|at| at.ip() != ip("192.168.0.7"))
                || config.tcp == TcpMode::Off)
        );
        let names: Vec<_> = host
            .found
            .iter()
            .filter_map(|one| match &one.address {
                CandidateAddress::Name(name) => Some(name.clone()),
                CandidateAddress::Ip(_) => None,
            })
            .collect();
        assert!(names.iter().all(|name| *name == names[0]), "one name for one address");
        let tcp = host.found.iter().any(|one| one.transport.is_tcp());
        assert_eq!(tcp, listeners > 0);
    }
    // Who shows no address opens connections all the same.
    let mut lab = walled([hidden, with_stun()], 19);
    connect(&mut lab);
    assert_eq!(transports(&lab), [Some(Transport::Tcp); 2]);
    let local = &lab.peer(ALICE).selected.last().unwrap().local;
    assert_ne!(local.socket_address().unwrap().ip(), ip("192.168.0.7"));
}

/// Alice's pairs whose other end is at this address.
fn has_pair(lab: &Lab, address: &str) -> bool {
    let stats = lab.peer(ALICE).agent.stats();
    stats.pairs.iter().any(|pair| {
        let remote = stats.remote_candidates.iter().find(|one| one.id == pair.remote);
        remote.is_some_and(|one| one.candidate.address == CandidateAddress::Ip(ip(address)))
    })
}

#[test]
fn connections_to_service_ports_are_not_opened() {
    let mut lab = walled([with_stun(), with_stun()], 20);
    lab.start();
    let passive = CandidateTransport::Tcp(TcpType::Passive);
    let candidate = lab.peer(BOB).found.iter().find(|one| one.transport == passive).unwrap().clone();
    let tries = [
        ("203.0.113.1", 22, false),
        ("192.168.0.1", 80, false),
        ("127.0.0.1", 8080, false),
        ("203.0.113.2", 443, true),
        ("203.0.113.3", 9000, true),
        ("192.168.0.2", 9000, true),
    ];
    for (address, port, allowed) in tries {
        let address_of = CandidateAddress::Ip(ip(address));
        let one = Candidate { address: address_of, port, ..candidate.clone() };
        lab.with(ALICE, |host, now| host.agent.add_remote_candidate(now, one));
        assert_eq!(has_pair(&lab, address), allowed, "{address}:{port}");
    }
}

#[test]
fn data_arrives_over_tcp_in_spite_of_loss() {
    let mut lab = walled([with_stun(), with_stun()], 21);
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |out, into| {
            out.loss = Loss::Random(0.1);
            into.loss = Loss::Random(0.1);
        });
    }
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    lab.run_for(SECOND * 60);
    assert!(lab.connected() && lab.exchanges_data());
    assert!(lab.both(|host| host.restarts_wanted == 0));
}

/// An agent with one listener, whose other side is known, and that listener's address.
fn listening() -> (Agent, Instant, SocketAddr) {
    let now = Network::<crate::lab::Software>::new(1).now();
    let mut agent = Agent::new(Config::default(), &mut ChaCha12Rng::seed_from_u64(1));
    agent.set_role(Role::Controlled);
    agent.handle_network_change(now, &[ip("192.0.2.1").into()]);
    agent.gather(now);
    let local: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    while let Some(request) = agent.poll_request() {
        match request {
            Request::BindUdp { id, .. } => agent.handle_input(now, Input::Bound { id, local }),
            Request::Listen { id, .. } => agent.handle_input(now, Input::Listening { id, local }),
            _ => {}
        }
    }
    agent.set_remote(now, stranger());
    (agent, now, local)
}

fn accept(agent: &mut Agent, now: Instant, local: SocketAddr, number: u16) -> Path {
    let remote = SocketAddr::new(ip("198.51.100.7"), 1000 + number);
    let path = Path::new(Transport::Tcp, local, remote);
    agent.handle_input(now, Input::Accepted { path });
    path
}

fn closed(agent: &mut Agent) -> Vec<Path> {
    let mut closed = Vec::new();
    while let Some(request) = agent.poll_request() {
        if let Request::CloseStream { path } = request {
            closed.push(path);
        }
    }
    closed
}

#[test]
fn silent_accepted_connections_are_bounded_and_expire() {
    let (mut agent, now, local) = listening();
    let paths: Vec<Path> = (0..1000).map(|number| accept(&mut agent, now, local, number)).collect();
    assert_eq!(closed(&mut agent), paths[..984], "all but the last sixteen");
    // The peer is among them, and shows who it is.
    let password = agent.local_credentials().pwd.clone();
    let mut check = check(&agent, &password, None, true);
    let received = agent.handle_datagram(now, paths[990], Ecn::NotEct, &mut check);
    assert_eq!(received, Received::Consumed);
    let mut buffer = [0; 2000];
    let answer = agent.poll_transmit(now, &mut buffer).expect("an answer");
    assert_eq!(answer.path, paths[990]);
    let length = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
    assert_eq!(answer.range, 0..2 + length);
    let mut now = now;
    while let Some(at) = agent.poll_timeout().filter(|at| *at <= now + SECOND * 10) {
        now = at;
        agent.handle_timeout(at);
        while agent.poll_transmit(at, &mut buffer).is_some() {}
    }
    let mut gone = closed(&mut agent);
    gone.sort();
    let mut strangers = [&paths[984..990], &paths[991..]].concat();
    strangers.sort();
    assert_eq!(gone, strangers, "after ten seconds");
}

#[test]
fn unexpected_first_message_closes_a_connection() {
    let (mut agent, now, local) = listening();
    let forged = check(&agent, "not the password of this agent", None, true);
    let bad: [Vec<u8>; 4] = [b"GET / HTTP/1.1".to_vec(), vec![], vec![0; 20], forged];
    for (number, mut bytes) in (0..).zip(bad) {
        let path = accept(&mut agent, now, local, number);
        assert_eq!(agent.handle_datagram(now, path, Ecn::NotEct, &mut bytes), Received::Consumed);
        assert_eq!(closed(&mut agent), [path]);
        assert!(agent.poll_transmit(now, &mut [0; 2000]).is_none(), "no answer");
    }
    // A connection to an unknown listener is closed at once.
    let elsewhere: SocketAddr = "192.0.2.1:5001".parse().unwrap();
    let path = accept(&mut agent, now, elsewhere, 9);
    assert_eq!(closed(&mut agent), [path]);
}
