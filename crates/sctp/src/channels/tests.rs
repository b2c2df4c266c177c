//! Channels between two ends that lose nothing; loss is the integration tests' matter.

mod backpressure;
mod dcep;
mod half_closed;
mod limits;

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use super::*;
use crate::budget::Unlimited;
use crate::message::Reliability;

struct Pair {
    now: Instant,
    ends: [DataChannels; 2],
    /// Changes packets on the way.
    edit: fn(&mut [u8]),
    /// Each so many of them get lost; 0 is none.
    drop_every: usize,
    /// And this one.
    drop_one: Option<usize>,
    /// And those of which this says so, by the end that sends them.
    drop_if: fn(usize, &[u8]) -> bool,
    carried: usize,
}

impl Pair {
    fn new(config: Config) -> Self {
        let now = crate::test_time();
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let ends = [(); 2].map(|()| DataChannels::new(config.clone(), now, &mut rng));
        Self { now, ends, edit: |_| {}, drop_every: 0, drop_one: None, drop_if: |_, _| false, carried: 0 }
    }

    fn started(config: Config) -> Self {
        let mut pair = Self::new(config);
        pair.ends[0].start(pair.now, Role::Client);
        pair.ends[1].start(pair.now, Role::Server);
        pair.run();
        pair
    }

    /// Carries packets and lets timers expire for a second.
    fn run(&mut self) {
        let end = self.now + Duration::from_secs(1);
        while self.now < end {
            if !self.carry() {
                self.pass();
            }
        }
    }

    /// Carries what there is in both directions. Says whether there was something.
    fn carry(&mut self) -> bool {
        let mut buffer = [0; 2048];
        let mut moved = false;
        for from in 0..2 {
            while let Some(length) = self.ends[from].poll_transmit(self.now, &mut Unlimited, &mut buffer) {
                (self.edit)(&mut buffer[..length]);
                moved = true;
                self.carried += 1;
                if self.drop_one == Some(self.carried) || (self.drop_if)(from, &buffer[..length]) {
                    continue;
                }
                if self.drop_every == 0 || !self.carried.is_multiple_of(self.drop_every) {
                    self.ends[1 - from].handle_input(self.now, &buffer[..length], Ecn::NotMarked);
                }
            }
        }
        moved
    }

    /// Lets a little time pass.
    fn pass(&mut self) {
        self.now += Duration::from_millis(5);
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= self.now) {
                end.handle_timeout(self.now);
            }
        }
    }

    fn events(&mut self, end: usize) -> Vec<ChannelEvent> {
        std::iter::from_fn(|| self.ends[end].poll_event()).collect()
    }
}

fn text(text: &'static str) -> Payload {
    Payload::Text(Bytes::from_static(text.as_bytes()))
}

#[test]
fn each_end_may_have_a_port_of_its_own() {
    let mut pair = Pair::new(Config { local_port: 6000, ..Config::default() });
    pair.ends[1] = DataChannels::new(Config::default(), pair.now, &mut ChaCha12Rng::seed_from_u64(8));
    pair.ends[1].set_remote_port(6000);
    pair.ends[0].start(pair.now, Role::Client);
    pair.ends[1].start(pair.now, Role::Server);
    pair.run();
    assert!(pair.ends.iter().all(|end| end.association().is_established()));
    // Too late for another one.
    pair.ends[1].set_remote_port(6001);
    let id = pair.ends[1].open(pair.now, "chat", ChannelInit::default()).unwrap();
    pair.run();
    assert!(pair.events(0).iter().any(|event| matches!(event, ChannelEvent::Incoming(_))), "{id:?}");
}

#[test]
fn a_channel_opens_carries_every_kind_of_message_and_closes() {
    let mut pair = Pair::new(Config::default());
    let init = ChannelInit {
        ordered: false,
        reliability: Reliability::MaxRetransmits(3),
        protocol: "p".into(),
        ..ChannelInit::default()
    };
    let ours = pair.ends[0].open(pair.now, "label", init).unwrap();
    assert_eq!(pair.ends[0].channel(ours).unwrap().stream_id, None);
    pair.ends[0].start(pair.now, Role::Client);
    assert_eq!(pair.ends[0].send(pair.now, ours, text("early")), Err(ChannelSendError::NotOpen));
    assert_eq!(pair.ends[0].buffered_amount(ours), 0);
    pair.run();
    assert_eq!(pair.events(0), [ChannelEvent::Connected, ChannelEvent::Opened(ours)]);
    let [ChannelEvent::Connected, ChannelEvent::Incoming(theirs)] = pair.events(1)[..] else { panic!() };
    let info = pair.ends[1].channel(theirs).unwrap();
    assert_eq!((info.label.as_str(), info.protocol.as_str(), info.ordered), ("label", "p", false));
    assert_eq!((info.reliability, info.stream_id), (Reliability::MaxRetransmits(3), Some(0)));

    let large = Payload::Binary(vec![7; 60_000].into());
    let messages = [text("coo"), text(""), Payload::Binary(Bytes::new()), large];
    for message in &messages {
        pair.ends[1].send(pair.now, theirs, message.clone()).unwrap();
    }
    assert_eq!(pair.ends[1].buffered_amount(theirs), 60_003);
    pair.run();
    assert_eq!(pair.events(1), [ChannelEvent::BufferedAmountLow(theirs)]);
    assert_eq!(pair.events(0), [ChannelEvent::Readable(ours)]);
    for message in messages {
        assert_eq!(pair.ends[0].receive(pair.now, ours), Some(message));
    }
    assert_eq!(pair.ends[0].receive(pair.now, ours), None);

    pair.ends[0].send(pair.now, ours, text("last")).unwrap();
    pair.ends[0].close(pair.now, ours);
    assert_eq!(pair.ends[0].send(pair.now, ours, text("late")), Err(ChannelSendError::NotOpen));
    pair.run();
    assert!(pair.events(0).ends_with(&[ChannelEvent::Closed(ours)]));
    assert_eq!(
        pair.events(1),
        [ChannelEvent::Readable(theirs), ChannelEvent::Closing(theirs), ChannelEvent::Closed(theirs)]
    );
    assert_eq!(pair.ends[1].receive(pair.now, theirs), Some(text("last")));
    assert_eq!(pair.ends[1].receive(pair.now, theirs), None);
    assert_eq!(pair.ends[0].channels().count() + pair.ends[1].channels().count(), 0);
}

#[test]
fn streams_are_used_again_after_both_directions_are_reset() {
    let mut pair = Pair::started(Config::default());
    for round in 0..20 {
        let opener = round % 2;
        let ids: Vec<_> = (0..50)
            .map(|_| pair.ends[opener].open(pair.now, "again", ChannelInit::default()).unwrap())
            .collect();
        for (index, id) in ids.iter().enumerate() {
            let stream = pair.ends[opener].channel(*id).unwrap().stream_id;
            assert_eq!(stream, Some((index * 2 + opener) as u16), "round {round}");
            pair.ends[opener].send(pair.now, *id, text("x")).unwrap();
        }
        pair.run();
        let events = pair.events(1 - opener);
        let read: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                ChannelEvent::Readable(id) => pair.ends[1 - opener].receive(pair.now, *id),
                _ => None,
            })
            .collect();
        assert_eq!(read, vec![text("x"); 50], "round {round}");
        for id in ids {
            pair.ends[opener].close(pair.now, id);
        }
        pair.run();
        for end in 0..2 {
            pair.events(end);
            assert_eq!(pair.ends[end].channels().count(), 0, "round {round}");
        }
    }
}

/// An end that opens a channel on a stream that it knows to be free may be ahead of the other side,
/// which waits for an answer that was lost.
#[test]
fn a_stream_is_used_again_though_the_other_side_does_not_know_yet_that_it_is_free() {
    for lost in 0..16 {
        let mut pair = Pair::started(Config::default());
        let first = pair.ends[0].open(pair.now, "first", ChannelInit::default()).unwrap();
        pair.ends[0].send(pair.now, first, text("unread")).unwrap();
        pair.run();
        assert_eq!(pair.events(1).len(), 3, "connected, incoming, readable");
        let theirs = pair.ends[1].channels().next().unwrap();
        pair.ends[0].close(pair.now, first);
        pair.drop_one = Some(pair.carried + lost);
        let mut next = None;
        while next.is_none() {
            if !pair.carry() {
                pair.pass();
            }
            if pair.events(0).contains(&ChannelEvent::Closed(first)) {
                let id = pair.ends[0].open(pair.now, "next", ChannelInit::default()).unwrap();
                pair.ends[0].send(pair.now, id, text("x")).unwrap();
                next = Some(id);
            }
        }
        for _ in 0..5 {
            pair.run();
        }
        let events = pair.events(1);
        let incoming = events.iter().find_map(|event| match event {
            ChannelEvent::Incoming(id) => Some(*id),
            _ => None,
        });
        let incoming = incoming.unwrap_or_else(|| panic!("{lost}: {events:?}"));
        assert!(events.contains(&ChannelEvent::Closed(theirs)), "{lost}: {events:?}");
        assert!(events.contains(&ChannelEvent::Readable(incoming)), "{lost}: {events:?}");
        assert_eq!(pair.ends[1].receive(pair.now, theirs), Some(text("unread")), "{lost}");
        assert_eq!(pair.ends[1].receive(pair.now, incoming), Some(text("x")), "{lost}");
        assert_eq!(pair.ends[1].channel(incoming).unwrap().stream_id, Some(0));
    }
}

/// A window that does not grow.
fn narrow(window: usize, max_message_size: usize) -> Config {
    Config { receive_window: window, max_receive_window: window, max_message_size, ..Config::default() }
}

#[test]
fn what_closed_channels_leave_unread_closes_the_window() {
    let window = 1 << 17;
    let mut pair = Pair::started(narrow(window, window / 4));
    let (channels, length) = (200, 1000);
    for _ in 0..channels {
        let id = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
        pair.ends[0].send(pair.now, id, Payload::Binary(vec![0; length].into())).unwrap();
        pair.ends[0].close(pair.now, id);
        pair.run();
    }
    let ids: Vec<_> = pair.ends[1].channels().collect();
    let read = |pair: &mut Pair, ids: &[ChannelId]| -> usize {
        let messages = ids.iter().filter_map(|id| pair.ends[1].receive(pair.now, *id));
        messages.map(|message| message.len()).sum()
    };
    let before = read(&mut pair, &ids);
    assert!(before > window / 2 && before <= window, "{before} of {window}");
    // An owner that reads again gets the rest.
    let mut after = before;
    for _ in 0..60 {
        pair.run();
        let ids: Vec<_> = pair.ends[1].channels().collect();
        after += read(&mut pair, &ids);
    }
    assert_eq!(after, channels * length);
}

#[test]
fn messages_that_all_begin_at_once_and_are_larger_than_the_window_end() {
    let window = 1 << 17;
    let mut pair = Pair::started(narrow(window, window / 2));
    let (channels, length) = (100, 8 << 10);
    for _ in 0..channels {
        let id = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
        pair.ends[0].send(pair.now, id, Payload::Binary(vec![0; length].into())).unwrap();
    }
    let mut read = 0;
    for _ in 0..100 {
        pair.run();
        let ids: Vec<_> = pair.ends[1].channels().collect();
        read += ids.iter().filter_map(|id| pair.ends[1].receive(pair.now, *id)).count();
    }
    assert_eq!(read, channels);
}

#[test]
fn negotiated_channels_need_no_word() {
    let mut pair = Pair::started(Config::default());
    let init = ChannelInit { negotiated: Some(77), ..ChannelInit::default() };
    let ours = pair.ends[0].open(pair.now, "", init.clone()).unwrap();
    assert_eq!(pair.ends[0].open(pair.now, "", init.clone()), Err(OpenError::StreamTaken(77)));
    pair.ends[0].send(pair.now, ours, text("before you came")).unwrap();
    pair.run();
    let theirs = pair.ends[1].open(pair.now, "", init).unwrap();
    let events = pair.events(1);
    assert!(events.ends_with(&[ChannelEvent::Opened(theirs), ChannelEvent::Readable(theirs)]), "{events:?}");
    assert_eq!(pair.ends[1].receive(pair.now, theirs), Some(text("before you came")));
}

#[test]
fn a_message_that_is_too_large_closes_its_channel_only() {
    let mut pair = Pair::started(Config { max_message_size: 10_000, ..Config::default() });
    let bad = pair.ends[0].open(pair.now, "bad", ChannelInit::default()).unwrap();
    let good = pair.ends[0].open(pair.now, "good", ChannelInit::default()).unwrap();
    pair.ends[0].send(pair.now, bad, Payload::Binary(vec![0; 20_000].into())).unwrap();
    pair.run();
    pair.ends[0].send(pair.now, good, text("still here")).unwrap();
    pair.run();
    let events = pair.events(1);
    let failed = events.iter().find_map(|event| match event {
        ChannelEvent::Failed(id, ChannelError::MessageTooLarge) => Some(*id),
        _ => None,
    });
    let failed = failed.expect("the large message was refused");
    assert!(events.contains(&ChannelEvent::Closed(failed)));
    let readable = events.iter().find_map(|event| match event {
        ChannelEvent::Readable(id) => Some(*id),
        _ => None,
    });
    assert_eq!(pair.ends[1].receive(pair.now, readable.unwrap()), Some(text("still here")));
    assert!(pair.events(0).contains(&ChannelEvent::Closed(bad)));
}

#[test]
fn channel_that_is_not_read_stops_the_sender() {
    let config = Config { receive_window: 100_000, max_message_size: 20_000, ..Config::default() };
    let mut pair = Pair::started(config);
    let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    for _ in 0..100 {
        pair.ends[0].send(pair.now, ours, Payload::Binary(vec![1; 10_000].into())).unwrap();
    }
    for _ in 0..10 {
        pair.run();
    }
    assert!(pair.ends[0].buffered_amount(ours) > 850_000, "{}", pair.ends[0].buffered_amount(ours));
    let theirs = pair.ends[1].channels().next().unwrap();
    for received in 0..100 {
        let mut tries = 0;
        while pair.ends[1].receive(pair.now, theirs).is_none() {
            pair.run();
            tries += 1;
            assert!(tries < 20, "stuck after {received} messages");
        }
    }
    assert_eq!(pair.ends[0].buffered_amount(ours), 0);
}

#[test]
fn an_init_carried_elsewhere_saves_the_handshake() {
    let mut pair = Pair::new(Config::default());
    let inits = [pair.ends[0].export_init(), pair.ends[1].export_init()];
    for (end, role) in [(0, Role::Client), (1, Role::Server)] {
        let now = pair.now;
        pair.ends[end].hold_output(now);
        pair.ends[end].import_init(now, role, &inits[1 - end]).unwrap();
    }
    let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.ends[0].send(pair.now, ours, text("at once")).unwrap();
    let mut buffer = [0; 2048];
    assert_eq!(pair.ends[0].poll_transmit(pair.now, &mut Unlimited, &mut buffer), None);
    for end in &mut pair.ends {
        end.set_transport_ready(pair.now);
    }
    let length = pair.ends[0].poll_transmit(pair.now, &mut Unlimited, &mut buffer).unwrap();
    pair.ends[1].handle_input(pair.now, &buffer[..length], Ecn::NotMarked);
    let theirs = pair.ends[1].channels().next().unwrap();
    assert_eq!(pair.ends[1].receive(pair.now, theirs), Some(text("at once")));
}

#[test]
fn a_channel_closed_towards_a_peer_without_reconfig_is_closed_here() {
    let mut pair = Pair::new(Config::default());
    pair.edit = |packet| {
        // The list of supported extensions loses its RE-CONFIG: PAD instead, which is not asked
        // for.
        let Some(at) = packet.windows(4).position(|window| window[..2] == [0x80, 0x08]) else { return };
        if let Some(kind) = packet[at + 4..].iter_mut().take(8).find(|kind| **kind == 130) {
            *kind = 132;
        }
        crate::wire::seal(packet);
    };
    pair.ends[0].start(pair.now, Role::Client);
    pair.ends[1].start(pair.now, Role::Server);
    pair.run();
    let ours = pair.ends[0].open(pair.now, "old", ChannelInit::default()).unwrap();
    pair.run();
    pair.ends[0].send(pair.now, ours, text("last")).unwrap();
    pair.ends[0].close(pair.now, ours);
    pair.run();
    assert!(pair.events(0).contains(&ChannelEvent::Closed(ours)));
    let again = pair.ends[0].open(pair.now, "new", ChannelInit::default()).unwrap();
    let stream = pair.ends[0].channel(again).unwrap().stream_id;
    assert_eq!(stream, Some(2), "on stream 0 the peer still sees the old channel");
    pair.run();
    let theirs: Vec<_> = pair.ends[1].channels().collect();
    for id in &theirs {
        pair.ends[1].send(pair.now, *id, text("hello")).unwrap();
    }
    pair.run();
    assert_eq!(pair.ends[0].receive(pair.now, again), Some(text("hello")));
    assert_eq!(pair.ends[0].association.stats().messages_received, 3, "two ACKs, one message");
}

#[test]
fn channels_of_the_peer_are_bounded_by_their_memory() {
    let mut pair = Pair::started(Config { channel_memory: 300_000, ..Config::default() });
    let label = "x".repeat(60_000);
    let ids: Vec<_> =
        (0..8).map(|_| pair.ends[0].open(pair.now, &label, ChannelInit::default()).unwrap()).collect();
    pair.run();
    let taken = pair.ends[1].channels().count();
    assert!((3..=4).contains(&taken), "{taken}");
    let closed = pair.events(0).iter().filter(|event| matches!(event, ChannelEvent::Closed(_))).count();
    assert_eq!(closed, 8 - taken, "the others were refused");
    // What is closed makes room again.
    for id in ids {
        pair.ends[0].close(pair.now, id);
    }
    pair.run();
    pair.events(1);
    pair.ends[0].open(pair.now, &label, ChannelInit::default()).unwrap();
    pair.run();
    assert_eq!(pair.ends[1].channels().count(), 1);
}

#[test]
fn a_thousand_channels_open_and_close_again_and_again_over_a_lossy_path() {
    let mut pair = Pair::started(Config::default());
    pair.drop_every = 7;
    for round in 0..4 {
        let opener = round % 2;
        let ids: Vec<_> = (0..1000)
            .map(|_| pair.ends[opener].open(pair.now, "again", ChannelInit::default()).unwrap())
            .collect();
        for (index, id) in ids.iter().enumerate() {
            let stream = pair.ends[opener].channel(*id).unwrap().stream_id;
            assert_eq!(stream, Some((index * 2 + opener) as u16), "round {round}");
            pair.ends[opener].send(pair.now, *id, text("x")).unwrap();
            pair.ends[opener].close(pair.now, *id);
        }
        let mut incoming = 0;
        let mut read = 0;
        for _ in 0..120 {
            pair.run();
            for event in pair.events(1 - opener) {
                match event {
                    ChannelEvent::Incoming(_) => incoming += 1,
                    ChannelEvent::Readable(id) => {
                        while let Some(message) = pair.ends[1 - opener].receive(pair.now, id) {
                            assert_eq!(message, text("x"));
                            read += 1;
                        }
                    }
                    _ => {}
                }
            }
            pair.events(opener);
            if pair.ends.iter().all(|end| end.channels().count() == 0) {
                break;
            }
        }
        assert_eq!((incoming, read), (1000, 1000), "round {round}");
        let left = [0, 1].map(|end| pair.ends[end].channels().count());
        assert_eq!(left, [0, 0], "round {round}");
    }
}

#[test]
fn both_sides_may_open_at_once_on_streams_of_their_own() {
    let mut pair = Pair::started(Config::default());
    let ours: Vec<_> =
        (0..3).map(|_| pair.ends[0].open(pair.now, "a", ChannelInit::default()).unwrap()).collect();
    let theirs: Vec<_> =
        (0..3).map(|_| pair.ends[1].open(pair.now, "b", ChannelInit::default()).unwrap()).collect();
    pair.run();
    let streams = |end: usize, ids: &[ChannelId]| -> Vec<_> {
        ids.iter().map(|id| pair.ends[end].channel(*id).unwrap().stream_id.unwrap()).collect()
    };
    assert_eq!(streams(0, &ours), [0, 2, 4], "RFC 8832 §6: the DTLS client takes the even ones");
    assert_eq!(streams(1, &theirs), [1, 3, 5]);
    assert!(pair.ends.iter().all(|end| end.channels().count() == 6));
}

#[test]
fn parts_in_the_deprecated_way_are_put_together() {
    let mut pair = Pair::started(Config { max_message_size: 20, ..Config::default() });
    let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    let theirs = pair.ends[1].channels().next().unwrap();
    let mut say = |kind, payload: &'static str| {
        let message = Message::new(kind, payload);
        pair.ends[0].association.send(pair.now, StreamId(0), message).unwrap();
    };
    say(ppid::STRING_PARTIAL, "co");
    say(ppid::STRING_PARTIAL, "o");
    say(ppid::STRING, "!");
    say(ppid::BINARY_PARTIAL, "ab");
    say(ppid::BINARY, "c");
    say(crate::Ppid(60), "of no known kind");
    say(ppid::STRING, "plain");
    pair.run();
    let heard: Vec<_> = std::iter::from_fn(|| pair.ends[1].receive(pair.now, theirs)).collect();
    assert_eq!(heard, [text("coo!"), Payload::Binary("abc".into()), text("plain")]);
    // Together they must not be larger than a message may be.
    for _ in 0..3 {
        let message = Message::new(ppid::BINARY_PARTIAL, "fivefive");
        pair.ends[0].association.send(pair.now, StreamId(0), message).unwrap();
    }
    pair.run();
    assert_eq!(pair.ends[1].receive(pair.now, theirs), None);
    pair.run();
    assert!(pair.events(1).contains(&ChannelEvent::Failed(theirs, ChannelError::MessageTooLarge)));
    assert!(pair.events(0).contains(&ChannelEvent::Closed(ours)));
}

#[test]
fn the_peers_largest_message_is_respected() {
    let config = Config { max_send_message_size: 1000, max_message_size: 1 << 20, ..Config::default() };
    let mut pair = Pair::started(config);
    let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
    pair.run();
    let send = |pair: &mut Pair, length: usize| {
        let now = pair.now;
        pair.ends[0].send(now, ours, Payload::Binary(vec![0; length].into()))
    };
    assert_eq!(send(&mut pair, 1000), Ok(()));
    assert_eq!(send(&mut pair, 1001), Err(SendError::TooLarge { limit: 1000 }.into()));
    // What `a=max-message-size:0` means: any.
    pair.ends[0].set_max_send_message_size(usize::MAX);
    assert_eq!(send(&mut pair, 1 << 20), Ok(()));
    for _ in 0..3 {
        pair.run();
    }
    let theirs = pair.ends[1].channels().next().unwrap();
    let lengths: Vec<_> =
        std::iter::from_fn(|| pair.ends[1].receive(pair.now, theirs)).map(|message| message.len()).collect();
    assert_eq!(lengths, [1000, 1 << 20]);
}

/// `bufferedAmount` counts bytes of application data: of text its UTF-8, nothing of what the
/// protocols add, and nothing that has been handed to the network. `bufferedamountlow` comes when
/// it falls from above the threshold to it or below, and only then.
#[test]
fn the_buffered_amount_is_that_of_the_w3c() {
    let mut pair = Pair::started(Config::default());
    let ours = pair.ends[0].open(pair.now, "a label that does not count", ChannelInit::default()).unwrap();
    assert_eq!(pair.ends[0].buffered_amount(ours), 0);
    pair.run();
    pair.events(0);
    pair.ends[0].hold_output(pair.now);
    let low = |pair: &mut Pair| {
        pair.events(0).iter().filter(|event| **event == ChannelEvent::BufferedAmountLow(ours)).count()
    };
    pair.ends[0].set_buffered_amount_low_threshold(ours, 3000);
    for (payload, total) in [
        (text("gr\u{fc}n"), 5),
        (text(""), 5),
        (Payload::Binary(Bytes::new()), 5),
        (Payload::Binary(vec![0; 2995].into()), 3000),
    ] {
        pair.ends[0].send(pair.now, ours, payload).unwrap();
        assert_eq!(pair.ends[0].buffered_amount(ours), total);
    }
    pair.ends[0].set_transport_ready(pair.now);
    pair.run();
    assert_eq!(
        (pair.ends[0].buffered_amount(ours), low(&mut pair)),
        (0, 0),
        "it was never above the threshold"
    );

    pair.ends[0].hold_output(pair.now);
    pair.ends[0].send(pair.now, ours, Payload::Binary(vec![0; 9000].into())).unwrap();
    assert_eq!(low(&mut pair), 0);
    pair.ends[0].set_transport_ready(pair.now);
    let mut buffer = [0; 2048];
    let mut amounts = vec![9000];
    let mut crossings = 0;
    while let Some(length) = pair.ends[0].poll_transmit(pair.now, &mut Unlimited, &mut buffer) {
        let amount = pair.ends[0].buffered_amount(ours);
        let crossed = amounts[amounts.len() - 1] > 3000 && amount <= 3000;
        assert_eq!(low(&mut pair), usize::from(crossed), "{amounts:?} {amount}");
        crossings += usize::from(crossed);
        amounts.push(amount);
        pair.ends[1].handle_input(pair.now, &buffer[..length], Ecn::NotMarked);
    }
    assert!(amounts.is_sorted_by(|one, next| one >= next), "{amounts:?}");
    pair.run();
    assert_eq!((pair.ends[0].buffered_amount(ours), crossings, low(&mut pair)), (0, 1, 0));
}

/// INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE and what lies
/// between: each may get lost.
#[test]
fn no_packet_of_a_handshake_or_an_end_is_indispensable() {
    for both in [false, true] {
        for lost in 1..24 {
            let mut pair = Pair::new(Config::default());
            pair.drop_one = Some(lost);
            pair.ends[0].start(pair.now, Role::Client);
            if both {
                pair.ends[1].start(pair.now, Role::Server);
            } else {
                pair.ends[1].set_role(pair.now, Role::Server);
            }
            let ours = pair.ends[0].open(pair.now, "", ChannelInit::default()).unwrap();
            for _ in 0..3 {
                pair.run();
            }
            pair.ends[0].send(pair.now, ours, text("hello")).unwrap();
            pair.ends[0].shutdown(pair.now);
            for _ in 0..5 {
                pair.run();
            }
            let events = [0, 1].map(|end| pair.events(end));
            for events in &events {
                let connected = events.iter().filter(|event| **event == ChannelEvent::Connected).count();
                assert_eq!(connected, 1, "{both} {lost}: {events:?}");
            }
            let shut = ChannelEvent::Disconnected(CloseReason::Shutdown);
            assert!(events[0].contains(&shut) && events[1].contains(&shut), "{both} {lost}: {events:?}");
            let theirs = events[1].iter().find_map(|event| match event {
                ChannelEvent::Incoming(id) => Some(*id),
                _ => None,
            });
            let heard = pair.ends[1].receive(pair.now, theirs.unwrap());
            assert_eq!(heard, Some(text("hello")), "{both} {lost}");
        }
    }
}
