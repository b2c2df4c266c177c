//! Chunks one by one: unknown ones, acknowledgements, checksums, windows.

use super::*;
use crate::error::CloseReason;

#[test]
fn unknown_chunks_are_treated_by_their_upper_bits() {
    for (kind, goes_on, reported) in
        [(0x3f, false, false), (0x7f, false, true), (0xbf, true, false), (0xff, true, true)]
    {
        let mut hand = Hand::established(Config::default(), EVERYTHING);
        let data = Data { payload: b"behind it", ..fragment(0) };
        hand.deliver(|writer| {
            writer.chunk(kind, 5, |writer| writer.bytes(b"what?"));
            data.write(writer, false);
        });
        assert_eq!(hand.association.receive(StreamId(0)).is_some(), goes_on, "{kind:x}");
        let output = hand.poll_output();
        let report = output.iter().find(|output| output.kind == chunk_type::ERROR);
        assert_eq!(report.is_some(), reported, "{kind:x}");
        if let Some(report) = report {
            assert_eq!(report.value[..6], [0, 6, 0, 13, kind, 5], "cause, length, the chunk itself");
        }
    }
}

#[test]
fn a_single_packet_waits_for_a_second_unless_it_is_asked_for_at_once() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let say = |hand: &mut Hand, message, immediate| {
        hand.deliver_fragment(Data { message, immediate, payload: b"x", ..fragment(0) });
    };
    say(&mut hand, 0, false);
    assert_eq!(hand.poll_output(), [], "RFC 9260 §6.2: one packet may wait");
    assert_eq!(kinds(&hand.wait(Duration::from_millis(20))), [chunk_type::SACK]);
    say(&mut hand, 1, false);
    say(&mut hand, 2, false);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SACK], "but not two");
    say(&mut hand, 3, true);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SACK], "RFC 7053");
    // A hole, and what fills it, are reported at once.
    hand.next = hand.next.next();
    say(&mut hand, 5, false);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SACK]);
}

#[test]
fn the_last_chunk_before_a_pause_asks_for_an_answer_at_once() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.send(0, &[1; 2500]);
    let immediate: Vec<_> = hand.poll_output().iter().map(|output| output.flags & 8 != 0).collect();
    assert_eq!(immediate, [false, false, true]);
}

#[test]
fn the_checksum_is_left_out_only_where_both_agree() {
    for (ours, theirs) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = Config { zero_checksum: ours, ..Config::default() };
        let mut hand = Hand::new(config);
        hand.association.connect(hand.now);
        let extensions = Extensions { zero_checksum: theirs, ..EVERYTHING };
        let mut checksums = Vec::new();
        let mut buffer = vec![0; 2048];
        let mut poll_output = |hand: &mut Hand| {
            while let Some(length) = hand.association.poll_transmit(hand.now, &mut Unlimited, &mut buffer) {
                assert!(parse(&buffer[..length], true).is_ok());
                let zero = buffer[8..12] == [0; 4];
                assert_eq!(zero, parse(&buffer[..length], false).is_err(), "right, or none");
                checksums.push(!zero);
            }
        };
        poll_output(&mut hand);
        let answer = Init { cookie: b"theirs", ..peer_init(extensions) };
        hand.deliver(|writer| answer.write(writer, chunk_type::INIT_ACK));
        poll_output(&mut hand);
        hand.deliver(|writer| writer.chunk(chunk_type::COOKIE_ACK, 0, |_| {}));
        hand.send(0, b"data");
        poll_output(&mut hand);
        // RFC 9653 §5.2: INIT and COOKIE ECHO have one in any case.
        assert_eq!(checksums, [true, true, !(ours && theirs)]);

        // And a packet without one is taken only by an end that has said so.
        let mut packet = write(|writer| {
            hand.association.header(hand.tag).write(writer);
            Data { payload: b"bare", ..fragment(0) }.write(writer, false);
        });
        packet[8..12].fill(0);
        hand.association.handle_input(hand.now, &packet, Ecn::NotMarked);
        assert_eq!(hand.association.receive(StreamId(0)).is_some(), ours);
        packet[8] = 1;
        let dropped = hand.association.stats().packets_dropped;
        hand.association.handle_input(hand.now, &packet, Ecn::NotMarked);
        assert_eq!(hand.association.stats().packets_dropped, dropped + 1, "a wrong one never");
    }
}

#[test]
fn data_and_i_data_do_not_mix() {
    for interleaving in [false, true] {
        let mut hand = Hand::established(Config::default(), Extensions { interleaving, ..EVERYTHING });
        hand.deliver(|writer| Data { payload: b"x", ..fragment(0) }.write(writer, !interleaving));
        assert_eq!(kinds(&hand.poll_output()), [chunk_type::ABORT], "RFC 8260 §2.2.2");
        assert!(matches!(hand.events()[..], [Event::Closed(CloseReason::Violation(_))]));
    }
}

#[test]
fn a_closed_window_is_probed_and_opens_again() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let first = hand.association.local_tsn;
    hand.send(0, &[7; 10_000]);
    assert!(hand.poll_output().len() > 5);
    // The peer has room for nothing, not even for what is in flight: it drops all but the first.
    hand.deliver_sack(first, 0, &[]);
    let mut probes = 0;
    for _ in 0..20 {
        let output = hand.wait(Duration::from_secs(10));
        let data = output.iter().filter(|output| output.kind == chunk_type::DATA).count();
        assert!((1..=8).contains(&data), "a probe now and then, and no flood: {data}");
        probes += data;
        hand.deliver_sack(first, 0, &[]);
    }
    assert!(probes >= 20 && !hand.association.is_closed());
    // The update was lost; the answer to a probe is as good.
    hand.wait(Duration::from_secs(10));
    hand.deliver_sack(first.next(), 100_000, &[]);
    for _ in 0..20 {
        hand.wait(Duration::from_millis(50));
        let all = hand.association.sender.outstanding.next_tsn().previous();
        hand.deliver_sack(all, 100_000, &[]);
    }
    assert_eq!(hand.association.total_buffered_amount(), 0);
    assert!(hand.association.sender.is_done());
}

#[test]
fn queues_have_limits_for_all_and_for_each() {
    let config = Config { send_buffer: 50_000, stream_send_buffer: 20_000, ..Config::default() };
    let mut hand = Hand::established(config, EVERYTHING);
    hand.association.hold_output(hand.now);
    let send = |hand: &mut Hand, stream| {
        let message = Message::new(Ppid(53), &[1_u8; 10_000][..]);
        hand.association.send(hand.now, StreamId(stream), message)
    };
    assert_eq!((send(&mut hand, 0), send(&mut hand, 0)), (Ok(()), Ok(())));
    assert_eq!(send(&mut hand, 0), Err(SendError::Full), "the stream's");
    assert_eq!((send(&mut hand, 1), send(&mut hand, 1)), (Ok(()), Ok(())));
    assert_eq!(send(&mut hand, 2), Ok(()));
    assert_eq!(send(&mut hand, 2), Err(SendError::Full), "the association's");
    assert_eq!(send(&mut hand, 3), Ok(()), "no stream is kept out by others");
    assert_eq!(send(&mut hand, 3), Err(SendError::Full));
    assert_eq!(hand.association.buffered_amount(StreamId(0)), 20_000);
    assert_eq!(hand.association.total_buffered_amount(), 60_000);
    assert_eq!(hand.events(), []);
    hand.association.set_transport_ready(hand.now);
    for _ in 0..20 {
        hand.wait(Duration::from_millis(30));
        let all = hand.association.sender.outstanding.next_tsn().previous();
        hand.deliver_sack(all, 1 << 20, &[]);
    }
    let events = hand.events().into_iter();
    let mut writable: Vec<_> = events.filter(|event| matches!(event, Event::Writable(_))).collect();
    writable.sort_by_key(|event| format!("{event:?}"));
    let refused = [0, 2, 3].map(|stream| Event::Writable(StreamId(stream)));
    assert_eq!(writable, refused, "one event for each stream that had refused a message");
    assert_eq!(send(&mut hand, 0), Ok(()));
}

#[test]
fn what_is_given_up_is_told_until_it_is_acknowledged() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let message = Message { reliability: Reliability::MaxRetransmits(0), ..Message::new(Ppid(53), "once") };
    hand.association.send(hand.now, StreamId(0), message).unwrap();
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::DATA]);
    let told = hand.wait(Duration::from_secs(20));
    assert!(told.len() >= 3 && told.iter().all(|output| output.kind == chunk_type::FORWARD_TSN), "{told:?}");
    let sent = hand.association.local_tsn;
    hand.deliver_sack(sent, 1 << 20, &[]);
    assert_eq!(hand.wait(Duration::from_secs(9)), []);
    assert!(hand.association.sender.is_done());
}

#[test]
fn what_is_given_up_is_told_though_a_packet_had_no_room_for_it() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    let message = Message { reliability: Reliability::MaxRetransmits(0), ..Message::new(Ppid(53), "once") };
    hand.association.send(hand.now, StreamId(0), message).unwrap();
    hand.poll_output();
    let at = hand.association.poll_timeout().unwrap();
    hand.now = at + Duration::from_secs(1);
    hand.association.handle_timeout(hand.now);
    let mut buffer = [0; 10];
    let association = &mut hand.association;
    association.sender.write_forward(hand.now, &mut Writer::new(&mut buffer), &mut association.timers);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::FORWARD_TSN]);
}

#[test]
fn streams_that_the_peer_does_not_take_are_not_used() {
    let mut hand = Hand::new(Config::default());
    hand.send(300, b"into the void");
    hand.send(2, b"fine");
    hand.association.connect(hand.now);
    hand.poll_output();
    let peer = peer_init(EVERYTHING);
    let answer = Init { cookie: b"theirs", incoming_streams: 256, outgoing_streams: 9, ..peer };
    hand.deliver(|writer| answer.write(writer, chunk_type::INIT_ACK));
    assert_eq!(hand.association.bidirectional_streams(), 9);
    let output = hand.poll_output();
    assert_eq!(kinds(&output), [chunk_type::COOKIE_ECHO, chunk_type::DATA], "RFC 9260 §6.5");
    assert_eq!(output[1].value[4..6], [0, 2]);
    assert_eq!(hand.association.total_buffered_amount(), 0);
    let late = hand.association.send(hand.now, StreamId(256), Message::new(Ppid(53), "no"));
    assert_eq!(late, Err(SendError::NoSuchStream { count: 256 }));
}
