//! The consequences of the association's events for channels, and the messages of DCEP.

use std::time::Instant;

use super::channel::{Channel, ChannelId, ChannelInit, ChannelState};
use super::dcep::{Dcep, Open, ppid};
use super::{ChannelError, ChannelEvent, DataChannels, Role};
use crate::event::Event;
use crate::serial::StreamId;

impl DataChannels {
    /// Returns the next event. Until `None`.
    pub fn poll_event(&mut self) -> Option<ChannelEvent> {
        let event = self.events.pop_front().or_else(|| self.poll_low_event())?;
        if let ChannelEvent::Closed(id) = event
            && self.channels.get(&id).is_some_and(|channel| !channel.has_unread())
        {
            self.forget(id);
        }
        Some(event)
    }

    /// Returns the next channel whose queue has fallen to a mark.
    fn poll_low_event(&mut self) -> Option<ChannelEvent> {
        loop {
            let event = self.association.poll_low_event()?;
            let (Event::BufferedAmountLow(stream) | Event::Writable(stream)) = event else { continue };
            let Some(id) = self.by_stream.get(stream).copied() else { continue };
            if matches!(event, Event::BufferedAmountLow(_)) {
                return Some(ChannelEvent::BufferedAmountLow(id));
            }
            if self.channels.get(&id).is_some_and(|channel| channel.info.state == ChannelState::Open) {
                return Some(ChannelEvent::Writable(id));
            }
        }
    }

    /// Lets channels know what has happened to the association.
    pub(super) fn digest_events(&mut self, now: Instant) {
        while let Some(event) = self.association.poll_state_event() {
            match event {
                Event::Connected => {
                    self.events.push_back(ChannelEvent::Connected);
                    self.on_connected(now);
                }
                Event::Readable(stream) => self.on_readable_stream(now, stream),
                Event::IncomingReset(stream) => self.on_incoming_reset(now, stream),
                Event::OutgoingReset(stream) => self.on_outgoing_reset(now, stream),
                Event::ResetRefused(stream) => self.on_reset_refused(stream),
                Event::ResetUnanswered(stream) => self.on_reset_unanswered(stream),
                Event::MessageTooLarge(stream) => match self.by_stream.get(stream) {
                    Some(id) => self.fail(now, *id, ChannelError::MessageTooLarge),
                    None => self.refuse_stream(now, stream),
                },
                // A peer that has forgotten everything has forgotten the channels, and what was to
                // be sent on them means nothing to it. What was left on the channels before is
                // remembered once only: a peer may begin anew again and again.
                Event::Restarted => {
                    self.unsent.clear();
                    self.finish_all();
                    for stream in std::mem::take(&mut self.reserved) {
                        self.note_free(stream);
                    }
                    self.association.forget_queued();
                }
                Event::Closed(reason) => {
                    self.end = Some(reason.clone());
                    self.finish_all();
                    self.events.push_back(ChannelEvent::Disconnected(reason));
                }
                Event::BufferedAmountLow(_) | Event::Writable(_) => {}
            }
        }
    }

    fn on_connected(&mut self, now: Instant) {
        let count = self.association.outgoing_streams();
        let ids: Vec<_> = self.channels.keys().copied().collect();
        for id in ids {
            match self.channels.get(&id).and_then(|channel| channel.info.stream_id) {
                Some(stream) if stream >= count => self.fail(now, id, ChannelError::NoStream),
                Some(_) => self.opened(now, id),
                None => {}
            }
        }
    }

    pub(super) fn on_readable_stream(&mut self, now: Instant, stream: StreamId) {
        let holder = self.by_stream.get(stream).and_then(|id| self.channels.get(id));
        if holder.is_some_and(|channel| channel.is_over()) {
            // The peer uses the stream again, but its answer to our reset was lost: it will be
            // repeated.
            return;
        }
        // DCEP is for us; what follows is for the owner.
        while self.association.next_ppid(stream) == Some(ppid::DCEP) {
            let Some(message) = self.association.receive(stream) else { break };
            match self.by_stream.get(stream) {
                Some(id) => self.on_dcep(now, *id, &message.payload),
                None => self.on_open(now, stream, &message.payload),
            }
        }
        self.on_readable(stream);
    }

    /// Tells the owner that a channel can be read. Messages on a stream without a channel wait for
    /// one that is negotiated.
    fn on_readable(&mut self, stream: StreamId) {
        if self.association.next_ppid(stream).is_none() {
            // It said "readable" and was not read to its end: it will say so again.
            self.association.receive(stream);
            return;
        }
        let Some(id) = self.by_stream.get(stream).copied() else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        // Any message shows that the peer knows the channel (RFC 8832 §6).
        channel.unacknowledged = false;
        if !channel.announced && channel.info.state != ChannelState::Connecting {
            channel.announced = true;
            self.events.push_back(ChannelEvent::Readable(id));
        }
    }

    /// The peer opens a channel (RFC 8832 §6).
    fn on_open(&mut self, now: Instant, stream: StreamId, payload: &[u8]) {
        if stream.0 >= self.association.outgoing_streams() || self.association.is_resetting(stream) {
            tracing::debug!(%stream, "a channel that cannot be answered");
            return;
        }
        let open = match Dcep::parse(payload) {
            Some(Dcep::Open(_)) if self.is_ours(stream) => {
                tracing::debug!(%stream, "a channel on a stream of this side's parity");
                return self.refuse_stream(now, stream);
            }
            Some(Dcep::Open(open)) => open,
            // An answer to what was never asked.
            Some(Dcep::Ack) => return,
            None => {
                tracing::debug!(%stream, "a channel that makes no sense");
                return self.refuse_stream(now, stream);
            }
        };
        let Open { ordered, reliability, priority, label, protocol } = open;
        let charge = CHANNEL_COST + label.len() + protocol.len();
        let Some(spare) = self.spare_memory.checked_sub(charge) else {
            tracing::debug!(%stream, "the peer has opened too many channels");
            return self.refuse_stream(now, stream);
        };
        self.spare_memory = spare;
        let init = ChannelInit { ordered, reliability, protocol, priority, negotiated: None };
        let mut channel = Channel::new(label, init, ChannelState::Open);
        channel.info.stream_id = Some(stream.0);
        channel.charge = charge;
        channel.unacknowledged = false;
        let id = self.add(channel);
        *self.by_stream.entry(stream, || id) = id;
        self.association.set_weight(stream, priority);
        self.association.send_control(stream, ppid::DCEP, Dcep::ack());
        self.events.push_back(ChannelEvent::Incoming(id));
    }

    /// Refuses a channel (RFC 8832 §6): our direction is reset without an answer, and the stream is
    /// not used before the peer has reset its own.
    fn refuse_stream(&mut self, now: Instant, stream: StreamId) {
        self.reserved.insert(stream);
        self.association.refuse_stream(now, stream);
    }

    /// Returns whether this side opens channels on a stream: its parity is that of the DTLS role
    /// (RFC 8832 §6).
    fn is_ours(&self, stream: StreamId) -> bool {
        match self.role {
            Some(Role::Client) => stream.0.is_multiple_of(2),
            Some(Role::Server) => !stream.0.is_multiple_of(2),
            None => false,
        }
    }

    pub(super) fn on_dcep(&mut self, now: Instant, id: ChannelId, payload: &[u8]) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        match Dcep::parse(payload) {
            Some(Dcep::Ack) => channel.unacknowledged = false,
            // RFC 8832 §6: the channel that is there is closed, too.
            Some(Dcep::Open(_)) => self.fail(now, id, ChannelError::StreamConflict),
            None => tracing::debug!("malformed DCEP message"),
        }
    }

    /// The peer has closed its direction: we close ours (RFC 8831 §6.7).
    fn on_incoming_reset(&mut self, now: Instant, stream: StreamId) {
        if self.reserved.remove(&stream) {
            return self.note_free(stream);
        }
        let Some(id) = self.by_stream.get(stream).copied() else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.keep_unread(&mut self.association);
        channel.incoming_reset = true;
        let outgoing_reset = channel.outgoing_reset;
        if matches!(channel.info.state, ChannelState::Connecting | ChannelState::Open) {
            channel.info.state = ChannelState::Closing;
            if channel.unacknowledged {
                self.events.push_back(ChannelEvent::Failed(id, ChannelError::Refused));
            }
            self.events.push_back(ChannelEvent::Closing(id));
            self.association.reset_stream(now, stream);
        } else if outgoing_reset {
            self.finish(id);
        }
    }

    fn on_outgoing_reset(&mut self, now: Instant, stream: StreamId) {
        let Some(id) = self.by_stream.get(stream).copied() else { return self.note_free(stream) };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.outgoing_reset = true;
        if channel.incoming_reset {
            self.finish(id);
            // The peer knew before us, and may have opened the next channel.
            self.on_readable_stream(now, stream);
        }
    }

    /// The peer cannot or will not reset the stream: the channel is closed here, and its stream is
    /// not used again, because the peer goes on taking what comes on it for the old channel's.
    fn on_reset_refused(&mut self, stream: StreamId) {
        let Some(id) = self.by_stream.get(stream).copied() else { return };
        self.finish(id);
        *self.by_stream.entry(stream, || id) = id;
        self.association.discard_incoming(stream);
    }

    /// The peer leaves its direction open: the channel is closed here, and its stream stays
    /// reserved until the peer resets it, too.
    fn on_reset_unanswered(&mut self, stream: StreamId) {
        let Some(id) = self.by_stream.get(stream).copied() else { return };
        if !self.channels.get(&id).is_some_and(|channel| channel.outgoing_reset && !channel.incoming_reset) {
            return;
        }
        tracing::debug!(%stream, "the peer does not close its direction of a channel");
        self.finish(id);
        self.reserved.insert(stream);
        self.association.discard_incoming(stream);
    }

    /// Closes a channel because of an error.
    pub(super) fn fail(&mut self, now: Instant, id: ChannelId, error: ChannelError) {
        let Some(channel) = self.channels.get(&id) else { return };
        if !matches!(channel.info.state, ChannelState::Closing | ChannelState::Closed) {
            self.events.push_back(ChannelEvent::Failed(id, error));
            match error {
                ChannelError::NoStream => self.finish(id),
                ChannelError::MessageTooLarge | ChannelError::Refused | ChannelError::StreamConflict => {
                    self.close(now, id);
                }
            }
        }
    }

    /// A channel is closed: its stream is free, and what is unread moves to the channel.
    pub(super) fn finish(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.info.state == ChannelState::Closed {
            return;
        }
        channel.keep_unread(&mut self.association);
        channel.info.state = ChannelState::Closed;
        if let Some(stream) = channel.stream() {
            let unsent = self.association.buffered_amount(stream);
            if unsent > 0 {
                self.unsent.insert(id, unsent);
            }
            self.by_stream.remove(stream);
            self.note_free(stream);
        }
        self.events.push_back(ChannelEvent::Closed(id));
    }

    /// A stream may be free for another channel.
    fn note_free(&mut self, stream: StreamId) {
        if self.is_ours(stream) {
            self.next_stream = self.next_stream.min(stream.0);
        }
    }

    fn finish_all(&mut self) {
        let ids: Vec<_> = self.channels.keys().copied().collect();
        for id in ids {
            self.finish(id);
        }
    }
}

/// The bytes that a channel takes beside its texts: itself, its place in two tables, and its
/// stream.
const CHANNEL_COST: usize = size_of::<Channel>() + 256;
