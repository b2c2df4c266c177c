//! The pacing of checks (RFC 8445 §14).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_ice::{Agent, Config, Ecn, Path, Timings};

use crate::hostile::{agent_with, candidate, check, stranger};

const MS: Duration = Duration::from_millis(1);

/// When checks went out for the first time, and where to.
fn first_checks(agent: &mut Agent, start: Instant, span: Duration) -> Vec<(Duration, SocketAddr)> {
    let (mut now, mut sent) = (start, Vec::new());
    let mut known = std::collections::BTreeSet::new();
    let mut buf = [0; 2000];
    loop {
        while let Some(transmit) = agent.poll_transmit(now, &mut buf) {
            if buf[transmit.range.clone()][..2] == [0, 1] && known.insert(transmit.path.remote) {
                sent.push((now - start, transmit.path.remote));
            }
        }
        match agent.poll_timeout() {
            Some(next) if next < start + span => now = now.max(next),
            _ => return sent,
        }
        agent.handle_timeout(now);
    }
}

fn with_pacing(own: u64, theirs: Option<u64>) -> (Agent, Instant, SocketAddr) {
    let timings = Timings { pacing: MS * u32::try_from(own).unwrap(), ..Timings::default() };
    let config = Config { timings, ..Config::default() };
    agent_with(
        config,
        columba_ice::RemoteParameters { pacing: theirs.map(Duration::from_millis), ..stranger() },
    )
}

#[test]
fn slower_side_sets_the_pace_with_fifty_milliseconds_as_default() {
    for (own, theirs, expected) in [
        (50, None, 50),
        (10, None, 50),
        (10, Some(20), 20),
        (30, Some(20), 30),
        (80, Some(20), 80),
        (10, Some(200), 200),
        (1, Some(0), 5),
    ] {
        let (mut agent, now, _) = with_pacing(own, theirs);
        for number in 1..=20 {
            agent.add_remote_candidate(now, candidate(&format!("198.51.100.{number}"), number));
        }
        let sent = first_checks(&mut agent, now, Duration::from_secs(5));
        assert_eq!(sent.len(), 20);
        let at_once = sent.iter().filter(|(at, _)| at.is_zero()).count();
        assert_eq!(at_once, 7, "the first one, and a burst of six");
        let paced = sent[at_once..].windows(2).map(|pair| pair[1].0 - pair[0].0);
        assert!(paced.into_iter().all(|distance| distance == MS * expected), "{own}, {theirs:?}: {sent:?}");
    }
}

/// The floor of 5 ms is each address's own: checks to one do not hold up those to others.
#[test]
fn checks_to_one_address_are_spaced_even_in_the_burst() {
    let (mut agent, now, _) = with_pacing(50, None);
    for number in 1..=12 {
        let address = ["198.51.100.1", "198.51.100.2", "198.51.100.3"][number as usize % 3];
        agent.add_remote_candidate(now, candidate(address, number));
    }
    let sent = first_checks(&mut agent, now, Duration::from_secs(5));
    assert_eq!(sent.len(), 12);
    let mut by_address: BTreeMap<IpAddr, Vec<Duration>> = BTreeMap::new();
    for (at, to) in &sent {
        by_address.entry(to.ip()).or_default().push(*at);
    }
    assert!(by_address.values().all(|times| times[0].is_zero()), "each address is asked at once: {sent:?}");
    for times in by_address.values() {
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= MS * 5), "{sent:?}");
    }
    assert!(sent.iter().filter(|(at, _)| *at <= MS * 15).count() >= 7, "the burst is not lost: {sent:?}");
}

#[test]
fn triggered_checks_are_spaced_and_not_lost() {
    let (mut agent, now, local) = with_pacing(50, None);
    let pwd = agent.local_credentials().pwd.to_string();
    for port in 1001..=1004 {
        let mut request = check(&agent, &pwd, None, true);
        let remote = SocketAddr::new("198.51.100.66".parse().unwrap(), port);
        agent.handle_datagram(now, Path::udp(local, remote), Ecn::NotEct, &mut request);
    }
    let sent = first_checks(&mut agent, now, Duration::from_millis(100));
    let times: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [Duration::ZERO, MS * 5, MS * 10, MS * 15], "{sent:?}");
}

/// No agent waits for another one: a process with a thousand of them has a thousand paces.
#[test]
fn agents_in_one_process_are_paced_independently() {
    let mut agents: Vec<_> = (0..50).map(|_| with_pacing(50, None)).collect();
    for (number, (agent, now, _)) in agents.iter_mut().enumerate() {
        agent.add_remote_candidate(*now, candidate("198.51.100.7", number as u32));
        assert_eq!(first_checks(agent, *now, MS * 10)[0].0, Duration::ZERO);
    }
}
