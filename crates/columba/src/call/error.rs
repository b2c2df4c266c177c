//! The errors of a call.

use columba_signal::PeerId;

/// The reason for which a call does not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No peer has this id, or it has left.
    #[error("there is no peer {peer} in the call")]
    NoSuchPeer {
        /// The peer.
        peer: PeerId,
    },
    /// There is no connection to the peer now; wait for
    /// [`PeerConnected`](super::CallEvent::PeerConnected).
    #[error("there is no connection to the peer {peer} now")]
    NotConnected {
        /// The peer.
        peer: PeerId,
    },
    /// As many messages as may wait for a peer are waiting already.
    #[error("too many messages wait to be sent to the peer {peer}")]
    Full {
        /// The peer.
        peer: PeerId,
    },
    /// The message is longer than the call's own channel takes; open a channel for it.
    #[error("a message of {size} bytes is too long for the call's own channel, which takes {limit}")]
    TooLong {
        /// Bytes of the message.
        size: usize,
        /// Bytes that are taken.
        limit: usize,
    },
    /// The call is over.
    #[error("the call is over")]
    Over,
    /// The connection refuses.
    #[error(transparent)]
    Connection(#[from] crate::Error),
}
