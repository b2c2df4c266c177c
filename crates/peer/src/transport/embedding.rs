//! DTLS's handshake in checks of ICE, while there is no path yet (draft-hancke-webrtc-sped): it
//! travels together with the checks, and not after them.
//!
//! Both sides must have said so in their descriptions (`a=ice-options:sped`). Deviations from the
//! draft:
//!
//! - There are no acknowledgments beside those of DTLS, and an answered check. What was embedded
//!   and not delivered goes out again as soon as there is a path, and DTLS repeats itself there.
//! - With a path, DTLS's datagrams go by themselves and are not embedded any more.
//! - Further datagrams of a flight go in authentic Binding indications behind the check. The draft
//!   leaves that open, and post-quantum keys need it.
//! - Support is not discovered in checks: others than our own peers are only met by their
//!   description.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::Transport;
use super::dtls::{DtlsRole, HANDSHAKE_DATAGRAM};

/// Bytes of an embedded datagram at most: with what is around it in a check, and with a TURN
/// header, it is about as long as others of a handshake.
const EMBEDDED_DATAGRAM: usize = 1000;

/// Datagrams of a flight that are embedded, at most. More wait for the path.
const MAX_EMBEDDED: usize = 4;

/// The state of embedding in a transport.
#[derive(Debug, Default)]
pub(super) struct Embedding {
    /// This side has it: its descriptions say so.
    is_offered: bool,
    /// Both sides have it.
    pub(super) is_agreed: bool,
    /// The flight that checks carry; at most [`MAX_EMBEDDED`].
    flight: Vec<Bytes>,
    /// Datagrams that were not delivered before there was a path, and go out by themselves.
    direct: VecDeque<Bytes>,
}

impl Embedding {
    pub(super) fn new(is_offered: bool) -> Self {
        Self { is_offered, ..Self::default() }
    }
}

impl Transport {
    /// Returns true if handshakes do not wait for a path.
    pub(super) fn embeds(&self) -> bool {
        self.embedding.is_agreed && !self.is_writable
    }

    /// Bytes of a handshake's datagrams at most.
    pub(super) fn handshake_datagram(&self) -> usize {
        if self.embeds() { EMBEDDED_DATAGRAM } else { HANDSHAKE_DATAGRAM }
    }

    /// Returns true if DTLS waits for a path, and its timers with it: checks repeat what they
    /// carry.
    pub(super) fn is_dtls_patient(&self) -> bool {
        self.embeds() && self.dtls.role() == Some(DtlsRole::Client)
    }

    /// Handles a datagram of DTLS that came in a check. Before the other side's description is
    /// known, that its check carries something says that it has read this side's.
    pub(super) fn handle_embedded(&mut self, now: Instant, mut datagram: Vec<u8>) {
        let is_expected = self.embedding.is_agreed || self.embedding.is_offered && !self.agent.has_remote();
        if is_expected && !self.has_ended && matches!(datagram.first(), Some(20..=63)) {
            self.dtls.open(now, &mut datagram);
        }
    }

    /// Lets checks carry what DTLS has to say, as long as there is no path.
    pub(super) fn embed(&mut self, now: Instant) {
        if !self.embeds() || self.has_ended || !self.dtls.has_begun() {
            return;
        }
        let mut buf = [0; EMBEDDED_DATAGRAM];
        let mut flight = Vec::new();
        while flight.len() < MAX_EMBEDDED
            && let Some(length) = self.dtls.poll_transmit(now, &mut buf)
        {
            flight.push(Bytes::copy_from_slice(&buf[..length]));
        }
        if !flight.is_empty() {
            self.agent.set_embedded(flight.iter().cloned());
            self.embedding.flight = flight;
        }
    }

    /// There is a path: what has perhaps not arrived goes out by itself.
    pub(super) fn end_embedding(&mut self, now: Instant) {
        if !self.embedding.is_agreed {
            return;
        }
        let flight = std::mem::take(&mut self.embedding.flight);
        if !self.agent.has_delivered() {
            self.embedding.direct.extend(flight);
        }
        self.agent.set_embedded([]);
        self.dtls.handle_path(now, self.round_trip());
    }

    /// Forgets what was embedded: it belongs to an association that is gone.
    pub(super) fn forget_embedded(&mut self) {
        (self.embedding.flight, self.embedding.direct) = (Vec::new(), VecDeque::new());
        self.agent.set_embedded([]);
    }

    /// Writes the next datagram that was embedded and not delivered to the front of `buf`. Returns
    /// its length.
    pub(super) fn next_undelivered(&mut self, buf: &mut [u8]) -> Option<usize> {
        let Some(datagram) = self.embedding.direct.pop_front() else {
            // There are none for the rest of the connection.
            self.embedding.direct = VecDeque::new();
            return None;
        };
        buf.get_mut(..datagram.len())?.copy_from_slice(&datagram);
        Some(datagram.len())
    }
}
