//! Attacks: forged messages, floods of candidates and requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_ice::{
    Agent, Candidate, CandidateAddress, CandidateKind, CandidateTransport, Config, Ecn, HEADROOM, Input,
    Path, Received, RemoteParameters, Request, Role, State, TAILROOM,
};
use columba_netsim::Network;
use columba_stun::attributes::{IceControlling, Priority, UseCandidate, Username, XorMappedAddress};
use columba_stun::{Class, IntegrityKey, MessageBuilder, Method, TransactionId};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

use crate::lab::{ALICE, BOB, Lab, ip};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn candidate(address: &str, number: u32) -> Candidate {
    Candidate {
        foundation: number.to_string().into(),
        transport: CandidateTransport::Udp,
        priority: 1_000_000 + number,
        address: CandidateAddress::Ip(ip(address)),
        port: 1024 + (number % 60_000) as u16,
        kind: CandidateKind::Host,
        related: None,
        ufrag: None,
        network_cost: None,
        url: None,
    }
}

pub(crate) fn stranger() -> RemoteParameters {
    let credentials = columba_ice::Credentials { ufrag: "them".into(), pwd: "a password of 22 chars".into() };
    RemoteParameters { credentials, lite: false, trickle: true, renomination: true, pacing: None }
}

/// A check as the stranger would send it, or with something wrong.
pub(crate) fn check(agent: &Agent, key: &str, username: Option<&str>, fingerprint: bool) -> Vec<u8> {
    let usual = format!("{}:them", agent.local_credentials().ufrag);
    let mut buffer = [0; 500];
    let mut builder =
        MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([9; 12])).unwrap();
    builder
        .push(&Username(username.unwrap_or(&usual)))
        .unwrap()
        .push(&Priority(5))
        .unwrap()
        .push(&IceControlling(1))
        .unwrap()
        .push(&UseCandidate)
        .unwrap()
        .integrity(&IntegrityKey::short_term(key))
        .unwrap();
    if fingerprint {
        builder.fingerprint().unwrap();
    }
    builder.as_bytes().to_vec()
}

/// An agent with one socket, whose other side is known.
pub(crate) fn agent() -> (Agent, Instant, SocketAddr) {
    agent_with(Config::default(), stranger())
}

pub(crate) fn agent_with(config: Config, remote: RemoteParameters) -> (Agent, Instant, SocketAddr) {
    let now = Network::<crate::lab::Software>::new(1).now();
    let mut agent = Agent::new(config, &mut ChaCha12Rng::seed_from_u64(1));
    agent.set_role(Role::Controlled);
    agent.handle_network_change(now, &[ip("192.0.2.1").into()]);
    agent.gather(now);
    let local: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    while let Some(request) = agent.poll_request() {
        if let Request::BindUdp { id, .. } = request {
            agent.handle_input(now, Input::Bound { id, local });
        }
    }
    agent.set_remote(now, remote);
    (agent, now, local)
}

fn sends(agent: &mut Agent, now: Instant) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut buf = [0; 2000];
    while let Some(transmit) = agent.poll_transmit(now, &mut buf) {
        sent.push(buf[transmit.range].to_vec());
    }
    sent
}

#[test]
fn forged_requests_are_dropped() {
    let (mut agent, now, local) = agent();
    let remote = "198.51.100.66:666".parse().unwrap();
    let pwd = agent.local_credentials().pwd.to_string();
    let usual = format!("{}:them", agent.local_credentials().ufrag);
    let forged = [
        check(&agent, "another password", None, true),
        check(&agent, &pwd, Some("me:them"), true),
        check(&agent, &pwd, Some(&usual.replace("them", "others")), true),
        check(&agent, &pwd, None, false),
        vec![0; 20],
        vec![0x80; 40],
        Vec::new(),
    ];
    for mut bytes in forged {
        assert_eq!(
            agent.handle_datagram(now, Path::udp(local, remote), Ecn::NotEct, &mut bytes),
            Received::Consumed
        );
        assert!(sends(&mut agent, now).is_empty());
    }
    assert!(agent.stats().pairs.is_empty() && agent.stats().transport.dropped >= 6);
    // The same from who knows the password is answered, with less than was asked.
    let mut bytes = check(&agent, &pwd, None, true);
    let asked = bytes.len();
    agent.handle_datagram(now, Path::udp(local, remote), Ecn::NotEct, &mut bytes);
    let sent = sends(&mut agent, now);
    assert_eq!(sent.len(), 2, "the answer and a check of its own");
    assert!(sent[0].len() <= asked, "nothing larger goes to an address that is not proven");
    assert_eq!(agent.stats().pairs.len(), 1);
}

/// The stranger nominates its address `remote`, and answers what it is asked, here and elsewhere.
fn nominate(agent: &mut Agent, now: Instant, local: SocketAddr, remote: SocketAddr) {
    let pwd = agent.local_credentials().pwd.to_string();
    let mut bytes = check(agent, &pwd, None, true);
    agent.handle_datagram(now, Path::udp(local, remote), Ecn::NotEct, &mut bytes);
    let mut buf = [0; 2000];
    while let Some(transmit) = agent.poll_transmit(now, &mut buf) {
        let request = columba_stun::Message::parse(&buf[transmit.range.clone()]).unwrap();
        if request.class() != Class::Request {
            continue;
        }
        let mut buffer = [0; 200];
        let mut answer = MessageBuilder::new(
            &mut buffer,
            Class::SuccessResponse,
            Method::BINDING,
            request.transaction_id(),
        )
        .unwrap();
        answer.push(&XorMappedAddress(local)).unwrap();
        answer.integrity(&IntegrityKey::short_term(&stranger().credentials.pwd)).unwrap();
        answer.fingerprint().unwrap();
        let mut answer = answer.as_bytes().to_vec();
        agent.handle_datagram(now, transmit.path, Ecn::NotEct, &mut answer);
    }
}

/// Where the data goes now.
fn target(agent: &Agent) -> Option<std::net::IpAddr> {
    let stats = agent.stats();
    let pair = stats.pairs.iter().find(|pair| Some(pair.id) == stats.transport.selected_pair)?;
    let remote = stats.remote_candidates.iter().find(|remote| remote.id == pair.remote)?;
    remote.candidate.socket_address().map(|address| address.ip())
}

#[test]
fn best_of_several_nominated_pairs_is_selected_until_its_nomination_is_stale() {
    let (mut agent, now, local) = agent();
    let [worse, better] = [1, 2].map(|number| candidate(&format!("198.51.100.{number}"), number));
    for candidate in [&worse, &better] {
        agent.add_remote_candidate(now, (*candidate).clone());
    }
    let [worse, better] = [worse, better].map(|candidate| candidate.socket_address().unwrap());
    nominate(&mut agent, now, local, worse);
    assert_eq!(target(&agent), Some(worse.ip()));
    nominate(&mut agent, now, local, better);
    assert_eq!(target(&agent), Some(better.ip()));
    // As Firefox does, which nominates every pair that it checks.
    nominate(&mut agent, now + SECOND, local, worse);
    assert_eq!(target(&agent), Some(better.ip()));
    // As Chromium does, which has changed to another path.
    nominate(&mut agent, now + 6 * SECOND, local, worse);
    assert_eq!(target(&agent), Some(worse.ip()));
}

#[test]
fn ten_thousand_candidates_cost_a_bounded_number_of_checks() {
    let (mut agent, start, _) = agent();
    for number in 0..10_000 {
        agent.add_remote_candidate(start, candidate("198.51.100.66", number));
    }
    let mut named = candidate("198.51.100.66", 1);
    for number in 0..10_000 {
        named.address = CandidateAddress::Name(format!("{number}.local").into());
        agent.add_remote_candidate(start, named.clone());
    }
    let mut strange = candidate("198.51.100.66", 1);
    for number in 0..10_000 {
        strange.ufrag = Some(number.to_string().into());
        agent.add_remote_candidate(start, strange.clone());
    }
    assert!(agent.stats().pairs.len() <= 100 && agent.stats().remote_candidates.len() <= 100);
    let mut events = 0;
    while agent.poll_event().is_some() || agent.poll_request().is_some() {
        events += 1;
    }
    assert!(events < 200);
    let (mut now, mut sent) = (start, 0);
    while now < start + SECOND * 60 && agent.state() != State::Failed {
        sent += sends(&mut agent, now).len();
        let Some(next) = agent.poll_timeout() else { break };
        now = now.max(next);
        agent.handle_timeout(now);
    }
    assert!(sent < 2500, "{sent} checks");
    assert!(sent > 500, "all pairs were tried");
}

#[test]
fn pairs_from_many_sources_are_bounded() {
    let (mut agent, now, local) = agent();
    let pwd = agent.local_credentials().pwd.to_string();
    for number in 0..5000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let remote = SocketAddr::from(([198, 51, high, low], 7));
        let mut bytes = check(&agent, &pwd, None, true);
        agent.handle_datagram(now, Path::udp(local, remote), Ecn::NotEct, &mut bytes);
    }
    let stats = agent.stats();
    assert!(stats.pairs.len() <= 100 && stats.remote_candidates.len() <= 100);
    assert!(sends(&mut agent, now).len() <= 512);
}

#[test]
fn answers_with_wrong_integrity_are_dropped() {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), 1);
    lab.with(ALICE, |host, now| host.gather(now));
    lab.with(BOB, |host, now| host.gather(now));
    let mut wrong = lab.peer(BOB).parameters();
    wrong.credentials.pwd = "another password of 30 letters".into();
    lab.with(ALICE, |host, now| host.agent.set_remote(now, wrong));
    lab.signal_description(ALICE, BOB);
    lab.run_for(SECOND * 5);
    // Bob knows Alice's password; she takes nothing from one who does not know what she was told of
    // his.
    assert!(lab.peer(ALICE).selected.is_empty() && lab.peer(ALICE).writable_at.is_none());
    assert!(lab.peer(BOB).agent.stats().transport.dropped > 0);
}

#[test]
fn data_from_unknown_addresses_is_dropped() {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), 2);
    lab.start();
    assert!(lab.run_until(SECOND * 2, Lab::settled));
    let local = lab.peer(ALICE).selected[0].path.local;
    lab.with(ALICE, |host, now| {
        let path = Path::udp(local, "203.0.113.5:1".parse().unwrap());
        let received = host.agent.handle_datagram(now, path, Ecn::NotEct, &mut [0x80, 1, 2, 3]);
        assert_eq!(received, Received::Consumed);
    });
}

#[test]
fn batches_keep_their_range_and_no_path_means_no_transmit() {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), 3);
    lab.with(ALICE, |host, now| {
        assert_eq!(host.agent.prepare(now, &mut [0; 100], 50..60, None), None, "no pair, no way");
    });
    lab.start();
    assert!(lab.run_until(SECOND * 2, Lab::settled));
    lab.with(ALICE, |host, now| {
        assert!(host.agent.takes_batches());
        let mut buffer = [7; HEADROOM + 3000 + TAILROOM];
        let range = HEADROOM..HEADROOM + 3000;
        let transmit = host.agent.prepare(now, &mut buffer, range.clone(), Some(1200)).unwrap();
        assert_eq!((transmit.range, transmit.segment_size), (range, Some(1200)));
        assert_eq!(buffer, [7; HEADROOM + 3000 + TAILROOM]);
        let stats = host.agent.stats();
        assert_eq!((stats.transport.packets_sent, stats.transport.bytes_sent), (3, 3000));
    });
}
