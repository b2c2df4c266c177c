//! The throughput over simulated paths; the long and fast ones are in `goals.rs`.

mod sim;

use columba_netsim::{Link, Loss};
use columba_sctp::CongestionControl::{Bbr, Cubic, NewReno};
use sim::flows::{Flow, Shared, jain, path};

/// Mbit/s of one flow, after a warm-up, over as many seconds.
fn alone(link: &Link, flow: Flow, warm_up: f64, seconds: f64) -> f64 {
    let mut shared = Shared::new(3, link, &[flow]);
    shared.run(warm_up);
    shared.run(seconds)[0].megabits
}

#[test]
fn a_clean_path_is_filled() {
    for control in [Bbr, Cubic, NewReno] {
        let got = alone(&path(20.0, 40, 1.0), Flow::new(control), 2.0, 5.0);
        assert!(got > 18.0, "{control:?}: {got}");
    }
}

#[test]
fn random_loss_does_not_slow_the_model_down() {
    for (loss, least) in [(0.01, 18.0), (0.05, 16.5), (0.3, 10.0)] {
        let link = Link { loss: Loss::Random(loss), ..path(20.0, 20, 1.0) };
        let got = alone(&link, Flow::new(Bbr), 10.0, 10.0);
        assert!(got > least, "{loss}: {got}");
    }
}

#[test]
fn flows_share() {
    for (first, second) in [(Bbr, Bbr), (Bbr, Cubic), (Cubic, Bbr), (Cubic, Cubic)] {
        let flows = [Flow::new(first), Flow::new(second).starting(5.0)];
        let mut shared = Shared::new(3, &path(20.0, 40, 1.0), &flows);
        shared.run(20.0);
        let outcomes = shared.run(40.0);
        let index = jain(&outcomes);
        let least = if first == second { 0.9 } else { 0.8 };
        assert!(index > least, "{first:?} and {second:?}: {outcomes:?}");
    }
}
