//! The attributes that tie the description to the keys: DTLS (RFC 8122, RFC 8842), and SDES, which
//! WebRTC refuses.

use std::fmt;

use crate::error::Expected;
use crate::field::{Field, text_attribute};
use crate::scan::{Words, is_token};
use crate::words::{closed_words, open_words};

/// The longest digest that is read, in bytes: twice SHA-512's.
const LONGEST_DIGEST: usize = 128;

/// `a=fingerprint`: the hash of a certificate that the peer's must have (RFC 8122 §5). There may be
/// several.
///
/// ```
/// use columba_sdp::{Lines, attributes::{Fingerprint, HashFunction}};
///
/// let mut lines = Lines::new();
/// lines.add(&Fingerprint { hash: HashFunction::Sha256, digest: vec![0xab; 32] })?;
/// assert!(lines.to_string().starts_with("a=fingerprint:sha-256 AB:AB:"));
/// # Ok::<(), columba_sdp::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The hash function.
    pub hash: HashFunction,
    /// The hash: as many bytes as the function makes.
    pub digest: Vec<u8>,
}

open_words! {
    /// A hash function by its textual name (RFC 8122 §5), read without regard to case.
    HashFunction {
        /// SHA-1: weak; only where there is no other.
        Sha1 = "sha-1",
        /// SHA-224.
        Sha224 = "sha-224",
        /// SHA-256: the common choice.
        Sha256 = "sha-256",
        /// SHA-384.
        Sha384 = "sha-384",
        /// SHA-512.
        Sha512 = "sha-512",
        /// MD5: broken; not to be trusted.
        Md5 = "md5",
        /// MD2: broken; not to be trusted.
        Md2 = "md2",
    }
}

impl HashFunction {
    /// The length of its digests in bytes; `None` if the function is not known.
    pub fn digest_len(&self) -> Option<usize> {
        match self {
            Self::Md2 | Self::Md5 => Some(16),
            Self::Sha1 => Some(20),
            Self::Sha224 => Some(28),
            Self::Sha256 => Some(32),
            Self::Sha384 => Some(48),
            Self::Sha512 => Some(64),
            Self::Other(_) => None,
        }
    }
}

impl Field for Fingerprint {
    const NAMES: &'static [&'static str] = &["fingerprint"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let name = words.word("a hash function")?;
        if !is_token(name) {
            return Err(Expected("a hash function"));
        }
        let hash = HashFunction::from(name);
        let text = words.word("a digest of hexadecimal bytes between colons")?;
        words.end()?;
        let digest =
            hexadecimal(text).ok_or(Expected("a digest of at most 128 hexadecimal bytes between colons"))?;
        match hash.digest_len() {
            Some(len) if len != digest.len() => Err(Expected("a digest of the hash function's length")),
            _ => Ok(Self { hash, digest }),
        }
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} ", self.hash)?;
        for (index, byte) in self.digest.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(out, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.len() > 3 * LONGEST_DIGEST {
        return None;
    }
    let byte = |pair: &str| match pair.as_bytes() {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.split(':').map(byte).collect()
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

closed_words! {
    /// `a=setup`: the side that opens the DTLS connection (RFC 8842 §5.3, RFC 4145 §4).
    Setup, "active, passive, actpass or holdconn" {
        /// This side is the client.
        Active = "active",
        /// This side is the server.
        Passive = "passive",
        /// This side is either; the answerer chooses.
        ActPass = "actpass",
        /// Neither side, for now.
        HoldConn = "holdconn",
    }
}

impl Field for Setup {
    const NAMES: &'static [&'static str] = &["setup"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        value.unwrap_or_default().parse()
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// `a=dtls-groups`: groups of DTLS's key exchange that this side takes at once, by their names in
/// IANA's registry of TLS Supported Groups. No standard has it: Columba's peers tell each other
/// that a ClientHello with a post-quantum key, which needs two datagrams, is welcome. An answer
/// names those of the offer that its side has, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DtlsGroups(pub Vec<String>);

impl DtlsGroups {
    /// X25519 together with ML-KEM-768.
    pub const X25519_MLKEM768: &'static str = "X25519MLKEM768";

    /// Returns whether the group is in the list.
    pub fn contains(&self, group: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(group))
    }
}

impl Field for DtlsGroups {
    const NAMES: &'static [&'static str] = &["dtls-groups"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let words = value.unwrap_or_default().split_ascii_whitespace();
        Ok(Self(words.map(str::to_owned).collect()))
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(&self.0.join(" "))
    }
}

text_attribute!(
    /// `a=tls-id`: a new value asks for a new DTLS association (RFC 8842 §4).
    TlsId,
    "tls-id",
    "20 to 255 letters, digits, +, /, - or _",
    |text| {
        (20..=255).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte))
    }
);

text_attribute!(
    /// `a=crypto`: SRTP keys in the description itself (SDES, RFC 4568). WebRTC must not use it
    /// (RFC 8827 §6.5); kept unread.
    Crypto,
    "crypto",
    "a crypto line",
    |text| !text.is_empty()
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn fingerprints_are_read_in_any_case_and_any_hash() {
        let parse = |text: &str| Fingerprint::parse("", Some(text));
        let print = parse(&format!("SHA-1 {}", ["4a"; 20].join(":"))).unwrap();
        assert_eq!((&print.hash, print.digest.as_slice()), (&HashFunction::Sha1, [0x4a; 20].as_slice()));
        let other = parse("Blake3 00:fF").unwrap();
        assert_eq!(other.hash, HashFunction::Other("Blake3".to_owned()));
        assert_eq!(other.digest, [0, 255]);
        let mut lines = Lines::new();
        lines.add(&print).unwrap();
        lines.add(&other).unwrap();
        assert_eq!(lines.all::<Fingerprint>().map(Result::unwrap).collect::<Vec<_>>(), [print, other]);
    }

    #[test]
    fn broken_fingerprints_are_refused() {
        for bad in ["", "sha-256", "sha-256 AB", "x A:BC", "x ABC", "x AB:", "x +1:22", "x AB CD", "sha-1 :"]
        {
            assert!(Fingerprint::parse("", Some(bad)).is_err(), "{bad}");
        }
        assert!(Fingerprint::parse("", Some(&format!("x {}", ["AA"; 200].join(":")))).is_err());
        let short = Fingerprint { hash: HashFunction::Sha256, digest: vec![1; 20] };
        assert!(Lines::new().add(&short).is_err());
    }

    #[test]
    fn setup_is_one_of_four_words() {
        assert_eq!(Setup::parse("", Some("actpass")), Ok(Setup::ActPass));
        assert!(Setup::parse("", Some("both")).is_err() && Setup::parse("", None).is_err());
        assert!(TlsId::parse("", Some("abc3de65cddef001be82")).is_ok());
        assert!(TlsId::parse("", Some("short")).is_err());
    }
}
