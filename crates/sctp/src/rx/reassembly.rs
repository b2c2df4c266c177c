//! Putting messages together and in order (RFC 9260 §6.5, §6.6 and §6.9; RFC 8260 §2.2.3).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::message::ReceivedMessage;
use crate::serial::{Ppid, StreamId, Tsn};
use crate::stream_table::StreamTable;
use crate::wire::Data;

/// The identifier of messages that open data channels (RFC 8832).
const DCEP: Ppid = Ppid(50);

/// A consequence of a fragment that concerns the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The stream can be read, after it could not.
    Readable(StreamId),
    /// The message is too large; the stream is of no use until it is reset.
    TooLarge(StreamId),
}

/// The unfinished and the unread messages of all streams.
///
/// What a peer can make it keep is bounded by the receive window, against which everything is
/// counted: bytes, pieces, and streams that have any. A stream that has none costs 28 bytes; there
/// are at most 65,536.
#[derive(Debug)]
pub(crate) struct Reassembly {
    streams: StreamTable<Incoming>,
    /// Emptied content, to be used again without an allocation. At most [`SPARE_CONTENTS`].
    #[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
    spare: Vec<Box<Content>>,
    /// True if fragments are numbered within their message (I-DATA), or by TSN alone.
    interleaved: bool,
    /// True if messages of DCEP are read before user data that has overtaken them, because it was
    /// unordered.
    dcep_first: bool,
    max_message_size: usize,
    /// Memory in use for messages, in bytes, what keeps them included.
    held: usize,
    /// The part of it that the application could free by reading.
    readable: usize,
    /// The number of pieces that of unordered messages there are.
    unordered_pieces: usize,
    /// Bytes reserved for what has not arrived yet, beyond what doubling would: at most [`GUESSES`]
    /// of the largest messages.
    guessed: usize,
}

/// The receiving side of a stream.
#[derive(Debug, Default)]
struct Incoming {
    /// The number of the next ordered message to be delivered.
    next: u32,
    /// The time that the last message was: a guess for the next.
    last_length: u32,
    /// The owner knows that there is something to read.
    announced: bool,
    /// A message was too large: the rest of the stream is thrown away.
    broken: bool,
    /// If there is anything to keep.
    content: Option<Box<Content>>,
}

/// The content of a stream. Bounded like all here by the receive window and by the TSNs that may be
/// ahead of the first hole.
#[derive(Debug, Default)]
struct Content {
    /// Unfinished messages, each run of fragments without a hole a piece, in order of position.
    ordered: VecDeque<Piece>,
    unordered: VecDeque<Piece>,
    /// Finished messages that have to wait for earlier ones, in order.
    waiting: VecDeque<(u32, Ppid, Bytes)>,
    /// Messages to be read.
    inbox: VecDeque<(Ppid, Bytes)>,
    /// Memory in use for them.
    inbox_bytes: usize,
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
    /// The bytes that were reserved because the last message was that long.
    guess: usize,
    data: BytesMut,
}

/// Where a fragment stands among those of its stream. With DATA the upper half is the TSN, with
/// I-DATA it is the message and the lower half the fragment; both are compared going round.
type Position = u64;

impl Reassembly {
    pub(crate) fn new(max_message_size: usize) -> Self {
        Self {
            streams: StreamTable::default(),
            spare: Vec::new(),
            interleaved: false,
            dcep_first: false,
            max_message_size,
            held: 0,
            readable: 0,
            unordered_pieces: 0,
            guessed: 0,
        }
    }

    pub(crate) fn set_interleaved(&mut self, interleaved: bool) {
        self.interleaved = interleaved;
    }

    /// From now on messages of DCEP are read before user data.
    pub(crate) fn read_dcep_first(&mut self) {
        self.dcep_first = true;
    }

    /// Memory in use for messages, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The part of it that the application could free by reading.
    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    #[cfg(test)]
    pub(crate) fn streams_with_content(&self) -> usize {
        self.streams.values().filter(|stream| stream.content.is_some()).count()
    }

    /// Takes a fragment whose TSN is new.
    #[inline]
    pub(crate) fn take(&mut self, data: &Data<'_>) -> Option<Notice> {
        let bits = self.sequence_bits();
        let stream = self.streams.entry(data.stream, Incoming::default);
        if stream.broken || (!data.unordered && is_before(data.message, stream.next, bits)) {
            return None;
        }
        if data.payload.len() > self.max_message_size {
            return self.give_up(data.stream);
        }
        let content = stream.content.get_or_insert_with(|| {
            self.held += CONTENT_OVERHEAD;
            self.spare.pop().unwrap_or_default()
        });
        let (ppid, payload) = if data.begin && data.end {
            (data.ppid, Bytes::copy_from_slice(data.payload))
        } else {
            let guess = (stream.last_length as usize)
                .min(self.max_message_size.saturating_mul(GUESSES).saturating_sub(self.guessed));
            let taken = content.take_fragment(data, self.interleaved, guess, self.max_message_size);
            self.held = self.held.saturating_add_signed(taken.held);
            self.guessed = self.guessed.saturating_add_signed(taken.guessed);
            if data.unordered {
                self.unordered_pieces = self.unordered_pieces.saturating_add_signed(taken.pieces);
            }
            match taken.fragment {
                Fragment::Kept => return None,
                Fragment::TooLarge => return self.give_up(data.stream),
                Fragment::Finished(ppid, payload) => (ppid, payload),
            }
        };
        stream.last_length = payload.len() as u32;
        self.held += payload.len() + MESSAGE_OVERHEAD;
        let readable_before = content.inbox_bytes;
        if data.unordered {
            content.make_readable(ppid, payload);
        } else if data.message == stream.next {
            if self.dcep_first && ppid == DCEP {
                content.make_readable_first(payload);
            } else {
                content.make_readable(ppid, payload);
            }
            stream.next = content.release_in_order(following(stream.next, bits), bits);
        } else {
            self.held -= content.wait(data.message, ppid, payload, bits);
            return None;
        }
        self.readable += content.inbox_bytes - readable_before;
        // Its owner may have left user data unread until this comes.
        if self.dcep_first && ppid == DCEP {
            stream.announced = false;
        }
        stream.announce(data.stream)
    }

    /// The next message of a stream, which counts as unread until it is
    /// [`release`](Self::release)d.
    pub(crate) fn set_aside(&mut self, id: StreamId) -> Option<ReceivedMessage> {
        let stream = self.streams.get_mut(id)?;
        let message = stream.content.as_mut().and_then(|content| content.inbox.pop_front());
        let (Some((ppid, payload)), Some(content)) = (message, &mut stream.content) else {
            stream.announced = false;
            return None;
        };
        content.inbox_bytes -= payload.len() + MESSAGE_OVERHEAD;
        self.put_away(id);
        Some(ReceivedMessage { stream: id, ppid, payload })
    }

    /// A message of so many bytes has been read.
    pub(crate) fn release(&mut self, length: usize) {
        self.readable -= length + MESSAGE_OVERHEAD;
        self.held -= length + MESSAGE_OVERHEAD;
    }

    /// Returns the identifier of the next message of a stream.
    pub(crate) fn next_ppid(&self, id: StreamId) -> Option<Ppid> {
        self.streams.get(id)?.content.as_ref()?.inbox.front().map(|(ppid, _)| *ppid)
    }

    /// The peer has given up the ordered messages of this stream up to `message`, and with I-DATA
    /// the unordered ones, too, if `unordered`.
    pub(crate) fn skip(&mut self, id: StreamId, unordered: bool, message: u32) -> Option<Notice> {
        let bits = self.sequence_bits();
        let stream = self.streams.entry(id, Incoming::default);
        let is_new = !unordered && !is_before(message, stream.next, bits);
        let Some(content) = &mut stream.content else {
            if is_new {
                stream.next = following(message, bits);
            }
            return None;
        };
        let pieces = if unordered { &mut content.unordered } else { &mut content.ordered };
        let before = pieces.len();
        pieces.retain(|piece| {
            let keep = is_before(message, piece.message, bits);
            if !keep {
                self.held -= piece.memory();
                self.guessed -= piece.guess;
            }
            keep
        });
        if unordered {
            self.unordered_pieces -= before - pieces.len();
        }
        let readable_before = content.inbox_bytes;
        if is_new {
            content.release_until(message, bits);
            stream.next = content.release_in_order(following(message, bits), bits);
        }
        self.readable += content.inbox_bytes - readable_before;
        let notice = stream.announce(id);
        self.put_away(id);
        notice
    }

    /// With DATA, unordered messages that were given up are known by their TSN alone: what begins
    /// up to `tsn`, and what follows it without being a beginning.
    pub(crate) fn skip_unordered_until(&mut self, tsn: Tsn) {
        if self.interleaved || self.unordered_pieces == 0 {
            return;
        }
        for content in self.streams.values_mut().filter_map(|stream| stream.content.as_mut()) {
            content.unordered.retain(|piece| {
                let first = Tsn((piece.first >> 32) as u32);
                let keep = first.is_after(tsn) && (piece.begin || first != tsn.next());
                if !keep {
                    self.held -= piece.memory();
                    self.guessed -= piece.guess;
                    self.unordered_pieces -= 1;
                }
                keep
            });
        }
    }

    /// The peer has reset a stream: it starts anew, what can be read stays.
    pub(crate) fn reset(&mut self, id: StreamId) {
        self.drop_unfinished(id);
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.next = 0;
        stream.broken = false;
        if stream.content.is_none() {
            self.streams.remove(id);
        }
    }

    /// All streams start anew, what can be read stays.
    pub(crate) fn reset_all(&mut self) {
        let ids: Vec<_> = self.streams.ids().collect();
        for id in ids {
            self.reset(id);
        }
    }

    /// From now on what comes on a stream is thrown away, until it is reset.
    pub(crate) fn discard(&mut self, id: StreamId) {
        self.drop_unfinished(id);
        self.streams.entry(id, Incoming::default).broken = true;
    }

    fn give_up(&mut self, id: StreamId) -> Option<Notice> {
        self.discard(id);
        Some(Notice::TooLarge(id))
    }

    /// Throws away what is not readable.
    fn drop_unfinished(&mut self, id: StreamId) {
        let Some(content) = self.streams.get_mut(id).and_then(|stream| stream.content.as_mut()) else {
            return;
        };
        self.unordered_pieces -= content.unordered.len();
        for piece in content.ordered.drain(..).chain(content.unordered.drain(..)) {
            self.held -= piece.memory();
            self.guessed -= piece.guess;
        }
        for (_, _, payload) in content.waiting.drain(..) {
            self.held -= payload.len() + MESSAGE_OVERHEAD;
        }
        self.put_away(id);
    }

    /// Puts content that is empty aside for the next stream that needs some.
    fn put_away(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let Some(mut content) = stream.content.take_if(|content| content.is_empty()) else { return };
        self.held -= CONTENT_OVERHEAD;
        if self.spare.len() < SPARE_CONTENTS {
            content.shrink();
            self.spare.push(content);
        }
    }

    /// Returns the width of the numbers of messages, in bits.
    fn sequence_bits(&self) -> u32 {
        if self.interleaved { 32 } else { 16 }
    }
}

/// The changes by a fragment.
struct Taken {
    /// Memory.
    held: isize,
    /// Reserved memory.
    guessed: isize,
    /// The number of pieces.
    pieces: isize,
    fragment: Fragment,
}

/// The fate of a fragment.
enum Fragment {
    Kept,
    TooLarge,
    Finished(Ppid, Bytes),
}

impl Incoming {
    fn announce(&mut self, id: StreamId) -> Option<Notice> {
        let readable = self.content.as_ref().is_some_and(|content| !content.inbox.is_empty());
        if self.announced || !readable {
            return None;
        }
        self.announced = true;
        Some(Notice::Readable(id))
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        self.ordered.is_empty()
            && self.unordered.is_empty()
            && self.waiting.is_empty()
            && self.inbox.is_empty()
    }

    /// Gives memory back of which there is more than is worth keeping.
    fn shrink(&mut self) {
        self.ordered.shrink_to(SPARE_MESSAGES);
        self.unordered.shrink_to(SPARE_MESSAGES);
        self.waiting.shrink_to(SPARE_MESSAGES);
        self.inbox.shrink_to(SPARE_MESSAGES);
    }

    /// Takes one of several fragments of a message.
    fn take_fragment(&mut self, data: &Data<'_>, interleaved: bool, guess: usize, largest: usize) -> Taken {
        let step = if interleaved { 1 } else { 1 << 32 };
        let position = if interleaved {
            u64::from(data.message) << 32 | u64::from(data.fragment)
        } else {
            u64::from(data.tsn.0) << 32
        };
        let mut taken = Taken { held: 0, guessed: 0, pieces: 0, fragment: Fragment::Kept };
        let pieces = if data.unordered { &mut self.unordered } else { &mut self.ordered };
        let mut index = match pieces.back() {
            Some(back) if !is_earlier(back.last, position) => {
                pieces.partition_point(|piece| is_earlier(piece.first, position))
            }
            _ => pieces.len(),
        };
        let left = index.checked_sub(1).and_then(|left| pieces.get(left));
        if left.is_some_and(|left| !is_earlier(left.last, position))
            || pieces.get(index).is_some_and(|right| right.first == position)
        {
            return taken;
        }
        let joins_left = !data.begin
            && left.is_some_and(|left| {
                !left.end && left.message == data.message && left.last.wrapping_add(step) == position
            });
        taken.held += data.payload.len() as isize;
        if joins_left {
            index -= 1;
            let piece = &mut pieces[index];
            piece.data.extend_from_slice(data.payload);
            piece.last = position;
            piece.end = data.end;
        } else {
            // Only the beginning of a message knows that much will follow.
            let guess = if data.begin { guess } else { 0 };
            pieces.insert(index, Piece::new(data, position, guess));
            taken.held += PIECE_OVERHEAD;
            taken.guessed += guess as isize;
            taken.pieces += 1;
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
            taken.held -= PIECE_OVERHEAD;
            taken.pieces -= 1;
        }
        let piece = &pieces[index];
        if piece.data.len() > largest {
            taken.fragment = Fragment::TooLarge;
        } else if piece.begin
            && piece.end
            && let Some(piece) = pieces.remove(index)
        {
            taken.held -= piece.memory() as isize;
            taken.guessed -= piece.guess as isize;
            taken.pieces -= 1;
            taken.fragment = Fragment::Finished(piece.ppid, piece.data.freeze());
        }
        taken
    }

    /// Makes readable the messages from `next` on that have waited; says which one is next then.
    fn release_in_order(&mut self, mut next: u32, bits: u32) -> u32 {
        while self.waiting.front().is_some_and(|(message, ..)| *message == next) {
            self.release_first();
            next = following(next, bits);
        }
        next
    }

    /// Makes readable what waits up to `message`: what is missing between them will not come.
    fn release_until(&mut self, message: u32, bits: u32) {
        while self.waiting.front().is_some_and(|(waiting, ..)| !is_before(message, *waiting, bits)) {
            self.release_first();
        }
    }

    fn release_first(&mut self) {
        if let Some((_, ppid, payload)) = self.waiting.pop_front() {
            self.make_readable(ppid, payload);
        }
    }

    fn make_readable(&mut self, ppid: Ppid, payload: Bytes) {
        self.inbox_bytes += payload.len() + MESSAGE_OVERHEAD;
        self.inbox.push_back((ppid, payload));
    }

    /// Makes a message of DCEP readable before user data.
    fn make_readable_first(&mut self, payload: Bytes) {
        self.inbox_bytes += payload.len() + MESSAGE_OVERHEAD;
        let behind = self.inbox.iter().take_while(|(ppid, _)| *ppid == DCEP).count();
        self.inbox.insert(behind, (DCEP, payload));
    }

    /// Keeps a message until its turn. Says how much memory is not needed after all, because it is
    /// there already.
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
}

impl Piece {
    fn new(data: &Data<'_>, position: Position, guess: usize) -> Self {
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
            guess,
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

/// Returns whether message `one` comes before `other`, when numbers have so many bits.
fn is_before(one: u32, other: u32, bits: u32) -> bool {
    ((other.wrapping_sub(one) << (32 - bits)) as i32) > 0
}

fn following(message: u32, bits: u32) -> u32 {
    message.wrapping_add(1) & (u32::MAX >> (32 - bits))
}

/// The memory of a piece beside its bytes: its place in a list of which half may be empty, and what
/// an allocation costs.
const PIECE_OVERHEAD: isize = 2 * size_of::<Piece>() as isize + 32;
/// The memory of a message beside its bytes.
const MESSAGE_OVERHEAD: usize = 2 * size_of::<(u32, Ppid, Bytes)>() + 32;
/// The memory of a stream that has anything: itself, and lists of the least length.
const CONTENT_OVERHEAD: usize = size_of::<Content>() + 4 * size_of::<Piece>() + 32;
/// For so many of the largest messages memory may be reserved before they are there.
const GUESSES: usize = 4;
/// So many emptied contents are kept.
const SPARE_CONTENTS: usize = 8;
/// An empty list keeps room for so many messages, and gives larger memory back.
const SPARE_MESSAGES: usize = 64;
