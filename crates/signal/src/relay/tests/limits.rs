use std::net::Ipv6Addr;

use super::*;

#[test]
fn a_session_has_sixteen_peers() {
    let mut house = House::new();
    for instance in 1..=16 {
        house.join_session(instance);
    }
    let connection = house.connect();
    house.send_json(connection, &json!({"type": "join", "session": "room"}));
    let received = house.receive_one(connection);
    assert_eq!((&received["code"], &received["fatal"]), (&json!("session-full"), &json!(false)));
    house.join_session(16);
    assert_eq!(house.relay.stats().peers, 16, "who is in it may join anew");
}

#[test]
fn the_rate_is_a_burst_and_then_fifty_a_second() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    for seq in 1..=205 {
        house.send_json(two, &send(seq, seq));
    }
    let received = house.receive(two);
    assert_eq!(received.len(), 2, "the ones behind the refused one are dropped silently: {received:?}");
    let refusal = &received[0];
    assert_eq!(
        (&refusal["code"], &refusal["seq"], &refusal["fatal"]),
        (&json!("rate-limited"), &json!(201), &json!(false))
    );
    assert_eq!(refusal["retryAfter"], 400);
    assert!(refusal["message"].as_str().unwrap().contains("send 201 and later again in 0.4 s"));
    assert_eq!(received[1], json!({"type": "ack", "seq": 200}));
    house.pass(Duration::from_millis(400));
    for seq in 201..=221 {
        house.send_json(two, &send(seq, seq));
    }
    let received = house.receive(two);
    assert_eq!((&received[0]["seq"], &received[1]["seq"]), (&json!(221), &json!(220)), "20 came through");
    assert_eq!(data(&house.receive(one)), (1..=220).map(Value::from).collect::<Vec<_>>());
    house.send_json(one, &send(1, "others may"));
    assert_eq!(house.receive_one(one)["type"], "ack");
}

#[test]
fn large_messages_count_for_more() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    let large = "x".repeat(262_000);
    for seq in 1..=16 {
        house.send_json(two, &send(seq, large.as_str()));
    }
    assert_eq!(codes(&house.receive(two)), ["rate-limited"]);
    assert!(house.was_closed(one).is_none(), "a sender alone cannot put a receiver out");
    assert_eq!(data(&house.receive(one)).len(), 12);
}

#[test]
fn requests_that_are_answered_count_too() {
    let mut house = House::new();
    let (one, _) = house.join_session(1);
    let mut pongs = 0;
    for _ in 0..250 {
        house.send_json(one, &json!({"type": "ping"}));
        pongs += house.receive(one).iter().filter(|received| received["type"] == "pong").count();
    }
    assert_eq!(pongs, 200);
}

#[test]
fn member_that_does_not_read_is_removed() {
    let mut house = House::limited(|config| config.client_buffer_bytes = 100_000);
    let ((one, joined), (two, _)) = house.pair();
    let text = "x".repeat(30_000);
    for seq in 1..=3 {
        house.send_json(two, &send(seq, text.as_str()));
    }
    assert!(house.was_closed(one).is_none());
    house.send_json(two, &send(4, text.as_str()));
    assert_eq!(house.was_closed(one), Some((1008, Some(ErrorCode::TooSlow))));
    let last = house.receive_one(one);
    assert_eq!((&last["code"], &last["fatal"]), (&json!("too-slow"), &json!(true)));
    let left = json!({"type": "peer-left", "seq": 1, "peer": joined["peer"], "reason": "too-slow"});
    assert_eq!(house.receive(two).last(), Some(&left));
    assert_eq!(codes(&house.resume(&joined, 1).1), ["resume-expired"]);
    assert_eq!(house.relay.stats().buffered_bytes, 128, "what waits for the other: peer-left");
}

#[test]
fn reading_without_acknowledging_is_not_reading_and_acknowledging_is() {
    let mut house = House::limited(|config| config.client_buffer_bytes = 100_000);
    let ((one, _), (two, _)) = house.pair();
    let text = "x".repeat(30_000);
    for seq in 1..=20 {
        house.send_json(two, &send(seq, text.as_str()));
        let last = house.receive(one).last().unwrap()["seq"].clone();
        house.send_json(one, &json!({"type": "ack", "seq": last}));
        house.pass(SECOND);
    }
    assert!(house.was_closed(one).is_none());
    for seq in 21..=24 {
        house.send_json(two, &send(seq, text.as_str()));
        house.receive(one);
    }
    assert_eq!(house.was_closed(one), Some((1008, Some(ErrorCode::TooSlow))));
}

#[test]
fn absent_member_is_removed_as_well() {
    let mut house = House::limited(|config| config.client_buffer_bytes = 10_000);
    let ((one, joined), (two, _)) = house.pair();
    house.disconnect(one);
    house.send_json(two, &send(1, "x".repeat(10_000)));
    assert_eq!(house.receive(two).last().unwrap()["reason"], "too-slow");
    assert_eq!(codes(&house.resume(&joined, 1).1), ["resume-expired"]);
    assert_eq!(house.was_closed(one), None);
}

#[test]
fn all_buffers_together_are_bounded_and_the_fullest_pays() {
    let mut house = House::limited(|config| config.total_buffer_bytes = 100_000);
    let ((one, _), (two, _)) = house.pair();
    let other = house.join(&json!({"type": "join", "session": "second"})).0;
    let talker = house.join(&json!({"type": "join", "session": "second"})).0;
    house.send_json(two, &send(1, "x".repeat(60_000)));
    house.send_json(talker, &send(1, "x".repeat(30_000)));
    assert!(house.closed.is_empty());
    house.send_json(talker, &send(2, "x".repeat(20_000)));
    assert_eq!(house.was_closed(one), Some((1008, Some(ErrorCode::TooSlow))));
    assert_eq!(house.was_closed(other), None);
    assert!(house.relay.stats().buffered_bytes < 100_000);
}

#[test]
fn a_thousand_joins_from_one_address_are_too_many() {
    let mut house = House::new();
    let refused = |house: &mut House, address| {
        let connection = house.connect_from(address);
        house.send_json(connection, &json!({"type": "create"}));
        let received = house.receive_one(connection);
        house.disconnect(connection);
        (received["code"] == "too-many-joins").then(|| received["retryAfter"].as_u64().unwrap())
    };
    let refusals: Vec<_> = (0..1000).filter_map(|_| refused(&mut house, OFFICE)).collect();
    assert_eq!((refusals.len(), refusals[0]), (760, 250));
    assert!(refused(&mut house, IpAddr::V6(Ipv6Addr::LOCALHOST)).is_none(), "others may");
    house.pass(Duration::from_millis(250));
    assert!(refused(&mut house, OFFICE).is_none());
    assert!(refused(&mut house, OFFICE).is_some());
    let refusal = house.http_join(&json!({"type": "create"})).unwrap_err();
    assert_eq!((refusal.code, refusal.http_status()), (ErrorCode::TooManyJoins, 429));
    house.pass(60 * SECOND);
    assert_eq!(house.relay.stats().peers, 0);
}

#[test]
fn a_network_tries_few_codes() {
    let mut house = House::new();
    let refused = |house: &mut House, address: &str, token: &str| {
        let connection = house.connect_from(address.parse().unwrap());
        house.send_json(connection, &json!({"type": "join", "session": token}));
        let received = house.receive_one(connection);
        house.disconnect(connection);
        received["code"] == "too-many-joins"
    };
    // Each address of a /24 has its own joins, but they guess together.
    let guesses = (0..100).map(|n| refused(&mut house, &format!("203.0.113.{n}"), &format!("send-code-{n}")));
    assert_eq!(guesses.filter(|refused| *refused).count(), 70);
    assert!(!refused(&mut house, "203.0.114.1", "send-code-7"));
    assert!(!refused(&mut house, "203.0.113.1", "another-session"));
    let guesses = (0..100).map(|n| refused(&mut house, &format!("2001:db8:1:{n:x}::1"), "send-code-7"));
    assert_eq!(guesses.filter(|refused| *refused).count(), 70);
    assert!(!refused(&mut house, "2001:db8:2::1", "send-code-7"));
    house.pass(2 * SECOND);
    assert!(!refused(&mut house, "203.0.113.200", "send-code-7"));
    assert!(refused(&mut house, "203.0.113.201", "send-code-7"));
}

#[test]
fn sessions_and_peers_of_the_server_are_bounded() {
    let full = |change: fn(&mut Config)| {
        let mut house = House::limited(change);
        house.join(&json!({"type": "create"}));
        house.join_session(1);
        let connection = house.connect();
        house.send_json(connection, &json!({"type": "create"}));
        let received = house.receive_one(connection);
        assert_eq!((&received["code"], &received["retryAfter"]), (&json!("server-full"), &json!(30_000)));
        house.join_session(1);
        house
    };
    let mut house = full(|config| config.sessions = 2);
    house.join_session(2);
    full(|config| config.peers = 2);
}

#[test]
fn no_network_takes_the_last_membership() {
    let mut house = House::limited(|config| {
        (config.peers, config.peers_per_client, config.joins_per_minute) = (300, 40, 100_000);
    });
    let create = |house: &mut House, address: IpAddr| {
        let connection = house.connect_from(address);
        house.send_json(connection, &json!({"type": "create"}));
        (connection, house.receive_one(connection))
    };
    let of = |subnet: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, subnet, 0, 0, 0, 1));
    let joined = |(_, answer): &(ConnectionId, Value)| answer["type"] == "joined";
    let one: Vec<_> = (0..50).map(|_| create(&mut house, of(0))).collect();
    assert_eq!(one.iter().filter(|entered| joined(entered)).count(), 40, "one client");
    assert_eq!(codes(&[one[49].1.clone()]), ["too-many-joins"]);
    assert!(one[49].1["retryAfter"].as_u64().unwrap() > 0);
    let more = (1..1000).filter(|subnet| joined(&create(&mut house, of(*subnet)))).count();
    assert!((160..=200).contains(&(40 + more)), "one /48 has {} of 300", 40 + more);
    let elsewhere = IpAddr::from([198, 51, 100, 1]);
    assert!(joined(&create(&mut house, elsewhere)), "another network");
    assert!(!joined(&create(&mut house, of(2000))));
    for (connection, _) in one {
        house.send_json(connection, &json!({"type": "leave"}));
    }
    assert!(joined(&create(&mut house, of(0))), "places come back");
}
