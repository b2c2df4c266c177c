//! Random worlds in which random things go wrong, and what must hold all the same.

use std::time::{Duration, Instant};

use columba_ice::{
    AddressPolicy, Config, IceServer, Role, SelectedPair, ServerKind, State, TcpMode, Transport,
};
use columba_netsim::{Firewall, InterfaceId, Link, Loss, Nat, PortAssignment, Random, Router, ZoneId};

use crate::connecting::behind;
use crate::lab::{ALICE, AgentHost, BOB, Lab, ip, servers};
use crate::matrix::kinds;
use crate::server::TurnHost;

const SECOND: Duration = Duration::from_secs(1);

/// Scenarios in an ordinary run; `NETSIM_SCENARIOS=10000` for the great one (`cargo xtask
/// scenarios`).
const SCENARIOS: u64 = 100;

/// Checks and questions to STUN servers of one agent in any second, at most: two for each of the
/// hundred pairs that it has at most, on hosts with up to five addresses and three allocations for
/// each. With one address and two allocations it is below half of that.
const STORM: usize = 200;

/// Messages of one agent's own in twenty seconds of peace: four checks of consent, those of three
/// pairs in reserve, the answers to as many, and what keeps up to ten allocations.
const PEACE: u64 = 60;

struct Scenario {
    lab: Lab,
    random: Random,
    links: Vec<Link>,
    /// The interfaces that a peer has beside its first one, or has moved to.
    others: Vec<(usize, InterfaceId)>,
    turn: bool,
    /// True if an allocation may have been lost without its agent being able to say so.
    orphans: bool,
    moves: u8,
    description: String,
}

/// Whatever went wrong, the trace is printed, with the seed that leads there again.
impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}\n{:#?}\n{}", self.description, describe(&self.lab), self.lab.network.trace());
        }
    }
}

impl Scenario {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut lab = Lab::new(seed);
        let turn = random.chance(0.8);
        let mut config = Config::default();
        config.servers.push(servers(ServerKind::Stun, Transport::Udp, 3478));
        if turn {
            config.servers.push(servers(ServerKind::Turn, Transport::Udp, 3478));
            config.servers.push(servers(ServerKind::Turn, Transport::Tcp, 443));
        }
        config.renomination = random.chance(0.7);
        config.tcp = *random.pick(&[
            TcpMode::Off,
            TcpMode::Active,
            TcpMode::ActivePassive,
            TcpMode::ActivePassive,
            TcpMode::SimultaneousOpen,
            TcpMode::SimultaneousOpen,
        ]);
        config.candidate_pool = random.chance(0.3);
        config.address_policy = *random.pick(&[
            AddressPolicy::All,
            AddressPolicy::All,
            AddressPolicy::All,
            AddressPolicy::DefaultRoute,
            AddressPolicy::RelayOnly,
        ]);
        // Candidates may come before descriptions, or long after.
        lab.delay = random.up_to(Duration::from_millis(400));
        lab.description_delay = random.chance(0.5).then(|| random.up_to(Duration::from_millis(400)));
        let disorder = if random.chance(0.5) { random.up_to(SECOND) } else { Duration::ZERO };
        let mut description = format!("NETSIM_SEED={seed}: {:?}", config.address_policy);
        let mut links = Vec::new();
        let shared = random.chance(0.15).then(|| lab.add_home(behind("198.51.100.9", Nat::PORT)));
        for index in 0..2 {
            let zone = shared.unwrap_or_else(|| Self::zone(&mut lab, &mut random, index, &mut description));
            let link = Self::link(&mut random);
            let address = if zone == lab.internet {
                ["203.0.113.7", "203.0.113.8"][index]
            } else if shared.is_some() {
                ["192.168.0.7", "192.168.0.8"][index]
            } else {
                "192.168.0.7"
            };
            // Where a NAT forgets, one host may come by the other's port; the server tells them by
            // their names.
            let servers = config.servers.iter().map(|server| of_user(server, index)).collect();
            lab.add_peer(zone, address, Config { servers, ..config.clone() }, link.clone());
            lab.with(index, |host, _| host.disorder = disorder);
            links.push(link);
        }
        let mut others = Vec::new();
        for (index, link) in links.iter().enumerate() {
            if random.chance(0.2) {
                others.push((index, Self::add_ipv6(&mut lab, index, link.clone())));
                description += " v6";
            }
        }
        let roles = *random.pick(&[
            [Role::Controlling, Role::Controlled],
            [Role::Controlled, Role::Controlling],
            [Role::Controlling; 2],
            [Role::Controlled; 2],
        ]);
        for (index, role) in roles.into_iter().enumerate() {
            lab.with(index, |host, _| host.agent.set_role(role));
        }
        Self { lab, random, links, others, turn, orphans: false, moves: 0, description }
    }

    /// The loss on both links together is up to 30 %.
    fn link(random: &mut Random) -> Link {
        let share = random.unit() * 0.163;
        let bursts = Loss::Burst { enter: 0.2 * share / (1.0 - share), leave: 0.2, loss: 1.0 };
        Link {
            delay: Duration::from_millis(1) + random.up_to(Duration::from_millis(100)),
            jitter: random.up_to(Duration::from_millis(20)),
            loss: if random.chance(0.3) { bursts } else { Loss::Random(share) },
            duplicate: random.unit() * 0.05,
            reorder: random.unit() * 0.05,
            corrupt: random.unit() * 0.02,
            ..Link::default()
        }
    }

    /// IPv6 beside IPv4, behind a firewall that lets answers in.
    fn add_ipv6(lab: &mut Lab, index: usize, link: Link) -> InterfaceId {
        let zone = lab.network.add_zone();
        let firewall = Router { firewall: Firewall::stateful(), ..Router::default() };
        let router = lab.network.add_router(zone, lab.internet, firewall);
        let (network, address) =
            [("2001:db8:1::", "2001:db8:1::7"), ("2001:db8:2::", "2001:db8:2::7")][index];
        lab.network.add_route(lab.internet, ip(network), 64, router);
        lab.with(index, |host, _| host.addresses.push(ip(address).into()));
        lab.network.attach(lab.peers[index], zone, ip(address), link)
    }

    fn zone(lab: &mut Lab, random: &mut Random, index: usize, description: &mut String) -> ZoneId {
        let outer = ["198.51.100.1", "198.51.100.2"][index];
        let mut nat = *random.pick(&kinds());
        nat.hairpin = random.chance(0.5);
        nat.ports =
            *random.pick(&[PortAssignment::Preserving, PortAssignment::Sequential, PortAssignment::Random]);
        nat.timeout = *random.pick(&[SECOND * 30, SECOND * 120]);
        let kind = random.below(10);
        let zone = match kind {
            0 => lab.internet,
            1 => lab.add_home(Router { firewall: Firewall::only_https(), ..behind(outer, nat) }),
            2 => lab.add_home(Router { firewall: Firewall::only_tcp(), ..behind(outer, nat) }),
            3 => {
                let carrier = lab.add_home(behind(outer, *random.pick(&[Nat::CONE, Nat::PORT])));
                let home = lab.network.add_zone();
                lab.network.add_router(home, carrier, behind("100.64.0.5", nat));
                home
            }
            _ => lab.add_home(behind(outer, nat)),
        };
        *description += &format!(" {:?}/{:?} {kind}", nat.mapping, nat.filtering);
        zone
    }

    fn set_loss(&mut self, index: usize, loss: f64) {
        let interface = self.lab.interfaces[index];
        self.lab.network.change_link(interface, |out, into| {
            for link in [out, into] {
                link.loss = Loss::Random(loss);
            }
        });
    }

    /// Into another network, with another address, while the old one goes or stays.
    fn move_on(&mut self, index: usize) {
        self.moves += 1;
        let outer = format!("198.51.100.{}", 20 + self.moves);
        let nat = *self.random.pick(&kinds());
        let home = self.lab.add_home(behind(&outer, nat));
        let address = ip(&format!("10.{}.0.7", self.moves));
        let link = self.links[index].clone();
        let interface = self.lab.network.attach(self.lab.peers[index], home, address, link);
        self.lab.network.set_up(interface, true);
        self.others.push((index, interface));
        if self.random.chance(0.5) {
            let old = self.lab.interfaces[index];
            self.lab.network.set_up(old, false);
        }
    }

    fn restart(&mut self) {
        let offerer = self.random.below(2) as usize;
        let (answerer, delay) = (1 - offerer, self.lab.description_delay.unwrap_or(self.lab.delay));
        self.begin_again(offerer);
        self.lab.run_for(delay);
        self.begin_again(answerer);
        self.lab.signal_description(offerer, answerer);
        self.lab.run_for(delay);
        self.lab.signal_description(answerer, offerer);
    }

    fn begin_again(&mut self, index: usize) {
        self.lab.with(index, |host, now| {
            host.agent.restart(now, None);
            host.kept = host.selected.pop().or_else(|| host.kept.take());
            host.selected.clear();
            host.candidates.clear();
            host.gathered = false;
            host.agent.gather(now);
        });
    }

    /// One thing goes wrong, or back to order.
    fn disturb(&mut self) {
        let index = self.random.below(2) as usize;
        let what = self.random.below(7);
        self.orphans |= what != 3;
        self.description += &format!(" fault {what}");
        match what {
            0 => self.set_loss(index, 1.0),
            1 => {
                let interface = self.lab.interfaces[index];
                self.lab.network.set_up(interface, false);
            }
            2 => {
                let interface = self.lab.interfaces[index];
                self.lab.network.set_up(interface, true);
            }
            3 => self.restart(),
            4 => self.move_on(index),
            5 => self.lab.with(index, AgentHost::break_streams),
            _ => {
                let routers = self.lab.routers.clone();
                if !routers.is_empty() {
                    let router = *self.random.pick(&routers);
                    self.lab.network.flush_router(router);
                }
            }
        }
    }

    /// The faults stop.
    fn calm(&mut self) {
        let first = [ALICE, BOB].map(|index| (index, self.lab.interfaces[index]));
        for (index, interface) in first.into_iter().chain(self.others.clone()) {
            let link = self.links[index].clone();
            self.lab.network.change_link(interface, |out, into| {
                for one in [out, into] {
                    *one = Link::with_delay(link.delay);
                }
            });
            self.lab.network.set_up(interface, true);
        }
    }

    /// The invariants at any time.
    fn check(&self) {
        for index in [ALICE, BOB] {
            let host = self.lab.peer(index);
            let stats = host.agent.stats();
            assert!(stats.pairs.len() <= 100 && stats.remote_candidates.len() <= 100, "memory");
            assert!(stats.local_candidates.len() <= 100 && host.sockets <= 40, "memory");
            assert!(host.listeners <= 20 && host.paths.len() <= 60, "memory");
            if let Some(id) = stats.transport.selected_pair {
                let pair = stats.pairs.iter().find(|pair| pair.id == id).expect("the selected pair exists");
                assert!(pair.counters.responses_received > 0, "a pair without a successful check");
            }
            let unproven = &host.wire.unproven;
            assert!(unproven.is_empty(), "no answer was seen where this pair was selected: {unproven:#?}");
            assert!(host.wire.busiest <= STORM, "{} checks in a second", host.wire.busiest);
        }
    }

    /// Once all checks have ended, there is nothing but consent and keepalives.
    fn check_peace(&mut self) {
        self.lab.run_for(SECOND * 45);
        let messages = |lab: &Lab| [ALICE, BOB].map(|index| lab.peer(index).wire.messages);
        let before = messages(&self.lab);
        self.lab.run_for(SECOND * 20);
        let after = messages(&self.lab);
        let sent = [after[0] - before[0], after[1] - before[1]];
        assert!(sent.iter().all(|sent| *sent <= PEACE), "{sent:?} messages in 20 s of peace");
    }
}

/// The server, with credentials of this host's own.
fn of_user(server: &IceServer, index: usize) -> IceServer {
    let credentials = TurnHost::credentials_of(["ada", "bertha"][index]);
    IceServer {
        username: credentials.username.as_str().into(),
        credential: credentials.password.as_str().into(),
        ..server.clone()
    }
}

/// Both sides, for who must find out what went wrong.
fn describe(lab: &Lab) -> impl std::fmt::Debug {
    [ALICE, BOB].map(|index| {
        let host = lab.peer(index);
        let agent = &host.agent;
        (
            host.states.clone(),
            host.restarts_wanted,
            agent.role(),
            agent.stats().pairs,
            host.selected.last().cloned(),
        )
    })
}

fn is_settled(lab: &Lab) -> bool {
    let pair = |index: usize| lab.peer(index).selected.last();
    agree(lab, pair(ALICE), pair(BOB))
}

/// Returns whether a restart has found nothing, and the path from before it still works.
fn is_as_before(lab: &Lab) -> bool {
    let pair = |index: usize| lab.peer(index).selected.last().or_else(|| lab.peer(index).kept.as_ref());
    agree(lab, pair(ALICE), pair(BOB))
}

fn agree(lab: &Lab, one: Option<&SelectedPair>, two: Option<&SelectedPair>) -> bool {
    let (Some(one), Some(two)) = (one, two) else { return false };
    lab.connected()
        && one.remote.socket_address() == two.local.socket_address()
        && two.remote.socket_address() == one.local.socket_address()
}

fn run(seed: u64) -> Outcome {
    let mut scenario = Scenario::new(seed);
    let offerer = scenario.random.below(2) as usize;
    // A pool has had some time, or none.
    for index in [ALICE, BOB] {
        scenario.lab.with(index, |host, now| {
            let addresses = host.addresses.clone();
            host.agent.handle_network_change(now, &addresses);
        });
    }
    let head_start = if scenario.random.chance(0.5) { scenario.random.up_to(SECOND) } else { Duration::ZERO };
    scenario.lab.run_for(head_start);
    scenario.lab.start_from(offerer);
    for _ in 0..scenario.random.below(5) {
        let longest = if scenario.random.chance(0.5) { SECOND } else { SECOND * 8 };
        let pause = scenario.random.up_to(longest);
        scenario.lab.run_for(pause);
        scenario.disturb();
        scenario.check();
    }
    scenario.calm();
    // Long enough for a broken TCP connection to be noticed, and for consent.
    scenario.lab.run_for(SECOND * 40);
    let content = scenario.lab.both(|host| host.restarts_wanted == 0);
    if !content || !scenario.lab.run_until(SECOND * 10, is_settled) {
        // What an application does when it is told that a restart is wanted.
        scenario.restart();
    }
    let settled = scenario.lab.run_until(SECOND * 60, is_settled);
    scenario.check();
    let lab = &mut scenario.lab;
    if settled {
        lab.run_for(SECOND);
        assert!(lab.exchanges_data(), "no data on the settled pair");
        scenario.check_peace();
    } else if is_as_before(lab) {
        assert!(!scenario.turn, "a relay would have been there");
        assert!(lab.exchanges_data(), "no data on the old pair");
    } else {
        assert!(!scenario.turn, "a relay would have been there");
        let failed = lab.run_until(SECOND * 60, |lab| lab.both(|host| host.agent.state() == State::Failed));
        assert!(failed, "neither settled nor failed");
    }
    let lab = &mut scenario.lab;
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.agent.close(now));
    }
    // An allocation whose network went away cannot be released: it ends with its lifetime.
    lab.run_for(if scenario.orphans { SECOND * 660 } else { SECOND });
    assert_eq!(lab.turn().allocations(), 0, "allocations are released");
    assert!(lab.both(|host| host.sockets + host.listeners + host.paths.len() == 0), "all is released");
    assert!(lab.both(|host| host.agent.poll_timeout().is_none()), "all is released");
    let busiest = [ALICE, BOB].map(|index| lab.peer(index).wire.busiest);
    Outcome { settled, busiest: busiest[0].max(busiest[1]), elapsed: lab.network.elapsed() }
}

/// The outcome of a scenario.
#[derive(Clone, Copy)]
struct Outcome {
    settled: bool,
    /// The most checks in any second.
    busiest: usize,
    elapsed: Duration,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it really takes is printed, and nothing depends on it"
)]
fn real_time() -> Instant {
    Instant::now()
}

#[test]
fn both_sides_agree_or_fail_after_random_faults() {
    if let Ok(seed) = std::env::var("NETSIM_SEED") {
        run(seed.parse().expect("a number"));
        return;
    }
    let count = std::env::var("NETSIM_SCENARIOS").map_or(SCENARIOS, |text| text.parse().expect("a number"));
    let begun = real_time();
    let halves = std::thread::scope(|scope| {
        let half = |first| scope.spawn(move || (first..count).step_by(2).map(run).collect::<Vec<_>>());
        [half(0), half(1)].map(|thread| thread.join().expect("no scenario fails"))
    });
    let outcomes = halves.concat();
    let settled = outcomes.iter().filter(|outcome| outcome.settled).count();
    let busiest = outcomes.iter().map(|outcome| outcome.busiest).max().unwrap_or(0);
    let hours = outcomes.iter().map(|outcome| outcome.elapsed.as_secs_f64()).sum::<f64>() / 3600.0;
    println!(
        "{settled} of {count} scenarios settled, the others failed on both sides; {hours:.0} hours of virtual time in {:.1} s; \
         {busiest} checks of one agent in one second at most",
        real_time().duration_since(begun).as_secs_f64()
    );
    assert!(settled as u64 > count * 7 / 10);
}
