//! DTLS by the crate `dimpl`.
//!
//! What comes in the clear during a handshake anybody may have written, or the network may have damaged, and
//! whatever the machine makes of it is final: it has no way back. RFC 9147 §4.5.2 wants such records dropped.
//! Therefore there may be several attempts at once, of which the first that connects wins:
//!
//! - A server answers each ClientHello that is not a repetition by an attempt of its own; encrypted records
//!   are shown to all.
//! - A client whose attempt breaks, or heard an answer and does not come to an end, begins another one, and
//!   keeps the old one for a while.
//! - Alerts in the clear are not obeyed; if nothing better comes, they are the reason that is told in the end.
//!
//! What this cannot help: a client of another make whose ClientHello or ServerHello was damaged on its way,
//! and that does not begin again by itself.
//!
//! Copies that remain, all inside of the machine: sealing copies the plaintext in, the sealed record behind
//! its header, and the record out; opening copies the datagram in and the plaintext out. None is added here.
//!
//! Deviation from "all randomness from the seed": keys, signatures and nonces come from the cryptography
//! library's own generator.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use dimpl::{DtlsCertificate, SecurityError};

use super::attempt::{Attempt, MAX_HELD, MAX_QUEUE, Recipe};
use super::record::{Kind, Records};
use super::{Dtls, DtlsConfig, DtlsError, DtlsEvent, FRONT};

/// One association.
pub(crate) struct Dimpl {
    recipe: Recipe,
    /// At most [`MAX_ATTEMPTS`]. What the first has to say is sent; once connected it is alone.
    attempts: Vec<Attempt>,
    phase: Phase,
    /// Data has come since it was connected: the other side is connected, too.
    confirmed: bool,
    events: VecDeque<DtlsEvent>,
    /// When the handshake must be done.
    deadline: Option<Instant>,
    /// What went wrong last.
    fault: Option<String>,
    /// When a client begins another attempt.
    retry: Option<Instant>,
    /// How long an answer may lead to nothing before a client begins another attempt.
    patience: Duration,
    longest_patience: Duration,
    /// For a server without an attempt: what arrived before a ClientHello's beginning. At most [`MAX_HELD`].
    orphans: Vec<Vec<u8>>,
    /// Where a machine may write what has no place yet. It insists on room for a whole certificate.
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
        let patience = (PATIENCE_TIMEOUTS * config.first_timeout).max(SHORTEST_PATIENCE);
        let certificate = DtlsCertificate {
            certificate: config.certificate.der().to_vec(),
            private_key: config.certificate.private_key_der().to_vec(),
        };
        let recipe = Recipe {
            datagram_size: config.datagram_size,
            first_timeout: config.first_timeout,
            handshake_timeout: 2 * HANDSHAKE_TIMEOUT,
            seed: config.seed,
            number: 0,
            certificate,
            versions: config.versions,
            client: config.client,
        };
        let mut association = Self {
            recipe,
            attempts: Vec::new(),
            phase: Phase::Handshake,
            confirmed: false,
            events: VecDeque::new(),
            deadline: None,
            fault: None,
            retry: None,
            patience,
            longest_patience: 2 * patience,
            orphans: Vec::new(),
            scratch: vec![0; SCRATCH],
            dropped: 0,
        };
        if config.client {
            association.begin(now, &[]).map_err(|error| DtlsError(error.to_string()))?;
        }
        Ok(association)
    }

    /// Another attempt, which becomes the first.
    fn begin(&mut self, now: Instant, hello: &[u8]) -> Result<(), dimpl::Error> {
        self.deadline.get_or_insert(now + HANDSHAKE_TIMEOUT);
        self.retry = None;
        self.recipe.number += 1;
        let attempt = Attempt::new(&self.recipe, now, hello, &mut self.scratch)?;
        // The one that was spoken to the longest time ago has to go.
        self.attempts.truncate(MAX_ATTEMPTS - 1);
        self.attempts.insert(0, attempt);
        Ok(())
    }

    /// The first attempt is the one that this ClientHello belongs to.
    fn choose(&mut self, now: Instant, hello: &[u8]) {
        if let Some(index) = self.attempts.iter().position(|attempt| attempt.answers(hello)) {
            self.attempts[..=index].rotate_right(1);
        } else if let Err(error) = self.begin(now, hello) {
            self.suspect(now, error.to_string());
        }
    }

    fn take_handshake(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        for record in Records(datagram) {
            match record.kind {
                Kind::Alert(description) => {
                    self.dropped += 1;
                    self.suspect(now, format!("the other side refuses with alert {description}"));
                }
                Kind::Noise => self.dropped += 1,
                Kind::ClientHello(hello) if !self.recipe.client => {
                    self.choose(now, hello);
                    self.feed(now, 0, record.bytes, record.kind)?;
                    for orphan in std::mem::take(&mut self.orphans) {
                        self.feed(now, 0, &orphan, Kind::Handshake)?;
                    }
                }
                Kind::ClientHello(_) => self.dropped += 1,
                Kind::Answer | Kind::Handshake if self.attempts.is_empty() => {
                    if self.orphans.len() < MAX_HELD {
                        self.orphans.push(record.bytes.to_vec());
                    } else {
                        self.dropped += 1;
                    }
                }
                Kind::Answer | Kind::Handshake => self.feed(now, 0, record.bytes, record.kind)?,
                Kind::Sealed => {
                    for index in (0..self.attempts.len()).rev() {
                        self.feed(now, index, record.bytes, record.kind)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Shows an attempt a record.
    fn feed(&mut self, now: Instant, index: usize, record: &[u8], kind: Kind<'_>) -> Result<(), DtlsError> {
        if self.phase == Phase::Connected {
            // It came together with the end of the handshake.
            let Self { attempts, scratch, .. } = self;
            if let Some(attempt) = attempts.first_mut() {
                if attempt.open(record).is_err() {
                    self.dropped += 1;
                }
                attempt.drain(scratch);
            }
            return Ok(());
        }
        let Some(attempt) = self.attempts.get_mut(index) else { return Ok(()) };
        let outcome = attempt.take(now, record, kind, &mut self.scratch);
        self.judge(now, index, outcome)
    }

    /// What became of an attempt.
    fn judge(
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
        // One that had won before another ClientHello came is the right one after all if data comes by it.
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
        self.suspect(now, reason);
        if self.recipe.client && index == 0 {
            self.retry = Some(now + RETRY_PAUSE);
        }
    }

    fn connect(&mut self) {
        self.phase = Phase::Connected;
        (self.deadline, self.retry) = (None, None);
        self.orphans = Vec::new();
        let Some(winner) = self.attempts.first_mut() else { return };
        winner.has_won = true;
        if let Some(der) = winner.certificate.take() {
            self.events.push_back(DtlsEvent::PeerCertificate(der));
        }
        self.events.push_back(DtlsEvent::Connected);
    }

    /// Something is wrong, or somebody wants it to look so: if it is true, there is no need to wait long.
    fn suspect(&mut self, now: Instant, fault: String) {
        self.fault = Some(fault);
        let soon = now + SUSPICION;
        self.deadline = Some(self.deadline.map_or(soon, |deadline| deadline.min(soon)));
    }

    /// A client whose first attempt leads to nothing begins another one.
    fn retry_if_due(&mut self, now: Instant) {
        if !self.recipe.client || self.phase != Phase::Handshake {
            return;
        }
        if self.retry_at().is_some_and(|at| at <= now) {
            self.patience = (self.patience * 5 / 4).min(self.longest_patience);
            if let Err(error) = self.begin(now, &[]) {
                self.suspect(now, error.to_string());
                self.retry = Some(now + RETRY_PAUSE);
            }
        }
    }

    fn retry_at(&self) -> Option<Instant> {
        let first = self.attempts.first();
        self.retry.or_else(|| first?.answered.map(|at| at + self.patience)).filter(|_| self.recipe.client)
    }

    fn fail(&mut self, reason: String) -> DtlsError {
        self.phase = Phase::Closed;
        self.attempts = Vec::new();
        DtlsError(reason)
    }

    /// Whether the machine has heard a goodbye; told once.
    fn note_end(&mut self) {
        if self.phase == Phase::Connected && self.attempts.first().is_some_and(|attempt| attempt.closed) {
            self.phase = Phase::Closed;
            self.events.push_back(DtlsEvent::Closed);
        }
    }

    /// Whether a client begins anew, to which the end of the handshake of DTLS 1.2 never came.
    fn begins_again(&self, datagram: &[u8]) -> bool {
        let is_new = |hello: &[u8]| self.attempts.first().is_some_and(|attempt| !attempt.answers(hello));
        Records(datagram).any(|record| matches!(record.kind, Kind::ClientHello(hello) if is_new(hello)))
    }

    fn is_version_13(&self) -> bool {
        self.version() == Some("DTLS 1.3")
    }

    /// Takes in a datagram when connected. In the clear only the end of a handshake of DTLS 1.2 can come again.
    fn take_connected(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        let is_13 = self.is_version_13();
        if !self.confirmed && !is_13 && !self.recipe.client && self.begins_again(datagram) {
            self.phase = Phase::Handshake;
            return self.take_handshake(now, datagram);
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
                // Nothing that it can be told in this phase changes anything before it is refused.
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
                self.take_handshake(now, datagram)
            }
            Phase::Connected => self.take_connected(now, datagram),
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
        let range = self.attempts.first_mut()?.read(buf, &mut self.scratch);
        self.confirmed |= range.is_some();
        self.note_end();
        range
    }

    fn seal(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) -> Option<Range<usize>> {
        if self.phase != Phase::Connected {
            return None;
        }
        let start = range.start.checked_sub(FRONT)?;
        self.attempts.first_mut()?.seal(now, buf, range, start, &mut self.scratch)
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
                // It has sent its last words again and again; that they were not acknowledged does not matter.
                Err(_) if self.phase == Phase::Connected => attempt.timeout = None,
                // A damaged answer has led it into a state that it can neither leave nor rest in.
                Ok(()) if attempt.timeout.is_some_and(|at| at <= now) => {
                    attempt.timeout = None;
                    if self.phase == Phase::Handshake {
                        self.give_up(now, 0, "the other side's answer makes no sense".to_owned());
                    }
                }
                outcome => self.judge(now, 0, outcome)?,
            }
        }
        self.note_end();
        Ok(())
    }

    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize> {
        // What the others would say again is for somebody who has begun anew since.
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
        self.phase = Phase::Closed;
    }

    fn version(&self) -> Option<&'static str> {
        self.attempts.first()?.version()
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

/// Alerts in the clear do not get as far as the machine: one that it heard was encrypted.
fn is_authentic_alert(error: &dimpl::Error) -> bool {
    matches!(error, dimpl::Error::SecurityError(SecurityError::FatalAlert { .. }))
}

/// Attempts at a time: the one that counts, and those that may yet prove to be the right ones.
const MAX_ATTEMPTS: usize = 4;

/// Bytes of the largest datagram that is taken in during a handshake: more than any path's MTU carries
/// without fragments.
const MAX_HANDSHAKE_DATAGRAM: usize = 2048;

/// Room for everything that [`MAX_QUEUE`] datagrams can hold: a certificate is never larger.
const SCRATCH: usize = MAX_QUEUE * MAX_HANDSHAKE_DATAGRAM;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a handshake may take from the moment on at which something is wrong with it.
const SUSPICION: Duration = Duration::from_secs(30);

/// How long a client waits before it begins again after an attempt has broken.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// First timeouts that an answer has for leading to something: it holds several repetitions.
const PATIENCE_TIMEOUTS: u32 = 6;

/// Neither is it shorter, because the other side may be busy.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(800);
