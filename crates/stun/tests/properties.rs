//! Properties of every message: parse ∘ build is the identity, and integrity covers every bit that
//! it should.

use std::net::{IpAddr, SocketAddr};

use columba_stun::attributes::*;
use columba_stun::{
    AddressFamily, Attribute, AttributeType, BuildError, ChannelData, ChannelNumber, Class, ErrorCode,
    IntegrityKey, Message, MessageBuilder, Method, TransactionId, canonical, canonical_ip,
};
use proptest::prelude::*;

fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(vec![
        Class::Request,
        Class::Indication,
        Class::SuccessResponse,
        Class::ErrorResponse,
    ])
}

fn transaction() -> impl Strategy<Value = TransactionId> {
    any::<[u8; 12]>().prop_map(TransactionId)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
        any::<([u8; 16], u16)>().prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| {
            SocketAddr::new(IpAddr::from(std::net::Ipv4Addr::from(ip).to_ipv6_mapped()), port)
        }),
    ]
}

fn error_code() -> impl Strategy<Value = ErrorCode> {
    (300_u16..700).prop_map(|number| ErrorCode::new(number).unwrap())
}

/// Attributes of any type but those that close a message.
fn raw_attributes() -> impl Strategy<Value = Vec<(AttributeType, Vec<u8>)>> {
    let ty = any::<u16>().prop_map(AttributeType::new).prop_filter("closing", |ty| {
        ![
            AttributeType::MESSAGE_INTEGRITY,
            AttributeType::MESSAGE_INTEGRITY_SHA256,
            AttributeType::FINGERPRINT,
        ]
        .contains(ty)
    });
    prop::collection::vec((ty, prop::collection::vec(any::<u8>(), 0..40)), 0..12)
}

/// Builds a message of one attribute and lets `check` see it decoded again.
fn round_trip<'a, A: Attribute<'a>>(
    attribute: &A,
    transaction: TransactionId,
    buffer: &'a mut [u8],
) -> Result<Option<A>, TestCaseError> {
    let mut builder = MessageBuilder::new(buffer, Class::Request, Method::ALLOCATE, transaction)
        .expect("room for a header");
    builder.push(attribute).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let length = builder.finish();
    let message =
        Message::parse(&buffer[..length]).map_err(|error| TestCaseError::fail(error.to_string()))?;
    message.get::<A>().map_err(|error| TestCaseError::fail(error.to_string()))
}

macro_rules! assert_round_trip {
    ($transaction:expr, $attribute:expr) => {{
        let attribute = $attribute;
        let mut buffer = [0; 2048];
        prop_assert_eq!(round_trip(&attribute, $transaction, &mut buffer)?, Some(attribute));
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn headers_and_raw_attributes_survive(
        class in class(), method in 0_u16..0x1000, id in transaction(), attributes in raw_attributes(),
    ) {
        let method = Method::new(method);
        let mut buffer = [0xEE; 1024];
        let mut builder = MessageBuilder::new(&mut buffer, class, method, id).unwrap();
        for (ty, value) in &attributes {
            builder.push_raw(*ty, value).unwrap();
        }
        let message = Message::parse(builder.as_bytes()).unwrap();
        prop_assert_eq!((message.class(), message.method(), message.transaction_id()), (class, method, id));
        let found: Vec<_> = message.attributes().map(|found| (found.ty, found.value.to_vec())).collect();
        prop_assert_eq!(found, attributes);
    }

    #[test]
    fn addresses_survive_in_their_canonical_form(id in transaction(), address in address()) {
        let mut buffer = [0; 64];
        let expected = canonical(address);
        prop_assert_eq!(expected.ip(), canonical_ip(address.ip()));
        let found = round_trip(&XorPeerAddress(address), id, &mut buffer)?;
        prop_assert_eq!(found, Some(XorPeerAddress(expected)));
        let found = round_trip(&AlternateServer(address), id, &mut buffer)?;
        prop_assert_eq!(found, Some(AlternateServer(expected)));
        assert_round_trip!(id, XorMappedAddress(expected));
        assert_round_trip!(id, XorRelayedAddress(expected));
        assert_round_trip!(id, MappedAddress(expected));
        assert_round_trip!(id, ResponseOrigin(expected));
        assert_round_trip!(id, OtherAddress(expected));
    }

    #[test]
    fn numbers_and_flags_survive(
        id in transaction(), byte: u8, short: u16, word: u32, long: u64, flags: (bool, bool),
        channel in 0x4000_u16..=0x7fff, ty in 0_u8..0x80, code in 0_u16..0x200, token: [u8; 8], hash: [u8; 32],
    ) {
        assert_round_trip!(id, ChannelNumber::new(channel).unwrap());
        assert_round_trip!(id, Lifetime(word));
        assert_round_trip!(id, Priority(word));
        assert_round_trip!(id, ConnectionId(word));
        assert_round_trip!(id, IceControlled(long));
        assert_round_trip!(id, IceControlling(long));
        assert_round_trip!(id, UseCandidate);
        assert_round_trip!(id, DontFragment);
        assert_round_trip!(id, EvenPort { reserve_next: flags.0 });
        assert_round_trip!(id, ChangeRequest { change_ip: flags.0, change_port: flags.1 });
        assert_round_trip!(id, ResponsePort(short));
        assert_round_trip!(id, RequestedTransport(byte));
        assert_round_trip!(id, RequestedAddressFamily(byte));
        assert_round_trip!(id, AdditionalAddressFamily::from(AddressFamily::Ipv6));
        assert_round_trip!(id, ReservationToken(token));
        assert_round_trip!(id, UserHash(hash));
        assert_round_trip!(id, Icmp { ty, code, data: word });
        assert_round_trip!(id, PasswordAlgorithm { number: short, parameters: &token[..usize::from(byte % 9)] });
    }

    #[test]
    fn texts_and_bytes_survive(
        id in transaction(), text in "\\PC{0,127}", bytes in prop::collection::vec(any::<u8>(), 0..1500),
        code in error_code(), types in prop::collection::hash_set(any::<u16>(), 0..=UnknownAttributes::CAPACITY),
    ) {
        assert_round_trip!(id, Username(&text));
        assert_round_trip!(id, Realm(text.as_bytes()));
        assert_round_trip!(id, Nonce(text.as_bytes()));
        assert_round_trip!(id, Software::from(&*text));
        if text.len() <= 255 {
            assert_round_trip!(id, AlternateDomain(&text));
        }
        assert_round_trip!(id, ErrorInfo { code, reason: text.as_str().into() });
        assert_round_trip!(id, AddressErrorInfo { family: AddressFamily::Ipv4, code, reason: text.as_str().into() });
        assert_round_trip!(id, Data(&bytes));
        assert_round_trip!(id, Padding(&bytes));
        assert_round_trip!(id, MobilityTicket(&bytes));
        assert_round_trip!(id, types.into_iter().map(AttributeType::new).collect::<UnknownAttributes>());
    }

    #[test]
    fn integrity_covers_every_bit(
        id in transaction(), attributes in raw_attributes(), password in "[ -~]{1,40}", bit: prop::sample::Index,
    ) {
        let key = IntegrityKey::short_term(&password);
        let mut buffer = [0; 1024];
        let mut builder = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, id).unwrap();
        for (ty, value) in &attributes {
            builder.push_raw(*ty, value).unwrap();
        }
        builder.integrity(&key).unwrap().integrity_sha256(&key).unwrap().fingerprint().unwrap();
        let length = builder.finish();
        let message = Message::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(message.verify_integrity(&key), Ok(()));
        prop_assert_eq!(message.verify_integrity_sha256(&key), Ok(()));
        prop_assert_eq!(message.verify_fingerprint(), Ok(()));
        prop_assert!(message.verify_integrity(&IntegrityKey::short_term("other password")).is_err());

        let sha256_end = length - 8;
        let bit = bit.index(length * 8);
        buffer[bit / 8] ^= 0x80 >> (bit % 8);
        if let Ok(message) = Message::parse(&buffer[..length]) {
            prop_assert!(message.verify_fingerprint().is_err());
            if bit / 8 < sha256_end {
                prop_assert!(message.verify_integrity_sha256(&key).is_err());
            }
            if bit / 8 < sha256_end - 36 {
                prop_assert!(message.verify_integrity(&key).is_err());
            }
        }
    }

    /// The error for a buffer that is too small has the needed size, and that size suffices.
    #[test]
    fn too_small_buffer_gets_the_needed_size(id in transaction(), size in 20_usize..140, text in "[a-z]{0,40}") {
        let key = IntegrityKey::short_term("key");
        let attempt = |buffer: &mut [u8]| -> Result<usize, BuildError> {
            Ok(MessageBuilder::new(buffer, Class::Request, Method::BINDING, id)?
                .push(&Username(&text))?
                .integrity(&key)?
                .fingerprint()?
                .finish())
        };
        let mut buffer = vec![0; size];
        let mut tries = 0;
        loop {
            match attempt(&mut buffer) {
                Ok(length) => {
                    prop_assert!(Message::parse(&buffer[..length]).unwrap().verify_integrity(&key).is_ok());
                    break;
                }
                Err(BuildError::BufferTooSmall { needed }) => {
                    prop_assert!(needed > buffer.len() && tries < 3);
                    buffer.resize(needed, 0);
                    tries += 1;
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
    }

    #[test]
    fn channel_data_survives(channel in 0x4000_u16..=0x7fff, data in prop::collection::vec(any::<u8>(), 0..1500)) {
        let channel = ChannelNumber::new(channel).unwrap();
        let mut wire = ChannelData::header(channel, data.len()).unwrap().to_vec();
        wire.extend_from_slice(&data);
        prop_assert_eq!(ChannelData::parse(&wire), Ok(ChannelData { channel, data: &data }));
        wire.resize(wire.len() + ChannelData::padding(data.len()), 0);
        prop_assert!(wire.len().is_multiple_of(4));
        prop_assert_eq!(ChannelData::parse(&wire), Ok(ChannelData { channel, data: &data }));
    }
}
