use proptest::prelude::*;

use super::*;

#[test]
fn invalid_json_is_answered_with_an_error_alone() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    let deep = "[".repeat(100_000);
    for (text, code) in [
        ("", "bad-json"),
        ("hello", "bad-json"),
        ("[]", "bad-json"),
        ("[\"ping\"]", "bad-json"),
        ("null", "bad-json"),
        ("{\"type\":\"ping\"", "bad-json"),
        ("{\"type\":\"ping\"}{}", "bad-json"),
        ("{\"type\":\"send\",\"seq\":1,\"data\":\"\\x\"}", "bad-json"),
        ("{\"type\":\"send\",\"seq\":1,\"data\":{\"a\" 1}}", "bad-json"),
        ("{\"type\":\"ping\",\"type\":\"leave\"}", "bad-message"),
        (&format!("{{\"type\":\"send\",\"seq\":1,\"data\":{deep}}}"), "bad-json"),
        (&format!("{{\"type\":{deep}}}"), "bad-json"),
    ] {
        house.input(two, Input::Text(text));
        let received = house.receive_one(two);
        assert_eq!((&received["code"], &received["fatal"]), (&json!(code), &json!(false)), "{text:.60}");
    }
    assert_eq!(house.receive(one), [json!(null); 0]);
    house.send_json(two, &send(1, "still there"));
    assert_eq!(data(&house.receive(one)), ["still there"]);
}

#[test]
fn deep_nesting_is_forwarded_like_anything_else() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    house.input(two, Input::Text(&format!("{{\"type\":\"send\",\"seq\":1,\"data\":{deep}}}")));
    assert!(house.texts(one)[0].ends_with(&format!("\"data\":{deep}}}")));
}

#[test]
fn the_twentieth_error_in_a_minute_ends_the_membership() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    for _ in 0..19 {
        house.input(two, Input::Text("?"));
    }
    house.pass(50 * SECOND);
    house.input(one, Input::Activity);
    assert!(house.was_closed(two).is_none());
    house.receive(two);
    house.input(two, Input::Text("?"));
    assert_eq!(codes(&house.receive(two)), ["bad-json", "too-many-errors"]);
    assert_eq!(house.was_closed(two), Some((1008, Some(ErrorCode::TooManyErrors))));
    assert_eq!(house.receive(one).last().unwrap()["reason"], "violation");
    let newcomer = house.connect();
    for _ in 0..20 {
        house.input(newcomer, Input::Text("{}"));
    }
    assert_eq!(house.was_closed(newcomer), Some((1008, Some(ErrorCode::TooManyErrors))));
    assert_eq!(house.relay.stats().errors(ErrorCode::TooManyErrors), 2);
}

#[test]
fn nineteen_errors_a_minute_are_tolerated() {
    let mut house = House::new();
    let (one, _) = house.join_session(1);
    for _ in 0..3 {
        for _ in 0..19 {
            house.input(one, Input::Text("?"));
        }
        house.receive(one);
        house.pass(30 * SECOND);
        house.input(one, Input::Activity);
        house.pass(30 * SECOND);
        house.input(one, Input::Activity);
    }
    assert!(house.closed.is_empty());
}

#[test]
fn binary_and_unreadably_large_frames_end_the_membership() {
    for (input, code, close) in
        [(Input::Binary, ErrorCode::BinaryFrame, 1003), (Input::TooLarge, ErrorCode::MessageTooLarge, 1009)]
    {
        let mut house = House::new();
        let ((one, _), (two, joined)) = house.pair();
        house.input(two, input);
        assert_eq!(house.was_closed(two), Some((close, Some(code))));
        assert_eq!(codes(&house.receive(two)), [code.as_str()]);
        assert_eq!(house.receive(one).last().unwrap()["reason"], "violation");
        assert_eq!(codes(&house.resume(&joined, 0).1), ["resume-expired"]);
        let newcomer = house.connect();
        house.input(newcomer, input);
        assert_eq!(house.was_closed(newcomer), Some((close, Some(code))));
    }
}

#[test]
fn unread_answers_are_bounded() {
    let mut house = House::limited(|config| config.message_burst = 1_000_000);
    let (one, _) = house.join_session(1);
    for _ in 0..2000 {
        house.send_json(one, &json!({"type": "ping"}));
    }
    assert_eq!(house.was_closed(one), Some((1008, Some(ErrorCode::TooSlow))));
    assert_eq!(codes(&house.receive(one)), ["too-slow"]);
    assert_eq!(house.relay.stats().peers, 0);
}

#[test]
fn closing_connection_takes_no_more_messages() {
    let mut house = House::new();
    let ((one, _), (two, _)) = house.pair();
    house.input(two, Input::Binary);
    house.receive(two);
    house.receive(one);
    house.send_json(two, &send(1, "x"));
    house.send_json(two, &json!({"type": "join", "session": "room"}));
    house.input(two, Input::Binary);
    assert_eq!((house.receive(two), house.receive(one)), (vec![], vec![]));
    assert_eq!(house.closed.len(), 1);
    house.disconnect(two);
    house.disconnect(two);
    house.send_json(two, &send(1, "x"));
    assert_eq!(house.frame(two), None);
}

/// Any order of calls with any content: the relay neither panics nor forgets what it owes nor
/// grows.
#[derive(Clone, Debug)]
enum Call {
    Connect,
    Say(u8, String),
    Binary(u8),
    Disconnect(u8),
    Receive(u8),
    Pass(u16),
    Post(String),
    Poll(u8),
}

fn message() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[a-c]", Just("x".repeat(22)), ".{0,4}"];
    let fields = (name.clone(), name.clone(), name, 0..5_u64);
    prop_oneof![
        ".{0,40}",
        fields.clone().prop_map(|(a, b, ..)| json!({"type": "join", "session": a, "id": b}).to_string()),
        fields.clone().prop_map(|(a, b, ..)| json!({"type": "meet", "id": a, "with": b}).to_string()),
        fields.prop_map(|(a, b, c, seq)| {
            json!({"type": "send", "seq": seq, "to": a, "data": [b, c]}).to_string()
        }),
        (0..5_u64).prop_map(|seq| send(seq, "x").to_string()),
        (0..5_u64).prop_map(|seq| json!({"type": "ack", "seq": seq}).to_string()),
        Just("{\"type\":\"leave\"}".to_owned()),
        Just("{\"type\":\"create\"}".to_owned()),
        Just("{\"type\":\"ping\"}".to_owned()),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        Just(Call::Connect),
        (0..8_u8, message()).prop_map(|(who, text)| Call::Say(who, text)),
        (0..8_u8, message()).prop_map(|(who, text)| Call::Say(who, text)),
        (0..8_u8).prop_map(Call::Binary),
        (0..8_u8).prop_map(Call::Disconnect),
        (0..8_u8).prop_map(Call::Receive),
        (0..40_000_u16).prop_map(Call::Pass),
        message().prop_map(Call::Post),
        (0..8_u8).prop_map(Call::Poll),
    ]
}

proptest! {
    #[test]
    fn any_order_of_calls_is_legal_and_leaves_nothing(calls in prop::collection::vec(call(), 0..120)) {
        let mut house = House::limited(|config| {
            config.session_peers = 3;
            config.client_buffer_bytes = 2000;
            config.joins_per_minute = 40;
        });
        let http = house.http_join(&json!({"type": "join", "session": "a"})).unwrap();
        for call in calls {
            match call {
                Call::Connect => drop(house.connect()),
                Call::Say(who, text) => house.input(ConnectionId(who.into()), Input::Text(&text)),
                Call::Binary(who) => house.input(ConnectionId(who.into()), Input::Binary),
                Call::Disconnect(who) => house.disconnect(ConnectionId(who.into())),
                Call::Receive(who) => drop(house.receive(ConnectionId(who.into()))),
                Call::Pass(milliseconds) => house.pass(Duration::from_millis(milliseconds.into())),
                Call::Post(text) => drop(house.post_text(&credential(&http), &text)),
                Call::Poll(after) => {
                    drop(house.open(&http, Some(after.into()), EventsKind::Poll(SECOND)));
                }
            }
            let buffered: usize = house.relay.members.values().map(|member| member.log.bytes()).sum();
            prop_assert_eq!(house.relay.stats().buffered_bytes, buffered as u64);
            for (key, member) in &house.relay.members {
                prop_assert!(member.sees.len() < 3 && member.log.bytes() <= 2000);
                for other in member.sees.iter() {
                    prop_assert!(house.relay.members[&other].sees.contains(*key), "who sees is seen");
                }
            }
        }
        let open: Vec<_> = house.relay.connections.keys().copied().collect();
        for connection in open {
            house.disconnect(connection);
        }
        house.pass(31 * SECOND);
        let stats = house.relay.stats();
        prop_assert_eq!((stats.peers, stats.sessions, stats.connections, stats.buffered_bytes), (0, 0, 0, 0));
        prop_assert!(house.relay.meeting.is_empty() && house.relay.poll_timeout().is_none());
    }
}
