//! Relay ports and the lives of those who hold them: granted, refused, reserved, released.

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_stun::{AddressFamily, ErrorCode, canonical};

use super::bucket::AccountId;
use super::deadlines::Deadline;
use super::path::{Event, RefusalReason, RelayId};
use super::requests::allocate::{Said, build_refusal};
use super::table::{Granted, Holder, Live, PortState, RelayPort, Slot, Stage, Token, WantedPort};
use super::{MAX_ANSWER, Server};

/// The time for which a reserved port is kept (RFC 8656 §7.2 wants at least 30 seconds).
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// A port kept for a second allocation of the same user.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) relay: RelayPort,
    pub(super) username: Arc<str>,
    pub(super) credential: AccountId,
    pub(super) address: AccountId,
    pub(super) expires: Instant,
}

impl Server {
    /// A name that no relay has had.
    pub(super) fn name_relay(&mut self) -> RelayId {
        self.last_relay += 1;
        RelayId(self.last_relay)
    }

    pub(super) fn handle_granted(&mut self, now: Instant, id: RelayId, relayed: std::net::SocketAddr) {
        let addr = canonical(relayed);
        match self.relays.get(&id).copied() {
            Some(Holder::Allocation(slot)) => {
                self.policy.learn(addr.ip());
                self.settle(now, slot, id, PortState::Granted(RelayPort { id, addr }));
            }
            Some(Holder::Withdrawn(next)) => {
                self.relays.remove(&id);
                self.withdrawn -= 1;
                self.push_event(Event::RelayReleased { id });
                if let Some(next) = next {
                    self.push_event(Event::RelayReleased { id: next });
                }
            }
            Some(Holder::Reservation) => {}
            None => self.push_event(Event::RelayReleased { id }),
        }
    }

    pub(super) fn handle_refused(&mut self, now: Instant, id: RelayId, reason: RefusalReason) {
        let code = match reason {
            RefusalReason::Capacity => ErrorCode::INSUFFICIENT_CAPACITY,
            RefusalReason::Family => ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
        };
        match self.relays.get(&id).copied() {
            Some(Holder::Allocation(slot)) => self.settle(now, slot, id, PortState::Refused(code)),
            Some(Holder::Withdrawn(_)) => {
                self.relays.remove(&id);
                self.withdrawn -= 1;
            }
            Some(Holder::Reservation) | None => {}
        }
    }

    /// Notes the outcome for a port; when it was the last one open, the client gets its answer.
    fn settle(&mut self, now: Instant, slot: Slot, id: RelayId, outcome: PortState) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        // What is live already has had all its answers.
        let Stage::Asking(asking) = &mut allocation.stage else { return };
        let waiting = |port: &WantedPort| matches!(port.state, PortState::Waiting(_));
        let mine = asking.ports.iter_mut().find(|w| matches!(w.state, PortState::Waiting(i) if i == id));
        let Some(port) = mine else { return };
        port.state = outcome;
        if let PortState::Refused(_) = outcome {
            self.relays.remove(&id);
        }
        if !asking.ports.iter().any(waiting) {
            self.conclude(now, slot);
        }
    }

    /// Answers an Allocate request whose ports all have an outcome.
    fn conclude(&mut self, now: Instant, slot: Slot) {
        let Some(allocation) = self.table.get(slot) else { return };
        let Stage::Asking(asking) = &allocation.stage else { return };
        let ports = asking.ports.clone();
        let (signer, lifetime) = (asking.signer.clone(), asking.lifetime);
        let (tuple, transaction) = (allocation.tuple, allocation.transaction);
        self.deadlines.cancel(asking.deadline, Deadline::Grant(slot));

        let mut relays = Vec::new();
        let mut missing = None;
        for port in &ports {
            match port.state {
                PortState::Granted(relay) => relays.push(relay),
                PortState::Refused(code) => missing = missing.or(Some((port.family, code))),
                PortState::Waiting(_) => {}
            }
        }
        let mut buf = [0; MAX_ANSWER];
        if relays.is_empty() {
            let code = missing.map_or(ErrorCode::INSUFFICIENT_CAPACITY, |(_, code)| code);
            self.release(now, slot);
            let built = build_refusal(&mut buf, transaction, code, &signer);
            return self.send_built(tuple, &buf, built, Some(code));
        }
        let token = self.reserve(now, slot, &ports);
        let granted = Granted { lifetime, token, missing };
        self.issue_ticket(slot);
        let ticket = self.ticket_of(slot);
        let answered = Said { tuple, transaction, relays: &relays, granted, ticket };
        let built = answered.build(&mut buf, &signer);
        let expires = now + lifetime;
        if let Some(allocation) = self.table.get_mut(slot) {
            allocation.stage = Stage::Live(Live { expires, granted });
        }
        self.go_live(slot, relays, expires);
        self.send_built(tuple, &buf, built, None);
    }

    /// Keeps the port above a granted one, if that was asked for.
    fn reserve(&mut self, now: Instant, slot: Slot, ports: &[WantedPort]) -> Option<Token> {
        let (next, below) = ports.iter().find_map(|port| match (port.next, port.state) {
            (Some(next), PortState::Granted(relay)) => Some((next, relay)),
            _ => None,
        })?;
        let allocation = self.table.get(slot)?;
        let Some(port) = below.addr.port().checked_add(1) else {
            // The owner granted an odd port, the last of all.
            self.push_event(Event::RelayReleased { id: next });
            return None;
        };
        let relay = RelayPort { id: next, addr: (below.addr.ip(), port).into() };
        let username = Arc::clone(&allocation.username);
        let client = allocation.tuple.client().ip();
        let credential = self.credentials.open(now, Arc::clone(&username));
        let address = self.addresses.open(now, client);
        let expires = now + RESERVATION_LIFETIME;
        let token = self.secret_number().to_be_bytes();
        self.reservations.insert(token, Reservation { relay, username, credential, address, expires });
        self.relays.insert(next, Holder::Reservation);
        self.deadlines.set(expires, Deadline::Reservation(token));
        Some(token)
    }

    /// Puts an allocation's relays to work. Its stage is live already.
    pub(super) fn go_live(&mut self, slot: Slot, relays: Vec<RelayPort>, expires: Instant) {
        for relay in &relays {
            self.relays.insert(relay.id, Holder::Allocation(slot));
            if self.by_address.insert(relay.addr, slot).is_none() {
                *self.relayed_ips.entry(relay.addr.ip()).or_default() += 1;
            }
        }
        if let Some(allocation) = self.table.get_mut(slot) {
            allocation.relays = relays;
        }
        self.deadlines.set(expires, Deadline::Allocation(slot));
        self.stats.allocations_total += 1;
        self.live += 1;
    }

    /// The end of an allocation, whatever stage it is in.
    pub(super) fn release(&mut self, now: Instant, slot: Slot) {
        let Some(allocation) = self.table.remove(slot) else { return };
        self.credentials.close(now, allocation.credential);
        self.addresses.close(now, allocation.address);
        if let Some(mobility) = &allocation.mobility {
            self.forget_mobility(now, mobility);
        }
        if let Some(at) = allocation.peers.sweep_at {
            self.deadlines.cancel(at, Deadline::Peers(slot));
        }
        match allocation.stage {
            Stage::Live(live) => {
                self.live -= 1;
                self.deadlines.cancel(live.expires, Deadline::Allocation(slot));
            }
            Stage::Asking(asking) => {
                self.deadlines.cancel(asking.deadline, Deadline::Grant(slot));
                asking.ports.into_iter().for_each(|port| self.withdraw(port));
            }
        }
        allocation.relays.into_iter().for_each(|relay| self.release_relay(relay));
    }

    /// Closes a relay port that was in use.
    pub(super) fn release_relay(&mut self, relay: RelayPort) {
        self.relays.remove(&relay.id);
        if self.by_address.remove(&relay.addr).is_some()
            && let Some(count) = self.relayed_ips.get_mut(&relay.addr.ip())
        {
            *count -= 1;
            if *count == 0 {
                self.relayed_ips.remove(&relay.addr.ip());
            }
        }
        self.push_event(Event::RelayReleased { id: relay.id });
    }

    fn withdraw(&mut self, port: WantedPort) {
        match port.state {
            PortState::Waiting(id) => {
                self.relays.insert(id, Holder::Withdrawn(port.next));
                self.withdrawn += 1;
            }
            PortState::Granted(relay) => {
                self.release_relay(relay);
                if let Some(next) = port.next {
                    self.push_event(Event::RelayReleased { id: next });
                }
            }
            PortState::Refused(_) => {}
        }
    }

    pub(super) fn handle_deadline(&mut self, now: Instant, deadline: Deadline) {
        tracing::debug!(deadline = deadline.name());
        match deadline {
            Deadline::Allocation(slot) => {
                let tuple = self.table.get(slot).map(|allocation| allocation.tuple);
                self.release(now, slot);
                if let Some(tuple) = tuple.filter(|tuple| tuple.transport().is_stream()) {
                    self.push_event(Event::ConnectionClose { tuple });
                }
            }
            Deadline::Peers(slot) => {
                if let Some(allocation) = self.table.get_mut(slot) {
                    allocation.peers.sweep_at = None;
                }
                self.schedule_sweep(now, slot);
            }
            Deadline::Grant(slot) => self.give_up_waiting(now, slot),
            Deadline::Left(tuple) => self.push_event(Event::ConnectionClose { tuple }),
            Deadline::Reservation(token) => {
                if let Some(reservation) = self.reservations.remove(&token) {
                    self.credentials.close(now, reservation.credential);
                    self.addresses.close(now, reservation.address);
                    self.release_relay(reservation.relay);
                }
            }
        }
    }

    /// The owner takes too long: what has not come counts as refused, and is sent back if it comes
    /// after all.
    fn give_up_waiting(&mut self, now: Instant, slot: Slot) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let Stage::Asking(asking) = &mut allocation.stage else { return };
        let mut late = Vec::new();
        for port in &mut asking.ports {
            if matches!(port.state, PortState::Waiting(_)) {
                late.push(*port);
                port.state = PortState::Refused(ErrorCode::INSUFFICIENT_CAPACITY);
            }
        }
        late.into_iter().for_each(|port| self.withdraw(port));
        self.conclude(now, slot);
    }

    /// The relay by which an allocation reaches peers of a family.
    pub(super) fn relay_for(&self, slot: Slot, family: AddressFamily) -> Option<RelayPort> {
        self.table.get(slot)?.relay(family)
    }
}
