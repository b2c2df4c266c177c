//! The HTTP transport, request by request.

mod common;

use std::time::{Duration, Instant};

use common::{Events, Server, receive, send_text};
use serde_json::json;

#[test]
fn events_stream_and_resume_where_they_stopped() {
    let server = Server::start(&[]);
    let (joined_a, a) = server.join(r#"{"type":"join","session":"meeting"}"#);
    let mut stream = Events::open(&server, &a);
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");

    let (_, b) = server.join(r#"{"type":"join","session":"meeting","id":"bob"}"#);
    let (id, event) = stream.next().unwrap();
    assert_eq!(
        (id.as_deref(), &event["type"], &event["id"]),
        (Some("1"), &json!("peer-joined"), &json!("bob"))
    );
    stream.close();

    let sends =
        r#"[{"type":"send","seq":1,"data":"one"},{"type":"send","seq":2,"data":"two"},{"type":"ping"}]"#;
    let answer = server.request(&format!("POST /v1/signal/messages\n{b}"), sends);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!([{"type": "pong"}, {"type": "ack", "seq": 2}]));

    // What was not acknowledged comes again, in order.
    let mut stream = Events::open(&server, &format!("{a}\nlast-event-id: 1"));
    assert_eq!(
        stream.next().map(|(id, event)| (id.unwrap(), event["data"].clone())),
        Some(("2".into(), json!("one")))
    );
    assert_eq!(
        stream.next().map(|(id, event)| (id.unwrap(), event["data"].clone())),
        Some(("3".into(), json!("two")))
    );

    // A second stream replaces the first.
    let mut second = Events::open(&server, &format!("{a}\nlast-event-id: 3"));
    let last = std::iter::from_fn(|| stream.next()).last().expect("the first gets an event");
    assert_eq!((last.0, &last.1["code"]), (None, &json!("replaced")));

    let to = json!({"type": "send", "seq": 3, "to": joined_a["peer"], "data": 3}).to_string();
    assert_eq!(server.request(&format!("POST /v1/signal/messages\n{b}"), &to).status, 200);
    assert_eq!(second.next().unwrap().1["data"], 3);
}

#[test]
fn a_poll_waits_for_the_next_event() {
    let server = Server::start(&[]);
    let (_, a) = server.join(r#"{"type":"join","session":"meeting"}"#);
    let poll = |query: &str| server.request(&format!("GET /v1/signal/events?{query}\n{a}"), "");
    // A poll that names no time waits for longer than a request may take here.
    let nothing = poll("after=0&wait=0");
    assert_eq!((nothing.status, nothing.body.as_str()), (200, "[]"));
    let start = Instant::now();
    assert_eq!(poll("after=0&wait=1").body, "[]");
    assert!(start.elapsed() >= Duration::from_millis(900));

    let received = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll("after=0&wait=30").json());
        let mut b = server.websocket();
        send_text(&mut b, r#"{"type":"join","session":"meeting"}"#);
        assert_eq!(receive(&mut b)["type"], "joined");
        waiting.join().unwrap()
    });
    assert_eq!(received[0]["type"], "peer-joined");
    assert_eq!(poll("after=0&wait=0").json()[0]["seq"], 1, "not acknowledged yet");
    assert_eq!(poll("after=1&wait=0").body, "[]");
}

#[test]
fn the_token_may_come_in_the_query_for_event_source() {
    let server = Server::start(&[]);
    let (_, a) = server.join(r#"{"type":"create"}"#);
    let token = a.rsplit(' ').next().unwrap();
    let answer = server.request(&format!("GET /v1/signal/events?access_token={token}&wait=0"), "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "[]"));
}

#[test]
fn leaving_ends_the_membership() {
    let server = Server::start(&[]);
    let (_, a) = server.join(r#"{"type":"create"}"#);
    assert_eq!(server.request(&format!("DELETE /v1/signal\n{a}"), "").status, 204);
    let after = server.request(&format!("POST /v1/signal/messages\n{a}"), r#"{"type":"ping"}"#);
    assert_eq!((after.status, &after.json()["code"]), (410, &json!("resume-expired")));
}

#[test]
fn a_membership_without_a_reader_expires() {
    let server = Server::start(&["--resume-within", "1500ms"]);
    let (_, a) = server.join(r#"{"type":"join","session":"meeting"}"#);
    let (_, b) = server.join(r#"{"type":"join","session":"meeting"}"#);
    let mut stream = Events::open(&server, &a);
    let left = std::iter::from_fn(|| stream.next()).find(|(_, event)| event["type"] == "peer-left").unwrap();
    assert_eq!(left.1["reason"], "timeout");
    let late = server.request(&format!("GET /v1/signal/events?wait=0\n{b}"), "");
    assert_eq!((late.status, &late.json()["code"]), (410, &json!("resume-expired")));
}

#[test]
fn each_bad_request_has_its_error() {
    let server =
        Server::start(&["--message-size", "1KiB", "--request-size", "4KiB", "--joins-per-minute", "5"]);
    let refused = |head: &str, body: &str, status: u16, code: &str| {
        let answer = server.request(head, body);
        assert_eq!(answer.status, status, "{head} {body}: {}", answer.body);
        let error = answer.json();
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{head}");
        assert!(error["message"].as_str().is_some_and(|text| text.ends_with('.')), "{error}");
        answer
    };
    let (_, a) = server.join(r#"{"type":"create"}"#);
    let messages = format!("POST /v1/signal/messages\n{a}");
    refused("POST /v1/signal", "{", 400, "bad-json");
    refused("POST /v1/signal", r#"{"type":"join","session":"a b"}"#, 400, "bad-token");
    refused("POST /v1/signal", r#"{"type":"ping"}"#, 401, "not-joined");
    refused(&messages, r#"{"type":"dance"}"#, 400, "unknown-type");
    refused(&messages, &"x".repeat(5000), 413, "message-too-large");
    refused("POST /v1/signal/messages", r#"{"type":"ping"}"#, 401, "not-joined");
    refused("GET /v1/signal/events\nauthorization: Bearer x", "", 401, "wrong-secret");
    let forged = a.rsplit_once('.').unwrap().0.to_owned() + ".abcdefghijklmnopqrstuv";
    let wrong = refused(&format!("GET /v1/signal/events\n{forged}"), "", 401, "wrong-secret");
    assert_eq!(wrong.header("www-authenticate"), "Bearer");
    refused(&format!("GET /v1/signal/events?wait=soon\n{a}"), "", 400, "bad-message");

    let mut flooded = None;
    for _ in 0..20 {
        let answer = server.request("POST /v1/signal", r#"{"type":"create"}"#);
        if answer.status != 201 {
            flooded = Some(answer);
            break;
        }
    }
    let flooded = flooded.expect("the joins of one address are limited");
    assert_eq!((flooded.status, &flooded.json()["code"]), (429, &json!("too-many-joins")));
    assert!(flooded.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[test]
fn pages_of_other_origins_need_permission() {
    let server = Server::start(&["--allow-origin", "https://b.test"]);
    let create = r#"{"type":"create"}"#;
    let own = server.request("POST /v1/signal\norigin: http://a.test:99", create);
    assert_eq!((own.status, own.header("access-control-allow-origin")), (201, "http://a.test:99"));
    let friend = server.request("POST /v1/signal\norigin: https://b.test", create);
    assert_eq!((friend.status, friend.header("access-control-allow-origin")), (201, "https://b.test"));
    assert_eq!(friend.header("vary"), "Origin");
    assert_eq!(friend.header("access-control-expose-headers"), "Retry-After");
    let stranger = server.request("POST /v1/signal\norigin: https://c.test", create);
    assert_eq!((stranger.status, &stranger.json()["code"]), (403, &json!("origin-not-allowed")));
    assert_eq!(stranger.header("access-control-allow-origin"), "");

    let preflight =
        "OPTIONS /v1/signal/messages\norigin: https://b.test\naccess-control-request-method: POST";
    let answer = server.request(preflight, "");
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    assert!(answer.header("access-control-allow-methods").contains("DELETE"));
    let preflight = "OPTIONS /v1/signal\norigin: https://c.test\naccess-control-request-method: POST";
    assert_eq!(server.request(preflight, "").status, 403);
}
