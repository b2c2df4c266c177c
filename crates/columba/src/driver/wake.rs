//! Delivery of the peer's events: all to the queue of the application, those of channels to the
//! tasks that wait on the channel, too.

use std::sync::Arc;
use std::time::Instant;

use columba_peer::{ChannelId, Event, TransceiverId};
use tracing::debug;

use crate::channel::Channel;
use crate::event_queue::{Change, Queued};
use crate::media_signals::MediaSignals;
use crate::sender::EncoderRequest;
use crate::shared::{Shared, State};

/// The waiters that are to be woken once the lock is released: a woken task takes the lock at once.
#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    channels: Vec<(Wakeup, Arc<Channel>)>,
    media: Vec<Arc<MediaSignals>>,
    /// Packets of media wait.
    has_packets: bool,
    /// The application's queue of events has grown.
    has_events: bool,
}

/// The waiters of a channel.
#[derive(Clone, Copy, Debug)]
enum Wakeup {
    /// Those that wait for a message.
    Readable,
    /// Those that wait for room or for a state.
    Changed,
}

impl Wakeups {
    /// Delivers all events of the peer; their waiters are woken by
    /// [`wake_waiters`](Self::wake_waiters).
    pub(crate) fn deliver_all(&mut self, state: &mut State) {
        loop {
            let goes_on = state.peer.task_goes_on();
            let Some(event) = state.peer.poll_event() else { return };
            if !goes_on && let Some(events) = &mut state.events {
                events.begin_task();
            }
            self.deliver(state, event);
        }
    }

    fn deliver(&mut self, state: &mut State, event: Event) {
        if matches!(event, Event::SignalingState(_)) {
            state.negotiations += 1;
            self.media.extend(state.forget_media());
        }
        state.remote.handle(&event);
        match event {
            Event::ChannelReadable(id) => self.deliver_readable(state, id),
            Event::ChannelOpen(id) => self.deliver_change(state, id, Some(Change::Open)),
            Event::ChannelClosing(id) => self.deliver_change(state, id, Some(Change::Closing)),
            Event::ChannelWritable(id) => self.deliver_change(state, id, None),
            Event::BufferedAmountLow(id, waiting) => {
                let Some(channel) = state.channels.get(&id) else { return };
                let is_low = channel.is_low(&mut state.peer);
                self.deliver_change(state, id, is_low.then_some(Change::BufferedAmountLow(waiting)));
            }
            Event::ChannelClosed(id, error) => {
                state.channel_closed(id, error);
                self.has_events = true;
            }
            Event::DataChannel(id) => {
                let Some(channel) = state.channel(id) else { return };
                if !state.keep_change(&channel, Change::Arrived) {
                    debug!("a data channel of the other side is refused: there is no receiver of events");
                    // The channel may be closed already, which is as good.
                    let _ = state.peer.close_channel(Instant::now(), id);
                }
                self.has_events = true;
            }
            Event::FramesReadable(id) => self.media.extend(state.media(id)),
            Event::PacketsReadable => self.has_packets = true,
            Event::KeyFrameWanted(id, rid) => self.request(state, id, EncoderRequest::KeyFrame { rid }),
            Event::BitrateWanted(id, rid, bits_per_second) => {
                self.request(state, id, EncoderRequest::Bitrate { rid, bits_per_second });
            }
            Event::ToneChange(id, tone) => {
                if let Some(signals) = state.media(id) {
                    signals.add_tone(tone);
                    self.media.push(signals);
                }
            }
            event @ (Event::NegotiationNeeded
            | Event::SignalingState(_)
            | Event::IceGatheringState(_)
            | Event::IceConnectionState(_)
            | Event::ConnectionState(_)
            | Event::IceTransportState(..)
            | Event::IceTransportGatheringState(..)
            | Event::DtlsState(..)
            | Event::SctpState(_)
            | Event::IceCandidate(_)
            | Event::IceCandidateError(_)
            | Event::SelectedCandidatePair(..)
            | Event::IceRestartWanted
            | Event::Track { .. }
            | Event::TrackMuted(..)
            | Event::TrackUnmuted(..)
            | Event::TrackRemoved(..)
            | Event::TrackEnded(..)
            | Event::Error(_)) => {
                state.keep_event(Queued::Connection(event));
                self.has_events = true;
            }
        }
    }

    fn request(&mut self, state: &mut State, id: TransceiverId, request: EncoderRequest) {
        if let Some(signals) = state.media(id) {
            signals.add_request(request);
            self.media.push(signals);
        }
    }

    /// Messages wait. They belong to a task that waits for one; without any, they are an event.
    fn deliver_readable(&mut self, state: &mut State, id: ChannelId) {
        let Some(channel) = state.channels.get(&id).cloned() else { return };
        if !channel.has_readers() {
            self.has_events |= state.keep_change(&channel, Change::Readable);
        }
        self.channels.push((Wakeup::Readable, channel));
    }

    fn deliver_change(&mut self, state: &mut State, id: ChannelId, change: Option<Change>) {
        let Some(channel) = state.channels.get(&id).cloned() else { return };
        if let Some(change) = change {
            self.has_events |= state.keep_change(&channel, change);
        }
        self.channels.push((Wakeup::Changed, channel));
    }

    /// Wakes all waiters of what was delivered. The lock must not be held.
    pub(crate) fn wake_waiters(&mut self, shared: &Shared) {
        for (wakeup, signals) in self.channels.drain(..) {
            match wakeup {
                Wakeup::Readable => signals.readable.notify_waiters(),
                Wakeup::Changed => signals.changed.notify_waiters(),
            }
        }
        self.media.drain(..).for_each(|signals| signals.wake());
        if std::mem::take(&mut self.has_packets) {
            shared.packets.notify_waiters();
        }
        if std::mem::take(&mut self.has_events) {
            shared.changed.notify_waiters();
        }
    }
}
