//! DTLS by the crate `dimpl`.
//!
//! Copies that remain, all inside of it: sealing copies the plaintext in, the sealed record behind its
//! header, and the record out; opening copies the datagram in and the plaintext out. None is added here.
//!
//! Deviation from "all randomness from the seed": keys, signatures and nonces come from the cryptography
//! library's own generator.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls as Machine, DtlsCertificate, Output, ProtocolVersion};

use super::{Dtls, DtlsConfig, DtlsError, DtlsEvent, FRONT};
use crate::configuration::DtlsVersions;

/// One association.
pub(crate) struct Dimpl {
    machine: Machine,
    client: bool,
    phase: Phase,
    /// Datagrams of the association's own. At most [`MAX_QUEUE`]; then the oldest goes, which has been
    /// repeated since.
    flights: VecDeque<Vec<u8>>,
    events: VecDeque<DtlsEvent>,
    timeout: Option<Instant>,
    /// Where the machine may write what has no place yet. It insists on room for a whole certificate.
    scratch: Vec<u8>,
    /// Data that arrived together with the end of the handshake; at most one datagram's worth.
    early: VecDeque<Vec<u8>>,
    /// For a client that does not know the version yet: what arrived before the ServerHello. At most
    /// [`MAX_HELD`]; more is dropped.
    held: Vec<Vec<u8>>,
    dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Connected,
    Closed,
}

impl Dimpl {
    pub(crate) fn new(config: &DtlsConfig<'_>, now: Instant) -> Result<Self, DtlsError> {
        let mut builder = Config::builder()
            .mtu(config.datagram_size)
            .max_queue_rx(MAX_QUEUE)
            .max_queue_tx(MAX_QUEUE)
            // The path is verified by ICE: asking for a cookie only costs a round trip.
            .use_server_cookie(false)
            .flight_start_rto(config.first_timeout)
            .flight_retries(RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT);
        if let Some(seed) = config.seed {
            builder = builder.dangerously_set_rng_seed(seed);
        }
        let settings = Arc::new(builder.build().map_err(|error| DtlsError(error.to_string()))?);
        let certificate = DtlsCertificate {
            certificate: config.certificate.der().to_vec(),
            private_key: config.certificate.private_key_der().to_vec(),
        };
        let mut machine = match config.versions {
            DtlsVersions::Auto => Machine::new_auto(settings, certificate, now),
            DtlsVersions::Dtls12 => Machine::new_12(settings, certificate, now),
            DtlsVersions::Dtls13 => Machine::new_13(settings, certificate, now),
        };
        machine.set_active(config.client);
        let mut association = Self {
            machine,
            client: config.client,
            phase: Phase::Handshake,
            flights: VecDeque::new(),
            events: VecDeque::new(),
            timeout: None,
            scratch: vec![0; SCRATCH],
            early: VecDeque::new(),
            held: Vec::new(),
            dropped: 0,
        };
        association.handle_timeout(now)?;
        Ok(association)
    }

    /// Takes in a datagram, and what waited for it.
    fn feed(&mut self, datagram: &[u8]) -> Result<(), DtlsError> {
        if self.client && self.machine.protocol_version().is_none() {
            // The machine gives up if the first thing it hears is not whole the beginning of an answer, so
            // the rest has to wait.
            if !begins_an_answer(datagram) {
                if self.held.len() < MAX_HELD {
                    self.held.push(datagram.to_vec());
                } else {
                    self.dropped += 1;
                }
                return Ok(());
            }
            self.packet(datagram)?;
            for held in std::mem::take(&mut self.held) {
                self.packet(&held)?;
                self.drain();
            }
            return Ok(());
        }
        self.packet(datagram)
    }

    fn packet(&mut self, datagram: &[u8]) -> Result<(), DtlsError> {
        self.machine.handle_packet(datagram).map_err(|error| self.fail(&error))
    }

    /// Takes out everything but data that has a place to go to.
    fn drain(&mut self) {
        let Self { machine, scratch, .. } = self;
        loop {
            match machine.poll_output(scratch) {
                Output::Packet(datagram) => Self::push_flight(&mut self.flights, datagram),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return;
                }
                Output::PeerCert(der) => self.events.push_back(DtlsEvent::PeerCertificate(der.to_vec())),
                Output::Connected => {
                    self.phase = Phase::Connected;
                    self.events.push_back(DtlsEvent::Connected);
                }
                Output::ApplicationData(data) => {
                    if self.early.len() < MAX_HELD {
                        self.early.push_back(data.to_vec());
                    } else {
                        self.dropped += 1;
                    }
                }
                Output::CloseNotify => {
                    self.phase = Phase::Closed;
                    self.events.push_back(DtlsEvent::Closed);
                }
                // It asks for more room than any datagram of its own has: nothing that could be helped by
                // asking again.
                Output::BufferTooSmall { .. } => return,
                _ => {}
            }
        }
    }

    fn push_flight(flights: &mut VecDeque<Vec<u8>>, datagram: &[u8]) {
        if flights.len() >= MAX_QUEUE {
            flights.pop_front();
        }
        flights.push_back(datagram.to_vec());
    }

    fn fail(&mut self, error: &dimpl::Error) -> DtlsError {
        self.phase = Phase::Closed;
        self.timeout = None;
        DtlsError(error.to_string())
    }
}

impl Dtls for Dimpl {
    fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        if self.phase == Phase::Closed
            || self.phase == Phase::Handshake && datagram.len() > MAX_HANDSHAKE_DATAGRAM
        {
            self.dropped += 1;
            return Ok(());
        }
        // The machine's clock stands still between calls; during a handshake it matters.
        if self.phase == Phase::Handshake {
            self.machine.handle_timeout(now).map_err(|error| self.fail(&error))?;
        }
        self.feed(datagram)?;
        if self.phase == Phase::Handshake {
            self.drain();
        }
        Ok(())
    }

    fn read(&mut self, buf: &mut [u8]) -> Option<Range<usize>> {
        if self.phase == Phase::Handshake {
            return None;
        }
        while let Some(early) = self.early.pop_front() {
            if let Some(place) = buf.get_mut(..early.len()) {
                place.copy_from_slice(&early);
                return Some(0..early.len());
            }
        }
        loop {
            match self.machine.poll_output(buf) {
                Output::ApplicationData(data) => return Some(0..data.len()),
                Output::Packet(datagram) => Self::push_flight(&mut self.flights, datagram),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return None;
                }
                Output::CloseNotify => {
                    self.phase = Phase::Closed;
                    self.events.push_back(DtlsEvent::Closed);
                }
                Output::BufferTooSmall { .. } => {
                    self.drain();
                    return None;
                }
                _ => {}
            }
        }
    }

    fn seal(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) -> Option<Range<usize>> {
        if self.phase != Phase::Connected {
            return None;
        }
        let start = range.start.checked_sub(FRONT)?;
        match self.machine.send_application_data(buf.get(range.clone())?) {
            Ok(sent) if sent == range.len() => {}
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(%error, "a record could not be sealed");
                self.timeout = Some(now);
                return None;
            }
        }
        // Nothing waited in the machine, so that the record comes out first, right to its place. What comes
        // with it is the machine's own business: a key update, an acknowledgement.
        let record = match self.machine.poll_output(buf.get_mut(start..)?) {
            Output::Packet(record) => start..start + record.len(),
            Output::Timeout(at) => {
                self.timeout = Some(at);
                return None;
            }
            _ => return None,
        };
        self.drain();
        Some(record)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        if self.phase == Phase::Closed {
            self.timeout = None;
            return Ok(());
        }
        self.machine.handle_timeout(now).map_err(|error| self.fail(&error))?;
        self.drain();
        Ok(())
    }

    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize> {
        let datagram = self.flights.pop_front()?;
        buf.get_mut(..datagram.len())?.copy_from_slice(&datagram);
        Some(datagram.len())
    }

    fn poll_event(&mut self) -> Option<DtlsEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeout.filter(|_| self.phase != Phase::Closed)
    }

    fn close(&mut self, _now: Instant) {
        if self.phase != Phase::Closed && self.machine.close().is_ok() {
            self.drain();
        }
        self.phase = Phase::Closed;
    }

    fn version(&self) -> Option<&'static str> {
        match self.machine.protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some("DTLS 1.2"),
            ProtocolVersion::DTLS1_3 => Some("DTLS 1.3"),
            _ => None,
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl fmt::Debug for Dimpl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dimpl")
            .field("machine", &self.machine)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Whether a datagram begins with a record that holds a whole ServerHello or HelloVerifyRequest (RFC 6347
/// §4.1, §4.2.2).
fn begins_an_answer(datagram: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const SERVER_HELLO: u8 = 2;
    const HELLO_VERIFY_REQUEST: u8 = 3;
    let Some((record, rest)) = datagram.split_first_chunk::<13>() else { return false };
    let length = usize::from(u16::from_be_bytes([record[11], record[12]]));
    let Some((header, body)) = rest.get(..length).and_then(|message| message.split_first_chunk::<12>())
    else {
        return false;
    };
    let fragment = u32::from_be_bytes([0, header[9], header[10], header[11]]);
    record[0] == HANDSHAKE
        && matches!(header[0], SERVER_HELLO | HELLO_VERIFY_REQUEST)
        && usize::try_from(fragment).is_ok_and(|fragment| fragment <= body.len())
}

/// Datagrams that the machine holds in either direction: enough for a handshake in pieces and out of order.
const MAX_QUEUE: usize = 30;

/// Bytes of the largest datagram that is taken in during a handshake: more than any path's MTU carries
/// without fragments.
const MAX_HANDSHAKE_DATAGRAM: usize = 2048;

/// Room for everything that [`MAX_QUEUE`] datagrams can hold: a certificate is never larger.
const SCRATCH: usize = MAX_QUEUE * MAX_HANDSHAKE_DATAGRAM;

/// Datagrams that wait for the beginning of an answer, or for the end of the handshake.
const MAX_HELD: usize = 8;

/// How often a flight is sent again: with doubling from a quarter of a second it is the handshake's timeout
/// that ends it.
const RETRIES: usize = 16;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
