//! The handshake, its collisions and restarts: RFC 9260 §5.1 and §5.2, whose table in §5.2.4 goes
//! by tags.

use super::*;

/// Says an INIT, and gives the cookie of the answer, and the tag under which it was answered.
fn cookie_for(hand: &mut Hand, tag: u32, tsn: Tsn) -> (Vec<u8>, u32) {
    let init = Init { tag, initial_tsn: tsn, ..peer_init(EVERYTHING) };
    hand.deliver_as(0, |writer| init.write(writer, chunk_type::INIT));
    let output = hand.poll_output();
    let answer = output.iter().find(|output| output.kind == chunk_type::INIT_ACK).expect("an INIT ACK");
    assert_eq!(answer.tag, tag, "the answer carries the asker's tag");
    let answer = Init::parse(&answer.value).unwrap();
    (answer.cookie.to_vec(), answer.tag)
}

fn echo(hand: &mut Hand, tag: u32, cookie: &[u8]) -> Vec<u8> {
    hand.deliver_as(tag, |writer| writer.chunk(chunk_type::COOKIE_ECHO, 0, |writer| writer.bytes(cookie)));
    kinds(&hand.poll_output())
}

#[test]
fn init_is_answered_without_state_until_the_cookie_comes_back() {
    let mut hand = Hand::new(Config::default());
    let (cookie, tag) = cookie_for(&mut hand, TAG, FIRST);
    assert_eq!((hand.association.state.clone(), hand.events()), (State::Idle, vec![]));
    assert_eq!(echo(&mut hand, tag, &cookie), [chunk_type::COOKIE_ACK]);
    assert_eq!(hand.events(), [Event::Connected]);
}

#[test]
fn both_may_begin_at_once() {
    // B of the table: their INIT comes after ours has gone out.
    let mut hand = Hand::new(Config::default());
    hand.association.connect(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::INIT]);
    let (cookie, tag) = cookie_for(&mut hand, TAG, FIRST);
    assert_eq!(tag, hand.association.local_tag, "one tag in both handshakes");
    // Their answer to our INIT comes in between.
    let answer = Init { cookie: b"theirs", ..peer_init(EVERYTHING) };
    hand.deliver(|writer| answer.write(writer, chunk_type::INIT_ACK));
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::COOKIE_ECHO]);
    assert_eq!(echo(&mut hand, tag, &cookie), [chunk_type::COOKIE_ACK]);
    assert_eq!(hand.events(), [Event::Connected]);
    hand.deliver(|writer| writer.chunk(chunk_type::COOKIE_ACK, 0, |_| {}));
    assert_eq!(hand.events(), [], "once is enough");
    // D: our COOKIE ACK was lost.
    assert_eq!(echo(&mut hand, tag, &cookie), [chunk_type::COOKIE_ACK]);
    assert_eq!(hand.events(), []);
}

#[test]
fn a_peer_that_has_lost_its_memory_is_met_again() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.deliver_fragment(Data { payload: b"before", ..fragment(0) });
    hand.send(1, b"in flight");
    hand.poll_output();
    hand.events();
    let (cookie, tag) = cookie_for(&mut hand, 77, Tsn(1000));
    assert_ne!(tag, hand.tag, "a new tag");
    assert_eq!(hand.events(), [], "nothing has changed before the cookie comes back");
    // A: both tags are new, and the tie tags are those of the old association.
    assert!(echo(&mut hand, tag, &cookie).contains(&chunk_type::COOKIE_ACK));
    assert_eq!(hand.events(), [Event::Restarted]);
    assert_eq!(hand.association.receive(StreamId(0)).unwrap().payload, "before");
    (hand.tag, hand.next) = (tag, Tsn(1000));
    hand.deliver_fragment(Data { payload: b"after", ..fragment(0) });
    assert_eq!(hand.association.receive(StreamId(0)).unwrap().payload, "after", "streams count from zero");
    assert_eq!(hand.association.stats().in_flight, 0, "what was in flight is gone");
}

#[test]
fn stale_cookie_is_refused() {
    // C: the cookie of an attempt that came to nothing, after another one came to something.
    let mut hand = Hand::new(Config::default());
    let (old, tag) = cookie_for(&mut hand, 55, Tsn(5));
    let (cookie, _) = cookie_for(&mut hand, TAG, FIRST);
    assert_eq!(echo(&mut hand, tag, &cookie), [chunk_type::COOKIE_ACK]);
    hand.events();
    assert_eq!(echo(&mut hand, tag, &old), [0_u8; 0]);
    assert_eq!(hand.events(), []);
    // And one that a restart was prepared with, before another restart.
    let (stale, stale_tag) = cookie_for(&mut hand, 66, Tsn(6));
    let (fresh, fresh_tag) = cookie_for(&mut hand, 67, Tsn(7));
    echo(&mut hand, fresh_tag, &fresh);
    assert_eq!(hand.events(), [Event::Restarted]);
    assert_eq!(echo(&mut hand, stale_tag, &stale), [0_u8; 0]);
    assert_eq!(hand.events(), []);
}

#[test]
fn a_cookie_is_good_for_a_minute_and_for_us_alone() {
    let mut hand = Hand::new(Config::default());
    let (mut cookie, tag) = cookie_for(&mut hand, TAG, FIRST);
    for place in 0..cookie.len() {
        cookie[place] ^= 1;
        assert_eq!(echo(&mut hand, tag, &cookie), [0_u8; 0], "byte {place}");
        cookie[place] ^= 1;
    }
    assert_eq!(echo(&mut hand, tag ^ 1, &cookie), [0_u8; 0], "under another tag");
    hand.wait(Duration::from_secs(61));
    let stale = echo(&mut hand, tag, &cookie);
    assert_eq!((stale, hand.events()), (vec![chunk_type::ERROR], vec![]));
    // An end that is told so begins again.
    let mut hand = Hand::new(Config::default());
    hand.association.connect(hand.now);
    hand.poll_output();
    hand.deliver(|writer| {
        Init { cookie: b"theirs", ..peer_init(EVERYTHING) }.write(writer, chunk_type::INIT_ACK)
    });
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::COOKIE_ECHO]);
    hand.deliver(|writer| {
        writer.chunk(chunk_type::ERROR, 0, |writer| {
            writer.parameter(cause::STALE_COOKIE, |writer| writer.u32(1))
        });
    });
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::INIT]);
}

#[test]
fn unknown_parameters_are_treated_by_their_upper_bits() {
    // What comes behind the unknown one is read, and whether it is reported.
    for (kind, goes_on, reported) in
        [(0x3ff0_u16, false, false), (0x7ff0, false, true), (0xbff0, true, false), (0xfff0, true, true)]
    {
        let mut hand = Hand::new(Config::default());
        let bare = Extensions::default();
        hand.deliver_as(0, |writer| {
            writer.chunk(chunk_type::INIT, 0, |writer| {
                let init = write(|writer| peer_init(bare).write(writer, chunk_type::INIT));
                writer.bytes(&init[4..20]);
                writer.parameter(kind, |writer| writer.bytes(b"what?"));
                writer.parameter(0xc000, |_| {});
            });
        });
        let output = hand.poll_output();
        let answer = Init::parse(&output[0].value).unwrap();
        let report = output[0].value.windows(4).any(|window| window == [0, 8, 0, 13]);
        assert_eq!(report, reported, "{kind:x}");
        let cookie = answer.cookie.to_vec();
        let tag = answer.tag;
        echo(&mut hand, tag, &cookie);
        assert_eq!(hand.association.peer.extensions.forward_tsn, goes_on, "{kind:x}");
    }
}

#[test]
fn an_init_without_streams_or_window_is_answered_with_an_abort() {
    for bad in [
        Init { outgoing_streams: 0, ..peer_init(EVERYTHING) },
        Init { incoming_streams: 0, ..peer_init(EVERYTHING) },
        Init { window: 1499, ..peer_init(EVERYTHING) },
        Init { tag: 0, ..peer_init(EVERYTHING) },
    ] {
        let mut hand = Hand::new(Config::default());
        hand.deliver_as(0, |writer| bad.write(writer, chunk_type::INIT));
        // RFC 9260 §3.3.2: without a tag no answer is possible.
        assert_eq!(kinds(&hand.poll_output()), if bad.tag == 0 { &[][..] } else { &[chunk_type::ABORT] });
        assert_eq!(hand.association.state, State::Idle);
    }
}

#[test]
fn a_flood_of_inits_leaves_nothing_behind() {
    let mut hand = Hand::new(Config::default());
    for tag in 1..10_000 {
        let init = Init { tag, ..peer_init(EVERYTHING) };
        hand.deliver_as(0, |writer| init.write(writer, chunk_type::INIT));
        assert!(hand.association.due.replies.len() <= MAX_REPLIES);
    }
    assert_eq!(hand.poll_output().len(), MAX_REPLIES, "the others were dropped");
    assert_eq!(hand.association.state, State::Idle);
    // The honest one after them is answered.
    let (cookie, tag) = cookie_for(&mut hand, TAG, FIRST);
    assert_eq!(echo(&mut hand, tag, &cookie), [chunk_type::COOKIE_ACK]);
}

#[test]
fn a_restart_does_not_make_an_end_forgotten() {
    let mut hand = Hand::established(Config::default(), EVERYTHING);
    hand.association.shutdown(hand.now);
    assert_eq!(kinds(&hand.poll_output()), [chunk_type::SHUTDOWN]);
    let (cookie, tag) = cookie_for(&mut hand, 77, Tsn(1000));
    assert_eq!(echo(&mut hand, tag, &cookie), [chunk_type::COOKIE_ACK, chunk_type::SHUTDOWN]);
    assert_eq!(hand.events(), [Event::Restarted]);
    assert!(!hand.association.is_established());
}

#[test]
fn a_long_cookie_is_given_back_whole_where_packets_are_short() {
    let mut hand = Hand::new(Config { mtu: 480, max_mtu: 480, ..Config::default() });
    hand.association.connect(hand.now);
    hand.send(0, b"along with it");
    hand.poll_output();
    let cookie = [7; 1000];
    let answer = Init { cookie: &cookie, ..peer_init(EVERYTHING) };
    hand.deliver(|writer| answer.write(writer, chunk_type::INIT_ACK));
    let output = hand.poll_output();
    assert_eq!((output[0].kind, &output[0].value[..]), (chunk_type::COOKIE_ECHO, &cookie[..]));
    // And in a buffer that is too short for it, nothing is said.
    hand.now += Duration::from_secs(5);
    hand.association.handle_timeout(hand.now);
    assert_eq!(hand.association.poll_transmit(hand.now, &mut Unlimited, &mut [0; 500]), None);
}
