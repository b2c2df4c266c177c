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
use columba_ice::Ecn;

use super::Transport;
use super::dtls::{DtlsRole, HANDSHAKE_DATAGRAM};
use crate::states::DtlsTransportState;

/// Bytes of an embedded datagram at most: with what is around it in a check, and with a TURN
/// header, it is about as long as others of a handshake.
const EMBEDDED_DATAGRAM: usize = 1000;

/// Datagrams of a flight that are embedded, at most. More wait for the path.
const MAX_EMBEDDED: usize = 4;

/// Packets of data that are kept until there is a path, at most; SCTP sends the others again.
const MAX_EARLY_PACKETS: usize = 32;

/// The state of embedding in a transport.
#[derive(Debug, Default)]
pub(super) struct Embedding {
    /// This side has it: its descriptions say so.
    is_offered: bool,
    /// Both sides have it.
    pub(super) is_agreed: bool,
    /// The owner knows of the path: the events of ICE that came with it were taken.
    pub(super) is_path_known: bool,
    /// The flight that checks carry; at most [`MAX_EMBEDDED`].
    flight: Vec<Bytes>,
    /// Packets of data that came before the owner knew of a path; at most [`MAX_EARLY_PACKETS`].
    packets: VecDeque<(Ecn, Box<[u8]>)>,
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

    /// Returns true if the owner does not know yet of a path that embedded handshakes are ahead of.
    pub(super) fn is_ahead_of_path(&self) -> bool {
        self.embedding.is_agreed && !self.embedding.is_path_known && !self.has_ended
    }

    /// Returns the state of DTLS. It does not tell of a handshake that is ahead of the path: states
    /// come in the order of the W3C, those of ICE first.
    pub(crate) fn dtls_state(&self) -> DtlsTransportState {
        match self.dtls.state() {
            DtlsTransportState::Connecting | DtlsTransportState::Connected if self.is_ahead_of_path() => {
                match self.dtls.role() {
                    Some(DtlsRole::Server) => DtlsTransportState::Connecting,
                    _ => DtlsTransportState::New,
                }
            }
            state => state,
        }
    }

    /// The events of ICE were taken, with those of the path, if there is one. Returns true the
    /// first time, if handshakes may be ahead of it.
    pub(super) fn note_path(&mut self) -> bool {
        let is_new = self.is_ahead_of_path() && self.is_writable;
        self.embedding.is_path_known = self.is_writable;
        is_new
    }

    /// Keeps the packets of data that came in the other side's first records, for the time when the
    /// owner knows of the path: it was found there before.
    pub(super) fn keep_packets(&mut self, ecn: Ecn, records: &[u8]) {
        while let Some(packet) = self.dtls.read(records) {
            if self.embedding.packets.len() < MAX_EARLY_PACKETS {
                self.embedding.packets.push_back((ecn, packet.into()));
            } else {
                self.counters.unknown += 1;
            }
        }
        self.dtls.end_read();
    }

    /// Returns the next packet of data that was ahead of the path.
    pub(crate) fn next_early_packet(&mut self) -> Option<(Ecn, Box<[u8]>)> {
        let packet = self.embedding.packets.pop_front();
        if packet.is_none() {
            self.embedding.packets = VecDeque::new();
        }
        packet
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
            self.agent.set_embedded(now, flight.iter().cloned());
            self.embedding.flight = flight;
        }
    }

    /// There is a path: what has perhaps not arrived goes out by itself.
    pub(super) fn end_embedding(&mut self, now: Instant) {
        let flight = std::mem::take(&mut self.embedding.flight);
        // What was agreed may have been taken back since.
        if !self.embedding.is_agreed && flight.is_empty() {
            return;
        }
        if !self.agent.has_delivered() {
            self.embedding.direct.extend(flight);
        }
        self.agent.forget_embedded();
        self.dtls.handle_path(now, self.round_trip());
    }

    /// Forgets what was embedded: it belongs to an association that is gone.
    pub(super) fn forget_embedded(&mut self) {
        (self.embedding.flight, self.embedding.direct) = (Vec::new(), VecDeque::new());
        self.embedding.packets = VecDeque::new();
        self.agent.forget_embedded();
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
