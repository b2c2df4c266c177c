//! Egress: what is to be sent, collected while the server is locked and sent afterwards.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use columba_turn::server::{FiveTuple, Transport};
use quinn_udp::EcnCodepoint;

use super::arena::Arena;
use super::grants::{LiveRelay, Outlet};
use super::ingress::MAX_JOBS;
use super::shared::Core;
use super::stats::Counters;
use super::stream::{Standing, Stream};
use super::udp::{Datagram, UdpSocket};

/// The longest datagram that is sent in a train with others. Any path carries this (RFC 8200 §5:
/// 1,280 bytes with the headers of IPv6 and UDP), and a train is never fragmented.
const MAX_SEGMENT: usize = 1280 - 48;

/// The most bytes in a train: what one UDP datagram could have.
const MAX_TRAIN: usize = 65_000;

/// Something that lies in the arena and is to be sent.
struct Outgoing {
    target: Target,
    range: Range<usize>,
}

/// The ways by which a message leaves.
enum Target {
    /// A datagram to a client or a peer.
    Udp { socket: Arc<UdpSocket>, destination: SocketAddr, source: Option<IpAddr>, ecn: Option<EcnCodepoint> },
    /// Relayed data to a client's stream; dropped if it reads too slowly.
    Data(Arc<Stream>),
    /// The server's own answer to a client's stream, and what the client has after it.
    Answer(Arc<Stream>, Standing),
}

impl Target {
    /// Returns whether datagrams for both could be sent at once.
    fn is_same_path(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Udp { socket, destination, source, ecn },
                Self::Udp { socket: other, destination: there, source: from, ecn: mark },
            ) => Arc::ptr_eq(socket, other) && (destination, source, ecn) == (there, from, mark),
            _ => false,
        }
    }
}

/// The messages that wait to be sent, and the streams to be closed after it.
pub(super) struct Egress {
    outgoing: Vec<Outgoing>,
    train: Vec<u8>,
    pub(super) closes: Vec<Arc<Stream>>,
}

impl Egress {
    pub(super) fn new() -> Self {
        Self {
            outgoing: Vec::with_capacity(2 * MAX_JOBS),
            train: Vec::with_capacity(MAX_TRAIN),
            closes: Vec::new(),
        }
    }

    /// Queues data for a peer, to leave by a relay's port.
    pub(super) fn queue_for_peer(
        &mut self,
        relay: &LiveRelay,
        peer: SocketAddr,
        ecn: Option<EcnCodepoint>,
        range: Range<usize>,
    ) {
        let target = match &relay.outlet {
            Outlet::Udp(socket) => {
                Target::Udp { socket: Arc::clone(socket), destination: peer, source: None, ecn }
            }
        };
        self.outgoing.push(Outgoing { target, range });
    }

    /// Queues relayed data for a client.
    pub(super) fn queue_for_client(
        &mut self,
        core: &Core,
        tuple: FiveTuple,
        ecn: Option<EcnCodepoint>,
        range: Range<usize>,
    ) {
        let target = client_target(core, tuple, ecn, Target::Data);
        self.outgoing.extend(target.map(|target| Outgoing { target, range }));
    }

    /// Queues an answer of the server for a client.
    pub(super) fn queue_answer(
        &mut self,
        core: &Core,
        tuple: FiveTuple,
        standing: Standing,
        range: Range<usize>,
    ) {
        let target = client_target(core, tuple, None, |stream| Target::Answer(stream, standing));
        self.outgoing.extend(target.map(|target| Outgoing { target, range }));
    }

    /// Sends everything.
    pub(super) fn flush(&mut self, arena: &mut Arena, counters: &Counters) {
        let mut next = 0;
        while let Some(first) = self.outgoing.get(next) {
            let bytes = arena.get(&first.range);
            match &first.target {
                Target::Udp { socket, destination, source, ecn } => {
                    let datagram = Datagram {
                        destination: *destination,
                        source: *source,
                        ecn: *ecn,
                        bytes,
                        segment: None,
                    };
                    let length = train_length(&self.outgoing[next..], socket.max_segments());
                    let carriages = &self.outgoing[next..next + length];
                    let sent = length > 1 && {
                        self.train.clear();
                        carriages.iter().for_each(|part| self.train.extend(arena.get(&part.range)));
                        let whole = Datagram { bytes: &self.train, segment: Some(bytes.len()), ..datagram };
                        socket.send(counters, &whole)
                    };
                    if !sent {
                        for part in carriages {
                            socket.send(counters, &Datagram { bytes: arena.get(&part.range), ..datagram });
                        }
                    }
                    next += length;
                    continue;
                }
                Target::Data(stream) => {
                    if !stream.push_data(bytes) {
                        counters.stream_messages_dropped.add_one();
                    }
                }
                Target::Answer(stream, standing) => stream.push_answer(bytes, *standing),
            }
            next += 1;
        }
        self.outgoing.clear();
        arena.clear_answers();
    }
}

/// The way to a client: by the listening socket that it has reached, or by its stream.
fn client_target(
    core: &Core,
    tuple: FiveTuple,
    ecn: Option<EcnCodepoint>,
    to_stream: impl FnOnce(Arc<Stream>) -> Target,
) -> Option<Target> {
    match tuple.transport() {
        Transport::Udp => core.listener(tuple.local()).map(|socket| Target::Udp {
            socket: Arc::clone(socket),
            destination: tuple.client(),
            source: Some(tuple.local().ip()),
            ecn,
        }),
        Transport::Tcp | Transport::Tls => {
            core.streams.get(&tuple.connection()).map(|stream| to_stream(Arc::clone(stream)))
        }
    }
}

/// The number of the first of these that can be sent by one call: to the same destination, of the
/// same length, of which only the last may be shorter.
fn train_length(outgoing: &[Outgoing], max_segments: usize) -> usize {
    let Some((first, rest)) = outgoing.split_first() else { return 0 };
    let segment = first.range.len();
    if segment == 0 || segment > MAX_SEGMENT {
        return 1;
    }
    let max = max_segments.min(MAX_TRAIN / segment);
    let mut length = 1;
    for next in rest {
        let shorter = next.range.len() < segment;
        if length >= max
            || next.range.len() > segment
            || next.range.is_empty()
            || !next.target.is_same_path(&first.target)
        {
            break;
        }
        length += 1;
        if shorter {
            break;
        }
    }
    length
}
