//! The throughput to be reached over long, fast and lossy paths, in virtual time and with seeds, so
//! that each run gives the same. Millions of packets: only in release, `cargo xtask bench
//! sctp-sim`, which prints the table.

mod sim;

use columba_netsim::{Link, Loss};
use columba_sctp::CongestionControl::{self, Bbr, Cubic};
use sim::flows::{Flow, Outcome, Shared, jain, path};

/// A path, loss on it, and what is to arrive at the least, in Mbit/s.
struct Goal {
    megabits: f64,
    round_trip: u64,
    loss: f64,
    least: f64,
}

const SINGLE: [Goal; 9] = [
    Goal { megabits: 1000.0, round_trip: 50, loss: 1e-5, least: 900.0 },
    Goal { megabits: 1000.0, round_trip: 100, loss: 1e-4, least: 700.0 },
    Goal { megabits: 100.0, round_trip: 20, loss: 0.01, least: 85.0 },
    Goal { megabits: 1000.0, round_trip: 20, loss: 0.01, least: 800.0 },
    Goal { megabits: 100.0, round_trip: 20, loss: 0.05, least: 80.0 },
    Goal { megabits: 100.0, round_trip: 20, loss: 0.1, least: 75.0 },
    Goal { megabits: 1000.0, round_trip: 20, loss: 0.1, least: 300.0 },
    Goal { megabits: 100.0, round_trip: 20, loss: 0.3, least: 50.0 },
    Goal { megabits: 1000.0, round_trip: 20, loss: 0.3, least: 100.0 },
];

fn lossy(link: Link, loss: f64) -> Link {
    Link { loss: if loss > 0.0 { Loss::Random(loss) } else { Loss::None }, ..link }
}

#[test]
#[ignore = "millions of packets: cargo xtask bench sctp-sim"]
fn one_flow() {
    println!("\nlink          round trip  loss      least   got after 10 s   mean round trip   sent again");
    for Goal { megabits, round_trip, loss, least } in SINGLE {
        let link = lossy(path(megabits, round_trip, 1.0), loss);
        let mut shared = Shared::new(1, &link, &[Flow::new(Bbr)]);
        shared.run(10.0);
        let Outcome { megabits: got, round_trip: mean, resent } = shared.run(5.0)[0];
        println!(
            "{megabits:>5} Mbit/s  {round_trip:>7} ms  {loss:<8} {least:>6}  {got:>8.1} Mbit/s  {mean:>13.1} ms  {resent:>11}"
        );
        assert!(got >= least, "{megabits} Mbit/s, {round_trip} ms, loss {loss}: {got} Mbit/s");
    }
}

/// Bytes of a file.
const FILE: f64 = 1e9;

/// A file over a path of 100 ms: Mbit/s, loss, the receive window in MiB, and the seconds that it
/// may take. What is lost twice holds back three round trips of data, so the window is the limit
/// there.
const FILES: [(f64, f64, usize, f64); 8] = [
    (1000.0, 0.0, 16, 12.0),
    (1000.0, 0.0, 32, 12.0),
    (1000.0, 0.01, 16, 20.0),
    (1000.0, 0.01, 32, 15.0),
    (2000.0, 0.0, 16, 8.5),
    (2000.0, 0.0, 32, 6.5),
    (2000.0, 0.01, 16, 18.0),
    (2000.0, 0.01, 32, 12.0),
];

#[test]
#[ignore = "millions of packets: cargo xtask bench sctp-sim"]
fn one_file() {
    println!("\nlink          round trip  loss   window  at most  1 GB after");
    for (megabits, loss, mebibytes, most) in FILES {
        let link = lossy(path(megabits, 100, 0.5), loss);
        let mut flow = Flow::new(Bbr);
        flow.config.max_receive_window = mebibytes << 20;
        flow.config.mtu = 1432;
        let mut shared = Shared::new(1, &link, &[flow]);
        let (mut seconds, mut left) = (0.0, FILE);
        while left > 0.0 && seconds < most {
            left -= shared.run(0.1)[0].megabits * 1e6 / 8.0 * 0.1;
            seconds += 0.1;
        }
        println!(
            "{megabits:>5} Mbit/s      100 ms  {loss:<5}  {mebibytes:>2} MiB  {most:>5} s  {seconds:>8.1} s"
        );
        assert!(left <= 0.0, "{megabits} Mbit/s, loss {loss}, {mebibytes} MiB: {left} bytes are missing");
    }
}

/// The shares of two flows in 50 Mbit/s and 40 ms from the 30th second to the 120th, and the first
/// one's mean round trip.
fn beside(flows: [Flow; 2], queue: f64) -> [Outcome; 2] {
    let mut shared = Shared::new(1, &path(50.0, 40, queue), &flows);
    shared.run(30.0);
    let outcomes = shared.run(90.0);
    [outcomes[0], outcomes[1]]
}

fn print(name: &str, queue: f64, outcomes: &[Outcome; 2]) -> f64 {
    let index = jain(outcomes);
    let [first, second] = outcomes;
    println!(
        "{name:<28} {queue:>4} products  {:>5.1} and {:>5.1} Mbit/s  index {index:.3}  round trip {:>5.1} ms",
        first.megabits, second.megabits, first.round_trip
    );
    index
}

#[test]
#[ignore = "millions of packets: cargo xtask bench sctp-sim"]
fn two_flows() {
    println!("\n50 Mbit/s, 40 ms, queues of so many bandwidth-delay products, the second flow 5 s later");
    let later = |control: CongestionControl| Flow::new(control).starting(5.0);
    for queue in [0.5, 1.0, 2.0, 4.0] {
        let own = beside([Flow::new(Bbr), later(Bbr)], queue);
        assert!(print("its own kind", queue, &own) >= 0.9);
        print(
            "its own kind, 40 ms farther",
            queue,
            &beside([Flow::new(Bbr), later(Bbr).farther_by(40)], queue),
        );
        for (name, flows) in [
            ("before CUBIC", [Flow::new(Bbr), later(Cubic)]),
            ("after CUBIC", [Flow::new(Cubic), later(Bbr)]),
        ] {
            let outcomes = beside(flows, queue);
            print(name, queue, &outcomes);
            let total: f64 = outcomes.iter().map(|outcome| outcome.megabits).sum();
            for outcome in outcomes {
                assert!(outcome.megabits >= 0.25 * total, "{name}, {queue}: {outcomes:?}");
            }
        }
    }
}
