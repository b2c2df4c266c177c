//! The chain of entries: one hash for all that was announced so far.

use crate::tree::Hash;

/// A hash over the texts of entries, in their order: two sides with the same chain have seen the
/// same entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(Hash);

impl Chain {
    /// The chain before the first entry.
    pub const EMPTY: Self = Self([0; 32]);

    /// The chain that ends with this hash.
    #[must_use]
    pub const fn from_hash(hash: Hash) -> Self {
        Self(hash)
    }

    /// The chain with one more entry, given as its message's text.
    #[must_use]
    pub fn with(self, entry: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(entry.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The hash.
    #[must_use]
    pub const fn hash(self) -> Hash {
        self.0
    }
}
