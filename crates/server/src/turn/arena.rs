//! The memory in which messages lie while they pass through: made once for each thread.

use std::io::IoSliceMut;
use std::ops::Range;

use columba_turn::server::{HEADROOM, TAILROOM};
use quinn_udp::BATCH_SIZE;

/// The largest thing that arrives in one piece, in bytes: a UDP datagram, a train of them that the
/// kernel has coalesced, or a frame of ChannelData on a stream with its header and padding.
const MAX_ARRIVAL: usize = columba_stun::stream::MAX_FRAME_LEN;

/// A place for one arrival, with room around it for headers and padding.
const SLOT: usize = (HEADROOM + MAX_ARRIVAL + TAILROOM).next_multiple_of(64);

/// The place for messages that must be copied, because they lie too close to their neighbours: one
/// of the largest, or as many small ones as go through the server at once.
const STAGE: usize = 2 * SLOT;

/// The longest message that the server makes itself, in bytes (see `Server::poll_transmit`).
const MAX_ANSWER: usize = 1280;

/// The room for answers before they are sent.
const ANSWERS: usize = 32 * MAX_ANSWER;

const STAGE_START: usize = BATCH_SIZE * SLOT;

const ANSWERS_START: usize = STAGE_START + STAGE;

const ARENA: usize = ANSWERS_START + ANSWERS;

/// The buffers: a slot for each datagram of a batch, then the stage, then the answers.
pub(super) struct Arena {
    bytes: Box<[u8]>,
    staged: usize,
    answered: usize,
}

impl Arena {
    pub(super) fn new() -> Self {
        // Zeroed memory that has not been touched yet costs address space only.
        Self { bytes: vec![0; ARENA].into_boxed_slice(), staged: STAGE_START, answered: ANSWERS_START }
    }

    /// The slots as buffers to receive a batch into.
    pub(super) fn receive_buffers(&mut self) -> [IoSliceMut<'_>; BATCH_SIZE] {
        let mut slots = self.bytes[..STAGE_START].chunks_exact_mut(SLOT);
        std::array::from_fn(|_| {
            let slot = slots.next().unwrap_or_default();
            let end = slot.len().saturating_sub(TAILROOM);
            IoSliceMut::new(slot.get_mut(HEADROOM..end).unwrap_or_default())
        })
    }

    /// The place of what was received into a slot.
    pub(super) fn received(slot: usize, length: usize) -> Range<usize> {
        let start = slot * SLOT + HEADROOM;
        start..start + length
    }

    /// Room for a message of this length, with room around it. `None` if the stage is full.
    pub(super) fn stage(&mut self, length: usize) -> Option<Range<usize>> {
        if self.staged + HEADROOM + length + TAILROOM > ANSWERS_START {
            return None;
        }
        let start = self.staged + HEADROOM;
        self.staged = start + length + TAILROOM;
        Some(start..start + length)
    }

    /// Copies what lies at `from` onto the stage.
    pub(super) fn copy_within(&mut self, from: Range<usize>, to: &Range<usize>) {
        self.bytes.copy_within(from, to.start);
    }

    /// The bytes at a place that this arena has given out.
    pub(super) fn get(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// All bytes, for the server to write headers around what lies in them.
    pub(super) fn all(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Writes bytes to a place that this arena has given out.
    pub(super) fn write(&mut self, range: &Range<usize>, bytes: &[u8]) {
        self.bytes[range.clone()].copy_from_slice(bytes);
    }

    /// Room for one more answer. `None` until those that are there have been sent.
    pub(super) fn answer_space(&mut self) -> Option<&mut [u8]> {
        (self.answered + MAX_ANSWER <= ARENA).then(|| &mut self.bytes[self.answered..])
    }

    /// Keeps the answer of this length that was written into the space for it.
    pub(super) fn keep_answer(&mut self, length: usize) -> Range<usize> {
        let range = self.answered..self.answered + length;
        self.answered = range.end;
        range
    }

    /// Empties the stage: all that was on it has been dealt with.
    pub(super) fn clear_stage(&mut self) {
        self.staged = STAGE_START;
    }

    /// The answers have been sent.
    pub(super) fn clear_answers(&mut self) {
        self.answered = ANSWERS_START;
    }
}
