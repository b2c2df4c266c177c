//! Whole messages: what counts and what does not, what is refused, what order is kept.

use columba_stun::attributes::{
    AddressErrorInfo, ErrorInfo, Lifetime, MappedAddress, Nonce, PasswordAlgorithm, PasswordAlgorithms,
    Realm, RequestedTransport, Software, UnknownAttributes, Username, XorMappedAddress, XorPeerAddress,
};
use columba_stun::{
    AttributeError, AttributeType, BuildError, ChannelNumber, Class, EncodeError, ErrorCode,
    FingerprintError, IntegrityError, IntegrityKey, IntegrityKind, Message, MessageBuilder, Method,
    ParseError, TransactionId,
};

const ID: TransactionId = TransactionId(*b"twelve bytes");

fn build(steps: impl FnOnce(&mut MessageBuilder<'_>) -> Result<(), BuildError>) -> Vec<u8> {
    let mut buffer = vec![0xAA; 4096];
    let mut builder = MessageBuilder::new(&mut buffer, Class::Request, Method::ALLOCATE, ID).unwrap();
    steps(&mut builder).unwrap();
    let length = builder.finish();
    buffer.truncate(length);
    buffer
}

/// Appends an attribute behind a finished message, as an attacker on the path could.
fn append(mut datagram: Vec<u8>, ty: AttributeType, value: &[u8]) -> Vec<u8> {
    datagram.extend_from_slice(&ty.number().to_be_bytes());
    datagram.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    datagram.extend_from_slice(value);
    datagram.resize(datagram.len().next_multiple_of(4), 0);
    let length = u16::try_from(datagram.len() - 20).unwrap();
    datagram[2..4].copy_from_slice(&length.to_be_bytes());
    datagram
}

#[test]
fn attributes_behind_integrity_do_not_count() {
    let key = IntegrityKey::short_term("key");
    let honest = build(|builder| builder.push(&Lifetime(600))?.integrity(&key).map(drop));
    let forged = append(honest, AttributeType::USERNAME, b"mallory");
    let forged = append(forged, AttributeType::new(0x7777), b"");
    let message = Message::parse(&forged).unwrap();
    assert_eq!(message.verify_integrity(&key), Ok(()));
    assert_eq!(message.get::<Username<'_>>(), Ok(None));
    assert!(message.unknown_comprehension_required(&[AttributeType::LIFETIME]).is_empty());
    assert_eq!(message.attributes().count(), 2);
}

#[test]
fn sha256_and_fingerprint_may_follow_integrity_in_that_order() {
    let key = IntegrityKey::short_term("key");
    let datagram = build(|builder| {
        builder.push(&Lifetime(600))?.integrity(&key)?.integrity_sha256(&key)?.fingerprint().map(drop)
    });
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.verify_integrity(&key), Ok(()));
    assert_eq!(message.verify_integrity_sha256(&key), Ok(()));
    assert_eq!(message.verify_any_integrity(&key), Ok(IntegrityKind::Sha256));
    assert_eq!(message.verify_fingerprint(), Ok(()));

    let datagram = build(|builder| builder.integrity_sha256(&key).map(drop));
    let forged = append(datagram, AttributeType::MESSAGE_INTEGRITY, &[0; 20]);
    let message = Message::parse(&forged).unwrap();
    assert_eq!(message.verify_integrity(&key), Err(IntegrityError::Missing));
    assert_eq!(message.verify_any_integrity(&key), Ok(IntegrityKind::Sha256));
}

#[test]
fn nothing_follows_a_fingerprint() {
    let key = IntegrityKey::short_term("key");
    let datagram = build(|builder| builder.fingerprint().map(drop));
    let forged = append(datagram, AttributeType::USERNAME, b"mallory");
    let message = Message::parse(&forged).unwrap();
    assert_eq!(message.verify_fingerprint(), Err(FingerprintError::NotLast));
    assert_eq!(message.get::<Username<'_>>(), Ok(None));
    let forged = append(forged, AttributeType::MESSAGE_INTEGRITY, &[0; 20]);
    assert!(!Message::parse(&forged).unwrap().has_integrity());
    assert_eq!(Message::parse(&forged).unwrap().verify_integrity(&key), Err(IntegrityError::Missing));
}

#[test]
fn truncated_sha256_is_taken_down_to_sixteen_bytes() {
    let key = IntegrityKey::short_term("key");
    for length in [16, 20, 24, 28, 32] {
        let datagram = build(|builder| builder.integrity_sha256_truncated(&key, length).map(drop));
        let message = Message::parse(&datagram).unwrap();
        assert_eq!(message.verify_integrity_sha256(&key), Ok(()), "{length}");
    }
    for length in [0, 4, 12, 18, 36] {
        let mut buffer = [0; 128];
        let mut builder = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, ID).unwrap();
        assert_eq!(
            builder.integrity_sha256_truncated(&key, length).map(drop),
            Err(BuildError::IntegrityLength { length })
        );
        let forged = append(build(|_| Ok(())), AttributeType::MESSAGE_INTEGRITY_SHA256, &vec![0; length]);
        let message = Message::parse(&forged).unwrap();
        assert_eq!(message.verify_integrity_sha256(&key), Err(IntegrityError::Malformed), "{length}");
    }
}

#[test]
fn first_duplicate_counts_and_all_can_be_read() {
    let addresses = ["192.0.2.1:1", "192.0.2.2:2"].map(|text| XorPeerAddress(text.parse().unwrap()));
    let datagram =
        build(|builder| builder.push(&addresses[0])?.push(&Lifetime(1))?.push(&addresses[1]).map(drop));
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(addresses[0])));
    let all: Result<Vec<XorPeerAddress>, _> = message.all().collect();
    assert_eq!(all.unwrap(), addresses);
}

#[test]
fn unknown_required_attributes_are_reported_and_can_be_answered() {
    let unknown = AttributeType::new(0x7001);
    let optional = AttributeType::new(0xF001);
    let request = build(|builder| {
        builder.push(&RequestedTransport::UDP)?.push_raw(unknown, b"?")?.push_raw(optional, b"!").map(drop)
    });
    let request = Message::parse(&request).unwrap();
    let found = request.unknown_comprehension_required(&[AttributeType::REQUESTED_TRANSPORT]);
    assert_eq!(found.types(), [unknown]);
    assert_eq!(request.raw(optional).unwrap().value, b"!");

    let mut buffer = [0; 128];
    let mut builder = MessageBuilder::error(&mut buffer, &request, ErrorCode::UNKNOWN_ATTRIBUTE).unwrap();
    let length = builder.push(&found).unwrap().finish();
    let response = Message::parse(&buffer[..length]).unwrap();
    assert_eq!((response.class(), response.method()), (Class::ErrorResponse, Method::ALLOCATE));
    let info = response.get::<ErrorInfo<'_>>().unwrap().unwrap();
    assert_eq!((info.code, &*info.reason), (ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute"));
    assert_eq!(response.get::<UnknownAttributes>().unwrap().unwrap().types(), [unknown]);
}

#[test]
fn a_flood_of_unknown_attributes_gets_a_short_answer() {
    let mut datagram = build(|_| Ok(()));
    for number in 0x1000..0x2000 {
        datagram = append(datagram, AttributeType::new(number), &[]);
    }
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.unknown_comprehension_required(&[]).types().len(), UnknownAttributes::CAPACITY);
}

#[test]
fn malformed_datagrams_are_refused_with_the_place() {
    let good = build(|builder| builder.push(&Software::from("x"))?.push(&Lifetime(1)).map(drop));
    let parse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        change(&mut bad);
        Message::parse(&bad).map(drop).unwrap_err()
    };
    assert_eq!(parse(&|bad| bad.truncate(19)), ParseError::Truncated { length: 19 });
    assert_eq!(parse(&|bad| bad.clear()), ParseError::Truncated { length: 0 });
    assert_eq!(parse(&|bad| bad[0] |= 0x80), ParseError::NotStun { first_byte: 0x80 });
    assert_eq!(parse(&|bad| bad[5] = 0), ParseError::MagicCookie);
    assert_eq!(parse(&|bad| bad[3] += 1), ParseError::Length { declared: 17, actual: 16 });
    assert_eq!(parse(&|bad| bad.push(0)), ParseError::Length { declared: 16, actual: 17 });
    assert_eq!(parse(&|bad| bad.truncate(32)), ParseError::Length { declared: 16, actual: 12 });
    assert_eq!(parse(&|bad| bad[31] = 5), ParseError::Attribute { offset: 28 });
    assert_eq!(parse(&|bad| bad[22] = 0xFF), ParseError::Attribute { offset: 20 });
    let header_cut_short = |bad: &mut Vec<u8>| {
        bad.truncate(20);
        bad.extend_from_slice(&[0x80, 0x22, 0, 0, 0, 0, 0]);
        bad[3] = 7;
    };
    assert_eq!(parse(&header_cut_short), ParseError::Length { declared: 7, actual: 7 });
    assert_eq!(parse(&|bad| bad[31] = 5).offset(), 28);
}

#[test]
fn typed_values_are_checked() {
    let datagram = build(|builder| {
        builder
            .push_raw(AttributeType::USERNAME, b"a\xFF")?
            .push_raw(AttributeType::LIFETIME, &[0; 3])?
            .push_raw(AttributeType::CHANNEL_NUMBER, &[0x80, 0, 0, 0])?
            .push_raw(AttributeType::ERROR_CODE, &[0, 0, 4, 100])?
            .push_raw(AttributeType::REALM, &[b'r'; 764])?
            .push_raw(AttributeType::UNKNOWN_ATTRIBUTES, &[0; 3])
            .map(drop)
    });
    let message = Message::parse(&datagram).unwrap();
    let error = |result: Result<(), AttributeError>| result.unwrap_err();
    assert_eq!(
        error(message.get::<Username<'_>>().map(drop)),
        AttributeError::NotUtf8 { ty: AttributeType::USERNAME, valid_up_to: 1 }
    );
    assert_eq!(
        error(message.get::<Lifetime>().map(drop)),
        AttributeError::Length { ty: AttributeType::LIFETIME, length: 3 }
    );
    assert_eq!(
        error(message.get::<ChannelNumber>().map(drop)),
        AttributeError::Value { ty: AttributeType::CHANNEL_NUMBER, value: 0x8000 }
    );
    assert_eq!(
        error(message.get::<ErrorInfo<'_>>().map(drop)),
        AttributeError::Value { ty: AttributeType::ERROR_CODE, value: 100 }
    );
    assert_eq!(
        error(message.get::<Realm<'_>>().map(drop)),
        AttributeError::Length { ty: AttributeType::REALM, length: 764 }
    );
    assert_eq!(error(message.get::<UnknownAttributes>().map(drop)).ty(), AttributeType::UNKNOWN_ATTRIBUTES);
}

#[test]
fn a_failed_step_leaves_the_message_whole() {
    let mut buffer = [0; 32];
    let mut builder = MessageBuilder::new(&mut buffer, Class::Request, Method::REFRESH, ID).unwrap();
    builder.push(&Lifetime(0)).unwrap();
    assert_eq!(
        builder.push(&Software::from("columba")).map(drop),
        Err(BuildError::BufferTooSmall { needed: 28 + 4 + 8 })
    );
    let too_long = "u".repeat(509);
    assert_eq!(
        builder.push(&Username(&too_long)).map(drop),
        Err(BuildError::Encode(EncodeError::TooLong {
            ty: AttributeType::USERNAME,
            length: 509,
            limit: 508
        }))
    );
    let many_characters = "é".repeat(128);
    assert_eq!(
        builder.push(&Software::from(&*many_characters)).map(drop),
        Err(BuildError::Encode(EncodeError::TooLong {
            ty: AttributeType::SOFTWARE,
            length: 128,
            limit: 127
        }))
    );
    let message = Message::parse(builder.as_bytes()).unwrap();
    assert_eq!(message.attributes().count(), 1);
    assert_eq!(message.get(), Ok(Some(Lifetime(0))));
    assert_eq!(builder.finish(), 28);
    let mut tiny = [0; 19];
    assert_eq!(
        MessageBuilder::new(&mut tiny, Class::Request, Method::REFRESH, ID).map(drop),
        Err(BuildError::BufferTooSmall { needed: 20 })
    );
}

#[test]
fn order_is_kept_when_building() {
    let key = IntegrityKey::short_term("key");
    let mut buffer = [0; 256];
    let mut builder = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, ID).unwrap();
    builder.integrity(&key).unwrap();
    let refused = |result: Result<&mut MessageBuilder<'_>, BuildError>| match result {
        Err(BuildError::Order { refused }) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(builder.push(&Lifetime(1))), AttributeType::LIFETIME);
    assert_eq!(refused(builder.integrity(&key)), AttributeType::MESSAGE_INTEGRITY);
    builder.integrity_sha256(&key).unwrap();
    assert_eq!(refused(builder.integrity_sha256(&key)), AttributeType::MESSAGE_INTEGRITY_SHA256);
    builder.fingerprint().unwrap();
    assert_eq!(refused(builder.fingerprint()), AttributeType::FINGERPRINT);
    assert_eq!(refused(builder.push_raw(AttributeType::DATA, &[])), AttributeType::DATA);
}

#[test]
fn a_message_cannot_outgrow_its_length_field() {
    let mut buffer = vec![0; 0x1_1000];
    let mut builder = MessageBuilder::new(&mut buffer, Class::Indication, Method::SEND, ID).unwrap();
    builder.push_raw(AttributeType::DATA, &[1; 0xFFF8]).unwrap();
    assert_eq!(Message::parse(builder.as_bytes()).unwrap().as_bytes().len(), 0x1_0010);
    assert_eq!(builder.push(&Lifetime(1)).map(drop), Err(BuildError::MessageTooLong { length: 0x1_0018 }));
}

#[test]
fn password_algorithms_are_a_list() {
    let list = PasswordAlgorithms::SUPPORTED;
    let all: Vec<_> = list.iter().collect();
    assert_eq!(all, [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5]);
    let with_parameters = PasswordAlgorithm { number: 9, parameters: b"hello" };
    let datagram = build(|builder| {
        builder.push(&list)?.push(&with_parameters)?.push(&PasswordAlgorithm::SHA256).map(drop)
    });
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(list)));
    assert_eq!(message.get(), Ok(Some(with_parameters)));
    assert!(list.contains(PasswordAlgorithm::MD5));
    assert!(!list.contains(with_parameters));

    let cut =
        build(|builder| builder.push_raw(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 4, 1]).map(drop));
    assert!(Message::parse(&cut).unwrap().get::<PasswordAlgorithms<'_>>().is_err());
}

#[test]
fn keys_of_the_two_password_algorithms_differ() {
    let md5 = IntegrityKey::long_term_md5("user", "realm", "pass").unwrap();
    let sha256 = IntegrityKey::long_term_sha256("user", "realm", "pass").unwrap();
    let datagram = build(|builder| builder.integrity_sha256(&sha256).map(drop));
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.verify_any_integrity(&sha256), Ok(IntegrityKind::Sha256));
    assert_eq!(message.verify_any_integrity(&md5), Err(IntegrityError::Mismatch));
    assert!(IntegrityKey::long_term_md5("user", "realm", "bell\u{7}").is_err());
}

/// RFC 1321's and FIPS 180's digests of "user:realm:pass", from coreutils' md5sum and sha256sum.
#[test]
fn long_term_keys_are_the_digests_of_the_rfc() {
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let md5 = IntegrityKey::from_bytes(&hex("8493fbc53ba582fb4c044c456bdc40eb"));
    let sha256 =
        IntegrityKey::from_bytes(&hex("07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b"));
    let signed = |key: &IntegrityKey| build(|builder| builder.integrity(key).map(drop));
    assert_eq!(signed(&md5), signed(&IntegrityKey::long_term_md5("user", "realm", "pass").unwrap()));
    assert_eq!(signed(&sha256), signed(&IntegrityKey::long_term_sha256("user", "realm", "pass").unwrap()));
}

#[test]
fn keys_of_any_length_work() {
    for password in ["", &"p".repeat(64), &"p".repeat(65), &"p".repeat(1000)] {
        let key = IntegrityKey::short_term(password);
        let datagram = build(|builder| builder.integrity(&key)?.integrity_sha256(&key).map(drop));
        let message = Message::parse(&datagram).unwrap();
        assert_eq!(message.verify_integrity(&key), Ok(()));
        assert_eq!(message.verify_integrity_sha256(&key), Ok(()));
        assert!(message.verify_any_integrity(&IntegrityKey::short_term("q")).is_err());
    }
}

#[test]
fn debug_output_names_attributes_and_hides_values() {
    let datagram = build(|builder| builder.push(&Username("alice"))?.push(&Lifetime(600)).map(drop));
    let text = format!("{:?}", Message::parse(&datagram).unwrap());
    assert_eq!(text, "Allocate Request 7477656c7665206279746573 [USERNAME, LIFETIME]");
}

#[test]
fn padding_is_zero_whatever_the_buffer_held() {
    let datagram =
        build(|builder| builder.push(&Software::from("x"))?.push_raw(AttributeType::DATA, b"yz").map(drop));
    assert_eq!(datagram[24..], [b'x', 0, 0, 0, 0x00, 0x13, 0, 2, b'y', b'z', 0, 0]);
}

/// A Binding request as RFC 3489 has it: no magic cookie, sixteen bytes of transaction id.
fn classic(attributes: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0, 1, 0, u8::try_from(attributes.len()).unwrap(), 0x01, 0xC0, 0x26, 0x5F];
    datagram.extend_from_slice(b"twelve bytes");
    datagram.extend_from_slice(attributes);
    datagram
}

#[test]
fn classic_requests_are_read_on_demand_and_their_whole_id_is_echoed() {
    let datagram = classic(&[0, 3, 0, 4, 0, 0, 0, 0]);
    assert_eq!(Message::parse(&datagram), Err(ParseError::MagicCookie));
    let request = Message::parse_classic(&datagram).unwrap();
    assert!(request.is_classic());
    assert_eq!((request.class(), request.method()), (Class::Request, Method::BINDING));
    assert_eq!(request.transaction_id(), ID);
    assert!(request.has(AttributeType::CHANGE_REQUEST));

    let mut buffer = [0; 128];
    let address = MappedAddress("192.0.2.1:32853".parse().unwrap());
    let length = MessageBuilder::success(&mut buffer, &request).unwrap().push(&address).unwrap().finish();
    assert_eq!(buffer[4..20], datagram[4..20]);
    assert_eq!(buffer[..4], [1, 1, 0, 12]);
    assert_eq!(buffer[20..length], [0, 1, 0, 8, 0, 1, 0x80, 0x55, 192, 0, 2, 1]);
    let length = MessageBuilder::error(&mut buffer, &request, ErrorCode::BAD_REQUEST).unwrap().finish();
    assert_eq!(buffer[4..20], datagram[4..20]);
    assert_eq!(buffer[..2], [1, 0x11]);
    assert!(length > 20);
}

#[test]
fn only_whole_binding_requests_without_cookie_are_classic() {
    let good = classic(&[]);
    assert!(Message::parse_classic(&good).is_ok());
    let with_cookie = build(|_| Ok(()));
    assert_eq!(Message::parse_classic(&with_cookie), Err(ParseError::NotClassic));
    for (index, value) in [(0, 0x40), (0, 1), (1, 0), (1, 3), (1, 0x11), (3, 4), (3, 1)] {
        let mut bad = good.clone();
        bad[index] = value;
        assert_eq!(Message::parse_classic(&bad), Err(ParseError::NotClassic), "byte {index}: {value}");
    }
    for length in 0..20 {
        assert_eq!(Message::parse_classic(&good[..length]), Err(ParseError::NotClassic));
    }
    let cut = classic(&[0, 3, 0, 8, 0, 0, 0, 0]);
    assert_eq!(Message::parse_classic(&cut), Err(ParseError::Attribute { offset: 20 }));
}

#[test]
fn mapped_address_is_read_in_both_forms_and_the_xored_one_is_preferred() {
    let (plain, xored) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
    let mapped = |steps: &dyn Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>| {
        Message::parse(&build(|builder| steps(builder))).unwrap().mapped_address()
    };
    assert_eq!(mapped(&|_| Ok(())), None);
    assert_eq!(mapped(&|builder| builder.push(&MappedAddress(plain)).map(drop)), Some(plain));
    assert_eq!(mapped(&|builder| builder.push(&XorMappedAddress(xored)).map(drop)), Some(xored));
    let both = |builder: &mut MessageBuilder<'_>| {
        builder.push(&MappedAddress(plain))?.push(&XorMappedAddress(xored)).map(drop)
    };
    assert_eq!(mapped(&both), Some(xored));
    let broken = |builder: &mut MessageBuilder<'_>| {
        builder.push_raw(AttributeType::XOR_MAPPED_ADDRESS, &[0, 9])?.push(&MappedAddress(plain)).map(drop)
    };
    assert_eq!(mapped(&broken), Some(plain));
}

#[test]
fn texts_of_any_form_are_readable() {
    let long = [b'x'; 800];
    let cases: [(&[u8], &str); 6] = [
        (b"plain", "plain"),
        (b"ended\0\0", "ended"),
        (b"cut\0here", "cut"),
        (b"M\xFCnchen", "M\u{FFFD}nchen"),
        (b"", ""),
        (&long, &"x".repeat(763)),
    ];
    for (value, expected) in cases {
        let datagram = build(|builder| {
            builder
                .push_raw(AttributeType::SOFTWARE, value)?
                .push_raw(AttributeType::ERROR_CODE, &[&[0, 0, 4, 1], value].concat())?
                .push_raw(AttributeType::ADDRESS_ERROR_CODE, &[&[2, 0, 4, 40], value].concat())
                .map(drop)
        });
        let message = Message::parse(&datagram).unwrap();
        assert_eq!(message.get::<Software<'_>>().unwrap().unwrap().0, expected);
        let info = message.get::<ErrorInfo<'_>>().unwrap().unwrap();
        assert_eq!((info.code, &*info.reason), (ErrorCode::UNAUTHENTICATED, expected));
        let info = message.get::<AddressErrorInfo<'_>>().unwrap().unwrap();
        assert_eq!((info.code, &*info.reason), (ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, expected));
    }
    let datagram = build(|builder| {
        builder
            .push_raw(AttributeType::REALM, b"M\xFCnchen\0")?
            .push_raw(AttributeType::NONCE, b"\0\xFF")?
            .push_raw(AttributeType::USERNAME, b"ada\0")
            .map(drop)
    });
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(Realm(b"M\xFCnchen\0"))));
    assert_eq!(message.get(), Ok(Some(Nonce(b"\0\xFF"))));
    assert_eq!(message.get(), Ok(Some(Username("ada"))));
}

/// RFC 5389 §15.4: "with any quotes and trailing nulls removed, as taken from the REALM attribute".
/// Quotes stay, since RFC 8489 §14.9 has no realm with quotes around it.
#[test]
fn long_term_keys_take_the_realm_up_to_its_first_nul() {
    let signed = |realm: &[u8]| {
        let md5 = IntegrityKey::long_term_md5("user", realm, "pass").unwrap();
        let sha256 = IntegrityKey::long_term_sha256("user", realm, "pass").unwrap();
        build(|builder| builder.integrity(&md5)?.integrity_sha256(&sha256).map(drop))
    };
    assert_eq!(signed(b"realm\0\0"), signed(b"realm"));
    assert_ne!(signed(b"M\xFCnchen"), signed(b"Mnchen"));
    assert_ne!(signed("Ⅸ".as_bytes()), signed(b"IX"), "preparing it is the server's part");
}
