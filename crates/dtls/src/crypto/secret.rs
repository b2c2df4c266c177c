//! Secrets that are erased when they are dropped.

use std::fmt;

use zeroize::Zeroize;

/// Bytes of the longest hash, and so of the longest secret of a key schedule.
pub(crate) const MAX_SECRET: usize = 48;

/// A secret of a key schedule.
#[derive(Clone)]
pub(crate) struct Secret {
    bytes: [u8; MAX_SECRET],
    length: usize,
}

impl Secret {
    /// An all-zero secret of `length` bytes, to be filled in.
    pub(crate) fn zero(length: usize) -> Self {
        Self { bytes: [0; MAX_SECRET], length: length.min(MAX_SECRET) }
    }

    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut secret = Self::zero(bytes.len());
        let length = secret.length;
        secret.bytes[..length].copy_from_slice(&bytes[..length]);
        secret
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Debug output must not give the secret away.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
