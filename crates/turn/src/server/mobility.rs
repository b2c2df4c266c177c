//! Mobility (RFC 8016): an allocation moves with its client to another 5-tuple.
//!
//! A ticket is a number that cannot be guessed; the server keeps whose it is, so there is nothing
//! in it to be read or changed. It moves an allocation only together with the credential that made
//! the allocation. After a move both 5-tuples and both tickets are good until the client is heard
//! from its new place (RFC 8016 §3.2.2): so neither the answer nor what peers send meanwhile is
//! lost for good.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use columba_stun::TransactionId;

use super::Server;
use super::bucket::AccountId;
use super::deadlines::Deadline;
use super::hash::Keyed;
use super::path::FiveTuple;
use super::table::{Slot, Stage};

/// The time for which a mobile allocation outlives its connection if it is not moved: a phone that
/// changes networks is back by then.
const ORPHAN_LIFETIME: Duration = Duration::from_secs(60);

/// The proof of the ownership of an allocation, together with its credential: 168 bits as base64,
/// since there are clients (coturn's) that keep tickets as C strings.
pub(super) type Ticket = [u8; 28];

/// The tickets that are good: at most two for each allocation.
#[derive(Debug)]
pub(super) struct Tickets {
    key: hmac::Key,
    issued: u64,
    holders: HashMap<Ticket, Slot, Keyed>,
}

impl Tickets {
    pub(super) fn new(key: &[u8; 32], keyed: Keyed) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, issued: 0, holders: HashMap::with_hasher(keyed) }
    }

    /// Whose it is.
    pub(super) fn holder(&self, ticket: &[u8]) -> Option<Slot> {
        let ticket: &Ticket = ticket.try_into().ok()?;
        self.holders.get(ticket).copied()
    }

    /// One that has never been.
    fn issue(&mut self, slot: Slot) -> Ticket {
        self.issued += 1;
        let tag = hmac::sign(&self.key, &self.issued.to_be_bytes());
        let mut ticket = Ticket::default();
        // 21 bytes are 28 characters.
        let written = STANDARD.encode_slice(&tag.as_ref()[..21], &mut ticket);
        debug_assert_eq!(written, Ok(ticket.len()));
        self.holders.insert(ticket, slot);
        ticket
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }
}

/// The state of an allocation that may move.
#[derive(Debug, Default)]
pub(super) struct Mobility {
    /// The newest ticket; none before the allocation is live.
    ticket: Option<Ticket>,
    /// The ticket that the last move was made with, until the client is heard from its new place:
    /// the answer may be lost.
    shown: Option<Ticket>,
    next: Option<Next>,
    /// The request that moved it last, to know its retransmissions.
    moved_by: Option<TransactionId>,
}

/// The address from which a client has asked to be moved, until it sends from there.
#[derive(Debug, Clone, Copy)]
struct Next {
    tuple: FiveTuple,
    address: AccountId,
}

impl Mobility {
    pub(super) const fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// Returns whether this request, from a 5-tuple of the allocation's, has moved it already.
    pub(super) fn is_moved_by(&self, transaction: TransactionId) -> bool {
        self.moved_by == Some(transaction)
    }

    fn is_next(&self, tuple: &FiveTuple) -> bool {
        self.next.is_some_and(|next| next.tuple == *tuple)
    }
}

impl Server {
    /// Gives a mobile allocation a new ticket; those it had stay as they are.
    pub(super) fn issue_ticket(&mut self, slot: Slot) {
        let Some(mobility) = self.table.get_mut(slot).and_then(|a| a.mobility.as_mut()) else { return };
        mobility.ticket = Some(self.tickets.issue(slot));
    }

    /// The newest ticket of an allocation.
    pub(super) fn ticket_of(&self, slot: Slot) -> Option<Ticket> {
        self.table.get(slot)?.mobility.as_ref()?.ticket()
    }

    /// Begins to move an allocation to the address from which a client has shown its ticket and its
    /// credential. If the client has come elsewhere meanwhile, without having been heard there,
    /// that is void.
    pub(super) fn begin_move(
        &mut self,
        now: Instant,
        slot: Slot,
        tuple: FiveTuple,
        transaction: TransactionId,
        shown: &[u8],
    ) {
        let Some(mobility) = self.table.get_mut(slot).and_then(|a| a.mobility.as_mut()) else { return };
        mobility.moved_by = Some(transaction);
        let voided = if mobility.is_next(&tuple) { None } else { mobility.next.take() };
        let shown: Option<Ticket> = shown.try_into().ok();
        let old = [mobility.ticket.take(), std::mem::replace(&mut mobility.shown, shown)];
        let is_new = mobility.next.is_none();
        old.into_iter().flatten().filter(|ticket| Some(*ticket) != shown).for_each(|ticket| {
            self.tickets.holders.remove(&ticket);
        });
        if let Some(voided) = voided {
            self.table.unlink(&voided.tuple);
            self.addresses.close(now, voided.address);
        }
        if is_new {
            let address = self.addresses.open(now, tuple.client().ip());
            self.table.link(tuple, slot);
            if let Some(mobility) = self.table.get_mut(slot).and_then(|a| a.mobility.as_mut()) {
                mobility.next = Some(Next { tuple, address });
            }
        }
        self.issue_ticket(slot);
    }

    /// Something has come from a 5-tuple of this allocation's: if it is the new one, the client has
    /// arrived.
    pub(super) fn note_presence(&mut self, now: Instant, slot: Slot, tuple: &FiveTuple) {
        let mobility = self.table.get(slot).and_then(|allocation| allocation.mobility.as_ref());
        if mobility.is_some_and(|mobility| mobility.is_next(tuple)) {
            self.finish_move(now, slot);
        }
    }

    fn finish_move(&mut self, now: Instant, slot: Slot) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let Some(mobility) = allocation.mobility.as_mut() else { return };
        let Some(next) = mobility.next.take() else { return };
        let shown = mobility.shown.take();
        let left = std::mem::replace(&mut allocation.tuple, next.tuple);
        let address = std::mem::replace(&mut allocation.address, next.address);
        self.addresses.close(now, address);
        self.table.unlink(&left);
        if let Some(ticket) = shown {
            self.tickets.holders.remove(&ticket);
        }
        if left.transport().is_stream() {
            // Not an event at once: the data path makes none.
            self.deadlines.set(now, Deadline::Left(left));
        }
        self.stats.allocations_moved += 1;
    }

    /// A connection of an allocation's has ended. That releases the allocation, unless it may yet
    /// be moved.
    pub(super) fn handle_connection_closed(&mut self, now: Instant, tuple: FiveTuple) {
        let Some(slot) = self.table.find(&tuple) else { return };
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let (Some(mobility), Stage::Live(live)) = (allocation.mobility.as_mut(), &allocation.stage) else {
            return self.release(now, slot);
        };
        if mobility.is_next(&tuple) {
            let next = mobility.next.take();
            self.table.unlink(&tuple);
            next.into_iter().for_each(|next| self.addresses.close(now, next.address));
        } else if mobility.next.is_some() {
            self.finish_move(now, slot);
        } else {
            let until = live.expires.min(now + ORPHAN_LIFETIME);
            self.prolong(slot, until);
        }
    }

    /// Forgets what a released allocation had for moving.
    pub(super) fn forget_mobility(&mut self, now: Instant, mobility: &Mobility) {
        for ticket in [mobility.ticket, mobility.shown].into_iter().flatten() {
            self.tickets.holders.remove(&ticket);
        }
        if let Some(next) = mobility.next {
            self.table.unlink(&next.tuple);
            self.addresses.close(now, next.address);
        }
    }
}
