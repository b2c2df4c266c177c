//! Explicit congestion notification (RFC 4960 appendix A, draft-stewart-tsvwg-sctpecn): a router
//! marks a packet instead of dropping it, its receiver echoes that by ECNE with each SACK until the
//! sender says by CWR that it has slowed down.

use std::time::Instant;

use super::Association;
use crate::serial::Tsn;
use crate::wire::{Reader, Writer, chunk_type};

/// The marks to be reported, and whether packets with them arrive at all.
#[derive(Debug, Default)]
pub(super) struct Notification {
    /// The first TSN of the first marked packet that the peer has not answered, and how many were
    /// marked since.
    echo: Option<(Tsn, u32)>,
    /// The TSN of the peer's last echo, to be confirmed.
    reduced: Option<Tsn>,
    /// Packets of ours that may be marked have been acknowledged.
    proven: bool,
    /// Timeouts before it was.
    timeouts: u32,
}

impl Notification {
    /// Another path may treat marks in another way.
    pub(super) fn change_path(&mut self) {
        self.proven = false;
        self.timeouts = 0;
    }

    pub(super) fn on_acknowledged(&mut self) {
        self.proven = true;
    }

    pub(super) fn on_timeout(&mut self) {
        self.timeouts += u32::from(!self.proven);
    }
}

impl Association {
    /// Returns whether packets may now be sent with the codepoint ECT(0): the peer can answer
    /// marks, and the path does not seem to swallow what may be marked.
    pub fn is_ecn_capable(&self) -> bool {
        self.peer.extensions.ecn && self.notification.timeouts < SWALLOWED
    }

    /// A packet with user data was marked; `value` is that of its first chunk of data.
    pub(super) fn note_marked(&mut self, value: &[u8]) {
        let Ok(tsn) = Reader::new(value).u32() else { return };
        let (_, count) = self.notification.echo.get_or_insert((Tsn(tsn), 0));
        *count = count.saturating_add(1);
        self.receiver.acknowledge_now();
    }

    /// ECNE: a packet of ours was marked.
    pub(super) fn on_echo(&mut self, now: Instant, value: &[u8]) {
        let Ok(tsn) = Reader::new(value).u32() else { return };
        if self.peer.extensions.ecn && self.sender.on_marked(now, Tsn(tsn)) {
            self.notification.reduced = Some(Tsn(tsn));
        }
    }

    /// CWR: the peer has slowed down.
    pub(super) fn on_reduced(&mut self, value: &[u8]) {
        let Ok(tsn) = Reader::new(value).u32() else { return };
        self.notification.echo.take_if(|(first, _)| !first.is_after(Tsn(tsn)));
    }

    /// Writes what is to be said. The echo goes along with a SACK.
    pub(super) fn write_notification(&mut self, writer: &mut Writer<'_>) {
        if let Some(tsn) = self.notification.reduced.take_if(|_| writer.room() >= 8) {
            writer.chunk(chunk_type::CWR, 0, |writer| writer.u32(tsn.0));
        }
        if let Some((tsn, count)) = self.notification.echo
            && self.receiver.is_sack_due()
            && writer.room() >= 12 + MOST_OF_A_SACK
        {
            writer.chunk(chunk_type::ECNE, 0, |writer| {
                writer.u32(tsn.0);
                writer.u32(count);
            });
        }
    }
}

/// So many timeouts before anything was acknowledged: the path may drop what may be marked.
const SWALLOWED: u32 = 2;
/// A SACK needs room for more than its header.
const MOST_OF_A_SACK: usize = 100;
