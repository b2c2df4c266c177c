//! Profiles, master keys, and the session keys derived from them (RFC 3711 §4.3).

use std::fmt;

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::SrtpError;

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// AES-128 in counter mode with an 80-bit tag of HMAC-SHA1.
    Aes128CmSha1_80,
    /// The same with a 32-bit tag on RTP, and an 80-bit tag on RTCP.
    Aes128CmSha1_32,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
}

impl Profile {
    /// Returns the bytes of a master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Returns the bytes of a master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Returns the bytes that are added to an RTP packet.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 10,
            Self::Aes128CmSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Returns the bytes that are added to an RTCP packet.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        super::SRTCP_INDEX_LEN
            + match self {
                Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 10,
                Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "SRTP_AES128_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        })
    }
}

/// The master key and salt of one direction. Secret.
#[derive(Clone)]
pub struct MasterKey {
    pub(super) profile: Profile,
    key: [u8; 32],
    /// Padded with zeros to the length of the derivation's input (RFC 7714 §11).
    salt: [u8; 14],
}

impl MasterKey {
    /// Returns a master key.
    ///
    /// # Errors
    ///
    /// A length is not that of the profile.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            let (key, salt) = (profile.key_len(), profile.salt_len());
            return Err(SrtpError::KeyLength { profile, key, salt });
        }
        let mut master = Self { profile, key: [0; 32], salt: [0; 14] };
        master.key[..key.len()].copy_from_slice(key);
        master.salt[..salt.len()].copy_from_slice(salt);
        Ok(master)
    }

    /// Fills `out` with the session key of a label (RFC 3711 §4.3.1, with a derivation rate of 0).
    pub(super) fn derive(&self, label: u8, out: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[7] ^= label;
        out.fill(0);
        let key = counter_mode(&self.key[..self.profile.key_len()]);
        apply_counter_mode(&key, iv, out);
    }
}

/// Debug output must not give the key away.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Sets AES in counter mode up for a key of 16 or 32 bytes.
pub(super) fn counter_mode(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, key).expect("the length is the algorithm's");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}

/// Encrypts or decrypts in counter mode, in place.
pub(super) fn apply_counter_mode(key: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(data, context).expect("the context is counter mode's");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3711 appendix B.3.
    #[test]
    fn session_keys_are_those_of_the_rfc() {
        let key = 0xE1F97A0D3E018BE0D64FA32C06DE4139_u128.to_be_bytes();
        let salt = &0x0EC675AD498AFEEBB6960B3AABE6_u128.to_be_bytes()[2..];
        let master = MasterKey::new(Profile::Aes128CmSha1_80, &key, salt).unwrap();
        let (mut cipher, mut salt, mut auth) = ([0; 16], [0; 14], [0; 20]);
        master.derive(0, &mut cipher);
        master.derive(2, &mut salt);
        master.derive(1, &mut auth);
        assert_eq!(cipher, 0xC61E7A93744F39EE10734AFE3FF7A087_u128.to_be_bytes());
        assert_eq!(salt[..], 0x30CBBC08863D8C85D49DB34A9AE1_u128.to_be_bytes()[2..]);
        assert_eq!(auth[..16], 0xCEBE321F6FF7716B6FD4AB49AF256A15_u128.to_be_bytes());
    }

    /// RFC 3711 appendix B.2.
    #[test]
    fn key_stream_is_that_of_the_rfc() {
        let key = counter_mode(&0x2B7E151628AED2A6ABF7158809CF4F3C_u128.to_be_bytes());
        let mut stream = vec![0; 0xFF03 * 16];
        apply_counter_mode(&key, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFD0000_u128.to_be_bytes(), &mut stream);
        assert_eq!(stream[..16], 0xE03EAD0935C95E80E166B16DD92B4EB4_u128.to_be_bytes());
        assert_eq!(stream[16..32], 0xD23513162B02D0F72A43A2FE4A5F97AB_u128.to_be_bytes());
        let at = 0xFEFF * 16;
        assert_eq!(stream[at..at + 16], 0xEC8CDF7398607CB0F2D21675EA9EA1E4_u128.to_be_bytes());
        assert_eq!(stream[at + 16..at + 32], 0x362B7C3C6773516318A077D7FC5073AE_u128.to_be_bytes());
        assert_eq!(stream[at + 32..at + 48], 0x6A2CC3787889374FBEB4C81B17BA6C44_u128.to_be_bytes());
    }

    #[test]
    fn lengths_are_checked_and_keys_not_shown() {
        for profile in [Profile::Aes128CmSha1_80, Profile::AeadAes256Gcm] {
            let (key, salt) = (vec![7; profile.key_len()], vec![7; profile.salt_len()]);
            let master = MasterKey::new(profile, &key, &salt).unwrap();
            assert!(!format!("{master:?}").contains('7'));
            assert!(MasterKey::new(profile, &key[1..], &salt).is_err());
            assert!(MasterKey::new(profile, &key, &salt[1..]).is_err());
        }
    }
}
