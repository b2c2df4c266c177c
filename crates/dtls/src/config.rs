//! The parameters of an association.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::certificate::Certificate;
use crate::crypto::group::Group;
use crate::crypto::suite::CipherSuite;
use crate::message::SMALLEST_LIMIT;
use crate::record::MAX_PLAINTEXT;
use crate::srtp::SrtpProfile;

/// The smallest datagram that a handshake fits into, in bytes: what every path of IPv4 carries (576
/// bytes), less headers.
pub const SMALLEST_DATAGRAM: usize = 508;

/// The limit of a record's size that takes whatever a record holds: see
/// [`Config::record_size_limit`].
pub const ANY_RECORD: u16 = u16::MAX;

/// A side in the handshake: the W3C's `RTCDtlsRole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}

impl Role {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// DTLS 1.2 (RFC 6347).
    Dtls12,
    /// DTLS 1.3 (RFC 9147).
    Dtls13,
}

impl Version {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dtls12 => "DTLS 1.2",
            Self::Dtls13 => "DTLS 1.3",
        }
    }

    /// The limit of a record's size (RFC 8449) that all its records keep to.
    pub(crate) const fn largest_record(self) -> u16 {
        match self {
            Self::Dtls12 => MAX_PLAINTEXT as u16,
            Self::Dtls13 => MAX_PLAINTEXT as u16 + 1,
        }
    }

    /// Its number on the wire.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Dtls12 => 0xFEFD,
            Self::Dtls13 => 0xFEFC,
        }
    }
}

/// The versions that are offered or taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Versions {
    /// The newest that both sides have.
    #[default]
    Both,
    /// DTLS 1.2 only.
    Only12,
    /// DTLS 1.3 only.
    Only13,
}

impl Versions {
    pub(crate) const fn contains(self, version: Version) -> bool {
        match version {
            Version::Dtls12 => !matches!(self, Self::Only13),
            Version::Dtls13 => !matches!(self, Self::Only12),
        }
    }
}

/// A receiver of the secrets of an association, in lines of the format of `SSLKEYLOGFILE` (RFC
/// 9850). With them everything can be decrypted: for the search for faults only.
pub trait KeyLog: fmt::Debug + Send + Sync {
    /// Takes a line, without its end.
    fn log(&self, line: &str);
}

/// The parameters of associations. Associations share one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The own certificate.
    pub certificate: Certificate,
    /// The versions; both by default.
    pub versions: Versions,
    /// The groups for the key exchange, the preferred first: X25519, P-256 and P-384 by default.
    /// With [`Group::X25519MlKem768`] the ClientHello does not fit into one datagram.
    pub groups: Vec<Group>,
    /// The cipher suites, the preferred first; all by default.
    pub cipher_suites: Vec<CipherSuite>,
    /// The protection profiles for SRTP, the preferred first (RFC 5764); all by default, with AES
    /// in Galois/counter mode first. With none `use_srtp` is not negotiated.
    pub srtp_profiles: Vec<SrtpProfile>,
    /// The application protocols, the preferred first (RFC 7301), such as `webrtc` and `c-webrtc`
    /// (RFC 8833); none by default, and then ALPN is not negotiated.
    pub alpn: Vec<Vec<u8>>,
    /// True if the association does not come about unless both sides agree on one of `alpn`. False
    /// by default: others than ours may have no ALPN.
    pub alpn_is_required: bool,
    /// Bytes of the largest datagram of a handshake; 1,200 by default, at least
    /// [`SMALLEST_DATAGRAM`].
    pub datagram_size: usize,
    /// Bytes that the other side may put into a record (RFC 8449), in DTLS 1.3 with one for the
    /// type of its content: at least 64, and at most what a record holds. Default
    /// [`ANY_RECORD`], so that the other side can have a limit. With `None` a client does not offer
    /// to negotiate it; a server answers always.
    pub record_size_limit: Option<u16>,
    /// The time after which a flight is sent again for the first time; a second by default, as RFC
    /// 6347 §4.2.4.1 has it. Three round trips are a good choice where they are known.
    pub first_timeout: Duration,
    /// The time in which the handshake has to be complete; 30 seconds by default.
    pub handshake_timeout: Duration,
    /// Writes down the secrets of the association. Dangerous; never by default.
    pub key_log: Option<Arc<dyn KeyLog>>,
}

impl Config {
    /// Returns the default parameters with this certificate.
    #[must_use]
    pub fn new(certificate: Certificate) -> Self {
        Self {
            certificate,
            versions: Versions::Both,
            groups: vec![Group::X25519, Group::Secp256r1, Group::Secp384r1],
            cipher_suites: CipherSuite::ALL.to_vec(),
            srtp_profiles: SrtpProfile::ALL.to_vec(),
            alpn: Vec::new(),
            alpn_is_required: false,
            datagram_size: 1200,
            record_size_limit: Some(ANY_RECORD),
            first_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(30),
            key_log: None,
        }
    }

    /// The size of a handshake's datagrams.
    pub(crate) fn datagram_size(&self) -> usize {
        self.datagram_size.max(SMALLEST_DATAGRAM)
    }

    /// The limit of a record's size that is told to the other side (RFC 8449 §4).
    pub(crate) fn record_limit(&self, newest: Version) -> u16 {
        self.record_size_limit.unwrap_or(ANY_RECORD).clamp(SMALLEST_LIMIT, newest.largest_record())
    }

    /// The groups that a version has.
    pub(crate) fn groups_of(&self, version: Version) -> impl Iterator<Item = Group> {
        let is_13 = version == Version::Dtls13;
        self.groups.iter().copied().filter(move |group| is_13 || group.is_in_dtls12())
    }

    /// Returns true if a version is offered or taken: there must be a cipher suite for it.
    pub(crate) fn has(&self, version: Version) -> bool {
        self.versions.contains(version) && self.cipher_suites.iter().any(|suite| suite.version() == version)
    }

    /// The cipher suites that are offered or taken.
    pub(crate) fn suites(&self) -> impl Iterator<Item = CipherSuite> {
        self.cipher_suites.iter().copied().filter(|suite| self.versions.contains(suite.version()))
    }
}
