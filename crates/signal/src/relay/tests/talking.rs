use super::*;

#[test]
fn data_arrives_byte_for_byte() {
    let mut house = House::new();
    let ((one, _), (other, joined)) = house.pair();
    let data = "{\"a\" : 1.0e0,\t\"b\":\"\\u00e9\\/\", \r\n\"a\":[ 1E400,-0, 12345678901234567890123 ]}";
    let text = format!("\n{{ \"data\"  : {data} ,\"extra\":[{{}}], \"seq\":1, \"t\\u0079pe\":\"send\"}} ");
    house.input(other, Input::Text(&text));
    assert_eq!(house.receive_one(other), json!({"type": "ack", "seq": 1}));
    let expected = format!("{{\"type\":\"message\",\"seq\":2,\"from\":{},\"data\":{data}}}", joined["peer"]);
    assert_eq!(house.texts(one), [expected]);
    for (seq, data) in (2..).zip(["null", "\"\"", "0", "[]", "false"]) {
        let text = format!("{{\"type\":\"send\",\"seq\":{seq},\"data\":{data}}}");
        house.input(other, Input::Text(&text));
        assert!(house.texts(one)[0].ends_with(&format!("\"data\":{data}}}")));
    }
}

#[test]
fn to_one_and_to_all_others() {
    let mut house = House::new();
    let ((one, first), (two, _)) = house.pair();
    let (three, _) = house.join_session(3);
    house.receive(one);
    house.receive(two);
    house.send_json(three, &json!({"type": "send", "seq": 1, "to": first["peer"], "data": "one"}));
    house.send_json(three, &json!({"type": "send", "seq": 2, "to": null, "data": "all"}));
    house.send_json(three, &send(3, "others"));
    assert_eq!(house.receive(three), [json!({"type": "ack", "seq": 3})], "acks are told together");
    assert_eq!(data(&house.receive(one)), ["one", "all", "others"]);
    assert_eq!(data(&house.receive(two)), ["all", "others"]);
    let stats = house.relay.stats();
    assert_eq!((stats.messages_in, stats.messages_out), (3, 5));
}

#[test]
fn messages_stay_in_their_session() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    let (stranger, joined) = house.join(&json!({"type": "join", "session": "elsewhere"}));
    house.send_json(two, &json!({"type": "send", "seq": 1, "to": joined["peer"], "data": "x"}));
    let received = house.receive(two);
    assert_eq!((codes(&received), &received[0]["seq"]), (vec!["no-such-peer"], &json!(1)));
    assert_eq!(received[1], json!({"type": "ack", "seq": 1}), "the send counts as acknowledged");
    house.send_json(stranger, &send(1, "to no peer"));
    assert_eq!(house.receive_one(stranger), json!({"type": "ack", "seq": 1}));
    assert_eq!(house.receive(one), [json!(null); 0]);
}

#[test]
fn a_recipient_that_cannot_be_a_peer_id_gets_no_such_peer() {
    let mut house = House::new();
    let ((_, joined), (two, _)) = house.pair();
    for (seq, to) in (1..).zip([json!("x"), json!("ä".repeat(16)), json!(""), joined["secret"].clone()]) {
        house.send_json(two, &json!({"type": "send", "seq": seq, "to": to, "data": 1}));
        assert_eq!(codes(&house.receive(two)), ["no-such-peer"]);
    }
}

#[test]
fn a_repeated_send_is_only_acknowledged() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    for seq in [1, 1, 2, 1, 2] {
        house.send_json(two, &send(seq, seq));
        assert_eq!(house.receive(two).last().unwrap()["type"], "ack");
        house.pass(SECOND);
    }
    assert_eq!(data(&house.receive(one)), [1, 2]);
    assert_eq!(house.relay.stats().duplicates, 3);
}

#[test]
fn sequence_gap_is_reported_once_until_it_is_filled() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    house.send_json(two, &send(1, 1));
    house.send_json(two, &send(3, 3));
    house.send_json(two, &send(4, 4));
    let received = house.receive(two);
    assert_eq!((codes(&received), &received[0]["seq"]), (vec!["sequence-gap"], &json!(2)));
    assert_eq!(received[1], json!({"type": "ack", "seq": 1}));
    house.pass(SECOND);
    for seq in 2..=4 {
        house.send_json(two, &send(seq, seq));
    }
    assert_eq!(house.receive(two), [json!({"type": "ack", "seq": 4})]);
    assert_eq!(data(&house.receive(one)), [1, 2, 3, 4]);
    house.send_json(two, &send(9, 9));
    assert_eq!(codes(&house.receive(two)), ["sequence-gap"], "a new gap is told anew");
}

#[test]
fn a_send_with_a_legible_number_is_refused_by_it_and_counts() {
    let mut house = House::new();
    let ((_, _), (two, _)) = house.pair();
    for (seq, message) in (1..).zip([
        json!({"type": "send", "seq": 1}),
        json!({"type": "send", "seq": 2, "to": 7, "data": 1}),
        json!({"type": "send", "seq": 3, "data": "x".repeat(262_144)}),
    ]) {
        house.send_json(two, &message);
        let received = house.receive(two);
        let code = if seq == 3 { "message-too-large" } else { "bad-message" };
        assert_eq!((codes(&received), &received[0]["seq"]), (vec![code], &json!(seq)));
        assert_eq!(received[1], json!({"type": "ack", "seq": seq}));
    }
    for message in [json!({"type": "send", "data": 1}), json!({"type": "send", "seq": 0, "data": 1})] {
        house.send_json(two, &message);
        let received = house.receive_one(two);
        assert_eq!((&received["code"], &received["seq"]), (&json!("bad-message"), &Value::Null));
    }
    assert!(house.closed.is_empty());
}

#[test]
fn ping_is_answered_and_ice_servers_are_fresh() {
    let mut house = House::new();
    let (one, _) = house.join_session(1);
    house.send_json(one, &json!({"type": "ping"}));
    assert_eq!(house.receive_one(one), json!({"type": "pong"}));
    let granted = house.granted.get();
    house.send_json(one, &json!({"type": "ice-servers"}));
    let received = house.receive_one(one);
    assert_eq!(
        (&received["type"], &received["iceServersExpire"]),
        (&json!("ice-servers"), &json!(1_790_000_000))
    );
    assert!(received["iceServers"].is_array());
    assert_eq!(house.granted.get(), granted + 1);
}

#[test]
fn an_acknowledged_event_is_forgotten() {
    let mut house = House::new();
    let ((one, joined), (two, _)) = house.pair();
    for seq in 1..=5 {
        house.send_json(two, &send(seq, seq));
    }
    house.receive(one);
    let before = house.relay.stats().buffered_bytes;
    house.send_json(one, &json!({"type": "ack", "seq": 4}));
    assert!(house.relay.stats().buffered_bytes < before);
    house.send_json(one, &json!({"type": "ack", "seq": 2}));
    house.send_json(one, &json!({"type": "ack", "seq": 7}));
    assert_eq!(house.receive_one(one)["code"], "bad-message", "there are six events");
    house.disconnect(one);
    let (_, received) = house.resume(&joined, 0);
    assert_eq!(data(&received), [4, 5]);
}

#[test]
fn an_event_is_announced_once_until_everything_is_pulled() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    house.writable.clear();
    for seq in 1..=10 {
        house.send_json(two, &send(seq, seq));
    }
    assert_eq!(house.writable.iter().filter(|connection| **connection == one).count(), 1);
    house.frame(one).unwrap();
    house.send_json(two, &send(11, 11));
    assert_eq!(house.receive(one).len(), 10);
    house.writable.clear();
    house.send_json(two, &send(12, 12));
    assert_eq!(house.writable.iter().filter(|connection| **connection == one).count(), 1);
}

#[test]
fn one_ack_stands_for_what_is_sent_within_a_moment() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    let ack = |seq: u64| json!({"type": "ack", "seq": seq});
    let millis = Duration::from_millis;
    house.send_json(two, &send(1, 1));
    assert_eq!(house.receive(two), [ack(1)], "the first at once");
    house.writable.clear();
    for seq in 2..=4 {
        house.pass(millis(4));
        house.send_json(two, &send(seq, seq));
        assert_eq!(house.receive(two), [json!(null); 0]);
    }
    assert!(!house.writable.contains(&two), "its connection is not woken for nothing");
    house.pass(millis(8));
    assert!(house.writable.contains(&two));
    assert_eq!(house.receive(two), [ack(4)]);
    house.send_json(two, &send(5, 5));
    house.send_json(two, &json!({"type": "ping"}));
    assert_eq!(house.receive(two), [json!({"type": "pong"}), ack(5)], "along with an answer");
    house.send_json(two, &send(6, 6));
    house.send_json(one, &send(1, "x"));
    let received = house.receive(two);
    assert_eq!((&received[0], &received[1]["type"]), (&ack(6), &json!("message")), "along with an event");
    for seq in 7..=39 {
        house.send_json(two, &send(seq, seq));
        if seq == 38 {
            assert_eq!(house.receive(two), [ack(38)], "for 32 at most");
        }
    }
    house.pass(millis(20));
    assert_eq!(house.receive(two), [ack(39)]);
    house.send_json(two, &send(40, 40));
    house.disconnect(two);
    house.pass(millis(20));
    assert_eq!(house.relay.stats().connections, 1);
}

#[test]
fn ack_that_is_owed_comes_before_the_end() {
    let mut house = House::new();
    let (_, (two, _)) = house.pair();
    house.send_json(two, &send(1, 1));
    house.receive(two);
    house.send_json(two, &send(2, 2));
    house.send_json(two, &json!({"type": "leave"}));
    assert_eq!(house.receive(two), [json!({"type": "ack", "seq": 2})]);
    house.pass(SECOND);
    assert_eq!(house.was_closed(two), Some((1000, None)));
}
