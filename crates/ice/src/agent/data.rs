//! The data path: datagrams in and out.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use columba_stun::{canonical, is_stun};
use columba_turn::client;

use super::ids::Base;
use super::outputs::Outgoing;
use super::pair::Pair;
use super::socket::Purpose;
use super::{Agent, HEADROOM, TAILROOM};
use crate::event::{Received, State};
use crate::framing;
use crate::path::{Ecn, Path, Transmit};

impl Agent {
    /// A datagram, or a frame of a connection, has arrived. Relayed data is unwrapped where it
    /// stands.
    ///
    /// Data is accepted only from an address that has sent an authentic message before.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, _ecn: Ecn, datagram: &mut [u8]) -> Received {
        let Some((base, remote)) = self.base_of(&path) else {
            self.counters.dropped += 1;
            return Received::Consumed;
        };
        match base {
            Base::Socket(_) | Base::Tcp(_) => {
                self.handle_bytes(now, base, remote, datagram, 0..datagram.len())
            }
            Base::Relay(id) => {
                let Some((leg, client)) = self.relays.open(id) else { return Received::Consumed };
                if leg.remote != remote {
                    self.counters.dropped += 1;
                    return Received::Consumed;
                }
                match client.handle_message(now, datagram) {
                    client::Received::Data { peer, range } => {
                        self.handle_bytes(now, base, peer, datagram, range)
                    }
                    client::Received::Consumed => {
                        self.with_relays(now, |relays, context| relays.drain(context, id));
                        self.update(now);
                        Received::Consumed
                    }
                }
            }
        }
    }

    fn handle_bytes(
        &mut self,
        now: Instant,
        base: Base,
        remote: SocketAddr,
        datagram: &[u8],
        range: Range<usize>,
    ) -> Received {
        let bytes = &datagram[range.clone()];
        if is_stun(bytes) {
            self.handle_stun(now, base, remote, bytes);
            self.update(now);
            return Received::Consumed;
        }
        if !self.note_data(now, base, remote, bytes.len()) {
            self.counters.dropped += 1;
            self.distrust_stream(base, remote);
            return Received::Consumed;
        }
        self.counters.packets_received += 1;
        self.counters.bytes_received += bytes.len() as u64;
        Received::Data { range }
    }

    /// Counts data from a known place; returns false if it is not known.
    fn note_data(&mut self, now: Instant, base: Base, remote: SocketAddr, length: usize) -> bool {
        let is_here = |pair: &Pair| pair.base == base && pair.address == remote;
        let active = self.pairs.active.filter(|id| self.pairs.get(*id).is_some_and(is_here));
        let found = active.or_else(|| {
            let mut pairs = self.pairs.values();
            pairs.find(|pair| is_here(pair) && pair.consent.heard.is_some()).map(|pair| pair.id)
        });
        if let Some(pair) = found.and_then(|id| self.pairs.get_mut(id)) {
            pair.counters.packets_received += 1;
            pair.counters.bytes_received += length as u64;
            pair.counters.last_packet_received = Some(now);
            return true;
        }
        // The other side may send as soon as it has our answer, before we have its description.
        self.sessions.early.is_from(base, remote) && self.locals.of(base).next().is_some()
    }

    /// The base at which something arrives, and where it comes from.
    fn base_of(&self, path: &Path) -> Option<(Base, SocketAddr)> {
        let remote = canonical(path.remote);
        if path.transport.is_stream() {
            if let Some((base, remote)) = self.tcp.at(path) {
                return Some((Base::Tcp(base), remote));
            }
            return self.relays.at(&path.canonical()).map(|relay| (Base::Relay(relay), remote));
        }
        let local = canonical(path.local);
        let (id, socket) = self.sockets.iter().find(|(_, socket)| socket.local == Some(local))?;
        let base = match socket.purpose {
            Purpose::Host => Base::Socket(*id),
            Purpose::Relay(relay) => Base::Relay(relay),
        };
        Some((base, remote))
    }

    /// Makes ready to send data: `range` of `buf`, with [`HEADROOM`] bytes in front and
    /// [`TAILROOM`] behind that may be written to. With `segment_size` the data is several
    /// datagrams of that size, see [`takes_batches`](Self::takes_batches). `None` if there is no
    /// path now: the data is to be dropped.
    ///
    /// Ask [`poll_timeout`](Self::poll_timeout) again afterwards: sending into silence makes the
    /// agent look after the path.
    pub fn prepare(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        range: Range<usize>,
        segment_size: Option<usize>,
    ) -> Option<Transmit> {
        let id = self.pairs.active?;
        let (length, pair) = (range.len(), self.pairs.get(id)?);
        let consent = self.config.timings.consent_timeout;
        if pair.consent.answered.is_some_and(|at| now.saturating_duration_since(at) >= consent) {
            // A path long in reserve: not a byte before it has answered anew (RFC 7675 §5.1).
            return None;
        }
        let packets = match segment_size {
            Some(size) if size > 0 => length.div_ceil(size).max(1) as u64,
            _ => 1,
        };
        let transmit = match pair.base {
            Base::Socket(_) => {
                let path = self.path_of(pair.base, pair.address)?;
                let segment_size = segment_size.filter(|_| packets > 1);
                Transmit { path, ecn: Ecn::NotEct, range, segment_size }
            }
            Base::Relay(_) | Base::Tcp(_) if packets > 1 => return None,
            Base::Tcp(_) => {
                let path = self.path_of(pair.base, pair.address)?;
                Transmit { path, ecn: Ecn::NotEct, range: framing::wrap(buf, range)?, segment_size: None }
            }
            Base::Relay(relay) => {
                let peer = pair.address;
                let (path, client) = self.relays.open(relay)?;
                let range = client.wrap(peer, buf, range)?;
                Transmit { path, ecn: Ecn::NotEct, range, segment_size: None }
            }
        };
        if let Some(pair) = self.pairs.get_mut(id) {
            pair.counters.packets_sent += packets;
            pair.counters.bytes_sent += length as u64;
            pair.counters.last_packet_sent = Some(now);
            pair.question_if_silent(now);
        }
        self.counters.packets_sent += packets;
        self.counters.bytes_sent += length as u64;
        Some(transmit)
    }

    /// Returns whether [`prepare`](Self::prepare) takes several datagrams at once now: not on
    /// relayed pairs, and not over TCP.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.pairs.active().is_some_and(|pair| matches!(pair.base, Base::Socket(_)))
    }

    /// Returns whether data should wait: its path is a connection, to a peer or to a relay's
    /// server, that takes no more until [`Input::Drained`](crate::Input::Drained).
    /// [`prepare`](Self::prepare) does its work all the same.
    #[must_use]
    pub fn is_clogged(&self) -> bool {
        if !self.tcp.is_any_clogged() {
            return false;
        }
        let path = self.pairs.active().and_then(|pair| self.path_of(pair.base, pair.address));
        path.is_some_and(|path| self.tcp.is_clogged(&path))
    }

    pub(super) fn handle_clogged(&mut self, path: Path) {
        self.tcp.clog(path.canonical(), |path| self.relays.at(path).is_some());
    }

    pub(super) fn handle_drained(&mut self, path: Path) {
        self.tcp.unclog(&path.canonical());
    }

    /// Returns whether there is a path to send data over.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.pairs.active.is_some()
    }

    /// Writes the next message of the agent's own into `buf`, which should have 2,000 bytes: longer
    /// messages are dropped.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        while let Some(outgoing) = self.outputs.poll_message() {
            if let Some(transmit) = self.write(buf, &outgoing) {
                return Some(transmit);
            }
            self.counters.dropped += 1;
        }
        if let Some((path, length)) = self.relays.poll_transmit(now, buf) {
            return Some(Transmit { path, ecn: Ecn::NotEct, range: 0..length, segment_size: None });
        }
        if self.state == State::Closed {
            self.sweep_relays(now);
        }
        None
    }

    fn write(&mut self, buf: &mut [u8], outgoing: &Outgoing) -> Option<Transmit> {
        let length = outgoing.bytes.len();
        let (path, range) = match outgoing.base {
            Base::Socket(_) => {
                buf.get_mut(..length)?.copy_from_slice(&outgoing.bytes);
                (self.path_of(outgoing.base, outgoing.remote)?, 0..length)
            }
            Base::Tcp(base) if self.tcp.is_to_server(base, outgoing.remote) => {
                // STUN says its length itself.
                buf.get_mut(..length)?.copy_from_slice(&outgoing.bytes);
                (self.path_of(outgoing.base, outgoing.remote)?, 0..length)
            }
            Base::Tcp(_) => {
                let range = framing::LENGTH..framing::LENGTH + length;
                buf.get_mut(range.clone())?.copy_from_slice(&outgoing.bytes);
                (self.path_of(outgoing.base, outgoing.remote)?, framing::wrap(buf, range)?)
            }
            Base::Relay(id) => {
                let range = HEADROOM..HEADROOM + length;
                if buf.len() < range.end + TAILROOM {
                    return None;
                }
                buf[range.clone()].copy_from_slice(&outgoing.bytes);
                let (path, client) = self.relays.open(id)?;
                (path, client.wrap(outgoing.remote, buf, range)?)
            }
        };
        Some(Transmit { path, ecn: Ecn::NotEct, range, segment_size: None })
    }
}
