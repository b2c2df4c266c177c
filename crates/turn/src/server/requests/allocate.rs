//! Allocate: a relayed address for a client (RFC 8656 §7).

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_stun::attributes::{
    AdditionalAddressFamily, AddressErrorInfo, ErrorInfo, EvenPort, Lifetime, MobilityTicket,
    RequestedAddressFamily, RequestedTransport, ReservationToken, XorMappedAddress, XorRelayedAddress,
};
use columba_stun::{
    AddressFamily, AttributeType, BuildError, Class, ErrorCode, MessageBuilder, Method, TransactionId,
};

use super::super::deadlines::Deadline;
use super::super::mobility::{Mobility, Ticket};
use super::super::path::{Event, FiveTuple, PortRequirement};
use super::super::table::{
    Allocation, Asking, Granted, Holder, Live, Peers, PortState, RelayPort, Slot, Stage, Token, WantedPort,
};
use super::super::{MAX_ANSWER, MAX_EVENTS, Server};
use super::auth::Signer;
use super::{Authentic, bad};

/// The consistent contents of an Allocate request.
#[derive(Debug, Clone, Copy)]
struct Ask {
    lifetime: Duration,
    /// True if the allocation shall be able to move (RFC 8016).
    mobile: bool,
    ports: Ports,
}

#[derive(Debug, Clone, Copy)]
enum Ports {
    /// A port that was reserved before.
    Reserved(Token),
    /// New ports, of one family or both.
    New { family: AddressFamily, additional: Option<AddressFamily>, even: Option<EvenPort> },
}

/// The contents of an Allocate response.
#[derive(Debug)]
pub(in super::super) struct Said<'a> {
    pub(in super::super) tuple: FiveTuple,
    pub(in super::super) transaction: TransactionId,
    pub(in super::super) relays: &'a [RelayPort],
    pub(in super::super) granted: Granted,
    pub(in super::super) ticket: Option<Ticket>,
}

impl Server {
    pub(super) fn handle_allocate(&mut self, now: Instant, request: &Authentic<'_>) -> Result<(), ErrorCode> {
        if let Some(slot) = self.table.find(&request.tuple) {
            return self.repeat(slot, request);
        }
        let mut known = vec![
            AttributeType::REQUESTED_TRANSPORT,
            AttributeType::REQUESTED_ADDRESS_FAMILY,
            AttributeType::EVEN_PORT,
            AttributeType::RESERVATION_TOKEN,
        ];
        if self.config.dont_fragment {
            known.push(AttributeType::DONT_FRAGMENT);
        }
        if self.refuse_unknown(request, &known) {
            return Ok(());
        }
        let ask = self.read_ask(request)?;
        match ask.ports {
            Ports::Reserved(token) => self.claim(now, request, ask, token),
            Ports::New { family, additional, even } => {
                let wanted = [Some(family), additional];
                if !wanted.into_iter().flatten().any(|family| self.relays_family(family)) {
                    return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
                }
                let count = if even.is_some_and(|even| even.reserve_next) { 2 } else { 1 };
                self.has_quota(request, count)?;
                self.ask_for_ports(now, request, ask, wanted, even);
                Ok(())
            }
        }
    }

    /// An Allocate request on a 5-tuple that has an allocation: the same answer if it is the same
    /// request sent again, else 437 (RFC 8656 §7.2).
    fn repeat(&mut self, slot: Slot, request: &Authentic<'_>) -> Result<(), ErrorCode> {
        let allocation = self.table.get(slot).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let same = allocation.transaction == request.message.transaction_id()
            && *allocation.username == *request.username;
        match &allocation.stage {
            Stage::Live(live) if same => {
                let answered = Said {
                    tuple: request.tuple,
                    transaction: allocation.transaction,
                    relays: &allocation.relays,
                    granted: live.granted,
                    ticket: allocation.mobility.as_ref().and_then(|mobility| mobility.ticket()),
                };
                let mut buf = [0; MAX_ANSWER];
                let built = answered.build(&mut buf, &request.signer);
                self.send_built(request.tuple, &buf, built, None);
                Ok(())
            }
            // The answer comes when the ports do.
            Stage::Asking(_) if same => Ok(()),
            _ => Err(ErrorCode::ALLOCATION_MISMATCH),
        }
    }

    fn read_ask(&self, request: &Authentic<'_>) -> Result<Ask, ErrorCode> {
        let message = &request.message;
        let transport = message.get::<RequestedTransport>().map_err(bad)?.ok_or(ErrorCode::BAD_REQUEST)?;
        if transport != RequestedTransport::UDP {
            return Err(ErrorCode::UNSUPPORTED_TRANSPORT);
        }
        let lifetime = self.lifetime(message.get::<Lifetime>().map_err(bad)?);
        let mobile = match message.get::<MobilityTicket<'_>>().map_err(bad)? {
            None => false,
            Some(_) if !self.config.mobility => return Err(ErrorCode::MOBILITY_FORBIDDEN),
            Some(MobilityTicket([])) => true,
            // There is no ticket for an allocation that is not there yet.
            Some(_) => return Err(ErrorCode::BAD_REQUEST),
        };
        let family = message.get::<RequestedAddressFamily>().map_err(bad)?;
        let additional = message.get::<AdditionalAddressFamily>().map_err(bad)?;
        let even = message.get::<EvenPort>().map_err(bad)?;
        if let Some(ReservationToken(token)) = message.get::<ReservationToken>().map_err(bad)? {
            let alone = family.is_none() && additional.is_none() && even.is_none();
            return if alone {
                Ok(Ask { lifetime, mobile, ports: Ports::Reserved(token) })
            } else {
                Err(ErrorCode::BAD_REQUEST)
            };
        }
        let additional = match additional {
            None => None,
            // The first address is IPv4, so the additional one can only be IPv6.
            Some(AdditionalAddressFamily::IPV6)
                if family.is_none() && !even.is_some_and(|even| even.reserve_next) =>
            {
                Some(AddressFamily::Ipv6)
            }
            Some(_) => return Err(ErrorCode::BAD_REQUEST),
        };
        let family = match family {
            None => AddressFamily::Ipv4,
            Some(family) => family.family().ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?,
        };
        Ok(Ask { lifetime, mobile, ports: Ports::New { family, additional, even } })
    }

    fn relays_family(&self, family: AddressFamily) -> bool {
        match family {
            AddressFamily::Ipv4 => self.config.relay_ipv4,
            AddressFamily::Ipv6 => self.config.relay_ipv6,
        }
    }

    /// Returns whether `count` allocations more are within all bounds.
    fn has_quota(&self, request: &Authentic<'_>, count: u32) -> Result<(), ErrorCode> {
        let config = &self.config;
        let username = Arc::from(request.username);
        if self.credentials.open_of(&username) + count > config.max_allocations_per_credential {
            return Err(ErrorCode::ALLOCATION_QUOTA_REACHED);
        }
        let held = self.table.len() + self.reservations.len() + self.withdrawn;
        if held + count as usize > config.max_allocations || self.events.len() >= MAX_EVENTS {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        self.addresses.check(request.tuple.client().ip(), count)
    }

    fn ask_for_ports(
        &mut self,
        now: Instant,
        request: &Authentic<'_>,
        ask: Ask,
        wanted: [Option<AddressFamily>; 2],
        even: Option<EvenPort>,
    ) {
        let ports: Vec<WantedPort> = wanted
            .into_iter()
            .flatten()
            .map(|family| {
                let served = self.relays_family(family);
                let next = (served && even.is_some_and(|even| even.reserve_next)).then(|| self.name_relay());
                let state = if served {
                    PortState::Waiting(self.name_relay())
                } else {
                    PortState::Refused(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)
                };
                WantedPort { family, state, next }
            })
            .collect();
        let deadline = now + self.config.grant_timeout;
        let signer = request.signer.clone();
        let asking = Box::new(Asking { ports: ports.clone(), lifetime: ask.lifetime, signer, deadline });
        let slot = self.enter(now, request, Stage::Asking(asking), ask.mobile);
        self.deadlines.set(deadline, Deadline::Grant(slot));
        for wanted in ports {
            let PortState::Waiting(id) = wanted.state else { continue };
            self.relays.insert(id, Holder::Allocation(slot));
            let port = match (even, wanted.next) {
                (None, _) => PortRequirement::Any,
                (Some(_), None) => PortRequirement::Even,
                (Some(_), Some(next)) => PortRequirement::EvenAndNext(next),
            };
            self.push_event(Event::RelayWanted { id, family: wanted.family, port });
        }
    }

    /// Makes an allocation of a reserved port. It has been counted when it was reserved.
    fn claim(
        &mut self,
        now: Instant,
        request: &Authentic<'_>,
        Ask { lifetime, mobile, .. }: Ask,
        token: Token,
    ) -> Result<(), ErrorCode> {
        let reservation = self
            .reservations
            .get(&token)
            .filter(|reservation| *reservation.username == *request.username)
            .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        let (relay, expires) = (reservation.relay, reservation.expires);
        self.deadlines.cancel(expires, Deadline::Reservation(token));
        if let Some(reservation) = self.reservations.remove(&token) {
            self.credentials.close(now, reservation.credential);
            self.addresses.close(now, reservation.address);
        }
        let granted = Granted { lifetime, token: None, missing: None };
        let slot = self.enter(now, request, Stage::Live(Live { expires: now + lifetime, granted }), mobile);
        self.issue_ticket(slot);
        self.go_live(slot, vec![relay], now + lifetime);
        self.repeat(slot, request)
    }

    /// Enters a new allocation into the table and the accounts.
    fn enter(&mut self, now: Instant, request: &Authentic<'_>, stage: Stage, mobile: bool) -> Slot {
        let username: Arc<str> = Arc::from(request.username);
        let credential = self.credentials.open(now, Arc::clone(&username));
        let address = self.addresses.open(now, request.tuple.client().ip());
        self.table.insert(Allocation {
            tuple: request.tuple,
            username,
            credential,
            address,
            transaction: request.message.transaction_id(),
            stage,
            relays: Vec::new(),
            peers: Peers::default(),
            good_until: request.good_until,
            mobility: mobile.then(|| Box::new(Mobility::default())),
        })
    }
}

impl Said<'_> {
    /// The success response to Allocate (RFC 8656 §7.3).
    pub(in super::super) fn build(&self, buf: &mut [u8], signer: &Signer) -> Result<usize, BuildError> {
        let mut builder =
            MessageBuilder::new(buf, Class::SuccessResponse, Method::ALLOCATE, self.transaction)?;
        for relay in self.relays {
            builder.push(&XorRelayedAddress(relay.addr))?;
        }
        if let Some((family, code)) = self.granted.missing {
            builder.push(&AddressErrorInfo { family, code, reason: code.reason().into() })?;
        }
        builder.push(&Lifetime(self.granted.lifetime.as_secs() as u32))?;
        if let Some(token) = self.granted.token {
            builder.push(&ReservationToken(token))?;
        }
        builder.push(&XorMappedAddress(self.tuple.client()))?;
        if let Some(ticket) = &self.ticket {
            builder.push(&MobilityTicket(ticket))?;
        }
        signer.sign(&mut builder)?;
        Ok(builder.finish())
    }
}

/// The error response to an Allocate request whose ports did not come.
pub(in super::super) fn build_refusal(
    buf: &mut [u8],
    transaction: TransactionId,
    code: ErrorCode,
    signer: &Signer,
) -> Result<usize, BuildError> {
    let mut builder = MessageBuilder::new(buf, Class::ErrorResponse, Method::ALLOCATE, transaction)?;
    builder.push(&ErrorInfo::from(code))?;
    signer.sign(&mut builder)?;
    Ok(builder.finish())
}
