//! The peer connection.

mod candidates;
mod channels;
mod negotiation;
mod packets;
mod progress;

use std::collections::VecDeque;
use std::time::Instant;

use columba_ice::{Agent, Credentials, Ecn, Input, LocalAddress, Path, Transmit};
use columba_sdp::attributes::IcePacing;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::certificate::Certificate;
use crate::configuration::Configuration;
use crate::data::Data;
use crate::error::Error;
use crate::event::Event;
use crate::jsep::{Jsep, LocalParameters};
use crate::link::Link;
use crate::servers;
use crate::states::{
    DtlsTransportState, IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState,
};
use crate::stats::{Dropped, Stats};
use crate::time::{UnixTime, WallClock};

/// A peer connection: the W3C's `RTCPeerConnection` as a machine.
///
/// It has the five doors: feed it with [`handle_datagram`](Self::handle_datagram),
/// [`handle_input`](Self::handle_input), [`handle_network_change`](Self::handle_network_change) and
/// [`handle_timeout`](Self::handle_timeout); after any call take out [`poll_transmit`](Self::poll_transmit)
/// and [`poll_event`](Self::poll_event) until `None`, and ask [`poll_timeout`](Self::poll_timeout). Any order
/// of calls is legal.
#[derive(Debug)]
pub struct Peer {
    configuration: Configuration,
    certificate: Certificate,
    wall: WallClock,
    jsep: Jsep,
    agent: Agent,
    link: Link,
    data: Data,
    negotiation: Negotiation,
    gathered: Gathered,
    states: States,
    /// Datagrams that say goodbye; there are at most [`FAREWELLS`](packets::FAREWELLS).
    farewells: VecDeque<(Transmit, Vec<u8>)>,
    /// What the owner has not taken yet: as much as happens between two polls.
    events: VecDeque<Event>,
    dropped: Dropped,
}

/// What is to be negotiated.
#[derive(Debug, Default)]
struct Negotiation {
    /// A data channel was created.
    data: bool,
    /// ICE shall be restarted.
    restart: bool,
    /// It was announced in this stable state already.
    announced: bool,
    /// A local description was set, whatever has become of it.
    described: bool,
    /// The agent has new credentials that the other side has not answered yet.
    restarted: bool,
    /// The other side's credentials that the agent knows.
    remote: Option<Credentials>,
}

/// The own candidates of this generation.
#[derive(Debug, Default)]
struct Gathered {
    candidates: Vec<columba_sdp::Candidate>,
    complete: bool,
}

/// The states that were announced.
#[derive(Debug, Default)]
struct States {
    signaling: SignalingState,
    gathering: IceGatheringState,
    ice: IceConnectionState,
    connection: PeerConnectionState,
    dtls: DtlsTransportState,
    /// Whether data can be sent: a pair is valid.
    writable: bool,
}

impl Peer {
    /// A connection that has not begun; `wall` is the time at `now`. All randomness comes from `seed`, but
    /// for what the cryptography library adds to keys, signatures and nonces.
    ///
    /// # Errors
    /// [`Error::InvalidIceServer`], or [`Error::InvalidCertificate`] if the certificate has expired or cannot
    /// be made.
    pub fn new(
        configuration: Configuration,
        now: Instant,
        wall: UnixTime,
        seed: [u8; 32],
    ) -> Result<Self, Error> {
        let datagram_size = configuration.datagram_size.clamp(SMALLEST_DATAGRAM, LARGEST_DATAGRAM);
        let configuration = Configuration { datagram_size, ..configuration };
        let mut rng = ChaCha12Rng::from_seed(seed);
        let certificate = match configuration.certificates.first() {
            Some(certificate) if certificate.expires() <= wall => {
                return Err(Error::InvalidCertificate { reason: "it has expired" });
            }
            Some(certificate) => certificate.clone(),
            None => Certificate::generate(&mut rng, wall)?,
        };
        let agent = Agent::new(ice_configuration(&configuration)?, &mut rng);
        let jsep = Jsep::new(rng.next_u64());
        let link = Link::new(configuration.simulated.then(|| rng.next_u64()));
        let data =
            Data::new(&configuration.data, packets::packet_size(configuration.datagram_size), now, &mut rng);
        Ok(Self {
            configuration,
            certificate,
            wall: WallClock::new(now, wall),
            jsep,
            agent,
            link,
            data,
            negotiation: Negotiation::default(),
            gathered: Gathered::default(),
            states: States::default(),
            farewells: VecDeque::new(),
            events: VecDeque::new(),
            dropped: Dropped::default(),
        })
    }

    /// `setConfiguration`: servers and policies take effect with the next gathering; a candidate pool that was
    /// gathered by other ones is given up, and gathered anew.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::InvalidIceServer`], and [`Error::InvalidConfiguration`] if the
    /// certificates change, or the size of the candidate pool after a local description was set.
    pub fn set_configuration(&mut self, now: Instant, configuration: Configuration) -> Result<(), Error> {
        self.require_open()?;
        let same = configuration.certificates.is_empty()
            || configuration.certificates.first().map(Certificate::der) == Some(self.certificate.der());
        if !same {
            return Err(Error::InvalidConfiguration { reason: "certificates cannot be exchanged" });
        }
        let pool = configuration.ice_candidate_pool_size;
        if self.negotiation.described && pool != self.configuration.ice_candidate_pool_size {
            let reason = "the size of the candidate pool cannot be changed once a local description was set";
            return Err(Error::InvalidConfiguration { reason });
        }
        self.agent.set_config(now, ice_configuration(&configuration)?);
        self.configuration = configuration;
        self.progress(now);
        Ok(())
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

    /// `getStats`, as plain structs.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Stats {
        Stats {
            timestamp: self.wall.at(now),
            data_channels_opened: self.data.opened(),
            data_channels_closed: self.data.closed(),
            ice: self.agent.stats(),
            dtls: self.link.stats(self.certificate.fingerprint()),
            sctp: self.data.stats(),
            channels: self.data.channel_stats(),
            dropped: Dropped { dtls: self.link.dropped(), ..self.dropped },
        }
    }

    /// These are the host's addresses now; to be called before the first local description is set, and after
    /// each change.
    pub fn handle_network_change(&mut self, now: Instant, addresses: &[LocalAddress]) {
        self.agent.handle_network_change(now, addresses);
        self.progress(now);
    }

    /// Something that a [`Request`](crate::Request) asked for has happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.agent.handle_input(now, input);
        self.progress(now);
    }

    /// A datagram has arrived, or a frame of a connection; it is decrypted where it stands. `received_at` is
    /// the kernel's time of arrival, where it is known.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        ecn: Ecn,
        received_at: Option<Instant>,
        datagram: &mut [u8],
    ) {
        // Media's bandwidth estimate is what the kernel's time is for.
        let _ = received_at;
        self.take_datagram(now, path, ecn, datagram);
        self.progress(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        if let Err(error) = self.link.handle_timeout(now) {
            self.fail(now, error);
        }
        self.data.handle_timeout(now);
        self.progress(now);
    }

    /// What should go out? `buf` must have 2,048 bytes (and 200 more than
    /// [`Configuration::datagram_size`]), and should have 64 KiB, so that a batch and the largest datagrams fit in.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let transmit = self.next_transmit(now, buf);
        if transmit.is_none() {
            self.progress(now);
        }
        transmit
    }

    /// What should the owner know or do?
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.agent.poll_timeout(), self.link.poll_timeout(), self.data.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// `close`: sends what the congestion window lets go now of what waits (which is all of a message or two
    /// that were sent right before), and says goodbye, so that the other side knows at once. Keep draining [`poll_transmit`](Self::poll_transmit), requests and timeouts
    /// until [`is_drained`](Self::is_drained), so that the goodbyes reach the other side and the TURN
    /// servers. As in the W3C's interface no events tell of the states that follow, only of the channels that
    /// are closed by it.
    pub fn close(&mut self, now: Instant) {
        if self.jsep.state() == SignalingState::Closed {
            return;
        }
        self.jsep.close();
        self.say_farewell(now);
        self.agent.close(now);
        self.progress(now);
    }

    /// Whether nothing is left to be done after [`close`](Self::close).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.jsep.state() == SignalingState::Closed
            && self.farewells.is_empty()
            && self.agent.poll_timeout().is_none()
    }

    fn require_open(&self) -> Result<(), Error> {
        if self.jsep.state() == SignalingState::Closed { Err(Error::Closed) } else { Ok(()) }
    }

    /// `a=ice-pacing` (RFC 8839 §5.5), unless it is the 50 ms that who says nothing has.
    fn pacing(&self) -> Option<IcePacing> {
        let pacing = self.configuration.ice.timings.pacing.as_millis().try_into().unwrap_or(u32::MAX);
        (pacing != 50).then_some(IcePacing(pacing))
    }

    fn local_parameters(&self) -> LocalParameters {
        LocalParameters {
            credentials: self.agent.local_credentials().clone(),
            lite: self.agent.is_lite(),
            renomination: self.configuration.ice.renomination,
            pacing: self.pacing(),
            fingerprint: self.certificate.fingerprint(),
            max_message_size: self.configuration.data.max_message_size.into(),
        }
    }
}

fn ice_configuration(configuration: &Configuration) -> Result<columba_ice::Config, Error> {
    let servers = servers::parse(&configuration.ice_servers)?;
    let (policy, candidate_pool) =
        (configuration.ice_transport_policy, configuration.ice_candidate_pool_size > 0);
    Ok(columba_ice::Config { servers, policy, candidate_pool, ..configuration.ice.clone() })
}

/// Bytes of a datagram that every IPv4 host takes: 576 less 68 of headers (RFC 791 §3.1).
const SMALLEST_DATAGRAM: usize = 508;

/// Bytes of the largest datagram of a jumbo frame, less 48 of headers. DTLS takes no larger records than
/// 16,384 bytes.
const LARGEST_DATAGRAM: usize = 8952;
