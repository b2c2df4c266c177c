//! The bytes that wait for each member, so that the memory of a relay is bounded and the slow
//! member pays.

use std::collections::BTreeSet;

use super::MemberKey;

/// Bytes that wait for all members, and the members by how much.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    total: usize,
    by_size: BTreeSet<(usize, MemberKey)>,
}

impl Buffers {
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// A member's bytes have changed; 0 for one that is new or gone.
    pub(super) fn change(&mut self, key: MemberKey, before: usize, after: usize) {
        if before != after {
            self.by_size.remove(&(before, key));
            if after > 0 {
                self.by_size.insert((after, key));
            }
            self.total = self.total - before + after;
        }
    }

    /// The member for which most waits, if that is too much, or if all together is too much.
    pub(super) fn excessive(&self, for_one: usize, for_all: usize) -> Option<MemberKey> {
        let &(bytes, key) = self.by_size.last()?;
        (bytes > for_one || self.total > for_all).then_some(key)
    }
}
