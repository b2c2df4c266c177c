//! Hostile input: floods, noise, damage.

use columba_stun::Method;
use columba_stun::attributes::RequestedTransport;
use proptest::prelude::*;

use super::super::*;
use super::harness::*;

/// Sends `message` from addresses of one /24, as an attacker does who forges the source; bytes in,
/// bytes out.
fn flood(lab: &mut Lab, message: &[u8], per_second: u64, seconds: u64) -> (usize, usize) {
    let (mut bytes_in, mut bytes_out) = (0, 0);
    for i in 0..per_second * seconds {
        let client = SocketAddr::from(([9, 0, 0, i as u8], 1024 + (i % 60_000) as u16));
        let tuple = FiveTuple::udp(addr("5.0.0.1:3478"), client);
        bytes_in += message.len();
        bytes_out += lab.deliver(tuple, message).iter().map(Vec::len).sum::<usize>();
        lab.advance(Duration::from_secs(1) / per_second as u32);
    }
    (bytes_in, bytes_out)
}

#[test]
fn a_flood_from_a_forged_source_is_not_amplified() {
    let mut client = Client::new("9.0.0.1:5000");
    let allocate = client.build(Method::ALLOCATE, &|b| b.push(&RequestedTransport::UDP).map(|_| ()));
    let binding = client.build(Method::BINDING, &|_| Ok(()));
    let unknown = client
        .build(Method::BINDING, &|b| b.push_raw(columba_stun::AttributeType::new(0x7000), &[]).map(|_| ()));
    (client.nonce, client.realm) = ("made up".into(), "columba".into());
    let stale = client.build(Method::REFRESH, &|_| Ok(()));
    let classic = b"\x00\x01\x00\x00\x01\xC0\x26\x5Ftwelve bytes".to_vec();
    for message in [allocate, binding, unknown, stale, classic] {
        for per_second in [100, 5000] {
            let mut lab = Lab::new(config());
            let (bytes_in, bytes_out) = flood(&mut lab, &message, per_second, 20);
            assert!(bytes_out < bytes_in, "{bytes_in} in, {bytes_out} out at {per_second}/s");
            assert!(bytes_out > 0);
            let stats = lab.server.stats();
            assert!(stats.answers_withheld > 0);
            assert_eq!(stats.control_bytes_out, bytes_out as u64);
            assert_eq!((lab.server.table.len(), lab.server.deadlines.len()), (0, 0));
        }
    }
}

#[test]
fn flood_does_not_lock_out_clients_with_a_credential() {
    let mut lab = Lab::new(config());
    let mut ada = Client::new("9.0.0.1:5000");
    ada.allocate(&mut lab);
    let message = Client::new("9.0.0.1:5000")
        .build(Method::ALLOCATE, &|b| b.push(&RequestedTransport::UDP).map(|_| ()));
    flood(&mut lab, &message, 2000, 2);
    assert_eq!(ada.refresh(&mut lab, 600).code, 0, "whose nonce is good is answered");
    let mut elsewhere = Client::named("9.0.1.1:5000", "bob");
    assert_eq!(elsewhere.allocate(&mut lab).code, 0, "another prefix is not disturbed");
}

#[test]
fn streams_are_not_limited() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000").over(Transport::Tcp, 1);
    for _ in 0..1000 {
        let message = client.build(Method::BINDING, &|_| Ok(()));
        assert_eq!(client.exchange(&mut lab, &message).code, 0);
    }
}

#[test]
fn noise_is_dropped_and_counted() {
    let mut lab = Lab::new(config());
    let tuple = Client::new("9.0.0.1:5000").tuple;
    for noise in
        [&b""[..], b"\x00", b"GET / HTTP/1.1\r\n\r\n", &[0x80; 200], &[0x41, 0, 0xff, 0xff], &[0; 20]]
    {
        assert_eq!(lab.data(tuple, noise), Routed::Drop(DropReason::Malformed));
    }
    // What is not even a message on a stream ends the stream.
    let stream = Client::new("9.0.0.1:5000").over(Transport::Tcp, 4).tuple;
    lab.server.handle_input(lab.now, Input::Message { tuple: stream, data: b"GET / HTTP/1.1\r\n\r\n" });
    lab.drain();
    assert_eq!(lab.closed, [stream]);
    assert!(lab.sent.is_empty());
}

#[test]
fn responses_and_unknown_methods_are_not_answered() {
    let mut lab = Lab::new(config());
    let tuple = Client::new("9.0.0.1:5000").tuple;
    for first in [[1, 1], [1, 0x11], [0, 0x17], [0, 2], [0x3e, 0xef]] {
        let mut message = vec![first[0], first[1], 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend_from_slice(&[1; 12]);
        assert!(lab.deliver(tuple, &message).is_empty(), "{first:?}");
    }
    assert_eq!(lab.server.stats().dropped(DropReason::Unexpected), 5);
    let mut keepalive = vec![0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    keepalive.extend_from_slice(&[1; 12]);
    assert!(lab.deliver(tuple, &keepalive).is_empty());
    assert_eq!(lab.server.stats().dropped(DropReason::Unexpected), 5, "a keepalive is no fault");
}

#[test]
fn a_damaged_request_changes_nothing() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000").over(Transport::Tls, 1);
    client.allocate(&mut lab);
    let good = client.build(Method::REFRESH, &|b| b.push(&columba_stun::attributes::Lifetime(0)).map(|_| ()));
    for bit in 0..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        for bytes in lab.deliver(client.tuple, &damaged) {
            assert_ne!(Answer::of(bytes).code, 0, "bit {bit}");
        }
        assert_eq!(lab.server.stats().allocations_live, 1, "bit {bit}");
    }
    for cut in 0..good.len() {
        assert!(lab.deliver(client.tuple, &good[..cut]).is_empty(), "{cut} bytes");
    }
    assert_eq!(client.exchange(&mut lab, &good).code, 0);
    assert_eq!(lab.server.stats().allocations_live, 0);
}

#[test]
fn unfetched_answers_are_bounded() {
    let mut lab = Lab::new(config());
    let mut client = Client::new("9.0.0.1:5000").over(Transport::Tcp, 1);
    let message = client.build(Method::BINDING, &|_| Ok(()));
    for _ in 0..10_000 {
        lab.server.handle_input(lab.now, Input::Message { tuple: client.tuple, data: &message });
        lab.server.handle_input(lab.now, Input::Message { tuple: client.tuple, data: b"noise" });
    }
    assert!(lab.server.outbox.len() <= 4096 && lab.server.events.len() <= MAX_EVENTS);
    assert!(lab.server.stats().dropped(DropReason::Backlog) > 5000);
}

/// Anything that a source might send.
#[derive(Debug, Clone)]
enum Step {
    Noise(Vec<u8>),
    /// A well-formed request with odd attributes, authenticated or not.
    Request {
        method: u16,
        attributes: Vec<(u16, Vec<u8>)>,
        authentic: bool,
    },
    Data(u16, Vec<u8>),
    Send(u8, Vec<u8>),
    FromPeer(u8, Vec<u8>),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let attribute = prop_oneof![
        Just((0x19, vec![17, 0, 0, 0])),
        Just((0x18, vec![0x80])),
        Just((0x12, vec![0, 1, 0x21, 0x13, 0x29, 0x1a, 0xac, 0x4a])),
        Just((0x8000, vec![2, 0, 0, 0])),
        any::<u32>().prop_map(|s| (0x0d, s.to_be_bytes().to_vec())),
        (0x4000..0x4010_u16).prop_map(|c| (0x0c, vec![(c >> 8) as u8, c as u8, 0, 0])),
        (prop_oneof![0..0x30_u16, 0x8000..0x8010_u16], bytes()),
    ];
    let method = prop_oneof![Just(1), Just(3), Just(4), Just(8), Just(9), 0..0x1000_u16];
    prop_oneof![
        bytes().prop_map(Step::Noise),
        (method, prop::collection::vec(attribute, 0..5), prop::bool::weighted(0.8))
            .prop_map(|(method, attributes, authentic)| Step::Request { method, attributes, authentic }),
        (0x4000..0x4010_u16, bytes()).prop_map(|(c, data)| Step::Data(c, data)),
        (any::<u8>(), bytes()).prop_map(|(p, data)| Step::Send(p, data)),
        (any::<u8>(), bytes()).prop_map(|(p, data)| Step::FromPeer(p, data)),
        any::<u16>().prop_map(Step::Wait),
    ]
}

fn play(lab: &mut Lab, client: &mut Client, step: Step) {
    match step {
        Step::Noise(bytes) => drop(lab.deliver(client.tuple, &bytes)),
        Step::Request { method, attributes, authentic } => {
            let fill: &Fill<'_> = &|b| {
                attributes.iter().try_for_each(|(ty, value)| {
                    b.push_raw(columba_stun::AttributeType::new(*ty), value).map(|_| ())
                })
            };
            let nonce = if authentic { client.nonce.clone() } else { Vec::new() };
            let mut asking = Client { nonce, ..client.clone() };
            let message = asking.build(Method::new(method), fill);
            client.transaction = asking.transaction;
            for bytes in lab.deliver(client.tuple, &message) {
                let answer = Answer::of(bytes);
                if matches!(answer.code, 401 | 438) {
                    client.learn(&answer);
                }
            }
        }
        Step::Data(channel, data) => drop(lab.data(client.tuple, &channel_data(channel, &data))),
        Step::Send(last, data) => {
            let send = client.send(&format!("8.8.8.{last}:8"), &data);
            drop(lab.data(client.tuple, &send));
        }
        Step::FromPeer(last, data) => {
            for number in 0..4 {
                drop(lab.peer_sends(RelayId(number), SocketAddr::from(([8, 8, 8, last], 8)), &data));
            }
        }
        Step::Wait(ms) => lab.advance(Duration::from_millis(u64::from(ms) * 20)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_input_panics_and_nothing_outlives_its_deadline(
        steps in prop::collection::vec(step(), 0..60),
        stream in any::<bool>(),
    ) {
        let mut lab = Lab::new(config());
        let mut client = Client::new("9.0.0.1:5000");
        if stream {
            client = client.over(Transport::Tcp, 1);
        }
        for step in steps {
            play(&mut lab, &mut client, step);
            let server = &lab.server;
            prop_assert!(server.table.len() <= 1 && server.relays.len() <= 24);
            prop_assert!(server.deadlines.len() <= 2 + server.reservations.len());
        }
        lab.advance(Duration::from_secs(4000));
        let server = &lab.server;
        prop_assert_eq!(server.table.len() + server.relays.len() + server.by_address.len(), 0);
        prop_assert_eq!(server.deadlines.len() + server.reservations.len() + server.withdrawn, 0);
        prop_assert_eq!(server.credentials.open_of(&client.username.as_str().into()), 0);
        prop_assert_eq!(server.stats().allocations_live, 0);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lab = Lab::new(config());
        let tuple = Client::new("9.0.0.1:5000").tuple;
        lab.deliver(tuple, &bytes);
        lab.server.handle_input(lab.now, Input::Message { tuple, data: &bytes });
    }
}
