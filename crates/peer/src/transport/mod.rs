//! One transport: ICE, DTLS, the keys of SRTP, and the demultiplexer between them.
//!
//! A transport knows nothing of media sections and of other transports. Its identifiers of sockets,
//! connections and names are unique together with its [`TransportId`].

pub(crate) mod dtls;
mod embedding;
#[cfg(test)]
mod tests;
mod transmit;

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_ice::{
    Agent, CandidateError, Config as IceConfig, Credentials, Ecn, Event as IceEvent, GatheringState, Input,
    LocalAddress, Path, Received as IceReceived, RemoteParameters, Request, Role, SelectedPair, State,
    Transmit,
};
use columba_sdp::attributes::Fingerprint;
use rand_core::CryptoRng;

use embedding::Embedding;

use dtls::{DtlsRole, DtlsTransport, DtlsTransportConfig, DtlsTransportEvent, SrtpKeys};
pub(crate) use transmit::{Source, is_direct, packet_size};

use crate::data::Data;
use crate::error::Error;
use crate::jsep::Extensions;
use crate::states::{DtlsTransportState, IceConnectionState, IceGatheringState};
use crate::stats::{Discarded, DtlsStats, TransportStats};

/// Paths of which discarded packets are counted. The others' are few: a path that discards is given
/// up by ICE.
const MAX_DISCARDED: usize = 64;

/// The name of a transport of a peer connection.
///
/// [`Peer::poll_request`](crate::Peer::poll_request) returns it with each request; the answer to
/// the request, and every datagram of the sockets and connections that come of it, are given to the
/// same transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub(crate) u32);

impl TransportId {
    /// The transport that exists from the beginning, so that it can gather a candidate pool. The
    /// first bundle or section uses it, and it ends when none does any more.
    pub const FIRST: Self = Self(0);
}

impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transport.
#[derive(Debug)]
pub(crate) struct Transport {
    id: TransportId,
    agent: Agent,
    dtls: DtlsTransport,
    embedding: Embedding,
    /// The keys of SRTP, once DTLS is connected, if both sides want SRTP (RFC 5764).
    srtp: Option<SrtpKeys>,
    sizes: DatagramSizes,
    /// A section of a description uses it. Its states count only as long as one does.
    is_used: bool,
    /// No section will use it again.
    has_ended: bool,
    /// The local candidates of the credentials that are announced.
    candidates: LocalCandidates,
    /// Those of the session that runs while the other side has not answered a restart.
    former: Option<LocalCandidates>,
    /// The states that were reported by events.
    ice_state: IceConnectionState,
    gathering_state: IceGatheringState,
    dtls_state: DtlsTransportState,
    /// A pair was valid: data can be sent.
    is_writable: bool,
    /// The last datagrams of a closed transport, at most [`MAX_FINAL`](transmit::MAX_FINAL).
    closing: VecDeque<(Transmit, Vec<u8>)>,
    counters: Counters,
    /// Packets that sockets did not take, at most [`MAX_DISCARDED`] paths.
    discarded: Vec<Discarded>,
}

/// The parameters of a transport.
#[derive(Debug)]
pub(crate) struct TransportConfig {
    pub(crate) ice: IceConfig,
    pub(crate) dtls: DtlsTransportConfig,
    /// Checks may carry DTLS's handshake, where the other side has that, too.
    pub(crate) embedding: bool,
    pub(crate) sizes: DatagramSizes,
}

/// Sizes of UDP payloads in bytes, without a TURN header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatagramSizes {
    /// The largest that every path carries.
    pub(crate) safe: usize,
    /// The largest that path MTU discovery tries between two hosts without a relay.
    pub(crate) probed: usize,
}

/// The local candidates of one generation.
#[derive(Debug, Default)]
pub(crate) struct LocalCandidates {
    pub(crate) found: Vec<columba_ice::Candidate>,
    pub(crate) is_complete: bool,
}

/// Datagrams that were dropped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    /// Arrived, and of no known protocol.
    pub(crate) unknown: u64,
    /// Outgoing packets without a path.
    pub(crate) no_path: u64,
}

/// A change in a transport that concerns its owner.
#[derive(Debug)]
pub(crate) enum TransportEvent {
    /// A local candidate was found.
    LocalCandidate(columba_ice::Candidate),
    /// The gathering state has changed.
    GatheringState(IceGatheringState),
    /// A server has refused or not answered.
    CandidateError(CandidateError),
    /// The ICE state has changed.
    IceState(IceConnectionState),
    /// Data goes over another pair.
    SelectedPair(Box<SelectedPair>),
    /// Only an ICE restart can find a path again.
    RestartWanted,
    /// DTLS is connected, and the other side has shown the certificate of its description.
    DtlsConnected,
    /// The events of a path were told that handshakes may have been ahead of: data may begin, and
    /// has [packets](Transport::next_early_packet) perhaps.
    PathKnown,
    /// The other side has closed DTLS.
    DtlsClosed,
    /// DTLS has failed.
    Failed(Error),
}

/// The protocol of a datagram that is not ICE's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// DTLS. The range includes the unified header of version 1.3 (RFC 9147 §4).
    Dtls,
    /// RTP or RTCP.
    Media,
    /// ZRTP, QUIC, TURN channel data that is not a relay's, or noise.
    Unknown,
}

/// Returns the protocol of a datagram, by its first byte (RFC 7983, RFC 9443).
fn protocol_of(datagram: &[u8]) -> Protocol {
    match datagram.first() {
        Some(20..=63) => Protocol::Dtls,
        Some(128..=191) => Protocol::Media,
        _ => Protocol::Unknown,
    }
}

impl Transport {
    pub(crate) fn new(id: TransportId, config: TransportConfig, rng: &mut impl CryptoRng) -> Self {
        Self {
            id,
            agent: Agent::new(config.ice, rng),
            dtls: DtlsTransport::new(config.dtls),
            embedding: Embedding::new(config.embedding),
            srtp: None,
            sizes: config.sizes,
            is_used: false,
            has_ended: false,
            candidates: LocalCandidates::default(),
            former: None,
            ice_state: IceConnectionState::New,
            gathering_state: IceGatheringState::New,
            dtls_state: DtlsTransportState::New,
            is_writable: false,
            closing: VecDeque::new(),
            counters: Counters::default(),
            discarded: Vec::new(),
        }
    }

    pub(crate) fn id(&self) -> TransportId {
        self.id
    }

    /// Handles a datagram, or a frame of a connection. Relay headers are removed where they stand.
    /// `data` takes the packets of data, if it runs over this transport; it begins with the first
    /// records after the handshake. Returns the place of an RTP or RTCP packet.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        ecn: Ecn,
        datagram: &mut [u8],
        data: Option<&mut Data>,
    ) -> Option<Range<usize>> {
        let IceReceived::Data { range } = self.agent.handle_datagram(now, path, ecn, datagram) else {
            return None;
        };
        let payload = &mut datagram[range.clone()];
        match protocol_of(payload) {
            Protocol::Dtls => {
                self.dtls.open(now, payload);
                self.read_packets(now, ecn, payload, data);
            }
            Protocol::Media => return Some(range),
            Protocol::Unknown => self.counters.unknown += 1,
        }
        None
    }

    /// Gives the packets of the records that have just been opened to `data`.
    fn read_packets(&mut self, now: Instant, ecn: Ecn, records: &mut [u8], mut data: Option<&mut Data>) {
        if self.is_ahead_of_path() {
            return self.keep_packets(ecn, records);
        }
        if let Some(data) = &mut data
            && let Some(role) = self.connected_role()
        {
            data.begin(now, role, self.packet_limit());
        }
        while let Some(packet) = self.dtls.read(records) {
            match &mut data {
                Some(data) if data.has_begun() => data.handle_packet(now, ecn, packet),
                _ => self.counters.unknown += 1,
            }
        }
        self.dtls.end_read();
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        self.agent.handle_input(now, input);
    }

    pub(crate) fn handle_network_change(&mut self, now: Instant, addresses: &[LocalAddress]) {
        self.agent.handle_network_change(now, addresses);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        if !self.has_ended && !self.is_dtls_patient() {
            self.dtls.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let dtls = self.dtls.poll_timeout().filter(|_| !self.has_ended && !self.is_dtls_patient());
        [self.agent.poll_timeout(), dtls].into_iter().flatten().min()
    }

    pub(crate) fn poll_request(&mut self) -> Option<Request> {
        self.agent.poll_request()
    }

    /// Returns the next change. Changes of ICE come before those of DTLS.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<TransportEvent> {
        while let Some(event) = self.agent.poll_event() {
            if let Some(event) = self.handle_ice_event(now, event) {
                return Some(event);
            }
        }
        self.embed(now);
        if self.note_path() {
            return Some(TransportEvent::PathKnown);
        }
        Some(match self.dtls.poll_event()? {
            DtlsTransportEvent::Connected => {
                self.srtp = self.dtls.srtp_keys();
                TransportEvent::DtlsConnected
            }
            DtlsTransportEvent::Closed => TransportEvent::DtlsClosed,
            DtlsTransportEvent::Failed(error) => TransportEvent::Failed(error),
        })
    }

    fn handle_ice_event(&mut self, now: Instant, event: IceEvent) -> Option<TransportEvent> {
        match event {
            IceEvent::LocalCandidate(found) => {
                // There are few, and they are kept as long as the connection.
                self.candidates.found.reserve_exact(1);
                self.candidates.found.push(found.clone());
                Some(TransportEvent::LocalCandidate(found))
            }
            IceEvent::GatheringState(state) => {
                self.candidates.is_complete = state == GatheringState::Complete;
                let state = gathering_state(state);
                let changed = std::mem::replace(&mut self.gathering_state, state) != state;
                changed.then_some(TransportEvent::GatheringState(state))
            }
            IceEvent::CandidateError(error) => Some(TransportEvent::CandidateError(error)),
            IceEvent::State(state) => Some(TransportEvent::IceState(ice_state(state))),
            IceEvent::Writable => {
                if !std::mem::replace(&mut self.is_writable, true) {
                    self.end_embedding(now);
                }
                self.begin_dtls(now);
                None
            }
            IceEvent::Selected(pair) => Some(TransportEvent::SelectedPair(Box::new(pair))),
            IceEvent::RestartWanted => Some(TransportEvent::RestartWanted),
            IceEvent::Embedded(value) => {
                self.handle_embedded(now, value.to_vec());
                None
            }
            // The role is part of the statistics.
            IceEvent::RoleChanged(_) => None,
        }
    }

    /// Sets the extensions that both sides' descriptions have.
    pub(crate) fn set_extensions(&mut self, extensions: Extensions) {
        self.dtls.set_post_quantum(extensions.post_quantum);
        self.embedding.is_agreed = extensions.embedding;
    }

    pub(crate) fn set_ice_config(&mut self, now: Instant, config: IceConfig) {
        self.agent.set_config(now, config);
    }

    pub(crate) fn set_ice_role(&mut self, role: Role) {
        self.agent.set_role(role);
    }

    pub(crate) fn is_controlling(&self) -> bool {
        self.agent.role() == Role::Controlling
    }

    pub(crate) fn ice_role(&self) -> Role {
        self.agent.role()
    }

    pub(crate) fn current_pair(&self) -> Option<SelectedPair> {
        self.agent.current_pair()
    }

    pub(crate) fn remote_certificate(&self) -> Option<&[u8]> {
        self.dtls.remote_certificate()
    }

    /// Begins to gather, unless that was done for this generation.
    pub(crate) fn gather(&mut self, now: Instant) {
        if self.agent.gathering_state() == GatheringState::New {
            self.agent.gather(now);
        }
    }

    /// Takes the local credentials of a description. Others than the ones in use restart ICE, with
    /// this configuration, if there is one; the running session goes on until the other side has
    /// answered. Returns true if ICE restarts.
    pub(crate) fn set_local_ice(
        &mut self,
        now: Instant,
        credentials: Credentials,
        config: Option<IceConfig>,
    ) -> bool {
        self.is_used = true;
        if *self.agent.local_credentials() == credentials {
            return false;
        }
        if *self.agent.running_credentials() == credentials {
            self.roll_back(now);
            return false;
        }
        self.agent.restart_with(now, credentials, config);
        let candidates = std::mem::take(&mut self.candidates);
        self.former.get_or_insert(candidates);
        true
    }

    /// Takes back the local description, if that has restarted ICE. Returns the user name fragment
    /// that nothing belongs to any more.
    pub(crate) fn roll_back(&mut self, now: Instant) -> Option<Arc<str>> {
        self.candidates = self.former.take()?;
        let ufrag = self.credentials().ufrag.clone();
        self.agent.roll_back(now);
        self.gathering_state = gathering_state(self.agent.gathering_state());
        Some(ufrag)
    }

    /// Takes the other side's parameters: a restart has its answer.
    /// Returns the keys of SRTP, once DTLS is connected, if both sides want SRTP.
    pub(crate) fn srtp_keys(&self) -> Option<&SrtpKeys> {
        self.srtp.as_ref()
    }

    pub(crate) fn set_remote_ice(&mut self, now: Instant, parameters: RemoteParameters) {
        self.is_used = true;
        self.agent.set_remote(now, parameters);
        self.former = None;
    }

    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Ends it without a word: both sides know by their descriptions.
    pub(crate) fn end(&mut self, now: Instant) {
        (self.is_used, self.has_ended, self.is_writable) = (false, true, false);
        self.agent.close(now);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Begins a new DTLS association, with the next role that is set.
    pub(crate) fn renew_dtls(&mut self) {
        self.dtls.renew();
        self.forget_embedded();
        self.srtp = None;
        // The handshake begins with the new session's first valid pair.
        (self.is_writable, self.embedding.is_path_known) = (false, false);
    }

    /// Returns true if the other side has never answered a description.
    pub(crate) fn is_unanswered(&self) -> bool {
        !self.agent.has_remote()
    }

    pub(crate) fn agent(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// Returns true if the session that runs has this user name fragment.
    pub(crate) fn is_running(&self, ufrag: &str) -> bool {
        *self.agent.running_credentials().ufrag == *ufrag
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        self.agent.local_credentials()
    }

    /// Returns the candidates that were announced under these credentials.
    pub(crate) fn candidates(&self, credentials: &Credentials) -> Option<&LocalCandidates> {
        if self.credentials() == credentials {
            return Some(&self.candidates);
        }
        self.former.as_ref().filter(|_| self.agent.running_credentials() == credentials)
    }

    /// Returns whether only a restart gives this transport a path again.
    pub(crate) fn wants_restart(&self) -> bool {
        self.agent.wants_restart()
    }

    pub(crate) fn ice_state(&self) -> IceConnectionState {
        self.ice_state
    }

    /// Takes a state over that is announced now.
    pub(crate) fn set_ice_state(&mut self, state: IceConnectionState) {
        self.ice_state = state;
    }

    pub(crate) fn gathering_state(&self) -> IceGatheringState {
        self.gathering_state
    }

    /// Returns the next state of DTLS, if it has changed since the last call.
    pub(crate) fn poll_dtls_state(&mut self) -> Option<DtlsTransportState> {
        use DtlsTransportState::{Connected, Connecting, New};
        let state = match (self.dtls_state, self.dtls_state()) {
            // The handshake was over before there was a path.
            (New, Connected) => Connecting,
            (_, state) => state,
        };
        let changed = std::mem::replace(&mut self.dtls_state, state) != state;
        changed.then_some(state)
    }

    /// Returns the local role in DTLS, if it is connected, and not ahead of the path.
    pub(crate) fn connected_role(&self) -> Option<DtlsRole> {
        self.dtls.role().filter(|_| self.dtls_state() == DtlsTransportState::Connected)
    }

    pub(crate) fn dtls_role(&self) -> Option<DtlsRole> {
        self.dtls.role()
    }

    /// Returns true if one of these fingerprints is that of the certificate that the other side has
    /// shown, or if it has shown none.
    pub(crate) fn accepts(&self, fingerprints: &[Fingerprint]) -> bool {
        self.dtls.accepts(fingerprints)
    }

    /// Bytes of the longest packet of data that the other side takes in one record.
    pub(crate) fn packet_limit(&self) -> usize {
        self.dtls.packet_limit()
    }

    /// Sets what the descriptions have settled.
    pub(crate) fn set_dtls(&mut self, now: Instant, role: DtlsRole, fingerprints: Vec<Fingerprint>) {
        self.dtls.set_role(role, fingerprints);
        self.begin_dtls(now);
    }

    /// Begins DTLS once the role is settled and there is a path, or checks carry it. A server waits
    /// without one.
    fn begin_dtls(&mut self, now: Instant) {
        let Some(role) = self.dtls.role() else { return };
        if self.dtls.has_begun() || role == DtlsRole::Client && !self.is_writable && !self.embeds() {
            return;
        }
        self.dtls.begin(now, self.round_trip(), self.handshake_datagram());
        if self.embeds() {
            self.dtls.begin_without_path();
        }
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let pairs = self.agent.stats().pairs;
        pairs.into_iter().filter_map(|pair| pair.counters.current_round_trip_time).min()
    }

    /// Returns true if nothing is left to do after closing.
    pub(crate) fn is_drained(&self) -> bool {
        self.closing.is_empty() && self.agent.poll_timeout().is_none()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn dropped_records(&self) -> u64 {
        self.dtls.dropped()
    }

    /// Counts packets that a socket did not take.
    pub(crate) fn note_discarded(&mut self, path: Path, packets: u64, bytes: u64) {
        if let Some(known) = self.discarded.iter_mut().find(|one| one.path == path) {
            known.packets += packets;
            known.bytes += bytes;
        } else if self.discarded.len() < MAX_DISCARDED {
            self.discarded.push(Discarded { path, packets, bytes });
        }
    }

    pub(crate) fn stats(&self) -> TransportStats {
        TransportStats {
            id: self.id,
            ice: self.agent.stats(),
            dtls: DtlsStats { state: self.dtls_state(), ..self.dtls.stats() },
            srtp_profile: self.srtp.as_ref().map(SrtpKeys::profile),
            discarded: self.discarded.clone(),
        }
    }
}

fn gathering_state(state: GatheringState) -> IceGatheringState {
    match state {
        GatheringState::New => IceGatheringState::New,
        GatheringState::Gathering => IceGatheringState::Gathering,
        GatheringState::Complete => IceGatheringState::Complete,
    }
}

fn ice_state(state: State) -> IceConnectionState {
    match state {
        State::New => IceConnectionState::New,
        State::Checking => IceConnectionState::Checking,
        State::Connected => IceConnectionState::Connected,
        State::Completed => IceConnectionState::Completed,
        State::Disconnected => IceConnectionState::Disconnected,
        State::Failed => IceConnectionState::Failed,
        State::Closed => IceConnectionState::Closed,
    }
}
