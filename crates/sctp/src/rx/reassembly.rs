//! Putting messages together and in order (RFC 9260 sections 6.5, 6.6 and 6.9; RFC 8260 section 2.2.3).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::message::ReceivedMessage;
use crate::serial::{Ppid, StreamId, Tsn};
use crate::stream_table::StreamTable;
use crate::wire::Data;

/// What the owner should know of a fragment that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The stream can be read, after it could not.
    Readable(StreamId),
    /// The message is too large; the stream is of no use until it is reset.
    TooLarge(StreamId),
}

/// The unfinished and the unread messages of all streams.
#[derive(Debug)]
pub(crate) struct Reassembly {
    streams: StreamTable<Incoming>,
    /// Whether fragments are numbered within their message (I-DATA), or by TSN alone.
    interleaved: bool,
    max_message_size: usize,
    /// Memory in use for messages, in bytes, what keeps them included.
    held: usize,
    /// The part of it that the application could free by reading.
    readable: usize,
    /// How many pieces of unordered messages there are.
    unordered_pieces: usize,
}

/// The receiving side of a stream.
#[derive(Debug, Default)]
struct Incoming {
    /// The number of the next ordered message to be delivered.
    next: u32,
    /// How long the last message was: a guess for the next.
    last_length: usize,
    /// Unfinished messages, each run of fragments without a hole a piece, in order of position. Bounded like all here by the
    /// receive window and by the TSNs that may be ahead of the first hole.
    ordered: VecDeque<Piece>,
    unordered: VecDeque<Piece>,
    /// Finished messages that have to wait for earlier ones, in order.
    waiting: VecDeque<(u32, Ppid, Bytes)>,
    /// Messages to be read.
    inbox: VecDeque<(Ppid, Bytes)>,
    /// Memory in use for them.
    inbox_bytes: usize,
    /// The owner knows that there is something to read.
    announced: bool,
    /// A message was too large: the rest of the stream is thrown away.
    broken: bool,
}

/// Consecutive fragments of one message.
#[derive(Debug)]
struct Piece {
    first: Position,
    last: Position,
    begin: bool,
    end: bool,
    message: u32,
    ppid: Ppid,
    data: BytesMut,
}

/// Where a fragment stands among those of its stream. With DATA the upper half is the TSN, with I-DATA it is the message and
/// the lower half the fragment; both are compared going round.
type Position = u64;

impl Reassembly {
    pub(crate) fn new(max_message_size: usize) -> Self {
        Self {
            streams: StreamTable::default(),
            interleaved: false,
            max_message_size,
            held: 0,
            readable: 0,
            unordered_pieces: 0,
        }
    }

    pub(crate) fn set_interleaved(&mut self, interleaved: bool) {
        self.interleaved = interleaved;
    }

    /// Memory in use for messages, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The part of it that the application could free by reading.
    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    /// Takes a fragment whose TSN is new.
    pub(crate) fn take(&mut self, data: &Data<'_>) -> Option<Notice> {
        let sequence_bits = self.sequence_bits();
        let stream = self.streams.entry(data.stream, Incoming::default);
        if stream.broken || (!data.unordered && is_before(data.message, stream.next, sequence_bits)) {
            return None;
        }
        if data.payload.len() > self.max_message_size {
            return self.give_up(data.stream);
        }
        let (ppid, payload) = if data.begin && data.end {
            stream.last_length = data.payload.len();
            (data.ppid, Bytes::copy_from_slice(data.payload))
        } else {
            let step = if self.interleaved { 1 } else { 1 << 32 };
            let position = if self.interleaved {
                u64::from(data.message) << 32 | u64::from(data.fragment)
            } else {
                u64::from(data.tsn.0) << 32
            };
            self.held += data.payload.len();
            let (change, finished) = stream.take_fragment(data, position, step, self.max_message_size);
            self.held = self.held.saturating_add_signed(change * PIECE_OVERHEAD);
            if data.unordered {
                self.unordered_pieces = self.unordered_pieces.saturating_add_signed(change);
            }
            match finished {
                Fragment::Kept => return None,
                Fragment::Refused => {
                    self.held -= data.payload.len();
                    return None;
                }
                Fragment::TooLarge => return self.give_up(data.stream),
                Fragment::Finished(ppid, payload) => {
                    self.held -= payload.len();
                    (ppid, payload)
                }
            }
        };
        self.held += payload.len() + MESSAGE_OVERHEAD;
        let stream = self.streams.get_mut(data.stream)?;
        let readable_before = stream.inbox_bytes;
        if data.unordered {
            stream.make_readable(ppid, payload);
        } else if data.message == stream.next {
            stream.deliver(ppid, payload, sequence_bits);
        } else {
            self.held -= stream.wait(data.message, ppid, payload, sequence_bits);
            return None;
        }
        self.readable += stream.inbox_bytes - readable_before;
        stream.announce(data.stream)
    }

    /// The next message of a stream.
    pub(crate) fn receive(&mut self, id: StreamId) -> Option<ReceivedMessage> {
        let stream = self.streams.get_mut(id)?;
        let Some((ppid, payload)) = stream.inbox.pop_front() else {
            stream.announced = false;
            if stream.inbox.capacity() > SPARE_MESSAGES {
                stream.inbox = VecDeque::new();
            }
            return None;
        };
        stream.inbox_bytes -= payload.len() + MESSAGE_OVERHEAD;
        self.readable -= payload.len() + MESSAGE_OVERHEAD;
        self.held -= payload.len() + MESSAGE_OVERHEAD;
        Some(ReceivedMessage { stream: id, ppid, payload })
    }

    /// What the next message of a stream is.
    pub(crate) fn next_ppid(&self, id: StreamId) -> Option<Ppid> {
        self.streams.get(id)?.inbox.front().map(|(ppid, _)| *ppid)
    }

    /// The peer has given up the ordered messages of this stream up to `message`, and with I-DATA the unordered ones, too,
    /// if `unordered`.
    pub(crate) fn skip(&mut self, id: StreamId, unordered: bool, message: u32) -> Option<Notice> {
        let bits = self.sequence_bits();
        let stream = self.streams.entry(id, Incoming::default);
        let pieces = if unordered { &mut stream.unordered } else { &mut stream.ordered };
        let before = pieces.len();
        let mut freed = 0;
        pieces.retain(|piece| {
            let keep = is_before(message, piece.message, bits);
            freed += if keep { 0 } else { piece.memory() };
            keep
        });
        if unordered {
            self.unordered_pieces -= before - pieces.len();
            self.held -= freed;
            return None;
        }
        self.held -= freed;
        let readable_before = stream.inbox_bytes;
        if !is_before(message, stream.next, bits) {
            stream.release(|waiting, _| !is_before(message, waiting, bits));
            stream.next = following(message, bits);
            stream.release_in_order(bits);
        }
        self.readable += stream.inbox_bytes - readable_before;
        stream.announce(id)
    }

    /// With DATA, unordered messages that were given up are known by their TSN alone.
    pub(crate) fn skip_unordered_until(&mut self, tsn: Tsn) {
        if self.interleaved || self.unordered_pieces == 0 {
            return;
        }
        let (held, count) = (&mut self.held, &mut self.unordered_pieces);
        for stream in self.streams.values_mut() {
            stream.unordered.retain(|piece| {
                let keep = Tsn((piece.first >> 32) as u32).is_after(tsn);
                if !keep {
                    *held -= piece.memory();
                    *count -= 1;
                }
                keep
            });
        }
    }

    /// The peer has reset a stream: it starts anew, what can be read stays.
    pub(crate) fn reset(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        self.unordered_pieces -= stream.unordered.len();
        self.held -= stream.drop_unfinished();
        stream.next = 0;
        stream.broken = false;
        if stream.inbox.is_empty() {
            self.streams.remove(id);
        }
    }

    /// All streams start anew, what can be read stays.
    pub(crate) fn reset_all(&mut self) {
        for stream in self.streams.values_mut() {
            self.held -= stream.drop_unfinished();
            stream.next = 0;
            stream.broken = false;
        }
        self.unordered_pieces = 0;
    }

    fn give_up(&mut self, id: StreamId) -> Option<Notice> {
        let stream = self.streams.get_mut(id)?;
        self.unordered_pieces -= stream.unordered.len();
        self.held -= stream.drop_unfinished();
        stream.broken = true;
        Some(Notice::TooLarge(id))
    }

    /// How wide the numbers of messages are.
    fn sequence_bits(&self) -> u32 {
        if self.interleaved { 32 } else { 16 }
    }
}

/// What became of a fragment.
enum Fragment {
    Kept,
    Refused,
    TooLarge,
    Finished(Ppid, Bytes),
}

impl Incoming {
    /// Takes one of several fragments of a message. Says how many pieces there are more (or less) than before.
    fn take_fragment(
        &mut self,
        data: &Data<'_>,
        position: Position,
        step: u64,
        max_message_size: usize,
    ) -> (isize, Fragment) {
        let guess = self.last_length.min(max_message_size);
        let pieces = if data.unordered { &mut self.unordered } else { &mut self.ordered };
        let index = match pieces.back() {
            Some(back) if !is_earlier(back.last, position) => {
                pieces.partition_point(|piece| is_earlier(piece.first, position))
            }
            _ => pieces.len(),
        };
        let left = index.checked_sub(1).and_then(|left| pieces.get(left));
        if left.is_some_and(|left| !is_earlier(left.last, position))
            || pieces.get(index).is_some_and(|right| right.first == position)
        {
            return (0, Fragment::Refused);
        }
        let joins_left = !data.begin
            && left.is_some_and(|left| {
                !left.end && left.message == data.message && left.last.wrapping_add(step) == position
            });
        let (mut index, mut change) = (index, 0);
        if joins_left {
            index -= 1;
            let piece = &mut pieces[index];
            piece.data.extend_from_slice(data.payload);
            piece.last = position;
            piece.end = data.end;
        } else {
            pieces.insert(index, Piece::new(data, position, guess));
            change += 1;
        }
        let joins_right = !data.end
            && pieces.get(index + 1).is_some_and(|right| {
                !right.begin && right.message == data.message && position.wrapping_add(step) == right.first
            });
        if joins_right && let Some(right) = pieces.remove(index + 1) {
            let piece = &mut pieces[index];
            piece.data.extend_from_slice(&right.data);
            piece.last = right.last;
            piece.end = right.end;
            change -= 1;
        }
        let piece = &pieces[index];
        if piece.data.len() > max_message_size {
            return (change, Fragment::TooLarge);
        }
        if !(piece.begin && piece.end) {
            return (change, Fragment::Kept);
        }
        let Some(piece) = pieces.remove(index) else { return (change, Fragment::Kept) };
        self.last_length = piece.data.len();
        (change - 1, Fragment::Finished(piece.ppid, piece.data.freeze()))
    }

    /// Delivers the message whose turn it is, and those that waited for it.
    fn deliver(&mut self, ppid: Ppid, payload: Bytes, bits: u32) {
        self.make_readable(ppid, payload);
        self.next = following(self.next, bits);
        self.release_in_order(bits);
    }

    fn release_in_order(&mut self, bits: u32) {
        self.release(|message, next| {
            let due = message == *next;
            if due {
                *next = following(*next, bits);
            }
            due
        });
    }

    /// Makes readable what waits at the front, as long as it is `due`.
    fn release(&mut self, mut due: impl FnMut(u32, &mut u32) -> bool) {
        while let Some(&(message, ..)) = self.waiting.front() {
            if !due(message, &mut self.next) {
                break;
            }
            if let Some((_, ppid, payload)) = self.waiting.pop_front() {
                self.make_readable(ppid, payload);
            }
        }
    }

    fn make_readable(&mut self, ppid: Ppid, payload: Bytes) {
        self.inbox_bytes += payload.len() + MESSAGE_OVERHEAD;
        self.inbox.push_back((ppid, payload));
    }

    /// Keeps a message until its turn. Says how much memory is not needed after all, because it is there already.
    fn wait(&mut self, message: u32, ppid: Ppid, payload: Bytes, bits: u32) -> usize {
        let index = match self.waiting.back() {
            Some((last, ..)) if !is_before(*last, message, bits) => {
                self.waiting.partition_point(|(waiting, ..)| is_before(*waiting, message, bits))
            }
            _ => self.waiting.len(),
        };
        if self.waiting.get(index).is_some_and(|(waiting, ..)| *waiting == message) {
            return payload.len() + MESSAGE_OVERHEAD;
        }
        self.waiting.insert(index, (message, ppid, payload));
        0
    }

    fn announce(&mut self, id: StreamId) -> Option<Notice> {
        if self.announced || self.inbox.is_empty() {
            return None;
        }
        self.announced = true;
        Some(Notice::Readable(id))
    }

    /// Throws away what is not readable; says how much memory that frees.
    fn drop_unfinished(&mut self) -> usize {
        let pieces: usize = self.ordered.iter().chain(&self.unordered).map(Piece::memory).sum();
        let waiting: usize =
            self.waiting.iter().map(|(_, _, payload)| payload.len() + MESSAGE_OVERHEAD).sum();
        self.ordered = VecDeque::new();
        self.unordered = VecDeque::new();
        self.waiting = VecDeque::new();
        pieces + waiting
    }
}

impl Piece {
    fn new(data: &Data<'_>, position: Position, guess: usize) -> Self {
        // Only the beginning of a message knows that much will follow.
        let capacity = if data.begin { guess.max(2 * data.payload.len()) } else { data.payload.len() };
        let mut payload = BytesMut::with_capacity(capacity);
        payload.extend_from_slice(data.payload);
        Self {
            first: position,
            last: position,
            begin: data.begin,
            end: data.end,
            message: data.message,
            ppid: data.ppid,
            data: payload,
        }
    }

    fn memory(&self) -> usize {
        self.data.len() + PIECE_OVERHEAD as usize
    }
}

fn is_earlier(one: Position, other: Position) -> bool {
    (other.wrapping_sub(one) as i64) > 0
}

/// Whether message `one` comes before `other`, when numbers have so many bits.
fn is_before(one: u32, other: u32, bits: u32) -> bool {
    ((other.wrapping_sub(one) << (32 - bits)) as i32) > 0
}

fn following(message: u32, bits: u32) -> u32 {
    message.wrapping_add(1) & (u32::MAX >> (32 - bits))
}

/// What a piece needs beside its bytes.
const PIECE_OVERHEAD: isize = size_of::<Piece>() as isize;
/// What a message needs beside its bytes.
const MESSAGE_OVERHEAD: usize = size_of::<(Ppid, Bytes)>();
/// An empty inbox keeps room for so many messages, and gives larger memory back.
const SPARE_MESSAGES: usize = 32;
