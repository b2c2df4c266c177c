//! Refresh: keep an allocation, or give it back (RFC 8656 section 8).

use std::time::{Duration, Instant};

use columba_stun::attributes::{Lifetime, RequestedAddressFamily};
use columba_stun::{AddressFamily, AttributeType, ErrorCode};

use super::super::Server;
use super::super::deadlines::Deadline;
use super::super::table::{Slot, Stage};
use super::{Authentic, bad};

impl Server {
    pub(super) fn handle_refresh(&mut self, now: Instant, request: &Authentic<'_>) -> Result<(), ErrorCode> {
        if self.refuse_unknown(request, &[AttributeType::REQUESTED_ADDRESS_FAMILY]) {
            return Ok(());
        }
        let asked = request.message.get::<Lifetime>().map_err(bad)?;
        let family = request.message.get::<RequestedAddressFamily>().map_err(bad)?;
        let (slot, allocation) = self.allocation_of(request)?;
        let family = match family {
            None => None,
            Some(family) => Some(
                family
                    .family()
                    .filter(|family| allocation.relay(*family).is_some())
                    .ok_or(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH)?,
            ),
        };
        let lifetime = if asked == Some(Lifetime(0)) {
            self.give_back(now, slot, family);
            Duration::ZERO
        } else {
            let lifetime = self.lifetime(asked);
            self.prolong(slot, now + lifetime);
            lifetime
        };
        self.accept(request, |builder| {
            builder.push(&Lifetime(lifetime.as_secs() as u32))?;
            Ok(())
        });
        Ok(())
    }

    /// The lifetime that a client gets who asks for this one (RFC 8656 section 7.2): not longer than the maximum, not
    /// shorter than the default.
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

    fn prolong(&mut self, slot: Slot, until: Instant) {
        let Some(Stage::Live(live)) = self.table.get_mut(slot).map(|a| &mut a.stage) else { return };
        self.deadlines.cancel(live.expires, Deadline::Allocation(slot));
        live.expires = until;
        self.deadlines.set(until, Deadline::Allocation(slot));
    }
}
