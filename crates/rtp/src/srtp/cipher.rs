//! The session keys of one direction, set up once, and the transforms of both kinds of packets.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::keys::{MasterKey, Profile, apply_counter_mode, counter_mode};
use super::{RTCP_HEADER_LEN, SRTCP_INDEX_LEN, SrtpError};
use crate::bytes_at::{be32, put32};
use crate::numbers::Ssrc;

const GCM_TAG_LEN: usize = 16;

/// The flag E of SRTCP: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// The kinds of packets, which have keys of their own (RFC 3711 §4.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rtp,
    Rtcp,
}

/// The keys of one kind of packets.
#[expect(clippy::large_enum_variant, reason = "there are two for each direction of a transport")]
enum Keys {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Counter { key: EncryptingKey, salt: [u8; 14], mac: hmac::Key, tag_len: usize },
}

/// Transforms of RTP or of RTCP packets.
pub(super) struct Cipher {
    keys: Keys,
    /// A copy of packets that may have to be opened more than once. It is used, and grows, only
    /// where the number of wraps is a guess.
    scratch: Vec<u8>,
}

impl Cipher {
    pub(super) fn new(master: &MasterKey, kind: Kind) -> Self {
        let base = if kind == Kind::Rtp { 0 } else { 3 };
        let (mut key, mut mac, mut salt) = ([0; 32], [0; 20], [0; 14]);
        let key = &mut key[..master.profile.key_len()];
        let salt = &mut salt[..master.profile.salt_len()];
        master.derive(base, key);
        master.derive(base + 1, &mut mac);
        master.derive(base + 2, salt);
        Self::with_session_keys(master.profile, kind, key, &mac, salt)
    }

    /// Sets session keys up, whose lengths are those of the profile.
    pub(super) fn with_session_keys(
        profile: Profile,
        kind: Kind,
        key: &[u8],
        mac: &[u8; 20],
        salt: &[u8],
    ) -> Self {
        let fits = "the length is the profile's";
        let keys = match profile {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
                let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
                let key = UnboundKey::new(algorithm, key).expect(fits);
                Keys::Gcm { key: LessSafeKey::new(key), salt: salt.try_into().expect(fits) }
            }
            Profile::Aes128CmSha1_80 | Profile::Aes128CmSha1_32 => {
                let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, mac);
                let salt = salt.try_into().expect(fits);
                let tag_len = match kind {
                    Kind::Rtp => profile.rtp_overhead(),
                    Kind::Rtcp => profile.rtcp_overhead() - SRTCP_INDEX_LEN,
                };
                Keys::Counter { key: counter_mode(key), salt, mac, tag_len }
            }
        };
        Self { keys, scratch: Vec::new() }
    }

    pub(super) fn tag_len(&self) -> usize {
        match &self.keys {
            Keys::Gcm { .. } => GCM_TAG_LEN,
            Keys::Counter { tag_len, .. } => *tag_len,
        }
    }

    /// Protects an RTP packet of `len` bytes with room for the tag behind it. `index` is its number
    /// with the wraps above it.
    pub(super) fn seal_rtp(&self, buffer: &mut [u8], header: usize, len: usize, ssrc: Ssrc, index: u64) {
        match &self.keys {
            Keys::Gcm { key, salt } => {
                let nonce = rtp_nonce(salt, ssrc, index);
                let (head, rest) = buffer.split_at_mut(header);
                let (payload, tag) = rest.split_at_mut(len - header);
                seal_gcm(key, nonce, head, payload, &mut tag[..GCM_TAG_LEN]);
            }
            Keys::Counter { key, salt, mac, tag_len } => {
                apply_counter_mode(key, counter(salt, ssrc, index), &mut buffer[header..len]);
                let tag = rtp_tag(mac, &buffer[..len], index);
                buffer[len..len + tag_len].copy_from_slice(&tag.as_ref()[..*tag_len]);
            }
        }
    }

    /// Opens an RTP packet in place; `len` is its length without the tag. If it is not authentic
    /// its payload is lost.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<(), SrtpError> {
        match &self.keys {
            Keys::Gcm { key, salt } => {
                let (head, rest) = packet.split_at_mut(header);
                open_gcm(key, rtp_nonce(salt, ssrc, index), head, rest)
            }
            Keys::Counter { key, salt, mac, tag_len } => {
                let tag = rtp_tag(mac, &packet[..len], index);
                verify(&tag.as_ref()[..*tag_len], &packet[len..])?;
                apply_counter_mode(key, counter(salt, ssrc, index), &mut packet[header..len]);
                Ok(())
            }
        }
    }

    /// Opens an RTP packet whose number of wraps is one of several; returns the index that fits.
    pub(super) fn open_rtp_guessing(
        &mut self,
        packet: &mut [u8],
        header: usize,
        len: usize,
        ssrc: Ssrc,
        candidates: &[u64],
    ) -> Result<u64, SrtpError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut found = Err(SrtpError::NotAuthentic);
        for index in candidates {
            scratch.clear();
            scratch.extend_from_slice(packet);
            if self.open_rtp(&mut scratch, header, len, ssrc, *index).is_ok() {
                packet.copy_from_slice(&scratch);
                found = Ok(*index);
                break;
            }
        }
        self.scratch = scratch;
        found
    }

    /// Protects an RTCP packet of `len` bytes with room for tag and index behind it.
    pub(super) fn seal_rtcp(&self, buffer: &mut [u8], len: usize, ssrc: Ssrc, index: u32) {
        let word = (ENCRYPTED | index).to_be_bytes();
        match &self.keys {
            Keys::Gcm { key, salt } => {
                let aad = rtcp_aad(buffer, word);
                let (payload, rest) = buffer[RTCP_HEADER_LEN..].split_at_mut(len - RTCP_HEADER_LEN);
                let nonce = rtcp_nonce(salt, ssrc, index);
                seal_gcm(key, nonce, &aad, payload, &mut rest[..GCM_TAG_LEN]);
                rest[GCM_TAG_LEN..GCM_TAG_LEN + SRTCP_INDEX_LEN].copy_from_slice(&word);
            }
            Keys::Counter { key, salt, mac, tag_len } => {
                let iv = counter(salt, ssrc, u64::from(index));
                apply_counter_mode(key, iv, &mut buffer[RTCP_HEADER_LEN..len]);
                let end = len + SRTCP_INDEX_LEN;
                buffer[len..end].copy_from_slice(&word);
                let tag = hmac::sign(mac, &buffer[..end]);
                buffer[end..end + tag_len].copy_from_slice(&tag.as_ref()[..*tag_len]);
            }
        }
    }

    /// Returns the index of an RTCP packet that is long enough for one.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        let at = match &self.keys {
            Keys::Gcm { .. } => packet.len() - SRTCP_INDEX_LEN,
            Keys::Counter { tag_len, .. } => packet.len() - tag_len - SRTCP_INDEX_LEN,
        };
        let word = be32(packet, at);
        if word & ENCRYPTED == 0 { Err(SrtpError::NotEncrypted) } else { Ok(word & !ENCRYPTED) }
    }

    /// Opens an RTCP packet in place; `len` is its length without tag and index.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        ssrc: Ssrc,
        index: u32,
    ) -> Result<(), SrtpError> {
        let word = (ENCRYPTED | index).to_be_bytes();
        match &self.keys {
            Keys::Gcm { key, salt } => {
                let aad = rtcp_aad(packet, word);
                let sealed = &mut packet[RTCP_HEADER_LEN..len + GCM_TAG_LEN];
                open_gcm(key, rtcp_nonce(salt, ssrc, index), &aad, sealed)
            }
            Keys::Counter { key, salt, mac, tag_len } => {
                let end = len + SRTCP_INDEX_LEN;
                let tag = hmac::sign(mac, &packet[..end]);
                verify(&tag.as_ref()[..*tag_len], &packet[end..])?;
                let iv = counter(salt, ssrc, u64::from(index));
                apply_counter_mode(key, iv, &mut packet[RTCP_HEADER_LEN..len]);
                Ok(())
            }
        }
    }
}

/// Debug output must not give the keys away.
impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

fn seal_gcm(key: &LessSafeKey, nonce: Nonce, aad: &[u8], payload: &mut [u8], tag: &mut [u8]) {
    let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(aad), payload);
    tag.copy_from_slice(sealed.expect("a packet is shorter than the cipher's limit").as_ref());
}

fn open_gcm(key: &LessSafeKey, nonce: Nonce, aad: &[u8], sealed: &mut [u8]) -> Result<(), SrtpError> {
    let opened = key.open_in_place(nonce, Aad::from(aad), sealed);
    opened.map(drop).map_err(|_| SrtpError::NotAuthentic)
}

/// Compares a tag without telling where it differs.
fn verify(expected: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
    verify_slices_are_equal(expected, tag).map_err(|_| SrtpError::NotAuthentic)
}

/// The tag covers the packet and the number of wraps (RFC 3711 §4.2).
fn rtp_tag(mac: &hmac::Key, packet: &[u8], index: u64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(mac);
    context.update(packet);
    context.update(&((index >> 16) as u32).to_be_bytes());
    context.sign()
}

/// The header and the word with the index are authenticated, not encrypted (RFC 7714 §9.2).
fn rtcp_aad(packet: &[u8], word: [u8; 4]) -> [u8; RTCP_HEADER_LEN + SRTCP_INDEX_LEN] {
    let mut aad = [0; RTCP_HEADER_LEN + SRTCP_INDEX_LEN];
    aad[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
    aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
    aad
}

/// RFC 7714 §8.1.
fn rtp_nonce(salt: &[u8; 12], ssrc: Ssrc, index: u64) -> Nonce {
    let mut iv = [0; 12];
    put32(&mut iv, 2, ssrc.0);
    iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    salted(iv, salt)
}

/// RFC 7714 §9.1.
fn rtcp_nonce(salt: &[u8; 12], ssrc: Ssrc, index: u32) -> Nonce {
    let mut iv = [0; 12];
    put32(&mut iv, 2, ssrc.0);
    put32(&mut iv, 8, index);
    salted(iv, salt)
}

fn salted(mut iv: [u8; 12], salt: &[u8; 12]) -> Nonce {
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    Nonce::assume_unique_for_key(iv)
}

/// RFC 3711 §4.1.1.
fn counter(salt: &[u8; 14], ssrc: Ssrc, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    put32(&mut iv, 4, ssrc.0);
    iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    iv
}
