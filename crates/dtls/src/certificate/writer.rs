//! Certificates written in DER (RFC 5280 §4.1).

use std::time::Duration;

use super::der::{
    BIT_STRING, COMMON_NAME, CONTEXT_0, EC_PUBLIC_KEY, ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ED25519,
    GENERALIZED_TIME, INTEGER, NULL, OBJECT_IDENTIFIER, P256, P384, P521, RSA_ENCRYPTION, SEQUENCE, SET,
    SHA256_WITH_RSA, UTC_TIME, UTF8_STRING,
};
use super::key::KeyKind;

/// A telling name would identify the user; some peers refuse an empty one.
const NAME: &[u8] = b"WebRTC";

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Days from 1 March of the year 0 to 1 January 1970, and days of 400 years.
const EPOCH: u64 = 719_468;
const ERA: u64 = 146_097;

/// Writes an element.
pub(super) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend_from_slice(&[0x81, length as u8]),
        _ => out.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(contents);
    out
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// The part of a certificate that is signed. `serial` is positive.
pub(super) fn to_be_signed(
    kind: KeyKind,
    public_key: &[u8],
    serial: &[u8],
    begins: Duration,
    ends: Duration,
) -> Vec<u8> {
    let common_name = sequence(&[&element(OBJECT_IDENTIFIER, COMMON_NAME), &element(UTF8_STRING, NAME)]);
    let name = sequence(&[&element(SET, &common_name)]);
    sequence(&[
        // Version 3.
        &element(CONTEXT_0, &element(INTEGER, &[2])),
        &element(INTEGER, serial),
        &signature_algorithm(kind),
        &name,
        &sequence(&[&time(begins), &time(ends)]),
        &name,
        &public_key_info(kind, public_key),
    ])
}

/// A signed certificate.
pub(super) fn certificate(kind: KeyKind, to_be_signed: &[u8], signature: &[u8]) -> Vec<u8> {
    sequence(&[to_be_signed, &signature_algorithm(kind), &bit_string(signature)])
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

fn signature_algorithm(kind: KeyKind) -> Vec<u8> {
    let null = element(NULL, &[]);
    let (identifier, parameters): (_, &[u8]) = match kind {
        KeyKind::EcdsaP256 => (ECDSA_WITH_SHA256, &[]),
        KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => (ECDSA_WITH_SHA384, &[]),
        KeyKind::Ed25519 => (ED25519, &[]),
        KeyKind::Rsa => (SHA256_WITH_RSA, &null),
    };
    sequence(&[&element(OBJECT_IDENTIFIER, identifier), parameters])
}

fn public_key_info(kind: KeyKind, key: &[u8]) -> Vec<u8> {
    let (identifier, parameters) = match kind {
        KeyKind::EcdsaP256 => (EC_PUBLIC_KEY, element(OBJECT_IDENTIFIER, P256)),
        KeyKind::EcdsaP384 => (EC_PUBLIC_KEY, element(OBJECT_IDENTIFIER, P384)),
        KeyKind::EcdsaP521 => (EC_PUBLIC_KEY, element(OBJECT_IDENTIFIER, P521)),
        KeyKind::Ed25519 => (ED25519, Vec::new()),
        KeyKind::Rsa => (RSA_ENCRYPTION, element(NULL, &[])),
    };
    sequence(&[&sequence(&[&element(OBJECT_IDENTIFIER, identifier), &parameters]), &bit_string(key)])
}

/// A time in the notation that its year needs (RFC 5280 §4.1.2.5).
fn time(since_1970: Duration) -> Vec<u8> {
    let seconds = since_1970.as_secs();
    let (year, month, day) = date(seconds / DAY);
    let seconds = seconds % DAY;
    let rest = format!("{month:02}{day:02}{:02}{:02}{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match year {
        1970..2050 => element(UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes()),
        _ => element(GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes()),
    }
}

/// Year, month and day of a day since 1 January 1970, counted in years that begin in March.
fn date(day: u64) -> (u64, u64, u64) {
    let day = day + EPOCH;
    let (era, day) = (day / ERA, day % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let text = |seconds| String::from_utf8(time(Duration::from_secs(seconds))[2..].to_vec()).unwrap();
        assert_eq!(text(0), "700101000000Z");
        assert_eq!(text(951_782_400), "000229000000Z");
        assert_eq!(text(1_790_000_000), "260921141320Z");
        assert_eq!(text(2_524_607_999), "491231235959Z");
        assert_eq!(text(2_524_608_000), "20500101000000Z");
        assert_eq!(text(4_107_542_400), "21000301000000Z");
    }

    #[test]
    fn lengths_are_as_short_as_can_be() {
        assert_eq!(element(4, &[1]), [4, 1, 1]);
        assert_eq!(element(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }
}
