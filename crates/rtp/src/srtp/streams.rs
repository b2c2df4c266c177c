//! A bounded table of streams.

use crate::numbers::Ssrc;

/// A value for each stream. A table is read for each packet and changed for each new stream, so it
/// is sorted, and remembers the last entry found.
#[derive(Clone, Debug)]
pub(super) struct Streams<T> {
    keys: Vec<Ssrc>,
    values: Vec<T>,
    last: usize,
    limit: usize,
}

impl<T> Streams<T> {
    pub(super) const fn new(limit: usize) -> Self {
        Self { keys: Vec::new(), values: Vec::new(), last: 0, limit }
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) const fn is_full(&self) -> bool {
        self.keys.len() >= self.limit
    }

    pub(super) fn get_mut(&mut self, ssrc: Ssrc) -> Option<&mut T> {
        if self.keys.get(self.last) != Some(&ssrc) {
            self.last = self.keys.binary_search(&ssrc).ok()?;
        }
        self.values.get_mut(self.last)
    }

    /// Enters a stream that is not in the table. Returns false if it is full.
    pub(super) fn insert(&mut self, ssrc: Ssrc, value: T) -> bool {
        let Err(at) = self.keys.binary_search(&ssrc) else { return false };
        if self.is_full() {
            return false;
        }
        self.keys.insert(at, ssrc);
        self.values.insert(at, value);
        true
    }
}
