//! The pump: takes what has arrived through the server and sends what comes out of it, many
//! messages for one lock.
//!
//! One for each thread of the runtime, used between two awaits and never across one. All its
//! buffers are made once.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use columba_turn::server::{
    Arrival, Event, FiveTuple, Forward, HEADROOM, Input, RelayId, TAILROOM, Transport,
};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta};

use super::grant::{Wanted, grant};
use super::shared::{Core, LiveRelay, Shared};
use super::stream::Stream;
use super::udp::{Datagram, UdpSocket};

/// The largest thing that arrives in one piece, in bytes: a UDP datagram, a train of them that the
/// kernel has coalesced, or a frame of ChannelData on a stream with its header and padding.
const MAX_ARRIVAL: usize = columba_stun::stream::MAX_FRAME_LEN;

/// A place for one arrival, with room around it for headers and padding.
const SLOT: usize = (HEADROOM + MAX_ARRIVAL + TAILROOM).next_multiple_of(64);

/// The most messages that go through the server for one lock: some tens of microseconds.
const MAX_JOBS: usize = 64;

/// The place for messages that must be copied, because they lie too close to their neighbours: one
/// of the largest, or as many small ones as [`MAX_JOBS`].
const STAGE: usize = 2 * SLOT;

/// The longest message that the server makes itself, in bytes (see `Server::poll_transmit`).
const MAX_ANSWER: usize = 1280;

/// The room for answers before they are sent.
const ANSWERS: usize = 32 * MAX_ANSWER;

/// The longest datagram that is sent in a train with others. Any path carries this (RFC 8200 §5:
/// 1,280 bytes with the headers of IPv6 and UDP), and a train is never fragmented.
const MAX_SEGMENT: usize = 1280 - 48;

/// The most bytes in a train: what one UDP datagram could have.
const MAX_TRAIN: usize = 65_000;

const STAGE_START: usize = BATCH_SIZE * SLOT;

const ANSWERS_START: usize = STAGE_START + STAGE;

const ARENA: usize = ANSWERS_START + ANSWERS;

/// Buffers and lists. The arena is: a slot for each datagram of a batch, then the stage, then the
/// answers.
pub(super) struct Pump {
    arena: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    staged: usize,
    answered: usize,
    jobs: Vec<Job>,
    outgoing: Vec<Outgoing>,
    train: Vec<u8>,
    wanted: Vec<Wanted>,
    released: Vec<LiveRelay>,
    closes: Vec<Arc<Stream>>,
    /// The server has more to send than there was room for.
    more: bool,
}

/// Something that has arrived and lies in the arena.
struct Job {
    origin: Origin,
    ecn: Option<EcnCodepoint>,
    range: Range<usize>,
}

/// Where it has come from.
#[derive(Clone, Copy)]
enum Origin {
    Client(FiveTuple),
    Peer(RelayId, SocketAddr),
}

/// The purpose of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Clients send to it.
    Listener,
    /// It is the relay port of this name.
    Relay(RelayId),
}

/// Something that lies in the arena and is to be sent.
struct Outgoing {
    target: Target,
    range: Range<usize>,
}

enum Target {
    Udp { socket: Arc<UdpSocket>, destination: SocketAddr, source: Option<IpAddr>, ecn: Option<EcnCodepoint> },
    Data(Arc<Stream>),
    Answer(Arc<Stream>),
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

thread_local! {
    static PUMP: RefCell<Option<Box<Pump>>> = const { RefCell::new(None) };
}

/// Lends this thread's pump.
pub(super) fn with_pump<T>(work: impl FnOnce(&mut Pump) -> T) -> T {
    // Taken out rather than borrowed, so that nothing that runs meanwhile can find it borrowed; and
    // a thread that is ending has none to lend.
    let kept =
        PUMP.try_with(|pump| pump.try_borrow_mut().ok().and_then(|mut pump| pump.take())).ok().flatten();
    let mut pump = kept.unwrap_or_else(|| Box::new(Pump::new()));
    let result = work(&mut pump);
    let _ = PUMP.try_with(|place| place.try_borrow_mut().map(|mut place| *place = Some(pump)));
    result
}

impl Pump {
    fn new() -> Self {
        Self {
            // Zeroed memory that has not been touched yet costs address space only.
            arena: vec![0; ARENA].into_boxed_slice(),
            metas: [RecvMeta::default(); BATCH_SIZE],
            staged: STAGE_START,
            answered: ANSWERS_START,
            jobs: Vec::with_capacity(MAX_JOBS),
            outgoing: Vec::with_capacity(2 * MAX_JOBS),
            train: Vec::with_capacity(MAX_TRAIN),
            wanted: Vec::new(),
            released: Vec::new(),
            closes: Vec::new(),
            more: false,
        }
    }

    /// Receives what waits at a socket, up to a batch, and deals with it. Says whether there may be
    /// more.
    pub(super) fn receive(
        &mut self,
        shared: &Arc<Shared>,
        socket: &UdpSocket,
        source: Source,
    ) -> io::Result<bool> {
        let count = {
            let mut slots = self.arena[..STAGE_START].chunks_exact_mut(SLOT);
            let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
                let slot = slots.next().unwrap_or_default();
                let end = slot.len().saturating_sub(TAILROOM);
                IoSliceMut::new(slot.get_mut(HEADROOM..end).unwrap_or_default())
            });
            socket.receive(&mut buffers, &mut self.metas)?
        };
        for slot in 0..count {
            let meta = self.metas[slot];
            let from = columba_stun::canonical(meta.addr);
            let origin = match source {
                Source::Listener => Origin::Client(FiveTuple::udp(socket.destination(&meta), from)),
                Source::Relay(id) => Origin::Peer(id, from),
            };
            let start = slot * SLOT + HEADROOM;
            let whole = start..start + meta.len;
            if meta.len <= meta.stride {
                self.add(shared, Job { origin, ecn: meta.ecn, range: whole });
                continue;
            }
            for segment in whole.clone().step_by(meta.stride.max(1)) {
                let range = segment..(segment + meta.stride).min(whole.end);
                let staged = self.stage(shared, range.len());
                self.arena.copy_within(range, staged.start);
                self.add(shared, Job { origin, ecn: meta.ecn, range: staged });
            }
        }
        self.run(shared);
        Ok(count == BATCH_SIZE)
    }

    /// Takes in a message from a stream. [`run`](Self::run) deals with it, at the latest.
    pub(super) fn add_message(&mut self, shared: &Arc<Shared>, tuple: FiveTuple, bytes: &[u8]) {
        let range = self.stage(shared, bytes.len());
        self.arena[range.clone()].copy_from_slice(bytes);
        self.add(shared, Job { origin: Origin::Client(tuple), ecn: None, range });
    }

    /// Something that is no message has happened.
    pub(super) fn input(&mut self, shared: &Arc<Shared>, input: Input<'_>) {
        let mut core = shared.core();
        let now = Instant::now();
        core.server.handle_input(now, input);
        self.drain(&mut core, now, None);
        core.rearm(&shared.timer);
        drop(core);
        self.settle(shared);
    }

    /// The server's deadline has come.
    pub(super) fn tick(&mut self, shared: &Arc<Shared>) {
        let mut core = shared.core();
        let now = Instant::now();
        core.server.handle_timeout(now);
        self.drain(&mut core, now, None);
        drop(core);
        self.settle(shared);
    }

    /// Puts everything that was taken in through the server, and sends what comes out.
    pub(super) fn run(&mut self, shared: &Arc<Shared>) {
        if self.jobs.is_empty() {
            return;
        }
        let mut jobs = std::mem::take(&mut self.jobs);
        let mut core = shared.core();
        let now = Instant::now();
        for job in jobs.drain(..) {
            self.handle(&mut core, now, job);
        }
        core.rearm(&shared.timer);
        drop(core);
        self.jobs = jobs;
        self.settle(shared);
        self.staged = STAGE_START;
    }

    fn add(&mut self, shared: &Arc<Shared>, job: Job) {
        self.jobs.push(job);
        if self.jobs.len() == MAX_JOBS {
            self.run(shared);
        }
    }

    /// Room for a message of this length, with room around it.
    fn stage(&mut self, shared: &Arc<Shared>, length: usize) -> Range<usize> {
        if self.staged + HEADROOM + length + TAILROOM > ANSWERS_START {
            self.run(shared);
        }
        let start = self.staged + HEADROOM;
        self.staged = start + length + TAILROOM;
        start..start + length
    }

    fn handle(&mut self, core: &mut Core, now: Instant, job: Job) {
        let arrival = match &job.origin {
            Origin::Client(tuple) => Arrival::Client(tuple),
            Origin::Peer(id, peer) => Arrival::Relay { id: *id, peer: *peer },
        };
        match core.server.route(now, arrival, &mut self.arena, job.range.clone()) {
            Forward::ToClient { tuple, range } => self.queue(core, tuple, range, job.ecn, Target::Data),
            Forward::ToPeer { relay, peer, range, .. } => {
                if let Some(relay) = core.relays.get(&relay) {
                    let socket = Arc::clone(&relay.socket);
                    let target = Target::Udp { socket, destination: peer, source: None, ecn: job.ecn };
                    self.outgoing.push(Outgoing { target, range });
                }
            }
            Forward::Control => {
                if let Origin::Client(tuple) = job.origin {
                    let message = Input::Message { tuple, data: &self.arena[job.range] };
                    core.server.handle_input(now, message);
                    self.drain(core, now, Some(tuple.local().ip()));
                }
            }
            Forward::Drop(_) => {}
        }
    }

    /// Carries out the events of the server, and sends its messages. `came_to` is the address that
    /// the client, about whose message it is, reached.
    fn drain(&mut self, core: &mut Core, now: Instant, came_to: Option<IpAddr>) {
        while let Some(event) = core.server.poll_event() {
            match event {
                Event::RelayWanted { id, family, port } => {
                    self.wanted.push(Wanted { id, family, port, came_to });
                }
                Event::RelayReleased { id } => self.released.extend(core.relays.remove(&id)),
                Event::ConnectionClose { tuple } => {
                    self.closes.extend(core.streams.get(&tuple.connection()).cloned());
                }
                // Events that this program does not know ask for nothing that it could do.
                _ => {}
            }
        }
        self.collect_answers(core, now);
    }

    fn collect_answers(&mut self, core: &mut Core, now: Instant) {
        self.more = false;
        loop {
            if self.answered + MAX_ANSWER > ARENA {
                self.more = true;
                return;
            }
            let Some(transmit) = core.server.poll_transmit(now, &mut self.arena[self.answered..]) else {
                return;
            };
            let range = self.answered..self.answered + transmit.len;
            self.answered = range.end;
            self.queue(core, transmit.tuple, range, None, Target::Answer);
        }
    }

    fn queue(
        &mut self,
        core: &Core,
        tuple: FiveTuple,
        range: Range<usize>,
        ecn: Option<EcnCodepoint>,
        to_stream: fn(Arc<Stream>) -> Target,
    ) {
        let target = match tuple.transport() {
            Transport::Udp => core.listener(tuple.local()).map(|socket| Target::Udp {
                socket: Arc::clone(socket),
                destination: tuple.client(),
                source: Some(tuple.local().ip()),
                ecn,
            }),
            Transport::Tcp | Transport::Tls => {
                core.streams.get(&tuple.connection()).map(|stream| to_stream(Arc::clone(stream)))
            }
        };
        self.outgoing.extend(target.map(|target| Outgoing { target, range }));
    }

    /// Sends, and does what the server has asked for, until it asks for nothing more.
    fn settle(&mut self, shared: &Arc<Shared>) {
        loop {
            self.flush(shared);
            if self.wanted.is_empty() && !self.more {
                break;
            }
            let mut wanted = std::mem::take(&mut self.wanted);
            for request in wanted.drain(..) {
                // Binding takes system calls, so the lock is not held for it.
                let bound = grant(shared, &request);
                let mut core = shared.core();
                let now = Instant::now();
                let input = bound.settle(shared, &mut core, &request);
                core.server.handle_input(now, input);
                self.drain(&mut core, now, request.came_to);
                core.rearm(&shared.timer);
            }
            self.wanted.append(&mut wanted);
            if self.more {
                self.collect_answers(&mut shared.core(), Instant::now());
            }
        }
        // Everything has been sent to the streams that are to be closed.
        for stream in self.closes.drain(..) {
            stream.close();
        }
        self.released.clear();
    }

    fn flush(&mut self, shared: &Shared) {
        let mut next = 0;
        while let Some(first) = self.outgoing.get(next) {
            let bytes = &self.arena[first.range.clone()];
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
                        carriages.iter().for_each(|part| self.train.extend(&self.arena[part.range.clone()]));
                        let whole = Datagram { bytes: &self.train, segment: Some(bytes.len()), ..datagram };
                        socket.send(&shared.counters, &whole)
                    };
                    if !sent {
                        for part in carriages {
                            let bytes = &self.arena[part.range.clone()];
                            socket.send(&shared.counters, &Datagram { bytes, ..datagram });
                        }
                    }
                    next += length;
                    continue;
                }
                Target::Data(stream) => {
                    if !stream.push_data(bytes) {
                        shared.counters.stream_messages_dropped.add_one();
                    }
                }
                Target::Answer(stream) => stream.push_answer(bytes),
            }
            next += 1;
        }
        self.outgoing.clear();
        self.answered = ANSWERS_START;
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
