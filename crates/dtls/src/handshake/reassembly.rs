//! Handshake messages put together from fragments, in order (RFC 6347 §4.2.3, RFC 9147 §5.5).

use std::collections::VecDeque;

use crate::error::Fault;
use crate::wire::Reader;

/// Bytes of the header of a fragment.
pub(crate) const FRAGMENT_HEADER: usize = 12;

/// Bytes of the longest message: a chain of certificates with RSA keys is far shorter.
pub(crate) const MAX_MESSAGE: usize = 32 * 1024;

/// Messages that may overtake the one that is waited for: the rest of the longest flight.
const MAX_AHEAD: usize = 8;

/// Bytes of all messages that are put together at most.
const MAX_BYTES: usize = 48 * 1024;

/// Pieces of a message with gaps between them at most. More gaps come from no network.
const MAX_PIECES: usize = 64;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) number: u16,
    /// The epoch of the records that brought it.
    pub(crate) epoch: u64,
    pub(crate) body: Vec<u8>,
}

/// A fragment of a message, as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: u8,
    pub(crate) length: usize,
    pub(crate) number: u16,
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads a fragment; a record may have several.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let (kind, length, number) = (reader.u8()?, reader.u24()?, reader.u16()?);
        let (offset, count) = (reader.u24()?, reader.u24()?);
        let bytes = reader.bytes(count)?;
        if offset + count > length {
            return Err(Fault::decode("a fragment reaches beyond its message"));
        }
        Ok(Self { kind, length, number, offset, bytes })
    }
}

/// The state of a fragment's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It was not known.
    New,
    /// Its message was handled already: the other side says it again.
    Old,
    /// There is no room for it, it was known, or it contradicts what is known.
    Ignored,
}

/// The messages that are being put together.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    /// The number of the next message.
    next: u16,
    /// That one, and those behind it. At most [`MAX_AHEAD`]; fragments of later ones are dropped,
    /// and will be sent again.
    slots: VecDeque<Option<Slot>>,
}

#[derive(Debug)]
struct Slot {
    kind: u8,
    epoch: u64,
    body: Vec<u8>,
    /// The parts that are there, in order, with gaps between them. At most [`MAX_PIECES`].
    pieces: Vec<(usize, usize)>,
}

impl Reassembly {
    /// Goes on with this message: those before it were handled without state.
    pub(crate) fn skip_to(&mut self, number: u16) {
        self.next = number;
        self.slots.clear();
    }

    pub(crate) fn next(&self) -> u16 {
        self.next
    }

    /// Forgets the parts of messages that are not accepted: of which epoch and type.
    pub(crate) fn retain(&mut self, accept: impl Fn(u64, u8) -> bool) {
        for slot in &mut self.slots {
            slot.take_if(|slot| !accept(slot.epoch, slot.kind));
        }
    }

    /// Takes a fragment.
    pub(crate) fn insert(&mut self, epoch: u64, fragment: &Fragment<'_>) -> Result<Inserted, Fault> {
        if fragment.number < self.next {
            return Ok(Inserted::Old);
        }
        let ahead = usize::from(fragment.number - self.next);
        if fragment.length > MAX_MESSAGE {
            return Err(Fault::illegal("a message of the handshake is longer than any that makes sense"));
        }
        if ahead >= MAX_AHEAD {
            return Ok(Inserted::Ignored);
        }
        if self.slots.len() <= ahead {
            self.slots.resize_with(ahead + 1, || None);
        }
        let others: usize = self.slots.iter().flatten().map(|slot| slot.body.len()).sum();
        let slot = &mut self.slots[ahead];
        let fits =
            |slot: &Slot| (slot.kind, slot.epoch, slot.body.len()) == (fragment.kind, epoch, fragment.length);
        match slot {
            Some(slot) if fits(slot) => {}
            // Authentic parts stay; of those in the clear the later ones count, so that a forged
            // one does not stand in the way.
            Some(slot) if slot.epoch > 0 && epoch <= slot.epoch => return Ok(Inserted::Ignored),
            _ => {
                let freed = slot.as_ref().map_or(0, |slot| slot.body.len());
                if others - freed + fragment.length > MAX_BYTES {
                    return Ok(Inserted::Ignored);
                }
                *slot = Some(Slot::new(epoch, fragment));
            }
        }
        let slot = slot.as_mut().ok_or(Fault::crypto())?;
        Ok(if slot.insert(fragment) { Inserted::New } else { Inserted::Ignored })
    }

    /// Returns the next message, if it is whole.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        if !self.slots.front()?.as_ref()?.is_whole() {
            return None;
        }
        let Slot { kind, epoch, body, .. } = self.slots.pop_front()??;
        let number = self.next;
        // More than 65,535 messages have no numbers: a peer that goes on is not heard any more.
        self.next = self.next.checked_add(1)?;
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
        Some(Message { kind, number, epoch, body })
    }
}

impl Slot {
    fn new(epoch: u64, fragment: &Fragment<'_>) -> Self {
        Self { kind: fragment.kind, epoch, body: vec![0; fragment.length], pieces: Vec::new() }
    }

    /// Returns true if there was something new in the fragment.
    fn insert(&mut self, fragment: &Fragment<'_>) -> bool {
        let (start, end) = (fragment.offset, fragment.offset + fragment.bytes.len());
        let is_known = self.pieces.iter().any(|(from, to)| *from <= start && end <= *to);
        if is_known || start == end && !self.body.is_empty() {
            return false;
        }
        let Some(target) = self.body.get_mut(start..end) else { return false };
        if self.pieces.len() >= MAX_PIECES {
            return false;
        }
        target.copy_from_slice(fragment.bytes);
        add_range(&mut self.pieces, start, end);
        true
    }

    fn is_whole(&self) -> bool {
        self.pieces.first() == Some(&(0, self.body.len()))
    }
}

/// Adds a range to a list of ranges in order, and joins those that touch.
pub(super) fn add_range(ranges: &mut Vec<(usize, usize)>, start: usize, end: usize) {
    let at = ranges.partition_point(|(_, to)| *to < start);
    let until = ranges.partition_point(|(from, _)| *from <= end);
    if at == until {
        ranges.insert(at, (start, end));
        return;
    }
    let joined = (start.min(ranges[at].0), end.max(ranges[until - 1].1));
    ranges.drain(at + 1..until);
    ranges[at] = joined;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragment(number: u16, length: usize, offset: usize, bytes: &[u8]) -> Fragment<'_> {
        Fragment { kind: 11, length, number, offset, bytes }
    }

    #[test]
    fn fragments_overlap_and_come_in_any_order() {
        let mut reassembly = Reassembly::default();
        let body: Vec<u8> = (0..100).collect();
        assert_eq!(reassembly.insert(0, &fragment(1, 0, 0, &[])), Ok(Inserted::New));
        for (from, to) in [(60, 100), (10, 30), (20, 70), (15, 18)] {
            reassembly.insert(0, &fragment(0, 100, from, &body[from..to])).unwrap();
            assert_eq!(reassembly.pop(), None);
        }
        reassembly.insert(0, &fragment(0, 100, 0, &body[..11])).unwrap();
        assert_eq!(reassembly.pop().unwrap().body, body);
        assert_eq!(reassembly.pop().unwrap().number, 1);
        assert_eq!(reassembly.insert(0, &fragment(0, 100, 0, &body[..11])), Ok(Inserted::Old));
    }

    #[test]
    fn memory_is_bounded() {
        let mut reassembly = Reassembly::default();
        assert!(reassembly.insert(0, &fragment(0, 1 << 20, 0, &[1])).is_err());
        for number in 0..1000 {
            reassembly.insert(0, &fragment(number, MAX_MESSAGE, 5, &[1])).unwrap();
            for offset in (0..MAX_MESSAGE).step_by(2) {
                reassembly.insert(0, &fragment(0, MAX_MESSAGE, offset, &[1])).unwrap();
            }
        }
        let slots = || reassembly.slots.iter().flatten();
        assert!(slots().map(|slot| slot.body.len()).sum::<usize>() <= MAX_BYTES);
        assert!(slots().all(|slot| slot.pieces.len() <= MAX_PIECES));
        assert!(reassembly.slots.len() <= MAX_AHEAD);
    }

    #[test]
    fn forged_parts_do_not_stand_in_the_way() {
        let mut reassembly = Reassembly::default();
        reassembly.insert(0, &fragment(0, 50, 0, &[9; 10])).unwrap();
        reassembly.insert(2, &fragment(0, 3, 0, &[1, 2])).unwrap();
        assert_eq!(reassembly.insert(0, &fragment(0, 50, 0, &[9; 50])), Ok(Inserted::Ignored));
        reassembly.insert(2, &fragment(0, 3, 2, &[3])).unwrap();
        let message = reassembly.pop().unwrap();
        assert_eq!((message.body, message.epoch), (vec![1, 2, 3], 2));
    }

    proptest! {
        #[test]
        fn any_cuts_make_the_message(cuts in prop::collection::vec((0_usize..300, 0_usize..300), 0..60)) {
            let body: Vec<u8> = (0..300).map(|byte| byte as u8).collect();
            let mut reassembly = Reassembly::default();
            for (one, other) in cuts {
                let (from, to) = (one.min(other), one.max(other));
                reassembly.insert(0, &fragment(0, 300, from, &body[from..to])).unwrap();
            }
            for from in (0..300).step_by(50).rev() {
                reassembly.insert(0, &fragment(0, 300, from, &body[from..from + 50])).unwrap();
            }
            prop_assert_eq!(reassembly.pop().map(|message| message.body), Some(body));
        }
    }
}
