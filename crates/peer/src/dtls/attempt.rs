//! One attempt at a handshake: one machine of the crate `dimpl`, and how it is spoken to.
//!
//! An error of the machine's is the end of the attempt, and not of the association: see [`super::dimpl`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls as Machine, DtlsCertificate, Output, ProtocolVersion};

use super::record::Kind;
use super::terms::Terms;
use crate::configuration::DtlsVersions;

/// What all attempts are made of.
pub(super) struct Recipe {
    pub(super) datagram_size: usize,
    pub(super) first_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    /// For simulations only; each attempt is another one nevertheless.
    pub(super) seed: Option<u64>,
    /// How many attempts there have been.
    pub(super) number: u64,
    pub(super) certificate: DtlsCertificate,
    pub(super) versions: DtlsVersions,
    pub(super) client: bool,
}

impl Recipe {
    fn config(&self) -> Result<Arc<Config>, dimpl::Error> {
        let Self { datagram_size, first_timeout, handshake_timeout, .. } = *self;
        let seed = self.seed.map(|seed| seed.wrapping_add(self.number));
        Terms { datagram_size, first_timeout, handshake_timeout, seed }.config()
    }
}

#[derive(Debug)]
pub(super) struct Attempt {
    machine: Machine,
    client: bool,
    /// The ClientHello that a server answers.
    hello: Vec<u8>,
    /// When a client heard the beginning of an answer.
    pub(super) answered: Option<Instant>,
    /// Datagrams of the machine's own. At most [`MAX_QUEUE`]; then the oldest goes, which has been repeated
    /// since.
    pub(super) flights: VecDeque<Vec<u8>>,
    pub(super) timeout: Option<Instant>,
    /// The other side's, once shown.
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) connected: bool,
    /// It was chosen as the one that counts.
    pub(super) has_won: bool,
    pub(super) closed: bool,
    /// Data that arrived together with the end of the handshake. At most [`MAX_HELD`]; more is dropped.
    pub(super) early: VecDeque<Vec<u8>>,
    /// For a client that does not know the version yet: what arrived before the ServerHello. At most
    /// [`MAX_HELD`]; more is dropped.
    held: Vec<Vec<u8>>,
    pub(super) dropped: u64,
}

impl Attempt {
    pub(super) fn new(
        recipe: &Recipe,
        now: Instant,
        hello: &[u8],
        scratch: &mut [u8],
    ) -> Result<Self, dimpl::Error> {
        let (config, certificate) = (recipe.config()?, recipe.certificate.clone());
        let mut machine = match recipe.versions {
            DtlsVersions::Auto => Machine::new_auto(config, certificate, now),
            DtlsVersions::Dtls12 => Machine::new_12(config, certificate, now),
            DtlsVersions::Dtls13 => Machine::new_13(config, certificate, now),
        };
        machine.set_active(recipe.client);
        let mut attempt = Self {
            machine,
            client: recipe.client,
            hello: hello.to_vec(),
            answered: None,
            flights: VecDeque::new(),
            timeout: None,
            certificate: None,
            connected: false,
            has_won: false,
            closed: false,
            early: VecDeque::new(),
            held: Vec::new(),
            dropped: 0,
        };
        attempt.handle_timeout(now, scratch)?;
        Ok(attempt)
    }

    /// Whether this is the ClientHello that it answers.
    pub(super) fn answers(&self, hello: &[u8]) -> bool {
        self.hello == hello
    }

    /// Takes in a record, during the handshake.
    pub(super) fn take(
        &mut self,
        now: Instant,
        record: &[u8],
        kind: Kind<'_>,
        scratch: &mut [u8],
    ) -> Result<(), dimpl::Error> {
        // The machine's clock stands still between calls.
        self.machine.handle_timeout(now)?;
        if self.client && self.machine.protocol_version().is_none() && kind != Kind::Answer {
            // The machine gives up if the first thing that it hears is not whole the beginning of an answer.
            if self.held.len() < MAX_HELD {
                self.held.push(record.to_vec());
            } else {
                self.dropped += 1;
            }
            return Ok(());
        }
        self.machine.handle_packet(record)?;
        self.drain(scratch);
        if self.client && self.answered.is_none() && kind == Kind::Answer {
            self.answered = Some(now);
            for held in std::mem::take(&mut self.held) {
                self.machine.handle_packet(&held)?;
                self.drain(scratch);
            }
        }
        Ok(())
    }

    /// Takes in a datagram, once connected; what it holds is to be [read](Self::read) at once.
    pub(super) fn open(&mut self, datagram: &[u8]) -> Result<(), dimpl::Error> {
        self.machine.handle_packet(datagram)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, scratch: &mut [u8]) -> Result<(), dimpl::Error> {
        self.machine.handle_timeout(now)?;
        self.drain(scratch);
        Ok(())
    }

    /// Takes out everything but data that has a place to go to.
    pub(super) fn drain(&mut self, scratch: &mut [u8]) {
        loop {
            match self.machine.poll_output(scratch) {
                Output::Packet(datagram) => push_flight(&mut self.flights, datagram),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return;
                }
                Output::PeerCert(der) => self.certificate = Some(der.to_vec()),
                Output::Connected => self.connected = true,
                Output::ApplicationData(data) => {
                    if self.early.len() < MAX_HELD {
                        self.early.push_back(data.to_vec());
                    } else {
                        self.dropped += 1;
                    }
                }
                Output::CloseNotify => self.closed = true,
                // It asks for more room than any datagram of its own has: nothing that could be helped by
                // asking again.
                Output::BufferTooSmall { .. } => return,
                _ => {}
            }
        }
    }

    /// The next data, written to the front of `buf`.
    pub(super) fn read(&mut self, buf: &mut [u8], scratch: &mut [u8]) -> Option<Range<usize>> {
        while let Some(early) = self.early.pop_front() {
            if let Some(place) = buf.get_mut(..early.len()) {
                place.copy_from_slice(&early);
                return Some(0..early.len());
            }
        }
        loop {
            match self.machine.poll_output(buf) {
                Output::ApplicationData(data) => return Some(0..data.len()),
                Output::Packet(datagram) => push_flight(&mut self.flights, datagram),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return None;
                }
                Output::CloseNotify => self.closed = true,
                Output::BufferTooSmall { .. } => {
                    self.drain(scratch);
                    return None;
                }
                _ => {}
            }
        }
    }

    /// Makes a record of the plaintext in `range`, to be written from `start` on.
    pub(super) fn seal(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        range: Range<usize>,
        start: usize,
        scratch: &mut [u8],
    ) -> Option<Range<usize>> {
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
        self.drain(scratch);
        Some(record)
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, scratch: &mut [u8]) {
        if self.machine.close().is_ok() {
            self.drain(scratch);
        }
    }

    pub(super) fn version(&self) -> Option<&'static str> {
        match self.machine.protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some("DTLS 1.2"),
            ProtocolVersion::DTLS1_3 => Some("DTLS 1.3"),
            _ => None,
        }
    }
}

fn push_flight(flights: &mut VecDeque<Vec<u8>>, datagram: &[u8]) {
    if flights.len() >= MAX_QUEUE {
        flights.pop_front();
    }
    flights.push_back(datagram.to_vec());
}

/// Datagrams that the machine holds in either direction: enough for a handshake in pieces and out of order.
pub(super) const MAX_QUEUE: usize = 30;

/// Datagrams that wait for the beginning of an answer, or for the end of the handshake.
pub(super) const MAX_HELD: usize = 8;
