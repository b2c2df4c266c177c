//! The STUN and TURN server as a sans-IO state machine.

mod config;
mod credentials;
mod path;
mod stats;

pub use config::{AnswerLimit, Config, Rate};
pub use credentials::Credentials;
pub use path::{
    Arrival, Event, Family, FiveTuple, Forward, Input, PortWish, RefusalReason, RelayId, Transmit, Transport,
    UnixTime,
};
pub use stats::{DropReason, ERROR_CODES, Stats};

use std::ops::Range;
use std::time::Instant;

use rand_core::CryptoRng;

/// The room that [`Server::route`] needs in front of the payload to write a header there: a Data indication with an
/// IPv6 peer address is 20 bytes of header, 24 of XOR-PEER-ADDRESS and 4 of DATA's own header.
pub const HEADROOM: usize = 48;

/// The room that [`Server::route`] needs behind the payload for padding to a multiple of four.
pub const TAILROOM: usize = 3;

/// What a datagram weighs beside its payload when bandwidth is counted, in bytes: IPv4 and UDP headers.
pub const DATAGRAM_OVERHEAD: usize = 28;

/// The STUN and TURN server.
///
/// # How to drive it
///
/// One `Server` serves all sockets of a process; whoever owns them does this:
///
/// 1. **Something arrives** at a listening socket, on a stream (cut into messages), or at a relay port. Receive it into a
///    buffer at offset [`HEADROOM`], leaving [`TAILROOM`] behind, and call [`route`](Self::route) with where it
///    [arrived](Arrival). Do what the returned [`Forward`] says: send that range of the same buffer, or hand the
///    message to [`handle_input`](Self::handle_input) as [`Input::Message`], or forget it. `route` never makes anything
///    for the other doors, so a burst of data needs no draining.
/// 2. **After every `handle_input` and `handle_timeout`**: call [`poll_event`](Self::poll_event) until `None` and do what
///    it says, then [`poll_transmit`](Self::poll_transmit) until `None` and send what it wrote. A granted or refused
///    relay is an input, so drain again after it.
/// 3. **Sleep** until [`poll_timeout`](Self::poll_timeout) (ask again after each of the above), then call
///    [`handle_timeout`](Self::handle_timeout).
/// 4. **A stream ends**: [`Input::ConnectionClosed`].
///
/// Any order of calls is legal, and none of them fails: what comes from the network and is not right is dropped and
/// counted in [`stats`](Self::stats), or answered with the error that the RFC has for it. Time must not go backwards
/// (if it does, deadlines are merely late).
///
/// # What the owner must see to
///
/// * A relay socket is bound on [`Event::RelayWanted`] and closed on [`Event::RelayReleased`]; datagrams that still
///   arrive for a released [`RelayId`] are dropped by `route`.
/// * ECN and DSCP bits are the owner's to carry over from the received datagram to the sent one (RFC 8656 section 14).
/// * Streams: idle ones without an allocation, and what a slow one may buffer. A stream is never "blocked": when its
///   buffer is full, drop the data that `route` has for it, as UDP would.
/// * [`Config::own_addresses`] and [`Config::listeners`] must be true, they keep peers away from the host.
///
/// # Decisions
///
/// * Nothing is remembered about a client before it has authenticated: the nonce is a time and a MAC over it and the
///   client's address. What it is told before that is limited, see [`AnswerLimit`].
/// * Username anonymity (USERHASH) is not offered, and the nonce says so: a time-limited username cannot be found from
///   its hash, because nobody keeps a list of them.
/// * An allocation outlives its credential, see [`Config::expired_grace`].
/// * Permissions are for addresses whose kind is allowed (see [`Config::allow_peers`]), and for the server's own
///   addresses, because two clients behind firewalls meet relay to relay there. Data to an own address is handed to the
///   allocation that has that relayed address within this process, or dropped.
#[derive(Debug)]
pub struct Server {
    config: Config,
}

impl Server {
    /// A server at time `now`, when the wall clock shows `wall`. `rng` gives the keys (of nonces, tokens and hash
    /// tables) and is not kept.
    pub fn new(config: Config, now: Instant, wall: UnixTime, rng: &mut impl CryptoRng) -> Self {
        todo!()
    }

    /// Something has happened. Never fails; leads to transmits and events.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        todo!()
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// Writes the next message for a client to the front of `buf`. `None` when there is no more to send. A message that
    /// does not fit is dropped and counted; none is longer than 1,280 bytes.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        todo!()
    }

    /// The next thing that the owner should do. `None` when there is no more.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None` if nothing waits for time to pass.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// What to do with a message that has arrived as `buf[payload]`: the data path.
    ///
    /// The payload is not moved: a header that is no longer wanted is left in front of the returned range, a new one is
    /// written there. That takes [`HEADROOM`] bytes in front of the payload and [`TAILROOM`] behind it (with less,
    /// what fits goes through, and what does not is dropped as [`DropReason::NoRoom`]). From one relay of this server to
    /// another it is one call: the answer is the receiving client.
    pub fn route(
        &mut self,
        now: Instant,
        from: Arrival<'_>,
        buf: &mut [u8],
        payload: Range<usize>,
    ) -> Forward {
        todo!()
    }

    /// What has been done so far.
    pub fn stats(&self) -> &Stats {
        todo!()
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// From now on these secrets are good, instead of those in the configuration. Allocations live on.
    pub fn set_secrets(&mut self, secrets: Vec<Vec<u8>>) {
        self.config.secrets = secrets;
    }
}
