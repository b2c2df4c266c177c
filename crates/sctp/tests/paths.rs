//! The effects of real paths on a sender: rates that change, silence, lost acknowledgements,
//! disorder, shallow queues.

mod sim;

use std::time::Duration;

use columba_netsim::{Link, Loss, Queue};
use columba_sctp::CongestionControl::{self, Bbr, Cubic, NewReno};
use sim::flows::{Flow, Outcome, Shared, path};

const ALL: [CongestionControl; 3] = [Bbr, Cubic, NewReno];

/// A flow that has found its speed.
fn settled(control: CongestionControl, link: &Link) -> Shared {
    let mut shared = Shared::new(5, link, &[Flow::new(control)]);
    run(&mut shared, 4.0);
    shared
}

fn run(shared: &mut Shared, seconds: f64) -> Outcome {
    shared.run(seconds)[0]
}

#[test]
fn a_rate_may_fall_to_a_tenth_and_come_back() {
    for control in ALL {
        let mut shared = settled(control, &path(50.0, 40, 1.0));
        shared.change(|link| link.rate = Some(5_000_000));
        let fallen = run(&mut shared, 5.0);
        let slow = run(&mut shared, 5.0);
        shared.change(|link| link.rate = Some(50_000_000));
        let back = run(&mut shared, 15.0);
        assert!(fallen.megabits + slow.megabits > 8.0, "{control:?}: {fallen:?} {slow:?}");
        assert!(back.megabits > 35.0, "{control:?}: {back:?}");
        // The queue that the fall has made does not stay.
        assert!(control != Bbr || slow.round_trip < 80.0, "{slow:?}");
    }
}

#[test]
fn a_delay_may_jump() {
    for control in ALL {
        let mut shared = settled(control, &path(20.0, 20, 2.0));
        shared.change(|link| {
            link.delay = Duration::from_millis(100);
            link.queue = Queue::DropTail { bytes: 500_000 };
        });
        let jumped = run(&mut shared, 10.0);
        let later = run(&mut shared, 10.0);
        // Nothing was lost; a window of the old path's size is a fifth of the new one's.
        assert!(jumped.megabits > 5.0 && jumped.resent < 50, "{control:?}: {jumped:?}");
        let least = if control == NewReno { 8.0 } else { 16.0 };
        assert!(later.megabits > least, "{control:?}: {later:?}");
    }
}

#[test]
fn silence_ends_in_two_seconds_at_the_latest_and_is_no_storm() {
    for control in ALL {
        let mut shared = settled(control, &path(20.0, 40, 1.0));
        shared.change(|link| link.loss = Loss::All);
        // What is in flight when it begins is not counted.
        run(&mut shared, 0.2);
        let sent = shared.network.stats().sent;
        run(&mut shared, 2.8);
        let tried = shared.network.stats().sent - sent;
        shared.change(|link| link.loss = Loss::None);
        run(&mut shared, 2.5);
        let then = run(&mut shared, 5.0);
        assert!(tried < 20, "{control:?}: {tried} packets into silence");
        assert!(then.megabits > 14.0, "{control:?}: {then:?}");
    }
}

#[test]
fn loss_in_bursts_is_one_event() {
    for control in ALL {
        let loss = Loss::Burst { enter: 0.0005, leave: 0.1, loss: 1.0 };
        let mut shared = settled(control, &Link { loss, ..path(20.0, 40, 1.0) });
        let outcome = run(&mut shared, 15.0);
        let least = if control == Bbr { 16.0 } else { 10.0 };
        assert!(outcome.megabits > least, "{control:?}: {outcome:?}");
    }
}

#[test]
fn disorder_is_not_loss() {
    for control in ALL {
        let reorder_delay = Duration::from_millis(8);
        let mut shared = settled(control, &Link { reorder: 0.02, reorder_delay, ..path(20.0, 40, 1.0) });
        let outcome = run(&mut shared, 10.0);
        // Some 350 chunks are overtaken.
        assert!(outcome.megabits > 17.5 && outcome.resent < 60, "{control:?}: {outcome:?}");
    }
}

#[test]
fn a_shallow_queue_is_enough() {
    for control in ALL {
        let mut shared = settled(control, &path(20.0, 40, 0.1));
        let outcome = run(&mut shared, 20.0);
        assert!(outcome.megabits > 14.0, "{control:?}: {outcome:?}");
        // 35,000 chunks were sent.
        assert!(outcome.resent < 700, "{control:?}: {outcome:?}");
    }
}

#[test]
fn a_modem_is_filled() {
    for control in ALL {
        let queue = Queue::DropTail { bytes: 16_000 };
        let mut shared = settled(control, &Link { queue, ..path(0.064, 150, 1.0) });
        let outcome = run(&mut shared, 60.0);
        assert!(outcome.megabits > 0.045 && outcome.resent < 100, "{control:?}: {outcome:?}");
    }
}

#[test]
fn acknowledgements_may_be_lost() {
    for control in ALL {
        let mut shared = settled(control, &path(20.0, 40, 1.0));
        shared.change_back(|link| link.loss = Loss::Random(0.3));
        let outcome = run(&mut shared, 10.0);
        assert!(outcome.megabits > 18.0 && outcome.resent < 50, "{control:?}: {outcome:?}");
    }
}

#[test]
fn a_pause_is_not_followed_by_a_burst() {
    for control in ALL {
        // A queue of 30 packets: a window of 83 at once would lose most of what it has beyond that.
        let mut shared = settled(control, &path(20.0, 40, 0.36));
        shared.pause();
        run(&mut shared, 2.0);
        run(&mut shared, 3.0);
        shared.resume();
        let outcome = run(&mut shared, 0.1);
        assert!(outcome.resent == 0, "{control:?}: {outcome:?}");
        let outcome = run(&mut shared, 4.0);
        assert!(outcome.megabits > 14.0, "{control:?}: {outcome:?}");
    }
}

/// Packets a second that a flow keeps up under steady random loss, on a path that nothing else
/// bounds.
fn response(control: CongestionControl, loss: f64, round_trip: u64, seconds: f64) -> f64 {
    let link = Link { loss: Loss::Random(loss), ..path(1000.0, round_trip, 1.0) };
    let mut shared = Shared::new(11, &link, &[Flow::new(control)]);
    run(&mut shared, 30.0);
    // Each packet carries 1,156 bytes of message; half of the loss is on the way of
    // acknowledgements.
    run(&mut shared, seconds).megabits * 1e6 / 8.0 / 1156.0
}

#[test]
fn new_reno_keeps_to_its_response_function() {
    for loss in [0.001f64, 0.004] {
        let expected = (1.5 / loss).sqrt() / 0.1;
        let got = response(NewReno, loss, 100, 200.0);
        assert!((0.75..1.25).contains(&(got / expected)), "{loss}: {got} instead of {expected}");
    }
}

#[test]
fn cubic_keeps_to_its_response_function() {
    // RFC 9438 §5.1: 1.054 RTT^(3/4) / p^(3/4) packets, above what Reno has.
    for (loss, round_trip) in [(0.001f64, 0.2f64), (0.0004, 0.1)] {
        let expected = 1.054 * (round_trip / loss).powf(0.75) / round_trip;
        let got = response(Cubic, loss, (round_trip * 1e3) as u64, 400.0);
        assert!((0.75..1.25).contains(&(got / expected)), "{loss}: {got} instead of {expected}");
    }
}

#[test]
fn marks_take_the_place_of_loss() {
    for control in ALL {
        let target = Duration::from_millis(5);
        let queue = Queue::CoDel { bytes: 1 << 20, target, interval: Duration::from_millis(100) };
        let link = Link { queue, ..path(20.0, 40, 1.0) };
        let mut flow = Flow::new(control);
        flow.config.ecn = true;
        let mut shared = Shared::new(5, &link, &[flow]);
        let first = run(&mut shared, 4.0);
        let then = run(&mut shared, 20.0);
        assert_eq!(first.resent + then.resent, 0, "{control:?}: {first:?} {then:?}");
        assert!(then.megabits > 14.0 && then.round_trip < 60.0, "{control:?}: {then:?}");
        // The marks are there, and are heeded: without them the queue is what the model or the loss
        // makes it.
        let mut deaf = settled(control, &link);
        run(&mut deaf, 20.0);
        assert!(control == Bbr || deaf.network.stats().dropped.contains_key("codel"), "{control:?}");
    }
}
