//! The tricks of hostile peers, by name; and the bounds of the memory that they can make us use.

use super::*;

/// The largest receive window of these tests, and what may be held beyond it: the last chunk that
/// was let in, and what fills holes.
const WINDOW: usize = 200_000;
const SLACK: usize = 4_000;

fn small() -> Config {
    Config {
        receive_window: 100_000,
        max_receive_window: WINDOW,
        max_message_size: 50_000,
        ..Config::default()
    }
}

#[test]
fn a_million_tiny_unordered_fragments_are_bounded_by_the_window() {
    let mut hand = Hand::established(small(), EVERYTHING);
    // One large message teaches the receiver to expect large ones.
    let large = vec![7; 1000];
    for part in 0..40 {
        let (begin, end) = (part == 0, part == 39);
        hand.deliver_fragment(Data { unordered: true, begin, end, payload: &large, ..fragment(1) });
    }
    assert!(hand.association.receive(StreamId(1)).is_some());
    for _ in 0..20_000 {
        let first = hand.next;
        hand.next = first.plus(50);
        hand.deliver(|writer| {
            for offset in 0..50 {
                let data =
                    Data { tsn: first.plus(offset), unordered: true, end: false, ..fragment(offset as u16) };
                Data { payload: b"x", ..data }.write(writer, false);
            }
        });
        hand.poll_output();
    }
    let held = hand.association.receiver.reassembly.held();
    assert!(held > WINDOW / 2 && held <= WINDOW + SLACK, "{held}");
}

#[test]
fn streams_that_a_peer_makes_up_are_bounded_by_the_window() {
    let mut hand = Hand::established(small(), EVERYTHING);
    for stream in 0..u16::MAX {
        hand.deliver_fragment(Data { end: false, payload: b"x", ..fragment(stream) });
    }
    let held = hand.association.receiver.reassembly.held();
    assert!(held <= WINDOW + SLACK, "{held}");
    assert!(hand.association.receiver.reassembly.streams_with_content() < WINDOW / 300);
}

fn violated(hand: &mut Hand) -> bool {
    hand.events().iter().any(|event| matches!(event, Event::Closed(CloseReason::Violation(_))))
}

#[test]
fn guesses_of_the_tag_are_dropped() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let right = hand.tag;
    for bit in 0..32 {
        for kind in [
            chunk_type::ABORT,
            chunk_type::SHUTDOWN_COMPLETE,
            chunk_type::SHUTDOWN,
            chunk_type::DATA,
            chunk_type::INIT_ACK,
        ] {
            for flags in [0, 1] {
                hand.deliver_as(right ^ (1 << bit), |writer| {
                    writer.chunk(kind, flags, |writer| writer.zeros(20))
                });
            }
        }
    }
    assert_eq!(hand.events(), []);
    assert!(hand.association.is_established());
    assert_eq!(hand.association.stats().packets_dropped, 320);
    // An INIT has no tag, and comes alone.
    hand.deliver(|writer| peer_init(EVERYTHING).write(writer, chunk_type::INIT));
    assert_eq!(hand.poll_output(), []);
    // With the T bit the tag is the peer's own.
    hand.deliver_as(TAG, |writer| writer.chunk(chunk_type::ABORT, 1, |_| {}));
    assert!(matches!(hand.events()[..], [Event::Closed(CloseReason::Remote { .. })]));
}

#[test]
fn acknowledgements_of_what_was_never_sent_abort() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let first = hand.association.local_tsn;
    hand.send(0, &[1; 5000]);
    let sent = hand.poll_output().len() as u32;
    // Behind is old, and means nothing.
    hand.deliver_sack(first.previous().previous(), 1000, &[]);
    hand.deliver_sack(Tsn(first.0.wrapping_sub(1 << 30)), 1000, &[]);
    assert!(!hand.association.is_closed());
    hand.deliver_sack(first.plus(sent), 1000, &[]);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::ABORT]);
    assert!(violated(&mut hand));
    // SHUTDOWN acknowledges, too.
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.deliver(|writer| writer.chunk(chunk_type::SHUTDOWN, 0, |writer| writer.u32(first.plus(9).0)));
    assert!(violated(&mut hand));
}

#[test]
fn gap_blocks_without_sense_change_nothing() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let before = hand.association.local_tsn.previous();
    hand.send(0, &[1; 8000]);
    let sent = hand.poll_output().len();
    assert!(sent > 6);
    let unacknowledged = |hand: &Hand| hand.association.sender.outstanding.payload();
    assert_eq!(unacknowledged(&hand), 8000);
    for blocks in
        [&[(0, 0)][..], &[(1, 3)], &[(5, 3)], &[(2, 60_000)], &[(65_535, 65_535)], &[(100, 200), (300, 400)]]
    {
        hand.deliver_sack(before, 1 << 20, blocks);
        assert_eq!(unacknowledged(&hand), 8000, "{blocks:?}");
    }
    // Of blocks one upon the other, the first counts.
    hand.deliver_sack(before, 1 << 20, &[(3, 4), (3, 4), (2, 4), (4, 5)]);
    let two = 8000 - unacknowledged(&hand);
    assert!(two > 2000 && two < 2500, "{two}");
    assert!(hand.association.is_established());
}

#[test]
fn a_window_that_shrinks_below_what_is_in_flight_stops_the_sender_only() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let first = hand.association.local_tsn;
    hand.send(0, &[1; 60_000]);
    hand.poll_output();
    for window in [5000, 100, 1, 0, u32::MAX, 0] {
        hand.deliver_sack(first, window, &[]);
        hand.poll_output();
    }
    let in_flight = hand.association.stats().in_flight;
    assert_eq!(hand.poll_output(), []);
    assert!(in_flight < 60_000 && hand.association.is_established());
}

#[test]
fn forward_tsn_far_ahead_costs_nothing() {
    for interleaving in [false, true] {
        let config = Config { max_receive_window: WINDOW, ..small() };
        let mut hand = Hand::established(config, Extensions { interleaving, ..EVERYTHING });
        let kind = if interleaving { chunk_type::I_FORWARD_TSN } else { chunk_type::FORWARD_TSN };
        for (step, ahead) in [1_u32, 1000, 1 << 20, (1 << 31) - 1, 1 << 31, u32::MAX].into_iter().enumerate()
        {
            hand.deliver(|writer| {
                writer.chunk(kind, 0, |writer| {
                    writer.u32(FIRST.plus(ahead).0);
                    for stream in 0..100 {
                        writer.u16(step as u16 * 1000 + stream);
                        if interleaving {
                            writer.u16(stream % 2);
                            writer.u32(u32::MAX / 2);
                        } else {
                            writer.u16(0x7fff);
                        }
                    }
                });
            });
            hand.poll_output();
        }
        assert_eq!(hand.association.receiver.reassembly.held(), 0);
        assert!(hand.association.is_established());
        // The other kind is a violation.
        let other = if interleaving { chunk_type::FORWARD_TSN } else { chunk_type::I_FORWARD_TSN };
        hand.deliver(|writer| writer.chunk(other, 0, |writer| writer.u32(FIRST.plus(5).0)));
        assert!(violated(&mut hand));
    }
}

#[test]
fn floods_of_resets_are_answered_sparingly_and_leave_nothing() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let ask = |hand: &mut Hand, parameter, number: u32| {
        hand.deliver(|writer| {
            writer.chunk(chunk_type::RECONFIG, 0, |writer| {
                writer.parameter(parameter, |writer| {
                    writer.u32(number);
                    if parameter == 13 {
                        writer.u32(0);
                        writer.u32(FIRST.previous().0);
                    }
                    for stream in 0..500 {
                        writer.u16((number as u16).wrapping_mul(500).wrapping_add(stream));
                    }
                });
            });
        });
    };
    for round in 0..5000 {
        // The right number, a wrong one, and the right one again.
        let number = FIRST.0.wrapping_add(round);
        ask(&mut hand, if round % 2 == 0 { 13 } else { 14 }, number);
        ask(&mut hand, 13, number.wrapping_add(7));
        ask(&mut hand, 14, number);
    }
    assert!(hand.poll_output().len() <= 8, "answers wait in a queue of eight");
    assert!(hand.events().len() <= 1 << 16);
    assert_eq!(hand.association.sender.queue.stream_count(), 0, "streams that were never used are not made");
    assert!(hand.association.is_established());
}

#[test]
fn what_must_come_alone_or_first_is_not_taken_in_a_bundle() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let data = |message| Data { message, tsn: FIRST.plus(message), payload: b"x", ..fragment(0) };
    // INIT in the middle ends the packet; SHUTDOWN COMPLETE and COOKIE ACK mean nothing now.
    hand.deliver(|writer| {
        data(0).write(writer, false);
        writer.chunk(chunk_type::SHUTDOWN_COMPLETE, 0, |_| {});
        writer.chunk(chunk_type::COOKIE_ACK, 0, |_| {});
        data(1).write(writer, false);
        peer_init(EVERYTHING).write(writer, chunk_type::INIT);
        data(2).write(writer, false);
    });
    assert!(hand.association.is_established());
    let received = std::iter::from_fn(|| hand.association.receive(StreamId(0))).count();
    assert_eq!(received, 2);
    // Hundreds of chunks that ask for an answer get few.
    hand.deliver(|writer| {
        for nonce in 0..300 {
            writer.chunk(chunk_type::HEARTBEAT, 0, |writer| writer.parameter(1, |writer| writer.u64(nonce)));
            writer.chunk(0xff, 0, |_| {});
        }
    });
    let output = hand.poll_output();
    assert!(output.len() <= MAX_REPLIES + 2, "{}", output.len());
    // DATA without data is an error of its own (RFC 9260 §3.3.10.9 and §6.2).
    let tsn = hand.next.0;
    hand.deliver_fragment(fragment(0));
    let abort = hand.poll_output().pop().unwrap();
    assert_eq!((abort.kind, &abort.value[..4]), (chunk_type::ABORT, &[0, 9, 0, 8][..]));
    assert_eq!(abort.value[4..], tsn.to_be_bytes());
    assert!(hand.association.is_closed());
}

#[test]
fn messages_larger_than_allowed_are_not_kept() {
    let mut hand = Hand::established(small(), EVERYTHING);
    let piece = vec![9; 1000];
    for part in 0..200 {
        hand.deliver_fragment(Data { begin: part == 0, end: false, payload: &piece, ..fragment(2) });
        hand.poll_output();
    }
    assert_eq!(hand.events(), [Event::MessageTooLarge(StreamId(2))], "once");
    assert!(hand.association.receiver.reassembly.held() < 50_000);
    assert!(hand.association.is_established());
}

#[test]
fn what_follows_an_abandoned_beginning_is_not_kept() {
    let mut hand = Hand::established(small(), EVERYTHING);
    let say = |hand: &mut Hand, offset: u32, begin, end| {
        let part =
            Data { tsn: FIRST.plus(offset), unordered: true, begin, end, payload: b"part", ..fragment(4) };
        hand.deliver(|writer| part.write(writer, false));
    };
    // The beginning is lost and given up; the rest has arrived. Another message is still on its
    // way.
    say(&mut hand, 1, false, false);
    say(&mut hand, 2, false, true);
    say(&mut hand, 3, true, false);
    hand.deliver(|writer| writer.chunk(chunk_type::FORWARD_TSN, 0, |writer| writer.u32(FIRST.0)));
    say(&mut hand, 4, false, true);
    assert_eq!(hand.association.receive(StreamId(4)).unwrap().payload, "partpart");
    assert_eq!(hand.association.receive(StreamId(4)), None);
    assert_eq!(hand.association.receiver.reassembly.held(), 0);
}

#[test]
fn messages_far_ahead_of_a_lost_one_are_not_taken_for_old_ones() {
    let config = Config { receive_window: 64 << 20, ..Config::default() };
    let mut hand = Hand::established(config, EVERYTHING);
    let many = 40_000;
    let say = |hand: &mut Hand, from: u32, to: u32| {
        for offset in from..to {
            let data =
                Data { tsn: FIRST.plus(offset), message: offset & 0xffff, payload: b"x", ..fragment(0) };
            hand.deliver(|writer| data.write(writer, false));
        }
    };
    say(&mut hand, 1, many);
    say(&mut hand, 0, 1);
    let taken = hand.association.receiver.cumulative_tsn().next().since(FIRST);
    let mut received = 0;
    while hand.association.receive(StreamId(0)).is_some() {
        received += 1;
    }
    assert_eq!(received, taken, "what was acknowledged is there");
    say(&mut hand, taken, many);
    while hand.association.receive(StreamId(0)).is_some() {
        received += 1;
    }
    assert_eq!(received, many);
}

#[test]
fn abort_is_repeated_to_a_peer_that_goes_on() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.association.abort(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::ABORT]);
    for _ in 0..3 {
        // It is lost, and the peer goes on (RFC 9260 §8.4).
        hand.deliver_fragment(Data { payload: b"well?", ..fragment(0) });
        let output = hand.poll_output();
        assert_eq!((output.len(), output[0].kind, output[0].tag), (1, chunk_type::ABORT, TAG));
    }
    // Two that have both ended it do not tell each other for ever.
    hand.deliver(|writer| writer.chunk(chunk_type::ABORT, 0, |_| {}));
    assert_eq!(hand.poll_output(), []);
    // An end that was aborted sends nothing.
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.deliver(|writer| writer.chunk(chunk_type::ABORT, 0, |_| {}));
    hand.deliver_fragment(Data { payload: b"late", ..fragment(0) });
    assert_eq!(hand.poll_output(), []);
}
