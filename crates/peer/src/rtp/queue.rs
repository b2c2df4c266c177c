//! A bounded queue of packets whose memory is used again.

use std::collections::VecDeque;

/// Packets of the empty queue whose memory is kept.
const SPARE: usize = 64;

/// Bytes of foreign memory that is kept at most.
const MAX_SPARE: usize = 4096;

/// Packets with what is known of each.
#[derive(Debug)]
pub(super) struct Queue<T> {
    entries: VecDeque<(T, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    bytes: usize,
    max_packets: usize,
    max_bytes: usize,
}

impl<T> Queue<T> {
    pub(super) const fn new(max_packets: usize, max_bytes: usize) -> Self {
        Self { entries: VecDeque::new(), spare: Vec::new(), bytes: 0, max_packets, max_bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns true if so many packets with so many bytes fit in.
    pub(super) fn has_room(&self, packets: usize, bytes: usize) -> bool {
        self.entries.len() + packets <= self.max_packets && self.bytes + bytes <= self.max_bytes
    }

    /// Returns false if the queue is full.
    pub(super) fn push(&mut self, about: T, packet: &[u8]) -> bool {
        if !self.has_room(1, packet.len()) {
            return false;
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(packet);
        self.bytes += packet.len();
        self.entries.push_back((about, bytes));
        true
    }

    /// Takes a packet by giving other memory for that of `packet`, which is empty then. Returns
    /// false if the queue is full.
    pub(super) fn push_exchange(&mut self, about: T, packet: &mut Vec<u8>) -> bool {
        if packet.capacity() > MAX_SPARE {
            // So much memory is not kept: what waits is bounded by its lengths.
            let is_kept = self.push(about, packet);
            if is_kept {
                packet.clear();
            }
            return is_kept;
        }
        if !self.has_room(1, packet.len()) {
            return false;
        }
        self.bytes += packet.len();
        let spare = self.spare.pop().unwrap_or_default();
        self.entries.push_back((about, std::mem::replace(packet, spare)));
        packet.clear();
        true
    }

    /// Takes the first packet, if it is not longer than `limit`.
    pub(super) fn pop(&mut self, limit: usize, take: impl FnOnce(&[u8])) -> Option<T> {
        self.entries.front().filter(|(_, packet)| packet.len() <= limit)?;
        let (about, bytes) = self.entries.pop_front()?;
        self.bytes -= bytes.len();
        take(&bytes);
        if self.spare.len() < SPARE {
            self.spare.push(bytes);
        }
        Some(about)
    }

    /// Returns what is known of the first packet.
    pub(super) fn front(&self) -> Option<&T> {
        self.entries.front().map(|(about, _)| about)
    }

    /// Returns the packets in their order.
    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|(_, packet)| &packet[..])
    }

    /// Drops the packets that are not to be kept.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&[u8]) -> bool) {
        let Self { entries, spare, bytes, .. } = self;
        entries.retain_mut(|(_, packet)| {
            let is_kept = keeps(packet);
            if !is_kept {
                *bytes -= packet.len();
                if spare.len() < SPARE {
                    spare.push(std::mem::take(packet));
                }
            }
            is_kept
        });
    }

    /// Takes the first packet by giving its memory for that of `buf`.
    pub(super) fn exchange(&mut self, buf: &mut Vec<u8>) -> Option<T> {
        let (about, bytes) = self.entries.pop_front()?;
        self.bytes -= bytes.len();
        let spare = std::mem::replace(buf, bytes);
        if self.spare.len() < SPARE && spare.capacity() <= MAX_SPARE {
            self.spare.push(spare);
        }
        Some(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_bytes_are_bounded() {
        let mut queue = Queue::new(3, 10);
        assert!(queue.push(1, &[0; 4]) && queue.push(2, &[0; 4]));
        assert!(!queue.push(3, &[0; 4]) && queue.push(4, &[0; 1]) && !queue.push(5, &[]));
        assert_eq!(queue.pop(3, |_| panic!("it is longer")), None);
        let mut len = 0;
        assert_eq!(queue.pop(4, |packet| len = packet.len()), Some(1));
        assert_eq!(len, 4);
        assert!(queue.has_room(1, 5) && !queue.has_room(2, 0) && !queue.has_room(1, 6));
        assert!(queue.push(6, &[0; 5]));
        assert_eq!([0; 3].map(|_| queue.pop(9, |_| {})), [Some(2), Some(4), Some(6)]);
        assert!(queue.is_empty() && queue.bytes == 0);
        assert!(queue.push(7, &[1; 3]) && queue.push(8, &[2; 2]));
        let mut buf = vec![0; 9];
        assert_eq!((queue.exchange(&mut buf), &buf[..]), (Some(7), &[1; 3][..]));
        assert!(queue.push(9, &[3; 1]));
        assert_eq!((queue.exchange(&mut buf), &buf[..]), (Some(8), &[2; 2][..]));
        assert_eq!((queue.exchange(&mut buf), &buf[..]), (Some(9), &[3; 1][..]));
        assert!(queue.exchange(&mut buf).is_none() && queue.bytes == 0);
    }

    #[test]
    fn packets_that_are_not_kept_leave_room() {
        let mut queue = Queue::new(9, 10);
        (1..=4).for_each(|len| assert!(queue.push(len, &[len as u8; 4][..len])));
        assert_eq!((queue.front(), queue.packets().next()), (Some(&1), Some(&[1][..])));
        queue.retain(|packet| packet.len() % 2 == 0);
        assert_eq!((queue.front(), queue.bytes()), (Some(&2), 6));
        assert!(queue.has_room(7, 4) && !queue.has_room(1, 5));
        assert_eq!([0; 3].map(|_| queue.pop(9, |_| {})), [Some(2), Some(4), None]);
        assert_eq!((queue.bytes(), queue.spare.len()), (0, 4));
    }

    #[test]
    fn memory_is_exchanged_unless_it_is_large() {
        let mut queue = Queue::new(2, 10);
        let mut packet = vec![1, 2, 3];
        let memory = packet.as_ptr();
        assert!(queue.push_exchange(1, &mut packet) && packet.is_empty());
        let mut large = Vec::with_capacity(MAX_SPARE + 1);
        large.extend_from_slice(&[4; 7]);
        assert!(queue.push_exchange(2, &mut large) && large.is_empty() && large.capacity() > MAX_SPARE);
        let mut refused = vec![5];
        assert!(!queue.push_exchange(3, &mut refused) && refused == [5]);
        let mut buf = Vec::new();
        assert_eq!((queue.exchange(&mut buf), buf.as_ptr()), (Some(1), memory));
        assert_eq!((queue.exchange(&mut buf), &buf[..]), (Some(2), &[4; 7][..]));
    }
}
