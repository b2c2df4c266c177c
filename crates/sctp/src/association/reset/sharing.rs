//! The shares of a request of the peer's: the streams that it closes, and those that we close.
//!
//! A peer answers the reset of a stream by the reset of its own direction (RFC 8831 §6.7). dcsctp,
//! which Chromium has, puts all streams that wait for that into one request; a request that is
//! larger than its packets is never sent, and every later closing of the association waits behind
//! it. So no more of our streams wait for the peer than fit into one request of its beside those
//! that it may close on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::serial::StreamId;

/// Streams in the largest request that Chromium sends: 32 + 2 × 578 bytes, padded, are 1,188, and
/// the next multiple of four is more than the 1,191 of its packets.
const MAX_IN_PEER_REQUEST: usize = 578;

/// Streams that the peer may close at once on its own where more are open than fit into its
/// request.
const PEER_SHARE: usize = 500;

/// The time that a stream that we have reset waits for the peer's reset before it counts as
/// abandoned: four losses in a row of a request whose timeout begins at 500 ms and doubles take 7.5
/// s.
const PATIENCE: Duration = Duration::from_secs(10);

/// The streams of which one direction is reset, or about to be, and the other is not.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// Streams whose reset we have asked for, and that the peer has not reset since; with the time
    /// at which it has granted ours.
    half_closed: BTreeMap<StreamId, Option<Instant>>,
    /// Streams that the peer has reset, and we have not since.
    answers: BTreeSet<StreamId>,
}

impl Sharing {
    /// Returns how many streams we may ask to reset that the peer has not reset. The known streams
    /// are those that we have not reset.
    ///
    /// If all streams in use would fit into one request of the peer's, any number. Otherwise the
    /// peer's share is left free. So the last of many closings, with which fewer streams are left,
    /// go at once.
    pub(super) fn room(&self, known_streams: usize) -> usize {
        let reset = self.half_closed.values().flatten().count();
        let could_stand_in_one = (known_streams + reset).saturating_sub(self.answers.len());
        if could_stand_in_one <= MAX_IN_PEER_REQUEST {
            usize::MAX
        } else {
            (MAX_IN_PEER_REQUEST - PEER_SHARE).saturating_sub(self.half_closed.len())
        }
    }

    /// Returns whether the reset of a stream answers the peer's.
    pub(super) fn is_answer(&self, stream: StreamId) -> bool {
        self.answers.contains(&stream)
    }

    /// The peer is asked to let us reset a stream, and has to answer by its own reset.
    pub(super) fn ask(&mut self, stream: StreamId) {
        self.half_closed.insert(stream, None);
    }

    /// The peer has reset a stream.
    pub(super) fn on_incoming(&mut self, stream: StreamId, is_known: bool) {
        if self.half_closed.remove(&stream).is_none() && is_known {
            self.answers.insert(stream);
        }
    }

    /// Our direction of a stream is reset.
    pub(super) fn on_performed(&mut self, now: Instant, stream: StreamId) {
        self.answers.remove(&stream);
        if let Some(since) = self.half_closed.get_mut(&stream) {
            *since = Some(now);
        }
    }

    /// Our direction of a stream stays as it is.
    pub(super) fn on_refused(&mut self, stream: StreamId) {
        self.half_closed.remove(&stream);
        self.answers.remove(&stream);
    }

    /// Returns when the next stream is abandoned.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.half_closed.values().flatten().min().map(|since| *since + PATIENCE)
    }

    /// Takes the streams whose reset the peer has left unanswered for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<StreamId> {
        let is_due = |since: &Option<Instant>| since.is_some_and(|since| since + PATIENCE <= now);
        let due = self.half_closed.iter().filter(|(_, since)| is_due(since));
        let due: Vec<_> = due.map(|(stream, _)| *stream).collect();
        self.half_closed.retain(|_, since| !is_due(since));
        due
    }
}
