//! DTLS by the crate `dimpl`.
//!
//! Records in the clear may be forged or damaged, and every error of the machine is final. RFC 9147
//! §4.5.2 wants such records dropped. Therefore there may be several attempts at once, of which the
//! first that connects wins:
//!
//! - A server answers each ClientHello that is not a repetition by an attempt of its own; encrypted
//!   records are given to all.
//! - A client whose attempt fails, or got an answer and does not come to an end, begins another
//!   one, and keeps the old one for a while.
//! - Alerts in the clear are not obeyed; if nothing better comes, they are the reason that is
//!   reported in the end.
//!
//! Limit: a client of another implementation whose ClientHello or ServerHello was damaged on its
//! way, and that does not begin again by itself, is not helped.
//!
//! Copies that remain, all inside of the machine: sealing copies the plaintext in, the sealed
//! record behind its header, and the record out; opening copies the datagram in and the plaintext
//! out. None is added here.
//!
//! Deviation from "all randomness from the seed": keys, signatures and nonces come from the
//! cryptography library's own generator.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use dimpl::{DtlsCertificate, SecurityError};

use super::attempt::{Attempt, HandshakeConfig, MAX_HANDSHAKE_DATAGRAM, MAX_HELD, SCRATCH};
use super::record::{Kind, Records};
use super::{Choice, Dtls, DtlsConfig, DtlsError, DtlsEvent, FRONT, SrtpKeys};

/// Attempts at a time: the current one, and those that may yet prove to be the right ones.
const MAX_ATTEMPTS: usize = 4;

/// The longest time that a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time that a handshake may take once something is wrong with it.
const FAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The time after which a client begins again when an attempt has failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// First timeouts after which a client whose attempt was answered begins another one: several
/// repetitions fit in.
const ANSWER_TIMEOUTS: u32 = 6;

/// The shortest such time: the other side may be busy.
const SHORTEST_ANSWER_TIMEOUT: Duration = Duration::from_millis(800);

/// One association.
pub(crate) struct Dimpl {
    config: HandshakeConfig,
    /// At most [`MAX_ATTEMPTS`]. Only the flights of the first are sent; once connected it is
    /// alone.
    attempts: Vec<Attempt>,
    phase: Phase,
    /// Data has arrived since it was connected: the other side is connected, too.
    confirmed: bool,
    events: VecDeque<DtlsEvent>,
    /// The time at which the handshake fails.
    deadline: Option<Instant>,
    /// The last error.
    fault: Option<String>,
    /// The time at which a client begins another attempt.
    retry: Option<Instant>,
    /// The time that an answered attempt may take before a client begins another one.
    answer_timeout: Duration,
    longest_answer_timeout: Duration,
    /// Records that arrived at a server before the beginning of a ClientHello. At most
    /// [`MAX_HELD`].
    early: Vec<Vec<u8>>,
    /// The buffer for outputs of the machines during a handshake; empty otherwise.
    scratch: Vec<u8>,
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
        let answer_timeout = (ANSWER_TIMEOUTS * config.first_timeout).max(SHORTEST_ANSWER_TIMEOUT);
        let certificate = DtlsCertificate {
            certificate: config.certificate.der().to_vec(),
            private_key: config.certificate.private_key_der().to_vec(),
        };
        let handshake = HandshakeConfig {
            datagram_size: config.datagram_size,
            first_timeout: config.first_timeout,
            handshake_timeout: 2 * HANDSHAKE_TIMEOUT,
            seed: config.seed,
            number: 0,
            certificate,
            versions: config.versions,
            role: config.role,
            cache: config.cache.clone(),
        };
        let mut association = Self {
            config: handshake,
            attempts: Vec::new(),
            phase: Phase::Handshake,
            confirmed: false,
            events: VecDeque::new(),
            deadline: None,
            fault: None,
            retry: None,
            answer_timeout,
            longest_answer_timeout: 2 * answer_timeout,
            early: Vec::new(),
            scratch: Vec::new(),
            dropped: 0,
        };
        if config.role == super::DtlsRole::Client {
            association.begin(now, &[]).map_err(|error| DtlsError(error.to_string()))?;
        }
        Ok(association)
    }

    /// Begins another attempt, which becomes the first.
    fn begin(&mut self, now: Instant, hello: &[u8]) -> Result<(), dimpl::Error> {
        self.deadline.get_or_insert(now + HANDSHAKE_TIMEOUT);
        self.retry = None;
        self.config.number += 1;
        self.scratch.resize(SCRATCH, 0);
        let attempt = Attempt::new(&self.config, now, hello, &mut self.scratch)?;
        // The least recently used one is dropped.
        self.attempts.truncate(MAX_ATTEMPTS - 1);
        self.attempts.insert(0, attempt);
        Ok(())
    }

    /// Makes the attempt that this ClientHello belongs to the first, and begins it if there is
    /// none.
    fn choose(&mut self, now: Instant, hello: &[u8]) {
        if let Some(index) = self.attempts.iter().position(|attempt| attempt.answers(hello)) {
            self.attempts[..=index].rotate_right(1);
        } else if let Err(error) = self.begin(now, hello) {
            self.note_fault(now, error.to_string());
        }
    }

    fn handle_handshake(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        for record in Records(datagram) {
            match record.kind {
                Kind::Alert(description) => {
                    self.dropped += 1;
                    self.note_fault(now, format!("the other side refuses with alert {description}"));
                }
                Kind::Noise => self.dropped += 1,
                Kind::ClientHello(hello) if !self.config.is_client() => {
                    self.choose(now, hello);
                    self.handle_record(now, 0, record.bytes, record.kind)?;
                    for record in std::mem::take(&mut self.early) {
                        self.handle_record(now, 0, &record, Kind::Handshake)?;
                    }
                }
                Kind::ClientHello(_) => self.dropped += 1,
                Kind::Answer | Kind::Handshake if self.attempts.is_empty() => {
                    if self.early.len() < MAX_HELD {
                        self.early.push(record.bytes.to_vec());
                    } else {
                        self.dropped += 1;
                    }
                }
                Kind::Answer | Kind::Handshake => self.handle_record(now, 0, record.bytes, record.kind)?,
                Kind::Sealed => {
                    for index in (0..self.attempts.len()).rev() {
                        self.handle_record(now, index, record.bytes, record.kind)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives a record to an attempt.
    fn handle_record(
        &mut self,
        now: Instant,
        index: usize,
        record: &[u8],
        kind: Kind<'_>,
    ) -> Result<(), DtlsError> {
        if self.phase == Phase::Connected {
            // It came together with the end of the handshake.
            if let Some(attempt) = self.attempts.first_mut() {
                if attempt.open(record).is_err() {
                    self.dropped += 1;
                }
                attempt.drain(&mut Vec::new());
            }
            return Ok(());
        }
        let Some(attempt) = self.attempts.get_mut(index) else { return Ok(()) };
        self.scratch.resize(SCRATCH, 0);
        let outcome = attempt.handle_record(now, record, kind, &mut self.scratch);
        self.handle_outcome(now, index, outcome)
    }

    /// Handles the outcome of a call of an attempt's.
    fn handle_outcome(
        &mut self,
        now: Instant,
        index: usize,
        outcome: Result<(), dimpl::Error>,
    ) -> Result<(), DtlsError> {
        let Some(attempt) = self.attempts.get_mut(index) else { return Ok(()) };
        if let Err(error) = outcome {
            if is_authentic_alert(&error) {
                return Err(self.fail(error.to_string()));
            }
            self.give_up(now, index, error.to_string());
            return Ok(());
        }
        // One that had won before another ClientHello came is the right one after all if data comes
        // by it.
        if attempt.connected && !(attempt.has_won && attempt.early.is_empty()) {
            let winner = self.attempts.swap_remove(index);
            self.attempts = vec![winner];
            self.connect();
        }
        Ok(())
    }

    fn give_up(&mut self, now: Instant, index: usize, reason: String) {
        tracing::debug!(reason, "an attempt at a handshake has ended");
        self.dropped += 1 + self.attempts.remove(index).dropped;
        self.note_fault(now, reason);
        if self.config.is_client() && index == 0 {
            self.retry = Some(now + RETRY_PAUSE);
        }
    }

    fn connect(&mut self) {
        self.phase = Phase::Connected;
        (self.deadline, self.retry) = (None, None);
        (self.early, self.scratch) = (Vec::new(), Vec::new());
        let Some(winner) = self.attempts.first_mut() else { return };
        winner.has_won = true;
        if let Some(der) = winner.certificate.take() {
            self.events.push_back(DtlsEvent::PeerCertificate(der));
        }
        self.events.push_back(DtlsEvent::Connected);
    }

    /// Notes an error, which may be forged. If it is real, there is no need to wait long.
    fn note_fault(&mut self, now: Instant, fault: String) {
        self.fault = Some(fault);
        let soon = now + FAULT_TIMEOUT;
        self.deadline = Some(self.deadline.map_or(soon, |deadline| deadline.min(soon)));
    }

    /// Begins another attempt of a client whose first one does not come to an end.
    fn retry_if_due(&mut self, now: Instant) {
        if !self.config.is_client() || self.phase != Phase::Handshake {
            return;
        }
        if self.retry_at().is_some_and(|at| at <= now) {
            self.answer_timeout = (self.answer_timeout * 5 / 4).min(self.longest_answer_timeout);
            if let Err(error) = self.begin(now, &[]) {
                self.note_fault(now, error.to_string());
                self.retry = Some(now + RETRY_PAUSE);
            }
        }
    }

    fn retry_at(&self) -> Option<Instant> {
        let first = self.attempts.first();
        self.retry
            .or_else(|| first?.answered.map(|at| at + self.answer_timeout))
            .filter(|_| self.config.is_client())
    }

    fn fail(&mut self, reason: String) -> DtlsError {
        self.phase = Phase::Closed;
        (self.attempts, self.scratch) = (Vec::new(), Vec::new());
        DtlsError(reason)
    }

    /// Reports the other side's close notification, once.
    fn note_end(&mut self) {
        if self.phase == Phase::Connected && self.attempts.first().is_some_and(|attempt| attempt.closed) {
            self.phase = Phase::Closed;
            self.events.push_back(DtlsEvent::Closed);
        }
    }

    /// Returns true if a client begins anew, because the end of the handshake of DTLS 1.2 never
    /// reached it.
    fn begins_again(&self, datagram: &[u8]) -> bool {
        let is_new = |hello: &[u8]| self.attempts.first().is_some_and(|attempt| !attempt.answers(hello));
        Records(datagram).any(|record| matches!(record.kind, Kind::ClientHello(hello) if is_new(hello)))
    }

    fn is_version_13(&self) -> bool {
        self.version() == Some("DTLS 1.3")
    }

    /// Handles a datagram when connected. In the clear only the end of a handshake of DTLS 1.2 can
    /// come again.
    fn handle_connected(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        let is_13 = self.is_version_13();
        if !self.confirmed && !is_13 && !self.config.is_client() && self.begins_again(datagram) {
            self.phase = Phase::Handshake;
            return self.handle_handshake(now, datagram);
        }
        let passes = |kind: Kind<'_>| kind == Kind::Sealed || (!is_13 && kind == Kind::Handshake);
        let Some(attempt) = self.attempts.first_mut() else { return Ok(()) };
        let opened = if Records(datagram).all(|record| passes(record.kind)) {
            attempt.open(datagram)
        } else {
            self.dropped += 1;
            let good = Records(datagram).filter(|record| passes(record.kind));
            attempt.open(&good.flat_map(|record| record.bytes).copied().collect::<Vec<_>>())
        };
        match opened {
            Err(error) if is_authentic_alert(&error) => Err(self.fail(error.to_string())),
            Err(error) => {
                // Nothing in this phase changes the machine's state before it is refused.
                tracing::debug!(%error, "a datagram was dropped");
                self.dropped += 1;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Dtls for Dimpl {
    fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        match self.phase {
            Phase::Handshake if datagram.len() <= MAX_HANDSHAKE_DATAGRAM => {
                self.handle_handshake(now, datagram)
            }
            Phase::Connected => self.handle_connected(now, datagram),
            Phase::Handshake | Phase::Closed => {
                self.dropped += 1;
                Ok(())
            }
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> Option<Range<usize>> {
        if self.phase == Phase::Handshake {
            return None;
        }
        let range = self.attempts.first_mut()?.read(buf);
        self.confirmed |= range.is_some();
        self.note_end();
        range
    }

    fn seal(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) -> Option<Range<usize>> {
        if self.phase != Phase::Connected {
            return None;
        }
        let start = range.start.checked_sub(FRONT)?;
        self.attempts.first_mut()?.seal(now, buf, range, start)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        match self.phase {
            Phase::Closed => return Ok(()),
            Phase::Handshake if self.deadline.is_some_and(|at| at <= now) => {
                let fault = self.fault.take();
                return Err(self.fail(fault.unwrap_or_else(|| "the handshake took too long".to_owned())));
            }
            Phase::Handshake | Phase::Connected => {}
        }
        self.retry_if_due(now);
        if let Some(attempt) = self.attempts.first_mut() {
            let outcome = attempt.handle_timeout(now, &mut self.scratch);
            match outcome {
                // The last flight was repeated often enough; it does not matter that it was not
                // acknowledged.
                Err(_) if self.phase == Phase::Connected => attempt.timeout = None,
                // A damaged answer has led it into a state that it can neither leave nor rest in.
                Ok(()) if attempt.timeout.is_some_and(|at| at <= now) => {
                    attempt.timeout = None;
                    if self.phase == Phase::Handshake {
                        self.give_up(now, 0, "the other side's answer makes no sense".to_owned());
                    }
                }
                outcome => self.handle_outcome(now, 0, outcome)?,
            }
        }
        if self.phase == Phase::Connected {
            self.scratch = Vec::new();
        }
        self.note_end();
        Ok(())
    }

    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize> {
        // Repetitions of the others are for a peer that has begun anew since.
        self.attempts.iter_mut().skip(1).for_each(|attempt| attempt.flights.clear());
        let datagram = self.attempts.first_mut()?.flights.pop_front()?;
        buf.get_mut(..datagram.len())?.copy_from_slice(&datagram);
        Some(datagram.len())
    }

    fn poll_event(&mut self) -> Option<DtlsEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed {
            return None;
        }
        let machine = self.attempts.first().and_then(|attempt| attempt.timeout);
        let retry = self.retry_at().filter(|_| self.phase == Phase::Handshake);
        [machine, retry, self.deadline].into_iter().flatten().min()
    }

    fn close(&mut self, _now: Instant) {
        if self.phase != Phase::Closed
            && let Some(attempt) = self.attempts.first_mut()
        {
            attempt.close(&mut self.scratch);
        }
        self.scratch = Vec::new();
        self.phase = Phase::Closed;
    }

    fn take_srtp_keys(&mut self) -> Option<SrtpKeys> {
        self.attempts.first_mut()?.srtp.take()
    }

    fn version(&self) -> Option<&'static str> {
        self.attempts.first()?.version()
    }

    fn choice(&self) -> Choice {
        self.attempts.first().map(|attempt| attempt.choice).unwrap_or_default()
    }

    fn dropped(&self) -> u64 {
        self.dropped + self.attempts.iter().map(|attempt| attempt.dropped).sum::<u64>()
    }
}

impl fmt::Debug for Dimpl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dimpl")
            .field("attempts", &self.attempts)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Alerts in the clear are not given to the machine: the ones that it reports were encrypted.
fn is_authentic_alert(error: &dimpl::Error) -> bool {
    matches!(error, dimpl::Error::SecurityError(SecurityError::FatalAlert { .. }))
}
