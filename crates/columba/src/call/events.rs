//! The events of a call.

use std::sync::Arc;

use columba_signal::{ClientId, PeerId, Refusal};
use serde_json::value::RawValue;

use super::state::Shared;
use crate::connection::PeerConnection;
use crate::data_channel::DataChannel;
use crate::signaling::SignalingError;
use crate::transceiver::TrackEvent;

/// An event of a [`Call`](super::Call).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallEvent {
    /// A peer is in the session. With [`Admission::OnRequest`](super::Admission::OnRequest) no
    /// connection to it is made before [`Call::connect`](super::Call::connect).
    PeerJoined {
        /// The peer.
        peer: PeerId,
        /// The name that it gave itself.
        client_id: Option<ClientId>,
    },
    /// A connection to the peer is up, and channels can be opened. Comes again after a connection
    /// had to be made anew, whose channels are closed.
    PeerConnected {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connection: PeerConnection,
    },
    /// The connection to the peer does not carry anything now; it is being mended, or made anew.
    PeerInterrupted {
        /// The peer.
        peer: PeerId,
    },
    /// The same connection goes on, and its channels too.
    PeerRestored {
        /// The peer.
        peer: PeerId,
    },
    /// The peer has opened a channel.
    ChannelOpened {
        /// The peer.
        peer: PeerId,
        /// The channel.
        channel: DataChannel,
    },
    /// The peer sends a track, or may send it: with
    /// [`CallMedia::receives`](super::CallMedia::receives). May come before
    /// [`PeerConnected`](Self::PeerConnected).
    TrackAdded {
        /// The peer.
        peer: PeerId,
        /// The track, with the transceiver that receives it.
        track: TrackEvent,
    },
    /// A text on the call's own channel.
    Message {
        /// The sender.
        peer: PeerId,
        /// At most 64 KiB.
        text: String,
    },
    /// A message through the signaling server that is not the call's own.
    Signal {
        /// The sender.
        peer: PeerId,
        /// The JSON value, exactly as it was written.
        data: Arc<RawValue>,
    },
    /// A message that came through the signaling server was dropped: it was not sealed although it
    /// must be, or sealed although it cannot be opened, or [`Seal::open`](super::Seal::open)
    /// refused.
    SealRefused {
        /// The sender, as the signaling server says.
        peer: PeerId,
        /// The fault.
        error: String,
    },
    /// A connection to the peer has failed, and is made anew.
    PeerFailed {
        /// The peer.
        peer: PeerId,
        /// The fault.
        error: String,
    },
    /// The signaling server reaches the peer again, or no longer. Connections that are up go on.
    PeerReachable {
        /// The peer.
        peer: PeerId,
        /// True if it does.
        reachable: bool,
    },
    /// The peer has gone: the last event about it, until it joins again.
    PeerLeft {
        /// The peer.
        peer: PeerId,
        /// The way it went.
        end: PeerEnd,
    },
    /// The signaling server refused something, and the call goes on.
    SignalingRefused(Refusal),
    /// The connection to the signaling server broke; it is being mended.
    SignalingInterrupted,
    /// The signaling server is connected.
    SignalingOpen {
        /// The membership before was lost.
        rejoined: bool,
    },
    /// The signaling channel has ended. Connections that are up go on; without any the call is
    /// over.
    SignalingClosed(SignalingError),
}

/// The end of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEnd {
    /// It has left, and said so.
    Left,
    /// Neither the signaling server nor a connection reaches it.
    Vanished,
    /// This side has ended it ([`Call::dismiss`](super::Call::dismiss)).
    Dismissed,
}

/// The receiver of a call's events.
///
/// It must be read: while 256 events wait, nothing more is taken from the signaling server, and no
/// message and no channel from the peers.
#[derive(Debug)]
pub struct CallEvents {
    pub(super) shared: Arc<Shared>,
}

impl CallEvents {
    /// Waits for the next event; `None` once the call is over. Cancelling loses nothing.
    pub async fn recv(&mut self) -> Option<CallEvent> {
        self.shared.next_event().await
    }
}

impl Drop for CallEvents {
    fn drop(&mut self) {
        self.shared.ignore_events();
    }
}
