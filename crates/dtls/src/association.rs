//! One association: what the handshake's machine says is weighed here, because in the clear
//! any host may say anything.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng};
use zeroize::Zeroizing;

use crate::alert::AlertDescription;
use crate::certificate::Fingerprint;
use crate::config::{Config, Role, Version};
use crate::cookie::CookieKey;
use crate::crypto::group::Group;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, SealError};
use crate::hellos::{Kind, kind_of};
use crate::machine::{Machine, MachineEvent};
use crate::record::first;
use crate::srtp::{self, SrtpKeys, SrtpProfile};

/// Handshakes that a server has begun at once at most: of clients that began anew, and of forged
/// ClientHellos. The least recently used one is dropped.
const MAX_ATTEMPTS: usize = 4;

/// Bytes of the largest datagram that is handled during a handshake: more than any path's MTU
/// carries without fragments.
const MAX_HANDSHAKE_DATAGRAM: usize = 9000;

/// The time for which a fault in the clear is doubted: that many first timeouts, within bounds.
const DOUBT: u32 = 4;
const SHORTEST_DOUBT: Duration = Duration::from_millis(400);
const LONGEST_DOUBT: Duration = Duration::from_secs(4);

/// The time after which a client begins anew when an attempt has failed, as a part of that.
const RETRY_PART: u32 = 8;

/// Faults in the clear after which one is believed, even if each attempt gets further: damage or
/// forgery at every attempt, or two sides that do not fit.
const MAX_FAULTS: u32 = 16;

/// Doubts of a server: its client has to hear of the fault first, and to begin anew.
const SERVER_DOUBTS: u32 = 4;

/// Records that cannot be opened after which a client thinks that it was answered by another.
const MAX_STRANGERS: u32 = 8;

/// A change in an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The other side has said this. It is said at once, and if it came in the clear, it may be
    /// forged: only [`Failed`](Self::Failed) ends the association.
    Alert(AlertDescription),
    /// The other side has proven to have the certificate of its description; packets can be sent
    /// and received.
    Connected,
    /// The other side has closed.
    Closed,
    /// The association has ended, or did not come about.
    Failed(Error),
}

/// The outcome of the negotiation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The version.
    pub version: Version,
    /// The cipher suite.
    pub cipher_suite: CipherSuite,
    /// The group of the key exchange.
    pub group: Group,
    /// The profile of SRTP, if `use_srtp` was negotiated.
    pub srtp_profile: Option<SrtpProfile>,
    /// The application protocol, if one was negotiated.
    pub alpn: Option<Vec<u8>>,
    /// The master secret is bound to the whole handshake (RFC 7627), as it always is in DTLS 1.3.
    pub extended_master_secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Connected,
    Closed,
}

/// A fault that may be forged.
struct Doubt {
    error: Error,
    /// When it is believed.
    at: Instant,
    /// The progress of the handshake when it came: with more of it, it is forgotten.
    progress: u32,
}

/// One association. See the [crate's documentation](crate) for an example.
pub struct Association {
    role: Role,
    config: Arc<Config>,
    fingerprints: Vec<Fingerprint>,
    /// For attempts at the handshake.
    rng: Option<Box<ChaCha20Rng>>,
    /// The first one speaks. At most [`MAX_ATTEMPTS`]; when connected, one.
    attempts: Vec<Machine>,
    /// The random numbers of the ClientHellos that they answer, if they are a server's; of one that
    /// has ended none, so that another copy of its ClientHello begins a new one.
    hellos: Vec<Option<[u8; 32]>>,
    cookie: Option<Box<(CookieKey, Vec<u8>)>>,
    phase: Phase,
    /// When the handshake has to be complete.
    deadline: Option<Instant>,
    /// There is no path yet, and so no deadline.
    is_pathless: bool,
    /// A fault in the clear, and when it is believed.
    doubt: Option<Doubt>,
    /// Faults so far, and messages that were handled by attempts that are gone.
    faults: u32,
    past_progress: u32,
    /// When a client begins anew.
    retry: Option<Instant>,
    /// At most a few for each input.
    events: VecDeque<Event>,
    dropped: u64,
}

impl Association {
    /// Creates an association. A client's first flight is ready at once; a server waits for it.
    ///
    /// The other side's certificate must have one of `fingerprints`. Random numbers and the keys of
    /// X25519 come from `rng`; those of P-256, P-384 and ML-KEM, and the randomness in signatures,
    /// from the cryptography library's own generator.
    pub fn new(
        role: Role,
        config: Arc<Config>,
        fingerprints: Vec<Fingerprint>,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut association = Self {
            role,
            config,
            fingerprints,
            rng: Some(Box::new(ChaCha20Rng::from_rng(rng))),
            attempts: Vec::new(),
            hellos: Vec::new(),
            cookie: None,
            phase: Phase::Handshake,
            deadline: None,
            is_pathless: false,
            doubt: None,
            faults: 0,
            past_progress: 0,
            retry: None,
            events: VecDeque::new(),
            dropped: 0,
        };
        if role == Role::Client {
            association.begin(now, [0; 32]);
        }
        association
    }

    /// Makes a server ask for a cookie that proves the client's address, before it keeps anything
    /// of it. Its ClientHello then has to come in one datagram.
    pub fn require_cookie(&mut self, key: &CookieKey, address: &[u8]) {
        self.cookie = Some(Box::new((key.clone(), address.to_vec())));
    }

    /// Replaces the expected fingerprints, until the other side has shown its certificate.
    pub fn set_fingerprints(&mut self, fingerprints: Vec<Fingerprint>) {
        for attempt in &mut self.attempts {
            attempt.set_fingerprints(fingerprints.clone());
        }
        self.fingerprints = fingerprints;
    }

    /// Handles a datagram. Records are opened where they stand: [`read`](Self::read) their packets
    /// before the next input.
    pub fn handle_input(&mut self, now: Instant, datagram: &mut [u8]) {
        match self.phase {
            Phase::Connected => {
                if let Some(machine) = self.attempts.first_mut() {
                    machine.handle_datagram(now, datagram);
                }
                self.handle_events(now);
            }
            Phase::Handshake if datagram.len() <= MAX_HANDSHAKE_DATAGRAM => {
                self.handle_handshake(now, datagram);
            }
            Phase::Handshake | Phase::Closed => self.dropped += 1,
        }
    }

    /// Returns the next packet that was in the datagram of the last
    /// [`handle_input`](Self::handle_input), which is given here again.
    pub fn read<'a>(&'a mut self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        if self.phase == Phase::Handshake {
            return None;
        }
        self.attempts.first_mut()?.read(datagram)
    }

    /// Makes one record of the packet in `range`, where it stands. There must be
    /// [`overhead`](Self::overhead) free bytes before and behind it. Returns the range of the
    /// record, which is a datagram's contents.
    ///
    /// # Errors
    /// [`SealError`] if the association is not connected, or the packet does not fit.
    pub fn seal(&mut self, buf: &mut [u8], range: Range<usize>) -> Result<Range<usize>, SealError> {
        if self.phase != Phase::Connected {
            return Err(SealError::NotConnected);
        }
        self.attempts.first_mut().ok_or(SealError::NotConnected)?.seal(buf, range)
    }

    /// Makes records of several packets, where they stand: the datagrams of one batch. The first
    /// record begins at `at`, each of the others behind the one before it. Returns their range.
    ///
    /// # Errors
    /// [`SealError`] as for [`seal`](Self::seal).
    pub fn seal_batch(
        &mut self,
        buf: &mut [u8],
        at: usize,
        lengths: impl IntoIterator<Item = usize>,
    ) -> Result<Range<usize>, SealError> {
        let (front, _) = self.overhead();
        let mut end = at;
        for length in lengths {
            let start = end + front;
            end = self.seal(buf, start..start + length)?.end;
        }
        Ok(at..end)
    }

    /// Bytes that a record has now in front of and behind its packet: at most
    /// [`FRONT`](crate::FRONT) and [`BACK`](crate::BACK).
    #[must_use]
    pub fn overhead(&self) -> (usize, usize) {
        self.attempts.first().map_or((crate::FRONT, crate::BACK), Machine::overhead)
    }

    /// Bytes of the longest packet that a record takes: less than 16,384 if the other side has a
    /// limit (RFC 8449), which is known once connected.
    #[must_use]
    pub fn packet_limit(&self) -> usize {
        self.attempts.first().map_or(crate::record::MAX_PLAINTEXT, Machine::packet_limit)
    }

    /// Tells a handshake that it begins over another protocol, before there is a path: it may take
    /// any time until [`handle_path`](Self::handle_path).
    pub fn begin_without_path(&mut self) {
        self.is_pathless = true;
    }

    /// Tells a handshake that begins over another protocol, before there is a path, that there is
    /// one now: its time begins anew, and what was sent last is sent again after `first_timeout`.
    pub fn handle_path(&mut self, now: Instant, first_timeout: Duration) {
        self.is_pathless = false;
        if self.phase != Phase::Handshake {
            return;
        }
        if self.deadline.is_some() {
            self.deadline = Some(now + self.config.handshake_timeout);
        }
        for attempt in &mut self.attempts {
            attempt.set_first_timeout(now, first_timeout);
        }
    }

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout). Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Handshake && self.end_at().is_some_and(|at| at <= now) {
            let error = self.doubt.take().map_or(Error::TimedOut, |doubt| doubt.error);
            self.fail(error);
            return;
        }
        if self.retry.is_some_and(|at| at <= now) && self.phase == Phase::Handshake {
            self.begin(now, [0; 32]);
        }
        for attempt in &mut self.attempts {
            attempt.handle_timeout(now);
        }
        self.handle_events(now);
    }

    /// Returns the next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let machine = self.attempts.first().and_then(Machine::poll_timeout);
        let (retry, deadline) = match self.phase {
            Phase::Handshake => (self.retry, self.end_at()),
            Phase::Connected | Phase::Closed => (None, None),
        };
        [machine, retry, deadline].into_iter().flatten().min()
    }

    /// Writes the next datagram of the association's own to the front of `buf`. Returns its length.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        self.attempts.first_mut()?.poll_transmit(now, buf)
    }

    /// Returns the next event. [`Event::Closed`] waits until the packets before it are read.
    pub fn poll_event(&mut self) -> Option<Event> {
        let is_last = matches!(self.events.front(), Some(Event::Closed | Event::Failed(_)));
        if is_last && self.attempts.first().is_some_and(Machine::has_packets) {
            return None;
        }
        self.events.pop_front()
    }

    /// Sends a close notification, if the association is connected, and ends it.
    pub fn close(&mut self) {
        if let Some(machine) = self.attempts.first_mut() {
            machine.close();
        }
        self.phase = Phase::Closed;
    }

    /// Updates the keys of both directions (RFC 9147 §8). Those of DTLS 1.2 cannot be updated.
    /// Without this call own keys are updated long before they wear out.
    pub fn update_keys(&mut self) {
        if let Some(machine) = self.attempts.first_mut() {
            machine.update_keys(true);
        }
    }

    /// Exports keying material for another protocol (RFC 5705, RFC 8446 §7.5). Returns false if
    /// the association is not connected.
    #[must_use]
    pub fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> bool {
        let session = self.attempts.first().and_then(Machine::session);
        session.is_some_and(|session| session.exporter.export(label, context, out).is_ok())
    }

    /// Returns the keys of SRTP, once connected and if `use_srtp` was negotiated (RFC 5764).
    #[must_use]
    pub fn srtp_keys(&self) -> Option<SrtpKeys> {
        let profile = self.attempts.first()?.session()?.srtp?;
        let (key, salt) = profile.lengths();
        let mut material = Zeroizing::new(vec![0; 2 * (key + salt)]);
        self.export(srtp::LABEL, None, &mut material).then_some(())?;
        SrtpKeys::new(profile, &material, self.role)
    }

    /// Returns what was negotiated, once connected.
    #[must_use]
    pub fn negotiated(&self) -> Option<Negotiated> {
        let session = self.attempts.first()?.session()?;
        Some(Negotiated {
            version: session.version,
            cipher_suite: session.suite,
            group: session.group,
            srtp_profile: session.srtp,
            alpn: session.alpn.clone(),
            extended_master_secret: session.extended_master_secret,
        })
    }

    /// Returns the version, cipher suite and group as far as they are settled. Before the
    /// association is connected they may be forged.
    #[must_use]
    pub fn choices(&self) -> (Option<Version>, Option<CipherSuite>, Option<Group>) {
        match (self.negotiated(), self.attempts.first().and_then(Machine::handshake)) {
            (Some(negotiated), _) => {
                (Some(negotiated.version), Some(negotiated.cipher_suite), Some(negotiated.group))
            }
            (None, Some(handshake)) => (handshake.version(), handshake.suite(), handshake.group()),
            (None, None) => (None, None, None),
        }
    }

    /// Returns the other side's certificate in DER, once connected.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        Some(&self.attempts.first()?.session()?.peer_certificate)
    }

    /// Returns the own side.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the number of records that were dropped unread.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped + self.attempts.iter().map(|attempt| attempt.dropped).sum::<u64>()
    }

    /// Begins another attempt, which becomes the first.
    fn begin(&mut self, now: Instant, hello: [u8; 32]) {
        self.deadline.get_or_insert(now + self.config.handshake_timeout);
        self.retry = None;
        let Some(rng) = &mut self.rng else { return };
        let mut machine = Machine::new(self.role, self.config.clone(), self.fingerprints.clone(), rng);
        match self.role {
            // Answers to the last ClientHello are no answers to this one.
            Role::Client => {
                machine.begin();
                self.clear_attempts(0);
            }
            Role::Server => {
                if let Some((key, address)) = self.cookie.as_deref() {
                    machine.require_cookie(key, address);
                }
                self.clear_attempts(MAX_ATTEMPTS - 1);
                self.hellos.insert(0, Some(hello));
            }
        }
        self.attempts.insert(0, machine);
        self.handle_events(now);
    }

    fn clear_attempts(&mut self, keep: usize) {
        self.past_progress += self.attempts.iter().skip(keep).map(Machine::progress).sum::<u32>();
        let dropped: u64 = self.attempts.drain(keep.min(self.attempts.len())..).map(|one| one.dropped).sum();
        self.dropped += dropped;
        self.hellos.truncate(keep);
    }

    /// Handles a datagram during the handshake, record by record.
    fn handle_handshake(&mut self, now: Instant, datagram: &mut [u8]) {
        if self.role == Role::Client {
            if let Some(machine) = self.attempts.first_mut() {
                machine.handle_datagram(now, datagram);
            }
            self.handle_events(now);
            return;
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            let Some(raw) = first(rest) else {
                self.dropped += 1;
                return;
            };
            let (record, after) = rest.split_at_mut(raw.length);
            rest = after;
            self.handle_record_of_client(now, raw.form, raw.header, record);
            if self.phase == Phase::Connected && !rest.is_empty() {
                // It came together with the end of the handshake: its packets are read as early
                // ones.
                if let Some(machine) = self.attempts.first_mut() {
                    machine.handle_detached(now, rest);
                }
                self.handle_events(now);
                return;
            }
        }
    }

    fn handle_record_of_client(
        &mut self,
        now: Instant,
        form: crate::record::Form,
        header: usize,
        record: &mut [u8],
    ) {
        match kind_of(form, &record[header..]) {
            Kind::ClientHello(random) => {
                match self.hellos.iter().position(|known| *known == Some(random)) {
                    Some(index) => {
                        self.attempts[..=index].rotate_right(1);
                        self.hellos[..=index].rotate_right(1);
                    }
                    None => self.begin(now, random),
                }
                if let Some(machine) = self.attempts.first_mut() {
                    machine.handle_detached(now, record);
                }
            }
            // A ClientHello in fragments belongs to the newest attempt.
            Kind::Fragment if self.attempts.is_empty() => self.dropped += 1,
            Kind::Fragment => self.attempts[0].handle_detached(now, record),
            Kind::Other => {
                // Each attempt has keys of its own, and opening destroys what it cannot open.
                for attempt in self.attempts.iter_mut().skip(1) {
                    attempt.handle_detached(now, &mut record.to_vec());
                }
                match self.attempts.first_mut() {
                    Some(attempt) => attempt.handle_detached(now, record),
                    None => self.dropped += 1,
                }
            }
        }
        self.handle_events(now);
    }

    fn handle_events(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.attempts.len() {
            match self.attempts[index].poll_event() {
                None => index += 1,
                Some(MachineEvent::Connected) => self.connect(index),
                Some(MachineEvent::Closed) => {
                    self.phase = Phase::Closed;
                    self.events.push_back(Event::Closed);
                }
                Some(MachineEvent::Alert { description, is_authentic }) => {
                    self.note_alert(now, index, description, is_authentic);
                }
                Some(MachineEvent::Failed { error, is_authentic }) => {
                    if is_authentic || self.phase != Phase::Handshake {
                        self.attempts.swap(0, index);
                        self.fail(error);
                        return;
                    }
                    let mut others = self.attempts.iter().enumerate().filter(|(other, _)| *other != index);
                    if others.any(|(_, other)| other.handshake().is_some()) {
                        // Another ClientHello is the right one.
                        let ended = self.attempts.remove(index);
                        self.dropped += ended.dropped;
                        self.past_progress += ended.progress();
                        self.hellos.remove(index);
                    } else {
                        self.attempts.swap(0, index);
                        self.clear_attempts(1);
                        self.hellos.iter_mut().for_each(|hello| *hello = None);
                        self.doubt(now, error, RETRY_PART);
                        if self.phase == Phase::Closed {
                            return;
                        }
                    }
                }
            }
        }
        let progress = self.progress();
        if self.doubt.take_if(|doubt| doubt.progress != progress).is_some()
            && self.attempts.first().is_some_and(|attempt| attempt.handshake().is_some())
        {
            self.retry = None;
        }
        let is_answered_by_another =
            self.attempts.first().is_some_and(|attempt| attempt.strangers() >= MAX_STRANGERS);
        if is_answered_by_another && self.role == Role::Client && self.phase == Phase::Handshake {
            let at = now + self.doubt_time() / RETRY_PART;
            self.retry.get_or_insert(at);
        }
    }

    fn connect(&mut self, index: usize) {
        let winner = self.attempts.swap_remove(index);
        self.clear_attempts(0);
        self.attempts = vec![winner];
        (self.hellos, self.rng, self.cookie) = (Vec::new(), None, None);
        (self.deadline, self.retry, self.doubt) = (None, None, None);
        self.phase = Phase::Connected;
        self.events.push_back(Event::Connected);
    }

    fn note_alert(&mut self, now: Instant, index: usize, description: AlertDescription, is_authentic: bool) {
        if self.events.iter().any(|event| matches!(event, Event::Alert(_))) {
            return;
        }
        self.events.push_back(Event::Alert(description));
        if !is_authentic && self.phase == Phase::Handshake && index == 0 {
            // The other side may have been deceived, and have ended its attempt.
            self.doubt(now, Error::PeerAlert(description), 4);
        }
    }

    fn doubt_time(&self) -> Duration {
        (self.config.first_timeout * DOUBT).clamp(SHORTEST_DOUBT, LONGEST_DOUBT)
    }

    fn progress(&self) -> u32 {
        self.past_progress + self.attempts.iter().map(Machine::progress).sum::<u32>()
    }

    /// When the handshake fails.
    fn end_at(&self) -> Option<Instant> {
        let doubt = self.doubt.as_ref().map(|doubt| doubt.at);
        [doubt, self.deadline.filter(|_| !self.is_pathless)].into_iter().flatten().min()
    }

    /// Notes a fault that came in the clear. If it is real, there is no need to wait long; if it is
    /// forged, the handshake goes on, or begins anew meanwhile.
    fn doubt(&mut self, now: Instant, error: Error, retry_part: u32) {
        // Real peers do not send what cannot be read.
        let is_noise = matches!(error, Error::Handshake { alert: AlertDescription::DECODE_ERROR, .. });
        self.faults += u32::from(!is_noise);
        if self.faults >= MAX_FAULTS {
            self.fail(error);
            return;
        }
        let doubt = self.doubt_time();
        if !is_noise && self.doubt.is_none() {
            let at = now + if self.role == Role::Server { doubt * SERVER_DOUBTS } else { doubt };
            self.doubt = Some(Doubt { error, at, progress: self.progress() });
        }
        if self.role == Role::Client {
            self.retry.get_or_insert(now + doubt / retry_part);
        }
    }

    fn fail(&mut self, error: Error) {
        self.phase = Phase::Closed;
        (self.deadline, self.retry, self.rng) = (None, None, None);
        // The first one may have an alert to send.
        let dropped: u64 = self.attempts.drain(1.min(self.attempts.len())..).map(|one| one.dropped).sum();
        self.dropped += dropped;
        if let Some(machine) = self.attempts.first_mut() {
            machine.close();
        }
        self.events.push_back(Event::Failed(error));
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
