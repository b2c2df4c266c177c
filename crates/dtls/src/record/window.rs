//! The sliding window against replay (RFC 6347 §4.1.2.6, RFC 9147 §4.5.1).

/// Records that may overtake each other: the fast paths of today reorder by more than the 64 of the
/// RFC's example.
pub(crate) const WINDOW: u64 = 1024;

const WORDS: usize = (WINDOW / 64) as usize;

/// The records of an epoch that have arrived.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// One more than the highest number so far.
    next: u64,
    /// A ring: the bit of a number is at its remainder.
    bits: [u64; WORDS],
}

impl Window {
    pub(crate) const fn new() -> Self {
        Self { next: 0, bits: [0; WORDS] }
    }

    /// The number that is expected next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Returns true if a record is neither known nor too old to know.
    pub(crate) fn is_fresh(&self, sequence: u64) -> bool {
        if sequence >= self.next {
            return true;
        }
        let (word, bit) = place(sequence);
        self.next - sequence <= WINDOW && self.bits[word] & bit == 0
    }

    /// Notes a record: only once it is authentic.
    pub(crate) fn mark(&mut self, sequence: u64) {
        if sequence >= self.next {
            if sequence - self.next >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                for skipped in self.next..sequence {
                    let (word, bit) = place(skipped);
                    self.bits[word] &= !bit;
                }
            }
            self.next = sequence + 1;
        }
        let (word, bit) = place(sequence);
        self.bits[word] |= bit;
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let index = sequence % WINDOW;
    ((index / 64) as usize, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_are_exact() {
        let mut window = Window::new();
        window.mark(5000);
        assert!(!window.is_fresh(5000));
        assert!(window.is_fresh(5001 - WINDOW));
        assert!(!window.is_fresh(5000 - WINDOW));
        window.mark(5001 - WINDOW);
        assert!(!window.is_fresh(5001 - WINDOW));
        window.mark(5000 + WINDOW);
        assert!(window.is_fresh(5001), "the bits of skipped numbers are cleared");
        assert!(!window.is_fresh(5000), "too old");
    }

    proptest! {
        /// A record is taken once, and none within the window is lost.
        #[test]
        fn window_is_a_set(steps in prop::collection::vec(0_u64..3000, 1..400), jump in 0_u64..5000) {
            let (mut window, mut model, mut highest) = (Window::new(), BTreeSet::new(), 0);
            for (at, step) in steps.into_iter().enumerate() {
                let sequence = step + if at % 50 == 49 { jump } else { 0 };
                let is_old = sequence + WINDOW < highest + 1 && !model.is_empty();
                prop_assert_eq!(window.is_fresh(sequence), !is_old && !model.contains(&sequence));
                if window.is_fresh(sequence) {
                    window.mark(sequence);
                    model.insert(sequence);
                    highest = highest.max(sequence);
                }
            }
        }
    }
}
