//! Channels whose other direction the peer does not reset.

use super::*;

/// A pair whose second end's requests to reset streams get lost, with a channel that the first has
/// closed.
fn half_closed() -> (Pair, ChannelId) {
    let mut pair = Pair::started(Config::default());
    let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    let theirs = pair.ends[1].channels().next().unwrap();
    pair.ends[1].send(pair.now, theirs, text("unread")).unwrap();
    pair.run();
    pair.events(0);
    // RE-CONFIG with an Outgoing SSN Reset Request Parameter (RFC 6525 §4.1).
    pair.drop_if = |from, packet| from == 1 && packet[12] == 130 && packet[16..18] == [0, 13];
    pair.ends[0].close(pair.now, ours);
    (pair, ours)
}

#[test]
fn channel_that_stays_half_closed_is_said_to_be_closed_and_keeps_its_stream() {
    let (mut pair, ours) = half_closed();
    for _ in 0..9 {
        pair.run();
    }
    assert_eq!(pair.events(0), []);
    assert_eq!(pair.ends[0].channel(ours).unwrap().state, ChannelState::Closing);
    pair.run();
    pair.run();
    assert_eq!(pair.events(0), [ChannelEvent::Closed(ours)]);
    assert_eq!(pair.ends[0].receive(pair.now, ours), Some(text("unread")));
    assert_eq!(pair.ends[0].receive(pair.now, ours), None);
    assert_eq!(pair.ends[0].channel(ours), None);

    let stream = |pair: &mut Pair| {
        let id = pair.ends[0].open(pair.now, "next", ChannelInit::default()).unwrap();
        pair.ends[0].channel(id).unwrap().stream_id
    };
    assert_eq!(stream(&mut pair), Some(2));
    let init = ChannelInit { negotiated: Some(0), ..ChannelInit::default() };
    assert_eq!(pair.ends[0].open(pair.now, "", init), Err(OpenError::StreamTaken(0)));

    // The peer gets through at last.
    pair.drop_if = |_, _| false;
    for _ in 0..15 {
        pair.run();
    }
    assert!(pair.events(0).iter().all(|event| *event != ChannelEvent::Closed(ours)));
    assert_eq!(stream(&mut pair), Some(0));
    pair.run();
    let incoming = pair.events(1).iter().filter(|event| matches!(event, ChannelEvent::Incoming(_))).count();
    assert_eq!(incoming, 3, "the first, and two afterwards");
}

#[test]
fn peer_that_begins_anew_frees_the_streams_of_half_closed_channels() {
    let (mut pair, _) = half_closed();
    for _ in 0..12 {
        pair.run();
    }
    pair.drop_if = |_, _| false;
    pair.ends[1] = DataChannels::new(Config::default(), pair.now, &mut ChaCha12Rng::seed_from_u64(8));
    pair.ends[1].start(pair.now, Role::Server);
    for _ in 0..3 {
        pair.run();
    }
    let id = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    assert_eq!(pair.ends[0].channel(id).unwrap().stream_id, Some(0));
}

/// A peer that answers no closing holds up no more than those of ten seconds.
#[test]
fn closings_go_on_though_the_peer_answers_none() {
    let mut pair = Pair::started(Config::default());
    let ids: Vec<_> =
        (0..700).map(|_| pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap()).collect();
    pair.run();
    pair.drop_if = |from, packet| from == 1 && packet[12] == 130 && packet[16..18] == [0, 13];
    for id in &ids {
        pair.ends[0].close(pair.now, *id);
    }
    let closed = |pair: &mut Pair| {
        pair.events(0).iter().filter(|event| matches!(event, ChannelEvent::Closed(_))).count()
    };
    let mut all = 0;
    for second in 0..40 {
        pair.run();
        let more = closed(&mut pair);
        assert!(second > 8 || more == 0, "{more} within {second} s");
        all += more;
    }
    assert_eq!(all, 700);
}
