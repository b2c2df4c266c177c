use super::*;

#[test]
fn a_broken_connection_misses_nothing_and_gets_nothing_twice() {
    let mut house = House::new();
    let ((one, joined), (two, _)) = house.pair();
    house.send_json(two, &send(1, "before"));
    assert_eq!(data(&house.receive(one)), ["before"]);
    house.send_json(one, &send(1, "mine"));
    house.disconnect(one);
    house.send_json(two, &send(2, "meanwhile"));
    house.pass(29 * SECOND);
    assert_eq!(data(&house.receive(two)), ["mine"], "the others notice nothing");
    let (back, received) = house.resume(&joined, 2);
    assert_eq!((&received[0]["type"], &received[0]["seq"]), (&json!("resumed"), &json!(1)));
    assert_eq!(received[0]["iceServers"], joined["iceServers"], "made anew, for the same peer");
    assert_eq!(house.granted.get(), 3);
    assert_eq!(data(&received), ["meanwhile"]);
    assert_eq!(received[1]["seq"], 3);
    house.send_json(back, &send(2, "on"));
    assert_eq!(house.receive_one(back), json!({"type": "ack", "seq": 2}));
    assert_eq!(data(&house.receive(two)), ["on"]);
    assert_eq!(house.relay.stats().resumes, 1);
}

#[test]
fn events_that_were_sent_but_not_received_are_repeated() {
    let mut house = House::new();
    let ((one, joined), (two, _)) = house.pair();
    for seq in 1..=3 {
        house.send_json(two, &send(seq, seq));
    }
    assert_eq!(house.receive(one).len(), 3, "pulled, and lost with the connection");
    house.disconnect(one);
    assert_eq!(data(&house.resume(&joined, 2).1), [2, 3]);
}

#[test]
fn after_thirty_seconds_the_others_are_notified_and_resume_expires() {
    let mut house = House::new();
    let ((one, joined), (two, _)) = house.pair();
    house.disconnect(one);
    house.pass(30 * SECOND - Duration::from_millis(1));
    assert_eq!(data(&house.receive(two)), [json!(null); 0]);
    house.pass(Duration::from_millis(1));
    let left = json!({"type": "peer-left", "seq": 1, "peer": joined["peer"], "reason": "timeout"});
    assert_eq!(house.receive(two).last(), Some(&left));
    let (connection, received) = house.resume(&joined, 1);
    assert_eq!((codes(&received), &received[0]["fatal"]), (vec!["resume-expired"], &json!(false)));
    let again = json!({"type": "join", "session": "room", "instance": instance_text(1)});
    house.send_json(connection, &again);
    let rejoined = house.receive_one(connection);
    assert_eq!(rejoined["peer"], joined["peer"], "on the same connection, as the same peer");
    assert_eq!(house.receive_one(two)["type"], "peer-joined");
    assert_eq!(house.relay.stats().expiries, 1);
}

#[test]
fn a_restarted_server_says_resume_expired() {
    let joined = House::new().join_session(1).1;
    assert_eq!(codes(&House::new().resume(&joined, 0).1), ["resume-expired"]);
}

#[test]
fn resume_with_a_wrong_secret_is_refused_and_disturbs_no_member() {
    let mut house = House::new();
    let ((one, joined), (_, other)) = house.pair();
    let mut forged = joined.clone();
    for secret in [json!("wrong"), other["secret"].clone(), json!("A".repeat(22))] {
        forged["secret"] = secret;
        assert_eq!(codes(&house.resume(&forged, 0).1), ["wrong-secret"]);
    }
    assert!(house.closed.is_empty());
    house.send_json(one, &json!({"type": "ping"}));
    assert_eq!(house.receive_one(one)["type"], "pong");
}

#[test]
fn a_resume_takes_over_from_an_open_connection() {
    let mut house = House::new();
    let ((one, joined), (two, _)) = house.pair();
    let (back, received) = house.resume(&joined, 1);
    assert_eq!(received[0]["type"], "resumed");
    let last = house.receive_one(one);
    assert_eq!((&last["code"], &last["fatal"]), (&json!("replaced"), &json!(true)));
    assert_eq!(house.was_closed(one), Some((1008, Some(ErrorCode::Replaced))));
    house.send_json(one, &send(1, "from the old connection"));
    house.disconnect(one);
    house.send_json(back, &send(1, "from the new one"));
    assert_eq!(data(&house.receive(two)), ["from the new one"]);
    house.pass(25 * SECOND);
    house.input(back, Input::Activity);
    house.pass(25 * SECOND);
    assert_eq!(house.relay.stats().peers, 2, "the end of the old connection starts no countdown");
}

#[test]
fn a_resume_from_an_event_that_never_was_is_refused() {
    let mut house = House::new();
    let ((one, joined), _) = house.pair();
    assert_eq!(codes(&house.resume(&joined, 2).1), ["bad-message"]);
    assert!(house.was_closed(one).is_none());
}

#[test]
fn a_silent_connection_is_pinged_and_then_ended_but_can_resume() {
    let mut house = House::new();
    let (one, joined) = house.join_session(1);
    house.pass(19 * SECOND);
    house.input(one, Input::Activity);
    house.pass(19 * SECOND);
    assert_eq!(house.frame(one), None);
    house.pass(SECOND);
    let ping = house.frame(one).unwrap();
    assert!(ping.ping && ping.text == "{\"type\":\"ping\"}" && ping.seq.is_none());
    house.send_json(one, &json!({"type": "pong"}));
    house.pass(20 * SECOND);
    assert_eq!(house.receive_one(one)["type"], "ping");
    house.pass(20 * SECOND);
    assert_eq!(house.receive_one(one)["type"], "ping");
    house.pass(20 * SECOND);
    assert_eq!(house.was_closed(one), Some((1008, Some(ErrorCode::IdleTimeout))));
    assert_eq!(codes(&house.receive(one)), ["idle-timeout"]);
    house.disconnect(one);
    house.pass(29 * SECOND);
    assert_eq!(house.resume(&joined, 0).1[0]["type"], "resumed");
}

#[test]
fn no_events_are_kept_when_all_members_are_gone() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    house.disconnect(one);
    house.disconnect(two);
    house.pass(60 * SECOND);
    let stats = house.relay.stats();
    assert_eq!((stats.peers, stats.sessions, stats.connections, stats.buffered_bytes), (0, 0, 0, 0));
    assert_eq!(house.relay.poll_timeout(), None);
}
