//! The graceful end in every state (RFC 9260 §9.2).

use super::*;
use crate::error::CloseReason;

fn closed(hand: &mut Hand) -> bool {
    hand.events().contains(&Event::Closed(CloseReason::Shutdown))
}

fn shutdown_ack(writer: &mut Writer<'_>) {
    writer.chunk(chunk_type::SHUTDOWN_ACK, 0, |_| {});
}

fn say_shutdown(hand: &mut Hand, cumulative: Tsn) {
    hand.deliver(|writer| writer.chunk(chunk_type::SHUTDOWN, 0, |writer| writer.u32(cumulative.0)));
}

#[test]
fn before_the_handshake_there_is_nothing_to_end() {
    let mut hand = Hand::new(Config::default());
    hand.association.shutdown(hand.now);
    assert!(closed(&mut hand));
    let mut hand = Hand::new(Config::default());
    hand.association.connect(hand.now);
    hand.poll_output();
    hand.association.shutdown(hand.now);
    assert!(closed(&mut hand));
    assert_eq!(hand.wait(Duration::from_secs(60)), []);
}

#[test]
fn in_the_middle_of_the_handshake_it_waits_for_its_end() {
    let mut hand = Hand::new(Config::default());
    hand.association.connect(hand.now);
    hand.send(0, b"first this");
    hand.poll_output();
    hand.deliver(|writer| {
        Init { cookie: b"theirs", ..peer_init(EVERYTHING) }.write(writer, chunk_type::INIT_ACK)
    });
    hand.association.shutdown(hand.now);
    assert!(hand.association.send(hand.now, StreamId(0), Message::new(Ppid(53), "late")).is_err());
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
    hand.deliver(|writer| writer.chunk(chunk_type::COOKIE_ACK, 0, |_| {}));
    let sent = hand.association.local_tsn;
    hand.deliver_sack(sent, 1000, &[]);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN]);
    hand.deliver(shutdown_ack);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN_COMPLETE]);
    assert!(closed(&mut hand));
}

#[test]
fn what_is_queued_goes_first() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.send(0, b"first this");
    hand.association.shutdown(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::DATA]);
    // It is lost once.
    assert!(kinds(&hand.wait(Duration::from_secs(1))).contains(&chunk_type::DATA));
    let sent = hand.association.local_tsn;
    hand.deliver_sack(sent, 1000, &[]);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN]);
    // SHUTDOWN is lost; meanwhile the peer still says something, which is taken and answered.
    assert!(kinds(&hand.wait(Duration::from_secs(1))).contains(&chunk_type::SHUTDOWN));
    hand.deliver_fragment(Data { payload: b"not yet", ..fragment(3) });
    assert_eq!(hand.association.receive(StreamId(3)).unwrap().payload, "not yet");
    let output = hand.poll_output();
    let shutdown = output.iter().find(|output| output.kind == chunk_type::SHUTDOWN).unwrap();
    assert_eq!(shutdown.value, FIRST.0.to_be_bytes(), "it acknowledges");
    hand.deliver(shutdown_ack);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN_COMPLETE]);
    assert!(closed(&mut hand));
    // SHUTDOWN COMPLETE is lost: who asks again is answered, with its own tag.
    hand.deliver(shutdown_ack);
    let output = hand.poll_output();
    assert_eq!((output[0].kind, output[0].flags), (chunk_type::SHUTDOWN_COMPLETE, 1));
}

#[test]
fn the_peer_may_end_it_while_something_waits_here() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.send(0, b"first this");
    hand.poll_output();
    let before = hand.association.local_tsn.previous();
    say_shutdown(&mut hand, before);
    assert_eq!(hand.association.state, State::ShutdownReceived);
    assert!(!kinds(&hand.poll_output()).contains(&chunk_type::SHUTDOWN_ACK));
    assert!(hand.association.send(hand.now, StreamId(0), Message::new(Ppid(53), "late")).is_err());
    assert!(kinds(&hand.wait(Duration::from_secs(1))).contains(&chunk_type::DATA), "it goes out again");
    // SHUTDOWN acknowledges as well as SACK.
    let sent = hand.association.local_tsn;
    say_shutdown(&mut hand, sent);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN_ACK]);
    // It is lost, and goes out again; also when an INIT says that the peer has not understood.
    assert!(kinds(&hand.wait(Duration::from_secs(1))).contains(&chunk_type::SHUTDOWN_ACK));
    hand.deliver_as(0, |writer| peer_init(EVERYTHING).write(writer, chunk_type::INIT));
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN_ACK]);
    hand.deliver(|writer| writer.chunk(chunk_type::SHUTDOWN_COMPLETE, 0, |_| {}));
    assert!(closed(&mut hand));
}

#[test]
fn both_may_end_it_at_once() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.association.shutdown(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN]);
    let nothing = hand.association.local_tsn.previous();
    say_shutdown(&mut hand, nothing);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN_ACK]);
    hand.deliver(shutdown_ack);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN_COMPLETE]);
    assert!(closed(&mut hand));
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.association.shutdown(hand.now);
    hand.wait(Duration::from_secs(55));
    assert!(hand.events().contains(&Event::Closed(CloseReason::Timeout)));
}

#[test]
fn asking_twice_is_asking_once() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.association.shutdown(hand.now);
    hand.association.shutdown(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN]);
    hand.deliver(shutdown_ack);
    hand.association.shutdown(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN_COMPLETE]);
    assert_eq!(hand.events(), [Event::Closed(CloseReason::Shutdown)]);
}

#[test]
fn what_is_given_up_before_it_was_sent_does_not_keep_the_end_waiting() {
    for asked_by_peer in [false, true] {
        let mut hand = Hand::established(Config::default(), EVERYTHING);
        let message = Message {
            reliability: Reliability::MaxLifetime(Duration::ZERO),
            ..Message::new(Ppid(53), "too late already")
        };
        hand.association.send(hand.now, StreamId(0), message).unwrap();
        let expected = if asked_by_peer {
            let nothing = hand.association.local_tsn.previous();
            say_shutdown(&mut hand, nothing);
            chunk_type::SHUTDOWN_ACK
        } else {
            hand.association.shutdown(hand.now);
            chunk_type::SHUTDOWN
        };
        assert_eq!(kinds(&hand.poll_output()), [expected], "nothing else will ever call for it");
    }
}

#[test]
fn a_long_queue_may_take_its_time_and_a_stuck_one_is_said_to_be_over() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let payload = Bytes::from(vec![7; 60_000]);
    hand.association.send(hand.now, StreamId(0), Message::new(Ppid(53), payload)).unwrap();
    hand.association.shutdown(hand.now);
    // The peer takes one chunk every ten seconds.
    let mut acknowledged = hand.association.local_tsn.previous();
    for _ in 0..10 {
        hand.wait(Duration::from_secs(10));
        acknowledged = acknowledged.next();
        hand.deliver_sack(acknowledged, 2000, &[]);
    }
    assert!(!hand.association.is_closed(), "it goes on, so there is no reason to give up");
    let output = hand.wait(Duration::from_secs(55));
    assert_eq!(output.last().map(|output| output.kind), Some(chunk_type::ABORT), "RFC 9260 §9.2");
    assert!(hand.events().contains(&Event::Closed(CloseReason::Timeout)));
}
