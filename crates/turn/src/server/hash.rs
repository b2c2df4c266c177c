//! Hashing with a key from the constructor's generator: clients cannot choose keys that collide.

use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// Builds SipHash-1-3 under a secret key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed(u64, u64);

impl Keyed {
    pub(super) const fn new(a: u64, b: u64) -> Self {
        Self(a, b)
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}
