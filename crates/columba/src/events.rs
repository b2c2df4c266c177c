//! What a peer connection tells its application.

use std::sync::{Arc, Weak};

use columba_peer::{
    CandidateError, DtlsTransportState, IceCandidate, IceConnectionState, IceGatheringState,
    PeerConnectionState, SctpTransportState, SelectedPair, SignalingState,
};

use crate::data_channel::DataChannel;
use crate::handle::Handle;
use crate::shared::Shared;

/// What has happened: the W3C's events of `RTCPeerConnection` and its transports. An event carries the state that it announces.
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
    /// The DTLS transport's `statechange`.
    DtlsState(DtlsTransportState),
    /// The SCTP transport's `statechange`.
    SctpState(SctpTransportState),
    /// `icecandidate`: to be sent to the other side. `None`: gathering is complete, nothing to be sent.
    IceCandidate(Option<IceCandidate>),
    /// `icecandidateerror`: a server did not do what it was asked.
    IceCandidateError(CandidateError),
    /// `selectedcandidatepairchange`.
    SelectedCandidatePair(Box<SelectedPair>),
    /// The path is dead, and no other can be found without new credentials. The next offer restarts ICE,
    /// unless the configuration says otherwise.
    IceRestartWanted,
    /// `datachannel`: the other side has created a channel, which is open.
    ///
    /// Interoperability: a page of Chromium should not send inside its own `ondatachannel`. Its channel says
    /// `open` there, may fall back to `connecting`, and what is sent in between can vanish. Let the side that
    /// creates a channel send first, or use negotiated channels.
    DataChannel(DataChannel),
    /// The connection has failed, and why; comes right before the state that follows from it.
    Error(columba_peer::Error),
}

/// The events of a [`PeerConnection`](crate::PeerConnection), in order.
///
/// An application that leaves 1,024 of them unread loses those that come then, and data channels among them are closed. One that does not
/// want them can drop the receiver; then the other side cannot create data channels.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    connection: Weak<Handle>,
}

impl Events {
    pub(crate) fn new(shared: Arc<Shared>, connection: Weak<Handle>) -> Self {
        Self { shared, connection }
    }

    /// The next event; `None` once the connection is closed and everything was told. Cancelling loses nothing.
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

    /// The next event of the peer's, if one waits; `None` after the last.
    fn take(&self) -> Option<Option<columba_peer::Event>> {
        let mut state = self.shared.lock();
        let event = state.events.as_mut().and_then(std::collections::VecDeque::pop_front);
        if event.is_none() && state.is_over { None } else { Some(event) }
    }

    fn translate(&self, event: columba_peer::Event) -> Option<Event> {
        use columba_peer::Event as Peer;
        Some(match event {
            Peer::NegotiationNeeded => Event::NegotiationNeeded,
            Peer::SignalingState(state) => Event::SignalingState(state),
            Peer::IceGatheringState(state) => Event::IceGatheringState(state),
            Peer::IceConnectionState(state) => Event::IceConnectionState(state),
            Peer::ConnectionState(state) => Event::ConnectionState(state),
            Peer::DtlsState(_, state) => Event::DtlsState(state),
            Peer::SctpState(state) => Event::SctpState(state),
            Peer::IceCandidate(candidate) => Event::IceCandidate(candidate),
            Peer::IceCandidateError(error) => Event::IceCandidateError(error),
            Peer::SelectedCandidatePair(_, pair) => Event::SelectedCandidatePair(pair),
            Peer::Error(error) => Event::Error(error),
            Peer::DataChannel(id) => {
                // Without handles the connection is being closed, and its channels with it.
                let connection = self.connection.upgrade()?;
                Event::DataChannel(DataChannel::new(connection, id)?)
            }
            Peer::IceRestartWanted => Event::IceRestartWanted,
            // Events of channels wake those that wait on them.
            Peer::ChannelOpen(_)
            | Peer::ChannelReadable(_)
            | Peer::BufferedAmountLow(_)
            | Peer::ChannelWritable(_)
            | Peer::ChannelClosing(_)
            | Peer::ChannelClosed(..) => return None,
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let now = std::time::Instant::now();
        for event in state.events.take().unwrap_or_default() {
            if let columba_peer::Event::DataChannel(id) = event {
                // It may be closed already, which is as good.
                let _ = state.peer.close_channel(now, id);
            }
        }
        state.wake_driver();
    }
}
