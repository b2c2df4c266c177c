//! The messages as text: what is written can be read, and what cannot be read is refused without a
//! panic.

use columba_signal::{ClientMessage, ErrorCode, Refusal, ServerMessage};
use proptest::prelude::*;

fn client_messages() -> impl Strategy<Value = String> {
    let name = "[A-Za-z0-9_-]{22,64}";
    let instance =
        prop_oneof![Just(String::new()), name.prop_map(|name| format!(",\"instance\":\"{name}\""))];
    let id = prop_oneof![Just(String::new()), "[a-z@:.~]{1,64}".prop_map(|id| format!(",\"id\":\"{id}\""))];
    let data = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap()),
        ".{0,20}".prop_map(|text| serde_json::to_string(&[text]).unwrap()),
        Just("{ \"a\" :\t[1E5 ,\"\\u00e9\"] }".to_owned()),
    ];
    let to = prop_oneof![Just(String::new()), "[A-Za-z]{0,20}".prop_map(|to| format!("\"to\":\"{to}\","))];
    prop_oneof![
        ("[A-Za-z0-9._~-]{1,128}", instance.clone(), id.clone()).prop_map(|(session, instance, id)| format!(
            "{{\"type\":\"join\",\"session\":\"{session}\"{instance}{id}}}"
        )),
        (instance.clone(), id, "[!#-~]{1,128}").prop_map(|(instance, id, key)| {
            let key = serde_json::to_string(&key).unwrap();
            format!("{{\"type\":\"create\"{instance}{id},\"key\":{key}}}")
        }),
        ("[a-z]{1,64}", instance).prop_map(|(id, instance)| format!(
            "{{\"type\":\"meet\",\"id\":\"{id}\",\"with\":\"other:{id:.9}\"{instance}}}"
        )),
        ("[A-Za-z0-9_-]{16}", name, any::<u64>()).prop_map(|(peer, secret, seq)| format!(
            "{{\"type\":\"resume\",\"peer\":\"{peer}\",\"secret\":\"{secret}\",\"seq\":{seq}}}"
        )),
        (1..=u64::MAX, to, data)
            .prop_map(|(seq, to, data)| format!("{{\"type\":\"send\",\"seq\":{seq},{to}\"data\":{data}}}")),
        any::<u64>().prop_map(|seq| format!("{{\"type\":\"ack\",\"seq\":{seq}}}")),
        prop::sample::select(vec!["ice-servers", "ping", "pong", "leave"])
            .prop_map(|kind| format!("{{\"type\":\"{kind}\"}}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_message_is_written_as_it_was_read(text in client_messages()) {
        let message = ClientMessage::parse(&text).unwrap();
        prop_assert_eq!(&message.to_json(), &text);
        let by_serde: ClientMessage = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(by_serde.to_json(), text);
    }

    #[test]
    fn no_text_makes_parsing_panic(text in ".{0,100}", message in client_messages(), cut in any::<prop::sample::Index>()) {
        let half: String = message.chars().take(cut.index(message.chars().count())).collect();
        for text in [text, half] {
            prop_assert!(ClientMessage::parse(&text).is_err());
            prop_assert!(ServerMessage::parse(&text).is_err());
        }
    }
}

#[test]
fn a_server_message_is_written_as_it_was_read() {
    for text in [
        r#"{"type":"joined","peer":"3kM0cW9x_Ql2aT7e","session":null,"secret":"s","peers":[{"peer":"3kM0cW9x_Ql2aT7f","id":"b"}],"iceServers":[{"urls":["stun:a:3478"]}],"iceServersExpire":9,"resumeWithin":30000,"limits":{"messageBytes":262144,"peers":16,"messagesPerSecond":50,"messageBurst":200}}"#,
        r#"{"type":"resumed","seq":4,"iceServers":[]}"#,
        r#"{"type":"peer-joined","seq":1,"peer":"3kM0cW9x_Ql2aT7e"}"#,
        r#"{"type":"peer-left","seq":2,"peer":"3kM0cW9x_Ql2aT7e","reason":"too-slow"}"#,
        r#"{"type":"message","seq":3,"from":"3kM0cW9x_Ql2aT7e","data":{ "a" : 1.0e0 }}"#,
        r#"{"type":"ack","seq":17}"#,
        r#"{"type":"ice-servers","iceServers":[],"iceServersExpire":1}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"pong"}"#,
        r#"{"type":"going-away","after":2000}"#,
        r#"{"type":"error","code":"rate-limited","message":"m","fatal":false,"seq":17,"retryAfter":400}"#,
    ] {
        assert_eq!(ServerMessage::parse(text).unwrap().to_json(), text);
        assert_eq!(serde_json::from_str::<ServerMessage>(text).unwrap().to_json(), text);
    }
}

#[test]
fn client_reads_messages_of_later_servers() {
    let left = r#"{"type":"peer-left","seq":2,"peer":"3kM0cW9x_Ql2aT7e","reason":"abducted","by":"them"}"#;
    assert!(ServerMessage::parse(left).is_ok());
    let error = r#"{"type":"error","code":"brand-new","message":"m","fatal":true}"#;
    let Ok(ServerMessage::Error(Refusal { code, fatal, .. })) = ServerMessage::parse(error) else { panic!() };
    assert_eq!((code, fatal), (ErrorCode::Unknown, true));
}
