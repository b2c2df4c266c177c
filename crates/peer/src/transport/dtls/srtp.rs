//! The keys of SRTP that a handshake yields (RFC 5764).

use std::fmt;

/// The protection profile of SRTP that a handshake has negotiated (RFC 5764 §4.1.2, RFC 7714
/// §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SrtpProfile {
    /// AES-128 in counter mode with an 80-bit tag of HMAC-SHA1.
    Aes128CmSha1_80,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
}

impl SrtpProfile {
    /// The name in IANA's registry, which the W3C's `srtpCipher` has, too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }
}

/// The master keys and salts of both directions. Secret.
pub(crate) struct SrtpKeys {
    profile: SrtpProfile,
    pub(crate) local: MasterKey,
    pub(crate) remote: MasterKey,
}

/// The key with which one side's packets are protected.
pub(crate) struct MasterKey {
    pub(crate) key: Box<[u8]>,
    pub(crate) salt: Box<[u8]>,
}

impl SrtpKeys {
    /// Takes over what a handshake has yielded. `None` if the profile is not known here.
    pub(super) fn new(keys: &columba_dtls::SrtpKeys) -> Option<Self> {
        let profile = match keys.profile {
            columba_dtls::SrtpProfile::Aes128CmSha1_80 => SrtpProfile::Aes128CmSha1_80,
            columba_dtls::SrtpProfile::AeadAes128Gcm => SrtpProfile::AeadAes128Gcm,
            columba_dtls::SrtpProfile::AeadAes256Gcm => SrtpProfile::AeadAes256Gcm,
            _ => return None,
        };
        let side = |key: &columba_dtls::MasterKey| MasterKey {
            key: key.key.as_slice().into(),
            salt: key.salt.as_slice().into(),
        };
        Some(Self { profile, local: side(&keys.local), remote: side(&keys.remote) })
    }

    pub(crate) fn profile(&self) -> SrtpProfile {
        self.profile
    }
}

/// Debug output must not give the keys away.
impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}
