//! One handshake and the association that it makes: the layers put together.
//!
//! A machine ends with its first fault. What a fault in the clear means, which may be forged, is
//! for [`Association`](crate::Association) to say.

mod input;
mod output;
mod post;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use crate::alert::AlertDescription;
use crate::certificate::Fingerprint;
use crate::config::{Config, Role, Version};
use crate::cookie::CookieKey;
use crate::error::{Error, Fault, SealError};
use crate::handshake::{Flight, Handshake, Io, Reassembly, Session};
use crate::record::{APPLICATION_DATA, RecordLayer, RecordNumber};

/// Records of the next epoch that wait for their keys at most, and bytes of one at most. More are
/// dropped, and will be sent again.
const MAX_HELD: usize = 16;
const MAX_HELD_RECORD: usize = 2048;

/// Packets of data that arrive before the handshake is complete, at most. More are dropped.
const MAX_EARLY: usize = 16;

/// The time for which the keys of the handshake are kept, so that its end can be acknowledged
/// again: twice the longest life of a datagram, as RFC 9147 §5.8.1 has it for the last flight.
const LINGER: Duration = Duration::from_secs(240);

/// Repetitions at most of a flight to which nothing depends any more. ICE ends what is dead.
const MAX_REPETITIONS: u32 = 60;

/// The state of a machine.
#[derive(Debug)]
enum State {
    Handshake(Box<Handshake>),
    Connected(Box<Session>),
    /// The own side has closed, or the other, or a fault has ended it.
    Closed,
}

/// A change in a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MachineEvent {
    Connected,
    /// The other side has closed, authentically.
    Closed,
    /// The other side says this. It may be forged unless it is authentic.
    Alert {
        description: AlertDescription,
        is_authentic: bool,
    },
    /// The machine has ended. Only an authentic reason is certainly the other side's.
    Failed {
        error: Error,
        is_authentic: bool,
    },
}

/// One handshake and the association that it makes.
#[derive(Debug)]
pub(crate) struct Machine {
    role: Role,
    config: Arc<Config>,
    io: Io,
    reassembly: Reassembly,
    state: State,
    /// The session of one that has ended, for its statistics.
    ended: Option<Box<Session>>,
    /// A server without state answers ClientHellos of any number.
    is_stateless: bool,
    /// Records to be acknowledged: the newest [`MAX_ACKS`](crate::message::MAX_ACKS).
    acks: Vec<RecordNumber>,
    ack_at: Option<Instant>,
    /// The time for that has come.
    ack_is_due: bool,
    /// At most [`MAX_HELD`].
    held: Vec<Vec<u8>>,
    /// At most [`MAX_EARLY`].
    early: VecDeque<Vec<u8>>,
    /// The one that was read last.
    current: Vec<u8>,
    /// Packets in the datagram that was handled last; they are dropped with the next one.
    packets: VecDeque<Range<usize>>,
    /// An alert that is to be sent, with its level.
    alert: Option<(u8, AlertDescription)>,
    /// The alert of a handshake that has failed: whatever comes is answered by it.
    failure: Option<(u8, AlertDescription)>,
    /// Few, and emptied after each input.
    events: VecDeque<MachineEvent>,
    /// Own keys are being updated, or are to be.
    update: post::Update,
    linger: Option<Instant>,
    /// Records that could not be opened since the keys of the handshake are there, while none
    /// could: the keys are another's than those of the other side.
    strangers: u32,
    /// Messages of the handshake that were handled.
    progress: u32,
    pub(crate) dropped: u64,
}

impl Machine {
    pub(crate) fn new(
        role: Role,
        config: Arc<Config>,
        fingerprints: Vec<Fingerprint>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let io = Io { records: RecordLayer::new(), flight: Flight::new(config.first_timeout) };
        let handshake = Handshake::new(role, config.clone(), fingerprints, rng);
        Self {
            role,
            config,
            io,
            reassembly: Reassembly::default(),
            state: State::Handshake(Box::new(handshake)),
            ended: None,
            is_stateless: false,
            acks: Vec::new(),
            ack_at: None,
            ack_is_due: false,
            held: Vec::new(),
            early: VecDeque::new(),
            current: Vec::new(),
            packets: VecDeque::new(),
            alert: None,
            failure: None,
            events: VecDeque::new(),
            update: post::Update::default(),
            linger: None,
            strangers: 0,
            progress: 0,
            dropped: 0,
        }
    }

    /// Sends a client's first flight.
    pub(crate) fn begin(&mut self) {
        if let State::Handshake(handshake) = &mut self.state
            && let Err(fault) = handshake.begin(&mut self.io)
        {
            self.fail(fault, true);
        }
    }

    pub(crate) fn require_cookie(&mut self, key: &CookieKey, address: &[u8]) {
        if let State::Handshake(handshake) = &mut self.state {
            handshake.set_cookie_key(key.bind(address));
            self.is_stateless = true;
        }
    }

    pub(crate) fn set_fingerprints(&mut self, fingerprints: Vec<Fingerprint>) {
        if let State::Handshake(handshake) = &mut self.state {
            handshake.set_fingerprints(fingerprints);
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Connected(session) => Some(session),
            State::Closed => self.ended.as_deref(),
            State::Handshake(_) => None,
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    pub(crate) fn handshake(&self) -> Option<&Handshake> {
        match &self.state {
            State::Handshake(handshake) => Some(handshake),
            _ => None,
        }
    }

    pub(crate) fn strangers(&self) -> u32 {
        self.strangers
    }

    pub(crate) fn progress(&self) -> u32 {
        self.progress
    }

    fn version(&self) -> Option<Version> {
        match &self.state {
            State::Handshake(handshake) => handshake.version(),
            State::Connected(session) => Some(session.version),
            State::Closed => self.ended.as_ref().map(|session| session.version),
        }
    }

    /// Bytes of a record in front of and behind its plaintext.
    pub(crate) fn overhead(&self) -> (usize, usize) {
        self.io.records.overhead(self.io.records.newest_epoch())
    }

    /// Bytes of the longest packet that the other side takes.
    pub(crate) fn packet_limit(&self) -> usize {
        self.io.records.limit()
    }

    /// Makes one record of the packet in `range`, where it stands.
    pub(crate) fn seal(&mut self, buf: &mut [u8], range: Range<usize>) -> Result<Range<usize>, SealError> {
        if !self.is_connected() {
            return Err(SealError::NotConnected);
        }
        let limit = self.io.records.limit();
        if range.len() > limit {
            return Err(SealError::TooLong { limit });
        }
        let sealer = self.io.records.newest().ok_or(SealError::NotConnected)?;
        let record = sealer.seal(APPLICATION_DATA, buf, range)?;
        if sealer.is_worn() {
            self.update_keys(false);
        }
        Ok(record)
    }

    /// Returns the next packet of the datagram that was handled last.
    pub(crate) fn read<'a>(&'a mut self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        if matches!(self.state, State::Handshake(_)) {
            return None;
        }
        if let Some(early) = self.early.pop_front() {
            self.current = early;
            return Some(&self.current);
        }
        self.current = Vec::new();
        datagram.get(self.packets.pop_front()?)
    }

    pub(crate) fn has_packets(&self) -> bool {
        !self.early.is_empty() || !self.packets.is_empty()
    }

    pub(crate) fn poll_event(&mut self) -> Option<MachineEvent> {
        self.events.pop_front()
    }

    /// Ends the machine and tells the other side why.
    fn fail(&mut self, fault: Fault, is_authentic: bool) {
        tracing::debug!(alert = %fault.alert, reason = fault.reason, "an association has failed");
        self.say(crate::alert::FATAL, fault.alert);
        if matches!(self.state, State::Handshake(_)) {
            self.failure = self.alert;
        }
        self.end();
        self.events.push_back(MachineEvent::Failed { error: fault.into(), is_authentic });
    }

    /// Closes the association and tells the other side.
    pub(crate) fn close(&mut self) {
        if self.is_connected() {
            self.say(crate::alert::WARNING, AlertDescription::CLOSE_NOTIFY);
        }
        self.end();
    }

    fn say(&mut self, level: u8, description: AlertDescription) {
        // Keys that the other side cannot have yet are of no use to it (RFC 5246 §7.1).
        if self.version() == Some(Version::Dtls12) && self.role == Role::Server && !self.is_connected() {
            self.io.records.forget_before(u64::MAX, 0);
        }
        self.alert = Some((level, description));
    }

    fn end(&mut self) {
        if let State::Connected(session) = std::mem::replace(&mut self.state, State::Closed) {
            self.ended = Some(session);
        }
        self.io.flight.end();
        self.acks = Vec::new();
        self.held = Vec::new();
        (self.ack_at, self.ack_is_due, self.linger) = (None, false, None);
    }
}
