//! Certificates and keys as PEM (RFC 7468), and the end of a certificate's validity.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::time::UnixTime;

/// Characters of Base64 in a line (RFC 7468 §2).
const LINE: usize = 64;

/// Bytes of the longest text that is read: a chain of certificates and a key are far shorter.
const LONGEST: usize = 1 << 20;

/// The ASN.1 tags of the two notations of time (RFC 5280 §4.1.2.5), and of the version.
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// Days of five months in a row from March on: 31, 30, 31, 30, 31.
const MONTHS: u64 = 153;

/// Returns the contents of the first block with this label.
pub(super) fn read(text: &str, label: &str) -> Option<Vec<u8>> {
    let text = Some(text).filter(|text| text.len() <= LONGEST)?;
    let begin = format!("-----BEGIN {label}-----");
    let (_, rest) = text.split_once(&begin)?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// Writes a block.
pub(super) fn write(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, others) = rest.split_at(rest.len().min(LINE));
        text += line;
        text.push('\n');
        rest = others;
    }
    text + &format!("-----END {label}-----\n")
}

/// Returns the end of the validity of a certificate (RFC 5280 §4.1.2.5).
pub(super) fn expiry(der: &[u8]) -> Option<UnixTime> {
    let (_, certificate, _) = element(der)?;
    let (_, to_be_signed, _) = element(certificate)?;
    let (tag, _, after_version) = element(to_be_signed)?;
    // Serial number, algorithm, issuer.
    let mut rest = if tag == VERSION { after_version } else { to_be_signed };
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, end, _) = element(after_begin)?;
    time(tag, std::str::from_utf8(end).ok()?)
}

/// Splits off the first element: its tag, its contents, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &str) -> Option<UnixTime> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |index: usize| rest[2 * index..2 * index + 2].parse::<u64>().ok();
    let (month, day) = (part(0)?, part(1)?);
    let seconds = part(2)? * 3600 + part(3)? * 60 + part(4)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    Some(UnixTime(Duration::from_secs(days * 86_400 + seconds)))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` before.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (MONTHS * month + 2) / 5 + day - 1;
    // The days from 0000-03-01 to 1970-01-01.
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_from_1970() {
        for (text, seconds) in [
            ("19700101000000Z", 0),
            ("20000229123456Z", 951_827_696),
            ("20260923060640Z", 1_790_143_600),
            ("99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(time(GENERALIZED_TIME, text), Some(UnixTime(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!(time(UTC_TIME, "000229123456Z"), time(GENERALIZED_TIME, "20000229123456Z"));
        for wrong in ["", "Z", "20001329123456Z", "20000029123456Z", "2000022912345Z", "20000229123456"] {
            assert_eq!(time(GENERALIZED_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn blocks_are_read_as_they_were_written() {
        let bytes: Vec<u8> = (0..=200).collect();
        let text = write("CERTIFICATE", &bytes);
        assert!(text.lines().all(|line| line.len() <= LINE));
        assert_eq!(read(&text.replace('\n', "\r\n"), "CERTIFICATE").as_ref(), Some(&bytes));
        assert_eq!(read(&text, "PRIVATE KEY"), None);
        assert_eq!(read("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "CERTIFICATE"), None);
        assert_eq!(expiry(&bytes), None);
        assert_eq!(expiry(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
