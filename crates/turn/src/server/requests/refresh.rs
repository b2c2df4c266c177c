//! Refresh: keep an allocation, give it back (RFC 8656 §8), or have it moved (RFC 8016 §3.2).

use std::time::{Duration, Instant};

use columba_stun::attributes::{Lifetime, MobilityTicket, RequestedAddressFamily};
use columba_stun::{AddressFamily, AttributeType, ErrorCode};

use super::super::Server;
use super::super::answers::prefix;
use super::super::deadlines::Deadline;
use super::super::mobility::Ticket;
use super::super::path::FiveTuple;
use super::super::table::{Slot, Stage};
use super::{Authentic, bad};

impl Server {
    pub(super) fn handle_refresh(&mut self, now: Instant, request: &Authentic<'_>) -> Result<(), ErrorCode> {
        if self.refuse_unknown(request, &[AttributeType::REQUESTED_ADDRESS_FAMILY]) {
            return Ok(());
        }
        let asked = request.message.get::<Lifetime>().map_err(bad)?;
        let family = request.message.get::<RequestedAddressFamily>().map_err(bad)?;
        let ticket = request.message.get::<MobilityTicket<'_>>().map_err(bad)?;
        let slot = match &ticket {
            None => self.allocation_of(now, request)?.0,
            Some(MobilityTicket(ticket)) => self.allocation_by(request, ticket)?,
        };
        let has_relay = |family| self.relay_for(slot, family).is_some();
        let family = match family {
            None => None,
            Some(family) => {
                let family = family.family().filter(|family| has_relay(*family));
                Some(family.ok_or(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH)?)
            }
        };
        if asked == Some(Lifetime(0)) {
            self.give_back(now, slot, family);
            return self.confirm(request, Duration::ZERO, None);
        }
        if let Some(MobilityTicket(ticket)) = ticket {
            self.move_here(now, slot, request, ticket);
        }
        let lifetime = self.lifetime(asked);
        self.prolong(slot, now + lifetime);
        let ticket = ticket.and_then(|_| self.ticket_of(slot));
        self.confirm(request, lifetime, ticket)
    }

    fn confirm(
        &mut self,
        request: &Authentic<'_>,
        lifetime: Duration,
        ticket: Option<Ticket>,
    ) -> Result<(), ErrorCode> {
        self.accept(request, |builder| {
            builder.push(&Lifetime(lifetime.as_secs() as u32))?;
            if let Some(ticket) = &ticket {
                builder.push(&MobilityTicket(ticket))?;
            }
            Ok(())
        });
        Ok(())
    }

    /// The live allocation that a ticket is for, if its bearer may have it moved here (RFC 8016
    /// §3.2.2).
    fn allocation_by(&self, request: &Authentic<'_>, ticket: &[u8]) -> Result<Slot, ErrorCode> {
        if !self.config.mobility {
            return Err(ErrorCode::MOBILITY_FORBIDDEN);
        }
        let here = self.table.find(&request.tuple);
        let slot = match here.filter(|slot| self.is_repeated_move(*slot, request)) {
            Some(slot) => slot,
            None => self.tickets.holder(ticket).ok_or(ErrorCode::ALLOCATION_MISMATCH)?,
        };
        let allocation = self.table.get(slot).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if *allocation.username != *request.username {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        if here.is_some_and(|other| other != slot) {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        if self.is_repeated_move(slot, request) {
            return Ok(slot);
        }
        if allocation.tuple == request.tuple {
            // Nothing has moved.
            return Err(ErrorCode::BAD_REQUEST);
        }
        let of = |tuple: &FiveTuple| prefix(tuple.client().ip(), 32, 64);
        let (before, after) = (of(&allocation.tuple), of(&request.tuple));
        if here.is_none() && before != after {
            self.addresses.check(request.tuple.client().ip(), 1)?;
        }
        Ok(slot)
    }

    /// Returns whether this very request has moved the allocation here already, and its answer was
    /// lost or it came twice.
    fn is_repeated_move(&self, slot: Slot, request: &Authentic<'_>) -> bool {
        let mobility = self.table.get(slot).and_then(|allocation| allocation.mobility.as_ref());
        self.table.find(&request.tuple) == Some(slot)
            && mobility.is_some_and(|mobility| mobility.is_moved_by(request.message.transaction_id()))
    }

    fn move_here(&mut self, now: Instant, slot: Slot, request: &Authentic<'_>, ticket: &[u8]) {
        if !self.is_repeated_move(slot, request) {
            self.begin_move(now, slot, request.tuple, request.message.transaction_id(), ticket);
        }
    }

    /// The lifetime that a client gets who asks for this one (RFC 8656 §7.2): not longer than the
    /// maximum, not shorter than the default.
    pub(super) fn lifetime(&self, asked: Option<Lifetime>) -> Duration {
        let asked = asked.map_or(self.config.default_lifetime, |Lifetime(s)| Duration::from_secs(s.into()));
        asked.min(self.config.max_lifetime).max(self.config.default_lifetime)
    }

    /// Releases the relay of one family, or all; with the last relay the allocation goes.
    fn give_back(&mut self, now: Instant, slot: Slot, family: Option<AddressFamily>) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        match family {
            Some(family) if allocation.relays.len() > 1 => {
                let relay = allocation.relay(family);
                allocation.relays.retain(|kept| AddressFamily::of(kept.addr.ip()) != family);
                allocation.peers.forget_family(family);
                if let Some(relay) = relay {
                    self.release_relay(relay);
                }
            }
            _ => self.release(now, slot),
        }
    }

    pub(in super::super) fn prolong(&mut self, slot: Slot, until: Instant) {
        let Some(Stage::Live(live)) = self.table.get_mut(slot).map(|a| &mut a.stage) else { return };
        self.deadlines.cancel(live.expires, Deadline::Allocation(slot));
        live.expires = until;
        self.deadlines.set(until, Deadline::Allocation(slot));
    }
}
