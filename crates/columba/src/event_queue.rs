//! The events that wait for the application.

use std::collections::VecDeque;
use std::mem::discriminant;

use columba_peer::{CandidateStanding, ChannelId, Event, Peer};

/// Data channels that wait to be taken, at most: beyond it the other side's data is not read any
/// more, so that there come no others. Everything else that is no state is bounded by what this
/// host, its ICE servers and its application do.
const MAX_CHANNELS: usize = 1024;

/// State changes of one kind that wait, at most. One more takes the place of the oldest, so that
/// the application always learns the last state.
const MAX_STATES: usize = 64;

/// The queue of events, of which none is dropped: state changes of one kind coalesce.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    /// The number of data channels in it.
    channels: usize,
}

impl EventQueue {
    pub(crate) fn push(&mut self, event: Event) {
        if is_state(&event) {
            self.make_room_for_state(&event);
        }
        self.channels += usize::from(matches!(event, Event::DataChannel(_)));
        self.events.push_back(event);
    }

    /// Returns true if no more data is to be read until the application has taken some events.
    pub(crate) fn is_full(&self) -> bool {
        self.channels >= MAX_CHANNELS
    }

    /// Returns the next event that still holds: a negotiation is needed only if it is when the
    /// event fires (W3C "update the negotiation-needed flag"), and a candidate is sent only while
    /// its description stands. One whose description may come back by rollback stays.
    pub(crate) fn pop(&mut self, peer: &Peer) -> Option<Event> {
        let mut index = 0;
        while let Some(event) = self.events.get(index) {
            let holds = match event {
                Event::NegotiationNeeded => Some(peer.is_negotiation_needed()),
                Event::IceCandidate(Some(candidate)) => match peer.candidate_standing(&candidate.init) {
                    CandidateStanding::Current => Some(true),
                    CandidateStanding::Replaced => None,
                    CandidateStanding::Obsolete => Some(false),
                },
                _ => Some(true),
            };
            match holds {
                None => index += 1,
                Some(holds) => {
                    let event = self.remove(index);
                    if holds {
                        return event;
                    }
                }
            }
        }
        None
    }

    /// Returns the data channels that wait: the application will never take them.
    pub(crate) fn into_channels(self) -> impl Iterator<Item = ChannelId> {
        self.events.into_iter().filter_map(|event| match event {
            Event::DataChannel(id) => Some(id),
            _ => None,
        })
    }

    fn remove(&mut self, index: usize) -> Option<Event> {
        let event = self.events.remove(index);
        if self.events.is_empty() {
            // An idle connection keeps no memory for events.
            self.events = VecDeque::new();
        }
        self.channels -= usize::from(matches!(event, Some(Event::DataChannel(_))));
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
    use std::time::{Duration, Instant};

    use columba_peer::{
        Configuration, DataChannelInit, IceCandidate, IceConnectionState, Input, PeerConnectionState,
        Request, UnixTime,
    };

    use super::*;

    const CONNECTED: Event = Event::ConnectionState(PeerConnectionState::Connected);

    fn peer() -> Peer {
        let wall = UnixTime(Duration::from_secs(1_790_000_000));
        Peer::new(Configuration::default(), Instant::now(), wall, [1; 32]).unwrap()
    }

    /// Everything that waits.
    fn all(queue: &mut EventQueue, peer: &Peer) -> Vec<Event> {
        std::iter::from_fn(|| queue.pop(peer)).collect()
    }

    /// The candidates of an offer.
    fn candidates(peer: &mut Peer) -> Vec<IceCandidate> {
        let now = Instant::now();
        let mut found = Vec::new();
        loop {
            if let Some((transport, request)) = peer.poll_request() {
                if let Request::BindUdp { id, address } = request {
                    let local = (address, 4000).into();
                    peer.handle_input(now, transport, Input::Bound { id, local });
                }
            } else if let Some(event) = peer.poll_event() {
                found.extend(match event {
                    Event::IceCandidate(Some(candidate)) => Some(candidate),
                    _ => None,
                });
            } else {
                return found;
            }
        }
    }

    #[test]
    fn unread_events_are_never_dropped() {
        let (mut queue, peer) = (EventQueue::default(), peer());
        for _ in 0..3 * MAX_CHANNELS {
            queue.push(Event::IceCandidate(None));
        }
        queue.push(CONNECTED);
        assert!(!queue.is_full());
        assert_eq!(all(&mut queue, &peer).len(), 3 * MAX_CHANNELS + 1);
        assert_eq!(queue.events.capacity(), 0, "an empty queue gives its memory back");
    }

    #[test]
    fn unread_state_changes_coalesce_and_the_last_is_kept() {
        let (mut queue, peer) = (EventQueue::default(), peer());
        queue.push(Event::IceCandidate(None));
        queue.push(CONNECTED);
        for _ in 0..1000 {
            for state in [IceConnectionState::Disconnected, IceConnectionState::Connected] {
                queue.push(Event::IceConnectionState(state));
            }
        }
        queue.push(Event::IceConnectionState(IceConnectionState::Failed));
        let all = all(&mut queue, &peer);
        assert_eq!(all.len(), 2 + MAX_STATES);
        assert_eq!(all[..2], [Event::IceCandidate(None), CONNECTED]);
        assert_eq!(all.last(), Some(&Event::IceConnectionState(IceConnectionState::Failed)));
    }

    #[test]
    fn negotiation_needed_fires_only_if_it_still_is() {
        let (mut queue, mut peer) = (EventQueue::default(), peer());
        let now = Instant::now();
        peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        queue.push(Event::NegotiationNeeded);
        queue.push(Event::NegotiationNeeded);
        assert_eq!(queue.pop(&peer), Some(Event::NegotiationNeeded));
        peer.set_local_description(now, None).unwrap();
        assert_eq!(queue.pop(&peer), None);
    }

    #[test]
    fn candidates_of_a_description_that_was_rolled_back_are_not_given_out() {
        let (mut queue, mut peer) = (EventQueue::default(), peer());
        let now = Instant::now();
        peer.handle_network_change(now, &[std::net::IpAddr::from([10, 0, 0, 1]).into()]);
        peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        let offer = peer.set_local_description(now, None).unwrap();
        let found = candidates(&mut peer);
        assert!(!found.is_empty());
        found.iter().for_each(|one| queue.push(Event::IceCandidate(Some(one.clone()))));
        assert!(queue.pop(&peer).is_some());
        let rollback = columba_peer::SessionDescription::rollback();
        peer.set_local_description(now, Some(rollback)).unwrap();
        assert_eq!(queue.pop(&peer), None);
        drop(offer);
    }
}
