//! Loss detection by time (RFC 8985, applied to TSNs): a chunk is lost when one that was sent
//! sufficiently later has arrived.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Marks;
use super::outstanding::{AckSummary, Outstanding, SentState};
use super::rtt::RoundTrip;
use crate::serial::Tsn;

/// The order in which chunks arrive.
#[derive(Debug)]
pub(crate) struct Rack {
    /// The latest sent chunk that has arrived: when it was sent, and its TSN.
    newest: Option<(Instant, Tsn)>,
    /// The round trip of that chunk.
    round_trip: Duration,
    reordering_seen: bool,
    /// By how many quarters of the least round trip order may be disturbed.
    window_quarters: u32,
    /// Recoveries until a widened window is narrowed again.
    persist: u32,
    /// All before it have been looked at: they are acknowledged, lost, or in `resent`. What is
    /// behind was sent once, in order.
    cursor: Tsn,
    /// Chunks sent more than once, in order of time. At most one entry for each transmission that
    /// is not settled.
    resent: VecDeque<(Instant, Tsn)>,
}

impl Rack {
    pub(crate) fn new(initial: Tsn) -> Self {
        Self {
            newest: None,
            round_trip: Duration::ZERO,
            reordering_seen: false,
            window_quarters: 1,
            persist: 0,
            cursor: initial,
            resent: VecDeque::new(),
        }
    }

    /// A chunk has been sent again.
    pub(crate) fn on_resent(&mut self, now: Instant, tsn: Tsn) {
        self.resent.push_back((now, tsn));
    }

    /// The timer has taken everything for lost: nothing is left to be looked at.
    pub(crate) fn on_timeout(&mut self, next_tsn: Tsn) {
        self.cursor = next_tsn;
        self.resent.clear();
    }

    /// The timer was wrong: what it took for lost is on its way after all, and may be lost all the
    /// same. The first of it all, and what of it was sent more than once, which is older than
    /// whatever has been sent again since.
    pub(crate) fn on_revived(&mut self, base: Tsn, mut resent: Vec<(Instant, Tsn)>) {
        self.cursor = base;
        resent.sort_by_key(|(sent_at, _)| *sent_at);
        for entry in resent.into_iter().rev() {
            self.resent.push_front(entry);
        }
    }

    /// A recovery has ended.
    pub(crate) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.window_quarters = 1;
        }
    }

    /// The peer has reported duplicates: what was taken for lost was only late. In a recovery it is
    /// the wait that was too short.
    pub(crate) fn on_duplicates(&mut self, recovering: bool) {
        self.reordering_seen = true;
        if !recovering {
            return;
        }
        self.window_quarters = (self.window_quarters + 1).min(MAX_WINDOW_QUARTERS);
        self.persist = WIDENED_RECOVERIES;
    }

    /// Takes in an acknowledgement.
    pub(crate) fn on_acked(&mut self, now: Instant, summary: &AckSummary, round_trip: &RoundTrip) {
        self.reordering_seen |= summary.reordered;
        let Some(newest) = summary.newest else { return };
        let took = now.saturating_duration_since(newest.sent_at);
        // The answer may be to the first transmission.
        if newest.retransmitted && round_trip.min().is_some_and(|min| took < min) {
            return;
        }
        self.round_trip = took;
        let this = (newest.sent_at, newest.tsn);
        if self
            .newest
            .is_none_or(|(sent_at, tsn)| sent_at < this.0 || (sent_at == this.0 && this.1.is_after(tsn)))
        {
            self.newest = Some(this);
        }
    }

    /// Finds what is lost, and tells of each such chunk how long it is and what it remembers. Says
    /// when to look again.
    pub(crate) fn detect(
        &mut self,
        now: Instant,
        chunks: &mut Outstanding,
        round_trip: &RoundTrip,
        recovering: bool,
        mut lost: impl FnMut(usize, &Marks),
    ) -> Option<Instant> {
        let mut again = None;
        let (newest_sent, newest_tsn) = self.newest?;
        let mut mark = |chunks: &mut Outstanding, tsn| {
            if let Some((length, marks)) = chunks.mark_lost(tsn) {
                lost(length, &marks);
            }
        };
        let patience = self.round_trip + self.reordering_window(chunks, round_trip, recovering);
        let overtaken =
            |sent_at, tsn| sent_at < newest_sent || (sent_at == newest_sent && newest_tsn.is_after(tsn));

        while let Some(&(sent_at, tsn)) = self.resent.front() {
            let current = !chunks.base().is_after(tsn)
                && chunks
                    .get(tsn)
                    .is_some_and(|sent| sent.state == SentState::InFlight && sent.sent_at == sent_at);
            if current {
                if !overtaken(sent_at, tsn) || !chunks.is_told(tsn) {
                    break;
                }
                if sent_at + patience > now {
                    again = Some(sent_at + patience);
                    break;
                }
                mark(chunks, tsn);
            }
            self.resent.pop_front();
        }
        if chunks.base().is_after(self.cursor) {
            self.cursor = chunks.base();
        }
        while let Some(sent) = chunks.get(self.cursor) {
            if sent.state == SentState::InFlight && sent.transmissions == 1 {
                if !overtaken(sent.sent_at, self.cursor) || !chunks.is_told(self.cursor) {
                    break;
                }
                if sent.sent_at + patience > now {
                    let when = sent.sent_at + patience;
                    again = Some(again.map_or(when, |again: Instant| again.min(when)));
                    break;
                }
                mark(chunks, self.cursor);
            }
            self.cursor = self.cursor.next();
        }
        again
    }

    /// Returns how long to wait for chunks that may only be late (RFC 8985 §6.2.3).
    fn reordering_window(&self, chunks: &Outstanding, round_trip: &RoundTrip, recovering: bool) -> Duration {
        if !self.reordering_seen {
            let beyond = chunks.highest_acked().since(chunks.base());
            if recovering || (DUPLICATE_THRESHOLD..u32::MAX / 2).contains(&beyond) {
                return Duration::ZERO;
            }
        }
        let least = round_trip.min().unwrap_or_default();
        (least * self.window_quarters / 4).min(round_trip.estimate())
    }
}

/// So many TSNs beyond a hole are a sign of loss, as long as no reordering has been seen.
const DUPLICATE_THRESHOLD: u32 = 3;
/// RFC 8985 §7.2: a widened window is kept for so many recoveries.
const WIDENED_RECOVERIES: u32 = 16;
/// The window is never wider than so many quarters of the least round trip; the smoothed one bounds
/// it, too.
const MAX_WINDOW_QUARTERS: u32 = 16;
