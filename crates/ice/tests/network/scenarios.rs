//! Random worlds in which random things go wrong, and what must hold all the same.

use std::time::Duration;

use columba_ice::{Config, Role, ServerKind, State, Transport};
use columba_netsim::{Firewall, Link, Loss, Nat, Random, Router, ZoneId};

use crate::lab::{ALICE, BOB, Lab, servers};
use crate::meeting::behind;

const SECOND: Duration = Duration::from_secs(1);

/// Scenarios in an ordinary run; `NETSIM_SCENARIOS=10000` for the great one.
const SCENARIOS: u64 = 300;

struct Scenario {
    lab: Lab,
    random: Random,
    links: Vec<Link>,
    turn: bool,
    description: String,
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
        lab.delay = random.up_to(Duration::from_millis(400));
        let mut description = String::new();
        let mut links = Vec::new();
        let shared = random.chance(0.15).then(|| lab.add_home(behind("198.51.100.9", Nat::PORT)));
        for index in 0..2 {
            let zone = shared.unwrap_or_else(|| Self::zone(&mut lab, &mut random, index, &mut description));
            let link = Link {
                delay: Duration::from_millis(1) + random.up_to(Duration::from_millis(100)),
                jitter: random.up_to(Duration::from_millis(20)),
                loss: Loss::Random(random.unit() * 0.163),
                duplicate: random.unit() * 0.05,
                reorder: random.unit() * 0.05,
                corrupt: random.unit() * 0.02,
                ..Link::default()
            };
            let address = if zone == lab.internet {
                ["203.0.113.7", "203.0.113.8"][index]
            } else if shared.is_some() {
                ["192.168.0.7", "192.168.0.8"][index]
            } else {
                "192.168.0.7"
            };
            lab.add_peer(zone, address, config.clone(), link.clone());
            links.push(link);
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
        Self { lab, random, links, turn, description }
    }

    fn zone(lab: &mut Lab, random: &mut Random, index: usize, description: &mut String) -> ZoneId {
        let outer = ["198.51.100.1", "198.51.100.2"][index];
        let nats = [
            ("cone", Nat::CONE),
            ("address", Nat::ADDRESS),
            ("port", Nat::PORT),
            ("symmetric", Nat::SYMMETRIC),
        ];
        let (name, nat) = *random.pick(&nats);
        let kind = random.below(10);
        let zone = match kind {
            0 => lab.internet,
            1 => lab.add_home(Router { firewall: Firewall::only_https(), ..behind(outer, nat) }),
            2 => {
                let carrier = lab.add_home(behind(outer, *random.pick(&[Nat::CONE, Nat::PORT])));
                let home = lab.network.add_zone();
                lab.network.add_router(home, carrier, behind("100.64.0.5", nat));
                home
            }
            _ => lab.add_home(behind(outer, nat)),
        };
        *description += &format!(" {name}/{kind}");
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

    fn restart(&mut self) {
        let offerer = self.random.below(2) as usize;
        let (answerer, delay) = (1 - offerer, self.lab.delay);
        self.begin_again(offerer);
        self.lab.run_for(delay);
        self.begin_again(answerer);
        self.lab.tell(offerer, answerer);
        self.lab.run_for(delay);
        self.lab.tell(answerer, offerer);
    }

    fn begin_again(&mut self, index: usize) {
        self.lab.with(index, |host, now| {
            host.agent.restart(now, None);
            host.selected.clear();
            host.candidates.clear();
            host.gathered = false;
            host.agent.gather(now);
        });
    }

    /// One thing goes wrong, or back to order.
    fn disturb(&mut self) {
        let index = self.random.below(2) as usize;
        match self.random.below(5) {
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
        for index in [ALICE, BOB] {
            let link = self.links[index].clone();
            let interface = self.lab.interfaces[index];
            self.lab.network.change_link(interface, |out, into| {
                for one in [out, into] {
                    *one = Link::with_delay(link.delay);
                }
            });
            self.lab.network.set_up(interface, true);
        }
    }

    fn check(&self, what: &str) {
        let lab = &self.lab;
        for index in [ALICE, BOB] {
            let stats = lab.peer(index).agent.stats();
            assert!(stats.pairs.len() <= 100 && stats.remote_candidates.len() <= 100, "{what}");
            if let Some(id) = stats.transport.selected_pair {
                let pair = stats.pairs.iter().find(|pair| pair.id == id).expect("the selected pair exists");
                assert!(pair.counters.responses_received > 0, "{what}: a pair without a successful check");
            }
        }
        let seconds = lab.network.elapsed().as_secs().max(1);
        let sent = lab.network.stats().sent;
        assert!(sent / seconds < 200, "{what}: {sent} packets in {seconds} s\n{}", lab.network.trace());
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
    let (Some(one), Some(two)) = (pair(ALICE), pair(BOB)) else { return false };
    lab.connected()
        && one.remote.socket_address() == two.local.socket_address()
        && two.remote.socket_address() == one.local.socket_address()
}

fn run(seed: u64) -> bool {
    let mut scenario = Scenario::new(seed);
    let what = format!("NETSIM_SEED={seed}:{}", scenario.description);
    scenario.lab.start();
    for _ in 0..scenario.random.below(5) {
        let pause = scenario.random.up_to(SECOND * 8);
        scenario.lab.run_for(pause);
        scenario.disturb();
        scenario.check(&what);
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
    scenario.check(&what);
    let lab = &mut scenario.lab;
    if settled {
        lab.run_for(SECOND);
        assert!(
            lab.talks(),
            "{what}: no data on the settled pair\n{:#?}\n{}",
            describe(lab),
            lab.network.trace()
        );
    } else {
        assert!(!scenario.turn, "{what}: a relay would have been there\n{}", lab.network.trace());
        let failed = lab.run_until(SECOND * 60, |lab| lab.both(|host| host.agent.state() == State::Failed));
        assert!(failed, "{what}: neither settled nor failed\n{:#?}\n{}", describe(lab), lab.network.trace());
    }
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.agent.close(now));
    }
    // An allocation whose network went away cannot be released: it ends with its lifetime.
    lab.run_for(SECOND * 660);
    assert_eq!(lab.turn().allocations(), 0, "{what}\n{}", lab.network.trace());
    assert!(lab.both(|host| host.sockets == 0 && host.agent.poll_timeout().is_none()), "{what}");
    settled
}

#[test]
fn once_the_faults_stop_both_sides_settle_on_one_pair_or_fail() {
    if let Ok(seed) = std::env::var("NETSIM_SEED") {
        run(seed.parse().expect("a number"));
        return;
    }
    let count = std::env::var("NETSIM_SCENARIOS").map_or(SCENARIOS, |text| text.parse().expect("a number"));
    let settled = (0..count).filter(|seed| run(*seed)).count();
    println!("{settled} of {count} scenarios settled");
    assert!(settled as u64 > count * 8 / 10);
}
