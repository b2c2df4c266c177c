//! Requests under way: built once, repeated until answered (RFC 8489 §6.2).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_stun::attributes::{
    AdditionalAddressFamily, Lifetime, MobilityTicket, RequestedAddressFamily, RequestedTransport,
    XorPeerAddress,
};
use columba_stun::{BuildError, ChannelNumber, Class, MessageBuilder, Method, TransactionId};
use rand_core::Rng;

use super::{Client, Families, LIFETIME};

/// The shortest time until a repetition.
const MIN_RTO: Duration = Duration::from_millis(100);

/// The longest time between two repetitions: what Rc = 7 leads to with half a second in the
/// beginning (RFC 8489 §6.2.1).
const MAX_RTO: Duration = Duration::from_secs(16);

/// When a request is given up: Rc and Rm of RFC 8489 §6.2.1, and Ti on a stream.
const TIMEOUT: Duration = Duration::from_millis(39_500);

/// The longest request: names and nonces of the longest kind, and the permissions of one request or
/// a ticket.
const MAX_REQUEST: usize = 3000;

/// The kinds of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Allocate,
    Refresh {
        lifetime: u32,
    },
    /// A refresh with a ticket, from another address (RFC 8016 §3.2).
    Move,
    Permit(Vec<IpAddr>),
    Bind {
        channel: ChannelNumber,
        peer: SocketAddr,
    },
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) kind: Kind,
    pub(super) bytes: Box<[u8]>,
    /// True if it carried credentials: then so must the answer.
    pub(super) signed: bool,
    /// The number of earlier requests for the same, with other credentials or nonces.
    pub(super) attempt: u8,
    /// To be sent.
    pub(super) due: bool,
    /// The time of the first transmission, and their number.
    pub(super) first: Instant,
    pub(super) sent: u32,
    rto: Duration,
    /// Repetitions that are still to come at the first distance.
    quick: u32,
    /// When it is repeated or given up.
    pub(super) next: Instant,
}

impl Transaction {
    /// Prepares the next repetition; `false` when it is time to give up.
    pub(super) fn repeat(&mut self, now: Instant, stream: bool) -> bool {
        let end = self.first + TIMEOUT;
        if stream || now >= end {
            return false;
        }
        self.sent += 1;
        self.due = true;
        match self.quick.checked_sub(1) {
            Some(left) => self.quick = left,
            None => self.rto = (self.rto * 2).min(MAX_RTO),
        }
        self.next = (now + self.rto).min(end);
        true
    }
}

impl Client {
    /// Starts a request.
    pub(super) fn begin(&mut self, now: Instant, kind: Kind) {
        if !self.defer(&kind) {
            self.begin_again(now, kind, 0);
        }
    }

    pub(super) fn begin_again(&mut self, now: Instant, kind: Kind, attempt: u8) {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        let id = TransactionId(id);
        let mut buffer = [0; MAX_REQUEST];
        // A request that cannot be built (with a username too long for its attribute) is never
        // answered, and so times out.
        let length = self.build(&mut buffer, id, &kind).unwrap_or(0);
        let rto = self.rto();
        let next = now + if self.config.stream { TIMEOUT } else { rto };
        let bytes = buffer[..length].into();
        let signed = self.auth.is_some();
        let due = length > 0;
        let quick = self.config.quick_repetitions;
        self.transactions.push(Transaction {
            id,
            kind,
            bytes,
            signed,
            attempt,
            due,
            first: now,
            sent: 1,
            rto,
            quick,
            next,
        });
    }

    /// Twice the round trip to the server, once it is known.
    fn rto(&self) -> Duration {
        let known = self.round_trip.map(|time| (time * 2).max(MIN_RTO));
        known.map_or(self.config.rto, |time| time.min(self.config.rto))
    }

    /// Takes a sample of the round trip from an answer, unless the request was repeated, since then
    /// it is not known which copy is answered (Karn).
    pub(super) fn note_round_trip(&mut self, now: Instant, index: usize) {
        let sent = &self.transactions[index];
        if sent.sent == 1 {
            let sample = now.saturating_duration_since(sent.first);
            self.round_trip = Some(self.round_trip.map_or(sample, |smooth| (smooth * 7 + sample) / 8));
        }
    }

    /// Writes a Binding indication, which has no answer (RFC 8489 §2).
    pub(super) fn build_keepalive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        let mut builder =
            MessageBuilder::new(buffer, Class::Indication, Method::BINDING, TransactionId(id)).ok()?;
        builder.fingerprint().ok()?;
        Some(builder.finish())
    }

    fn build(&self, buffer: &mut [u8], id: TransactionId, kind: &Kind) -> Result<usize, BuildError> {
        let method = match kind {
            Kind::Allocate => Method::ALLOCATE,
            Kind::Refresh { .. } | Kind::Move => Method::REFRESH,
            Kind::Permit(_) => Method::CREATE_PERMISSION,
            Kind::Bind { .. } => Method::CHANNEL_BIND,
        };
        let mut builder = MessageBuilder::new(buffer, Class::Request, method, id)?;
        match kind {
            Kind::Allocate => {
                builder.push(&RequestedTransport::UDP)?.push(&Lifetime(LIFETIME))?;
                match self.config.families {
                    Families::Both => builder.push(&AdditionalAddressFamily::IPV6)?,
                    Families::Ipv4 => &mut builder,
                    Families::Ipv6 => builder.push(&RequestedAddressFamily::IPV6)?,
                };
                if self.config.mobility {
                    builder.push(&MobilityTicket(&[]))?;
                }
            }
            Kind::Refresh { lifetime } => {
                builder.push(&Lifetime(*lifetime))?;
                // Given back from elsewhere.
                if let Some(ticket) = self.mobility.ticket().filter(|_| self.is_moving()) {
                    builder.push(&MobilityTicket(ticket))?;
                }
            }
            Kind::Move => {
                builder.push(&Lifetime(LIFETIME))?;
                if let Some(ticket) = self.mobility.ticket() {
                    builder.push(&MobilityTicket(ticket))?;
                }
            }
            Kind::Permit(addresses) => {
                for address in addresses {
                    builder.push(&XorPeerAddress(SocketAddr::new(*address, 0)))?;
                }
            }
            Kind::Bind { channel, peer } => {
                builder.push(channel)?.push(&XorPeerAddress(*peer))?;
            }
        }
        if let Some(auth) = &self.auth {
            auth.sign(&mut builder, &self.config.username)?;
        }
        builder.fingerprint()?;
        Ok(builder.finish())
    }
}
