//! Packets that were sent, for those who ask for them again.

use std::time::{Duration, Instant};

use crate::numbers::SequenceNumber;

/// Packets back from the newest that are kept.
const KEPT: usize = 2048;

/// The bounds of retransmission.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryLimits {
    /// The age at which a packet is of no use any more.
    pub max_age: Duration,
    /// The number of times that a packet is sent again.
    pub max_resends: u8,
    /// The part of the bytes sent that retransmissions may be on average, 0 to 1.
    pub share: f64,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(2), max_resends: 10, share: 0.5 }
    }
}

#[derive(Debug)]
struct Slot {
    sequence: SequenceNumber,
    sent: Instant,
    resent: Option<Instant>,
    resends: u8,
    packet: Vec<u8>,
}

/// The packets of one stream, in the clear. The memory of those that are too old is used again, so
/// that nothing is allocated for a packet once there are as many as the stream needs.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    slots: Vec<Option<Slot>>,
    /// The place of the oldest packet, or one before it.
    oldest: usize,
    /// Bytes that may be sent again.
    allowance: f64,
}

impl History {
    /// Bytes that may be sent again before a share has built up.
    const FIRST_ALLOWANCE: f64 = 100_000.0;

    /// Returns an empty history.
    #[must_use]
    pub fn new(limits: HistoryLimits) -> Self {
        let slots = std::iter::repeat_with(|| None).take(KEPT).collect();
        Self { limits, slots, oldest: 0, allowance: Self::FIRST_ALLOWANCE }
    }

    /// Keeps a packet that was sent.
    pub fn store(&mut self, now: Instant, sequence: SequenceNumber, packet: &[u8]) {
        let earned = self.limits.share * packet.len() as f64;
        self.allowance = (self.allowance + earned).min(Self::FIRST_ALLOWANCE.max(earned));
        let place = usize::from(sequence.0) % KEPT;
        let mut bytes = match self.slots[place].take() {
            Some(slot) => slot.packet,
            None => self.take_oldest(now, place),
        };
        bytes.clear();
        bytes.extend_from_slice(packet);
        self.slots[place] = Some(Slot { sequence, sent: now, resent: None, resends: 0, packet: bytes });
    }

    /// Returns the memory of the oldest packet, if it is of no use any more.
    fn take_oldest(&mut self, now: Instant, newest: usize) -> Vec<u8> {
        // Numbers that were never stored leave gaps.
        while self.slots[self.oldest].is_none() && self.oldest != newest {
            self.oldest = (self.oldest + 1) % KEPT;
        }
        let is_old = |slot: &mut Slot| now.saturating_duration_since(slot.sent) > self.limits.max_age;
        self.slots[self.oldest].take_if(is_old).map(|slot| slot.packet).unwrap_or_default()
    }

    /// Returns a packet to be sent again; `None` if it is not kept, too old, was sent again too
    /// often or less than a round trip ago, or if too much was sent again.
    pub fn resend(&mut self, now: Instant, sequence: SequenceNumber, round_trip: Duration) -> Option<&[u8]> {
        let slot = self.slots[usize::from(sequence.0) % KEPT].as_mut()?;
        let age = now.saturating_duration_since(slot.sent);
        let waits = slot.resent.is_some_and(|at| now.saturating_duration_since(at) < round_trip);
        let bytes = slot.packet.len() as f64;
        if slot.sequence != sequence
            || age > self.limits.max_age
            || slot.resends >= self.limits.max_resends
            || waits
            || bytes > self.allowance
        {
            return None;
        }
        (slot.resent, slot.resends) = (Some(now), slot.resends + 1);
        self.allowance -= bytes;
        Some(&slot.packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    #[test]
    fn packets_are_sent_again_within_limits() {
        let start = crate::test_time();
        let mut history = History::new(HistoryLimits { max_resends: 2, ..HistoryLimits::default() });
        history.store(start, SequenceNumber(7), b"packet");
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(history.resend(at(10), SequenceNumber(7), RTT), Some(&b"packet"[..]));
        assert_eq!(history.resend(at(59), SequenceNumber(7), RTT), None);
        assert_eq!(history.resend(at(60), SequenceNumber(7), RTT), Some(&b"packet"[..]));
        assert_eq!(history.resend(at(500), SequenceNumber(7), RTT), None);
        assert_eq!(history.resend(at(500), SequenceNumber(7 + KEPT as u16), RTT), None);
        history.store(start, SequenceNumber(8), b"packet");
        assert_eq!(history.resend(at(2001), SequenceNumber(8), RTT), None);
    }

    /// The memory is that of the packets which are young enough, whatever gaps their numbers have.
    #[test]
    fn old_packets_give_their_memory() {
        let start = crate::test_time();
        let mut history = History::new(HistoryLimits::default());
        let mut number = 60_000_u16;
        for index in 0..5000_u32 {
            let now = start + Duration::from_millis(10) * index;
            number = number.wrapping_add(if index % 50 == 0 { 30 } else { 1 });
            history.store(now, SequenceNumber(number), &[0; 1000]);
            let held = history.slots.iter().flatten().count();
            assert!(held <= 203, "{held} packets after {index}");
            if index % 10 == 0 {
                assert!(history.resend(now, SequenceNumber(number), RTT).is_some(), "{index}");
            }
        }
    }

    /// Requests for everything, again and again, do not double what is sent.
    #[test]
    fn storms_of_requests_are_bounded() {
        let start = crate::test_time();
        let mut history = History::new(HistoryLimits::default());
        let (mut sent, mut resent) = (0, 0);
        for number in 0..20_000_u32 {
            let now = start + Duration::from_millis(u64::from(number));
            history.store(now, SequenceNumber(number as u16), &[0; 1000]);
            sent += 1000;
            for back in 0..20 {
                let wanted = SequenceNumber((number as u16).wrapping_sub(back));
                resent += history.resend(now, wanted, Duration::ZERO).map_or(0, <[u8]>::len);
            }
        }
        assert!(resent <= sent / 2 + 101_000, "{resent} of {sent}");
    }
}
