//! Whole negotiations over the simulated network.

use std::time::{Duration, Instant};

use columba_ice::{Config, Timings};
use columba_netsim::{Link, Loss, Nat, Router};

use crate::lab::{ALICE, BOB, Lab, ip, with_stun, with_turn};

const NATS: [Nat; 4] = [Nat::CONE, Nat::ADDRESS, Nat::PORT, Nat::SYMMETRIC];

/// Negotiations for one figure.
const ROUNDS: u64 = 1000;

/// Where two peers are.
#[derive(Clone, Copy, PartialEq)]
enum World {
    /// One network.
    Lan,
    /// NATs that let each other's packets in once both have sent.
    Reflexive,
    /// NATs that need a relay.
    Relayed,
    /// A pair of the four classical kinds of NAT, by the seed.
    AnyNats,
}

impl World {
    fn name(self) -> &'static str {
        match self {
            Self::Lan => "LAN",
            Self::Reflexive => "reflexive",
            Self::Relayed => "relayed",
            Self::AnyNats => "any NATs",
        }
    }

    fn lab(self, seed: u64, loss: f64, timings: &Timings) -> Lab {
        let mut lab = Lab::new(seed);
        let link = Link { loss: on_each_link(loss), ..Link::with_delay(Duration::from_millis(10)) };
        let base = if self == Self::Reflexive { with_stun() } else { with_turn() };
        let config = Config { timings: timings.clone(), ..base };
        if self == Self::Lan {
            let lan = lab.network.add_zone();
            for address in ["10.0.0.1", "10.0.0.2"] {
                let config = Config { servers: Vec::new(), ..config.clone() };
                lab.add_peer(lan, address, config, link.clone());
            }
            return lab;
        }
        for index in 0..2 {
            let outer = vec![ip(["198.51.100.1", "198.51.100.2"][index])];
            let nat = match self {
                Self::AnyNats => NATS[(seed as usize >> (2 * index)) % NATS.len()],
                Self::Relayed => Nat::SYMMETRIC,
                _ => Nat::PORT,
            };
            let home = lab.add_home(Router { outer, nat: Some(nat), ..Router::default() });
            lab.add_peer(home, "192.168.0.7", config.clone(), link.clone());
        }
        lab
    }
}

/// Splits the loss of a whole path over its two links.
fn on_each_link(loss: f64) -> Loss {
    Loss::Random(1.0 - (1.0 - loss).sqrt())
}

/// The timings of the RFCs: half a second until the first retransmission, each wait twice the one
/// before, and no burst.
fn rfc_timings() -> Timings {
    let rto = Duration::from_millis(500);
    Timings { burst: 0, check_rto: rto, server_rto: rto, quick_repetitions: 0, ..Timings::default() }
}

/// Measures the negotiations of one core in a second.
pub(crate) fn negotiations() {
    let begun = crate::cost::busy();
    let mut packets = 0;
    for seed in 0..ROUNDS {
        let mut lab = World::AnyNats.lab(seed, 0.0, &Timings::default());
        lab.start();
        assert!(lab.run_until(Duration::from_secs(20), Lab::settled), "seed {seed} does not settle");
        packets += lab.network.stats().sent;
    }
    let took = crate::cost::busy() - begun;
    println!(
        "{:.0} negotiations with NATs and TURN per second on one core, {} packets each\n",
        ROUNDS as f64 / took.as_secs_f64(),
        packets / ROUNDS
    );
}

/// Virtual time until both sides have a usable pair.
pub(crate) fn times() {
    println!(
        "virtual time until both sides have a usable pair; round trip 40 ms, loss each way, {ROUNDS} runs a line:"
    );
    println!(
        "A: candidates gathered and exchanged before; B: gathered from the beginning, each sent when found (20 ms)"
    );
    println!(
        "{:31}{:>30}{:>36}{:>36}",
        "", "ours", "by the book (500 ms, no burst)", "is 0.12 (nominated pair)"
    );
    let heads = ["median", "99 %", "packets"];
    let heads = heads.map(|head| format!("{head:>11}")).concat();
    println!("{:31}{heads}   {heads}   {heads}", "");
    for world in [World::Lan, World::Reflexive, World::Relayed, World::AnyNats] {
        for trickled in [false, true] {
            for loss in [0.0, 0.05, 0.2] {
                let ours = Figures::of(world, trickled, loss, &Timings::default());
                let book = Figures::of(world, trickled, loss, &rfc_timings());
                let way = if trickled { 'B' } else { 'A' };
                let needs_server = trickled || !matches!(world, World::Lan | World::Reflexive);
                let is = if needs_server { String::new() } else { Figures::of_is(world, loss).shown() };
                println!(
                    "{:10} {way} loss {:>3.0} %        {}   {}   {is}",
                    world.name(),
                    loss * 100.0,
                    ours.shown(),
                    book.shown(),
                );
            }
        }
    }
    println!();
}

/// The results of many runs of one kind.
struct Figures {
    times: Vec<Duration>,
    packets: u64,
}

impl Figures {
    fn of(world: World, trickled: bool, loss: f64, timings: &Timings) -> Self {
        let mut figures = Self { times: Vec::new(), packets: 0 };
        for seed in 0..ROUNDS {
            let mut lab = world.lab(seed, loss, timings);
            figures.times.extend(if trickled { trickle(&mut lab) } else { exchange(&mut lab) });
            figures.packets += lab.network.stats().sent;
        }
        figures.times.sort();
        figures
    }

    /// The same with the agent of str0m's, in the worlds that need no server.
    fn of_is(world: World, loss: f64) -> Self {
        let mut figures = Self { times: Vec::new(), packets: 0 };
        for seed in 0..ROUNDS {
            let (time, packets) =
                crate::is_agent::connect(seed, on_each_link(loss), world == World::Reflexive);
            figures.times.extend(time);
            figures.packets += packets;
        }
        figures.times.sort();
        figures
    }

    fn shown(&self) -> String {
        let at = |share: f64| self.times[((self.times.len() - 1) as f64 * share) as usize];
        let missing = ROUNDS as usize - self.times.len();
        let note = if missing > 0 { format!(" ({missing} failed)") } else { String::new() };
        let (median, late) = (at(0.5).as_secs_f64() * 1e3, at(0.99).as_secs_f64() * 1e3);
        format!("{median:>8.0} ms{late:>8.0} ms{:>11}{note}", self.packets / ROUNDS)
    }
}

/// Both descriptions are known from the start, candidates come one by one.
fn trickle(lab: &mut Lab) -> Option<Duration> {
    lab.delay = Duration::from_millis(20);
    lab.start();
    let start = lab.network.now();
    usable(lab, start)
}

/// All candidates are known on both sides from the start.
fn exchange(lab: &mut Lab) -> Option<Duration> {
    // The signaling is this function.
    lab.delay = Duration::from_secs(100_000);
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.gather(now));
    }
    lab.run_until(Duration::from_secs(15), |lab| lab.both(|host| host.gathered));
    let start = lab.network.now();
    for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
        for candidate in lab.peer(from).found.clone() {
            lab.with(to, |host, now| host.agent.add_remote_candidate(now, candidate));
        }
        lab.with(to, |host, now| host.agent.end_of_remote_candidates(now));
    }
    lab.signal_description(ALICE, BOB);
    lab.signal_description(BOB, ALICE);
    usable(lab, start)
}

fn usable(lab: &mut Lab, start: Instant) -> Option<Duration> {
    let found = lab.run_until(Duration::from_secs(60), |lab| lab.both(|host| host.writable_at.is_some()));
    let times = [ALICE, BOB].map(|index| lab.peer(index).writable_at);
    let last = times[0].max(times[1])?;
    found.then(|| last.saturating_duration_since(start))
}
