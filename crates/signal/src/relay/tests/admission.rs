use super::*;

fn guarded() -> House {
    House::limited(|config| config.join_key = Some("open-sesame".parse().unwrap()))
}

fn companions_only() -> House {
    House::limited(|config| config.turn_when_alone = false)
}

fn has_turn(message: &Value) -> bool {
    let servers = message["iceServers"].as_array().unwrap();
    assert_eq!(message["iceServersExpire"].is_null(), servers.is_empty(), "{message}");
    servers.iter().any(|server| server["credential"].is_string())
}

#[test]
fn every_way_in_asks_for_the_join_key() {
    let mut house = guarded();
    for message in [
        json!({"type": "join", "session": "room"}),
        json!({"type": "create"}),
        json!({"type": "meet", "id": "ann"}),
    ] {
        let mut wrong = message.clone();
        wrong["key"] = json!("open-sesam");
        let mut right = message.clone();
        right["key"] = json!("open-sesame");
        for (message, code) in [(&message, "key-required"), (&wrong, "wrong-key")] {
            let connection = house.connect();
            house.send_json(connection, message);
            let refused = house.receive_one(connection);
            assert_eq!((&refused["code"], &refused["fatal"]), (&json!(code), &json!(false)), "{message}");
            let refusal = house.http_join(message).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.http_status()), (code, 403));
        }
        house.join(&right);
    }
    assert_eq!(house.relay.stats().peers, 3);
}

#[test]
fn refused_connection_can_try_again_with_the_key() {
    let mut house = guarded();
    let connection = house.connect();
    house.send_json(connection, &json!({"type": "create"}));
    assert_eq!(house.receive_one(connection)["code"], "key-required");
    house.send_json(connection, &json!({"type": "create", "key": "open-sesame"}));
    assert_eq!(house.receive_one(connection)["type"], "joined");
}

#[test]
fn another_key_is_asked_for_from_now_on_and_members_stay() {
    let mut house = guarded();
    let (connection, joined) = house.join(&json!({"type": "create", "key": "open-sesame"}));
    house.relay.set_join_key(Some("close-sesame".parse().unwrap()));
    assert_eq!(
        house.http_join(&json!({"type": "create", "key": "open-sesame"})).unwrap_err().code.as_str(),
        "wrong-key"
    );
    assert!(house.http_join(&json!({"type": "create", "key": "close-sesame"})).is_ok());
    house.disconnect(connection);
    assert_eq!(house.resume(&joined, 0).1[0]["type"], "resumed");
}

#[test]
fn coming_back_needs_no_key() {
    let mut house = guarded();
    let (connection, joined) = house.join(&json!({"type": "create", "key": "open-sesame"}));
    house.disconnect(connection);
    assert_eq!(house.resume(&joined, 0).1[0]["type"], "resumed");
}

#[test]
fn guessing_keys_uses_up_joins() {
    let mut house = House::limited(|config| {
        config.join_key = Some("open-sesame".parse().unwrap());
        config.joins_per_minute = 3;
    });
    let guess = json!({"type": "create", "key": "guess"});
    let codes: Vec<_> = (0..5).map(|_| house.http_join(&guess).unwrap_err().code).collect();
    use ErrorCode::{TooManyJoins, WrongKey};
    assert_eq!(codes, [WrongKey, WrongKey, WrongKey, TooManyJoins, TooManyJoins]);
}

/// Forms fill in fields that their users leave empty.
#[test]
fn empty_names_count_as_absent() {
    let mut house = House::new();
    for field in ["key", "id", "instance"] {
        for absent in [json!(""), json!(null)] {
            house.join(&json!({"type": "create", field: absent}));
        }
    }
    house.join(&json!({"type": "create", "key": "", "id": "", "instance": ""}));
    let (_, joined) =
        house.join(&json!({"type": "meet", "id": "ada", "with": "", "instance": "", "key": ""}));
    assert!(joined["peer"].is_string(), "{joined}");
}

#[test]
fn keys_that_cannot_be_one_are_wrong() {
    let mut house = guarded();
    for key in [json!("a b"), json!("x".repeat(129))] {
        let refusal = house.http_join(&json!({"type": "create", "key": key})).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::WrongKey);
    }
    let empty = house.http_join(&json!({"type": "create", "key": ""})).unwrap_err();
    assert_eq!(empty.code, ErrorCode::KeyRequired, "it counts as absent");
    // A server that asks for none does not look at it.
    House::new().join(&json!({"type": "create", "key": "whatever"}));
}

#[test]
fn turn_credentials_come_with_the_first_company() {
    let mut house = companions_only();
    let (first, alone) = house.join_session(1);
    assert!(!has_turn(&alone));
    house.send_json(first, &json!({"type": "ice-servers"}));
    assert!(!has_turn(&house.receive_one(first)));
    let (second, joined) = house.join_session(2);
    assert!(has_turn(&joined));
    let received = house.receive(first);
    let kinds: Vec<_> = received.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ice-servers", "peer-joined"], "before the peer that they are for");
    assert!(has_turn(&received[0]));
    // A third is news to both, but no reason for other credentials.
    house.join_session(3);
    assert_eq!(house.receive_one(first)["type"], "peer-joined");
    assert_eq!(house.receive_one(second)["type"], "peer-joined");
}

#[test]
fn last_member_gets_no_more_turn_credentials() {
    let mut house = companions_only();
    let ((first, _), (second, _)) = {
        let one = house.join_session(1);
        let other = house.join_session(2);
        house.receive(one.0);
        (one, other)
    };
    house.send_json(second, &json!({"type": "leave"}));
    house.receive(first);
    house.send_json(first, &json!({"type": "ice-servers"}));
    assert!(!has_turn(&house.receive_one(first)));
}

#[test]
fn credentials_that_are_owed_wait_for_a_client_that_is_away() {
    let mut house = companions_only();
    let joined = house.http_join(&json!({"type": "join", "session": "room"})).unwrap();
    assert!(!has_turn(&joined));
    house.join_session(2);
    let poll = house.open(&joined, None, EventsKind::Poll(SECOND)).unwrap();
    let received = house.receive(poll);
    assert_eq!(received[0]["type"], "ice-servers");
    assert!(has_turn(&received[0]));
    assert_eq!(received[1]["type"], "peer-joined");
}

#[test]
fn clients_that_meet_by_id_have_company_when_they_are_found() {
    let mut house = companions_only();
    let (seeker, joined) = house.join(&json!({"type": "meet", "id": "ann", "with": "bob"}));
    assert!(!has_turn(&joined));
    let (_, found) = house.join(&json!({"type": "meet", "id": "bob"}));
    assert!(has_turn(&found));
    assert!(has_turn(&house.receive(seeker)[0]));
}

#[test]
fn ends_of_memberships_are_told_to_the_owner() {
    let mut house = House::new();
    let ((first, one), (second, other)) = house.pair();
    let peer = |joined: &Value| joined["peer"].as_str().unwrap().parse::<PeerId>().unwrap();
    house.send_json(second, &json!({"type": "leave"}));
    assert_eq!(house.left, [peer(&other)]);
    assert!(!house.relay.is_member(peer(&other)) && house.relay.is_member(peer(&one)));
    house.disconnect(first);
    house.pass(SECOND * 31);
    assert_eq!(house.left, [peer(&other), peer(&one)]);
    // Replaced by itself: the membership ended, and there is another.
    let (_, one) = house.join_session(1);
    house.join_session(1);
    assert_eq!(house.left.last(), Some(&peer(&one)));
    assert!(house.relay.is_member(peer(&one)));
}

#[test]
fn answer_to_one_who_was_put_out_has_no_credentials() {
    let mut house = House::new();
    let connection = house.connect();
    house.send_json(connection, &json!({"type": "create"}));
    // Before the answer has been pulled.
    house.input(connection, Input::Binary);
    let joined = &house.receive(connection)[0];
    assert_eq!(joined["type"], "joined");
    assert!(!has_turn(joined));
}
