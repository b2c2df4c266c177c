//! Requests under way: built once, repeated until answered (RFC 8489 §6.2).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_stun::attributes::{AdditionalAddressFamily, Lifetime, RequestedTransport, XorPeerAddress};
use columba_stun::{BuildError, ChannelNumber, Class, MessageBuilder, Method, TransactionId};
use rand_core::Rng;

use super::{Client, LIFETIME};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Allocate,
    Refresh { lifetime: u32 },
    Permit(Vec<IpAddr>),
    Bind { channel: ChannelNumber, peer: SocketAddr },
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) kind: Kind,
    pub(super) bytes: Box<[u8]>,
    /// Whether it carried credentials: then so must the answer.
    pub(super) signed: bool,
    /// How often the same thing was asked before, with other credentials or nonces.
    pub(super) attempt: u8,
    /// To be sent.
    pub(super) due: bool,
    sent: u32,
    /// When it is repeated or given up.
    pub(super) next: Instant,
}

/// The first retransmission timeout (RFC 8489 §6.2.1).
const RTO: Duration = Duration::from_millis(500);
/// Rc: how often a request is sent.
const REQUEST_COUNT: u32 = 7;
/// Rm: the wait after the last one, in multiples of the first.
const LAST_WAIT: u32 = 16;
/// Ti: the wait for an answer on a stream.
const STREAM_TIMEOUT: Duration = Duration::from_millis(39_500);

impl Transaction {
    /// Prepares the next repetition; `false` when it is time to give up.
    pub(super) fn repeat(&mut self, now: Instant, stream: bool) -> bool {
        if stream || self.sent >= REQUEST_COUNT {
            return false;
        }
        self.sent += 1;
        self.due = true;
        let factor = if self.sent == REQUEST_COUNT { LAST_WAIT } else { 1 << (self.sent - 1) };
        self.next = now + RTO * factor;
        true
    }
}

impl Client {
    /// Starts a request.
    pub(super) fn begin(&mut self, now: Instant, kind: Kind) {
        self.begin_again(now, kind, 0);
    }

    pub(super) fn begin_again(&mut self, now: Instant, kind: Kind, attempt: u8) {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        let id = TransactionId(id);
        let mut buffer = [0; MAX_REQUEST];
        // A request that cannot be built (a realm of the server's too long to be echoed) is never answered, and so times out.
        let length = self.build(&mut buffer, id, &kind).unwrap_or(0);
        let next = now + if self.config.stream { STREAM_TIMEOUT } else { RTO };
        let bytes = buffer[..length].into();
        let signed = self.auth.is_some();
        let due = length > 0;
        self.transactions.push(Transaction { id, kind, bytes, signed, attempt, due, sent: 1, next });
    }

    fn build(&self, buffer: &mut [u8], id: TransactionId, kind: &Kind) -> Result<usize, BuildError> {
        let method = match kind {
            Kind::Allocate => Method::ALLOCATE,
            Kind::Refresh { .. } => Method::REFRESH,
            Kind::Permit(_) => Method::CREATE_PERMISSION,
            Kind::Bind { .. } => Method::CHANNEL_BIND,
        };
        let mut builder = MessageBuilder::new(buffer, Class::Request, method, id)?;
        match kind {
            Kind::Allocate => {
                builder.push(&RequestedTransport::UDP)?.push(&Lifetime(LIFETIME))?;
                if self.config.both_families {
                    builder.push(&AdditionalAddressFamily::IPV6)?;
                }
            }
            Kind::Refresh { lifetime } => {
                builder.push(&Lifetime(*lifetime))?;
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

/// The longest request: names and nonces of the longest kind, and the permissions of one request.
const MAX_REQUEST: usize = 3000;
