//! Stream resets (RFC 6525): how channels close, so that their stream numbers can be used again.

mod sharing;

use std::collections::VecDeque;
use std::time::Instant;

use sharing::Sharing;

use super::Association;
use crate::event::Event;
use crate::serial::{RequestNumber, StreamId, Tsn};
use crate::timers::Timer;
use crate::wire::{Reconfig, ReconfigParameter, ResetResult, Writer};

/// Answers that may wait to go out.
const MAX_RESPONSES: usize = 8;

/// Streams in one request of ours: so many fit into a packet of any size.
const MAX_STREAMS_AT_ONCE: usize = 200;

/// Both directions of stream resets.
#[derive(Debug)]
pub(super) struct Resets {
    next_request: RequestNumber,
    /// Streams that are to be reset once they are empty.
    draining: Vec<StreamId>,
    /// Streams that are empty, with the last TSN that had been given when they became so.
    drained: VecDeque<(StreamId, Tsn)>,
    /// The same, of streams that the peer had reset before: they need no answer of its.
    drained_answers: VecDeque<(StreamId, Tsn)>,
    /// The shares of the peer's streams and of ours in the peer's next request.
    sharing: Sharing,
    /// The request on its way: one at a time (RFC 6525 §5.1.1).
    pending: Option<Request>,
    /// The peer's request that is expected next.
    expected: RequestNumber,
    /// The answers to the last request and to the one before, given again if they come again: a
    /// chunk may carry two (RFC 6525 §3.1).
    last_results: [ResetResult; 2],
    /// Answers to go out; at most [`MAX_RESPONSES`], the peer asks again where one is missing.
    responses: VecDeque<(RequestNumber, ResetResult)>,
}

#[derive(Debug)]
struct Request {
    number: RequestNumber,
    last_tsn: Tsn,
    streams: Vec<StreamId>,
    due: bool,
}

impl Resets {
    /// Numbers count from the first TSN (RFC 6525 §4.1). `draining` are streams whose reset was
    /// asked for before.
    pub(super) fn new(initial: Tsn, draining: Vec<StreamId>) -> Self {
        Self {
            next_request: RequestNumber(initial.0),
            draining,
            drained: VecDeque::new(),
            drained_answers: VecDeque::new(),
            sharing: Sharing::default(),
            pending: None,
            expected: RequestNumber(0),
            last_results: [ResetResult::NothingToDo; 2],
            responses: VecDeque::new(),
        }
    }

    /// The handshake is done: requests of the peer count from its first TSN (RFC 6525 §4.1).
    pub(super) fn start(&mut self, peer_initial: Tsn) {
        self.expected = RequestNumber(peer_initial.0);
        self.responses.clear();
    }

    /// There are no streams any more that could become empty.
    pub(super) fn forget_queued(&mut self) {
        self.draining.clear();
        self.drained.clear();
        self.drained_answers.clear();
        self.sharing = Sharing::default();
        self.pending = None;
    }

    fn is_idle(&self) -> bool {
        self.draining.is_empty()
            && self.drained.is_empty()
            && self.drained_answers.is_empty()
            && self.pending.is_none()
    }

    fn respond(&mut self, request: RequestNumber, result: ResetResult) {
        if self.responses.len() < MAX_RESPONSES {
            self.responses.push_back((request, result));
        }
    }
}

impl Association {
    /// Ends our direction of a stream once all that waits has been sent (the closing procedure of
    /// RFC 8831 §6.7). [`Event::OutgoingReset`] follows. Asking twice is asking once.
    pub fn reset_stream(&mut self, _now: Instant, stream: StreamId) {
        if self.sender.queue.drain(stream) {
            self.resets.draining.push(stream);
            self.refuse_resets();
        }
    }

    /// A peer without RE-CONFIG cannot be asked: once everything has arrived, that is all that can
    /// be done.
    pub(super) fn refuse_resets(&mut self) {
        if self.resets.is_idle() || self.peer.extensions.reconfig || !self.has_peer() {
            return;
        }
        self.note_drained();
        let base = self.sender.outstanding.base();
        let resets = &mut self.resets;
        while let Some(stream) = take_arrived(&mut resets.drained_answers, base)
            .or_else(|| take_arrived(&mut resets.drained, base))
        {
            self.sender.queue.reopen(stream);
            self.outgoing_resets.push_back(Event::ResetRefused(stream));
        }
    }

    /// Returns whether a reset of our direction of this stream has been asked for and is not done.
    pub fn is_resetting(&self, stream: StreamId) -> bool {
        self.sender.queue.is_resetting(stream)
    }

    /// Writes the request that is due, or answers. dcsctp asks at once for the first of the streams
    /// that a request of ours makes it reset, and for the others when that is answered; if a
    /// request of its is on the way, for all together. So ours goes first, and the answer in a
    /// packet behind it.
    pub(super) fn write_resets(&mut self, now: Instant, writer: &mut Writer<'_>) {
        if self.write_request(now, writer) {
            return;
        }
        while writer.room() >= Reconfig::RESPONSE_LENGTH
            && let Some((request, result)) = self.resets.responses.pop_front()
        {
            Reconfig::write_response(writer, request, result);
        }
    }

    /// Writes the request if it is due. Returns whether it was.
    fn write_request(&mut self, now: Instant, writer: &mut Writer<'_>) -> bool {
        if self.resets.is_idle() || !self.peer.extensions.reconfig {
            return false;
        }
        self.gather_request();
        let answered = RequestNumber(self.resets.expected.0.wrapping_sub(1));
        let Some(request) = self.resets.pending.as_mut().filter(|request| request.due) else { return false };
        if writer.room() < Reconfig::request_length(request.streams.len()) {
            return false;
        }
        request.due = false;
        Reconfig::write_request(writer, request.number, answered, request.last_tsn, &request.streams);
        self.timers.set(Timer::Reconfig, now + self.sender.round_trip.rto());
        true
    }

    /// Finds out which streams have become empty.
    fn note_drained(&mut self) {
        let (sender, resets) = (&mut self.sender, &mut self.resets);
        let last_given = sender.outstanding.next_tsn().previous();
        resets.draining.retain(|stream| {
            let drained = sender.queue.drained(*stream);
            if drained {
                let is_answer = resets.sharing.is_answer(*stream);
                let list = if is_answer { &mut resets.drained_answers } else { &mut resets.drained };
                list.push_back((*stream, last_given));
            }
            !drained
        });
    }

    /// Makes a request of the streams whose data the peer has: then it can grant it at once.
    /// Streams that the peer will have to reset, too, wait until they have room in a request of the
    /// peer's.
    fn gather_request(&mut self) {
        self.note_drained();
        let resets = &mut self.resets;
        if resets.pending.is_some() {
            return;
        }
        let base = self.sender.outstanding.base();
        let mut streams = Vec::new();
        while streams.len() < MAX_STREAMS_AT_ONCE
            && let Some(stream) = take_arrived(&mut resets.drained_answers, base)
        {
            streams.push(stream);
        }
        let mut room = None;
        while streams.len() < MAX_STREAMS_AT_ONCE
            && let Some((stream, last)) = resets.drained.front().copied()
            && base.is_after(last)
        {
            if !resets.sharing.is_answer(stream) {
                let known = self.sender.queue.stream_count();
                let room = room.get_or_insert_with(|| resets.sharing.room(known));
                if *room == 0 {
                    break;
                }
                *room -= 1;
                resets.sharing.ask(stream);
            }
            streams.push(stream);
            resets.drained.pop_front();
        }
        if streams.is_empty() {
            return;
        }
        let number = resets.next_request;
        resets.next_request = number.next();
        resets.pending = Some(Request { number, last_tsn: base.previous(), streams, due: true });
    }

    pub(super) fn on_reconfig_timeout(&mut self, now: Instant) {
        if let Some(request) = &mut self.resets.pending {
            request.due = true;
            self.sender.round_trip.back_off();
            self.count_unanswered(now);
        }
    }

    pub(super) fn on_reconfig(&mut self, now: Instant, value: &[u8]) {
        let pair = Reconfig::parse(value).count() == 2;
        for parameter in Reconfig::parse(value) {
            match parameter {
                ReconfigParameter::Response { response, result } => self.on_response(now, response, result),
                ReconfigParameter::OutgoingReset { request, last_tsn, streams, .. } => {
                    // Without names it means all, which data channels never do.
                    let grant = !streams.is_empty();
                    let arrived = !last_tsn.is_after(self.receiver.cumulative_tsn());
                    self.answer(request, pair, |association| {
                        if !grant {
                            return ResetResult::Denied;
                        }
                        if !arrived {
                            return ResetResult::InProgress;
                        }
                        for stream in streams.iter() {
                            association.receiver.reassembly.reset(stream);
                            let is_known = association.sender.queue.knows(stream);
                            association.resets.sharing.on_incoming(stream, is_known);
                            association.note_incoming_reset(stream);
                        }
                        ResetResult::Performed
                    });
                }
                ReconfigParameter::IncomingReset { request, streams } => {
                    self.answer(request, pair, |association| {
                        for stream in streams.iter() {
                            // Of a stream that nothing was sent on there is nothing to reset, and
                            // nothing to remember.
                            if association.sender.queue.knows(stream) {
                                association.reset_stream(now, stream);
                            }
                        }
                        ResetResult::Performed
                    });
                }
                // Whatever stream it names is taken, so that there is nothing to add (RFC 6525
                // §5.2.5).
                ReconfigParameter::MoreStreams { request } => {
                    self.answer(request, pair, |_| ResetResult::Performed)
                }
                ReconfigParameter::Other { request } => self.answer(request, pair, |_| ResetResult::Denied),
            }
        }
    }

    /// Answers a request of the peer: a new one by acting, the last two as before, unless they
    /// could not be granted yet. The one before the last is only looked at again if it came in one
    /// chunk with the last, as one of a `pair`: alone it is a late copy of what has been asked
    /// again under another number since.
    fn answer(&mut self, request: RequestNumber, pair: bool, act: impl FnOnce(&mut Self) -> ResetResult) {
        let expected = self.resets.expected;
        let result = if request == expected {
            let result = act(self);
            self.resets.expected = request.next();
            self.resets.last_results = [result, self.resets.last_results[0]];
            result
        } else {
            let again = [1, 2].map(|back| RequestNumber(expected.0.wrapping_sub(back)));
            match again.iter().position(|number| *number == request) {
                Some(place)
                    if self.resets.last_results[place] == ResetResult::InProgress && (place == 0 || pair) =>
                {
                    let result = act(self);
                    self.resets.last_results[place] = result;
                    result
                }
                Some(place) => self.resets.last_results[place],
                None => ResetResult::BadSequenceNumber,
            }
        };
        self.resets.respond(request, result);
    }

    fn on_response(&mut self, now: Instant, response: RequestNumber, result: ResetResult) {
        let Some(request) = self.resets.pending.take_if(|request| request.number == response) else { return };
        self.sender.round_trip.answered();
        self.unanswered = 0;
        match result {
            ResetResult::NothingToDo | ResetResult::Performed => {
                self.timers.stop(Timer::Reconfig);
                for stream in request.streams {
                    self.sender.queue.reset(stream);
                    self.resets.sharing.on_performed(now, stream);
                    self.outgoing_resets.push_back(Event::OutgoingReset(stream));
                }
            }
            // It is asked again after a while, under a new number: under the old one it has been
            // answered.
            ResetResult::InProgress => {
                let number = self.resets.next_request;
                self.resets.next_request = number.next();
                self.resets.pending = Some(Request { number, due: false, ..request });
                self.timers.set(Timer::Reconfig, now + self.sender.round_trip.estimate());
            }
            ResetResult::Denied
            | ResetResult::WrongSsn
            | ResetResult::AlreadyInProgress
            | ResetResult::BadSequenceNumber => {
                self.timers.stop(Timer::Reconfig);
                for stream in request.streams {
                    self.sender.queue.reopen(stream);
                    self.resets.sharing.on_refused(stream);
                    self.outgoing_resets.push_back(Event::ResetRefused(stream));
                }
            }
        }
        self.set_half_closed_timer();
    }

    fn set_half_closed_timer(&mut self) {
        match self.resets.sharing.next_deadline() {
            Some(at) => self.timers.set(Timer::HalfClosed, at),
            None => self.timers.stop(Timer::HalfClosed),
        }
    }

    /// Gives up waiting for the peer to reset what we have reset.
    pub(super) fn on_half_closed_timeout(&mut self, now: Instant) {
        for stream in self.resets.sharing.expire(now) {
            self.outgoing_resets.push_back(Event::ResetUnanswered(stream));
        }
        self.set_half_closed_timer();
    }
}

/// Takes the first stream of a list if all that was sent on it has arrived.
fn take_arrived(drained: &mut VecDeque<(StreamId, Tsn)>, base: Tsn) -> Option<StreamId> {
    let (stream, _) = *drained.front().filter(|(_, last)| base.is_after(*last))?;
    drained.pop_front();
    Some(stream)
}
