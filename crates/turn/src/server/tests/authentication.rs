//! Authentication: RFC 8489 §9.2, time-limited users.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use columba_stun::attributes::*;
use columba_stun::{Class, MessageBuilder, Method};

use super::super::*;
use super::harness::*;

#[test]
fn a_binding_is_answered_over_every_transport() {
    let mut lab = Lab::new(config());
    let over = |t| Client::new("9.0.0.1:5000").over(t, 3);
    for mut client in [Client::new("[2a01::9]:5000"), over(Transport::Tcp), over(Transport::Tls)] {
        let answer = client.request(&mut lab, Method::BINDING, &|_| Ok(()));
        assert_eq!(answer.code, 0);
        assert_eq!(answer.get(), Some(XorMappedAddress(client.tuple.client())));
        assert!(!answer.bytes.windows(7).any(|w| w == b"columba"), "no SOFTWARE");
    }
    assert_eq!(lab.server.stats().binding_requests, 3);
    assert_eq!(lab.server.stats().successes, 3);
}

#[test]
fn an_ipv4_client_on_a_dual_stack_socket_is_ipv4() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("[::ffff:9.0.0.1]:5000");
    let answer = client.request(&mut lab, Method::BINDING, &|_| Ok(()));
    assert_eq!(answer.get(), Some(XorMappedAddress(addr("9.0.0.1:5000"))));
}

#[test]
fn binding_with_an_unknown_attribute_gets_420() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let answer = client.request(&mut lab, Method::BINDING, &|b| {
        b.push_raw(columba_stun::AttributeType::new(0x7abc), &[1])?;
        b.push_raw(columba_stun::AttributeType::new(0xfabc), &[1])?;
        Ok(())
    });
    assert_eq!(answer.code, 420);
    let unknown = answer.get::<UnknownAttributes>().unwrap();
    assert_eq!(unknown.types(), [columba_stun::AttributeType::new(0x7abc)]);
}

#[test]
fn fingerprints_are_mirrored() {
    let mut lab = Lab::new(config());
    let client = Client::new("9.0.0.1:5000");
    let mut buf = [0; 100];
    let mut builder =
        MessageBuilder::new(&mut buf, Class::Request, Method::BINDING, columba_stun::TransactionId([1; 12]))
            .unwrap();
    let len = builder.fingerprint().unwrap().finish();
    let answers = lab.deliver(client.tuple, &buf[..len]);
    assert_eq!(columba_stun::Message::parse(&answers[0]).unwrap().verify_fingerprint(), Ok(()));
    buf[len - 1] ^= 1;
    assert!(lab.deliver(client.tuple, &buf[..len]).is_empty());
    assert_eq!(lab.server.stats().dropped(DropReason::Malformed), 1);
}

#[test]
fn the_first_request_is_challenged_and_nothing_is_remembered() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    let message = client.build(Method::ALLOCATE, &|b| b.push(&RequestedTransport::UDP).map(|_| ()));
    let answer = client.exchange(&mut lab, &message);
    assert_eq!(answer.code, 401);
    assert_eq!(answer.get(), Some(Realm(b"columba")));
    assert_eq!(answer.get(), Some(PasswordAlgorithms::SUPPORTED));
    assert!(answer.get::<Nonce<'_>>().is_some());
    let stats = lab.server.stats();
    assert_eq!((stats.relays_live, stats.allocations_live, stats.error(401)), (0, 0, 1));
    assert_eq!(lab.server.table.len() + lab.server.deadlines.len(), 0);
    assert_eq!(lab.server.credentials.len() + lab.server.addresses.len(), 0);
}

#[test]
fn every_turn_request_without_credentials_gets_401() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    for method in [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        let message = client.build(method, &|_| Ok(()));
        assert_eq!(client.exchange(&mut lab, &message).code, 401);
    }
}

#[test]
fn both_password_algorithms_lead_to_an_allocation() {
    for sha256 in [false, true] {
        let mut lab = Lab::new(config());
        let mut client = Client::new("9.0.0.1:5000");
        client.sha256 = sha256;
        assert_eq!(client.allocate(&mut lab).code, 0);
        assert_eq!(lab.server.stats().allocations_live, 1);
    }
}

#[test]
fn the_sha1_key_serves_with_sha256_integrity() {
    // What a client does that knows MESSAGE-INTEGRITY-SHA256 and no PASSWORD-ALGORITHM.
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    let mut buf = [0; 500];
    let transaction = client.next_transaction();
    let mut builder = MessageBuilder::new(&mut buf, Class::Request, Method::REFRESH, transaction).unwrap();
    builder.push(&Username(&client.username)).unwrap();
    builder.push(&Realm(&client.realm)).unwrap();
    builder.push(&Nonce(&client.nonce)).unwrap();
    let len = builder.integrity_sha256(&client.key()).unwrap().finish();
    let answer = client.exchange(&mut lab, &buf[..len]);
    assert_eq!(answer.code, 0);
    let message = columba_stun::Message::parse(&answer.bytes).unwrap();
    assert_eq!(message.verify_integrity_sha256(&client.key()), Ok(()));
}

#[test]
fn shortened_list_of_algorithms_is_detected() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    let md5_only: &[u8] = &[0, 1, 0, 0];
    let offers: [(Option<&[u8]>, Option<PasswordAlgorithm<'static>>); 5] = [
        (Some(md5_only), Some(PasswordAlgorithm::MD5)),
        (None, Some(PasswordAlgorithm::MD5)),
        (Some(md5_only), None),
        (Some(&[0, 2, 0, 0, 0, 1, 0, 0]), None),
        (Some(&[0, 2, 0, 0, 0, 1, 0, 0]), Some(PasswordAlgorithm { number: 3, parameters: &[] })),
    ];
    for (offer, choice) in offers {
        let answer = client.request(&mut lab, Method::REFRESH, &move |b| {
            if let Some(offer) = offer {
                b.push_raw(columba_stun::AttributeType::PASSWORD_ALGORITHMS, offer)?;
            }
            if let Some(choice) = choice {
                b.push(&choice)?;
            }
            Ok(())
        });
        assert_eq!(answer.code, 400, "{offer:?} {choice:?}");
    }
}

#[test]
fn wrong_credentials_get_401() {
    let mut lab = Lab::new(config());
    let wrong: [fn(&mut Client); 5] = [
        |c| c.password.push('x'),
        |c| c.username.push('x'),
        |c| c.username = "ada".into(),
        |c| c.username = "99999999999:ada".into(),
        |c| c.realm = "elsewhere".into(),
    ];
    for (i, spoil) in wrong.into_iter().enumerate() {
        let mut client = Client::new(&format!("9.0.{i}.1:5000"));
        let challenge = client.build(Method::ALLOCATE, &|_| Ok(()));
        let challenge = client.exchange(&mut lab, &challenge);
        client.learn(&challenge);
        spoil(&mut client);
        let message = client.build(Method::ALLOCATE, &|b| b.push(&RequestedTransport::UDP).map(|_| ()));
        let answer = client.exchange(&mut lab, &message);
        assert_eq!(answer.code, 401, "case {i}");
        assert!(answer.get::<Nonce<'_>>().is_some());
    }
    assert_eq!(lab.server.stats().allocations_live, 0);
}

#[test]
fn integrity_without_the_rest_gets_400() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    for leave_out in 0..3 {
        let mut buf = [0; 500];
        let transaction = client.next_transaction();
        let mut b = MessageBuilder::new(&mut buf, Class::Request, Method::REFRESH, transaction).unwrap();
        if leave_out != 0 {
            b.push(&Username(&client.username)).unwrap();
        }
        if leave_out != 1 {
            b.push(&Realm(&client.realm)).unwrap();
        }
        if leave_out != 2 {
            b.push(&Nonce(&client.nonce)).unwrap();
        }
        let len = b.integrity(&client.key()).unwrap().finish();
        let answer = client.exchange(&mut lab, &buf[..len]);
        assert_eq!(answer.code, 400);
        assert_eq!(answer.get::<Nonce<'_>>(), None);
    }
}

#[test]
fn userhash_is_neither_offered_nor_understood() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    let announced = columba_stun::SecurityFeatures::of_nonce(&client.nonce).unwrap();
    assert!(!announced.contains(columba_stun::SecurityFeatures::USERNAME_ANONYMITY));
    let answer = client.request(&mut lab, Method::REFRESH, &|b| b.push(&UserHash([1; 32])).map(|_| ()));
    assert_eq!(answer.code, 420);
}

#[test]
fn a_stale_nonce_gets_438_with_a_fresh_one() {
    let mut lab = Lab::new(Config { nonce_lifetime: Duration::from_secs(100), ..config() });
    let mut client = Client::new("9.0.0.1:5000");
    client.allocate(&mut lab);
    let old = client.nonce.clone();
    lab.advance(Duration::from_secs(100));
    let message = client.build(Method::REFRESH, &|_| Ok(()));
    let answer = client.exchange(&mut lab, &message);
    assert_eq!(answer.code, 438);
    client.learn(&answer);
    assert_ne!(client.nonce, old);
    assert_eq!(client.refresh(&mut lab, 600).code, 0);

    // Another client's nonce is no better.
    let mut other = Client::new("9.0.0.1:5001");
    (other.nonce, other.realm) = (client.nonce.clone(), client.realm.clone());
    let message = other.build(Method::ALLOCATE, &|b| b.push(&RequestedTransport::UDP).map(|_| ()));
    assert_eq!(other.exchange(&mut lab, &message).code, 438);
}

#[test]
fn an_expired_credential_opens_nothing_but_keeps_what_it_opened() {
    let grace = Duration::from_secs(1000);
    let mut lab = Lab::new(Config { expired_grace: grace, ..config() });
    let mut client = Client::new("9.0.0.1:5000");
    let short = Credentials::mint(SECRET, WALL, Duration::from_secs(60), "ada");
    (client.username, client.password) = (short.username, short.password);
    assert_eq!(client.allocate(&mut lab).code, 0);

    lab.advance(Duration::from_secs(61));
    let mut other = Client { tuple: Client::new("9.0.0.1:5001").tuple, ..client.clone() };
    assert_eq!(other.allocate(&mut lab).code, 401);
    assert_eq!(other.refresh(&mut lab, 600).code, 401, "no allocation there to keep");
    assert_eq!(client.refresh(&mut lab, 3600).code, 0);
    assert_eq!(client.permit(&mut lab, &["8.8.8.8:1"]), 0);

    lab.advance(grace);
    assert_eq!(client.refresh(&mut lab, 600).code, 401, "the grace is over");
}

/// The wall clock is wrong at the start and put right later: new credentials are judged by what it
/// shows now, in both directions.
#[test]
fn new_credentials_are_judged_by_the_clock_as_it_is_now() {
    for (wrong_by, minted, code) in [
        // Thirteen hours ahead at the start: credentials made after the correction are good.
        (13 * 3600, 0, 0),
        // Thirty days behind at the start: what expired two hours ago is refused.
        (-30 * 86_400, -2 * 3600 - 60, 401),
    ] {
        let mut lab = Lab::new(config());
        let moved = |by: i64| UnixTime(Duration::from_secs(WALL.0.as_secs().checked_add_signed(by).unwrap()));
        lab.server.set_wall_time(lab.now, moved(wrong_by));
        lab.advance(Duration::from_secs(60));
        lab.server.set_wall_time(lab.now, moved(60));
        let mut client = Client::new("9.0.0.1:5000");
        let made = Credentials::mint(SECRET, moved(minted + 60), Duration::from_secs(60), "ada");
        (client.username, client.password) = (made.username, made.password);
        assert_eq!(client.allocate(&mut lab).code, code, "{wrong_by}");
    }
}

#[test]
fn a_step_of_the_clock_changes_nothing_for_live_allocations() {
    let day = 86_400;
    for step in [3 * day, 300 * day, -3 * day, -300 * day] {
        let grace = Duration::from_secs(1000);
        let mut lab = Lab::new(Config { expired_grace: grace, ..config() });
        let mut client = Client::new("9.0.0.1:5000");
        let short = Credentials::mint(SECRET, WALL, Duration::from_secs(60), "ada");
        (client.username, client.password) = (short.username, short.password);
        assert_eq!(client.allocate(&mut lab).code, 0);
        let stepped = WALL.0.as_secs().checked_add_signed(step).unwrap();
        lab.server.set_wall_time(lab.now, UnixTime(Duration::from_secs(stepped)));
        for _ in 0..3 {
            lab.advance(Duration::from_secs(300));
            assert_eq!(client.refresh(&mut lab, 600).code, 0, "{step}");
            assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:1"), 0, "{step}");
        }
        let up = channel_data(0x4000, b"x");
        assert!(matches!(lab.data(client.tuple, &up), Routed::ToPeer { .. }), "{step}");
        lab.advance(Duration::from_secs(161));
        assert_eq!(client.refresh(&mut lab, 600).code, 401, "{step}: the grace is over");
    }
}

#[test]
fn owner_decides_who_gets_another_allocation() {
    let present = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&present);
    let admission = Admission::new(move |username| {
        assert!(username.ends_with(":ada"), "{username}");
        asked.load(Ordering::Relaxed)
    });
    let mut lab = Lab::new(Config { admission, ..config() });
    let mut client = Client::new("9.0.0.1:5000");
    let allocate = client.allocate(&mut lab);
    assert_eq!(allocate.code, 0);

    present.store(false, Ordering::Relaxed);
    let mut other = Client { tuple: Client::new("9.0.0.1:5001").tuple, ..client.clone() };
    assert_eq!(other.allocate(&mut lab).code, 401);
    // What it has stays.
    assert_eq!(client.refresh(&mut lab, 3600).code, 0);
    assert_eq!(client.permit(&mut lab, &["8.8.8.8:1"]), 0);
    assert_eq!(lab.server.stats().allocations_live, 1);
}

#[test]
fn secrets_can_be_rotated() {
    let mut lab = Lab::new(Config { secrets: vec![b"south".to_vec(), SECRET.to_vec()], ..config() });
    let mut old = Client::new("9.0.0.1:5000");
    assert_eq!(old.allocate(&mut lab).code, 0);
    let mut new = Client::new("9.0.0.1:5001");
    let minted = Credentials::mint(b"south", WALL, Duration::from_secs(60), "");
    (new.username, new.password) = (minted.username, minted.password);
    assert_eq!(new.allocate(&mut lab).code, 0);
    lab.server.set_secrets(vec![b"south".to_vec()]);
    assert_eq!(new.refresh(&mut lab, 600).code, 0);
    assert_eq!(old.refresh(&mut lab, 600).code, 401);
}

#[test]
fn without_a_secret_no_client_gets_in() {
    let mut lab = Lab::new(Config { secrets: Vec::new(), ..config() });
    let mut client = Client::new("9.0.0.1:5000");
    client.password = String::new();
    assert_eq!(client.allocate(&mut lab).code, 401);
}

#[test]
fn only_the_owner_may_change_an_allocation() {
    let mut lab = Lab::new(config());
    let mut ada = Client::new("9.0.0.1:5000");
    ada.allocate(&mut lab);
    let mut eve = Client { ..Client::named("9.0.0.1:5000", "eve") };
    assert_eq!(eve.refresh(&mut lab, 0).code, 441);
    assert_eq!(eve.permit(&mut lab, &["8.8.8.8:1"]), 441);
    assert_eq!(eve.bind(&mut lab, 0x4000, "8.8.8.8:1"), 441);
    assert_eq!(eve.allocate(&mut lab).code, 437);
    assert_eq!(lab.server.stats().allocations_live, 1);
}

/// Clients that prepare a realm by SASLprep and clients that take it as it comes make the same key.
#[test]
fn realm_is_sent_as_it_is_prepared() {
    for (realm, sent) in [("Ⅸ", "IX"), ("bell\u{7}", "bell\u{7}"), (" a ", " a "), ("München", "München")]
    {
        let mut lab = Lab::new(Config { realm: realm.into(), ..config() });
        let mut client = Client::new("9.0.0.1:5000");
        assert_eq!(client.allocate(&mut lab).code, 0, "{realm}");
        assert_eq!(client.realm, sent.as_bytes());
    }
}
