//! The events that wait for the application.

use std::collections::VecDeque;
use std::mem::discriminant;

use columba_peer::Event;
use tracing::debug;

/// Candidates, their errors and data channels that wait, at most: the other side and the ICE
/// servers can cause any number of them.
const MAX_EVENTS: usize = 1024;

/// State changes of one kind that wait, at most. One more replaces the oldest, so that the
/// application always learns the last state.
const MAX_STATES: usize = 64;

/// A queue with a bound for each kind of event, so that none uses up the room of another.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    /// The number of events in it that are no state changes.
    counted: usize,
}

impl EventQueue {
    /// Appends an event. False if it was dropped, because the application leaves too many unread.
    pub(crate) fn push(&mut self, event: Event) -> bool {
        if is_state(&event) {
            self.make_room_for_state(&event);
        } else if self.counted < MAX_EVENTS {
            self.counted += 1;
        } else {
            debug!("an event is dropped: the application does not read them");
            return false;
        }
        self.events.push_back(event);
        true
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            // An idle connection keeps no memory for events.
            self.events = VecDeque::new();
        }
        self.counted -= usize::from(event.as_ref().is_some_and(|event| !is_state(event)));
        event
    }

    fn make_room_for_state(&mut self, event: &Event) {
        let is_same = |other: &Event| discriminant(other) == discriminant(event);
        if self.events.len() >= MAX_STATES
            && self.events.iter().filter(|other| is_same(other)).count() >= MAX_STATES
            && let Some(oldest) = self.events.iter().position(is_same)
        {
            self.events.remove(oldest);
        }
    }
}

/// Returns whether a later event of the same kind makes this one obsolete.
fn is_state(event: &Event) -> bool {
    match event {
        Event::NegotiationNeeded
        | Event::SignalingState(_)
        | Event::IceGatheringState(_)
        | Event::IceConnectionState(_)
        | Event::ConnectionState(_)
        | Event::DtlsState(..)
        | Event::SctpState(_)
        | Event::SelectedCandidatePair(..)
        | Event::IceRestartWanted
        | Event::Error(_) => true,
        Event::IceCandidate(_)
        | Event::IceCandidateError(_)
        | Event::Track { .. }
        | Event::TrackMuted(..)
        | Event::TrackRemoved(..)
        | Event::TrackEnded(..)
        | Event::DataChannel(_)
        | Event::ChannelOpen(_)
        | Event::ChannelReadable(_)
        | Event::BufferedAmountLow(_)
        | Event::ChannelWritable(_)
        | Event::ChannelClosing(_)
        | Event::ChannelClosed(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use columba_peer::{IceConnectionState, PeerConnectionState};

    use super::*;

    const CONNECTED: Event = Event::ConnectionState(PeerConnectionState::Connected);

    #[test]
    fn unread_candidates_leave_room_for_state_changes() {
        let mut queue = EventQueue::default();
        for _ in 0..MAX_EVENTS {
            assert!(queue.push(Event::IceCandidate(None)));
        }
        assert!(!queue.push(Event::IceCandidate(None)));
        assert!(queue.push(Event::IceRestartWanted) && queue.push(CONNECTED));
        assert_eq!(queue.pop(), Some(Event::IceCandidate(None)));
        assert!(queue.push(Event::IceCandidate(None)), "there is room for one again");
        let rest: Vec<Event> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest.len(), MAX_EVENTS + 2);
        assert_eq!(rest[MAX_EVENTS - 1..], [Event::IceRestartWanted, CONNECTED, Event::IceCandidate(None)]);
    }

    #[test]
    fn unread_state_changes_are_bounded_and_the_last_is_kept() {
        let mut queue = EventQueue::default();
        assert!(queue.push(Event::IceCandidate(None)) && queue.push(CONNECTED));
        for _ in 0..1000 {
            for state in [IceConnectionState::Disconnected, IceConnectionState::Connected] {
                assert!(queue.push(Event::IceConnectionState(state)));
            }
        }
        assert!(queue.push(Event::IceConnectionState(IceConnectionState::Failed)));
        let all: Vec<Event> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(all.len(), 2 + MAX_STATES);
        assert_eq!(all[..2], [Event::IceCandidate(None), CONNECTED]);
        assert_eq!(all.last(), Some(&Event::IceConnectionState(IceConnectionState::Failed)));
        assert_eq!(queue.counted, 0);
    }

    #[test]
    fn empty_queue_gives_its_memory_back() {
        let mut queue = EventQueue::default();
        for _ in 0..100 {
            queue.push(Event::IceCandidate(None));
        }
        while queue.pop().is_some() {}
        assert_eq!(queue.events.capacity(), 0);
    }
}
