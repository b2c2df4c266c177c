//! The peer connection that applications hold.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use columba_peer::{
    Configuration, DataChannelInit, IceCandidateInit, IceConnectionState, IceGatheringState, OfferOptions,
    Peer, PeerConnectionState, SessionDescription, SignalingState, Stats, UnixTime,
};
use rustls::ClientConfig;

use crate::data_channel::DataChannel;
use crate::driver::{Driver, network};
use crate::error::Error;
use crate::events::Events;
use crate::shared::Shared;

/// A connection to another peer: the W3C's `RTCPeerConnection`. Cheap to clone; all clones are the same connection.
///
/// It is closed by [`close`](Self::close), and when the last handle to it and to its data channels is dropped.
#[derive(Clone, Debug)]
pub struct PeerConnection {
    handle: Arc<Handle>,
}

/// Closes the connection when the last one goes.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with_peer(Peer::close);
    }
}

impl PeerConnection {
    /// A connection that has not begun, and its events. It is driven by a task of the runtime in which this is called.
    ///
    /// # Errors
    /// An ICE server or certificate in the configuration cannot be used; there is no runtime; the system gives no random numbers.
    pub fn new(configuration: Configuration) -> Result<(Self, Events), Error> {
        Self::make(configuration, None)
    }

    /// Likewise; certificates of TURN servers (`turns:`) are checked in this way instead of the system's. See
    /// [`tls::trusting`](crate::tls::trusting).
    ///
    /// # Errors
    /// Likewise.
    pub fn with_tls(configuration: Configuration, tls: Arc<ClientConfig>) -> Result<(Self, Events), Error> {
        Self::make(configuration, Some(tls))
    }

    fn make(configuration: Configuration, tls: Option<Arc<ClientConfig>>) -> Result<(Self, Events), Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| Error::NoRandomness)?;
        let now = Instant::now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut peer = Peer::new(configuration, now, UnixTime(wall), seed)?;
        let mut addresses = network::watch();
        peer.handle_network_change(now, &addresses.borrow_and_update());
        let shared = Arc::new(Shared::new(peer));
        let driver = Driver::new(shared.clone(), addresses, tls);
        runtime.spawn(driver.run());
        let handle = Arc::new(Handle { shared: shared.clone() });
        let events = Events::new(shared, Arc::downgrade(&handle));
        Ok((Self { handle }, events))
    }

    fn with_peer<T>(
        &self,
        change: impl FnOnce(&mut Peer, Instant) -> Result<T, columba_peer::Error>,
    ) -> Result<T, Error> {
        Ok(self.handle.shared.with_peer(change)?)
    }

    /// `createOffer`.
    ///
    /// # Errors
    /// The connection is closed, or an offer does not fit the signaling state.
    pub async fn create_offer(&self, options: OfferOptions) -> Result<SessionDescription, Error> {
        self.with_peer(|peer, now| peer.create_offer(now, options))
    }

    /// `createAnswer`.
    ///
    /// # Errors
    /// The connection is closed, or there is no offer to be answered.
    pub async fn create_answer(&self) -> Result<SessionDescription, Error> {
        self.with_peer(Peer::create_answer)
    }

    /// `setLocalDescription`; without a description, one that fits the signaling state is created. Returns what was set.
    ///
    /// # Errors
    /// The connection is closed, or the description is not the one that was created last.
    pub async fn set_local_description(
        &self,
        description: impl Into<Option<SessionDescription>>,
    ) -> Result<SessionDescription, Error> {
        let description = description.into();
        self.with_peer(|peer, now| peer.set_local_description(now, description))
    }

    /// `setRemoteDescription`.
    ///
    /// # Errors
    /// The connection is closed, or the description cannot be used; the error says where and why.
    pub async fn set_remote_description(&self, description: SessionDescription) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.set_remote_description(now, description))
    }

    /// `addIceCandidate`; `None` and an empty candidate say that no more come.
    ///
    /// # Errors
    /// The candidate is malformed, or there is no remote description to which it could belong.
    pub async fn add_ice_candidate(
        &self,
        candidate: impl Into<Option<IceCandidateInit>>,
    ) -> Result<(), Error> {
        let candidate = candidate.into();
        self.with_peer(|peer, now| peer.add_ice_candidate(now, candidate))
    }

    /// `createDataChannel`. The channel opens when the connection is up; [`DataChannel::send`] waits for that.
    ///
    /// # Errors
    /// The connection is closed, or such a channel cannot be.
    pub fn create_data_channel(&self, label: &str, init: DataChannelInit) -> Result<DataChannel, Error> {
        let id = self.with_peer(|peer, now| peer.create_data_channel(now, label, init))?;
        DataChannel::new(self.handle.clone(), id).ok_or(Error::Peer(columba_peer::Error::NoSuchChannel))
    }

    /// `restartIce`: the next offer asks to look for a path anew.
    pub fn restart_ice(&self) {
        self.handle.shared.with_peer(Peer::restart_ice);
    }

    /// `setConfiguration`: takes effect with the next gathering.
    ///
    /// # Errors
    /// What cannot be used in it, or cannot be changed any more.
    pub fn set_configuration(&self, configuration: Configuration) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.set_configuration(now, configuration))
    }

    /// `localDescription`, with the candidates found so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.local_description()
    }

    /// `remoteDescription`, with the candidates that came so far.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.remote_description()
    }

    /// `signalingState`.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        self.handle.shared.lock().peer.signaling_state()
    }

    /// `iceGatheringState`.
    #[must_use]
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.handle.shared.lock().peer.ice_gathering_state()
    }

    /// `iceConnectionState`.
    #[must_use]
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.handle.shared.lock().peer.ice_connection_state()
    }

    /// `connectionState`.
    #[must_use]
    pub fn connection_state(&self) -> PeerConnectionState {
        self.handle.shared.lock().peer.connection_state()
    }

    /// `getStats`, as plain structs.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.with_peer(|peer, now| peer.stats(now))
    }

    /// `close`. Returns when the other side has been told, as far as that is possible, and the sockets are closed.
    pub async fn close(&self) {
        let shared = &self.handle.shared;
        shared.with_peer(Peer::close);
        loop {
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            if shared.lock().is_over {
                return;
            }
            changed.await;
        }
    }
}
