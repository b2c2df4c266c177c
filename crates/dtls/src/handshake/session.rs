//! The outcome of a handshake.

use crate::config::Version;
use crate::crypto::group::Group;
use crate::crypto::prf::Master;
use crate::crypto::schedule;
use crate::crypto::secret::Secret;
use crate::crypto::suite::{CipherSuite, SuiteHash};
use crate::error::Fault;
use crate::srtp::SrtpProfile;

/// The remains of a handshake.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) version: Version,
    pub(crate) suite: CipherSuite,
    pub(crate) group: Group,
    pub(crate) peer_certificate: Vec<u8>,
    pub(crate) srtp: Option<SrtpProfile>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) extended_master_secret: bool,
    pub(crate) exporter: Exporter,
    /// The secrets of keys that can be updated: those of DTLS 1.3.
    pub(crate) traffic: Option<Traffic>,
}

/// A source of keying material for other protocols.
#[derive(Debug)]
pub(crate) enum Exporter {
    Dtls12(Master),
    Dtls13 { hash: SuiteHash, secret: Secret },
}

/// The traffic secrets of both directions.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) local: Secret,
    pub(crate) local_epoch: u64,
    pub(crate) remote: Secret,
    pub(crate) remote_epoch: u64,
}

impl Exporter {
    /// Exports keying material (RFC 5705, RFC 8446 §7.5).
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), Fault> {
        match self {
            Self::Dtls12(master) => master.export(label, context, out),
            Self::Dtls13 { hash, secret } => {
                schedule::export(*hash, secret, label, context.unwrap_or_default(), out)
            }
        }
    }
}
