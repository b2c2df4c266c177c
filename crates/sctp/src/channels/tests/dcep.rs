//! The rules of RFC 8832 §6, and what other implementations have been reported to do to them.

use super::*;
use crate::channels::dcep::{Dcep, Open};
use crate::serial::Ppid;

fn open_bytes(label: &str) -> Bytes {
    let open = Open {
        ordered: true,
        reliability: Reliability::Reliable,
        priority: 256,
        label: label.into(),
        protocol: String::new(),
    };
    open.to_bytes()
}

fn negotiated(stream: u16) -> ChannelInit {
    ChannelInit { negotiated: Some(stream), ..ChannelInit::default() }
}

/// A pair with one channel, and its names at both ends.
fn with_channel() -> (Pair, [ChannelId; 2]) {
    let mut pair = Pair::started(Config::default());
    let ours = pair.ends[0].open(pair.now, "one", ChannelInit::default()).unwrap();
    pair.run();
    let theirs = pair.ends[1].channels().next().unwrap();
    pair.events(0);
    pair.events(1);
    (pair, [ours, theirs])
}

fn received(pair: &mut Pair, end: usize, id: ChannelId) -> Vec<Payload> {
    std::iter::from_fn(|| pair.ends[end].receive(pair.now, id)).collect()
}

fn opened_by_peer(events: &[ChannelEvent]) -> Vec<ChannelId> {
    let incoming = events.iter().filter_map(|event| match event {
        ChannelEvent::Incoming(id) => Some(*id),
        _ => None,
    });
    incoming.collect()
}

#[test]
fn open_on_a_stream_of_the_wrong_parity_is_refused_without_an_ack() {
    for (end, wrong) in [(0, 5), (1, 4)] {
        let mut pair = Pair::started(Config::default());
        pair.events(1 - end);
        pair.ends[end].association.send_control(StreamId(wrong), ppid::DCEP, open_bytes("odd"));
        pair.run();
        assert_eq!(pair.events(1 - end), []);
        assert_eq!(pair.ends[end].association.next_ppid(StreamId(wrong)), None, "no ACK");
        // The stream is not given to a channel before the peer has reset its direction.
        let open = |pair: &mut Pair| {
            let id = pair.ends[1 - end].open(pair.now, "own", ChannelInit::default()).unwrap();
            pair.ends[1 - end].channel(id).unwrap().stream_id.unwrap()
        };
        let streams: Vec<_> = (0..3).map(|_| open(&mut pair)).collect();
        let expected = if wrong == 5 { [1, 3, 7] } else { [0, 2, 6] };
        assert_eq!(streams, expected);
        let taken = pair.ends[1 - end].open(pair.now, "", negotiated(wrong));
        assert_eq!(taken, Err(OpenError::StreamTaken(wrong)));
        pair.ends[end].association.reset_stream(pair.now, StreamId(wrong));
        pair.run();
        assert_eq!(open(&mut pair), wrong);
        pair.run();
        assert_eq!(opened_by_peer(&pair.events(end)).len(), 4);
    }
}

/// A peer that mixes the roles up: both open on stream 0.
#[test]
fn channels_of_both_sides_on_one_stream_are_closed_at_both() {
    let mut pair = Pair::new(Config::default());
    pair.ends[0].start(pair.now, Role::Client);
    pair.ends[1].start(pair.now, Role::Client);
    pair.run();
    let ids = [0, 1].map(|end| pair.ends[end].open(pair.now, "", ChannelInit::default()).unwrap());
    pair.run();
    for (end, id) in ids.into_iter().enumerate() {
        let events = pair.events(end);
        assert!(events.contains(&ChannelEvent::Failed(id, ChannelError::StreamConflict)), "{events:?}");
        assert!(events.contains(&ChannelEvent::Closed(id)), "{events:?}");
        assert_eq!(opened_by_peer(&events), []);
    }
}

#[test]
fn open_on_a_used_stream_closes_its_channel() {
    for is_negotiated in [false, true] {
        let mut pair = Pair::started(Config::default());
        let init = if is_negotiated { negotiated(0) } else { ChannelInit::default() };
        let ours = pair.ends[0].open(pair.now, "one", init.clone()).unwrap();
        let theirs = is_negotiated.then(|| pair.ends[1].open(pair.now, "one", init).unwrap());
        pair.run();
        let theirs = theirs.or_else(|| pair.ends[1].channels().next()).unwrap();
        pair.events(0);
        pair.events(1);
        pair.ends[0].association.send_control(StreamId(0), ppid::DCEP, open_bytes("two"));
        pair.run();
        let failed = ChannelEvent::Failed(theirs, ChannelError::StreamConflict);
        assert_eq!(pair.events(1), [failed, ChannelEvent::Closed(theirs)]);
        assert_eq!(pair.events(0), [ChannelEvent::Closing(ours), ChannelEvent::Closed(ours)]);
        // The stream can be used again.
        let next = pair.ends[0].open(pair.now, "three", ChannelInit::default()).unwrap();
        assert_eq!(pair.ends[0].channel(next).unwrap().stream_id, Some(0));
        pair.run();
        assert_eq!(opened_by_peer(&pair.events(1)).len(), 1);
    }
}

#[test]
fn reset_before_any_message_tells_that_the_channel_was_refused() {
    let mut pair = Pair::started(Config { channel_memory: 100, ..Config::default() });
    pair.events(0);
    let ours = pair.ends[0].open(pair.now, "too many", ChannelInit::default()).unwrap();
    pair.run();
    assert_eq!(
        pair.events(0),
        [
            ChannelEvent::Opened(ours),
            ChannelEvent::Failed(ours, ChannelError::Refused),
            ChannelEvent::Closing(ours),
            ChannelEvent::Closed(ours)
        ]
    );
}

#[test]
fn any_message_counts_as_the_acknowledgement() {
    let mut pair = Pair::started(Config::default());
    let theirs = pair.ends[1].open(pair.now, "there", negotiated(2)).unwrap();
    let other = pair.ends[0].open(pair.now, "other", ChannelInit::default()).unwrap();
    let unordered = ChannelInit { ordered: false, ..ChannelInit::default() };
    let ours = pair.ends[0].open(pair.now, "here", unordered).unwrap();
    assert!(pair.ends[0].channels[&ours].unacknowledged);
    // The peer's application answers on a channel of its own making, and never acknowledges this
    // one.
    pair.ends[0].association.forget_queued();
    pair.ends[1].send(pair.now, theirs, text("I am here")).unwrap();
    pair.run();
    assert!(!pair.ends[0].channels[&ours].unacknowledged, "it has arrived, whether it is read or not");
    assert!(pair.ends[0].channels[&other].unacknowledged);
    assert_eq!(received(&mut pair, 0, ours), [text("I am here")]);
}

/// User data that was sent unordered, which RFC 8832 §6 forbids before an answer, overtakes an OPEN
/// that was lost.
#[test]
fn channel_opens_though_unordered_data_has_overtaken_its_open() {
    for interleaving in [false, true] {
        let mut pair = Pair::started(Config { interleaving, ..Config::default() });
        pair.events(1);
        for payload in ["first", "second"] {
            let message = Message { unordered: true, ..Message::new(ppid::STRING, payload) };
            pair.ends[0].association.send(pair.now, StreamId(0), message).unwrap();
            pair.run();
        }
        assert_eq!(pair.events(1), []);
        pair.ends[0].association.send_control(StreamId(0), ppid::DCEP, open_bytes("late"));
        pair.run();
        let events = pair.events(1);
        let [ChannelEvent::Incoming(id), ChannelEvent::Readable(_)] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(received(&mut pair, 1, id), [text("first"), text("second")]);
        assert_eq!(pair.ends[0].association.stats().messages_received, 1, "an ACK");
    }
}

/// An ACK that comes behind messages which are not read yet.
#[test]
fn acknowledgement_behind_unread_messages_is_not_a_message() {
    let (mut pair, [ours, _]) = with_channel();
    for payload in ["first", "second"] {
        let message = Message::new(ppid::STRING, payload);
        pair.ends[1].association.send(pair.now, StreamId(0), message).unwrap();
        pair.ends[1].association.send_control(StreamId(0), ppid::DCEP, Dcep::ack());
    }
    pair.run();
    assert_eq!(pair.events(0), [ChannelEvent::Readable(ours)]);
    assert_eq!(received(&mut pair, 0, ours), [text("first"), text("second")]);
}

#[test]
fn bytes_that_are_not_utf_8_do_not_close_a_channel() {
    let (mut pair, [ours, theirs]) = with_channel();
    let bytes = Payload::Text(Bytes::from_static(&[0xff, 0x80]));
    pair.ends[0].send(pair.now, ours, bytes.clone()).unwrap();
    pair.ends[0].send(pair.now, ours, text("after")).unwrap();
    pair.run();
    assert_eq!(received(&mut pair, 1, theirs), [bytes, text("after")]);
    pair.run();
    assert_eq!(pair.events(1), [ChannelEvent::Readable(theirs)]);
    assert_eq!(pair.ends[0].channel(ours).unwrap().state, ChannelState::Open);
}

/// Kinds that no RFC gives a meaning, control messages that are none, texts that are no UTF-8.
#[test]
fn messages_without_a_meaning_leave_a_channel_open() {
    let strange: [(u32, &[u8]); 16] = [
        (0, b"no kind"),
        (49, b"x"),
        (50, b"\x00"),
        (50, b"\x01"),
        (50, b"\x04\x00\x00\x00"),
        (50, b"\x02 with more"),
        (50, b"\x03\x00\x01"),
        (50, b"\x03\x00\x01\x00\x00\x00\x00\x00\xff\xff\x00\x00"),
        (50, b"\x03\x7f\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        (55, b"x"),
        (58, b"x"),
        (u32::MAX, b"x"),
        (51, b"\xed\xa0\x80"),
        (51, b"\xc0\xaf"),
        (51, b"cut \xe2\x82"),
        (54, b"part \xff"),
    ];
    for (end, unordered) in [(0, false), (1, true)] {
        let (mut pair, ids) = with_channel();
        for (kind, payload) in strange {
            let message = Message { unordered, ..Message::new(Ppid(kind), payload) };
            pair.ends[end].association.send(pair.now, StreamId(0), message).unwrap();
        }
        pair.ends[end].send(pair.now, ids[end], text("last")).unwrap();
        pair.run();
        let other = 1 - end;
        let texts = received(&mut pair, other, ids[other]);
        let bytes: Vec<_> = texts.iter().map(|text| &text.bytes()[..]).collect();
        let expected: [&[u8]; 4] = [b"\xed\xa0\x80", b"\xc0\xaf", b"cut \xe2\x82", b"part \xfflast"];
        assert_eq!(bytes, expected);
        for end in [0, 1] {
            assert_eq!(pair.ends[end].channel(ids[end]).unwrap().state, ChannelState::Open);
            let is_harmless = |event: &ChannelEvent| {
                matches!(event, ChannelEvent::Readable(_) | ChannelEvent::BufferedAmountLow(_))
            };
            let events = pair.events(end);
            assert!(events.iter().all(is_harmless), "{events:?}");
        }
    }
}

/// Requests to open a channel that make no sense: the stream is refused, and the next one opens.
#[test]
fn requests_that_make_no_sense_do_not_end_the_association() {
    let strange: [&[u8]; 7] = [
        b"\x03",
        b"\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x03\x00\x01\x00\x00\x00\x00\x00\x00\x05\x00\x00abc",
        b"\x03\x00\x01\x00\x00\x00\x00\x00\xff\xff\xff\xffabc",
        b"\x03\x03\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x03\xff\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x09open",
    ];
    for bytes in strange {
        let mut pair = Pair::started(Config::default());
        pair.events(1);
        pair.ends[0].association.send_control(StreamId(0), ppid::DCEP, Bytes::from_static(bytes));
        pair.run();
        assert_eq!(pair.events(1), [], "{bytes:?}");
        pair.ends[0].association.send_control(StreamId(2), ppid::DCEP, open_bytes("next"));
        pair.run();
        assert_eq!(opened_by_peer(&pair.events(1)).len(), 1, "{bytes:?}");
    }
}

#[test]
fn label_and_protocol_that_are_not_utf_8_have_replacement_characters() {
    let mut pair = Pair::started(Config::default());
    pair.events(1);
    let mut bytes = vec![3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1];
    bytes.extend_from_slice(&[b'k', 0xe9, b't', b'\0', 0x80]);
    pair.ends[0].association.send_control(StreamId(0), ppid::DCEP, bytes.into());
    pair.run();
    let id = opened_by_peer(&pair.events(1))[0];
    let info = pair.ends[1].channel(id).unwrap();
    assert_eq!((info.label.as_str(), info.protocol.as_str()), ("k\u{fffd}t\0", "\u{fffd}"));
}

/// The numbers of plain DATA have 16 bits, those of I-DATA 32.
#[test]
fn more_messages_than_a_stream_has_numbers_arrive_in_order() {
    for interleaving in [false, true] {
        let mut pair = Pair::started(Config { interleaving, ..Config::default() });
        let ours = pair.ends[0].open(pair.now, "long", ChannelInit::default()).unwrap();
        pair.run();
        let theirs = pair.ends[1].channels().next().unwrap();
        let (all, mut sent, mut next) = (70_000_u32, 0_u32, 0_u32);
        let mut turns = 0;
        while next < all {
            while sent < all && pair.ends[0].is_writable(ours) && sent < next + 500 {
                let bytes = Bytes::copy_from_slice(&sent.to_be_bytes());
                pair.ends[0].send(pair.now, ours, Payload::Binary(bytes)).unwrap();
                sent += 1;
            }
            if !pair.carry() {
                pair.pass();
            }
            while let Some(Payload::Binary(message)) = pair.ends[1].receive(pair.now, theirs) {
                assert_eq!(message[..], next.to_be_bytes());
                next += 1;
            }
            pair.events(0);
            pair.events(1);
            turns += 1;
            assert!(turns < 20_000, "stuck at {next}");
        }
    }
}

/// Closed, and at once another one; also where the closed one was negotiated on the first stream.
#[test]
fn channel_that_is_opened_right_after_a_closing_works() {
    for is_negotiated in [false, true] {
        for closer in 0..2 {
            let mut pair = Pair::started(Config::default());
            let init = if is_negotiated { negotiated(0) } else { ChannelInit::default() };
            let first = pair.ends[0].open(pair.now, "first", init.clone()).unwrap();
            let other = is_negotiated.then(|| pair.ends[1].open(pair.now, "first", init).unwrap());
            pair.run();
            let other = other.or_else(|| pair.ends[1].channels().next()).unwrap();
            pair.events(0);
            pair.events(1);
            let (closing, left) = if closer == 0 { (first, other) } else { (other, first) };
            pair.ends[closer].send(pair.now, closing, text("last")).unwrap();
            pair.ends[closer].close(pair.now, closing);
            let send = |pair: &mut Pair, end: usize, word: &'static str| {
                let id = pair.ends[end].open(pair.now, word, ChannelInit::default()).unwrap();
                pair.ends[end].send(pair.now, id, text(word)).unwrap();
            };
            send(&mut pair, 0, "at once");
            for _ in 0..3 {
                pair.run();
            }
            send(&mut pair, 0, "later");
            send(&mut pair, 1, "back");
            for _ in 0..3 {
                pair.run();
            }
            assert_eq!(pair.ends[1 - closer].receive(pair.now, left), Some(text("last")));
            for (end, expected) in [(0, vec!["back"]), (1, vec!["at once", "later"])] {
                let incoming = opened_by_peer(&pair.events(end)).into_iter();
                let heard: Vec<_> = incoming.map(|id| pair.ends[end].receive(pair.now, id)).collect();
                assert_eq!(heard, expected.into_iter().map(|word| Some(text(word))).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn channel_that_is_closed_at_once_is_closed_at_both_sides() {
    let mut pair = Pair::started(Config::default());
    pair.events(0);
    pair.events(1);
    let id = pair.ends[0].open(pair.now, "brief", ChannelInit::default()).unwrap();
    pair.ends[0].close(pair.now, id);
    for _ in 0..3 {
        pair.run();
    }
    assert_eq!(pair.events(0), [ChannelEvent::Opened(id), ChannelEvent::Closed(id)]);
    let events = pair.events(1);
    let [ChannelEvent::Incoming(theirs), ChannelEvent::Closing(_), ChannelEvent::Closed(_)] = events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(pair.ends[1].channel(theirs), None);
}
