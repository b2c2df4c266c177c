//! The events of a peer connection.

use std::sync::{Arc, Weak};
use std::time::Instant;

use columba_peer::{
    CandidateError, DtlsTransportState, IceCandidate, IceConnectionState, IceGatheringState,
    PeerConnectionState, SctpTransportState, SelectedPair, SignalingState, TrackKind, TransceiverId,
    TransportId,
};

use crate::data_channel::DataChannel;
use crate::event_queue::{Change, Queued};
use crate::handle::Handle;
use crate::shared::Shared;
use crate::transceiver::{TrackEvent, Transceiver};

/// An event: one of the W3C's of `RTCPeerConnection`, its transports and its data channels, in the
/// order in which they happened. It carries the state that it announces.
///
/// What happens to a data channel can also be awaited on the [`DataChannel`]; a program that does
/// can pass over the events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// `negotiationneeded`: descriptions should be exchanged; create an offer.
    NegotiationNeeded,
    /// `signalingstatechange`.
    SignalingState(SignalingState),
    /// `icegatheringstatechange`.
    IceGatheringState(IceGatheringState),
    /// `iceconnectionstatechange`.
    IceConnectionState(IceConnectionState),
    /// `connectionstatechange`.
    ConnectionState(PeerConnectionState),
    /// `statechange` of an ICE transport, in the words of the connection's state.
    IceTransportState(TransportId, IceConnectionState),
    /// `gatheringstatechange` of an ICE transport.
    IceTransportGatheringState(TransportId, IceGatheringState),
    /// `statechange` of a DTLS transport.
    DtlsState(TransportId, DtlsTransportState),
    /// `statechange` of the SCTP transport.
    SctpState(SctpTransportState),
    /// `icecandidate`: to be sent to the other side. `None`: gathering is complete, nothing to be
    /// sent.
    IceCandidate(Option<IceCandidate>),
    /// `icecandidateerror`: a STUN or TURN server has refused or not answered.
    IceCandidateError(CandidateError),
    /// `selectedcandidatepairchange` of a transport.
    SelectedCandidatePair(TransportId, Box<SelectedPair>),
    /// The path is dead, and no other can be found without new credentials on both sides. Comes
    /// before the state is failed.
    ///
    /// By default ICE restarts by itself: [`NegotiationNeeded`](Self::NegotiationNeeded) follows,
    /// and the next offer has new credentials. With `automatic_ice_restart` off in the
    /// [`Configuration`](crate::Configuration), call
    /// [`restart_ice`](crate::PeerConnection::restart_ice) if the other side may still be there.
    IceRestartWanted,
    /// `track`: the other side sends a track, or sends it in further streams. Comes with its offer,
    /// so that the direction can still be chosen for the answer.
    Track(TrackEvent),
    /// `mute` of the track that this transceiver receives: the other side no longer sends it.
    TrackMuted(Transceiver),
    /// `unmute` of the track that this transceiver receives: its first packet has come.
    TrackUnmuted(Transceiver),
    /// `removetrack`: the track that this transceiver receives no longer belongs to the stream with
    /// this identifier.
    TrackRemoved(Transceiver, String),
    /// `ended` of the track that this transceiver receives: the other side has stopped it.
    TrackEnded(Transceiver),
    /// `datachannel`: the other side has created a channel, which is open.
    ///
    /// Interoperability: a page of Chromium should not send inside its own `ondatachannel`. Its
    /// channel says `open` there, may fall back to `connecting`, and what is sent in between can
    /// vanish. Let the side that creates a channel send first, or use negotiated channels.
    DataChannel(DataChannel),
    /// `open` of a data channel that this side has created.
    ChannelOpen(DataChannel),
    /// `message` of a data channel: messages wait, and no task waits for them in
    /// [`DataChannel::recv`]. Take them by [`DataChannel::try_recv`] until there is none. Comes
    /// once for all that wait.
    ChannelReadable(DataChannel),
    /// `bufferedamountlow` of a data channel: so much was sent that the buffered amount has fallen
    /// to [`DataChannel::buffered_amount_low_threshold`]. With the bytes that waited then.
    ///
    /// Comes after [`DataChannel::try_send`], and for all messages once a threshold was set.
    /// `Deviation:` not after [`DataChannel::send`] alone, which waits for room by itself.
    BufferedAmountLow(DataChannel, usize),
    /// `closing` of a data channel: the other side has begun to close it.
    ChannelClosing(DataChannel),
    /// `error` of a data channel: why it closes, if neither side has closed it by itself.
    /// [`ChannelClosed`](Self::ChannelClosed) follows.
    ChannelError(DataChannel, columba_peer::Error),
    /// `close` of a data channel. Messages that arrived before can still be received.
    ChannelClosed(DataChannel),
    /// The connection has failed, and why; comes right before the state that follows from it.
    Error(columba_peer::Error),
}

/// The receiver of a [`PeerConnection`](crate::PeerConnection)'s events, in order.
///
/// None is ever dropped. State changes that are not read coalesce: of each kind the last 64 are
/// kept, and a data channel says once that messages wait, or that there is room. While 1,024 events
/// of data channels wait, the other side's data is not read any more (ICE, consent, DTLS and all
/// timers go on). A negotiation that is not needed any more, and candidates of a description that
/// was rolled back, are passed over. An application that wants no events drops the receiver; then
/// the other side cannot create data channels.
///
/// The events that follow from a call of the application come before those that follow from its
/// next one, and are there when the call returns. [`PeerConnection::close`] has none, and none that
/// waited comes after it.
///
/// # Tasks
///
/// [`recv_task`](Self::recv_task) returns together what the W3C has happen in one queued task. A
/// binding reproduces the W3C's order exactly if it takes the tasks after each call until none
/// waits, and runs each as a task of its own event loop, in which all values become visible before
/// the first event is fired. The promise of a description that is set is settled at the end of the
/// last task with [`Event::SignalingState`] that has followed from the call, before all others; at
/// once where there is none. `open` of a channel of the other side's follows [`Event::DataChannel`]
/// in a task of its own, and the messages of [`Event::ChannelReadable`] are a task each.
///
/// [`PeerConnection::close`]: crate::PeerConnection::close
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    connection: Weak<Handle>,
}

impl Events {
    pub(crate) fn new(shared: Arc<Shared>, connection: Weak<Handle>) -> Self {
        Self { shared, connection }
    }

    /// Waits for the next event; `None` once the connection is closed and all events were received.
    /// Cancelling loses nothing.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            while let Some(event) = self.take()? {
                if let Some(event) = self.translate(event) {
                    return Some(event);
                }
            }
            changed.await;
        }
    }

    /// Returns the next event, if one waits.
    #[must_use]
    pub fn try_recv(&mut self) -> Option<Event> {
        while let Some(event) = self.take()? {
            if let Some(event) = self.translate(event) {
                return Some(event);
            }
        }
        None
    }

    /// Waits for the next events that the W3C has happen in one queued task, and returns them in
    /// their order: those of a description that was set, of a change of state with the states of
    /// the whole that follow from it, of the end of gathering, or `error` and `close` of a data
    /// channel. `None` once the connection is closed and all events were received. After
    /// [`recv`](Self::recv), it returns what is left of a task. Cancelling loses nothing.
    pub async fn recv_task(&mut self) -> Option<Vec<Event>> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let (task, is_over) = self.take_task();
            if !task.is_empty() {
                return Some(task);
            }
            if is_over {
                return None;
            }
            changed.await;
        }
    }

    /// Returns the events of the next task, if one waits: see [`recv_task`](Self::recv_task).
    #[must_use]
    pub fn try_recv_task(&mut self) -> Option<Vec<Event>> {
        let (task, _) = self.take_task();
        (!task.is_empty()).then_some(task)
    }

    /// Returns the application's view of the next task that it has one of, and whether no others
    /// follow.
    fn take_task(&self) -> (Vec<Event>, bool) {
        loop {
            let (task, is_over) = {
                let mut state = self.shared.lock();
                (state.take_task(), state.is_over)
            };
            let is_last = task.is_empty();
            let events: Vec<_> = task.into_iter().filter_map(|event| self.translate(event)).collect();
            if is_last || !events.is_empty() {
                return (events, is_over && is_last);
            }
        }
    }

    /// Returns the next event that waits, if any; `None` after the last.
    fn take(&self) -> Option<Option<Queued>> {
        let mut state = self.shared.lock();
        let event = state.take_event();
        if event.is_none() && state.is_over { None } else { Some(event) }
    }

    /// Returns the application's view of an event; `None` if it has none.
    fn translate(&self, event: Queued) -> Option<Event> {
        let event = match event {
            Queued::Connection(event) => event,
            Queued::Channel(channel, change) => {
                // Without handles the connection is being closed, and its channels with it.
                let channel = DataChannel::new(self.connection.upgrade()?, channel);
                return Some(match change {
                    Change::Arrived => Event::DataChannel(channel),
                    Change::Open => Event::ChannelOpen(channel),
                    Change::Readable => Event::ChannelReadable(channel),
                    Change::BufferedAmountLow(waiting) => Event::BufferedAmountLow(channel, waiting),
                    Change::Closing => Event::ChannelClosing(channel),
                    Change::Failed(error) => Event::ChannelError(channel, error),
                    Change::Closed => Event::ChannelClosed(channel),
                });
            }
        };
        self.translate_connection(event)
    }

    fn translate_connection(&self, event: columba_peer::Event) -> Option<Event> {
        use columba_peer::Event as Peer;
        Some(match event {
            Peer::NegotiationNeeded => Event::NegotiationNeeded,
            Peer::SignalingState(state) => Event::SignalingState(state),
            Peer::IceGatheringState(state) => Event::IceGatheringState(state),
            Peer::IceConnectionState(state) => Event::IceConnectionState(state),
            Peer::ConnectionState(state) => Event::ConnectionState(state),
            Peer::IceTransportState(transport, state) => Event::IceTransportState(transport, state),
            Peer::IceTransportGatheringState(transport, state) => {
                Event::IceTransportGatheringState(transport, state)
            }
            Peer::DtlsState(transport, state) => Event::DtlsState(transport, state),
            Peer::SctpState(state) => Event::SctpState(state),
            Peer::IceCandidate(candidate) => Event::IceCandidate(candidate),
            Peer::IceCandidateError(error) => Event::IceCandidateError(error),
            Peer::SelectedCandidatePair(transport, pair) => Event::SelectedCandidatePair(transport, pair),
            Peer::IceRestartWanted => Event::IceRestartWanted,
            Peer::Error(error) => Event::Error(error),
            Peer::Track { transceiver, track, streams } => {
                let (media_track, media_streams) = {
                    let remote = &mut self.shared.lock().remote;
                    let streams = streams.iter().map(|id| remote.stream(id)).collect();
                    (remote.track(transceiver, &track, true), streams)
                };
                let transceiver = self.transceiver(transceiver, track.kind)?;
                Event::Track(TrackEvent { transceiver, track, streams, media_track, media_streams })
            }
            Peer::TrackMuted(id, kind) => Event::TrackMuted(self.transceiver(id, kind)?),
            Peer::TrackUnmuted(id, kind) => Event::TrackUnmuted(self.transceiver(id, kind)?),
            Peer::TrackRemoved(id, kind, stream) => Event::TrackRemoved(self.transceiver(id, kind)?, stream),
            Peer::TrackEnded(id, kind) => Event::TrackEnded(self.transceiver(id, kind)?),
            // Delivered as events of their channel, or to those who wait at their transceiver.
            Peer::DataChannel(_)
            | Peer::ChannelOpen(_)
            | Peer::ChannelReadable(_)
            | Peer::BufferedAmountLow(..)
            | Peer::ChannelWritable(_)
            | Peer::ChannelClosing(_)
            | Peer::ChannelClosed(..)
            | Peer::FramesReadable(_)
            | Peer::PacketsReadable
            | Peer::KeyFrameWanted(..)
            | Peer::BitrateWanted(..)
            | Peer::ToneChange(..) => return None,
        })
    }

    /// `None` without handles: the connection is being closed.
    fn transceiver(&self, id: TransceiverId, kind: TrackKind) -> Option<Transceiver> {
        Some(Transceiver::new(self.connection.upgrade()?, id, kind))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let now = Instant::now();
        for id in state.events.take().unwrap_or_default().into_channels() {
            // It may be closed already, which is as good.
            let _ = state.peer.close_channel(now, id);
        }
        state.peer.hold_data(false);
        state.wake_driver();
    }
}
