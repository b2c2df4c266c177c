//! Messages that wait to be sent, stream by stream, and the order of the streams (RFC 9260 §6.9,
//! RFC 8260 §3).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::Policy;
use super::room::{Room, StreamRoom};
use crate::config::{Config, Scheduling};
use crate::serial::{Ppid, StreamId};
use crate::stream_table::StreamTable;

/// A message that waits.
#[derive(Debug)]
pub(crate) struct QueuedMessage {
    pub(crate) ppid: Ppid,
    pub(crate) payload: Bytes,
    pub(crate) unordered: bool,
    pub(crate) policy: Policy,
    /// True if it adds to the buffered amount.
    pub(crate) counted: bool,
}

/// A piece of a message, ready to go out. One without payload is not: it stands for what is left of
/// a message that is given up.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) stream: StreamId,
    pub(crate) ppid: Ppid,
    pub(crate) payload: Bytes,
    pub(crate) unordered: bool,
    pub(crate) begin: bool,
    pub(crate) end: bool,
    pub(crate) message: u32,
    pub(crate) fragment: u32,
    pub(crate) policy: Policy,
}

/// The messages of all streams that wait to be sent. What bounds them is `Config::send_buffer`,
/// checked before a message is taken.
#[derive(Debug)]
pub(crate) struct SendQueue {
    streams: StreamTable<Outgoing>,
    scheduling: Scheduling,
    /// Streams with something to send, the next one first. The key is what the scheduling makes it:
    /// an order of arrival, of turns, or of bytes by weight.
    ready: BinaryHeap<Reverse<(u64, StreamId)>>,
    /// Where none takes turns, the stream whose message has begun.
    current: Option<StreamId>,
    /// The key of the stream that was served last.
    clock: u64,
    arrivals: u64,
    interleaved: bool,
    /// The peer has little room left.
    scarce: bool,
    /// The peer understands that a message which it has a part of is given up.
    gives_up: bool,
    queued: usize,
    /// Streams whose queue has fallen to their threshold.
    low: VecDeque<StreamId>,
    pub(super) room: Room,
}

/// The sending side of a stream.
#[derive(Debug)]
struct Outgoing {
    messages: VecDeque<(u64, QueuedMessage)>,
    /// The part of the first message that has been sent; if any, it has this number.
    begun: Option<Begun>,
    next_ordered: u32,
    next_unordered: u32,
    buffered: usize,
    low_threshold: usize,
    /// It is in `low`.
    low_announced: bool,
    room: StreamRoom,
    weight: u16,
    key: u64,
    /// It is in `ready`, or `current`.
    scheduled: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    sent: usize,
    message: u32,
    next_fragment: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// To be reset once all that waits has been sent.
    Draining,
    /// All has been sent, the peer has been told or will be.
    Resetting,
}

impl SendQueue {
    pub(crate) fn new(config: &Config) -> Self {
        Self::with(config.scheduling, Room::new(config))
    }

    fn with(scheduling: Scheduling, room: Room) -> Self {
        Self {
            streams: StreamTable::default(),
            scheduling,
            ready: BinaryHeap::new(),
            current: None,
            clock: 0,
            arrivals: 0,
            interleaved: false,
            scarce: false,
            gives_up: false,
            queued: 0,
            low: VecDeque::new(),
            room,
        }
    }

    pub(crate) fn set_interleaved(&mut self, interleaved: bool) {
        self.interleaved = interleaved;
    }

    pub(crate) fn set_gives_up(&mut self, gives_up: bool) {
        self.gives_up = gives_up;
    }

    /// Returns whether the peer's window is so short that messages that have all begun and cannot
    /// end might fill it for ever: then one is sent to its end before another.
    pub(crate) fn set_scarce(&mut self, scarce: bool) {
        self.scarce = scarce;
    }

    /// Returns whether messages are sent a fragment of each in turn.
    fn takes_turns(&self) -> bool {
        self.interleaved && !self.scarce
    }

    /// Bytes that wait, over all streams.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    pub(crate) fn buffered(&self, id: StreamId) -> usize {
        self.streams.get(id).map_or(0, |stream| stream.buffered)
    }

    pub(crate) fn set_low_threshold(&mut self, id: StreamId, threshold: usize) {
        self.stream(id).low_threshold = threshold;
    }

    pub(crate) fn set_weight(&mut self, id: StreamId, weight: u16) {
        self.stream(id).weight = weight.max(1);
    }

    /// Returns whether a stream takes no messages because it is being reset.
    pub(crate) fn is_resetting(&self, id: StreamId) -> bool {
        self.streams.get(id).is_some_and(|stream| stream.phase != Phase::Open)
    }

    pub(crate) fn push(&mut self, id: StreamId, message: QueuedMessage) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.queued += message.payload.len();
        let stream = self.stream(id);
        stream.buffered += message.counted_bytes(message.payload.len());
        stream.messages.push_back((arrival, message));
        self.schedule(id);
    }

    /// A stream whose queue has fallen to its threshold since it was asked last.
    pub(crate) fn poll_low(&mut self) -> Option<StreamId> {
        loop {
            let id = self.low.pop_front()?;
            let stream = self.streams.get_mut(id);
            if stream.is_some_and(|stream| std::mem::take(&mut stream.low_announced)) {
                return Some(id);
            }
        }
    }

    /// Returns whether a message is accepted on a stream. If not,
    /// [`poll_writable`](Self::poll_writable) names the stream once there is room.
    pub(crate) fn has_room(&mut self, id: StreamId) -> bool {
        let buffered = self.buffered(id);
        let has_room = self.room.has_room(self.queued, buffered);
        if !has_room {
            self.want_room(id);
        }
        has_room
    }

    /// Returns whether less than the high mark waits on a stream, and a message is accepted. If
    /// not, [`poll_writable`](Self::poll_writable) names the stream once there is room.
    pub(crate) fn is_writable(&mut self, id: StreamId) -> bool {
        let buffered = self.buffered(id);
        let is_writable = self.room.is_writable(self.queued, buffered);
        if !is_writable {
            self.want_room(id);
        }
        is_writable
    }

    /// A stream that was found full and has room since.
    pub(crate) fn poll_writable(&mut self) -> Option<StreamId> {
        loop {
            let id = self.room.writable.pop_front()?;
            let stream = self.streams.get_mut(id);
            if stream.is_some_and(|stream| std::mem::take(&mut stream.room.announced)) {
                return Some(id);
            }
        }
    }

    fn want_room(&mut self, id: StreamId) {
        self.stream(id).room.wanted = true;
        self.offer_room(id);
    }

    /// Announces room to a stream that wants it, if there is some.
    fn offer_room(&mut self, id: StreamId) {
        let queued = self.queued;
        if let Some(stream) = self.streams.get_mut(id) {
            self.room.offer(id, queued, stream.buffered, &mut stream.room);
        }
    }

    /// So many bytes do not wait any more.
    fn subtract(&mut self, bytes: usize) {
        self.queued -= bytes;
        if self.room.is_crowd_released(self.queued) {
            self.release_crowd();
        }
    }

    /// Offers room to the streams that waited for the queue of all. Rare, and kept out of the way
    /// of each packet.
    #[cold]
    fn release_crowd(&mut self) {
        for id in std::mem::take(&mut self.room.crowded) {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.room.crowded = false;
            }
            self.offer_room(id);
        }
    }

    /// The next fragment for a packet that has room for so many payload bytes; `full` is the room
    /// of an empty one.
    #[inline]
    pub(crate) fn next_fragment(&mut self, now: Instant, room: usize, full: usize) -> Option<Fragment> {
        if room == 0 {
            return None;
        }
        loop {
            let id = match self.current {
                Some(id) => id,
                None => {
                    let Reverse((key, id)) = self.ready.pop()?;
                    self.clock = self.clock.max(key);
                    self.current = Some(id);
                    id
                }
            };
            if self.drop_expired(now, id) {
                continue;
            }
            if let Some(rest) = self.overdue_rest(now, id) {
                return Some(rest);
            }
            let takes_turns = self.takes_turns();
            let stream = self.streams.get_mut(id)?;
            let (_, message) = stream.messages.front()?;
            let left = message.payload.len() - stream.begun.map_or(0, |begun| begun.sent);
            // A message is not cut only to fill the rest of a packet.
            if left > room && room < full / 2 {
                if takes_turns || stream.begun.is_none() {
                    self.yield_turn(id);
                }
                return None;
            }
            let counted = message.counted_bytes(left.min(room));
            let fragment = stream.take(id, room, self.interleaved)?;
            let falls_low = stream.falls_low(counted);
            if falls_low {
                self.low.push_back(id);
            }
            self.charge(id, fragment.payload.len(), fragment.end);
            return Some(fragment);
        }
    }

    /// Returns the weight of the stream whose fragment is the next; the default if there is none.
    pub(crate) fn next_weight(&self) -> u16 {
        let next = self.current.or_else(|| self.ready.peek().map(|Reverse((_, id))| *id));
        next.and_then(|id| self.streams.get(id)).map_or(DEFAULT_WEIGHT, |stream| stream.weight)
    }

    /// Returns whether a fragment could be had.
    pub(crate) fn has_fragment(&self) -> bool {
        self.queued > 0
    }

    /// Throws away what is left of the message that has begun on this stream, if it is the one
    /// named. Says whether there was something left.
    pub(crate) fn abandon(&mut self, id: StreamId, unordered: bool, message: u32) -> bool {
        let Some(stream) = self.streams.get_mut(id) else { return false };
        let matches = stream.begun.is_some_and(|begun| begun.message == message)
            && stream.messages.front().is_some_and(|(_, front)| front.unordered == unordered);
        if !matches {
            return false;
        }
        self.drop_front(id);
        true
    }

    /// Returns whether the stream has been used since it was reset last.
    pub(crate) fn knows(&self, id: StreamId) -> bool {
        self.streams.get(id).is_some()
    }

    /// The number of streams that have been used since they were reset last.
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Asks for a stream to be reset once it is empty. Says whether it has not been asked before.
    pub(crate) fn drain(&mut self, id: StreamId) -> bool {
        let stream = self.stream(id);
        let first = stream.phase == Phase::Open;
        if first {
            stream.phase = Phase::Draining;
        }
        first
    }

    /// Returns whether a draining stream has become empty; from then on it is resetting.
    pub(crate) fn drained(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get_mut(id) else { return false };
        let drained = stream.phase == Phase::Draining && stream.messages.is_empty();
        if drained {
            stream.phase = Phase::Resetting;
        }
        drained
    }

    /// The stream has been reset: it begins anew, if it is used again.
    pub(crate) fn reset(&mut self, id: StreamId) {
        if self.streams.get(id).is_some_and(|stream| stream.messages.is_empty()) {
            self.remove(id);
        }
    }

    /// The stream stays as it is: the peer refused to reset it.
    pub(crate) fn reopen(&mut self, id: StreamId) {
        self.stream(id).phase = Phase::Open;
    }

    /// The peer takes no streams from this number on: what waits for them is thrown away.
    pub(crate) fn drop_from(&mut self, count: u16) {
        let beyond: Vec<_> = self.streams.ids().filter(|id| id.0 >= count).collect();
        for id in beyond {
            while self.streams.get(id).is_some_and(|stream| !stream.messages.is_empty()) {
                self.drop_front(id);
            }
            self.remove(id);
        }
    }

    /// Forgets a stream, with what was to be announced of it.
    fn remove(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(id) else { return };
        if stream.low_announced {
            self.low.retain(|low| *low != id);
        }
        self.room.forget(id, &stream.room);
    }

    /// Throws away all that waits, and all that is known of streams.
    pub(crate) fn clear(&mut self) {
        let fresh = Self::with(self.scheduling, self.room.emptied());
        *self = Self { interleaved: self.interleaved, gives_up: self.gives_up, ..fresh };
    }

    /// The association has begun anew: messages are numbered from zero, and begun ones are sent
    /// from their beginning. Gives the streams that are being reset, because that has to be asked
    /// for again.
    pub(crate) fn restart(&mut self) -> Vec<StreamId> {
        self.current = None;
        self.ready.clear();
        self.queued = 0;
        for stream in self.streams.values_mut() {
            stream.begun = None;
            stream.next_ordered = 0;
            stream.next_unordered = 0;
            stream.scheduled = false;
            let messages = || stream.messages.iter().map(|(_, message)| message);
            self.queued += messages().map(|message| message.payload.len()).sum::<usize>();
            stream.buffered = messages().map(|message| message.counted_bytes(message.payload.len())).sum();
        }
        let ids: Vec<_> = self.streams.ids().collect();
        let mut resetting = Vec::new();
        for id in ids {
            self.schedule(id);
            if let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.phase != Phase::Open) {
                stream.phase = Phase::Draining;
                resetting.push(id);
            }
        }
        resetting
    }

    fn stream(&mut self, id: StreamId) -> &mut Outgoing {
        self.streams.entry(id, || Outgoing {
            messages: VecDeque::new(),
            begun: None,
            next_ordered: 0,
            next_unordered: 0,
            buffered: 0,
            low_threshold: 0,
            low_announced: false,
            room: StreamRoom::default(),
            weight: DEFAULT_WEIGHT,
            key: 0,
            scheduled: false,
            phase: Phase::Open,
        })
    }

    /// Gives a stream with something to send its place among the others.
    fn schedule(&mut self, id: StreamId) {
        let clock = self.clock;
        let scheduling = self.scheduling;
        let Some(stream) = self.streams.get_mut(id) else { return };
        let Some((arrival, _)) = stream.messages.front() else { return };
        if stream.scheduled {
            return;
        }
        stream.scheduled = true;
        stream.key = match scheduling {
            Scheduling::FirstCome => *arrival,
            Scheduling::RoundRobin | Scheduling::WeightedFair => stream.key.max(clock),
        };
        self.ready.push(Reverse((stream.key, id)));
    }

    /// Accounts for a fragment, and lets others have their turn where they may.
    fn charge(&mut self, id: StreamId, bytes: usize, end: bool) {
        self.subtract(bytes);
        let yields = end || self.takes_turns();
        let Some(stream) = self.streams.get_mut(id) else { return };
        self.room.offer(id, self.queued, stream.buffered, &mut stream.room);
        match self.scheduling {
            Scheduling::FirstCome => {}
            // A turn is a message, or with interleaving a fragment.
            Scheduling::RoundRobin => stream.key += u64::from(yields),
            Scheduling::WeightedFair => {
                stream.key += (bytes as u64 + FRAGMENT_COST) * WEIGHT_SCALE / u64::from(stream.weight);
            }
        }
        if yields {
            self.yield_turn(id);
        }
    }

    /// The stream that is served gets in line again.
    fn yield_turn(&mut self, id: StreamId) {
        if self.current == Some(id) {
            self.current = None;
            if let Some(stream) = self.streams.get_mut(id) {
                stream.scheduled = false;
            }
            self.schedule(id);
        }
    }

    /// Throws away the first message of the stream that is served if its time is over before it has
    /// begun.
    fn drop_expired(&mut self, now: Instant, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(id) else { return false };
        let expired = stream.begun.is_none()
            && stream
                .messages
                .front()
                .is_some_and(|(_, message)| matches!(message.policy, Policy::Until(end) if end <= now));
        if expired {
            self.drop_front(id);
        }
        expired
    }

    /// Throws away what is left of the message that has begun on this stream, if its time is over;
    /// gives a mark for its end.
    fn overdue_rest(&mut self, now: Instant, id: StreamId) -> Option<Fragment> {
        let stream = self.streams.get(id).filter(|_| self.gives_up)?;
        let (begun, (_, message)) = (stream.begun?, stream.messages.front()?);
        if !matches!(message.policy, Policy::Until(end) if end <= now) {
            return None;
        }
        let rest = Fragment {
            stream: id,
            ppid: message.ppid,
            payload: Bytes::new(),
            unordered: message.unordered,
            begin: false,
            end: true,
            message: begun.message,
            fragment: begun.next_fragment,
            policy: message.policy,
        };
        self.drop_front(id);
        Some(rest)
    }

    fn drop_front(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let Some((_, message)) = stream.messages.pop_front() else { return };
        let left = message.payload.len() - stream.begun.take().map_or(0, |begun| begun.sent);
        if stream.falls_low(message.counted_bytes(left)) {
            self.low.push_back(id);
        }
        self.subtract(left);
        self.offer_room(id);
        self.yield_turn(id);
        // With interleaving it waits in line, and may have nothing left to wait for.
        if let Some(stream) = self.streams.get_mut(id)
            && stream.messages.is_empty()
            && stream.scheduled
        {
            stream.scheduled = false;
            self.ready.retain(|Reverse((_, ready))| *ready != id);
        }
    }
}

impl QueuedMessage {
    /// Returns how much so many of its bytes add to the buffered amount.
    fn counted_bytes(&self, bytes: usize) -> usize {
        if self.counted { bytes } else { 0 }
    }
}

impl Outgoing {
    /// Cuts the next fragment off the first message.
    #[inline]
    fn take(&mut self, id: StreamId, room: usize, interleaved: bool) -> Option<Fragment> {
        let (_, message) = self.messages.front()?;
        let begin = self.begun.is_none();
        let mut begun = self.begun.unwrap_or_else(|| {
            // The peer ignores that of unordered DATA; we know messages by it.
            let number = if message.unordered { &mut self.next_unordered } else { &mut self.next_ordered };
            let message = *number;
            *number = if interleaved { message.wrapping_add(1) } else { message.wrapping_add(1) & 0xffff };
            Begun { sent: 0, message, next_fragment: 0 }
        });
        let length = room.min(message.payload.len() - begun.sent);
        let end = begun.sent + length == message.payload.len();
        let fragment = Fragment {
            stream: id,
            ppid: message.ppid,
            payload: message.payload.slice(begun.sent..begun.sent + length),
            unordered: message.unordered,
            begin,
            end,
            message: begun.message,
            fragment: begun.next_fragment,
            policy: message.policy,
        };
        if end {
            self.begun = None;
            self.messages.pop_front();
            if self.messages.is_empty() && self.messages.capacity() > SPARE_MESSAGES {
                self.messages = VecDeque::new();
            }
        } else {
            begun.sent += length;
            begun.next_fragment += 1;
            self.begun = Some(begun);
        }
        Some(fragment)
    }

    /// Counts bytes as gone; says whether that brings the queue down to its threshold.
    fn falls_low(&mut self, bytes: usize) -> bool {
        let before = self.buffered;
        self.buffered -= bytes;
        let falls = before > self.low_threshold && self.buffered <= self.low_threshold && !self.low_announced;
        self.low_announced |= falls;
        falls
    }
}

/// The priority "normal" of RFC 8831 §6.4.
const DEFAULT_WEIGHT: u16 = 256;
/// A byte moves the clock by this much over the weight.
const WEIGHT_SCALE: u64 = 1 << 16;
/// The cost of a fragment beside its bytes, so that small messages are not free.
const FRAGMENT_COST: u64 = 16;
/// An empty queue keeps room for so many messages, and gives larger memory back.
const SPARE_MESSAGES: usize = 32;
