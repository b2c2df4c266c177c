use super::*;

const STREAM: EventsKind = EventsKind::Stream;

fn poll(seconds: u32) -> EventsKind {
    EventsKind::Poll(seconds * SECOND)
}

/// A peer over HTTP and one on a WebSocket.
fn mixed() -> (House, Value, ConnectionId) {
    let mut house = House::new();
    let joined = house.http_join(&json!({"type": "join", "session": "room"})).unwrap();
    assert_eq!((&joined["type"], &joined["peers"]), (&json!("joined"), &json!([])));
    assert!(joined["iceServers"].is_array());
    let (socket, _) = house.join_session(2);
    (house, joined, socket)
}

#[test]
fn messages_are_answered_in_order_with_one_ack_at_the_end() {
    let (mut house, joined, socket) = mixed();
    let body = json!([
        send(1, 1),
        {"type": "ping"},
        {"type": "send", "seq": 2, "to": "no-peer", "data": 2},
        {"type": "ice-servers"},
        send(3, 3),
        "not an object",
    ]);
    let answers = house.post(&joined, &body).unwrap();
    let types: Vec<_> =
        answers.as_array().unwrap().iter().map(|answer| answer["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["pong", "error", "ice-servers", "error", "ack"]);
    assert_eq!(answers[1]["seq"], 2);
    assert_eq!(answers[4]["seq"], 3);
    assert_eq!(data(&house.receive(socket)), [1, 3]);
    assert_eq!(house.post(&joined, &json!([])), Ok(json!([])));
    assert_eq!(house.post(&joined, &send(4, 4)), Ok(json!([{"type": "ack", "seq": 4}])));
}

#[test]
fn a_single_message_that_is_refused_is_the_answer() {
    let (mut house, joined, socket) = mixed();
    for (body, status, code) in [
        (json!({"type": "send", "seq": 1, "to": "no-peer", "data": 2}), 404, ErrorCode::NoSuchPeer),
        (json!({"type": "send", "seq": 9, "data": 2}), 400, ErrorCode::SequenceGap),
        (json!({"type": "dance"}), 400, ErrorCode::UnknownType),
        (json!({"type": "join", "session": "room"}), 400, ErrorCode::AlreadyJoined),
        (send(2, "x".repeat(262_144)), 413, ErrorCode::MessageTooLarge),
        (send(3, "x".repeat(1 << 20)), 413, ErrorCode::MessageTooLarge),
    ] {
        let refusal = house.post(&joined, &body).unwrap_err();
        assert_eq!((refusal.http_status(), refusal.code), (status, code));
        let body: Value = serde_json::from_str(&refusal.to_json()).unwrap();
        assert_eq!((&body["type"], &body["code"]), (&json!("error"), &json!(code.as_str())));
    }
    assert_eq!(house.post(&joined, &send(3, 3)).unwrap()[0]["seq"], 3);
    assert_eq!(data(&house.receive(socket)), [3]);
    let many = Value::Array(vec![json!({"type": "pong"}); 1001]);
    assert_eq!(house.post(&joined, &many).unwrap_err().code, ErrorCode::BadMessage);
    let text = house.post_text(&credential(&joined), "[1").unwrap_err();
    assert_eq!(text.code, ErrorCode::BadJson);
}

#[test]
fn credentials_are_checked_for_every_request() {
    let (mut house, mut joined, _) = mixed();
    let good = joined.clone();
    joined["secret"] = json!("wrong");
    assert_eq!(house.post(&joined, &json!([])).unwrap_err().http_status(), 401);
    assert_eq!(house.open(&joined, None, STREAM).unwrap_err().code, ErrorCode::WrongSecret);
    assert_eq!(house.relay.leave(house.now, &credential(&joined)).unwrap_err().code, ErrorCode::WrongSecret);
    joined["peer"] = json!("0123456789abcdef");
    assert_eq!(house.post(&joined, &json!([])).unwrap_err().http_status(), 410);
    assert_eq!(house.open(&good, Some(99), STREAM).unwrap_err().code, ErrorCode::BadMessage);
    assert_eq!(house.relay.stats().peers, 2);
}

#[test]
fn a_stream_gets_what_waits_and_what_comes() {
    let (mut house, joined, socket) = mixed();
    house.send_json(socket, &send(1, "before"));
    let stream = house.open(&joined, None, STREAM).unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| house.frame(stream)).collect();
    assert_eq!(frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [Some(1), Some(2)]);
    house.pass(40 * SECOND);
    house.input(socket, Input::Activity);
    assert!(house.closed.is_empty(), "a stream is not pinged");
    house.send_json(socket, &send(2, "after"));
    assert_eq!(data(&house.receive(stream)), ["after"]);
    house.disconnect(stream);
    house.send_json(socket, &send(3, "meanwhile"));
    let stream = house.open(&joined, Some(2), STREAM).unwrap();
    assert_eq!(data(&house.receive(stream)), ["after", "meanwhile"]);
    let again = house.open(&joined, Some(4), STREAM).unwrap();
    assert_eq!(house.was_closed(stream), Some((1008, Some(ErrorCode::Replaced))));
    assert_eq!(house.receive(again), [json!(null); 0]);
    assert_eq!(house.relay.leave(house.now, &credential(&joined)), Ok(()));
    house.settle();
    assert_eq!(house.was_closed(again), Some((1000, None)));
    assert_eq!(house.receive(socket).last().unwrap()["reason"], "left");
}

#[test]
fn a_poll_waits_until_there_is_something_or_its_time_is_over() {
    let (mut house, joined, socket) = mixed();
    let first = house.open(&joined, Some(0), poll(25)).unwrap();
    assert_eq!(house.receive(first)[0]["type"], "peer-joined");
    house.disconnect(first);
    let second = house.open(&joined, Some(1), poll(25)).unwrap();
    assert_eq!(house.frame(second), None);
    house.pass(24 * SECOND);
    house.input(socket, Input::Activity);
    assert!(house.was_closed(second).is_none());
    house.pass(SECOND);
    assert_eq!((house.was_closed(second), house.frame(second)), (Some((1000, None)), None));
    house.disconnect(second);
    house.pass(10 * SECOND);
    let third = house.open(&joined, Some(1), poll(600)).unwrap();
    house.writable.clear();
    house.send_json(socket, &send(1, "now"));
    assert!(house.writable.contains(&third));
    assert_eq!(data(&house.receive(third)), ["now"]);
    let long = house.open(&joined, Some(2), poll(600)).unwrap();
    house.input(socket, Input::Activity);
    house.pass(30 * SECOND);
    assert_eq!(house.was_closed(long), Some((1000, None)), "no poll waits longer than 30 s");
}

#[test]
fn without_a_stream_or_poll_a_membership_has_thirty_seconds() {
    let (mut house, joined, socket) = mixed();
    house.pass(20 * SECOND);
    house.post(&joined, &send(1, 1)).unwrap();
    house.input(socket, Input::Activity);
    house.pass(10 * SECOND);
    let refusal = house.post(&joined, &send(2, 2)).unwrap_err();
    assert_eq!((refusal.code, refusal.http_status()), (ErrorCode::ResumeExpired, 410));
    assert_eq!(house.receive(socket).last().unwrap()["reason"], "timeout");
}

#[test]
fn client_changes_transports_in_the_middle_of_a_session() {
    let (mut house, joined, socket) = mixed();
    house.post(&joined, &send(1, 1)).unwrap();
    let stream = house.open(&joined, None, STREAM).unwrap();
    assert_eq!(house.receive(stream).len(), 1);
    let (ws, received) = house.resume(&joined, 1);
    assert_eq!((&received[0]["type"], &received[0]["seq"]), (&json!("resumed"), &json!(1)));
    assert_eq!(codes(&house.receive(stream)), ["replaced"]);
    house.send_json(ws, &send(2, 2));
    house.send_json(socket, &send(1, "x"));
    assert_eq!(house.receive(ws).len(), 2);
    let back = house.open(&joined, Some(2), STREAM).unwrap();
    assert_eq!(house.was_closed(ws), Some((1008, Some(ErrorCode::Replaced))));
    assert_eq!(house.post(&joined, &json!([send(2, 2), send(3, 3)])), Ok(json!([{"type": "ack", "seq": 3}])));
    assert_eq!(data(&house.receive(socket)), [1, 2, 3]);
    assert_eq!(house.receive(back), [json!(null); 0]);
}

#[test]
fn each_request_gets_sequence_gap_and_rate_limited() {
    let (mut house, joined, _) = mixed();
    for _ in 0..2 {
        let answers = house.post(&joined, &json!([send(2, 2), send(3, 3)])).unwrap();
        assert_eq!(codes(answers.as_array().unwrap()), ["sequence-gap"]);
    }
    let burst: Vec<_> = (1..=210).map(|seq| send(seq, seq)).collect();
    for _ in 0..2 {
        let answers = house.post(&joined, &Value::Array(burst.clone())).unwrap();
        assert_eq!((&answers[0]["code"], &answers[0]["seq"]), (&json!("rate-limited"), &json!(201)));
        assert_eq!(answers[1], json!({"type": "ack", "seq": 200}));
    }
    let refusal = house.post(&joined, &send(201, 201)).unwrap_err();
    assert_eq!(
        (refusal.http_status(), refusal.retry_after_ms, refusal.retry_after_seconds()),
        (429, Some(400), Some(1))
    );
}

#[test]
fn too_many_errors_end_the_membership_over_http_too() {
    let (mut house, joined, socket) = mixed();
    let stream = house.open(&joined, None, STREAM).unwrap();
    let refusal = house.post(&joined, &Value::Array(vec![json!(1); 20])).unwrap_err();
    assert_eq!((refusal.code, refusal.http_status(), refusal.fatal), (ErrorCode::TooManyErrors, 429, true));
    assert_eq!(house.was_closed(stream), Some((1008, Some(ErrorCode::TooManyErrors))));
    assert_eq!(house.receive(socket).last().unwrap()["reason"], "violation");
    assert_eq!(house.post(&joined, &json!([])).unwrap_err().code, ErrorCode::ResumeExpired);
}

#[test]
fn leaving_by_message_is_leaving() {
    let (mut house, joined, socket) = mixed();
    let answers = house.post(&joined, &json!([send(1, 1), {"type": "leave"}, send(2, 2)])).unwrap();
    assert_eq!(answers, json!([{"type": "ack", "seq": 1}]));
    let received = house.receive(socket);
    assert_eq!((data(&received), &received[1]["reason"]), (vec![json!(1)], &json!("left")));
}

#[test]
fn draining_reaches_streams_and_polls() {
    let (mut house, joined, socket) = mixed();
    house.relay.drain(house.now, 2 * SECOND);
    let polled = house.open(&joined, Some(1), poll(25)).unwrap();
    assert_eq!(house.receive_one(polled), json!({"type": "going-away", "after": 2000}));
    house.disconnect(polled);
    let stream = house.open(&joined, Some(1), STREAM).unwrap();
    house.pass(2 * SECOND);
    assert_eq!(house.was_closed(stream), Some((1001, None)));
    assert_eq!(house.was_closed(socket), Some((1001, None)));
    let refusal = house.open(&joined, Some(1), STREAM).unwrap_err();
    assert_eq!((refusal.code, refusal.http_status()), (ErrorCode::Draining, 503));
}
