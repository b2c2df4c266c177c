//! The DTLS transport: the role, the identity of the other side, and datagrams that came too early.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use std::sync::Arc;

use columba_dtls::{Association, Config, Event, Group, KeyLog, Role, Versions};
use columba_sdp::attributes::Fingerprint;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::{Dtls, DtlsRole, SrtpKeys};
use crate::certificate::{self, Certificate};
use crate::configuration::{DtlsVersions, MediaConfidentiality, PostQuantum};
use crate::error::Error;
use crate::states::DtlsTransportState;
use crate::stats::DtlsStats;

/// Bytes of a handshake's datagrams at most, however large others may be. The path's MTU is not
/// known yet, and before a relay has a channel they go to it in Send indications, with 36 bytes
/// more: every path carries 1,232 (IPv6, RFC 8200 §5).
pub(crate) const HANDSHAKE_DATAGRAM: usize = 1196;

/// Datagrams kept that arrive too early: a ClientHello has one or, with post-quantum keys, two.
const MAX_EARLY: usize = 4;

/// Bytes of such a datagram at most.
const MAX_EARLY_DATAGRAM: usize = 2048;

/// The first retransmission timeout where the round-trip time is not known.
const UNKNOWN_TIMEOUT: Duration = Duration::from_millis(300);

/// The shortest first timeout: the other side has to compute signatures.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);

/// The longest first timeout, that of RFC 6347 §4.2.4.1.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The application protocols of WebRTC (RFC 8833); the second one with a promise to keep media
/// from other applications.
const WEBRTC: &[u8] = b"webrtc";
const C_WEBRTC: &[u8] = b"c-webrtc";

/// The longest time that a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// One DTLS transport. There is one association in its life.
#[derive(Debug)]
pub(crate) struct DtlsTransport {
    config: DtlsTransportConfig,
    state: DtlsTransportState,
    /// The local role, once the descriptions have settled it.
    role: Option<DtlsRole>,
    /// The fingerprints of the other side's description.
    fingerprints: Vec<Fingerprint>,
    /// Both sides' descriptions have X25519MLKEM768.
    is_post_quantum: bool,
    association: Option<Box<dyn Dtls>>,
    /// Datagrams that arrived before it was settled that this side is the server: a ClientHello may
    /// be faster than the answer. At most [`MAX_EARLY`]; more are dropped, and will be sent again.
    early: Vec<Vec<u8>>,
    /// At most one of each kind.
    events: VecDeque<DtlsTransportEvent>,
    /// Associations so far: each has random numbers of its own.
    begun: u64,
    sealed: u64,
    opened: u64,
    dropped: u64,
}

/// The parameters of a DTLS transport.
#[derive(Debug)]
pub(crate) struct DtlsTransportConfig {
    pub(crate) certificate: Certificate,
    pub(crate) versions: DtlsVersions,
    pub(crate) key_log: Option<Arc<dyn KeyLog>>,
    pub(crate) post_quantum: PostQuantum,
    pub(crate) media_confidentiality: MediaConfidentiality,
    /// Bytes of the largest datagram.
    pub(crate) datagram_size: usize,
    /// Seed of all random numbers and keys of the associations.
    pub(crate) seed: [u8; 32],
}

/// A change in the transport.
#[derive(Debug, PartialEq)]
pub(crate) enum DtlsTransportEvent {
    /// Data can be sent and received, and the other side has shown the certificate of its
    /// description.
    Connected,
    /// The other side has closed.
    Closed,
    /// The handshake failed, or the other side is not the one of its description.
    Failed(Error),
}

impl DtlsTransport {
    pub(crate) fn new(config: DtlsTransportConfig) -> Self {
        Self {
            config,
            state: DtlsTransportState::New,
            role: None,
            fingerprints: Vec::new(),
            is_post_quantum: false,
            association: None,
            early: Vec::new(),
            events: VecDeque::new(),
            begun: 0,
            sealed: 0,
            opened: 0,
            dropped: 0,
        }
    }

    /// Forgets the association, its role and the other side's certificate: the next role that is
    /// set begins another one.
    pub(crate) fn renew(&mut self) {
        self.dropped = self.dropped();
        (self.state, self.role) = (DtlsTransportState::New, None);
        self.association = None;
        self.fingerprints = Vec::new();
        self.early.clear();
        self.events.clear();
    }

    pub(crate) fn remote_certificate(&self) -> Option<&[u8]> {
        self.association.as_ref()?.peer_certificate()
    }

    pub(crate) fn state(&self) -> DtlsTransportState {
        self.state
    }

    pub(crate) fn role(&self) -> Option<DtlsRole> {
        self.role
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.state != DtlsTransportState::New
    }

    /// Returns true if one of these fingerprints is that of the certificate that was shown, or if
    /// none was shown.
    pub(crate) fn accepts(&self, fingerprints: &[Fingerprint]) -> bool {
        self.remote_certificate().is_none_or(|der| certificate::matches(fingerprints, der))
    }

    /// Sets what the descriptions have settled. The role stays as long as the association lives,
    /// also before it has begun (RFC 8842 §5.3): Firefox may claim the client's in a later answer,
    /// and keeps the server's.
    pub(crate) fn set_role(&mut self, role: DtlsRole, fingerprints: Vec<Fingerprint>) {
        self.role.get_or_insert(role);
        if let Some(association) = &mut self.association {
            association.set_fingerprints(certificate::known(&fingerprints));
        }
        self.fingerprints = fingerprints;
    }

    /// Sets whether both sides' descriptions have X25519MLKEM768, for the next association.
    pub(crate) fn set_post_quantum(&mut self, is_post_quantum: bool) {
        self.is_post_quantum = is_post_quantum;
    }

    /// Begins the handshake as client, or waits for it as server. `round_trip` is the path's
    /// round-trip time, if it is known, and `datagram_size` the bytes of the handshake's datagrams
    /// at most.
    pub(crate) fn begin(&mut self, now: Instant, round_trip: Option<Duration>, datagram_size: usize) {
        let Some(role) = self.role.filter(|_| !self.has_begun()) else { return };
        let mut config = Config::new(self.config.certificate.dtls().clone());
        config.versions = match self.config.versions {
            DtlsVersions::Auto => Versions::Both,
            DtlsVersions::Dtls12 => Versions::Only12,
            DtlsVersions::Dtls13 => Versions::Only13,
        };
        let is_post_quantum = match self.config.post_quantum {
            PostQuantum::Negotiated => self.is_post_quantum,
            PostQuantum::Always => true,
            PostQuantum::Never => false,
        };
        if is_post_quantum {
            config.groups.insert(0, Group::X25519MlKem768);
        }
        (config.alpn, config.alpn_is_required) = match self.config.media_confidentiality {
            MediaConfidentiality::Optional => (vec![WEBRTC.to_vec(), C_WEBRTC.to_vec()], false),
            MediaConfidentiality::Required => (vec![C_WEBRTC.to_vec()], true),
        };
        config.datagram_size = self.config.datagram_size.min(datagram_size);
        config.first_timeout = first_timeout(round_trip);
        config.key_log = self.config.key_log.clone();
        config.handshake_timeout = HANDSHAKE_TIMEOUT;
        self.state = DtlsTransportState::Connecting;
        let side = match role {
            DtlsRole::Client => Role::Client,
            DtlsRole::Server => Role::Server,
        };
        let fingerprints = certificate::known(&self.fingerprints);
        let mut rng = ChaCha20Rng::from_seed(self.config.seed);
        rng.set_stream(self.begun);
        self.begun += 1;
        let association = Association::new(side, Arc::new(config), fingerprints, now, &mut rng);
        self.association = Some(Box::new(association));
        let early = std::mem::take(&mut self.early);
        if role == DtlsRole::Server {
            for mut datagram in early {
                self.open(now, &mut datagram);
            }
        }
        // A client may have failed to make a key.
        self.handle_events();
    }

    /// There is no path yet for the handshake that has begun: it may take any time.
    pub(crate) fn begin_without_path(&mut self) {
        if let Some(association) = &mut self.association {
            association.begin_without_path();
        }
    }

    /// There is a path now for a handshake that began without one. `round_trip` is its round-trip
    /// time, if it is known.
    pub(crate) fn handle_path(&mut self, now: Instant, round_trip: Option<Duration>) {
        if let Some(association) = &mut self.association {
            association.handle_path(now, first_timeout(round_trip));
        }
    }

    /// Handles a datagram. Its packets are to be [`read`](Self::read) at once.
    pub(crate) fn open(&mut self, now: Instant, datagram: &mut [u8]) {
        match &mut self.association {
            Some(association) => {
                association.open(now, datagram);
                self.handle_events();
            }
            None => self.keep_early(datagram),
        }
    }

    fn keep_early(&mut self, datagram: &[u8]) {
        if self.state == DtlsTransportState::New
            && self.early.len() < MAX_EARLY
            && datagram.len() <= MAX_EARLY_DATAGRAM
        {
            self.early.push(datagram.to_vec());
        } else {
            self.dropped += 1;
        }
    }

    /// Returns the next packet of the datagram that was opened last; only once the other side's
    /// certificate was found to be right.
    pub(crate) fn read<'a>(&'a mut self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        if self.state != DtlsTransportState::Connected {
            return None;
        }
        let packet = self.association.as_mut()?.read(datagram)?;
        self.opened += 1;
        Some(packet)
    }

    /// Reports a close notification, which is found when everything before it was read.
    pub(crate) fn end_read(&mut self) {
        self.handle_events();
    }

    /// See [`Dtls::overhead`].
    pub(crate) fn overhead(&self) -> (usize, usize) {
        self.association.as_ref().map_or((super::FRONT, super::BACK), |association| association.overhead())
    }

    /// See [`Dtls::packet_limit`].
    pub(crate) fn packet_limit(&self) -> usize {
        self.association.as_ref().map_or(usize::MAX, |association| association.packet_limit())
    }

    /// See [`Dtls::seal`].
    pub(crate) fn seal(&mut self, buf: &mut [u8], at: usize, lengths: &[usize]) -> Option<Range<usize>> {
        if self.state != DtlsTransportState::Connected {
            return None;
        }
        let records = self.association.as_mut()?.seal(buf, at, lengths)?;
        self.sealed += lengths.len() as u64;
        Some(records)
    }

    /// Writes the next datagram of the association's own to the front of `buf`. Returns its length.
    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        self.association.as_mut()?.poll_transmit(now, buf)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(association) = &mut self.association
            && association.poll_timeout().is_some_and(|at| at <= now)
        {
            association.handle_timeout(now);
            self.handle_events();
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.poll_timeout()
    }

    pub(crate) fn poll_event(&mut self) -> Option<DtlsTransportEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            // There are few in the life of a connection.
            self.events = VecDeque::new();
        }
        event
    }

    fn handle_events(&mut self) {
        while let Some(event) = self.association.as_mut().and_then(|association| association.poll_event()) {
            match event {
                Event::Connected => {
                    self.state = DtlsTransportState::Connected;
                    self.events.push_back(DtlsTransportEvent::Connected);
                }
                Event::Closed => self.handle_closed(),
                Event::Failed(columba_dtls::Error::FingerprintMismatch) => {
                    self.fail(Error::FingerprintMismatch);
                }
                Event::Failed(error) => self.fail(failure_of(&error)),
                Event::Alert(description) => tracing::debug!(%description, "the other side sends an alert"),
            }
        }
    }

    fn handle_closed(&mut self) {
        if self.state == DtlsTransportState::Connected {
            self.state = DtlsTransportState::Closed;
            self.events.push_back(DtlsTransportEvent::Closed);
        }
    }

    /// Sends a close notification.
    pub(crate) fn close(&mut self) {
        if let Some(association) = &mut self.association {
            association.close();
        }
        self.state = DtlsTransportState::Closed;
    }

    /// See [`Dtls::srtp_keys`].
    pub(crate) fn srtp_keys(&self) -> Option<SrtpKeys> {
        let association =
            self.association.as_ref().filter(|_| self.state == DtlsTransportState::Connected)?;
        association.srtp_keys()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped + self.association.as_ref().map_or(0, |association| association.dropped())
    }

    pub(crate) fn stats(&self) -> DtlsStats {
        let digest = self.config.certificate.fingerprint().digest;
        let association = self.association.as_ref();
        let (version, cipher, group) =
            association.map(|association| association.choices()).unwrap_or_default();
        DtlsStats {
            state: self.state,
            role: self.role,
            version: version.map(|version| version.name()),
            cipher: cipher.map(|cipher| cipher.name()),
            group: group.map(|group| group.name()),
            application_protocol: association
                .and_then(|association| association.application_protocol())
                .and_then(|name| String::from_utf8(name).ok()),
            local_fingerprint: digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"),
            remote_certificate: self.remote_certificate().map(<[u8]>::to_vec),
            records_sent: self.sealed,
            records_received: self.opened,
        }
    }

    fn fail(&mut self, error: Error) {
        self.state = DtlsTransportState::Failed;
        self.events.push_back(DtlsTransportEvent::Failed(error));
    }
}

fn failure_of(error: &columba_dtls::Error) -> Error {
    use columba_dtls::Error as Dtls;
    let (received_alert, sent_alert) = match error {
        Dtls::PeerAlert(alert) => (Some(alert.0), None),
        Dtls::Handshake { alert, .. } => (None, Some(alert.0)),
        _ => (None, None),
    };
    Error::Dtls { reason: error.to_string(), received_alert, sent_alert }
}

/// Returns the first retransmission timeout of a flight: three round trips, where they are known,
/// so that one lost packet costs little.
fn first_timeout(round_trip: Option<Duration>) -> Duration {
    let Some(round_trip) = round_trip else { return UNKNOWN_TIMEOUT };
    (3 * round_trip).clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
}
