//! The limit on answers to unauthenticated sources, against reflection.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

use super::config::AnswerLimit;
use super::hash::Keyed;

/// The buckets of [`AnswerLimit`], in a table of fixed size: prefixes that hash to the same slot
/// share it.
#[derive(Debug)]
pub(super) struct Answers {
    limit: AnswerLimit,
    keyed: Keyed,
    start: Instant,
    slots: Box<[Slot]>,
}

/// In thousandths of a byte, so that a slow rate loses nothing to rounding in a millisecond.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Milliseconds since the start when the slot was last filled.
    at: u64,
    /// Filled by time alone.
    by_time: u64,
    /// Filled by what comes in, and a little by time.
    by_share: u64,
}

impl Answers {
    pub(super) fn new(limit: AnswerLimit, keyed: Keyed, start: Instant) -> Self {
        let full = u64::from(limit.burst) * 1000;
        let slots =
            vec![Slot { at: 0, by_time: full, by_share: full }; limit.slots.max(1)].into_boxed_slice();
        Self { limit, keyed, start, slots }
    }

    /// Counts a message of `len` bytes. Returns whether an answer of at least `answer` bytes could
    /// go out.
    pub(super) fn note(&mut self, now: Instant, source: IpAddr, len: usize, answer: usize) -> bool {
        let share = len as u64 * u64::from(self.limit.share_percent) * 10;
        let full = u64::from(self.limit.burst) * 1000;
        let slot = self.slot(now, source);
        slot.by_share = (slot.by_share + share).min(full);
        slot.has(answer)
    }

    /// Returns whether an answer of `len` bytes may go out; if so, it is taken from the buckets.
    pub(super) fn take(&mut self, now: Instant, source: IpAddr, len: usize) -> bool {
        let slot = self.slot(now, source);
        let has = slot.has(len);
        if has {
            slot.by_time -= len as u64 * 1000;
            slot.by_share -= len as u64 * 1000;
        }
        has
    }

    /// Fills the buckets: a client there received our nonce and signed with it, so the prefix is no
    /// victim.
    pub(super) fn proven(&mut self, now: Instant, source: IpAddr) {
        let full = u64::from(self.limit.burst) * 1000;
        let slot = self.slot(now, source);
        (slot.by_time, slot.by_share) = (full, full);
    }

    fn slot(&mut self, now: Instant, source: IpAddr) -> &mut Slot {
        let hash = self.keyed.hash_one(prefix(source, 24, 56));
        let index = (hash % self.slots.len() as u64) as usize;
        let ms = now.saturating_duration_since(self.start).as_millis() as u64;
        let slot = &mut self.slots[index];
        let passed = ms.saturating_sub(slot.at);
        if passed > 0 {
            let full = u64::from(self.limit.burst) * 1000;
            let grown = |tokens: u64, rate: u32| (tokens + u64::from(rate).saturating_mul(passed)).min(full);
            slot.by_time = grown(slot.by_time, self.limit.bytes_per_second);
            slot.by_share = grown(slot.by_share, self.limit.floor_bytes_per_second);
            slot.at = ms;
        }
        slot
    }
}

impl Slot {
    fn has(&self, len: usize) -> bool {
        self.by_time.min(self.by_share) >= len as u64 * 1000
    }
}

/// The network that an address is in, as bits to compare: the first `v4` bits of an IPv4 address,
/// the first `v6` bits of an IPv6 address.
pub(super) fn prefix(ip: IpAddr, v4: u32, v6: u32) -> (bool, u128) {
    match ip {
        IpAddr::V4(ip) => (false, u128::from(ip.to_bits() >> (32 - v4))),
        IpAddr::V6(ip) => (true, ip.to_bits() >> (128 - v6)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::start;
    use super::*;

    /// Requests of `request` bytes, answers of `answer`, `per_second` of them for `seconds`: bytes
    /// in, bytes out.
    fn flood(
        answers: &mut Answers,
        request: usize,
        answer: usize,
        per_second: u64,
        seconds: u64,
    ) -> (usize, usize) {
        let (mut bytes_in, mut bytes_out) = (0, 0);
        for i in 0..per_second * seconds {
            let now = start() + Duration::from_nanos(i * 1_000_000_000 / per_second);
            // All of one /24.
            let source = IpAddr::from([198, 51, 100, i as u8]);
            bytes_in += request;
            if answers.note(now, source, request, 32) && answers.take(now, source, answer) {
                bytes_out += answer;
            }
        }
        (bytes_in, bytes_out)
    }

    #[test]
    fn under_a_flood_less_goes_out_than_comes_in() {
        for per_second in [50, 200, 1000, 20_000] {
            let mut answers = Answers::new(AnswerLimit::default(), Keyed::new(3, 4), start());
            let (bytes_in, bytes_out) = flood(&mut answers, 28, 104, per_second, 60);
            assert!(bytes_out < bytes_in, "{per_second}/s: {bytes_in} in, {bytes_out} out");
            assert!(bytes_out <= 8000 + 60 * 4000, "{per_second}/s: {bytes_out} out");
            assert!(bytes_out > 8000, "it does not fall silent");
        }
    }

    #[test]
    fn a_prefix_that_proves_itself_is_answered_again() {
        let mut answers = Answers::new(AnswerLimit::default(), Keyed::new(3, 4), start());
        let source = IpAddr::from([198, 51, 100, 1]);
        flood(&mut answers, 28, 104, 10_000, 1);
        let now = start() + Duration::from_secs(1);
        assert!(!answers.take(now, source, 4001));
        answers.proven(now, source);
        assert!(answers.take(now, source, 4001));
    }

    #[test]
    fn another_prefix_is_not_disturbed() {
        let mut answers = Answers::new(AnswerLimit::default(), Keyed::new(3, 4), start());
        flood(&mut answers, 28, 104, 10_000, 1);
        let other = IpAddr::from([198, 51, 101, 1]);
        assert!(answers.note(start() + Duration::from_secs(1), other, 28, 8000));
    }

    #[test]
    fn prefixes_have_the_given_lengths() {
        let p = |s: &str| prefix(s.parse().unwrap(), 24, 56);
        assert_eq!(p("10.0.0.1"), p("10.0.0.255"));
        assert_ne!(p("10.0.0.1"), p("10.0.1.1"));
        assert_eq!(p("2a00:0:0:1::"), p("2a00:0:0:ff::1"));
        assert_ne!(p("2a00:0:0:100::"), p("2a00:0:0:1::"));
    }
}
