//! What hostile peers do, by name; and what bounds the memory that they can make us use.

use super::*;

/// The largest receive window of these tests, and what may be held beyond it: the last chunk that was let in, and what fills holes.
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
        hand.say_fragment(Data { unordered: true, begin, end, payload: &large, ..fragment(1) });
    }
    assert!(hand.association.receive(StreamId(1)).is_some());
    for _ in 0..20_000 {
        let first = hand.next;
        hand.next = first.plus(50);
        hand.say(|writer| {
            for offset in 0..50 {
                let data =
                    Data { tsn: first.plus(offset), unordered: true, end: false, ..fragment(offset as u16) };
                Data { payload: b"x", ..data }.write(writer, false);
            }
        });
        hand.hear();
    }
    let held = hand.association.receiver.reassembly.held();
    assert!(held > WINDOW / 2 && held <= WINDOW + SLACK, "{held}");
}

#[test]
fn streams_that_a_peer_makes_up_are_bounded_by_the_window() {
    let mut hand = Hand::established(small(), EVERYTHING);
    for stream in 0..u16::MAX {
        hand.say_fragment(Data { end: false, payload: b"x", ..fragment(stream) });
    }
    let held = hand.association.receiver.reassembly.held();
    assert!(held <= WINDOW + SLACK, "{held}");
    assert!(hand.association.receiver.reassembly.streams_with_content() < WINDOW / 300);
}
