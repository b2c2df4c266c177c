//! The way of messages between peers that are not connected yet, as the call sees it.

use std::fmt::Debug;

use columba_signal::{PeerId, SessionToken};
use serde_json::value::RawValue;

use super::seal::BoxFuture;
use crate::signaling::{IceServers, SignalingChannel, SignalingError};

/// The signaling channel, or what stands for it in a test.
pub(super) trait Signaling: Debug + Send + Sync {
    /// The own peer id, unless the channel is joining anew just now.
    fn peer_id(&self) -> Option<PeerId>;
    fn session(&self) -> Option<SessionToken>;
    /// The peers that can be reached now.
    fn is_reachable(&self, peer: PeerId) -> bool;
    /// Returns whether its view of the peers is final for now: it is open, or closed for good.
    fn is_settled(&self) -> bool;
    fn send(&self, to: PeerId, message: &RawValue) -> Result<(), SignalingError>;
    fn ice_servers(&self) -> IceServers;
    fn refresh_ice_servers(&self) -> BoxFuture<'_, Option<IceServers>>;
    /// Leaves the session.
    fn close(&self) -> BoxFuture<'_, ()>;
}

impl Signaling for SignalingChannel {
    fn peer_id(&self) -> Option<PeerId> {
        Self::peer_id(self)
    }

    fn session(&self) -> Option<SessionToken> {
        Self::session(self)
    }

    fn is_reachable(&self, peer: PeerId) -> bool {
        Self::is_reachable(self, peer)
    }

    fn is_settled(&self) -> bool {
        self.is_open() || self.is_closed()
    }

    fn send(&self, to: PeerId, message: &RawValue) -> Result<(), SignalingError> {
        Self::send(self, Some(to), message)
    }

    fn ice_servers(&self) -> IceServers {
        Self::ice_servers(self)
    }

    fn refresh_ice_servers(&self) -> BoxFuture<'_, Option<IceServers>> {
        Box::pin(async { Self::refresh_ice_servers(self).await.ok() })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(Self::close(self))
    }
}
