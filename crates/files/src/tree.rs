//! The hash tree of one file: BLAKE3, cut into pieces.
//!
//! A piece is a subtree of BLAKE3's own tree, so that its chaining value shows at once whether it
//! arrived whole, and the root is the hash of the file that any BLAKE3 program prints.

use blake3::Hasher;
use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// The bytes of a piece; only the last of a file is shorter.
pub const PIECE: usize = 64 * 1024;

/// A hash of 32 bytes.
pub type Hash = [u8; 32];

/// The most subtrees that wait to be joined: files have less than 2^63 bytes.
pub(crate) const MAX_STACK: usize = 48;

/// The hash of a piece at this place of the file.
///
/// The offset is a multiple of [`PIECE`], and the piece is not empty.
#[must_use]
pub fn piece_hash(offset: u64, piece: &[u8]) -> Hash {
    debug_assert!(offset.is_multiple_of(PIECE as u64) && !piece.is_empty() && piece.len() <= PIECE);
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(piece);
    hasher.finalize_non_root()
}

/// The hash tree of a file as far as it is known: one value for each complete subtree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    stack: Vec<Hash>,
    pieces: u64,
    /// The hash of the first piece as the root, if it should be the only one.
    single: Option<Hash>,
}

impl Tree {
    /// The tree of the first `pieces` pieces of a file, from the values that [`stack`](Self::stack)
    /// gave.
    #[must_use]
    pub fn resume(pieces: u64, stack: Vec<Hash>) -> Option<Self> {
        // As many subtrees as the lazy merge leaves.
        let fits = match pieces {
            0 => stack.is_empty(),
            _ => stack.len() == (pieces - 1).count_ones() as usize + 1,
        };
        (fits && stack.len() <= MAX_STACK).then_some(Self { stack, pieces, single: None })
    }

    /// Adds the next piece, whose hash is `hash`.
    pub fn push(&mut self, piece: &[u8], hash: Hash) {
        self.single = (self.pieces == 0).then(|| *blake3::hash(piece).as_bytes());
        self.push_hash(hash);
    }

    /// Adds the hash of the next piece of a file with more than one.
    pub(crate) fn push_hash(&mut self, hash: Hash) {
        // Subtrees are joined as late as possible, because the last joint is the root.
        let complete = self.pieces.count_ones() as usize;
        while self.stack.len() > complete {
            let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) else { break };
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
        self.stack.push(hash);
        self.pieces += 1;
    }

    /// The number of pieces so far.
    #[must_use]
    pub const fn pieces(&self) -> u64 {
        self.pieces
    }

    /// The values of the complete subtrees, from the left.
    #[must_use]
    pub fn stack(&self) -> &[Hash] {
        &self.stack
    }

    /// The hash of the file, if this was all of it. `None` for a tree that was resumed after a
    /// single piece, which must be pushed again.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        match self.stack[..] {
            [] => Some(*blake3::hash(&[]).as_bytes()),
            [_] => self.single,
            [first, ref middle @ .., last] => {
                let mut right = last;
                for left in middle.iter().rev() {
                    right = merge_subtrees_non_root(left, &right, Mode::Hash);
                }
                Some(*merge_subtrees_root(&first, &right, Mode::Hash).as_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    fn tree_of(content: &[u8]) -> Tree {
        let mut tree = Tree::default();
        for (n, piece) in content.chunks(PIECE).enumerate() {
            tree.push(piece, piece_hash((n * PIECE) as u64, piece));
        }
        tree
    }

    #[test]
    fn root_is_the_hash_of_the_file() {
        for pieces in 0..20 {
            for more in [0, 1, 1024, PIECE - 1] {
                let content = content(pieces * PIECE + more);
                assert_eq!(
                    tree_of(&content).root(),
                    Some(*blake3::hash(&content).as_bytes()),
                    "{pieces} {more}"
                );
            }
        }
    }

    #[test]
    fn only_stacks_of_the_right_height_are_taken() {
        assert!(Tree::resume(0, vec![]).is_some() && Tree::resume(0, vec![[0; 32]]).is_none());
        assert!(Tree::resume(3, vec![]).is_none() && Tree::resume(u64::MAX, vec![[0; 32]; 64]).is_none());
    }

    proptest! {
        #[test]
        fn a_resumed_tree_has_the_same_root(pieces in 2_usize..40, at in 2_usize..40, more in 0..PIECE) {
            let content = content(pieces * PIECE + more);
            let at = at.min(pieces);
            let begun = tree_of(&content[..at * PIECE]);
            let mut tree = Tree::resume(at as u64, begun.stack().to_vec()).unwrap();
            for (n, piece) in content.chunks(PIECE).enumerate().skip(at) {
                tree.push(piece, piece_hash((n * PIECE) as u64, piece));
            }
            prop_assert_eq!(tree.root(), Some(*blake3::hash(&content).as_bytes()));
        }
    }
}
