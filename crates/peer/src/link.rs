//! The DTLS transport: who begins, who the other side is, and what came too early.

use std::ops::Range;
use std::time::{Duration, Instant};

use columba_sdp::attributes::Fingerprint;

use crate::certificate::{self, Certificate};
use crate::configuration::DtlsVersions;
use crate::dtls::{Dimpl, Dtls, DtlsConfig, DtlsEvent};
use crate::error::Error;
use crate::states::DtlsTransportState;
use crate::stats::DtlsStats;

/// One DTLS transport. There is one association in its life.
#[derive(Debug)]
pub(crate) struct Link {
    state: DtlsTransportState,
    /// Who this side is and what the other side must show, once the descriptions have settled it.
    role: Option<bool>,
    fingerprints: Vec<Fingerprint>,
    association: Option<Box<dyn Dtls>>,
    /// The other side's certificate, once it is known to be the right one.
    certificate: Option<Vec<u8>>,
    /// What arrived before it was settled that this side is the server: a ClientHello may be faster than the
    /// answer. At most [`MAX_EARLY`]; more is dropped, and will be sent again.
    early: Vec<Vec<u8>>,
    /// A record that did not fit its batch; at most one.
    postponed: Option<Vec<u8>>,
    seed: Option<u64>,
    sealed: u64,
    opened: u64,
    dropped: u64,
}

/// What happens to the transport.
#[derive(Debug, PartialEq)]
pub(crate) enum LinkEvent {
    /// Data can go both ways, and the other side is who it should be.
    Connected,
    /// The other side has closed.
    Closed,
}

/// What an association is made of beside what the link knows.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) certificate: &'a Certificate,
    pub(crate) versions: DtlsVersions,
    pub(crate) datagram_size: usize,
    /// The path's round-trip time, if it is known.
    pub(crate) round_trip: Option<Duration>,
}

impl Link {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self {
            state: DtlsTransportState::New,
            role: None,
            fingerprints: Vec::new(),
            association: None,
            certificate: None,
            early: Vec::new(),
            postponed: None,
            seed,
            sealed: 0,
            opened: 0,
            dropped: 0,
        }
    }

    pub(crate) fn state(&self) -> DtlsTransportState {
        self.state
    }

    /// Whether this side is the client, once that is settled.
    pub(crate) fn is_client(&self) -> Option<bool> {
        self.role
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.state != DtlsTransportState::New
    }

    /// Whether one of these fingerprints is that of the certificate that was shown, if one was shown.
    pub(crate) fn fits(&self, fingerprints: &[Fingerprint]) -> bool {
        self.certificate.as_ref().is_none_or(|der| certificate::matches(fingerprints, der))
    }

    /// The descriptions say so. Who begins is settled once and for all, as long as the association lives.
    pub(crate) fn set_role(&mut self, client: bool, fingerprints: Vec<Fingerprint>) {
        if !self.has_begun() {
            self.role = Some(client);
        }
        self.fingerprints = fingerprints;
    }

    /// Begins, or makes ready to be begun with.
    pub(crate) fn begin(&mut self, now: Instant, settings: &Settings<'_>) -> Result<(), Error> {
        let Some(client) = self.role.filter(|_| !self.has_begun()) else { return Ok(()) };
        let config = DtlsConfig {
            certificate: settings.certificate,
            client,
            versions: settings.versions,
            datagram_size: settings.datagram_size.min(HANDSHAKE_DATAGRAM),
            first_timeout: first_timeout(settings.round_trip),
            seed: self.seed,
        };
        self.state = DtlsTransportState::Connecting;
        let association = Dimpl::new(&config, now).map_err(|error| self.fail(error.0))?;
        self.association = Some(Box::new(association));
        let early = std::mem::take(&mut self.early);
        if !client {
            for datagram in early {
                self.open(now, &datagram)?;
            }
        }
        Ok(())
    }

    /// A datagram has arrived. What it holds is to be [`read`](Self::read) at once.
    pub(crate) fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Error> {
        match &mut self.association {
            Some(association) => {
                let opened = association.open(now, datagram);
                opened.map_err(|error| self.fail(error.0))
            }
            None => {
                if self.state == DtlsTransportState::New
                    && self.early.len() < MAX_EARLY
                    && datagram.len() <= MAX_EARLY_DATAGRAM
                {
                    self.early.push(datagram.to_vec());
                } else {
                    self.dropped += 1;
                }
                Ok(())
            }
        }
    }

    /// The next packet of data, written to the front of `buf`; only once the other side is known to be who it
    /// should be.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Option<Range<usize>> {
        if self.state != DtlsTransportState::Connected {
            return None;
        }
        let range = self.association.as_mut()?.read(buf)?;
        self.opened += 1;
        Some(range)
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

    /// The next datagram that is not data's, or was postponed, written to the front of `buf`; its length.
    pub(crate) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize> {
        if let Some(record) = self.postponed.take() {
            buf.get_mut(..record.len())?.copy_from_slice(&record);
            return Some(record.len());
        }
        self.association.as_mut()?.poll_transmit(buf)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        match &mut self.association {
            Some(association) if association.poll_timeout().is_some_and(|at| at <= now) => {
                let handled = association.handle_timeout(now);
                handled.map_err(|error| self.fail(error.0))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref()?.poll_timeout()
    }

    /// What has happened.
    ///
    /// # Errors
    /// The other side is not who it should be; then it is over.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Result<Option<LinkEvent>, Error> {
        let Some(association) = &mut self.association else { return Ok(None) };
        while let Some(event) = association.poll_event() {
            match event {
                DtlsEvent::PeerCertificate(der) => {
                    if certificate::matches(&self.fingerprints, &der) {
                        self.certificate = Some(der);
                    } else {
                        self.state = DtlsTransportState::Failed;
                        return Err(Error::FingerprintMismatch);
                    }
                }
                DtlsEvent::Connected if self.certificate.is_some() => {
                    self.state = DtlsTransportState::Connected;
                    return Ok(Some(LinkEvent::Connected));
                }
                // Only now can a goodbye be sealed, so that the other side hears that nothing will come of
                // it.
                DtlsEvent::Connected => association.close(now),
                DtlsEvent::Closed if self.state == DtlsTransportState::Connected => {
                    self.state = DtlsTransportState::Closed;
                    return Ok(Some(LinkEvent::Closed));
                }
                DtlsEvent::Closed => {}
            }
        }
        Ok(None)
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, now: Instant) {
        if let Some(association) = &mut self.association {
            association.close(now);
        }
        self.state = DtlsTransportState::Closed;
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped + self.association.as_ref().map_or(0, |association| association.dropped())
    }

    pub(crate) fn stats(&self, own: Fingerprint) -> DtlsStats {
        DtlsStats {
            state: self.state,
            is_client: self.role,
            version: self.association.as_ref().and_then(|association| association.version()),
            local_fingerprint: own
                .digest
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect::<Vec<_>>()
                .join(":"),
            remote_certificate: self.certificate.clone(),
            records_sent: self.sealed,
            records_received: self.opened,
        }
    }

    fn fail(&mut self, reason: String) -> Error {
        self.state = DtlsTransportState::Failed;
        Error::Dtls { reason }
    }
}

/// When a flight is sent again for the first time: after three round trips, where they are known, so that one
/// lost packet costs little. In steps, because what is made for a timeout is kept for others with the same.
fn first_timeout(round_trip: Option<Duration>) -> Duration {
    let Some(round_trip) = round_trip else { return UNKNOWN_TIMEOUT };
    let steps = (3 * round_trip).as_nanos().div_ceil(TIMEOUT_STEP.as_nanos());
    let timeout = TIMEOUT_STEP.saturating_mul(steps.try_into().unwrap_or(u32::MAX));
    timeout.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
}

/// Bytes of a handshake's datagrams at most, however large others may be: nobody has tried yet what the path carries.
const HANDSHAKE_DATAGRAM: usize = 1200;

/// Datagrams kept that arrive too early: a ClientHello has one or, with post-quantum keys, two.
const MAX_EARLY: usize = 4;

/// Bytes of such a datagram.
const MAX_EARLY_DATAGRAM: usize = 2048;

/// The first timeout of a flight where the round-trip time is not known.
const UNKNOWN_TIMEOUT: Duration = Duration::from_millis(300);

/// It is not shorter, because the other side has to compute signatures.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);

const TIMEOUT_STEP: Duration = Duration::from_millis(50);

/// It is not longer than RFC 6347 §4.2.4.1 has it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
