//! The window of packets that were seen (RFC 3711 §3.3.2).

/// Packets back from the newest that are told apart. A stream of 50 Mbit/s sends as many in 0.2 s.
pub(super) const WINDOW: u64 = 1024;

const WORDS: usize = (WINDOW / 64) as usize;

/// The packets that were seen, by index.
#[derive(Clone, Debug)]
pub(super) struct Window {
    highest: u64,
    bits: [u64; WORDS],
}

impl Window {
    /// Returns the window after its first packet.
    pub(super) fn new(first: u64) -> Self {
        let mut window = Self { highest: first, bits: [0; WORDS] };
        window.mark(first);
        window
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Returns whether a packet is new: neither seen nor too old to tell.
    pub(super) fn is_new(&self, index: u64) -> bool {
        if index > self.highest {
            return true;
        }
        self.highest - index < WINDOW && self.bits[word(index)] & bit(index) == 0
    }

    /// Enters a packet that is new.
    pub(super) fn insert(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    self.bits[word(skipped)] &= !bit(skipped);
                }
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        self.bits[word(index)] |= bit(index);
    }
}

const fn word(index: u64) -> usize {
    (index % WINDOW / 64) as usize
}

const fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn gaps_stay_open() {
        let mut window = Window::new(5);
        window.insert(9);
        assert!([6, 7, 8, 10, 5000].into_iter().all(|index| window.is_new(index)));
        assert!(![5, 9].into_iter().any(|index| window.is_new(index)));
        window.insert(8 + WINDOW);
        assert!(!window.is_new(8) && !window.is_new(9) && window.is_new(10));
        window.insert(10_000);
        assert!(window.is_new(9999) && !window.is_new(10_000) && !window.is_new(8 + WINDOW));
    }

    proptest! {
        #[test]
        fn window_agrees_with_a_set(steps in prop::collection::vec(0_u64..3000, 1..300)) {
            let mut seen = BTreeSet::from([steps[0]]);
            let mut window = Window::new(steps[0]);
            for index in &steps[1..] {
                let highest = *seen.last().unwrap();
                let new = !seen.contains(index) && index + WINDOW > highest;
                prop_assert_eq!(window.is_new(*index), new);
                if new {
                    window.insert(*index);
                    seen.insert(*index);
                }
            }
        }
    }
}
