//! Protection profiles of SRTP and their keys (RFC 5764).

use std::fmt;

use zeroize::Zeroizing;

use crate::config::Role;

/// The label of the exporter (RFC 5764 §4.2).
pub(crate) const LABEL: &[u8] = b"EXTRACTOR-dtls_srtp";

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
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
    /// All profiles, in the order of preference.
    pub const ALL: [Self; 3] = [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::Aes128CmSha1_80];

    /// Returns its number in IANA's registry.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Aes128CmSha1_80 => 1,
            Self::AeadAes128Gcm => 7,
            Self::AeadAes256Gcm => 8,
        }
    }

    /// Returns the name in IANA's registry, which the W3C's `srtpCipher` has, too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }

    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.number() == number)
    }

    /// Bytes of a master key and of a master salt (RFC 5764 §4.1.2, RFC 7714 §12).
    pub(crate) const fn lengths(self) -> (usize, usize) {
        match self {
            Self::Aes128CmSha1_80 => (16, 14),
            Self::AeadAes128Gcm => (16, 12),
            Self::AeadAes256Gcm => (32, 12),
        }
    }
}

/// The master keys and salts of both directions. Secret.
pub struct SrtpKeys {
    /// The profile.
    pub profile: SrtpProfile,
    /// The key with which this side protects its packets.
    pub local: MasterKey,
    /// The other side's.
    pub remote: MasterKey,
}

/// The key with which one side's packets are protected. Secret; erased when dropped.
pub struct MasterKey {
    /// The master key.
    pub key: Zeroizing<Vec<u8>>,
    /// The master salt.
    pub salt: Zeroizing<Vec<u8>>,
}

impl SrtpKeys {
    /// Takes the exported material apart: the client's key, the server's, the client's salt, the
    /// server's (RFC 5764 §4.2). `None` if the length does not fit the profile.
    pub(crate) fn new(profile: SrtpProfile, material: &[u8], role: Role) -> Option<Self> {
        let (key, salt) = profile.lengths();
        if material.len() != 2 * (key + salt) {
            return None;
        }
        let (keys, salts) = material.split_at(2 * key);
        let side = |index: usize| MasterKey {
            key: Zeroizing::new(keys[index * key..][..key].to_vec()),
            salt: Zeroizing::new(salts[index * salt..][..salt].to_vec()),
        };
        let (local, remote) = match role {
            Role::Client => (side(0), side(1)),
            Role::Server => (side(1), side(0)),
        };
        Some(Self { profile, local, remote })
    }
}

/// Debug output must not give the keys away.
impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_is_cut_in_the_order_of_rfc_5764() {
        let material: Vec<u8> = (0..60).collect();
        let keys = SrtpKeys::new(SrtpProfile::Aes128CmSha1_80, &material, Role::Server).unwrap();
        assert_eq!(keys.remote.key[..], material[..16]);
        assert_eq!(keys.local.key[..], material[16..32]);
        assert_eq!(keys.remote.salt[..], material[32..46]);
        assert_eq!(keys.local.salt[..], material[46..]);
        assert!(SrtpKeys::new(SrtpProfile::AeadAes256Gcm, &material, Role::Client).is_none());
        assert_eq!(format!("{keys:?}"), "SrtpKeys { profile: Aes128CmSha1_80, .. }");
        assert_eq!(format!("{:?}", keys.local), "MasterKey");
    }
}
