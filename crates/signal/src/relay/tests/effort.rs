//! Every frame and request counts, and who sends too many is left unread, then closed.

use super::*;
use crate::Reading;

impl House {
    fn read(&mut self, connection: ConnectionId, input: Input<'_>) -> Reading {
        let reading = self.relay.handle_input(self.now, connection, input);
        self.settle();
        reading
    }
}

/// The frames that cost nothing by the count of messages, with names.
fn free_frames() -> Vec<(&'static str, String)> {
    let frame = |message: Value| message.to_string();
    let padded = format!("{}{}", json!({"type": "pong"}), " ".repeat(100_000));
    vec![
        ("ack", frame(json!({"type": "ack", "seq": 0}))),
        ("pong", frame(json!({"type": "pong"}))),
        ("repeat", frame(send(1, "again"))),
        ("gap", frame(send(9, "too early"))),
        ("large pong", padded),
        ("ping frame", String::new()),
    ]
}

#[test]
fn every_frame_counts_and_a_flood_is_closed() {
    for (name, frame) in free_frames() {
        let mut house = House::new();
        let (one, joined) = house.join_session(1);
        house.send_json(one, &send(1, "first"));
        house.receive(one);
        let input = if frame.is_empty() { Input::Activity } else { Input::Text(&frame) };
        let (mut taken, began) = (0, house.now);
        while house.was_closed(one).is_none() {
            let pause = house.read(one, input).pause;
            house.receive(one);
            house.pass(pause);
            taken += 1;
            assert!(house.now < began + 60 * SECOND, "{name}: never closed");
        }
        assert_eq!(house.was_closed(one), Some((1008, Some(ErrorCode::RateLimited))), "{name}");
        let seconds = (house.now - began).as_secs_f64();
        let cost = Config::frame_effort(frame.len());
        let most = (6400.0 + 1600.0 * seconds) / cost + 2.0;
        assert!((9.0..=15.0).contains(&seconds), "{name}: closed after {seconds} s");
        assert!(f64::from(taken) <= most, "{name}: {taken} frames were taken, of {most} allowed");
        let (_, answers) = house.resume(&joined, 0);
        assert_eq!(answers[0]["type"], "resumed", "{name}: the membership stays");
    }
}

#[test]
fn client_within_its_rates_is_never_paused() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    let (mut seq, data) = (0, "x".repeat(16_000));
    for tick in 0..600 {
        // The long-run rate of large messages, and an `ack` for each event.
        seq += 1;
        let message = send(seq, data.as_str()).to_string();
        assert_eq!(house.read(one, Input::Text(&message)).pause, Duration::ZERO, "message {seq}");
        house.receive(one);
        house.receive(two);
        let ack = json!({"type": "ack", "seq": tick + 1}).to_string();
        assert_eq!(house.read(two, Input::Text(&ack)).pause, Duration::ZERO);
        house.pass(Duration::from_millis(20));
    }
}

#[test]
fn frames_before_entering_count_and_are_short() {
    let mut house = House::new();
    let connection = house.connect();
    assert_eq!(house.relay.reading_limit(connection), 4096);
    let mut pause = Duration::ZERO;
    for _ in 0..6401 {
        pause = house.read(connection, Input::Activity).pause;
    }
    assert!(pause > Duration::ZERO);
    let entered = json!({"type": "join", "session": "room"}).to_string();
    assert_eq!(house.read(connection, Input::Text(&entered)).limit, 524_288);
}

#[test]
fn entering_reads_little() {
    let mut house = House::new();
    let long = json!({"type": "join", "session": "room", "pad": "x".repeat(4096)});
    assert_eq!(house.http_join(&long).unwrap_err().code, ErrorCode::MessageTooLarge);
    let connection = house.connect();
    house.input(connection, Input::TooLarge);
    assert!(house.receive(connection)[0]["message"].as_str().unwrap().contains("4096"));
}

#[test]
fn requests_count_before_their_bodies_are_read() {
    let mut house = House::new();
    let joined = house.http_join(&json!({"type": "join", "session": "room"})).unwrap();
    let credential = credential(&joined);
    let granted = (0..2000).filter(|_| house.relay.admit_request(house.now, &credential).is_ok()).count();
    assert_eq!(granted, 640);
    let refusal = house.relay.admit_request(house.now, &credential).unwrap_err();
    assert_eq!((refusal.code, refusal.http_status()), (ErrorCode::RateLimited, 429));
    assert!(refusal.retry_after_ms.is_some());
    let polled = house.open(&joined, None, EventsKind::Poll(SECOND)).unwrap_err();
    assert_eq!(polled.code, ErrorCode::RateLimited, "polls count too");
    house.pass(SECOND);
    assert!(house.open(&joined, None, EventsKind::Poll(SECOND)).is_ok());
}
