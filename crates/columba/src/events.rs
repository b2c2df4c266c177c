//! The events of a peer connection.

use std::sync::{Arc, Weak};
use std::time::Instant;

use columba_peer::{
    CandidateError, DtlsTransportState, IceCandidate, IceConnectionState, IceGatheringState,
    PeerConnectionState, SctpTransportState, SelectedPair, SignalingState, TrackKind, TransceiverId,
    TransportId,
};

use crate::data_channel::DataChannel;
use crate::handle::Handle;
use crate::shared::Shared;
use crate::transceiver::{TrackEvent, Transceiver};

/// An event: one of the W3C's of `RTCPeerConnection` and its transports. It carries the state that
/// it announces. The events of data channels are awaited on the [`DataChannel`].
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
    /// The connection has failed, and why; comes right before the state that follows from it.
    Error(columba_peer::Error),
}

/// The receiver of a [`PeerConnection`](crate::PeerConnection)'s events, in order.
///
/// None is ever dropped. State changes that are not read coalesce: of each kind the last 64 are
/// kept. While 1,024 data channels of the other side's wait, its data is not read any more (ICE and
/// DTLS go on). A negotiation that is not needed any more, and candidates of a description that was
/// rolled back, are passed over. An application that wants no events can drop the receiver; then
/// the other side cannot create data channels.
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

    /// Returns the next event of the peer, if one waits; `None` after the last.
    fn take(&self) -> Option<Option<columba_peer::Event>> {
        let mut state = self.shared.lock();
        let event = state.take_event();
        if event.is_none() && state.is_over { None } else { Some(event) }
    }

    /// Returns the application's view of an event; `None` if it has none.
    fn translate(&self, event: columba_peer::Event) -> Option<Event> {
        use columba_peer::Event as Peer;
        Some(match event {
            Peer::NegotiationNeeded => Event::NegotiationNeeded,
            Peer::SignalingState(state) => Event::SignalingState(state),
            Peer::IceGatheringState(state) => Event::IceGatheringState(state),
            Peer::IceConnectionState(state) => Event::IceConnectionState(state),
            Peer::ConnectionState(state) => Event::ConnectionState(state),
            Peer::DtlsState(transport, state) => Event::DtlsState(transport, state),
            Peer::SctpState(state) => Event::SctpState(state),
            Peer::IceCandidate(candidate) => Event::IceCandidate(candidate),
            Peer::IceCandidateError(error) => Event::IceCandidateError(error),
            Peer::SelectedCandidatePair(transport, pair) => Event::SelectedCandidatePair(transport, pair),
            Peer::IceRestartWanted => Event::IceRestartWanted,
            Peer::Error(error) => Event::Error(error),
            Peer::Track { transceiver, track, streams } => {
                let transceiver = self.transceiver(transceiver, track.kind)?;
                Event::Track(TrackEvent { transceiver, track, streams })
            }
            Peer::TrackMuted(id, kind) => Event::TrackMuted(self.transceiver(id, kind)?),
            Peer::TrackRemoved(id, kind, stream) => Event::TrackRemoved(self.transceiver(id, kind)?, stream),
            Peer::TrackEnded(id, kind) => Event::TrackEnded(self.transceiver(id, kind)?),
            Peer::DataChannel(id) => {
                // Without handles the connection is being closed, and its channels with it.
                let connection = self.connection.upgrade()?;
                Event::DataChannel(DataChannel::new(connection, id)?)
            }
            // Delivered to the waiters of the channel by the driver, and never queued.
            Peer::ChannelOpen(_)
            | Peer::ChannelReadable(_)
            | Peer::BufferedAmountLow(_)
            | Peer::ChannelWritable(_)
            | Peer::ChannelClosing(_)
            | Peer::ChannelClosed(..) => return None,
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
