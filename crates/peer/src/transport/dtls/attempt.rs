//! One attempt at a handshake: one machine of the crate `dimpl`.
//!
//! An error of the machine ends the attempt, not the association: see [`super::dimpl`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls as Machine, DtlsCertificate, Output, ProtocolVersion};

use super::DtlsRole;
use super::choice::Choice;
use super::config::{DtlsCache, MachineConfig};
use super::record::Kind;
use super::srtp::{SrtpKeys, SrtpProfile};
use crate::configuration::DtlsVersions;

/// Datagrams that the machine holds in either direction: enough for a handshake in fragments and
/// out of order.
pub(super) const MAX_QUEUE: usize = 30;

/// Datagrams that wait for the beginning of an answer, or for the end of the handshake.
pub(super) const MAX_HELD: usize = 8;

/// Bytes of the largest datagram that is handled during a handshake: more than any path's MTU
/// carries without fragments.
pub(super) const MAX_HANDSHAKE_DATAGRAM: usize = 2048;

/// Room in bytes for everything that [`MAX_QUEUE`] datagrams can hold: a certificate is never
/// larger. The machine insists on room for a whole certificate.
pub(super) const SCRATCH: usize = MAX_QUEUE * MAX_HANDSHAKE_DATAGRAM;

/// The parameters that all attempts of an association share.
pub(super) struct HandshakeConfig {
    pub(super) datagram_size: usize,
    pub(super) first_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    /// For simulations only; each attempt gets a different one derived from it.
    pub(super) seed: Option<u64>,
    /// The number of attempts so far.
    pub(super) number: u64,
    pub(super) certificate: DtlsCertificate,
    pub(super) versions: DtlsVersions,
    pub(super) role: DtlsRole,
    pub(super) cache: DtlsCache,
}

impl HandshakeConfig {
    pub(super) fn is_client(&self) -> bool {
        self.role == DtlsRole::Client
    }

    fn machine_config(&self) -> Result<Arc<Config>, dimpl::Error> {
        let Self { datagram_size, first_timeout, handshake_timeout, .. } = *self;
        let seed = self.seed.map(|seed| seed.wrapping_add(self.number));
        self.cache.get(MachineConfig { datagram_size, first_timeout, handshake_timeout, seed })
    }
}

#[derive(Debug)]
pub(super) struct Attempt {
    machine: Machine,
    role: DtlsRole,
    /// The ClientHello that a server answers.
    hello: Vec<u8>,
    /// When the beginning of an answer arrived at a client.
    pub(super) answered: Option<Instant>,
    /// Datagrams of the machine's own. At most [`MAX_QUEUE`]; then the oldest is dropped, which was
    /// repeated since.
    pub(super) flights: VecDeque<Vec<u8>>,
    pub(super) timeout: Option<Instant>,
    /// The other side's certificate, once shown.
    pub(super) certificate: Option<Vec<u8>>,
    /// The keys of SRTP, once connected and if negotiated.
    pub(super) srtp: Option<SrtpKeys>,
    /// The server's choices, read from its messages in the clear: the machine does not tell.
    pub(super) choice: Choice,
    pub(super) connected: bool,
    /// It was chosen as the association's.
    pub(super) has_won: bool,
    pub(super) closed: bool,
    /// Data that arrived together with the end of the handshake. At most [`MAX_HELD`]; more is
    /// dropped.
    pub(super) early: VecDeque<Vec<u8>>,
    /// Records that arrived at a client before the ServerHello, as long as the version is open. At
    /// most [`MAX_HELD`]; more are dropped.
    held: Vec<Vec<u8>>,
    pub(super) dropped: u64,
}

impl Attempt {
    pub(super) fn new(
        config: &HandshakeConfig,
        now: Instant,
        hello: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<Self, dimpl::Error> {
        let (machine_config, certificate) = (config.machine_config()?, config.certificate.clone());
        let mut machine = match config.versions {
            DtlsVersions::Auto => Machine::new_auto(machine_config, certificate, now),
            DtlsVersions::Dtls12 => Machine::new_12(machine_config, certificate, now),
            DtlsVersions::Dtls13 => Machine::new_13(machine_config, certificate, now),
        };
        machine.set_active(config.is_client());
        let mut attempt = Self {
            machine,
            role: config.role,
            hello: hello.to_vec(),
            answered: None,
            flights: VecDeque::new(),
            timeout: None,
            certificate: None,
            srtp: None,
            choice: Choice::default(),
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

    /// Returns true if this is the ClientHello that the attempt answers.
    pub(super) fn answers(&self, hello: &[u8]) -> bool {
        self.hello == hello
    }

    /// Handles a record during the handshake.
    pub(super) fn handle_record(
        &mut self,
        now: Instant,
        record: &[u8],
        kind: Kind<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), dimpl::Error> {
        // The machine's clock stands still between calls.
        self.machine.handle_timeout(now)?;
        let is_client = self.role == DtlsRole::Client;
        if is_client && self.machine.protocol_version().is_none() && kind != Kind::Answer {
            // The machine fails if the first record is not the whole beginning of an answer.
            if self.held.len() < MAX_HELD {
                self.held.push(record.to_vec());
            } else {
                self.dropped += 1;
            }
            return Ok(());
        }
        self.machine.handle_packet(record)?;
        if is_client && !self.connected {
            self.choice.learn(record);
        }
        self.drain(scratch);
        if is_client && self.answered.is_none() && kind == Kind::Answer {
            self.answered = Some(now);
            for held in std::mem::take(&mut self.held) {
                self.machine.handle_packet(&held)?;
                self.drain(scratch);
            }
        }
        Ok(())
    }

    /// Handles a datagram when connected; its contents are to be [read](Self::read) at once.
    pub(super) fn open(&mut self, datagram: &[u8]) -> Result<(), dimpl::Error> {
        self.machine.handle_packet(datagram)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, scratch: &mut Vec<u8>) -> Result<(), dimpl::Error> {
        self.machine.handle_timeout(now)?;
        self.drain(scratch);
        Ok(())
    }

    /// Takes all outputs of the machine. `scratch` has [`SCRATCH`] bytes during a handshake; when
    /// connected it may be empty, and grows if the machine has a datagram of its own.
    pub(super) fn drain(&mut self, scratch: &mut Vec<u8>) {
        loop {
            let room = scratch.len();
            match self.machine.poll_output(scratch) {
                Output::Packet(datagram) => {
                    if self.role == DtlsRole::Server && !self.connected {
                        self.choice.learn(datagram);
                    }
                    push_flight(&mut self.flights, datagram);
                }
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return;
                }
                Output::PeerCert(der) => self.certificate = Some(der.to_vec()),
                Output::Connected => self.connected = true,
                Output::KeyingMaterial(material, profile) => {
                    self.srtp = srtp_profile(profile)
                        .and_then(|profile| SrtpKeys::new(profile, &material, self.role));
                }
                Output::ApplicationData(data) => {
                    if self.early.len() < MAX_HELD {
                        self.early.push_back(data.to_vec());
                    } else {
                        self.dropped += 1;
                    }
                }
                Output::CloseNotify => self.closed = true,
                Output::BufferTooSmall { needed } if needed > room && needed <= SCRATCH => {
                    scratch.resize(needed, 0);
                }
                // More than any datagram holds: it cannot be helped.
                Output::BufferTooSmall { .. } => return,
                _ => {}
            }
        }
    }

    /// Writes the next packet of data to the front of `buf`.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Option<Range<usize>> {
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
                    self.drain(&mut Vec::new());
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
        // The machine had nothing else to send, so that the record comes out first, right to its
        // place. A key update or an acknowledgement may follow.
        let record = match self.machine.poll_output(buf.get_mut(start..)?) {
            Output::Packet(record) => start..start + record.len(),
            Output::Timeout(at) => {
                self.timeout = Some(at);
                return None;
            }
            _ => return None,
        };
        self.drain(&mut Vec::new());
        Some(record)
    }

    /// Makes a close notification.
    pub(super) fn close(&mut self, scratch: &mut Vec<u8>) {
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

fn srtp_profile(profile: dimpl::SrtpProfile) -> Option<SrtpProfile> {
    match profile {
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmSha1_80),
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        _ => None,
    }
}
