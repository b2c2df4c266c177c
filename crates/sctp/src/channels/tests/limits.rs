//! Impossible requests: streams that there are not, openings that make no sense; and what is left
//! when all is over.

use super::*;

#[test]
fn stream_numbers_that_cannot_be_are_named() {
    let mut pair = Pair::new(Config { streams: 100, ..Config::default() });
    let negotiated = |stream| ChannelInit { negotiated: Some(stream), ..ChannelInit::default() };
    let now = pair.now;
    let open = |pair: &mut Pair, stream| pair.ends[0].open(now, "", negotiated(stream)).map(|_| ());
    for connected in [false, true] {
        let none = OpenError::NoSuchStream { stream: u16::MAX, highest: 99 };
        assert_eq!(open(&mut pair, u16::MAX), Err(none));
        assert_eq!(
            open(&mut pair, 100),
            Err(OpenError::NoSuchStream { stream: 100, highest: 99 }),
            "{connected}"
        );
        let stream = 98 + u16::from(connected);
        assert_eq!(open(&mut pair, stream), Ok(()));
        assert_eq!(open(&mut pair, stream), Err(OpenError::StreamTaken(stream)));
        pair.ends[0].start(pair.now, Role::Client);
        pair.ends[1].start(pair.now, Role::Server);
        pair.run();
    }
}

#[test]
fn an_opening_that_makes_no_sense_is_refused() {
    let small = Config { max_message_size: 2000, ..Config::default() };
    for opening in [
        // An unknown kind of channel, and one whose label is longer than any message may be.
        Bytes::from_static(&[3, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        opening_of(&"x".repeat(3000)),
    ] {
        let mut pair = Pair::started(small.clone());
        let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
        let stream = pair.ends[0].channel(ours).unwrap().stream_id.unwrap();
        // In place of the right one.
        pair.ends[0].association.forget_queued();
        pair.ends[0].association.send_control(StreamId(stream), ppid::DCEP, opening);
        pair.run();
        assert_eq!(pair.events(1), [ChannelEvent::Connected]);
        let events = pair.events(0);
        assert!(events.ends_with(&[ChannelEvent::Closing(ours), ChannelEvent::Closed(ours)]), "{events:?}");
        // The stream can be used again.
        let next = pair.ends[0].open(pair.now, "next", ChannelInit::default()).unwrap();
        assert_eq!(pair.ends[0].channel(next).unwrap().stream_id, Some(stream));
        pair.run();
        assert!(matches!(pair.events(1)[..], [ChannelEvent::Incoming(_)]));
    }
}

/// DATA_CHANNEL_OPEN of a reliable channel (RFC 8832 §5.1).
fn opening_of(label: &str) -> Bytes {
    let mut bytes = vec![3, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&(label.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(label.as_bytes());
    bytes.into()
}

#[test]
fn what_was_never_sent_stays_counted_when_all_is_over() {
    let mut pair = Pair::started(Config::default());
    let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    let other = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    pair.ends[0].hold_output(pair.now);
    pair.ends[0].send(pair.now, ours, text("too late")).unwrap();
    pair.ends[0].abort(pair.now);
    assert!(pair.events(0).contains(&ChannelEvent::Closed(ours)));
    assert_eq!(pair.ends[0].channel(ours), None);
    assert_eq!((pair.ends[0].buffered_amount(ours), pair.ends[0].buffered_amount(other)), (8, 0));
}

#[test]
fn a_closed_channel_has_nothing_to_do_with_the_next_on_its_stream() {
    let mut pair = Pair::started(Config::default());
    let old = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    let theirs = pair.ends[1].channels().next().unwrap();
    pair.ends[1].send(pair.now, theirs, text("not read yet")).unwrap();
    pair.run();
    pair.ends[1].close(pair.now, theirs);
    pair.run();
    pair.events(0);
    let new = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    let stream = |pair: &Pair, id| pair.ends[0].channel(id).unwrap().stream_id;
    assert_eq!(stream(&pair, old), stream(&pair, new));
    pair.run();
    pair.ends[0].hold_output(pair.now);
    pair.ends[0].set_buffered_amount_low_threshold(new, 5);
    pair.ends[0].set_buffered_amount_low_threshold(old, 100);
    pair.ends[0].send(pair.now, new, text("for the new one")).unwrap();
    assert_eq!((pair.ends[0].buffered_amount(old), pair.ends[0].buffered_amount(new)), (0, 15));
    pair.events(0);
    pair.ends[0].set_transport_ready(pair.now);
    pair.run();
    assert_eq!(pair.events(0), [ChannelEvent::BufferedAmountLow(new)], "it crossed its own threshold");
    assert_eq!(pair.ends[0].receive(pair.now, old), Some(text("not read yet")));
}

#[test]
fn what_waited_is_not_sent_to_a_peer_that_has_begun_anew() {
    let mut pair = Pair::started(Config::default());
    let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    pair.ends[0].send(pair.now, ours, Payload::Binary(vec![1; 60_000].into())).unwrap();
    pair.ends[0].close(pair.now, ours);
    let mut rng = ChaCha12Rng::seed_from_u64(8);
    pair.ends[1] = DataChannels::new(Config::default(), pair.now, &mut rng);
    pair.ends[1].start(pair.now, Role::Server);
    for _ in 0..3 {
        pair.run();
    }
    assert!(pair.events(0).contains(&ChannelEvent::Closed(ours)));
    assert_eq!(pair.ends[0].association.total_buffered_amount(), 0);
    let fresh = pair.ends[0].open(pair.now, "fresh", ChannelInit::default()).unwrap();
    pair.ends[0].send(pair.now, fresh, text("hello")).unwrap();
    pair.run();
    let [ChannelEvent::Connected, ChannelEvent::Incoming(theirs), ChannelEvent::Readable(_)] =
        pair.events(1)[..]
    else {
        panic!("nothing but the new channel")
    };
    assert_eq!(pair.ends[1].receive(pair.now, theirs), Some(text("hello")));
}

#[test]
fn that_reading_has_ended_a_channel_is_news() {
    let mut pair = Pair::started(Config { max_message_size: 20, ..Config::default() });
    pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    let theirs = pair.ends[1].channels().next().unwrap();
    for _ in 0..3 {
        let message = Message::new(ppid::STRING_PARTIAL, "fivefive");
        pair.ends[0].association.send(pair.now, StreamId(0), message).unwrap();
    }
    pair.run();
    pair.events(1);
    assert!(!pair.ends[1].has_news());
    assert_eq!(pair.ends[1].receive(pair.now, theirs), None);
    assert!(pair.ends[1].has_news());
    assert_eq!(pair.events(1), [ChannelEvent::Failed(theirs, ChannelError::MessageTooLarge)]);
}

#[test]
fn what_was_never_sent_is_kept_of_one_beginning_only() {
    let mut pair = Pair::started(Config::default());
    let mut kept = Vec::new();
    for seed in 8..11 {
        let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
        pair.run();
        pair.ends[0].send(pair.now, ours, Payload::Binary(vec![1; 60_000].into())).unwrap();
        pair.ends[1] = DataChannels::new(Config::default(), pair.now, &mut ChaCha12Rng::seed_from_u64(seed));
        pair.ends[1].start(pair.now, Role::Server);
        for _ in 0..3 {
            pair.run();
        }
        assert!(pair.events(0).contains(&ChannelEvent::Closed(ours)));
        assert!(pair.ends[0].buffered_amount(ours) > 0);
        kept.push(ours);
    }
    assert_eq!(pair.ends[0].unsent.keys().copied().collect::<Vec<_>>(), kept[2..]);
}

#[test]
fn openings_for_streams_that_the_peer_does_not_take_are_not_sent() {
    let mut pair = Pair::new(Config::default());
    let mut rng = ChaCha12Rng::seed_from_u64(9);
    pair.ends[1] = DataChannels::new(Config { streams: 4, ..Config::default() }, pair.now, &mut rng);
    pair.ends[0].set_role(pair.now, Role::Client);
    let ours: Vec<_> =
        (0..4).map(|_| pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap()).collect();
    pair.ends[0].start(pair.now, Role::Client);
    pair.ends[0].association.connect(pair.now);
    pair.ends[1].start(pair.now, Role::Server);
    pair.run();
    let incoming = pair.events(1).iter().filter(|event| matches!(event, ChannelEvent::Incoming(_))).count();
    assert_eq!(incoming, 2, "streams 0 and 2");
    let events = pair.events(0);
    for late in &ours[2..] {
        assert!(events.contains(&ChannelEvent::Failed(*late, ChannelError::NoStream)), "{events:?}");
    }
    assert_eq!(pair.ends[0].association.total_buffered_amount(), 0);
    assert_eq!(pair.ends[1].association.stats().messages_received, 2, "and no others");
}

/// Ten minutes in which one end takes no data: it hears no event, what it sends arrives, and
/// neither gives up. Then everything comes, once and in order.
#[test]
fn held_input_stops_the_other_side_and_nothing_else() {
    let mut pair = Pair::started(Config::default());
    let now = pair.now;
    let old = pair.ends[0].open(now, "old", ChannelInit::default()).unwrap();
    pair.run();
    let [_, ChannelEvent::Incoming(theirs)] = pair.events(1)[..] else { panic!("no channel") };
    pair.events(0);
    pair.ends[1].hold_input(true);
    let new = pair.ends[0].open(now, "new", ChannelInit::default()).unwrap();
    for number in 0..500_u16 {
        pair.ends[0].send(now, old, Payload::Binary(number.to_be_bytes().to_vec().into())).unwrap();
    }
    pair.ends[0].close(now, old);
    for minute in 0..10 {
        pair.ends[1].send(pair.now, theirs, Payload::Text(format!("minute {minute}").into())).unwrap();
        let end = pair.now + Duration::from_secs(60);
        while pair.now < end {
            pair.run();
            pair.pass();
        }
        assert!(pair.ends[0].receive(pair.now, old).is_some(), "minute {minute}");
        // Its own message has gone.
        assert_eq!(pair.events(1), [ChannelEvent::BufferedAmountLow(theirs)]);
        assert!(pair.ends[0].end().is_none() && pair.ends[1].end().is_none(), "minute {minute}");
    }
    pair.ends[1].hold_input(false);
    for _ in 0..100 {
        pair.run();
        pair.pass();
    }
    for number in 0..500_u16 {
        let message = pair.ends[1].receive(pair.now, theirs);
        assert_eq!(message, Some(Payload::Binary(number.to_be_bytes().to_vec().into())));
    }
    let events = pair.events(1);
    assert!(events.contains(&ChannelEvent::Closed(theirs)), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, ChannelEvent::Incoming(_))), "{events:?}");
    assert_eq!(pair.ends[0].channel(new).unwrap().state, ChannelState::Open);
}
