use super::*;

#[test]
fn joined_has_everything_that_a_client_needs() {
    let mut house = House::new();
    let (_, joined) = house.join(&json!({"type": "join", "session": "room", "id": "ann"}));
    let secret = joined["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 22, "128 bits");
    assert_eq!(joined["peer"].as_str().unwrap().len(), 16);
    let expected = json!({
        "type": "joined", "peer": joined["peer"], "session": "room", "secret": secret, "peers": [],
        "iceServers": [{
            "urls": ["turn:example.org:3478"], "username": format!("1:{}", joined["peer"].as_str().unwrap()),
            "credential": "c"
        }],
        "iceServersExpire": 1_790_000_000, "resumeWithin": 30_000,
        "limits": {"messageBytes": 262_144, "peers": 16, "messagesPerSecond": 50, "messageBurst": 200},
    });
    assert_eq!(joined, expected);
    let (_, second) = house.join_session(2);
    assert_eq!(second["peers"], json!([{"peer": joined["peer"], "id": "ann"}]));
    assert_ne!(second["secret"], joined["secret"]);
}

#[test]
fn create_makes_a_token_with_which_others_join() {
    let mut house = House::new();
    let (first, created) = house.join(&json!({"type": "create", "id": "ann"}));
    let token = created["session"].as_str().unwrap();
    assert_eq!(token.len(), 22);
    let (_, joined) = house.join(&json!({"type": "join", "session": token, "id": "bob"}));
    assert_eq!(joined["peers"], json!([{"peer": created["peer"], "id": "ann"}]));
    let received = house.receive_one(first);
    assert_eq!(received, json!({"type": "peer-joined", "seq": 1, "peer": joined["peer"], "id": "bob"}));
    let (_, elsewhere) = house.join(&json!({"type": "create"}));
    assert_eq!(elsewhere["peers"], json!([]));
    assert_ne!(elsewhere["session"], created["session"]);
}

#[test]
fn the_same_instance_has_the_same_peer_id_even_after_a_restart_of_the_server() {
    let before = House::new().join_session(1).1;
    let config = Config::default();
    let mut restarted = House::with(config);
    restarted.relay = SessionRelay::new(Config::default(), ChaCha12Rng::seed_from_u64(99));
    let after = restarted.join_session(1).1;
    assert_eq!(before["peer"], after["peer"]);
    assert_ne!(before["secret"], after["secret"]);
    let message = json!({"type": "join", "session": "other-room", "instance": instance_text(1)});
    assert_ne!(restarted.join(&message).1["peer"], before["peer"], "another session, another peer id");
}

#[test]
fn without_an_instance_each_join_is_a_new_peer() {
    let mut house = House::new();
    let message = json!({"type": "join", "session": "room"});
    let (_, one) = house.join(&message);
    let (_, other) = house.join(&message);
    assert_ne!(one["peer"], other["peer"]);
    assert_eq!(other["peers"].as_array().unwrap().len(), 1);
}

#[test]
fn joining_anew_replaces_the_older_membership() {
    let mut house = House::new();
    let ((one, _), (other, joined)) = house.pair();
    let (again, rejoined) = house.join_session(2);
    assert_eq!(rejoined["peer"], joined["peer"]);
    assert_eq!(rejoined["peers"].as_array().unwrap().len(), 1);
    let peer = &joined["peer"];
    assert_eq!(
        house.receive(one),
        [
            json!({"type": "peer-left", "seq": 2, "peer": peer, "reason": "replaced"}),
            json!({"type": "peer-joined", "seq": 3, "peer": peer}),
        ]
    );
    assert_eq!(codes(&house.receive(other)), ["replaced"]);
    assert_eq!(house.was_closed(other), Some((1008, Some(ErrorCode::Replaced))));
    house.send_json(again, &send(1, "numbers start again"));
    assert_eq!(house.receive_one(again), json!({"type": "ack", "seq": 1}));
    assert_eq!(house.relay.stats().replacements, 1);
}

#[test]
fn the_first_message_must_enter_a_session() {
    let mut house = House::new();
    let connection = house.connect();
    for message in
        [send(1, "x"), json!({"type": "ping"}), json!({"type": "ack", "seq": 0}), json!({"type": "leave"})]
    {
        house.send_json(connection, &message);
        let received = house.receive_one(connection);
        assert_eq!((&received["code"], &received["fatal"]), (&json!("not-joined"), &json!(false)));
    }
    house.send_json(connection, &json!({"type": "join", "session": "room"}));
    assert_eq!(house.receive_one(connection)["type"], "joined", "the connection is as good as before");
    house.send_json(connection, &json!({"type": "join", "session": "room"}));
    assert_eq!(house.receive_one(connection)["code"], "already-joined");
}

#[test]
fn connection_that_enters_nothing_is_ended_after_ten_seconds() {
    let mut house = House::new();
    let connection = house.connect();
    house.pass(9 * SECOND);
    house.input(connection, Input::Activity);
    assert!(house.closed.is_empty());
    house.pass(SECOND);
    let received = house.receive_one(connection);
    assert_eq!((&received["code"], &received["fatal"]), (&json!("join-timeout"), &json!(true)));
    assert_eq!(house.was_closed(connection), Some((1008, Some(ErrorCode::JoinTimeout))));
    house.disconnect(connection);
    assert_eq!(house.relay.poll_timeout(), None);
}

#[test]
fn malformed_names_are_named_in_the_error() {
    let mut house = House::new();
    let connection = house.connect();
    let long = "x".repeat(129);
    for (message, code) in [
        (json!({"type": "join"}), "bad-message"),
        (json!({"type": "join", "session": 7}), "bad-message"),
        (json!({"type": "join", "session": "a b"}), "bad-token"),
        (json!({"type": "join", "session": long}), "bad-token"),
        (json!({"type": "join", "session": "room", "id": "a/b"}), "bad-id"),
        (json!({"type": "join", "session": "room", "instance": "short"}), "bad-instance"),
        (json!({"type": "meet", "with": "bob"}), "bad-message"),
        (json!({"type": "resume", "peer": "0123456789abcdef", "secret": "x"}), "bad-message"),
        (json!({"type": "resume", "peer": "0123456789abcdef", "secret": "x", "seq": -1}), "bad-message"),
        (json!({"type": "dance"}), "unknown-type"),
        (json!({"type": null}), "bad-message"),
        (json!({}), "bad-message"),
    ] {
        house.send_json(connection, &message);
        let received = house.receive_one(connection);
        assert_eq!(received["code"], code, "{message}");
        assert!(!received["message"].as_str().unwrap().contains("a b"), "what was wrong is not repeated");
    }
    assert!(house.closed.is_empty());
}

#[test]
fn leaving_notifies_the_others_and_closes_normally() {
    let mut house = House::new();
    let ((one, _), (other, joined)) = house.pair();
    house.send_json(other, &send(1, "bye"));
    house.send_json(other, &json!({"type": "leave"}));
    assert_eq!(house.was_closed(other), Some((1000, None)));
    assert_eq!(house.receive_one(other), json!({"type": "ack", "seq": 1}));
    let received = house.receive(one);
    assert_eq!(data(&received), ["bye"]);
    assert_eq!(received[1], json!({"type": "peer-left", "seq": 3, "peer": joined["peer"], "reason": "left"}));
    assert_eq!(codes(&house.resume(&joined, 0).1), ["resume-expired"]);
    house.send_json(one, &json!({"type": "leave"}));
    let stats = house.relay.stats();
    assert_eq!((stats.sessions, stats.peers), (0, 0), "a session exists as long as it has a member");
}

#[test]
fn draining_refuses_new_sessions_with_a_time_to_come_back() {
    let mut house = House::new();
    let ((one, joined), (other, _)) = house.pair();
    house.relay.drain(house.now, 3 * SECOND);
    for connection in [one, other] {
        assert_eq!(house.receive_one(connection), json!({"type": "going-away", "after": 3000}));
    }
    let newcomer = house.connect();
    house.send_json(newcomer, &json!({"type": "create"}));
    let received = house.receive_one(newcomer);
    assert_eq!((&received["code"], &received["retryAfter"]), (&json!("draining"), &json!(3000)));
    let refusal = house.http_join(&json!({"type": "create"})).unwrap_err();
    assert_eq!((refusal.http_status(), refusal.retry_after_seconds()), (503, Some(3)));
    house.send_json(other, &send(1, "until then"));
    house.disconnect(one);
    house.pass(SECOND);
    let (back, received) = house.resume(&joined, 1);
    assert_eq!(data(&received), ["until then"]);
    assert_eq!(received[1], json!({"type": "going-away", "after": 2000}));
    house.pass(2 * SECOND);
    for connection in [back, other, newcomer] {
        assert_eq!(house.was_closed(connection), Some((1001, None)));
        house.disconnect(connection);
    }
    assert_eq!(house.relay.stats().connections, 0);
}
