//! The keys of SRTP that a handshake yields (RFC 5764).

use std::fmt;

use super::DtlsRole;

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
    /// Bytes of a master key and of a master salt (RFC 5764 §4.1.2, RFC 7714 §12).
    pub(super) const fn lengths(self) -> (usize, usize) {
        match self {
            Self::Aes128CmSha1_80 => (16, 14),
            Self::AeadAes128Gcm => (16, 12),
            Self::AeadAes256Gcm => (32, 12),
        }
    }

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
    /// Takes the exported keying material apart: the client's key, the server's, the client's salt,
    /// the server's (RFC 5764 §4.2). `None` if the length does not fit the profile.
    pub(super) fn new(profile: SrtpProfile, material: &[u8], role: DtlsRole) -> Option<Self> {
        let (key, salt) = profile.lengths();
        if material.len() != 2 * (key + salt) {
            return None;
        }
        let (keys, salts) = material.split_at(2 * key);
        let side = |index: usize| MasterKey {
            key: keys[index * key..(index + 1) * key].into(),
            salt: salts[index * salt..(index + 1) * salt].into(),
        };
        let (client, server) = (side(0), side(1));
        let (local, remote) = match role {
            DtlsRole::Client => (client, server),
            DtlsRole::Server => (server, client),
        };
        Some(Self { profile, local, remote })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_is_cut_in_the_order_of_rfc_5764() {
        let material: Vec<u8> = (0..60).collect();
        let keys = SrtpKeys::new(SrtpProfile::Aes128CmSha1_80, &material, DtlsRole::Server).unwrap();
        assert_eq!(*keys.remote.key, *(0..16).collect::<Vec<u8>>());
        assert_eq!(*keys.local.key, *(16..32).collect::<Vec<u8>>());
        assert_eq!(*keys.remote.salt, *(32..46).collect::<Vec<u8>>());
        assert_eq!(*keys.local.salt, *(46..60).collect::<Vec<u8>>());
        assert!(SrtpKeys::new(SrtpProfile::AeadAes256Gcm, &material, DtlsRole::Client).is_none());
        let debug = format!("{keys:?}");
        assert_eq!(debug, "SrtpKeys { profile: Aes128CmSha1_80, .. }");
    }
}
