//! Servers whose answers are not as the RFCs want them, but which browsers can use.

use columba_stun::attributes::{
    Lifetime, MappedAddress, PasswordAlgorithms, Software, XorMappedAddress, XorRelayedAddress,
};
use columba_stun::{AttributeType, IntegrityKey, SecurityFeatures, TransactionId};

use super::*;

const USERNAME: &str = "ada";
const PASSWORD: &str = "secret";

/// A server whose answers are those of a test.
struct Script {
    now: Instant,
    client: Client,
    /// The values of REALM and NONCE in challenges.
    realm: Vec<u8>,
    nonce: Vec<u8>,
    /// The realm in the server's key.
    key_realm: Vec<u8>,
}

/// A request that the client has sent.
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }
}

impl Script {
    fn new(realm: &[u8], key_realm: &[u8], nonce: &[u8]) -> Self {
        Self::with_config(realm, key_realm, nonce, Config::default())
    }

    fn with_config(realm: &[u8], key_realm: &[u8], nonce: &[u8], config: Config) -> Self {
        let now = start();
        let config = Config { username: USERNAME.into(), password: PASSWORD.into(), ..config };
        Self {
            now,
            client: Client::new(config, now, &mut ChaCha12Rng::seed_from_u64(4)),
            realm: realm.into(),
            nonce: nonce.into(),
            key_realm: key_realm.into(),
        }
    }

    fn key(&self) -> IntegrityKey {
        IntegrityKey::long_term_md5(USERNAME, &self.key_realm, PASSWORD).unwrap()
    }

    fn with_password(password: &str, nonce: &[u8]) -> Self {
        let mut script = Self::new(b"example", b"example", nonce);
        let config = Config { username: USERNAME.into(), password: password.into(), ..Config::default() };
        script.client = Client::new(config, script.now, &mut ChaCha12Rng::seed_from_u64(4));
        script
    }

    fn next_request(&mut self) -> Option<Request> {
        let mut buf = [0; 4000];
        let length = self.client.poll_transmit(self.now, &mut buf)?;
        Some(Request { bytes: buf[..length].to_vec() })
    }

    fn answer(&mut self, request: &Request, class: Class, fill: impl FnOnce(&mut MessageBuilder<'_>)) {
        let mut buf = [0; 4000];
        let (method, id) = (request.message().method(), request.message().transaction_id());
        let mut builder = MessageBuilder::new(&mut buf, class, method, id).unwrap();
        fill(&mut builder);
        let length = builder.finish();
        self.client.handle_message(self.now, &buf[..length]);
    }

    fn challenge(&mut self, request: &Request) {
        let (realm, nonce) = (self.realm.clone(), self.nonce.clone());
        self.answer(request, Class::ErrorResponse, |builder| {
            builder.push(&ErrorInfo::from(ErrorCode::UNAUTHENTICATED)).unwrap();
            builder.push_raw(AttributeType::REALM, &realm).unwrap();
            builder.push_raw(AttributeType::NONCE, &nonce).unwrap();
        });
    }

    fn refuse(&mut self, request: &Request, code: ErrorCode) {
        self.answer(request, Class::ErrorResponse, |builder| {
            builder.push(&ErrorInfo::from(code)).unwrap();
        });
    }

    /// The request with which the client answers the challenge.
    fn signed_request(&mut self) -> Request {
        let first = self.next_request().unwrap();
        self.challenge(&first);
        self.next_request().expect("the challenge is met")
    }

    fn grant(&mut self, request: &Request) {
        let key = self.key();
        self.answer(request, Class::SuccessResponse, |builder| {
            builder.push(&XorRelayedAddress(addr("5.0.0.1:50000"))).unwrap();
            builder.push(&XorMappedAddress(addr("198.51.100.7:40000"))).unwrap();
            builder.push(&Lifetime(600)).unwrap().integrity(&key).unwrap();
        });
    }

    fn allocated() -> Self {
        Self::allocated_with(Config::default())
    }

    fn allocated_with(config: Config) -> Self {
        let mut script = Self::with_config(b"example", b"example", b"nonce", config);
        let request = script.signed_request();
        script.grant(&request);
        assert!(matches!(script.client.poll_event(), Some(Event::Allocated { .. })));
        script
    }

    fn failure(&mut self) -> Failure {
        match self.client.poll_event() {
            Some(Event::Failed(failure)) => failure,
            other => panic!("no failure: {other:?}"),
        }
    }
}

#[test]
fn realms_and_nonces_of_any_form_are_echoed_and_make_the_key() {
    let latin1 = b"M\xFCnchen".as_slice();
    let long = [b'n'; 763];
    let cases: [(&[u8], &[u8], &[u8]); 11] = [
        (b"example", b"example", b"nonce"),
        (b"", b"", b""),
        (b" ", b" ", b" "),
        (b"\"example.org\"", b"\"example.org\"", b"\"nonce\""),
        (b"123456\0\0", b"123456", b"nonce\0"),
        (b"123456\0garbage", b"123456", b"nonce"),
        (latin1, latin1, latin1),
        (b"bell\x07", b"bell\x07", b"bell\x07"),
        ("Ⅸ".as_bytes(), "Ⅸ".as_bytes(), b"nonce"),
        (&long[..200], &long[..200], &long[..200]),
        (&long, &long, &long),
    ];
    for (realm, key_realm, nonce) in cases {
        let mut script = Script::new(realm, key_realm, nonce);
        let request = script.signed_request();
        let message = request.message();
        assert_eq!(message.raw(AttributeType::REALM).unwrap().value, realm);
        assert_eq!(message.raw(AttributeType::NONCE).unwrap().value, nonce);
        assert_eq!(message.verify_integrity(&script.key()), Ok(()), "{realm:?}");
        script.grant(&request);
        assert!(script.client.is_live(), "{realm:?}");
    }
}

/// Passwords that SASLprep refuses are taken as they are.
#[test]
fn passwords_of_any_form_make_a_key() {
    for password in
        ["", " ", "tab\there", "nul\0", "bell\u{7}", "\u{e000}", "\u{378}", "\u{627}1", "é\u{200e}"]
    {
        let mut script = Script::with_password(password, b"nonce");
        let request = script.signed_request();
        let prepared = IntegrityKey::long_term_md5(USERNAME, b"example", password);
        let raw = |_| IntegrityKey::long_term_md5_unprepared(USERNAME, b"example", password);
        let key = prepared.unwrap_or_else(raw);
        assert_eq!(request.message().verify_integrity(&key), Ok(()), "{password:?}");
        // And with the stronger algorithm, which the nonce announces.
        let nonce = format!("{}nonce", SecurityFeatures::PASSWORD_ALGORITHMS.nonce_prefix());
        let mut script = Script::with_password(password, nonce.as_bytes());
        let first = script.next_request().unwrap();
        script.answer(&first, Class::ErrorResponse, |builder| {
            builder.push(&ErrorInfo::from(ErrorCode::UNAUTHENTICATED)).unwrap();
            builder.push(&Realm(b"example")).unwrap().push(&Nonce(nonce.as_bytes())).unwrap();
            builder.push_raw(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]).unwrap();
        });
        let request = script.next_request().expect("the challenge is met");
        let prepared = IntegrityKey::long_term_sha256(USERNAME, b"example", password);
        let raw = |_| IntegrityKey::long_term_sha256_unprepared(USERNAME, b"example", password);
        let key = prepared.unwrap_or_else(raw);
        assert!(request.message().verify_any_integrity(&key).is_ok(), "{password:?}");
    }
}

#[test]
fn texts_for_people_do_not_decide_whether_a_server_can_be_used() {
    let long = [b'x'; 1000];
    for reason in [b"Unauthorized\0\0".as_slice(), b"Ung\xFCltig", b"\xFF", b"", &long] {
        let mut script = Script::new(b"example", b"example", b"nonce");
        let request = script.next_request().unwrap();
        script.answer(&request, Class::ErrorResponse, |builder| {
            builder.push_raw(AttributeType::SOFTWARE, reason).unwrap();
            builder.push_raw(AttributeType::ERROR_CODE, &[&[0, 0, 4, 1], reason].concat()).unwrap();
            builder.push(&Realm(b"example")).unwrap().push(&Nonce(b"nonce")).unwrap();
        });
        let request = script.next_request().expect("the challenge is met");
        let key = script.key();
        script.answer(&request, Class::SuccessResponse, |builder| {
            builder.push_raw(AttributeType::SOFTWARE, reason).unwrap();
            builder.push(&XorRelayedAddress(addr("5.0.0.1:50000"))).unwrap();
            builder.push(&MappedAddress(addr("198.51.100.7:40000"))).unwrap();
            builder.integrity(&key).unwrap();
        });
        let mapped = Some(addr("198.51.100.7:40000"));
        let relayed = vec![addr("5.0.0.1:50000")];
        assert_eq!(script.client.poll_event(), Some(Event::Allocated { relayed, mapped }), "{reason:?}");
    }
}

#[test]
fn unannounced_password_algorithms_are_not_looked_at() {
    let mut script = Script::new(b"example", b"example", b"nonce");
    let request = script.next_request().unwrap();
    script.answer(&request, Class::ErrorResponse, |builder| {
        builder.push(&ErrorInfo::from(ErrorCode::UNAUTHENTICATED)).unwrap();
        builder.push(&Realm(b"example")).unwrap().push(&Nonce(b"nonce")).unwrap();
        builder.push_raw(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 9]).unwrap();
    });
    let request = script.next_request().expect("the challenge is met");
    assert_eq!(request.message().get::<PasswordAlgorithms<'_>>(), Ok(None));
    assert_eq!(request.message().verify_integrity(&script.key()), Ok(()));
}

#[test]
fn unsigned_error_before_the_allocation_ends_it_at_once() {
    for number in [400, 403, 420, 437, 441, 442, 486, 500, 508, 600] {
        let mut script = Script::new(b"example", b"example", b"nonce");
        let request = script.signed_request();
        let code = ErrorCode::new(number).unwrap();
        script.refuse(&request, code);
        let failure = script.failure();
        assert_eq!((failure.code, failure.text.as_str()), (Some(code), code.reason()));
        assert!(script.client.is_ended());
        assert_eq!(script.client.poll_timeout(), None, "nothing is repeated");
    }
}

#[test]
fn error_without_a_readable_code_ends_the_request() {
    for value in [None, Some([0, 0, 4, 100]), Some([0, 0, 1, 0])] {
        let mut script = Script::new(b"example", b"example", b"nonce");
        let request = script.signed_request();
        script.answer(&request, Class::ErrorResponse, |builder| {
            if let Some(value) = value {
                builder.push_raw(AttributeType::ERROR_CODE, &value).unwrap();
            }
        });
        assert_eq!(script.failure().code, Some(ErrorCode::GLOBAL_FAILURE));
    }
    // Pion's CreatePermission errors were signed and had no code.
    let mut script = Script::allocated();
    script.client.permit(script.now, peer().ip());
    let (request, key) = (script.next_request().unwrap(), script.key());
    script.answer(&request, Class::ErrorResponse, |builder| {
        builder.integrity(&key).unwrap();
    });
    assert_eq!(script.client.poll_event(), Some(Event::PeerRefused(peer().ip())));
}

#[test]
fn unsigned_success_is_never_believed() {
    let mut script = Script::new(b"example", b"example", b"nonce");
    let request = script.signed_request();
    script.answer(&request, Class::SuccessResponse, |builder| {
        builder.push(&XorRelayedAddress(addr("5.0.0.1:50000"))).unwrap();
    });
    assert_eq!(script.client.poll_event(), None);
    script.grant(&request);
    assert!(script.client.is_live());
}

#[test]
fn unsigned_errors_do_not_end_a_live_allocation() {
    type Ask = fn(&mut Client, Instant);
    let asks: [Ask; 3] = [
        |client, now| client.probe(now),
        |client, now| client.permit(now, peer().ip()),
        |client, now| client.bind(now, peer()),
    ];
    for ask in asks {
        for number in [300, 400, 403, 437, 441, 443, 486, 508, 600] {
            let mut script = Script::allocated();
            ask(&mut script.client, script.now);
            let request = script.next_request().unwrap();
            script.refuse(&request, ErrorCode::new(number).unwrap());
            assert!(script.client.is_live(), "{number}");
            assert_eq!(script.client.poll_event(), None, "{number}");
            // The true answer still counts.
            let key = script.key();
            script.answer(&request, Class::SuccessResponse, |builder| {
                builder.push(&Lifetime(600)).unwrap().integrity(&key).unwrap();
            });
            assert!(script.client.transactions.is_empty(), "{number}");
        }
    }
}

/// A server that never signs its errors, and so gives no other answer.
#[test]
fn unsigned_errors_count_where_the_server_gives_no_other_answer() {
    type Ask = fn(&mut Client, Instant);
    let asks: [(Ask, Option<Event>); 3] = [
        (|client, now| client.probe(now), Some(Event::Lost)),
        (|client, now| client.permit(now, peer().ip()), Some(Event::PeerRefused(peer().ip()))),
        (|client, now| client.bind(now, peer()), None),
    ];
    for (ask, expected) in asks {
        for number in [400, 403, 500] {
            let mut script = Script::allocated();
            let begin = script.now;
            ask(&mut script.client, begin);
            for round in 0..3 {
                assert!(!script.client.transactions.is_empty(), "{number}: {round}");
                let request = script.next_request().expect("repeated");
                script.refuse(&request, ErrorCode::new(number).unwrap());
                if round < 2 {
                    assert_eq!(script.client.poll_event(), None, "{number}: {round}");
                    script.now = script.client.transactions[0].next;
                    script.client.handle_timeout(script.now);
                }
            }
            assert_eq!(script.client.poll_event(), expected, "{number}");
            assert!(script.client.transactions.is_empty(), "{number}");
            assert!(script.now - begin < Duration::from_secs(2), "{:?}", script.now - begin);
        }
    }
}

#[test]
fn unsigned_errors_on_a_stream_are_the_servers() {
    let mut script = Script::allocated_with(Config { stream: true, ..Config::default() });
    script.client.probe(script.now);
    let request = script.next_request().unwrap();
    script.refuse(&request, ErrorCode::ALLOCATION_MISMATCH);
    assert_eq!(script.client.poll_event(), Some(Event::Lost));
}

#[test]
fn unsigned_error_to_a_release_ends_it() {
    let mut script = Script::allocated();
    script.client.release(script.now);
    let request = script.next_request().unwrap();
    script.refuse(&request, ErrorCode::ALLOCATION_MISMATCH);
    assert!(script.client.is_ended());
    assert_eq!(script.client.poll_event(), None);
}

proptest! {
    /// An error that does not know the transaction id is never taken, in any stage.
    #[test]
    fn errors_of_other_transactions_change_nothing(
        number in 300_u16..700, id in any::<[u8; 12]>(), live: bool,
    ) {
        let mut script = if live {
            let mut script = Script::allocated();
            script.client.probe(script.now);
            script
        } else {
            Script::new(b"example", b"example", b"nonce")
        };
        let request = script.next_request().unwrap();
        let own = request.message().transaction_id();
        prop_assume!(own != TransactionId(id));
        let mut buf = [0; 200];
        let method = request.message().method();
        let mut builder =
            MessageBuilder::new(&mut buf, Class::ErrorResponse, method, TransactionId(id)).unwrap();
        builder.push(&ErrorInfo::from(ErrorCode::new(number).unwrap())).unwrap();
        builder.push(&Software::from("forger")).unwrap();
        let length = builder.finish();
        script.client.handle_message(script.now, &buf[..length]);
        prop_assert_eq!(script.client.poll_event(), None);
        prop_assert_eq!(script.client.transactions.len(), 1);
        prop_assert_eq!(script.client.transactions[0].id, own);
    }
}
