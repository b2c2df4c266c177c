//! The events that wait for the application.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use columba_peer::{CandidateStanding, ChannelId, Error, Event, Peer, TransceiverId, TransportId};

use crate::channel::Channel;

/// Events of data channels that wait to be taken, at most: beyond it the other side's data is not
/// read any more, so that there come no others. Everything else that is no state is bounded by what
/// this host, its ICE servers and its application do.
const MAX_CHANNEL_EVENTS: usize = 1024;

/// State changes of one kind that wait, at most. One more takes the place of the oldest, so that
/// the application always learns the last state.
const MAX_STATES: usize = 64;

/// Candidates that wait before those that are obsolete are taken out.
const MANY_CANDIDATES: usize = 256;

/// Events that the empty queue keeps memory for.
const IDLE_EVENTS: usize = 1;

/// An event that waits.
#[derive(Debug)]
pub(crate) enum Queued {
    /// One of the connection, and none of its channels.
    Connection(Event),
    /// One of a data channel.
    Channel(Arc<Channel>, Change),
}

/// The event of a data channel.
#[derive(Debug)]
pub(crate) enum Change {
    /// The other side has created it.
    Arrived,
    /// It is open.
    Open,
    /// Messages wait.
    Readable,
    /// The buffered amount has fallen to the threshold: to so many bytes.
    BufferedAmountLow(usize),
    /// The other side has begun to close it.
    Closing,
    /// The reason why it closes.
    Failed(Error),
    /// It is closed.
    Closed,
}

/// The queue of events, of which none is dropped: state changes of one kind coalesce.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    /// Each with the number of its task.
    events: VecDeque<(u32, Queued)>,
    /// The number of the last task.
    task: u32,
    /// The number of events of data channels in it.
    channel_events: usize,
    /// The number of candidates in it.
    candidates: usize,
    /// The number beyond which obsolete ones are taken out; [`MANY_CANDIDATES`] at least.
    too_many: usize,
}

impl EventQueue {
    /// Begins a new task, to which events pushed from now on belong: what the W3C does in one
    /// queued task.
    pub(crate) fn begin_task(&mut self) {
        self.task = self.task.wrapping_add(1);
    }

    pub(crate) fn push(&mut self, event: Queued, peer: &Peer) {
        match &event {
            Queued::Connection(state) if is_state(state) => self.make_room_for_state(state),
            Queued::Connection(Event::IceCandidate(_)) => {
                if self.candidates >= self.too_many.max(MANY_CANDIDATES) {
                    self.forget_obsolete_candidates(peer);
                    self.too_many = 2 * self.candidates;
                }
                self.candidates += 1;
            }
            Queued::Connection(_) => {}
            Queued::Channel(channel, change) => {
                // That there are messages, or that there is room, is said once.
                if repeated(channel, change).is_some_and(|flag| flag.swap(true, Ordering::Relaxed)) {
                    return;
                }
                self.channel_events += 1;
            }
        }
        self.events.push_back((self.task, event));
    }

    /// Returns true if no more data is to be read until the application has taken some events.
    pub(crate) fn is_full(&self) -> bool {
        self.channel_events >= MAX_CHANNEL_EVENTS
    }

    /// Returns the next event that still holds: a negotiation is needed only if it is when the
    /// event fires (W3C "update the negotiation-needed flag"), and a candidate is sent only while
    /// its description stands. One whose description may come back by rollback stays.
    pub(crate) fn pop(&mut self, peer: &Peer) -> Option<Queued> {
        self.next(peer, None).map(|(_, event)| event)
    }

    /// Returns the events that still hold of the next task that has any.
    pub(crate) fn pop_task(&mut self, peer: &Peer) -> Vec<Queued> {
        let Some((task, first)) = self.next(peer, None) else { return Vec::new() };
        let mut events = vec![first];
        while let Some((_, event)) = self.next(peer, Some(task)) {
            events.push(event);
        }
        events
    }

    /// Returns the next event that still holds, if it belongs to this task; of any task for `None`.
    fn next(&mut self, peer: &Peer, wanted: Option<u32>) -> Option<(u32, Queued)> {
        let mut index = 0;
        while let Some((task, event)) = self.events.get(index) {
            let holds = match event {
                Queued::Connection(Event::NegotiationNeeded) => Some(peer.is_negotiation_needed()),
                Queued::Connection(Event::IceCandidate(Some(candidate))) => {
                    match peer.candidate_standing(&candidate.init) {
                        CandidateStanding::Current => Some(true),
                        CandidateStanding::Replaced => None,
                        CandidateStanding::Obsolete => Some(false),
                    }
                }
                Queued::Connection(_) | Queued::Channel(..) => Some(true),
            };
            match holds {
                None => index += 1,
                Some(true) if wanted.is_some_and(|wanted| wanted != *task) => return None,
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
        self.events.into_iter().filter_map(|(_, event)| match event {
            Queued::Channel(channel, Change::Arrived) => Some(channel.id),
            Queued::Channel(..) | Queued::Connection(_) => None,
        })
    }

    fn remove(&mut self, index: usize) -> Option<(u32, Queued)> {
        let (task, event) = self.events.remove(index)?;
        if self.events.is_empty() && self.events.capacity() > IDLE_EVENTS {
            // An idle connection keeps little memory for events.
            self.events.shrink_to(IDLE_EVENTS);
        }
        match &event {
            Queued::Connection(event) => {
                self.candidates -= usize::from(matches!(event, Event::IceCandidate(_)));
            }
            Queued::Channel(channel, change) => {
                self.channel_events -= 1;
                if let Some(flag) = repeated(channel, change) {
                    flag.store(false, Ordering::Relaxed);
                }
            }
        }
        Some((task, event))
    }

    fn make_room_for_state(&mut self, event: &Event) {
        let is_same = |other: &Queued| match other {
            Queued::Connection(other) => {
                discriminant(other) == discriminant(event) && subject_of(other) == subject_of(event)
            }
            Queued::Channel(..) => false,
        };
        if self.events.len() >= MAX_STATES
            && self.events.iter().filter(|(_, other)| is_same(other)).count() >= MAX_STATES
            && let Some(oldest) = self.events.iter().position(|(_, other)| is_same(other))
        {
            self.events.remove(oldest);
        }
    }

    /// The network of a host may change for years while an application reads nothing: candidates of
    /// descriptions that are gone go, and of equal ones the last stays.
    fn forget_obsolete_candidates(&mut self, peer: &Peer) {
        let mut seen = Vec::new();
        let mut kept = VecDeque::with_capacity(self.events.len());
        while let Some(event) = self.events.pop_back() {
            if let (_, Queued::Connection(Event::IceCandidate(candidate))) = &event {
                let init = candidate.as_ref().map(|candidate| &candidate.init);
                let is_obsolete =
                    init.is_some_and(|init| peer.candidate_standing(init) == CandidateStanding::Obsolete);
                if is_obsolete || seen.contains(&init.cloned()) {
                    self.candidates -= 1;
                    continue;
                }
                seen.push(init.cloned());
            }
            kept.push_front(event);
        }
        self.events = kept;
    }
}

/// Returns the mark of a change that waits only once.
fn repeated<'a>(channel: &'a Channel, change: &Change) -> Option<&'a AtomicBool> {
    match change {
        Change::Readable => Some(&channel.is_readable_queued),
        Change::BufferedAmountLow(_) => Some(&channel.is_low_queued),
        Change::Arrived | Change::Open | Change::Closing | Change::Failed(_) | Change::Closed => None,
    }
}

/// The part of a connection that an event has happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The whole.
    Connection,
    /// The track of a transceiver.
    Transceiver(TransceiverId),
    /// A transport.
    Transport(TransportId),
}

/// Returns what an event has happened to: a later one of the same kind replaces only those of the
/// same.
fn subject_of(event: &Event) -> Subject {
    match event {
        Event::Track { transceiver, .. }
        | Event::TrackMuted(transceiver, _)
        | Event::TrackUnmuted(transceiver, _)
        | Event::TrackRemoved(transceiver, ..)
        | Event::TrackEnded(transceiver, _) => Subject::Transceiver(*transceiver),
        Event::IceTransportState(transport, _)
        | Event::IceTransportGatheringState(transport, _)
        | Event::DtlsState(transport, _)
        | Event::SelectedCandidatePair(transport, _) => Subject::Transport(*transport),
        Event::NegotiationNeeded
        | Event::SignalingState(_)
        | Event::IceGatheringState(_)
        | Event::IceConnectionState(_)
        | Event::ConnectionState(_)
        | Event::SctpState(_)
        | Event::IceCandidate(_)
        | Event::IceCandidateError(_)
        | Event::IceRestartWanted
        | Event::DataChannel(_)
        | Event::ChannelOpen(_)
        | Event::ChannelReadable(_)
        | Event::BufferedAmountLow(..)
        | Event::ChannelWritable(_)
        | Event::ChannelClosing(_)
        | Event::ChannelClosed(..)
        | Event::FramesReadable(_)
        | Event::PacketsReadable
        | Event::KeyFrameWanted(..)
        | Event::BitrateWanted(..)
        | Event::ToneChange(..)
        | Event::Error(_) => Subject::Connection,
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
        | Event::IceTransportState(..)
        | Event::IceTransportGatheringState(..)
        | Event::DtlsState(..)
        | Event::SctpState(_)
        | Event::SelectedCandidatePair(..)
        | Event::IceRestartWanted
        | Event::IceCandidateError(_)
        | Event::Track { .. }
        | Event::TrackMuted(..)
        | Event::TrackUnmuted(..)
        | Event::TrackRemoved(..)
        | Event::TrackEnded(..)
        | Event::Error(_) => true,
        Event::IceCandidate(_)
        | Event::DataChannel(_)
        | Event::ChannelOpen(_)
        | Event::ChannelReadable(_)
        | Event::BufferedAmountLow(..)
        | Event::ChannelWritable(_)
        | Event::ChannelClosing(_)
        | Event::ChannelClosed(..)
        | Event::FramesReadable(_)
        | Event::PacketsReadable
        | Event::KeyFrameWanted(..)
        | Event::BitrateWanted(..)
        | Event::ToneChange(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use columba_peer::{
        BundlePolicy, Configuration, DataChannelInit, DtlsTransportState, IceCandidate, IceConnectionState,
        Input, PeerConnectionState, Request, TrackKind, TransceiverInit, UnixTime,
    };

    use super::*;

    const CONNECTED: Event = Event::ConnectionState(PeerConnectionState::Connected);

    fn peer() -> Peer {
        let wall = UnixTime(Duration::from_secs(1_790_000_000));
        Peer::new(Configuration::default(), Instant::now(), wall, [1; 32]).unwrap()
    }

    /// The next event that waits.
    fn next(queue: &mut EventQueue, peer: &Peer) -> Option<Event> {
        queue.pop(peer).map(|event| match event {
            Queued::Connection(event) => event,
            Queued::Channel(channel, change) => panic!("{channel:?}: {change:?}"),
        })
    }

    /// Everything that waits.
    fn all(queue: &mut EventQueue, peer: &Peer) -> Vec<Event> {
        std::iter::from_fn(|| next(queue, peer)).collect()
    }

    fn channel(peer: &mut Peer) -> Arc<Channel> {
        let id = peer.create_data_channel(Instant::now(), "chat", DataChannelInit::default()).unwrap();
        Channel::new(id, peer.channel(id).unwrap())
    }

    /// A peer whose description is set, and an event of a candidate that it could have found.
    fn described() -> (Peer, impl Fn(u16) -> Event) {
        let (mut peer, now) = (peer(), Instant::now());
        peer.handle_network_change(now, &[std::net::IpAddr::from([10, 0, 0, 1]).into()]);
        peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        peer.set_local_description(now, None).unwrap();
        let found = candidates(&mut peer).remove(0);
        let numbered = move |port: u16| {
            let mut one = found.clone();
            one.init.candidate = one.init.candidate.replace("4000", &port.to_string());
            Event::IceCandidate(Some(one))
        };
        (peer, numbered)
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
        let (peer, numbered) = described();
        let mut queue = EventQueue::default();
        for port in 0..2000 {
            queue.push(Queued::Connection(numbered(port)), &peer);
        }
        queue.push(Queued::Connection(CONNECTED), &peer);
        assert!(!queue.is_full());
        let all = all(&mut queue, &peer);
        assert_eq!((all.len(), &all[1999], &all[2000]), (2001, &numbered(1999), &CONNECTED));
        assert!(queue.events.capacity() <= IDLE_EVENTS, "an empty queue gives its memory back");
        assert_eq!(queue.candidates, 0);
    }

    #[test]
    fn obsolete_candidates_do_not_pile_up() {
        let (mut peer, numbered) = described();
        let mut queue = EventQueue::default();
        for port in (0..100_000_u32).map(|number| 1000 + (number % 100) as u16) {
            queue.push(Queued::Connection(numbered(port)), &peer);
            assert!(queue.events.len() <= MANY_CANDIDATES + 1);
        }
        let rollback = columba_peer::SessionDescription::rollback();
        peer.set_local_description(Instant::now(), Some(rollback)).unwrap();
        for _ in 0..=MANY_CANDIDATES {
            queue.push(Queued::Connection(Event::IceCandidate(None)), &peer);
        }
        assert!(queue.events.len() <= MANY_CANDIDATES + 1);
        assert!(all(&mut queue, &peer).iter().all(|event| *event == Event::IceCandidate(None)));
    }

    #[test]
    fn channel_says_once_that_messages_wait_and_everything_else_each_time() {
        let mut peer = peer();
        let channels = [channel(&mut peer), channel(&mut peer)];
        let mut queue = EventQueue::default();
        for _ in 0..2 {
            for channel in &channels {
                for _ in 0..1000 {
                    queue.push(Queued::Channel(channel.clone(), Change::Readable), &peer);
                    queue.push(Queued::Channel(channel.clone(), Change::BufferedAmountLow(0)), &peer);
                }
                queue.push(Queued::Channel(channel.clone(), Change::Closed), &peer);
            }
            assert_eq!(queue.channel_events, 6);
            for channel in &channels {
                let changes: Vec<_> = (0..3).filter_map(|_| queue.pop(&peer)).collect();
                assert!(
                    matches!(&changes[0], Queued::Channel(one, Change::Readable) if one.id == channel.id)
                );
                assert!(matches!(&changes[1], Queued::Channel(_, Change::BufferedAmountLow(0))));
                assert!(matches!(&changes[2], Queued::Channel(_, Change::Closed)));
            }
            assert!(queue.pop(&peer).is_none() && queue.channel_events == 0);
        }
        for number in 0..MAX_CHANNEL_EVENTS {
            assert!(!queue.is_full(), "{number}");
            queue.push(Queued::Channel(channels[0].clone(), Change::Arrived), &peer);
        }
        assert!(queue.is_full());
        assert_eq!(queue.into_channels().count(), MAX_CHANNEL_EVENTS);
    }

    #[test]
    fn unread_state_changes_coalesce_and_the_last_is_kept() {
        let (mut queue, peer) = (EventQueue::default(), peer());
        queue.push(Queued::Connection(Event::IceCandidate(None)), &peer);
        queue.push(Queued::Connection(CONNECTED), &peer);
        for _ in 0..1000 {
            for state in [IceConnectionState::Disconnected, IceConnectionState::Connected] {
                queue.push(Queued::Connection(Event::IceConnectionState(state)), &peer);
            }
        }
        queue.push(Queued::Connection(Event::IceConnectionState(IceConnectionState::Failed)), &peer);
        let all = all(&mut queue, &peer);
        assert_eq!(all.len(), 2 + MAX_STATES);
        assert_eq!(all[..2], [Event::IceCandidate(None), CONNECTED]);
        assert_eq!(all.last(), Some(&Event::IceConnectionState(IceConnectionState::Failed)));
    }

    #[test]
    fn states_of_one_transport_do_not_replace_those_of_another() {
        let (mut queue, now) = (EventQueue::default(), Instant::now());
        let configuration =
            Configuration { bundle_policy: BundlePolicy::MaxCompat, ..Configuration::default() };
        let wall = UnixTime(Duration::from_secs(1_790_000_000));
        let mut peer = Peer::new(configuration, now, wall, [1; 32]).unwrap();
        peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        peer.add_transceiver(now, TrackKind::Audio, TransceiverInit::default()).unwrap();
        peer.set_local_description(now, None).unwrap();
        let transports = peer.transports();
        let state = |index: usize| Event::DtlsState(transports[index], DtlsTransportState::Connected);
        queue.push(Queued::Connection(state(0)), &peer);
        for _ in 0..2 * MAX_STATES {
            queue.push(Queued::Connection(state(1)), &peer);
        }
        let kept = all(&mut queue, &peer);
        assert_eq!((kept.len(), &kept[0]), (1 + MAX_STATES, &state(0)));
    }

    #[test]
    fn tasks_are_taken_whole_and_what_no_longer_holds_is_left_out() {
        let (mut queue, mut peer) = (EventQueue::default(), peer());
        let state = |state| Queued::Connection(Event::IceConnectionState(state));
        let names = |task: Vec<Queued>| {
            let events = task.into_iter().map(|event| match event {
                Queued::Connection(event) => event,
                Queued::Channel(channel, change) => panic!("{channel:?}: {change:?}"),
            });
            events.collect::<Vec<_>>()
        };
        queue.begin_task();
        queue.push(state(IceConnectionState::Checking), &peer);
        queue.push(Queued::Connection(Event::NegotiationNeeded), &peer);
        queue.push(Queued::Connection(CONNECTED), &peer);
        queue.begin_task();
        queue.push(Queued::Connection(Event::NegotiationNeeded), &peer);
        queue.begin_task();
        queue.push(state(IceConnectionState::Connected), &peer);
        queue.push(state(IceConnectionState::Completed), &peer);
        // No negotiation is needed.
        assert_eq!(
            names(queue.pop_task(&peer)),
            [Event::IceConnectionState(IceConnectionState::Checking), CONNECTED]
        );
        assert_eq!(next(&mut queue, &peer), Some(Event::IceConnectionState(IceConnectionState::Connected)));
        let rest = names(queue.pop_task(&peer));
        assert_eq!(rest, [Event::IceConnectionState(IceConnectionState::Completed)], "the rest of a task");
        assert!(queue.pop_task(&peer).is_empty());
        peer.close(Instant::now());
    }

    #[test]
    fn negotiation_needed_fires_only_if_it_still_is() {
        let (mut queue, mut peer) = (EventQueue::default(), peer());
        let now = Instant::now();
        peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        queue.push(Queued::Connection(Event::NegotiationNeeded), &peer);
        queue.push(Queued::Connection(Event::NegotiationNeeded), &peer);
        assert_eq!(next(&mut queue, &peer), Some(Event::NegotiationNeeded));
        peer.set_local_description(now, None).unwrap();
        assert_eq!(next(&mut queue, &peer), None);
    }

    #[test]
    fn candidates_of_a_description_that_was_rolled_back_are_not_given_out() {
        let (mut peer, numbered) = described();
        let mut queue = EventQueue::default();
        (1..4).for_each(|port| queue.push(Queued::Connection(numbered(port)), &peer));
        assert!(queue.pop(&peer).is_some());
        let rollback = columba_peer::SessionDescription::rollback();
        peer.set_local_description(Instant::now(), Some(rollback)).unwrap();
        assert_eq!(next(&mut queue, &peer), None);
    }
}
