//! The handle to a peer connection.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use columba_peer::report::StatsReport;
use columba_peer::{
    Certificate, Configuration, DataChannelInit, DtlsTransport, IceCandidateInit, IceConnectionState,
    IceGatheringState, IceTransport, KeyAlgorithm, OfferOptions, Peer, PeerConnectionState, ReceivedPacket,
    SctpTransport, SessionDescription, SignalingState, Stats, StatsSelector, Track, TrackKind, TransceiverId,
    TransceiverInit, TransportId, UnixTime,
};
use tokio::runtime::Handle as Runtime;

use crate::builder::PeerConnectionBuilder;
use crate::data_channel::DataChannel;
use crate::error::Error;
use crate::events::Events;
use crate::features;
use crate::handle::Handle;
use crate::operation::Operation;
use crate::transceiver::Transceiver;

/// The lifetime of certificates unless told, and the longest that the W3C lets be asked for.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);
const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// A connection to another peer: the W3C's `RTCPeerConnection`. Cheap to clone; all clones are
/// handles to the same connection.
///
/// # The chain of operations
///
/// As in a browser, `createOffer`, `createAnswer`, `setLocalDescription`, `setRemoteDescription`
/// and `addIceCandidate` are executed one after the other, in the order in which they are *called*,
/// whatever tasks call them, and whether and in which order their [`Operation`]s are awaited. Each
/// does its whole work before the next begins, and the events that follow from it are in the queue
/// when it returns; so none is under way when [`Event::NegotiationNeeded`](crate::Event) is looked
/// at, and that comes only if a negotiation is needed then. After [`close`](Self::close) each fails
/// with an `InvalidStateError` (`Deviation:` the W3C's promises stay pending for ever).
///
/// ```
/// use columba::{Configuration, DataChannelInit, Error, PeerConnection};
///
/// #[tokio::main]
/// async fn main() -> Result<(), Error> {
///     let (caller, _events) = PeerConnection::new(Configuration::default())?;
///     let (callee, _events) = PeerConnection::new(Configuration::default())?;
///     caller.create_data_channel("chat", DataChannelInit::default())?;
///     let offer = caller.set_local_description(None).await?;
///
///     // Both are called, one after the other; nothing can come between them.
///     let set = callee.set_remote_description(offer);
///     let answer = callee.set_local_description(None);
///     set.await?;
///     caller.set_remote_description(answer.await?).await?;
///     Ok(())
/// }
/// ```
///
/// It is closed by [`close`](Self::close), and when the last handle to it and to its data channels
/// is dropped.
#[derive(Clone, Debug)]
pub struct PeerConnection {
    handle: Arc<Handle>,
}

impl PeerConnection {
    /// Returns a builder, for what [`new`](Self::new) does not take.
    pub fn builder() -> PeerConnectionBuilder {
        PeerConnectionBuilder::default()
    }

    /// Creates a connection that is driven by the runtime in which this is called, and the receiver
    /// of its events: short for [`builder`](Self::builder).
    ///
    /// # Errors
    /// As [`PeerConnectionBuilder::build`].
    pub fn new(configuration: Configuration) -> Result<(Self, Events), Error> {
        Self::builder().configuration(configuration).build()
    }

    /// Makes a certificate with a new key of this kind: the W3C's `generateCertificate`. It is
    /// valid for `lifetime`; for 30 days unless told, as in Chromium, and for a year at most. Keys
    /// of RSA take a second or two, on a thread of their own.
    ///
    /// # Errors
    /// - [`Error::NoRuntime`]: this is not called inside a runtime, or that ends.
    /// - [`Error::NoRandomness`]: the system gives no random numbers.
    /// - [`Error::Peer`]: the cryptography library fails.
    pub async fn generate_certificate(
        algorithm: KeyAlgorithm,
        lifetime: Option<Duration>,
    ) -> Result<Certificate, Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| Error::NoRandomness)?;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires = UnixTime(wall + lifetime.unwrap_or(LIFETIME).min(LONGEST_LIFETIME));
        let make = move || Certificate::from_seed(algorithm, seed, UnixTime(wall), expires);
        let runtime = Runtime::try_current().map_err(|_| Error::NoRuntime)?;
        Ok(runtime.spawn_blocking(make).await.map_err(|_| Error::NoRuntime)??)
    }

    pub(crate) fn from_handle(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    fn with_peer<T>(
        &self,
        change: impl FnOnce(&mut Peer, Instant) -> Result<T, columba_peer::Error>,
    ) -> Result<T, Error> {
        Ok(self.handle.shared.with_peer(change)?)
    }

    /// W3C "chain an operation". The machine answers at once, so that the chain is empty again when
    /// this returns; calls of other threads wait for the lock meanwhile.
    fn chain<T>(
        &self,
        operation: impl FnOnce(&mut Peer, Instant) -> Result<T, columba_peer::Error>,
    ) -> Operation<T> {
        Operation::new(self.with_peer(operation))
    }

    /// `createOffer`.
    ///
    /// # Errors
    /// The connection is closed, or an offer does not fit the signaling state.
    pub fn create_offer(&self, options: OfferOptions) -> Operation<SessionDescription> {
        self.chain(|peer, now| peer.create_offer(now, options))
    }

    /// `createAnswer`.
    ///
    /// # Errors
    /// The connection is closed, or there is no offer to answer.
    pub fn create_answer(&self) -> Operation<SessionDescription> {
        self.chain(Peer::create_answer)
    }

    /// `setLocalDescription`; without a description, one that fits the signaling state is created.
    /// Returns the description that was set, with the candidates known so far: to be sent to the
    /// other side.
    ///
    /// # Errors
    /// The connection is closed, or the description is not the one that was created last.
    pub fn set_local_description(
        &self,
        description: impl Into<Option<SessionDescription>>,
    ) -> Operation<SessionDescription> {
        let description = description.into();
        self.chain(|peer, now| peer.set_local_description(now, description))
    }

    /// `setRemoteDescription`.
    ///
    /// # Errors
    /// The connection is closed, or the description cannot be used; the error says where and why.
    pub fn set_remote_description(&self, description: SessionDescription) -> Operation<()> {
        self.chain(|peer, now| peer.set_remote_description(now, description))
    }

    /// `addIceCandidate`; `None` and an empty candidate mean the end of the candidates.
    ///
    /// # Errors
    /// The candidate is malformed, or there is no remote description that it belongs to.
    pub fn add_ice_candidate(&self, candidate: impl Into<Option<IceCandidateInit>>) -> Operation<()> {
        let candidate = candidate.into();
        self.chain(|peer, now| peer.add_ice_candidate(now, candidate))
    }

    /// `createDataChannel`. The channel opens when the connection is up; [`DataChannel::send`]
    /// waits for that.
    ///
    /// Interoperability: a page of Chromium that sends inside `ondatachannel` may lose the message.
    /// Send first from the side that creates the channel, or create it with `negotiated` on both
    /// sides.
    ///
    /// # Errors
    /// The connection is closed, or the label or the options cannot be used.
    pub fn create_data_channel(&self, label: &str, init: DataChannelInit) -> Result<DataChannel, Error> {
        let channel = self.handle.shared.with_state(|state, now| {
            let id = state.peer.create_data_channel(now, label, init)?;
            state.channel(id).ok_or(columba_peer::Error::NoSuchChannel)
        })?;
        Ok(DataChannel::new(self.handle.clone(), channel))
    }

    /// `addTransceiver`, with a kind.
    ///
    /// # Errors
    /// The connection is closed, or the encodings contradict each other.
    pub fn add_transceiver(&self, kind: TrackKind, init: TransceiverInit) -> Result<Transceiver, Error> {
        let id = self.with_peer(|peer, now| peer.add_transceiver(now, kind, init))?;
        Ok(self.transceiver(id, kind))
    }

    /// `addTransceiver`, with a track that is sent.
    ///
    /// # Errors
    /// As [`add_transceiver`](Self::add_transceiver).
    pub fn add_transceiver_with_track(
        &self,
        track: impl Into<Track>,
        init: TransceiverInit,
    ) -> Result<Transceiver, Error> {
        let track = track.into();
        let kind = track.kind;
        let id = self.with_peer(|peer, now| peer.add_transceiver_with_track(now, track, init))?;
        Ok(self.transceiver(id, kind))
    }

    /// `addTrack`: sends a track in streams with these identifiers.
    ///
    /// # Errors
    /// The connection is closed, or the track is sent already.
    pub fn add_track(
        &self,
        track: impl Into<Track>,
        streams: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Transceiver, Error> {
        let track = track.into();
        let (kind, streams) = (track.kind, streams.into_iter().map(Into::into).collect());
        let id = self.with_peer(|peer, now| peer.add_track(now, track, streams))?;
        Ok(self.transceiver(id, kind))
    }

    /// `getTransceivers`.
    #[must_use]
    pub fn transceivers(&self) -> Vec<Transceiver> {
        let all = self.handle.shared.lock().peer.transceivers();
        all.into_iter().map(|one| self.transceiver(one.id, one.kind)).collect()
    }

    fn transceiver(&self, id: TransceiverId, kind: TrackKind) -> Transceiver {
        Transceiver::new(self.handle.clone(), id, kind)
    }

    /// `restartIce`: the next offer restarts ICE.
    pub fn restart_ice(&self) {
        self.handle.shared.with_peer(Peer::restart_ice);
    }

    /// `setConfiguration`: takes effect with the next gathering.
    ///
    /// # Errors
    /// It cannot be used, or changes what cannot be changed any more.
    pub fn set_configuration(&self, configuration: Configuration) -> Result<(), Error> {
        features::check(&configuration)?;
        self.with_peer(|peer, now| peer.set_configuration(now, configuration))
    }

    /// `localDescription`, with the candidates gathered so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.local_description()
    }

    /// `remoteDescription`, with the candidates received so far.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.remote_description()
    }

    /// `currentLocalDescription`: the one that was agreed last.
    #[must_use]
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.current_local_description()
    }

    /// `pendingLocalDescription`: the one that is being negotiated.
    #[must_use]
    pub fn pending_local_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.pending_local_description()
    }

    /// `currentRemoteDescription`: the one that was agreed last.
    #[must_use]
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.current_remote_description()
    }

    /// `pendingRemoteDescription`: the one that is being negotiated.
    #[must_use]
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.handle.shared.lock().peer.pending_remote_description()
    }

    /// `canTrickleIceCandidates`: whether the other side takes candidates that come later; `None`
    /// without a description of its.
    #[must_use]
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        self.handle.shared.lock().peer.can_trickle_ice_candidates()
    }

    /// Returns true if an offer is to be made now: the W3C's "check if negotiation is needed".
    #[must_use]
    pub fn is_negotiation_needed(&self) -> bool {
        self.handle.shared.lock().peer.is_negotiation_needed()
    }

    /// Returns the transports that sections of the descriptions use.
    #[must_use]
    pub fn transports(&self) -> Vec<TransportId> {
        self.handle.shared.lock().peer.transports()
    }

    /// Returns a transport's `RTCIceTransport`, as it is now.
    #[must_use]
    pub fn ice_transport(&self, id: TransportId) -> Option<IceTransport> {
        self.handle.shared.lock().peer.ice_transport(id)
    }

    /// Returns a transport's `RTCDtlsTransport`, as it is now.
    #[must_use]
    pub fn dtls_transport(&self, id: TransportId) -> Option<DtlsTransport> {
        self.handle.shared.lock().peer.dtls_transport(id)
    }

    /// `sctp`, as it is now; `None` as long as no section for data is agreed.
    #[must_use]
    pub fn sctp(&self) -> Option<SctpTransport> {
        self.handle.shared.lock().peer.sctp_transport()
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

    /// `getStats`, as the W3C's report.
    #[must_use]
    pub fn stats_report(&self) -> StatsReport {
        self.handle.shared.with_peer(|peer, now| peer.stats_report(now))
    }

    /// `getStats` of a sender, a receiver or a track, as the W3C's report.
    ///
    /// # Errors
    /// There is no such transceiver, or the track is not that of one sender or receiver.
    pub fn stats_report_of(&self, selector: &StatsSelector) -> Result<StatsReport, Error> {
        self.with_peer(|peer, now| peer.stats_report_of(now, selector))
    }

    /// Waits for the next packet of media, in the clear, of transceivers whose level is
    /// [`ReceiveLevel::Packets`](crate::ReceiveLevel), and the RTCP of their transports, and moves
    /// it into `buf`; `None` once the connection is closed. For one task. Cancelling loses nothing.
    pub async fn recv_packet(&self, buf: &mut Vec<u8>) -> Option<ReceivedPacket> {
        let shared = &self.handle.shared;
        loop {
            let mut readable = std::pin::pin!(shared.packets.notified());
            readable.as_mut().enable();
            {
                let mut state = shared.lock();
                if let Some(packet) = state.peer.receive_packet(buf) {
                    return Some(packet);
                }
                if state.is_over || state.peer.connection_state() == PeerConnectionState::Closed {
                    return None;
                }
            }
            readable.await;
        }
    }

    /// Sends a compound RTCP packet, or one of reduced size, in the clear: for those who forward
    /// packets.
    ///
    /// # Errors
    /// The transport is not connected, or carries no media; or it is no RTCP packet.
    pub fn send_rtcp(&self, transport: TransportId, packet: &[u8]) -> Result<(), Error> {
        self.with_peer(|peer, _| peer.send_rtcp(transport, packet))
    }

    /// `close`. Returns when the close notifications are sent, as far as that is possible, and the
    /// sockets are closed.
    pub async fn close(&self) {
        let shared = &self.handle.shared;
        shared.close();
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
