//! Requests to reset streams, as a peer may put them (RFC 6525).

use super::*;

const OUTGOING: u16 = 13;
const INCOMING: u16 = 14;
const ADD_OUTGOING: u16 = 17;
const ADD_INCOMING: u16 = 18;

fn outgoing(writer: &mut Writer<'_>, number: u32, last: Tsn, stream: u16) {
    writer.parameter(OUTGOING, |writer| {
        writer.u32(number);
        writer.u32(0);
        writer.u32(last.0);
        writer.u16(stream);
    });
}

/// The numbers and results of the answers.
fn answers(output: &[OutputChunk]) -> Vec<(u32, u32)> {
    let word = |value: &[u8], at: usize| u32::from_be_bytes(value[at..at + 4].try_into().unwrap());
    output
        .iter()
        .filter(|output| output.kind == chunk_type::RECONFIG && output.value[1] == 16)
        .map(|output| (word(&output.value, 4), word(&output.value, 8)))
        .collect()
}

#[test]
fn two_requests_in_one_chunk_are_answered_alike_when_they_come_again() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let numbers = [FIRST.0, FIRST.0.wrapping_add(1)];
    let ask = |hand: &mut Hand, last: Tsn| {
        hand.deliver(|writer| {
            writer.chunk(chunk_type::RECONFIG, 0, |writer| {
                outgoing(writer, numbers[0], last, 3);
                writer.parameter(INCOMING, |writer| {
                    writer.u32(numbers[1]);
                    writer.u16(3);
                });
            });
        });
        answers(&hand.poll_output())
    };
    assert_eq!(ask(&mut hand, FIRST), [(numbers[0], 6), (numbers[1], 1)], "the first waits for data");
    hand.deliver_fragment(Data { payload: b"the last", ..fragment(3) });
    for _ in 0..3 {
        assert_eq!(ask(&mut hand, FIRST), [(numbers[0], 1), (numbers[1], 1)]);
    }
    let resets =
        hand.events().into_iter().filter(|event| *event == Event::IncomingReset(StreamId(3))).count();
    assert_eq!(resets, 1);
}

#[test]
fn the_numbers_of_requests_go_round() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    for round in 0..40_u32 {
        let number = FIRST.0.wrapping_add(round);
        hand.deliver(|writer| {
            writer.chunk(chunk_type::RECONFIG, 0, |writer| outgoing(writer, number, FIRST.previous(), 7));
        });
        assert_eq!(answers(&hand.poll_output()), [(number, 1)], "round {round}");
    }
}

#[test]
fn a_peer_may_use_more_streams_than_it_had_asked_for() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    for (round, (kind, result)) in [(ADD_OUTGOING, 1), (ADD_INCOMING, 2)].into_iter().enumerate() {
        let number = FIRST.0.wrapping_add(round as u32);
        hand.deliver(|writer| {
            writer.chunk(chunk_type::RECONFIG, 0, |writer| {
                writer.parameter(kind, |writer| {
                    writer.u32(number);
                    writer.u16(256);
                    writer.u16(0);
                });
            });
        });
        assert_eq!(answers(&hand.poll_output()), [(number, result)], "RFC 6525 §5.2.5 and §5.2.6");
    }
}

#[test]
fn a_late_copy_of_a_request_does_not_reset_what_has_been_used_again() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let ask = |hand: &mut Hand, number: u32| {
        hand.deliver(|writer| {
            writer.chunk(chunk_type::RECONFIG, 0, |writer| outgoing(writer, number, FIRST, 3));
        });
        answers(&hand.poll_output())
    };
    let (first, second) = (FIRST.0, FIRST.0.wrapping_add(1));
    assert_eq!(ask(&mut hand, first), [(first, 6)]);
    hand.deliver_fragment(Data { payload: b"the last", ..fragment(3) });
    assert_eq!(ask(&mut hand, second), [(second, 1)]);
    hand.deliver_fragment(Data { payload: b"the first", ..fragment(3) });
    assert_eq!(ask(&mut hand, first), [(first, 6)], "as it was answered then");
    hand.deliver_fragment(Data { message: 1, payload: b"the second", ..fragment(3) });
    let output: Vec<_> = std::iter::from_fn(|| hand.association.receive(StreamId(3))).collect();
    assert_eq!(output.len(), 3, "the stream goes on");
}
