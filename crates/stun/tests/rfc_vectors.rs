//! The published test vectors: RFC 5769, and RFC 8489 appendix B.

use columba_stun::attributes::{
    IceControlled, Nonce, PasswordAlgorithm, Priority, Realm, Software, UserHash, Username, XorMappedAddress,
};
use columba_stun::{
    AttributeType, Class, FingerprintError, IntegrityError, IntegrityKey, IntegrityKind, Message,
    MessageBuilder, Method, SecurityFeatures, TransactionId,
};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const ID: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
const LONG_TERM_ID: TransactionId =
    TransactionId([0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e]);
const LONG_TERM_USERNAME: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
/// As typed: SASLprep makes "TheMatrIX" of it.
const LONG_TERM_PASSWORD: &str = "The\u{AD}M\u{AA}tr\u{2168}";
const REALM: &str = "example.org";

/// RFC 5769 §2.1; its padding bytes are spaces.
const REQUEST: &str = "
    00010058 2112a442 b7e7a701 bc34d686 fa87dfae
    80220010 5354554e 20746573 7420636c 69656e74
    00240004 6e0001ff
    80290008 932ff9b1 51263b36
    00060009 6576746a 3a683676 59202020
    00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
    80280004 e57a3bcf";

/// RFC 5769 §2.2; its padding byte is a space.
const IPV4_RESPONSE: &str = "
    0101003c 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200008 0001a147 e112a643
    00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
    80280004 c07d4c96";

/// RFC 5769 §2.3; its padding byte is a space.
const IPV6_RESPONSE: &str = "
    01010048 2112a442 b7e7a701 bc34d686 fa87dfae
    8022000b 74657374 20766563 746f7220
    00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
    00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
    80280004 c8fb0b4c";

/// RFC 5769 §2.4; its padding bytes are zero.
const LONG_TERM_REQUEST: &str = "
    00010060 2112a442 78ad3433 c6ad72c0 29da412e
    00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000
    0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
    0014000b 6578616d 706c652e 6f726700
    00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";

/// RFC 8489 §B.1 as corrected by erratum 6268 (the RFC prints a wrong length and forgot
/// PASSWORD-ALGORITHM); its padding bytes are zero.
const SHA256_REQUEST: &str = "
    00010090 2112a442 78ad3433 c6ad72c0 29da412e
    001e0020 4a3cf38f ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704
    00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39
             46535476 79363473 41000000
    0014000b 6578616d 706c652e 6f726700
    001d0004 00020000
    001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c c6518e65";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Integrity and fingerprint hold, and stop holding when any bit that they cover is flipped.
fn assert_covered(datagram: &[u8], key: &IntegrityKey) {
    let message = Message::parse(datagram).unwrap();
    let kind = message.verify_any_integrity(key).unwrap();
    let fingerprint = message.verify_fingerprint();
    let end = match kind {
        IntegrityKind::Sha1 => message.raw(AttributeType::MESSAGE_INTEGRITY),
        IntegrityKind::Sha256 => message.raw(AttributeType::MESSAGE_INTEGRITY_SHA256),
    };
    let end = end.map(|attribute| attribute.offset + 4 + attribute.value.len()).unwrap();
    for bit in 0..end * 8 {
        let mut flipped = datagram.to_vec();
        flipped[bit / 8] ^= 0x80 >> (bit % 8);
        let Ok(message) = Message::parse(&flipped) else { continue };
        assert!(message.verify_any_integrity(key).is_err(), "bit {bit}");
        if fingerprint.is_ok() {
            assert_ne!(message.verify_fingerprint(), Ok(()), "bit {bit}");
        }
    }
    assert_eq!(
        message.verify_any_integrity(&IntegrityKey::short_term("wrong")),
        Err(IntegrityError::Mismatch)
    );
}

#[test]
fn sample_request() {
    let datagram = bytes(REQUEST);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.transaction_id(), ID);
    assert_eq!(message.get(), Ok(Some(Software::from("STUN test client"))));
    assert_eq!(message.get(), Ok(Some(Priority(0x6e00_01ff))));
    assert_eq!(message.get(), Ok(Some(IceControlled(0x932f_f9b1_5126_3b36))));
    assert_eq!(message.get(), Ok(Some(Username("evtj:h6vY"))));
    assert_eq!(message.verify_integrity(&IntegrityKey::short_term(PASSWORD)), Ok(()));
    assert_eq!(message.verify_fingerprint(), Ok(()));
    assert_covered(&datagram, &IntegrityKey::short_term(PASSWORD));
}

#[test]
fn sample_responses() {
    for (hex, address) in
        [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let datagram = bytes(hex);
        let message = Message::parse(&datagram).unwrap();
        assert_eq!((message.class(), message.method()), (Class::SuccessResponse, Method::BINDING));
        assert_eq!(message.transaction_id(), ID);
        assert_eq!(message.get(), Ok(Some(Software::from("test vector"))));
        assert_eq!(message.get(), Ok(Some(XorMappedAddress(address.parse().unwrap()))));
        assert_eq!(message.verify_integrity(&IntegrityKey::short_term(PASSWORD)), Ok(()));
        assert_eq!(message.verify_fingerprint(), Ok(()));
        assert_covered(&datagram, &IntegrityKey::short_term(PASSWORD));
    }
}

#[test]
fn long_term_request() {
    let datagram = bytes(LONG_TERM_REQUEST);
    let key = IntegrityKey::long_term_md5(LONG_TERM_USERNAME, REALM, LONG_TERM_PASSWORD).unwrap();
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(Username(LONG_TERM_USERNAME))));
    assert_eq!(message.get(), Ok(Some(Nonce(b"f//499k954d6OL34oL9FSTvy64sA"))));
    assert_eq!(message.get(), Ok(Some(Realm(REALM.as_bytes()))));
    assert_eq!(message.verify_integrity(&key), Ok(()));
    assert_eq!(message.verify_integrity_sha256(&key), Err(IntegrityError::Missing));
    assert_eq!(message.verify_fingerprint(), Err(FingerprintError::Missing));
    assert_covered(&datagram, &key);

    let mut buffer = [0; 128];
    let length = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, LONG_TERM_ID)
        .unwrap()
        .push(&Username(LONG_TERM_USERNAME))
        .unwrap()
        .push(&Nonce(b"f//499k954d6OL34oL9FSTvy64sA"))
        .unwrap()
        .push(&Realm(REALM.as_bytes()))
        .unwrap()
        .integrity(&key)
        .unwrap()
        .finish();
    assert_eq!(buffer[..length], datagram);
}

#[test]
fn request_with_sha256_and_user_hash() {
    let datagram = bytes(SHA256_REQUEST);
    let key = IntegrityKey::long_term_sha256(LONG_TERM_USERNAME, REALM, LONG_TERM_PASSWORD).unwrap();
    let nonce = "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";
    let user_hash = UserHash::of(LONG_TERM_USERNAME, REALM).unwrap();
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(message.get(), Ok(Some(user_hash)));
    assert_eq!(message.get(), Ok(Some(Nonce(nonce.as_bytes()))));
    assert_eq!(message.get(), Ok(Some(Realm(REALM.as_bytes()))));
    assert_eq!(message.verify_integrity_sha256(&key), Ok(()));
    assert_eq!(message.get(), Ok(Some(PasswordAlgorithm::SHA256)));
    assert_eq!(SecurityFeatures::of_nonce(nonce), Some(SecurityFeatures::from_bits(2)));
    assert_covered(&datagram, &key);

    let mut buffer = [0; 256];
    let length = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, LONG_TERM_ID)
        .unwrap()
        .push(&user_hash)
        .unwrap()
        .push(&Nonce(nonce.as_bytes()))
        .unwrap()
        .push(&Realm(REALM.as_bytes()))
        .unwrap()
        .push(&PasswordAlgorithm::SHA256)
        .unwrap()
        .integrity_sha256(&key)
        .unwrap()
        .finish();
    assert_eq!(buffer[..length], datagram);
}
