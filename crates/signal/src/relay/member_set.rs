//! A set of members, made for few of them.

use super::MemberKey;

/// Members in the order in which they began. Most sessions have two, for whom a tree would take
/// more memory than all else about the session; and no session has very many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemberSet(Vec<MemberKey>);

impl MemberSet {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, key: MemberKey) -> bool {
        self.0.binary_search(&key).is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = MemberKey> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn insert(&mut self, key: MemberKey) {
        /// The number up to which room is made for one more only.
        const FEW: usize = 4;
        if let Err(place) = self.0.binary_search(&key) {
            if self.0.len() < FEW {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, key);
        }
    }

    pub(super) fn remove(&mut self, key: MemberKey) {
        if let Ok(place) = self.0.binary_search(&key) {
            self.0.remove(place);
        }
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

impl FromIterator<MemberKey> for MemberSet {
    fn from_iter<T: IntoIterator<Item = MemberKey>>(keys: T) -> Self {
        let mut set = Self::default();
        keys.into_iter().for_each(|key| set.insert(key));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn set_is_like_a_tree(steps in prop::collection::vec((0..9_u64, any::<bool>()), 0..60)) {
            let (mut set, mut tree) = (MemberSet::default(), BTreeSet::new());
            for (number, comes) in steps {
                let key = MemberKey(number);
                if comes {
                    set.insert(key);
                    tree.insert(key);
                } else {
                    set.remove(key);
                    tree.remove(&key);
                }
                prop_assert!(set.iter().eq(tree.iter().copied()));
                prop_assert_eq!((set.len(), set.is_empty()), (tree.len(), tree.is_empty()));
                prop_assert_eq!(set.contains(MemberKey(4)), tree.contains(&MemberKey(4)));
            }
        }
    }
}
