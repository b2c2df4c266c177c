//! The protection of records: AEAD in place, with hidden sequence numbers in DTLS 1.3.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::quic::HeaderProtectionKey;
use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroize;

use super::header::{EPOCH_BITS, LONG_SEQUENCE, UNIFIED, WITH_LENGTH, write_plain};
use super::window::Window;
use super::{BACK, HEADER, MAX_PLAINTEXT, Raw, SEQUENCE_BITS, TAG};
use crate::crypto::schedule::expand_label;
use crate::crypto::secret::Secret;
use crate::crypto::suite::{Aead, CipherSuite};
use crate::error::{Fault, SealError};

/// Bytes of the explicit nonce of AES-GCM in DTLS 1.2 (RFC 5288 §3).
const EXPLICIT: usize = 8;

/// Bytes of the header that is written in DTLS 1.3: flags, 16 bits of the sequence number, length.
const UNIFIED_HEADER: usize = 5;

/// Bytes of a record's beginning from which the mask of its sequence number is made (RFC 9147
/// §4.2.3).
const SAMPLE: usize = 16;

/// Records that one key of DTLS 1.3 may protect: 2^24.5 for AES-GCM (RFC 9147 §4.5.3, RFC 8446
/// §5.5). New keys are due when half as many are protected.
const MOST_SEALED: u64 = 23_726_566;
const UPDATE_DUE: u64 = MOST_SEALED / 2;

/// Forged records that one key may meet: 2^36 are allowed for ChaCha20-Poly1305 and for AES-GCM
/// (RFC 9147 §4.5.3).
const MOST_FORGED: u64 = 1 << 36;

/// A direction of records: which side's they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    pub(crate) suite: CipherSuite,
    pub(crate) epoch: u64,
}

struct Keys {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    form: KeyForm,
}

enum KeyForm {
    /// DTLS 1.2 with AES-GCM: a part of the nonce is in the record.
    Explicit,
    /// DTLS 1.2 with ChaCha20-Poly1305.
    Implicit,
    /// DTLS 1.3: the key hides sequence numbers. Set up once.
    Masked(Box<HeaderProtectionKey>),
}

impl Keys {
    fn new_12(suite: CipherSuite, key: &[u8], fixed_iv: &[u8]) -> Result<Self, Fault> {
        let aead = suite.aead();
        let mut iv = [0; NONCE_LEN];
        iv[..fixed_iv.len()].copy_from_slice(fixed_iv);
        let form = match aead {
            Aead::Aes128Gcm | Aead::Aes256Gcm => KeyForm::Explicit,
            Aead::Chacha20Poly1305 => KeyForm::Implicit,
        };
        Ok(Self { aead: LessSafeKey::new(UnboundKey::new(aead.algorithm(), key)?), iv, form })
    }

    /// Derives keys from a traffic secret (RFC 8446 §7.3, RFC 9147 §4.2.3).
    fn new_13(suite: CipherSuite, secret: &Secret) -> Result<Self, Fault> {
        let (aead, hash) = (suite.aead(), suite.hash());
        let mut key = Secret::zero(aead.key_length());
        let mut iv = [0; NONCE_LEN];
        expand_label(hash, secret, b"iv", &[], &mut iv)?;
        expand_label(hash, secret, b"sn", &[], key.as_bytes_mut())?;
        let mask = HeaderProtectionKey::new(aead.mask_algorithm(), key.as_bytes())?;
        expand_label(hash, secret, b"key", &[], key.as_bytes_mut())?;
        let aead = LessSafeKey::new(UnboundKey::new(aead.algorithm(), key.as_bytes())?);
        Ok(Self { aead, iv, form: KeyForm::Masked(Box::new(mask)) })
    }

    /// Bytes of a record in front of its plaintext.
    fn front(&self) -> usize {
        match self.form {
            KeyForm::Explicit => HEADER + EXPLICIT,
            KeyForm::Implicit => HEADER,
            KeyForm::Masked(_) => UNIFIED_HEADER,
        }
    }

    /// Bytes of a record behind its plaintext.
    fn back(&self) -> usize {
        match self.form {
            KeyForm::Explicit | KeyForm::Implicit => TAG,
            KeyForm::Masked(_) => BACK,
        }
    }

    /// The nonce of a record: `number` is its sequence number, in DTLS 1.2 behind its epoch.
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

/// The additional data of a record of DTLS 1.2 (RFC 5246 §6.2.3.3, RFC 6347 §4.1.2.1).
fn additional_data(header: &[u8; HEADER], length: usize) -> [u8; HEADER] {
    let mut data = [0; HEADER];
    data[..8].copy_from_slice(&header[3..11]);
    data[8..11].copy_from_slice(&header[..3]);
    data[11..].copy_from_slice(&(length as u16).to_be_bytes());
    data
}

/// The keys of one epoch with which this side protects records.
pub(crate) struct Sealer {
    keys: Keys,
    epoch: u64,
    next: u64,
}

impl Sealer {
    pub(crate) fn new_12(suite: CipherSuite, key: &[u8], fixed_iv: &[u8]) -> Result<Self, Fault> {
        Ok(Self { keys: Keys::new_12(suite, key, fixed_iv)?, epoch: 1, next: 0 })
    }

    pub(crate) fn new_13(direction: Direction, secret: &Secret) -> Result<Self, Fault> {
        Ok(Self { keys: Keys::new_13(direction.suite, secret)?, epoch: direction.epoch, next: 0 })
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The sequence number of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn front(&self) -> usize {
        self.keys.front()
    }

    pub(crate) fn back(&self) -> usize {
        self.keys.back()
    }

    /// Returns true if new keys are due: only in DTLS 1.3, where there can be some.
    pub(crate) fn is_worn(&self) -> bool {
        matches!(self.keys.form, KeyForm::Masked(_)) && self.next >= UPDATE_DUE
    }

    /// Makes the keys nearly worn out.
    #[cfg(test)]
    pub(crate) fn wear(&mut self) {
        self.next = UPDATE_DUE - 1;
    }

    /// Makes one record of the plaintext in `range`, where it stands. Returns the record's range.
    pub(crate) fn seal(
        &mut self,
        content_type: u8,
        buf: &mut [u8],
        range: Range<usize>,
    ) -> Result<Range<usize>, SealError> {
        if range.len() > MAX_PLAINTEXT {
            return Err(SealError::TooLong { limit: MAX_PLAINTEXT });
        }
        let is_masked = matches!(self.keys.form, KeyForm::Masked(_));
        if self.next >= if is_masked { MOST_SEALED } else { 1 << SEQUENCE_BITS } {
            return Err(SealError::KeysUsedUp);
        }
        let start = range.start.checked_sub(self.front()).ok_or(SealError::NoRoom)?;
        let record = start..range.end + self.back();
        let bytes = buf.get_mut(record.clone()).ok_or(SealError::NoRoom)?;
        let outcome = match &self.keys.form {
            KeyForm::Masked(mask) => self.seal_13(mask, content_type, bytes),
            KeyForm::Explicit | KeyForm::Implicit => self.seal_12(content_type, bytes),
        };
        outcome.map_err(|_| SealError::NotConnected)?;
        self.next += 1;
        Ok(record)
    }

    fn seal_12(&self, content_type: u8, record: &mut [u8]) -> Result<(), Fault> {
        let number = self.epoch << SEQUENCE_BITS | self.next;
        let length = record.len() - HEADER;
        let (header, body) = record.split_first_chunk_mut::<HEADER>().ok_or(Fault::crypto())?;
        write_plain(header, content_type, self.epoch as u16, self.next, length as u16);
        let body = match self.keys.form {
            KeyForm::Explicit => {
                let (explicit, body) = body.split_at_mut(EXPLICIT);
                explicit.copy_from_slice(&number.to_be_bytes());
                body
            }
            _ => body,
        };
        let (plaintext, tag) = body.split_at_mut(body.len() - TAG);
        let data = Aad::from(additional_data(header, plaintext.len()));
        let sealed = self.keys.aead.seal_in_place_separate_tag(self.keys.nonce(number), data, plaintext)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    fn seal_13(&self, mask: &HeaderProtectionKey, content_type: u8, record: &mut [u8]) -> Result<(), Fault> {
        let length = record.len() - UNIFIED_HEADER;
        let (header, body) = record.split_first_chunk_mut::<UNIFIED_HEADER>().ok_or(Fault::crypto())?;
        header[0] = UNIFIED | LONG_SEQUENCE | WITH_LENGTH | (self.epoch as u8 & EPOCH_BITS);
        header[1..3].copy_from_slice(&(self.next as u16).to_be_bytes());
        header[3..].copy_from_slice(&(length as u16).to_be_bytes());
        let (plaintext, tag) = body.split_at_mut(length - TAG);
        if let Some(last) = plaintext.last_mut() {
            *last = content_type;
        }
        let (nonce, data) = (self.keys.nonce(self.next), Aad::from(*header));
        let sealed = self.keys.aead.seal_in_place_separate_tag(nonce, data, plaintext)?;
        tag.copy_from_slice(sealed.as_ref());
        let mask = mask.new_mask(&body[..SAMPLE])?;
        header[1] ^= mask[0];
        header[2] ^= mask[1];
        Ok(())
    }
}

/// The keys of one epoch with which this side opens records.
pub(crate) struct Opener {
    keys: Keys,
    epoch: u64,
    window: Window,
    forged: u64,
}

/// The secret of the keys of one epoch of DTLS 1.3, and the records that they have opened: a sixth
/// of their memory.
#[derive(Debug)]
pub(crate) struct Resting {
    direction: Direction,
    secret: Secret,
    window: Window,
    forged: u64,
}

impl Resting {
    pub(super) fn epoch(&self) -> u64 {
        self.direction.epoch
    }

    pub(super) fn into_opener(self) -> Result<Opener, Fault> {
        let Self { direction, secret, window, forged } = self;
        Ok(Opener { window, forged, ..Opener::new_13(direction, &secret)? })
    }
}

/// An authentic record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) content_type: u8,
    pub(super) sequence: u64,
    /// The plaintext, within the record.
    pub(super) range: Range<usize>,
}

impl Opener {
    pub(crate) fn new_12(suite: CipherSuite, key: &[u8], fixed_iv: &[u8]) -> Result<Self, Fault> {
        Ok(Self { keys: Keys::new_12(suite, key, fixed_iv)?, epoch: 1, window: Window::new(), forged: 0 })
    }

    pub(crate) fn new_13(direction: Direction, secret: &Secret) -> Result<Self, Fault> {
        let keys = Keys::new_13(direction.suite, secret)?;
        Ok(Self { keys, epoch: direction.epoch, window: Window::new(), forged: 0 })
    }

    pub(super) fn into_resting(self, suite: CipherSuite, secret: Secret) -> Resting {
        let Self { epoch, window, forged, .. } = self;
        Resting { direction: Direction { suite, epoch }, secret, window, forged }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns true if so many forged records came that the key must not be used any longer.
    pub(crate) fn is_spent(&self) -> bool {
        self.forged >= MOST_FORGED
    }

    /// Opens a record where it stands. `None` if it is forged or a replay; it is destroyed then.
    pub(super) fn open(&mut self, raw: Raw, record: &mut [u8]) -> Option<Content> {
        let content = match &self.keys.form {
            KeyForm::Masked(_) => self.open_13(raw, record),
            KeyForm::Explicit | KeyForm::Implicit => self.open_12(record),
        };
        let content = content.inspect_err(|forged| self.forged += u64::from(*forged)).ok()?;
        self.window.mark(content.sequence);
        Some(content)
    }

    /// The error says whether the record was forged.
    fn open_12(&self, record: &mut [u8]) -> Result<Content, bool> {
        let (header, body) = record.split_first_chunk_mut::<HEADER>().ok_or(false)?;
        let number = u64::from_be_bytes(*header[3..].first_chunk().ok_or(false)?);
        let sequence = number & ((1 << SEQUENCE_BITS) - 1);
        if !self.window.is_fresh(sequence) {
            return Err(false);
        }
        let (front, nonce) = match self.keys.form {
            KeyForm::Explicit => {
                let explicit = u64::from_be_bytes(*body.first_chunk().ok_or(false)?);
                (EXPLICIT, self.keys.nonce(explicit))
            }
            _ => (0, self.keys.nonce(number)),
        };
        let sealed = &mut body[front..];
        let length = sealed.len().checked_sub(TAG).ok_or(false)?;
        if length > MAX_PLAINTEXT {
            return Err(false);
        }
        let data = Aad::from(additional_data(header, length));
        self.keys.aead.open_in_place(nonce, data, sealed).map_err(|_| true)?;
        let start = HEADER + front;
        Ok(Content { content_type: header[0], sequence, range: start..start + length })
    }

    fn open_13(&self, raw: Raw, record: &mut [u8]) -> Result<Content, bool> {
        let KeyForm::Masked(mask) = &self.keys.form else { return Err(false) };
        let (header, body) = record.split_at_mut(raw.header);
        // RFC 9147 §4.2.3: shorter ones are not records.
        let sample = body.get(..SAMPLE).ok_or(false)?;
        let mask = mask.new_mask(sample).map_err(|_| false)?;
        let (low, bits) = if header[0] & LONG_SEQUENCE != 0 {
            header[1] ^= mask[0];
            header[2] ^= mask[1];
            (u64::from(u16::from_be_bytes([header[1], header[2]])), 16)
        } else {
            header[1] ^= mask[0];
            (u64::from(header[1]), 8)
        };
        let sequence = whole_sequence(self.window.next(), low, bits);
        if !self.window.is_fresh(sequence) || sequence >> SEQUENCE_BITS != 0 {
            return Err(false);
        }
        let nonce = self.keys.nonce(sequence);
        let plaintext = self.keys.aead.open_in_place(nonce, Aad::from(&*header), body).map_err(|_| true)?;
        // Padding is zeros behind the content type (RFC 8446 §5.4).
        let padded = plaintext.iter().rposition(|byte| *byte != 0).ok_or(false)?;
        if padded > MAX_PLAINTEXT {
            return Err(false);
        }
        let content_type = plaintext[padded];
        Ok(Content { content_type, sequence, range: raw.header..raw.header + padded })
    }
}

/// Reconstructs a sequence number from its low bits: the one nearest to the expected one (RFC 9147
/// §4.2.2).
fn whole_sequence(expected: u64, low: u64, bits: u32) -> u64 {
    let span = 1 << bits;
    let ahead = low.wrapping_sub(expected) & (span - 1);
    let candidate = expected + ahead;
    if ahead > span / 2 && candidate >= span { candidate - span } else { candidate }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("epoch", &self.epoch).field("next", &self.next).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::first;
    use super::*;
    use crate::config::Version;

    fn pair(suite: CipherSuite) -> (Sealer, Opener) {
        match suite.version() {
            Version::Dtls12 => {
                let (key, iv) =
                    (vec![7; suite.aead().key_length()], vec![9; suite.aead().fixed_iv_length_12()]);
                (Sealer::new_12(suite, &key, &iv).unwrap(), Opener::new_12(suite, &key, &iv).unwrap())
            }
            Version::Dtls13 => {
                let secret = Secret::new(&[5; 48][..suite.hash().length()]);
                let direction = Direction { suite, epoch: 3 };
                (Sealer::new_13(direction, &secret).unwrap(), Opener::new_13(direction, &secret).unwrap())
            }
        }
    }

    fn sealed(sealer: &mut Sealer, plaintext: &[u8]) -> Vec<u8> {
        let front = sealer.front();
        let mut buf = vec![0; front + plaintext.len() + sealer.back()];
        let range = front..front + plaintext.len();
        buf[range.clone()].copy_from_slice(plaintext);
        let record = sealer.seal(23, &mut buf, range).unwrap();
        assert_eq!(record, 0..buf.len());
        buf
    }

    fn open(opener: &mut Opener, record: &[u8]) -> Option<Vec<u8>> {
        let mut record = record.to_vec();
        let raw = first(&record)?;
        let content = opener.open(raw, &mut record[..raw.length])?;
        Some(record[content.range].to_vec())
    }

    #[test]
    fn records_are_opened_once_and_only_whole() {
        for suite in CipherSuite::ALL {
            let (mut sealer, mut opener) = pair(suite);
            for length in [0, 1, 15, 16, 17, 1200, MAX_PLAINTEXT] {
                let plaintext = vec![length as u8; length];
                let record = sealed(&mut sealer, &plaintext);
                for bit in (0..record.len() * 8).step_by(1 + record.len() / 40) {
                    let mut forged = record.clone();
                    forged[bit / 8] ^= 1 << (bit % 8);
                    assert!(open(&mut opener, &forged).is_none(), "{suite:?} bit {bit}");
                }
                assert_eq!(open(&mut opener, &record), Some(plaintext), "{suite:?}");
                assert_eq!(open(&mut opener, &record), None, "a replay");
            }
            let mut buf = vec![0; 30_000];
            let too_long = sealer.seal(23, &mut buf, 21..22 + MAX_PLAINTEXT);
            assert_eq!(too_long, Err(SealError::TooLong { limit: MAX_PLAINTEXT }));
            assert_eq!(sealer.seal(23, &mut buf[..40], 30..30), Err(SealError::NoRoom));
            assert_eq!(sealer.seal(23, &mut buf, 2..3), Err(SealError::NoRoom));
        }
    }

    #[test]
    fn sequence_numbers_are_completed_to_the_nearest() {
        assert_eq!(whole_sequence(0, 0, 16), 0);
        assert_eq!(whole_sequence(0, 0xFFFF, 16), 0xFFFF);
        assert_eq!(whole_sequence(0x1_0000, 0xFFFF, 16), 0xFFFF);
        assert_eq!(whole_sequence(0x1_FFFF, 2, 16), 0x2_0002);
        assert_eq!(whole_sequence(0x101, 0xFF, 8), 0xFF);
        assert_eq!(whole_sequence(0x1FF, 1, 8), 0x201);
    }

    #[test]
    fn keys_wear_out() {
        let (mut sealer, _) = pair(CipherSuite::Aes128GcmSha256);
        sealer.wear();
        assert!(!sealer.is_worn());
        sealed(&mut sealer, b"one");
        assert!(sealer.is_worn());
        sealer.next = MOST_SEALED;
        assert_eq!(sealer.seal(23, &mut [0; 64], 21..22), Err(SealError::KeysUsedUp));
        let (mut sealer, _) = pair(CipherSuite::EcdheRsaChacha20Poly1305Sha256);
        sealer.next = 1 << SEQUENCE_BITS;
        assert_eq!(sealer.seal(23, &mut [0; 64], 21..22), Err(SealError::KeysUsedUp));
    }
}
