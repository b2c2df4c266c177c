//! Delivery of the peer's events: connection events to the queue of the application, channel events
//! to the tasks that wait on the channel.

use std::sync::Arc;
use std::time::Instant;

use columba_peer::{ChannelId, Error, Event};
use tracing::debug;

use crate::shared::{ChannelSignals, Shared, State};

/// The waiters that are to be woken once the lock is released: a woken task takes the lock at once.
#[derive(Debug, Default)]
pub(super) struct Wakeups {
    channels: Vec<(Wakeup, Arc<ChannelSignals>)>,
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
    /// Delivers an event; its waiters are woken by [`wake_waiters`](Self::wake_waiters).
    pub(super) fn deliver(&mut self, state: &mut State, event: Event) {
        match event {
            Event::ChannelReadable(channel) => self.add(state, channel, Wakeup::Readable),
            Event::ChannelOpen(channel)
            | Event::BufferedAmountLow(channel)
            | Event::ChannelWritable(channel)
            | Event::ChannelClosing(channel) => self.add(state, channel, Wakeup::Changed),
            Event::ChannelClosed(channel, error) => {
                // A side that closes its connection closes the channel by it.
                let is_failure = |error: &Error| !matches!(error, Error::ClosedRemotely { .. });
                state.channel_closed(channel, error.filter(is_failure));
            }
            Event::DataChannel(channel) => {
                if !state.keep_event(Event::DataChannel(channel)) {
                    debug!("a data channel of the other side is refused: there is no receiver of events");
                    // The channel may be closed already, which is as good.
                    let _ = state.peer.close_channel(Instant::now(), channel);
                }
                self.has_events = true;
            }
            event @ (Event::NegotiationNeeded
            | Event::SignalingState(_)
            | Event::IceGatheringState(_)
            | Event::IceConnectionState(_)
            | Event::ConnectionState(_)
            | Event::DtlsState(..)
            | Event::SctpState(_)
            | Event::IceCandidate(_)
            | Event::IceCandidateError(_)
            | Event::SelectedCandidatePair(..)
            | Event::IceRestartWanted
            | Event::Track { .. }
            | Event::TrackMuted(..)
            | Event::TrackRemoved(..)
            | Event::TrackEnded(..)
            | Event::Error(_)) => {
                state.keep_event(event);
                self.has_events = true;
            }
        }
    }

    /// Wakes all waiters of what was delivered. The lock must not be held.
    pub(super) fn wake_waiters(&mut self, shared: &Shared) {
        for (wakeup, signals) in self.channels.drain(..) {
            match wakeup {
                Wakeup::Readable => signals.readable.notify_waiters(),
                Wakeup::Changed => signals.changed.notify_waiters(),
            }
        }
        if std::mem::take(&mut self.has_events) {
            shared.changed.notify_waiters();
        }
    }

    fn add(&mut self, state: &State, channel: ChannelId, wakeup: Wakeup) {
        self.channels.extend(state.channels.get(&channel).map(|signals| (wakeup, signals.clone())));
    }
}
