//! Watermarks: when a channel counts as full, and when it is said to be writable again.

use super::*;

/// A pair whose first end has a channel, with output held.
fn held(config: Config) -> (Pair, ChannelId) {
    let mut pair = Pair::started(config);
    let id = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    pair.events(0);
    pair.ends[0].hold_output(pair.now);
    (pair, id)
}

fn marks() -> Config {
    Config { high_watermark: 10_000, low_watermark: 4000, ..Config::default() }
}

fn bytes(length: usize) -> Payload {
    Payload::Binary(vec![0; length].into())
}

fn writable(pair: &mut Pair) -> Vec<ChannelId> {
    let events = pair.events(0).into_iter();
    let writable = events.filter_map(|event| match event {
        ChannelEvent::Writable(id) => Some(id),
        _ => None,
    });
    writable.collect()
}

#[test]
fn channel_is_writable_below_its_high_mark_and_announced_at_its_low_mark() {
    let (mut pair, id) = held(marks());
    pair.ends[0].send(pair.now, id, bytes(9999)).unwrap();
    assert!(pair.ends[0].is_writable(id));
    // One message may overshoot, and a send beyond the mark is no error.
    pair.ends[0].send(pair.now, id, bytes(9999)).unwrap();
    assert!(!pair.ends[0].is_writable(id));
    assert!(!pair.ends[0].is_writable(id));
    pair.ends[0].send(pair.now, id, bytes(1)).unwrap();
    assert_eq!(writable(&mut pair), []);

    pair.ends[0].set_transport_ready(pair.now);
    let mut buffer = [0; 2048];
    let mut announced = 0;
    while let Some(length) = pair.ends[0].poll_transmit(pair.now, &mut Unlimited, &mut buffer) {
        let amount = pair.ends[0].buffered_amount(id);
        announced += writable(&mut pair).len();
        assert_eq!(announced, usize::from(amount <= 4000), "{amount} bytes wait");
        pair.ends[1].handle_input(pair.now, &buffer[..length], Ecn::NotMarked);
    }
    pair.run();
    announced += writable(&mut pair).len();
    assert_eq!((announced, pair.ends[0].buffered_amount(id)), (1, 0));
    assert!(pair.ends[0].is_writable(id));
}

#[test]
fn writable_is_not_announced_to_a_channel_that_was_not_found_full() {
    let (mut pair, id) = held(marks());
    pair.ends[0].send(pair.now, id, bytes(50_000)).unwrap();
    pair.ends[0].set_transport_ready(pair.now);
    pair.run();
    assert_eq!((writable(&mut pair), pair.ends[0].buffered_amount(id)), (vec![], 0));
}

/// The common bound: a channel with little of its own that was refused is announced when the queue
/// of all has fallen to half, or when nothing of its own waits.
#[test]
fn channels_refused_by_the_common_bound_are_announced_once_each() {
    let config = Config { send_buffer: 100_000, scheduling: crate::Scheduling::FirstCome, ..marks() };
    let (mut pair, small) = held(config);
    let large = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.ends[0].send(pair.now, large, bytes(60_000)).unwrap();
    pair.ends[0].send(pair.now, small, bytes(1000)).unwrap();
    pair.ends[0].send(pair.now, large, bytes(60_000)).unwrap();
    pair.ends[0].send(pair.now, small, bytes(10)).unwrap_err();
    assert!(!pair.ends[0].is_writable(small) && !pair.ends[0].is_writable(large));
    let idle = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    assert!(pair.ends[0].is_writable(idle), "a channel on which nothing waits is not kept out");

    pair.ends[0].set_transport_ready(pair.now);
    let mut announced = Vec::new();
    for _ in 0..10_000 {
        for id in writable(&mut pair) {
            let (own, all) =
                (pair.ends[0].buffered_amount(id), pair.ends[0].association.total_buffered_amount());
            assert!(own == 0 || (own <= 4000 && all < 50_000), "{own} of its own, {all} of all");
            announced.push(id);
        }
        if !pair.carry() {
            pair.pass();
        }
    }
    announced.sort();
    assert_eq!(announced, [small, large]);
}

#[test]
fn a_channel_that_closes_is_not_announced_and_leaves_nothing_to_the_next_on_its_stream() {
    let (mut pair, id) = held(marks());
    pair.ends[0].send(pair.now, id, bytes(50_000)).unwrap();
    assert!(!pair.ends[0].is_writable(id));
    pair.ends[0].close(pair.now, id);
    assert!(!pair.ends[0].is_writable(id), "closing");
    pair.ends[0].set_transport_ready(pair.now);
    for _ in 0..3 {
        pair.run();
    }
    // Its events have not been polled, and its stream is used again.
    let events: Vec<_> = std::iter::from_fn(|| pair.ends[0].events.pop_front()).collect();
    assert!(events.contains(&ChannelEvent::Closed(id)), "{events:?}");
    let next = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    assert_eq!(pair.ends[0].channel(next).unwrap().stream_id, Some(0));
    assert_eq!(writable(&mut pair), []);
}

#[test]
fn a_channel_without_a_stream_is_not_writable() {
    let mut pair = Pair::new(Config::default());
    let id = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    assert!(!pair.ends[0].is_writable(id));
}

/// Marks that contradict each other must not lead to a channel that is never writable, or always
/// announced.
#[test]
fn marks_that_contradict_each_other_are_mended() {
    for (high_watermark, low_watermark, stream_send_buffer) in
        [(0, 0, 16 << 20), (1000, 2000, 16 << 20), (10_000, 4000, 2000), (10_000, 10_000, 16 << 20)]
    {
        let config = Config { high_watermark, low_watermark, stream_send_buffer, ..Config::default() };
        let (mut pair, id) = held(config);
        assert!(pair.ends[0].is_writable(id));
        pair.ends[0].send(pair.now, id, bytes(20_000)).unwrap();
        assert!(!pair.ends[0].is_writable(id));
        assert_eq!(writable(&mut pair), [], "high {high_watermark}, low {low_watermark}");
        pair.ends[0].set_transport_ready(pair.now);
        pair.run();
        assert_eq!(writable(&mut pair), [id], "high {high_watermark}, low {low_watermark}");
        assert!(pair.ends[0].is_writable(id));
    }
}

/// The owner of a path learns of the fates of data, of who waits, and holds it back.
#[test]
fn fates_and_priorities_are_told_to_the_owner_of_the_path() {
    let mut pair = Pair::started(Config::default());
    assert_eq!(pair.ends[0].waiting_priority(), None);
    let init = ChannelInit { priority: 512, ..ChannelInit::default() };
    let channel = pair.ends[0].open(pair.now, "urgent", init).unwrap();
    pair.run();
    pair.ends[0].take_fates();
    let sent_at = pair.now;
    (0..2).for_each(|_| pair.ends[0].send(pair.now, channel, bytes(50_000)).unwrap());
    assert_eq!(pair.ends[0].waiting_priority(), Some(512));
    pair.drop_every = 10;
    pair.run();
    pair.run();
    assert_eq!(pair.ends[0].waiting_priority(), None);
    let fates = pair.ends[0].take_fates().unwrap();
    assert!((100_000..110_000).contains(&fates.acknowledged), "{fates:?}");
    assert!(fates.lost > 5000 && fates.newest.is_some_and(|at| at >= sent_at), "{fates:?}");
    assert_eq!(pair.ends[0].take_fates(), None);
}
