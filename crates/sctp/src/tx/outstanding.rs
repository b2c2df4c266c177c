//! Chunks that have been sent and not yet acknowledged for good: a ring indexed by TSN.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{Fragment, Marks};
use crate::bit_ring::BitRing;
use crate::serial::{Ppid, StreamId, Tsn};
use crate::wire::{Data, Sack, Skipped};

/// The time that a message is worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Reliable,
    Retransmits(u16),
    Until(Instant),
}

/// A chunk that has been sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) stream: StreamId,
    pub(crate) ppid: Ppid,
    pub(crate) payload: Bytes,
    pub(crate) unordered: bool,
    pub(crate) begin: bool,
    pub(crate) end: bool,
    pub(crate) message: u32,
    pub(crate) fragment: u32,
    pub(crate) policy: Policy,
    pub(crate) sent_at: Instant,
    /// The number of times that it was sent.
    pub(crate) transmissions: u16,
    pub(crate) state: SentState,
    pub(crate) marks: Marks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SentState {
    InFlight,
    /// Acknowledged, if only in a gap block.
    Acked,
    /// To be sent again.
    Lost,
    /// Not to be sent again, though it has not arrived.
    Abandoned,
}

/// The changes by a SACK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSummary {
    /// The cumulative TSN has moved.
    pub(crate) advanced: bool,
    /// Bytes (of chunks on the wire) acknowledged for the first time.
    pub(crate) acked: usize,
    /// Of these, what was sent in a quiet phase of the controller.
    pub(crate) quiet: usize,
    /// The state at the moment when the latest sent of the newly acknowledged chunks was sent.
    pub(crate) newest: Option<NewestAcked>,
    /// Something that had been taken for lost, and not been sent again, has arrived.
    pub(crate) revived: bool,
    /// Something arrived late although it was sent only once.
    pub(crate) reordered: bool,
}

/// The latest sent among newly acknowledged chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewestAcked {
    pub(crate) tsn: Tsn,
    pub(crate) sent_at: Instant,
    pub(crate) retransmitted: bool,
    pub(crate) marks: Marks,
}

/// The peer acknowledges what was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeverSent;

/// Chunks in flight, lost, or acknowledged beyond a hole. Bounded by the peer's window, and by the
/// [`MAX_CHUNKS`] that gap blocks can name.
#[derive(Debug)]
pub(crate) struct Outstanding {
    base: Tsn,
    chunks: VecDeque<Sent>,
    acked: BitRing,
    highest_acked: Tsn,
    /// The first and the last TSN of which the last SACK has told; `None` where nothing bounds it.
    told: (Option<Tsn>, Option<Tsn>),
    interleaved: bool,
    /// Bytes of chunks on the way, as they are on the wire.
    in_flight: usize,
    /// Payload bytes that count against the peer's window.
    payload: usize,
    /// TSNs to be sent again, in the order in which they were found lost. Some have been
    /// acknowledged since.
    lost: VecDeque<Tsn>,
}

impl Outstanding {
    pub(crate) fn new(initial: Tsn) -> Self {
        Self {
            base: initial,
            chunks: VecDeque::new(),
            acked: BitRing::new(initial),
            highest_acked: initial.previous(),
            told: (None, None),
            interleaved: false,
            in_flight: 0,
            payload: 0,
            lost: VecDeque::new(),
        }
    }

    pub(crate) fn set_interleaved(&mut self, interleaved: bool) {
        self.interleaved = interleaved;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The TSN of the next new chunk.
    pub(crate) fn next_tsn(&self) -> Tsn {
        self.base.plus(self.chunks.len() as u32)
    }

    /// The first TSN that is not acknowledged for good.
    pub(crate) fn base(&self) -> Tsn {
        self.base
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Payload bytes on their way to the peer, or lost on it.
    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    pub(crate) fn highest_acked(&self) -> Tsn {
        self.highest_acked
    }

    /// Returns whether the peer had the room to say that it has this chunk.
    pub(crate) fn is_told(&self, tsn: Tsn) -> bool {
        let (first, last) = self.told;
        first.is_none_or(|first| !first.is_after(tsn)) && last.is_none_or(|last| !tsn.is_after(last))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.chunks.len() >= if self.interleaved { MAX_CHUNKS } else { MAX_DATA_CHUNKS }
    }

    pub(crate) fn get(&self, tsn: Tsn) -> Option<&Sent> {
        self.chunks.get(tsn.since(self.base) as usize)
    }

    /// Adds a chunk that goes out for the first time.
    pub(crate) fn push(&mut self, sent: Sent) -> Tsn {
        let tsn = self.next_tsn();
        if sent.state == SentState::InFlight {
            self.in_flight += sent.wire_length(self.interleaved);
            self.payload += sent.payload.len();
        }
        self.chunks.push_back(sent);
        tsn
    }

    /// The first lost chunk that is still to be sent again, and its length on the wire.
    pub(crate) fn next_lost(&mut self) -> Option<(Tsn, usize)> {
        while let Some(&tsn) = self.lost.front() {
            match self.get(tsn).filter(|_| !self.base.is_after(tsn)) {
                Some(sent) if sent.state == SentState::Lost => {
                    return Some((tsn, sent.wire_length(self.interleaved)));
                }
                _ => self.lost.pop_front(),
            };
        }
        if self.lost.capacity() > SPARE_CHUNKS {
            self.lost = VecDeque::new();
        }
        None
    }

    /// A chunk goes out again.
    pub(crate) fn resend(
        &mut self,
        tsn: Tsn,
        now: Instant,
        mut marks: impl FnMut(usize, usize) -> Marks,
    ) -> Option<&Sent> {
        let index = tsn.since(self.base) as usize;
        let sent = self.chunks.get_mut(index)?;
        let length = sent.wire_length(self.interleaved);
        sent.marks = marks(self.in_flight, length);
        if sent.state == SentState::Lost {
            self.in_flight += length;
        }
        sent.state = SentState::InFlight;
        sent.sent_at = now;
        sent.transmissions = sent.transmissions.saturating_add(1);
        Some(sent)
    }

    /// Takes in an acknowledgement. `None` if it is older than what is known.
    pub(crate) fn on_sack(&mut self, sack: &Sack<'_>) -> Result<Option<AckSummary>, NeverSent> {
        let passed = sack.cumulative_tsn.next().since(self.base);
        if passed > u32::MAX / 2 {
            return Ok(None);
        }
        if passed as usize > self.chunks.len() {
            return Err(NeverSent);
        }
        let mut summary = AckSummary {
            advanced: passed > 0,
            acked: 0,
            quiet: 0,
            newest: None,
            revived: false,
            reordered: false,
        };
        for _ in 0..passed {
            self.acknowledge_first(&mut summary);
        }
        if sack.cumulative_tsn.is_after(self.highest_acked) {
            self.highest_acked = sack.cumulative_tsn;
        }
        self.acked.advance(self.base);
        self.acknowledge_blocks(sack, &mut summary);
        self.forgive_reneging();
        Ok(Some(summary))
    }

    /// Gives the memory of an empty ring back: nothing waits to fill it again.
    pub(crate) fn give_back(&mut self) {
        if self.chunks.is_empty() && self.chunks.capacity() > SPARE_CHUNKS {
            self.chunks = VecDeque::new();
        }
    }

    fn acknowledge_first(&mut self, summary: &mut AckSummary) {
        let tsn = self.base;
        let Some(mut sent) = self.chunks.pop_front() else { return };
        self.base = tsn.next();
        if !matches!(sent.state, SentState::Acked | SentState::Abandoned) {
            let length = sent.wire_length(self.interleaved);
            self.in_flight -= if sent.state == SentState::InFlight { length } else { 0 };
            self.payload -= sent.payload.len();
            summary.count(tsn, &mut sent, length, self.highest_acked);
        }
    }

    /// Takes in the gap blocks that make sense: those that name, in order, what was sent.
    fn acknowledge_blocks(&mut self, sack: &Sack<'_>, summary: &mut AckSummary) {
        let cumulative = sack.cumulative_tsn;
        let sent_count = self.chunks.len() as u32;
        let mut least = 2;
        let mut first = None;
        for block in sack.blocks() {
            let (start, end) = (u32::from(block.start), u32::from(block.end));
            if start < least || end < start || end > sent_count {
                continue;
            }
            least = end + 2;
            first.get_or_insert_with(|| cumulative.plus(start));
            let (base, interleaved, highest) = (self.base, self.interleaved, self.highest_acked);
            let (chunks, in_flight, payload) = (&mut self.chunks, &mut self.in_flight, &mut self.payload);
            self.acked.insert_range(cumulative.plus(start), cumulative.plus(end), |tsn| {
                let Some(sent) = chunks.get_mut(tsn.since(base) as usize) else { return };
                if sent.state == SentState::Abandoned {
                    return;
                }
                let length = sent.wire_length(interleaved);
                *in_flight -= if sent.state == SentState::InFlight { length } else { 0 };
                *payload -= sent.payload.len();
                summary.count(tsn, sent, length, highest);
                sent.state = SentState::Acked;
            });
            if cumulative.plus(end).is_after(self.highest_acked) {
                self.highest_acked = cumulative.plus(end);
            }
        }
        let last = cumulative.plus(least - 2);
        self.told = (first.filter(|_| sack.is_resumed()), sack.is_cut().then_some(last));
    }

    /// A receiver may throw away what it has acknowledged only in gap blocks (RFC 9260 §6.2). It
    /// has done so if the chunk behind the cumulative TSN is one of those: then none of them can be
    /// relied upon.
    fn forgive_reneging(&mut self) {
        if self.chunks.front().is_none_or(|sent| sent.state != SentState::Acked) {
            return;
        }
        self.acked.clear();
        for (offset, sent) in self.chunks.iter_mut().enumerate() {
            if sent.state == SentState::Acked {
                sent.state = SentState::Lost;
                self.payload += sent.payload.len();
                self.lost.push_back(self.base.plus(offset as u32));
            }
        }
    }

    /// Takes a chunk in flight for lost; says how long it is on the wire, and what it remembers.
    pub(crate) fn mark_lost(&mut self, tsn: Tsn) -> Option<(usize, Marks)> {
        let index = tsn.since(self.base) as usize;
        let sent = self.chunks.get_mut(index).filter(|sent| sent.state == SentState::InFlight)?;
        sent.state = SentState::Lost;
        let length = sent.wire_length(self.interleaved);
        self.in_flight -= length;
        self.lost.push_back(tsn);
        Some((length, sent.marks))
    }

    /// Takes all that is in flight for lost: the timer has expired.
    pub(crate) fn mark_all_lost(&mut self) {
        self.lost.clear();
        for (offset, sent) in self.chunks.iter_mut().enumerate() {
            if matches!(sent.state, SentState::InFlight | SentState::Lost) {
                sent.state = SentState::Lost;
                self.lost.push_back(self.base.plus(offset as u32));
            }
        }
        self.in_flight = 0;
    }

    /// The timeout was spurious: what has not been sent again since is on its way after all. Gives
    /// those that had been sent more than once before, and when.
    pub(crate) fn revive_lost(&mut self) -> Vec<(Instant, Tsn)> {
        let mut resent = Vec::new();
        for tsn in std::mem::take(&mut self.lost) {
            let index = tsn.since(self.base) as usize;
            if let Some(sent) = self.chunks.get_mut(index).filter(|sent| sent.state == SentState::Lost) {
                sent.state = SentState::InFlight;
                self.in_flight += sent.wire_length(self.interleaved);
                if sent.transmissions > 1 {
                    resent.push((sent.sent_at, tsn));
                }
            }
        }
        resent
    }

    /// The number of times that the first chunk that is not acknowledged for good was sent.
    pub(crate) fn transmissions_of_first(&self) -> Option<u16> {
        self.chunks.front().map(|sent| sent.transmissions)
    }

    /// The last chunk that is not acknowledged: what a tail-loss probe sends.
    pub(crate) fn last_in_flight(&self) -> Option<Tsn> {
        let offset = self.chunks.iter().rposition(|sent| sent.state == SentState::InFlight)?;
        Some(self.base.plus(offset as u32))
    }

    /// Gives up all chunks of the message to which `tsn` belongs (RFC 3758 §3.5).
    pub(crate) fn abandon(&mut self, tsn: Tsn) {
        let Some(sent) = self.get(tsn) else { return };
        let (stream, unordered, message, begin) = (sent.stream, sent.unordered, sent.message, sent.begin);
        let index = tsn.since(self.base) as usize;
        let interleaved = self.interleaved;
        let same =
            |sent: &Sent| sent.stream == stream && sent.unordered == unordered && sent.message == message;
        let mut first = index;
        if !begin {
            for before in (0..index).rev() {
                let same = same(&self.chunks[before]);
                if same {
                    first = before;
                } else if !interleaved {
                    break;
                }
                if same && self.chunks[before].begin {
                    break;
                }
            }
        }
        for sent in self.chunks.range_mut(first..) {
            if !same(sent) {
                if interleaved {
                    continue;
                }
                break;
            }
            let end = sent.end;
            if !matches!(sent.state, SentState::Acked | SentState::Abandoned) {
                if sent.state == SentState::InFlight {
                    self.in_flight -= sent.wire_length(interleaved);
                }
                self.payload -= sent.payload.len();
                sent.payload = Bytes::new();
                sent.state = SentState::Abandoned;
            }
            if end {
                break;
            }
        }
    }

    /// The last abandoned TSN up to which all is acknowledged or abandoned, and the last abandoned
    /// message of each stream on the way; as many as fit.
    pub(crate) fn forward_point(&self, most: usize) -> Option<(Tsn, Vec<Skipped>)> {
        let mut skipped: Vec<Skipped> = Vec::new();
        let mut point = None;
        for (offset, sent) in self.chunks.iter().enumerate() {
            match sent.state {
                SentState::Abandoned => {
                    let entry =
                        Skipped { stream: sent.stream, unordered: sent.unordered, message: sent.message };
                    let named = !sent.unordered || self.interleaved;
                    let known = skipped
                        .iter()
                        .position(|known| known.stream == entry.stream && known.unordered == entry.unordered);
                    match known {
                        Some(known) => skipped[known] = entry,
                        None if !named => {}
                        None if skipped.len() < most => skipped.push(entry),
                        None => break,
                    }
                    point = Some(self.base.plus(offset as u32));
                }
                // The peer finds those behind the point itself; and it must not take the beginning
                // of a message, whose end is still to come, for a part of an abandoned one.
                SentState::Acked => {}
                SentState::InFlight | SentState::Lost => break,
            }
        }
        point.map(|point| (point, skipped))
    }

    /// Returns whether the chunk behind the cumulative TSN has been given up.
    pub(crate) fn should_forward(&self) -> bool {
        self.chunks.front().is_some_and(|sent| sent.state == SentState::Abandoned)
    }
}

impl AckSummary {
    /// Counts a chunk that is acknowledged for the first time.
    fn count(&mut self, tsn: Tsn, sent: &mut Sent, length: usize, highest_acked: Tsn) {
        self.acked += length;
        self.quiet += if sent.marks.quiet { length } else { 0 };
        self.revived |= sent.state == SentState::Lost;
        self.reordered |= sent.transmissions == 1 && highest_acked.is_after(tsn);
        // Of chunks sent at the same time, the one with the higher TSN is the later.
        if self.newest.is_none_or(|newest| newest.sent_at <= sent.sent_at) {
            self.newest = Some(NewestAcked {
                tsn,
                sent_at: sent.sent_at,
                retransmitted: sent.transmissions > 1,
                marks: sent.marks,
            });
        }
    }
}

impl Sent {
    /// A fragment that goes out now for the first time, or does not.
    pub(crate) fn new(now: Instant, fragment: Fragment, state: SentState) -> Self {
        Self {
            stream: fragment.stream,
            ppid: fragment.ppid,
            payload: fragment.payload,
            unordered: fragment.unordered,
            begin: fragment.begin,
            end: fragment.end,
            message: fragment.message,
            fragment: fragment.fragment,
            policy: fragment.policy,
            sent_at: now,
            transmissions: 1,
            state,
            marks: Marks::default(),
        }
    }

    /// Returns whether its policy does not let it go out again.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        match self.policy {
            Policy::Reliable => false,
            Policy::Retransmits(most) => self.transmissions > most,
            Policy::Until(end) => end <= now,
        }
    }

    pub(crate) fn wire_length(&self, interleaved: bool) -> usize {
        Data::wire_length(self.payload.len(), interleaved)
    }

    /// The chunk as it goes out.
    pub(crate) fn data(&self, tsn: Tsn, immediate: bool) -> Data<'_> {
        Data {
            tsn,
            stream: self.stream,
            unordered: self.unordered,
            begin: self.begin,
            end: self.end,
            immediate,
            message: self.message,
            fragment: self.fragment,
            ppid: self.ppid,
            payload: &self.payload,
        }
    }
}

/// The reach of gap blocks, counted in 16 bits from the cumulative TSN.
const MAX_CHUNKS: usize = u16::MAX as usize;
/// Without interleaving, stream sequence numbers have 16 bits: of more than half as many messages
/// ahead of a lost one, the peer could not tell whether they are new or old.
const MAX_DATA_CHUNKS: usize = i16::MAX as usize;
/// A ring that stays empty keeps room for so many chunks, and gives larger memory back.
const SPARE_CHUNKS: usize = 32;
