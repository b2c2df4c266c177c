//! The peer connection: its five methods as a machine.

pub(crate) mod candidates;
mod changes;
mod channels;
mod descriptions;
mod media;
mod packets;
mod progress;
mod statistics;
#[cfg(test)]
mod tests;
pub(crate) mod transports;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_ice::{Ecn, Input, LocalAddress, Path, Request, Transmit};
use columba_rtp::NtpTime;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::certificate::Certificate;
use crate::configuration::Configuration;
use crate::data::{ChannelId, Data};
use crate::error::Error;
use crate::event::Event;
use crate::jsep::Jsep;
use crate::rtp::Media;
use crate::servers;
use crate::states::{IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState};
use crate::stats::Dropped;
use crate::tasks::Tasks;
use crate::time::{UnixTime, WallClock};
use crate::transport::dtls::DtlsTransportConfig;
use crate::transport::{DatagramSizes, Source, Transport, TransportConfig, TransportId, packet_size};

/// Bytes of a datagram that every IPv4 host takes: 576 less 68 of headers (RFC 791 §3.1).
const SMALLEST_DATAGRAM: usize = 508;

/// Events that the empty queue keeps memory for: as many as follow from a datagram. There are more
/// while candidates are gathered.
const IDLE_EVENTS: usize = 2;

/// Bytes of the largest datagram of a jumbo frame, less 48 of headers.
const LARGEST_DATAGRAM: usize = 8952;

/// The time by which the controlled side of ICE waits with an automatic restart: the controlling
/// side begins, so that the offers of both do not collide. Longer than an offer takes with slow
/// signaling.
const CONTROLLED_RESTART_DELAY: Duration = Duration::from_secs(3);

/// A peer connection: the W3C's `RTCPeerConnection` as a machine.
///
/// Inputs are [`handle_datagram`](Self::handle_datagram), [`handle_input`](Self::handle_input),
/// [`handle_network_change`](Self::handle_network_change) and
/// [`handle_timeout`](Self::handle_timeout). After any call, take the outputs:
/// [`poll_transmit`](Self::poll_transmit), [`poll_request`](Self::poll_request) and
/// [`poll_event`](Self::poll_event) until `None`, then [`poll_timeout`](Self::poll_timeout). Any
/// order of calls is legal.
#[derive(Debug)]
pub struct Peer {
    configuration: Configuration,
    certificate: Certificate,
    wall: WallClock,
    /// The source of what is drawn after the connection was created.
    rng: Box<ChaCha12Rng>,
    jsep: Jsep,
    /// In the order in which they came. Those that have ended stay until they have nothing left to
    /// say.
    transports: Vec<Transport>,
    /// The host's addresses, for transports that come later.
    addresses: Vec<LocalAddress>,
    /// Requests to close what was opened for a transport that is gone.
    orphans: VecDeque<(TransportId, Request)>,
    data: Data,
    packets: Media,
    /// The time of an automatic ICE restart, unless the path comes back or the other side restarts
    /// before.
    restart_at: Option<Instant>,
    /// ICE has restarted and not connected since: another restart would only begin the same search
    /// anew.
    is_restarting: bool,
    /// The states that were announced.
    states: States,
    /// Events that the owner has not taken yet: as many as happen between two polls.
    events: Tasks,
    /// The channel of the event that was taken last: the owner may ask for it until the next one.
    taken_arrival: Option<ChannelId>,
    /// Candidates that the owner has not taken before their description was replaced: they come if
    /// that is rolled back.
    withheld: Vec<Event>,
    dropped: Dropped,
}

/// The states of the whole that were announced.
#[derive(Debug, Default)]
struct States {
    gathering: IceGatheringState,
    ice: IceConnectionState,
    connection: PeerConnectionState,
    /// [`Event::NegotiationNeeded`] was announced since the last description was set: the W3C's
    /// `[[NegotiationNeeded]]`.
    negotiation_needed: bool,
}

impl Peer {
    /// Creates a connection; `wall` is the time at `now`. All randomness comes from `seed`, but for
    /// what the cryptography library adds to keys, signatures and nonces.
    ///
    /// # Errors
    /// [`Error::InvalidIceServer`], or [`Error::InvalidCertificate`] if the certificate has expired
    /// or cannot be made.
    pub fn new(
        configuration: Configuration,
        now: Instant,
        wall: UnixTime,
        seed: [u8; 32],
    ) -> Result<Self, Error> {
        Self::with_certificate(configuration, None, now, wall, seed)
    }

    /// Creates a connection as [`new`](Self::new) does. Where the configuration names no
    /// certificate, this one is taken in place of a new one: it was made ahead of time, and is for
    /// this connection alone. The [configuration](Self::configuration) does not show it.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn with_certificate(
        configuration: Configuration,
        certificate: Option<Certificate>,
        now: Instant,
        wall: UnixTime,
        seed: [u8; 32],
    ) -> Result<Self, Error> {
        let datagram_size = configuration.datagram_size.clamp(SMALLEST_DATAGRAM, LARGEST_DATAGRAM);
        let configuration = Configuration { datagram_size, ..configuration };
        let mut rng = ChaCha12Rng::from_seed(seed);
        let certificate = match configuration.certificates.first().cloned().or(certificate) {
            Some(certificate) if certificate.expires() <= wall => {
                return Err(Error::InvalidCertificate { reason: "it has expired" });
            }
            Some(certificate) => certificate,
            None => Certificate::generate(&mut rng, wall)?,
        };
        let ice = ice_configuration(&configuration)?;
        let transport = transport_config(&configuration, ice, certificate.clone(), &mut rng);
        let transport = Transport::new(TransportId::FIRST, transport, &mut rng);
        let mut jsep = Jsep::new(rng.next_u64());
        let media_seed = rng.next_u64();
        jsep.change_media(|media| media.configuration = Arc::clone(&configuration.media));
        let data = Data::new(&configuration.data, packet_size(datagram_size), now, &mut rng);
        Ok(Self {
            configuration,
            certificate,
            wall: WallClock::new(now, wall),
            rng: Box::new(rng),
            jsep,
            transports: vec![transport],
            addresses: Vec::new(),
            orphans: VecDeque::new(),
            data,
            restart_at: None,
            is_restarting: false,
            states: States::default(),
            events: Tasks::default(),
            taken_arrival: None,
            withheld: Vec::new(),
            packets: Media::new(media_seed),
            dropped: Dropped::default(),
        })
    }

    /// `setConfiguration`: servers and policies take effect with the next gathering, for which the
    /// next offer restarts ICE (RFC 9429 §4.1.18); no negotiation is needed for it. A candidate
    /// pool that was gathered with other ones is given up, and gathered anew. Sizes of datagrams,
    /// the parameters of data, and whether the key exchange is post-quantum and handshakes are
    /// early stay as they were in the beginning.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::InvalidIceServer`], and [`Error::InvalidConfiguration`] if the
    /// certificates or the bundle policy change, or the size of the candidate pool after a local
    /// description was set.
    pub fn set_configuration(&mut self, now: Instant, configuration: Configuration) -> Result<(), Error> {
        self.require_open()?;
        let same = configuration.certificates.is_empty()
            || configuration.certificates.first().map(Certificate::der) == Some(self.certificate.der());
        if !same {
            return Err(Error::InvalidConfiguration { reason: "certificates cannot be exchanged" });
        }
        if configuration.bundle_policy != self.configuration.bundle_policy {
            return Err(Error::InvalidConfiguration { reason: "the bundle policy cannot be changed" });
        }
        let pool = configuration.ice_candidate_pool_size;
        if self.jsep.was_described() && pool != self.configuration.ice_candidate_pool_size {
            let reason = "the size of the candidate pool cannot be changed once a local description was set";
            return Err(Error::InvalidConfiguration { reason });
        }
        let ice = ice_configuration(&configuration)?;
        for transport in &mut self.transports {
            transport.set_ice_config(now, ice.clone());
        }
        let before = &self.configuration;
        if before.ice_servers != configuration.ice_servers
            || before.ice_transport_policy != configuration.ice_transport_policy
        {
            self.jsep.outdate();
        }
        let Configuration { data, datagram_size, max_datagram_size, .. } = self.configuration;
        let Configuration { post_quantum, media_confidentiality, early_handshakes, .. } = self.configuration;
        let media = Arc::clone(&self.configuration.media);
        self.configuration = Configuration {
            data,
            datagram_size,
            max_datagram_size,
            post_quantum,
            media_confidentiality,
            early_handshakes,
            media,
            ..configuration
        };
        self.progress(now);
        Ok(())
    }

    /// `getConfiguration`: the configuration that counts, with the sizes and the parameters of data
    /// and media with which the connection was created.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// `signalingState`.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        self.jsep.state()
    }

    /// `iceGatheringState`.
    #[must_use]
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.states.gathering
    }

    /// `iceConnectionState`.
    #[must_use]
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.states.ice
    }

    /// `connectionState`.
    #[must_use]
    pub fn connection_state(&self) -> PeerConnectionState {
        self.states.connection
    }

    /// Handles a change of the host's addresses; to be called before the first local description is
    /// set, and after each change.
    pub fn handle_network_change(&mut self, now: Instant, addresses: &[LocalAddress]) {
        self.addresses = addresses.to_vec();
        for transport in &mut self.transports {
            transport.handle_network_change(now, addresses);
        }
        self.progress(now);
    }

    /// Handles the answer to a request of this transport, and what else happens to its sockets and
    /// connections.
    pub fn handle_input(&mut self, now: Instant, transport: TransportId, input: Input) {
        match self.transport_mut(transport) {
            Some(transport) => transport.handle_input(now, input),
            None => self.orphans.extend(undone(input).map(|request| (transport, request))),
        }
        self.progress(now);
    }

    /// Handles a datagram of a socket, or a frame of a connection, of this transport. It is
    /// decrypted in place. `received_at` is the kernel's time of arrival, where it is known.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        transport: TransportId,
        path: Path,
        ecn: Ecn,
        received_at: Option<Instant>,
        datagram: &mut [u8],
    ) {
        let Some(index) = self.transports.iter().position(|one| one.id() == transport) else {
            self.dropped.unknown += 1;
            return;
        };
        let data = Some(&mut self.data).filter(|data| data.transport() == Some(transport));
        let carries_data = data.is_some();
        if let Some(range) = self.transports[index].handle_datagram(now, path, ecn, datagram, data) {
            self.handle_media(received_at.unwrap_or(now), transport, &mut datagram[range]);
            // A packet of media changes nothing below, nor the states of the connection.
            return self.announce_media();
        }
        if carries_data && let Some(fates) = self.data.take_fates() {
            self.packets.handle_fates(now, transport, &fates);
        }
        self.progress(now);
    }

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout). Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        for transport in &mut self.transports {
            transport.handle_timeout(now);
        }
        self.data.handle_timeout(now);
        self.handle_media_timeout(now);
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.restart_if_still_wanted();
        }
        self.progress(now);
    }

    /// Writes the next datagram, or a batch of equally long ones, into `buf`. `buf` must have 2,048
    /// bytes (and 200 more than [`Configuration::datagram_size`]), and should have 64 KiB, so that
    /// a batch and the largest datagrams fit in.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let wall = self.ntp(now);
        for transport in &mut self.transports {
            let transmit = poll_transmit(now, wall, transport, &mut self.packets, &mut self.data, buf);
            if transmit.is_some() {
                return transmit;
            }
        }
        self.progress(now);
        None
    }

    /// Returns the next action that a transport needs of its owner. Most are answered by
    /// [`handle_input`](Self::handle_input).
    pub fn poll_request(&mut self) -> Option<(TransportId, Request)> {
        if let Some(orphan) = self.orphans.pop_front() {
            return Some(orphan);
        }
        let mut transports = self.transports.iter_mut();
        let request = transports.find_map(|one| Some((one.id(), one.poll_request()?)));
        if request.is_none() {
            self.transports.retain(|one| !one.has_ended() || !one.is_drained());
        }
        request
    }

    /// Returns the next event for the application. [`Event::NegotiationNeeded`] comes when there is
    /// no other, and only if a negotiation is needed then.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(id) = self.taken_arrival.take() {
            self.data.forget_arrival(id);
        }
        let event = self.events.pop_front().or_else(|| self.announce_negotiation());
        if let Some(Event::DataChannel(id)) = event {
            self.taken_arrival = Some(id);
        }
        if event.is_none() {
            self.events.shrink_to(IDLE_EVENTS);
        }
        event
    }

    /// Returns the next events that the W3C has happen in one queued task, in their order: those of
    /// a description that was set, of a change of the selected pair and the state of an ICE
    /// transport with the states of the whole that follow from it, of a state of gathering. A
    /// binding is exact that runs each of them as a task of its own, makes all of its values
    /// visible, and then fires its events. Mixed with [`poll_event`](Self::poll_event), it returns
    /// what is left of a task.
    pub fn poll_task(&mut self) -> Option<Vec<Event>> {
        let mut events = vec![self.poll_event()?];
        while self.task_goes_on() {
            events.extend(self.poll_event());
        }
        Some(events)
    }

    /// Returns true if the next event belongs to the same task as the one that was taken last: the
    /// borders of [`poll_task`](Self::poll_task) for an owner that takes events one by one.
    #[must_use]
    pub fn task_goes_on(&self) -> bool {
        self.events.goes_on()
    }

    /// Returns the time at which to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transports = self.transports.iter().map(Transport::poll_timeout);
        let others = [self.data.poll_timeout(), self.packets.poll_timeout(), self.restart_at];
        transports.chain(others).flatten().min()
    }

    /// `close`: sends waiting data that the congestion window lets go (which is all of a message or
    /// two that were sent right before) and close notifications. Keep taking outputs until
    /// [`is_drained`](Self::is_drained), so that they reach the other side and the TURN servers. As
    /// in the W3C's interface no events report the states that follow, nor what was to be reported
    /// before.
    pub fn close(&mut self, now: Instant) {
        if self.jsep.is_closed() {
            return;
        }
        self.jsep.close();
        self.restart_at = None;
        for transport in self.transports.iter_mut().filter(|one| !one.has_ended()) {
            let data = Some(&mut self.data).filter(|data| data.transport() == Some(transport.id()));
            transport.close(now, data);
        }
        // It may never have had a transport.
        self.data.close(now);
        self.packets.close();
        self.progress(now);
    }

    /// Returns true if nothing is left to do after [`close`](Self::close).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.jsep.is_closed() && self.transports.iter().all(Transport::is_drained)
    }

    fn require_open(&self) -> Result<(), Error> {
        if self.jsep.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    fn transport_mut(&mut self, id: TransportId) -> Option<&mut Transport> {
        self.transports.iter_mut().find(|transport| transport.id() == id)
    }

    /// Adds the transport that a description has named first. The candidate pool belongs to the
    /// first one.
    fn add_transport(&mut self, now: Instant, id: TransportId) {
        // Servers that cannot be used were refused with the configuration.
        let Ok(ice) = ice_configuration(&self.configuration) else { return };
        let ice = columba_ice::Config { candidate_pool: false, ..ice };
        let config = transport_config(&self.configuration, ice, self.certificate.clone(), &mut self.rng);
        let mut transport = Transport::new(id, config, &mut self.rng);
        transport.handle_network_change(now, &self.addresses);
        self.transports.push(transport);
    }
}

/// Writes the next datagrams of a transport: media goes after what keeps the connection; data has
/// its share of what the path carries.
fn poll_transmit(
    now: Instant,
    wall: NtpTime,
    transport: &mut Transport,
    packets: &mut Media,
    data: &mut Data,
    buf: &mut [u8],
) -> Option<Transmit> {
    let id = transport.id();
    let carries_data = data.transport() == Some(id);
    if carries_data && packets.has_session(id) {
        packets.note_data(now, id, data.waiting_priority());
    }
    let mut is_asked = false;
    loop {
        if packets.has_outgoing(now, id) {
            let write = |buf: &mut [u8], limit| packets.write_next(now, wall, id, buf, limit);
            let transmit = transport.poll_transmit(now, None, buf);
            if let Some(transmit) = transmit.or_else(|| transport.transmit_packets(now, buf, write)) {
                return Some(transmit);
            }
        }
        if is_asked {
            return None;
        }
        let mut budget = packets.data_budget(id);
        let source = carries_data.then_some(Source { data: &mut *data, budget: &mut budget });
        if let Some(transmit) = transport.poll_transmit(now, source, buf) {
            return Some(transmit);
        }
        // It was its turn, and something else than the budget holds it back: media need not wait.
        if !budget.forgoes() {
            return None;
        }
        is_asked = true;
    }
}

/// Returns the request that takes back what an input reports.
fn undone(input: Input) -> Option<Request> {
    match input {
        Input::Bound { local, .. } => Some(Request::CloseUdp { local }),
        Input::Listening { local, .. } => Some(Request::CloseListener { local }),
        Input::Connected { path, .. } | Input::Accepted { path } => Some(Request::CloseStream { path }),
        Input::BindFailed { .. }
        | Input::ConnectFailed { .. }
        | Input::ListenFailed { .. }
        | Input::Closed { .. }
        | Input::Clogged { .. }
        | Input::Drained { .. }
        | Input::Resolved { .. } => None,
    }
}

fn ice_configuration(configuration: &Configuration) -> Result<columba_ice::Config, Error> {
    let servers = servers::parse(&configuration.ice_servers)?;
    let (policy, candidate_pool) =
        (configuration.ice_transport_policy, configuration.ice_candidate_pool_size > 0);
    Ok(columba_ice::Config { servers, policy, candidate_pool, ..configuration.ice.clone() })
}

fn transport_config(
    configuration: &Configuration,
    ice: columba_ice::Config,
    certificate: Certificate,
    rng: &mut ChaCha12Rng,
) -> TransportConfig {
    let sizes = DatagramSizes { safe: configuration.datagram_size, probed: configuration.max_datagram_size };
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let dtls = DtlsTransportConfig {
        certificate,
        versions: configuration.dtls_versions,
        key_log: configuration.key_log.clone(),
        post_quantum: configuration.post_quantum,
        media_confidentiality: configuration.media_confidentiality,
        datagram_size: configuration.datagram_size,
        seed,
    };
    let embedding = configuration.early_handshakes;
    TransportConfig { ice, dtls, embedding, sizes }
}
