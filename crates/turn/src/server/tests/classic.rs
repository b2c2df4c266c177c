//! Binding requests of RFC 3489 ("classic STUN"), which have no magic cookie (RFC 5389 §12.2).

use columba_stun::attributes::{ErrorInfo, MappedAddress, UnknownAttributes, XorMappedAddress};
use columba_stun::{AttributeType, Message};

use super::super::*;
use super::harness::*;

/// `0001 0000 01C0265F` and twelve bytes more of a transaction id.
const REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x01\xC0\x26\x5Ftwelve bytes";

/// The message with the magic cookie in its place, so that it can be parsed.
fn modern(answer: &[u8]) -> Vec<u8> {
    let mut answer = answer.to_vec();
    answer[4..8].copy_from_slice(&columba_stun::MAGIC_COOKIE.to_be_bytes());
    answer
}

#[test]
fn classic_binding_request_is_answered_with_the_mapped_address() {
    let mut lab = Lab::new(config());
    for client in ["9.0.0.1:5000", "[2a01::9]:5000"] {
        let tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr(client));
        let answers = lab.deliver(tuple, &REQUEST);
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(answer[..2], [1, 1], "a Binding success response");
        assert_eq!(answer[4..20], REQUEST[4..], "all sixteen bytes of the id");
        let answer = modern(answer);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.get(), Ok(Some(MappedAddress(addr(client)))));
        assert_eq!(message.get::<XorMappedAddress>(), Ok(None));
        assert_eq!(message.attributes().count(), 1, "RFC 3489 clients need not know any other");
    }
    assert_eq!((lab.server.stats().binding_requests, lab.server.stats().successes), (2, 2));
}

#[test]
fn classic_requests_to_answer_elsewhere_are_refused() {
    let mut lab = Lab::new(config());
    let tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("9.0.0.1:5000"));
    // RESPONSE-ADDRESS and CHANGE-REQUEST.
    for (number, length) in [(2, 8), (3, 4)] {
        let mut request = REQUEST.to_vec();
        request[3] = length + 4;
        request.extend_from_slice(&[0, number, 0, length]);
        request.resize(24 + usize::from(length), 6);
        let answers = lab.deliver(tuple, &request);
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(answer[4..20], REQUEST[4..]);
        let answer = modern(answer);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.get::<ErrorInfo<'_>>().unwrap().unwrap().code.number(), 420);
        let unknown = message.get::<UnknownAttributes>().unwrap().unwrap();
        assert_eq!(unknown.types(), [AttributeType::new(number.into())]);
    }
}

/// Clients from the time of RFC 3489 send CHANGE-REQUEST also where they want no change.
#[test]
fn change_request_that_asks_for_no_change_is_no_obstacle() {
    let mut lab = Lab::new(config());
    let tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("9.0.0.1:5000"));
    for cookie in [REQUEST[4..8].try_into().unwrap(), columba_stun::MAGIC_COOKIE.to_be_bytes()] {
        for (flags, code) in [(0, None), (1, None), (2, Some(420)), (4, Some(420)), (6, Some(420))] {
            let mut request = REQUEST.to_vec();
            request[3] = 8;
            request[4..8].copy_from_slice(&cookie);
            request.extend_from_slice(&[0, 3, 0, 4, 0, 0, 0, flags]);
            let answers = lab.deliver(tuple, &request);
            let [answer] = answers.as_slice() else { panic!("{answers:?}") };
            let answer = modern(answer);
            let message = Message::parse(&answer).unwrap();
            let error = message.get::<ErrorInfo<'_>>().unwrap().map(|error| error.code.number());
            assert_eq!(error, code, "{flags}");
            assert_eq!(message.mapped_address(), error.is_none().then_some(tuple.client()), "{flags}");
        }
    }
}

#[test]
fn attributes_of_old_requests_that_mean_nothing_here_are_skipped() {
    let mut lab = Lab::new(config());
    let tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("9.0.0.1:5000"));
    // USERNAME, a MESSAGE-INTEGRITY that nothing verifies, one of a vendor.
    for (number, length) in [(6_u16, 8_u8), (8, 20), (0x8020, 8), (0x8022, 4), (0xC001, 12)] {
        let mut request = REQUEST.to_vec();
        request[3] = length + 4;
        request.extend_from_slice(&number.to_be_bytes());
        request.extend_from_slice(&[0, length]);
        request.resize(24 + usize::from(length), b'x');
        let answers = lab.deliver(tuple, &request);
        let [answer] = answers.as_slice() else { panic!("{number:#x}: {answers:?}") };
        let answer = modern(answer);
        assert_eq!(Message::parse(&answer).unwrap().mapped_address(), Some(tuple.client()), "{number:#x}");
    }
}

#[test]
fn other_messages_without_cookie_are_dropped() {
    let mut lab = Lab::new(config());
    let tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("9.0.0.1:5000"));
    let mut dropped = 0;
    // Allocate, Shared Secret, an indication, a response, a wrong length.
    for (index, value) in [(1, 3), (1, 2), (1, 0x11), (0, 1), (3, 4)] {
        let mut message = REQUEST;
        message[index] = value;
        assert!(lab.deliver(tuple, &message).is_empty());
        // Without the fast path the result is the same.
        lab.server.handle_input(lab.now, Input::Message { tuple, data: &message });
        lab.drain();
        dropped += 2;
        assert_eq!(lab.server.stats().dropped(DropReason::Malformed), dropped, "byte {index}: {value}");
    }
    assert!(lab.sent.is_empty());
}

#[test]
fn on_a_stream_the_cookie_is_required() {
    let mut lab = Lab::new(config());
    let client = Client::new("9.0.0.1:5000").over(Transport::Tcp, 3);
    assert!(lab.deliver(client.tuple, &REQUEST).is_empty());
    lab.server.handle_input(lab.now, Input::Message { tuple: client.tuple, data: &REQUEST });
    lab.drain();
    assert_eq!(lab.closed, [client.tuple]);
    assert!(lab.sent.is_empty());
}
