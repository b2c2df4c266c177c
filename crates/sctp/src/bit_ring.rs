//! A set of TSNs that starts at a base which moves on: one bit each, so that a block of them costs
//! words and not TSNs.

use std::collections::VecDeque;

use crate::serial::Tsn;

/// A set of TSNs, none before its base. Its size is what lies between the base and the last member,
/// in bits; its owner inserts sees to the bound.
#[derive(Debug)]
pub(crate) struct BitRing {
    base: Tsn,
    /// The first word holds the base; a TSN's place in its word is its value modulo 64.
    words: VecDeque<u64>,
}

impl BitRing {
    pub(crate) fn new(base: Tsn) -> Self {
        Self { base, words: VecDeque::new() }
    }

    pub(crate) fn contains(&self, tsn: Tsn) -> bool {
        let bit = self.bit(tsn);
        self.words.get(bit / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// Adds one; says whether it is new.
    pub(crate) fn insert(&mut self, tsn: Tsn) -> bool {
        let bit = self.bit(tsn);
        self.reserve(bit / 64);
        let Some(word) = self.words.get_mut(bit / 64) else { return false };
        let mask = 1 << (bit % 64);
        let new = *word & mask == 0;
        *word |= mask;
        new
    }

    /// Adds all from `first` to `last`, and names those that are new.
    pub(crate) fn insert_range(&mut self, first: Tsn, last: Tsn, mut new: impl FnMut(Tsn)) {
        let (start, end) = (self.bit(first), self.bit(last));
        self.reserve(end / 64);
        let origin = Tsn(self.base.0 & !63);
        for index in start / 64..=end / 64 {
            let mut mask = u64::MAX;
            if index == start / 64 {
                mask &= u64::MAX << (start % 64);
            }
            if index == end / 64 {
                mask &= u64::MAX >> (63 - end % 64);
            }
            let Some(word) = self.words.get_mut(index) else { return };
            let mut added = mask & !*word;
            *word |= mask;
            while added != 0 {
                new(origin.plus((index * 64) as u32 + added.trailing_zeros()));
                added &= added - 1;
            }
        }
    }

    /// Forgets all before `base`.
    pub(crate) fn advance(&mut self, base: Tsn) {
        let passed = (base.0 >> 6).wrapping_sub(self.base.0 >> 6) & (u32::MAX >> 6);
        let passed = (passed as usize).min(self.words.len());
        self.words.drain(..passed);
        self.base = base;
        if self.words.is_empty() && self.words.capacity() > SPARE_WORDS {
            self.words = VecDeque::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.words.clear();
    }

    /// The number of members that follow each other without a hole from the base on.
    pub(crate) fn leading(&self) -> u32 {
        let start = (self.base.0 % 64) as usize;
        (self.find(start, false) - start) as u32
    }

    /// The runs of members without holes, in order: first and last.
    #[cfg(test)]
    pub(crate) fn runs(&self) -> impl Iterator<Item = (Tsn, Tsn)> + '_ {
        self.runs_from(None)
    }

    /// The same, from a TSN on that is not before the base.
    pub(crate) fn runs_from(&self, first: Option<Tsn>) -> impl Iterator<Item = (Tsn, Tsn)> + '_ {
        let origin = Tsn(self.base.0 & !63);
        let mut position = self.bit(first.unwrap_or(self.base));
        std::iter::from_fn(move || {
            let start = self.find(position, true);
            if start >= self.words.len() * 64 {
                return None;
            }
            position = self.find(start, false);
            Some((origin.plus(start as u32), origin.plus(position as u32 - 1)))
        })
    }

    /// The first place from `from` on whose bit is `value`; the end, if there is none.
    fn find(&self, from: usize, value: bool) -> usize {
        let mut mask = u64::MAX << (from % 64);
        for index in from / 64..self.words.len() {
            let word = if value { self.words[index] } else { !self.words[index] } & mask;
            if word != 0 {
                return index * 64 + word.trailing_zeros() as usize;
            }
            mask = u64::MAX;
        }
        (self.words.len() * 64).max(from)
    }

    fn bit(&self, tsn: Tsn) -> usize {
        tsn.since(Tsn(self.base.0 & !63)) as usize
    }

    fn reserve(&mut self, word: usize) {
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
    }
}

/// An empty ring keeps this many words for the next hole, and gives larger memory back.
const SPARE_WORDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_across_words_and_the_wrap() {
        let base = Tsn(u32::MAX - 70);
        let mut ring = BitRing::new(base);
        let mut added = Vec::new();
        ring.insert_range(base.plus(3), base.plus(140), |tsn| added.push(tsn.since(base)));
        assert_eq!(added, (3..=140).collect::<Vec<_>>());
        assert!(ring.insert(base.plus(200)));
        assert!(!ring.insert(base.plus(100)));
        let runs: Vec<_> = ring.runs().map(|(first, last)| (first.since(base), last.since(base))).collect();
        assert_eq!(runs, [(3, 140), (200, 200)]);
        assert_eq!(ring.leading(), 0);
        ring.advance(base.plus(3));
        assert_eq!(ring.leading(), 138);
        ring.advance(base.plus(141));
        assert_eq!(ring.runs().count(), 1);
        assert!(ring.contains(base.plus(200)) && !ring.contains(base.plus(199)));
        ring.advance(base.plus(300));
        assert_eq!(ring.runs().count(), 0);
        assert_eq!(ring.leading(), 0);
    }
}
