//! The DTLS transport: the role, the identity of the other side, and datagrams that came too early.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use columba_sdp::attributes::Fingerprint;

use super::dimpl::Dimpl;
use super::{Dtls, DtlsCache, DtlsConfig, DtlsError, DtlsEvent, DtlsRole, SrtpKeys};
use crate::certificate::{self, Certificate};
use crate::configuration::DtlsVersions;
use crate::error::Error;
use crate::states::DtlsTransportState;
use crate::stats::DtlsStats;

/// Bytes of a handshake's datagrams at most, however large others may be: the path's MTU is not
/// known yet.
const HANDSHAKE_DATAGRAM: usize = 1200;

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

/// First timeouts are multiples of this, so that configurations are shared by way of the cache.
const TIMEOUT_STEP: Duration = Duration::from_millis(50);

/// One DTLS transport. There is one association in its life.
#[derive(Debug)]
pub(crate) struct DtlsTransport {
    config: DtlsTransportConfig,
    state: DtlsTransportState,
    /// The local role, once the descriptions have settled it.
    role: Option<DtlsRole>,
    /// The fingerprints of the other side's description.
    fingerprints: Vec<Fingerprint>,
    association: Option<Box<dyn Dtls>>,
    /// The other side's certificate, once its fingerprint was found to be right.
    certificate: Option<Vec<u8>>,
    /// Datagrams that arrived before it was settled that this side is the server: a ClientHello may
    /// be faster than the answer. At most [`MAX_EARLY`]; more are dropped, and will be sent again.
    early: Vec<Vec<u8>>,
    /// A record that did not fit its batch; at most one.
    postponed: Option<Vec<u8>>,
    /// At most one of each kind.
    events: VecDeque<DtlsTransportEvent>,
    sealed: u64,
    opened: u64,
    dropped: u64,
}

/// The parameters of a DTLS transport.
#[derive(Debug)]
pub(crate) struct DtlsTransportConfig {
    pub(crate) certificate: Certificate,
    pub(crate) versions: DtlsVersions,
    /// Bytes of the largest datagram.
    pub(crate) datagram_size: usize,
    /// For simulations only.
    pub(crate) seed: Option<u64>,
    pub(crate) cache: DtlsCache,
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
            association: None,
            certificate: None,
            early: Vec::new(),
            postponed: None,
            events: VecDeque::new(),
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
        (self.association, self.certificate, self.postponed) = (None, None, None);
        self.fingerprints = Vec::new();
        self.early.clear();
        self.events.clear();
    }

    pub(crate) fn remote_certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
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
        self.certificate.as_ref().is_none_or(|der| certificate::matches(fingerprints, der))
    }

    /// Sets what the descriptions have settled. The role stays as long as the association lives.
    pub(crate) fn set_role(&mut self, role: DtlsRole, fingerprints: Vec<Fingerprint>) {
        if !self.has_begun() {
            self.role = Some(role);
        }
        self.fingerprints = fingerprints;
    }

    /// Begins the handshake as client, or waits for it as server. `round_trip` is the path's
    /// round-trip time, if it is known.
    pub(crate) fn begin(&mut self, now: Instant, round_trip: Option<Duration>) {
        let Some(role) = self.role.filter(|_| !self.has_begun()) else { return };
        let config = DtlsConfig {
            certificate: &self.config.certificate,
            role,
            versions: self.config.versions,
            datagram_size: self.config.datagram_size.min(HANDSHAKE_DATAGRAM),
            first_timeout: first_timeout(round_trip),
            seed: self.config.seed,
            cache: self.config.cache.clone(),
        };
        self.state = DtlsTransportState::Connecting;
        match Dimpl::new(&config, now) {
            Ok(association) => self.association = Some(Box::new(association)),
            Err(error) => return self.fail(error),
        }
        let early = std::mem::take(&mut self.early);
        if role == DtlsRole::Server {
            for datagram in early {
                self.open(now, &datagram);
            }
        }
    }

    /// Handles a datagram. Its contents are to be [`read`](Self::read) at once.
    pub(crate) fn open(&mut self, now: Instant, datagram: &[u8]) {
        match &mut self.association {
            Some(association) => match association.open(now, datagram) {
                Ok(()) => self.handle_events(now),
                Err(error) => self.fail(error),
            },
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

    /// Writes the next packet of data to the front of `buf`; only once the other side's certificate
    /// was found to be right.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Option<Range<usize>> {
        if self.state != DtlsTransportState::Connected {
            return None;
        }
        let range = self.association.as_mut()?.read(buf);
        match range {
            Some(_) => self.opened += 1,
            None => self.handle_end(),
        }
        range
    }

    /// See [`Dtls::seal`].
    pub(crate) fn seal(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) -> Option<Range<usize>> {
        if self.state != DtlsTransportState::Connected {
            return None;
        }
        let record = self.association.as_mut()?.seal(now, buf, range)?;
        self.sealed += 1;
        Some(record)
    }

    /// Keeps a sealed record until the next [`poll_transmit`](Self::poll_transmit).
    pub(crate) fn postpone(&mut self, record: &[u8]) {
        self.postponed = Some(record.to_vec());
    }

    /// Writes the next datagram of the handshake, or the one that was postponed, to the front of
    /// `buf`. Returns its length.
    pub(crate) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize> {
        if let Some(record) = self.postponed.take() {
            buf.get_mut(..record.len())?.copy_from_slice(&record);
            return Some(record.len());
        }
        self.association.as_mut()?.poll_transmit(buf)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(association) = &mut self.association
            && association.poll_timeout().is_some_and(|at| at <= now)
        {
            match association.handle_timeout(now) {
                Ok(()) => self.handle_events(now),
                Err(error) => self.fail(error),
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.poll_timeout()
    }

    pub(crate) fn poll_event(&mut self) -> Option<DtlsTransportEvent> {
        self.events.pop_front()
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.association.as_mut().and_then(|association| association.poll_event()) {
            match event {
                DtlsEvent::PeerCertificate(der) => {
                    if certificate::matches(&self.fingerprints, &der) {
                        self.certificate = Some(der);
                    } else {
                        self.state = DtlsTransportState::Failed;
                        self.events.push_back(DtlsTransportEvent::Failed(Error::FingerprintMismatch));
                    }
                }
                DtlsEvent::Connected if self.certificate.is_some() => {
                    self.state = DtlsTransportState::Connected;
                    self.events.push_back(DtlsTransportEvent::Connected);
                }
                // Only now can a close notification be sealed, so that the other side learns that
                // the connection was refused.
                DtlsEvent::Connected => {
                    if let Some(association) = &mut self.association {
                        association.close(now);
                    }
                }
                DtlsEvent::Closed => self.handle_closed(),
            }
        }
    }

    /// The close notification is found when everything before it was read.
    fn handle_end(&mut self) {
        while let Some(event) = self.association.as_mut().and_then(|association| association.poll_event()) {
            if event == DtlsEvent::Closed {
                self.handle_closed();
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
    pub(crate) fn close(&mut self, now: Instant) {
        if let Some(association) = &mut self.association {
            association.close(now);
        }
        self.state = DtlsTransportState::Closed;
    }

    /// See [`Dtls::take_srtp_keys`]. Those of a side that is not who it should be are none.
    pub(crate) fn take_srtp_keys(&mut self) -> Option<SrtpKeys> {
        let association =
            self.association.as_mut().filter(|_| self.state == DtlsTransportState::Connected)?;
        association.take_srtp_keys()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped + self.association.as_ref().map_or(0, |association| association.dropped())
    }

    pub(crate) fn stats(&self) -> DtlsStats {
        let digest = self.config.certificate.fingerprint().digest;
        DtlsStats {
            state: self.state,
            role: self.role,
            version: self.association.as_ref().and_then(|association| association.version()),
            cipher: self.association.as_ref().and_then(|association| association.choice().cipher()),
            group: self.association.as_ref().and_then(|association| association.choice().group()),
            local_fingerprint: digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"),
            remote_certificate: self.certificate.clone(),
            records_sent: self.sealed,
            records_received: self.opened,
        }
    }

    fn fail(&mut self, error: DtlsError) {
        self.state = DtlsTransportState::Failed;
        self.events.push_back(DtlsTransportEvent::Failed(Error::Dtls { reason: error.0 }));
    }
}

/// Returns the first retransmission timeout of a flight: three round trips, where they are known,
/// so that one lost packet costs little; a whole number of steps.
fn first_timeout(round_trip: Option<Duration>) -> Duration {
    let Some(round_trip) = round_trip else { return UNKNOWN_TIMEOUT };
    let steps = (3 * round_trip).as_nanos().div_ceil(TIMEOUT_STEP.as_nanos());
    let timeout = TIMEOUT_STEP.saturating_mul(steps.try_into().unwrap_or(u32::MAX));
    timeout.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
}
