//! The transport below: output held, ports, packets.

use super::*;
use crate::error::ImportError;

#[test]
fn while_output_is_held_time_stands_still() {
    let config = Config {
        heartbeat_interval: Duration::from_secs(1),
        max_retransmissions: Some(2),
        ..Config::default()
    };
    let mut hand = Hand::new(config);
    hand.association.hold_output(hand.now);
    let init = write(|writer| peer_init(EVERYTHING).write(writer, chunk_type::INIT));
    hand.association.import_init(hand.now, &init).unwrap();
    hand.send(0, b"soon");
    assert_eq!(hand.association.poll_timeout(), None);
    assert_eq!(hand.wait(Duration::from_secs(600)), []);
    // A timer of the owner's own may still call.
    hand.association.handle_timeout(hand.now);
    assert!(!hand.association.is_closed());

    hand.association.set_transport_ready(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::DATA]);
    let at = hand.association.poll_timeout().unwrap();
    assert!(at > hand.now, "deadlines go on from where they stood");
}

#[test]
fn own_init_that_comes_back_is_none_of_the_peers() {
    let mut hand = Hand::new(Config::default());
    let own = hand.association.export_init();
    assert_eq!(hand.association.import_init(hand.now, &own), Err(ImportError::Own));
    hand.association.connect(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::INIT], "the handshake goes its usual way");
}

#[test]
fn a_port_that_the_description_names_is_used_and_expected() {
    let mut hand = Hand::new(Config::default());
    hand.association.set_remote_port(6000);
    hand.association.connect(hand.now);
    let mut buffer = [0; 1500];
    hand.association.poll_transmit(hand.now, &mut Unlimited, &mut buffer).unwrap();
    assert_eq!(buffer[..4], [0x13, 0x88, 0x17, 0x70], "from 5000 to 6000");
    let dropped = hand.association.stats().packets_dropped;
    hand.deliver(|writer| peer_init(EVERYTHING).write(writer, chunk_type::INIT_ACK));
    assert_eq!(hand.association.stats().packets_dropped, dropped + 1, "port 5000 is another's");
}

#[test]
fn a_peer_without_reconfig_cannot_be_asked_to_reset() {
    let mut hand = Hand::established(Config::default(), Extensions { reconfig: false, ..EVERYTHING });
    hand.send(4, b"last words");
    hand.association.reset_stream(hand.now, StreamId(4));
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::DATA]);
    assert_eq!(hand.events(), [Event::BufferedAmountLow(StreamId(4))], "what was sent may still be lost");
    let sent = hand.association.local_tsn;
    hand.deliver_sack(sent, 1 << 20, &[]);
    assert_eq!(hand.events(), [Event::ResetRefused(StreamId(4))]);
    assert!(!kinds(&hand.wait(Duration::from_secs(20))).contains(&chunk_type::RECONFIG));
    hand.send(4, b"it can be used on");
    hand.association.reset_stream(hand.now, StreamId(9));
    assert_eq!(hand.events(), [Event::ResetRefused(StreamId(9))], "nothing was ever sent there");
}

#[test]
fn heartbeats_that_come_together_are_all_answered() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    for nonce in 0..3 {
        hand.deliver(|writer| {
            writer.chunk(chunk_type::HEARTBEAT, 0, |writer| writer.parameter(1, |writer| writer.u64(nonce)));
        });
    }
    let answered: Vec<_> =
        hand.poll_output().into_iter().map(|output| (output.kind, output.value[11])).collect();
    assert_eq!(answered, [0, 1, 2].map(|nonce| (chunk_type::HEARTBEAT_ACK, nonce)));
}

#[test]
fn a_heartbeat_that_does_not_fit_into_an_answer_keeps_no_other_waiting() {
    let mut hand = Hand::established(Config { mtu: 480, max_mtu: 480, ..Config::default() }, EVERYTHING);
    for length in [900, 20] {
        hand.deliver(|writer| {
            writer
                .chunk(chunk_type::HEARTBEAT, 0, |writer| writer.parameter(1, |writer| writer.zeros(length)));
        });
    }
    let answered: Vec<_> =
        hand.poll_output().into_iter().map(|output| (output.kind, output.value.len())).collect();
    assert_eq!(answered, [(chunk_type::HEARTBEAT_ACK, 24)]);
}

/// A peer that finds out the size of its path by long HEARTBEATs, as this side does with peers that
/// know no PAD.
#[test]
fn heartbeats_as_long_as_a_packet_are_answered() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    for length in [1000, 1028, 1100, 1148] {
        hand.deliver(|writer| {
            writer
                .chunk(chunk_type::HEARTBEAT, 0, |writer| writer.parameter(1, |writer| writer.zeros(length)));
        });
        let answered: Vec<_> =
            hand.poll_output().into_iter().map(|output| (output.kind, output.value.len())).collect();
        assert_eq!(answered, [(chunk_type::HEARTBEAT_ACK, length + 4)]);
    }
}

/// A budget of so many bytes, which is filled again at a time.
#[derive(Debug)]
struct Paced {
    left: usize,
    opens: Option<Instant>,
}

impl crate::Budget for Paced {
    fn available(&mut self, now: Instant) -> usize {
        if self.opens.is_some_and(|at| at <= now) {
            (self.left, self.opens) = (5000, None);
        }
        self.left
    }

    fn consumed(&mut self, _now: Instant, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn next_opening(&self, _now: Instant) -> Option<Instant> {
        self.opens
    }
}

#[test]
fn a_budget_that_opens_again_is_a_deadline() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let mut buffer = [0; 1500];
    let idle = hand.association.poll_timeout();
    let opens = hand.now + Duration::from_millis(7);
    let mut budget = Paced { left: 0, opens: Some(opens) };
    // Without data there is nothing to wake up for.
    assert_eq!(hand.association.poll_transmit(hand.now, &mut budget, &mut buffer), None);
    assert_eq!(hand.association.poll_timeout(), idle);

    hand.send(0, b"soon");
    assert_eq!(hand.association.poll_transmit(hand.now, &mut budget, &mut buffer), None);
    assert_eq!(hand.association.poll_timeout(), Some(opens));
    hand.now = opens;
    hand.association.handle_timeout(hand.now);
    let length = hand.association.poll_transmit(hand.now, &mut budget, &mut buffer).unwrap();
    assert_eq!(budget.left, 5000 - length);
    assert!(hand.association.poll_timeout().is_some_and(|at| at > hand.now));
}

#[test]
fn a_budget_that_is_used_up_and_opens_at_once_does_not_keep_its_owner_busy() {
    #[derive(Debug)]
    struct Broken;
    impl crate::Budget for Broken {
        fn available(&mut self, _now: Instant) -> usize {
            0
        }
        fn consumed(&mut self, _now: Instant, _bytes: usize) {}
        fn next_opening(&self, now: Instant) -> Option<Instant> {
            now.checked_sub(Duration::from_secs(1))
        }
    }
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.send(0, b"never");
    let mut buffer = [0; 1500];
    assert_eq!(hand.association.poll_transmit(hand.now, &mut Broken, &mut buffer), None);
    assert!(hand.association.poll_timeout().is_some_and(|at| at > hand.now));
    // The next budget is better, and the deadline is gone.
    assert!(hand.association.poll_transmit(hand.now, &mut Unlimited, &mut buffer).is_some());
    assert!(!hand.association.timers.is_set(Timer::Budget));
}

/// A chunk that the peer has not declared (RFC 5061 §4.2.7) is not sent where another way exists.
#[test]
fn probes_are_padded_by_pad_chunks_only_where_the_peer_declares_them() {
    for padding in [false, true] {
        let config = Config { max_mtu: 1412, ..Config::default() };
        let mut hand = Hand::established(config, Extensions { padding, ..EVERYTHING });
        hand.send(0, &[7; 40_000]);
        let mut buffer = [0; 1500];
        let mut probe = Vec::new();
        while let Some(length) = hand.association.poll_transmit(hand.now, &mut Unlimited, &mut buffer) {
            if length == 1412 {
                probe = buffer[..length].to_vec();
            }
        }
        let (_, chunks) = parse(&probe, true).unwrap();
        let chunks: Vec<_> = chunks.map(Result::unwrap).collect();
        let kinds: Vec<_> = chunks.iter().map(|chunk| chunk.kind).collect();
        let expected: &[u8] =
            if padding { &[chunk_type::HEARTBEAT, chunk_type::PAD] } else { &[chunk_type::HEARTBEAT] };
        assert_eq!(kinds, expected);
        let echo = chunks[0].value.to_vec();
        hand.deliver(|writer| writer.chunk(chunk_type::HEARTBEAT_ACK, 0, |writer| writer.bytes(&echo)));
        assert_eq!(hand.association.stats().mtu, 1412, "padding declared: {padding}");
    }
}
