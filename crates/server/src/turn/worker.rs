//! The worker of a thread: takes what has arrived through the server and sends what comes out of
//! it, many messages for one lock.
//!
//! One for each thread of the runtime, used between two awaits and never across one. All its
//! buffers are made once.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use columba_turn::server::{Event, FiveTuple, Forward, Input};
use quinn_udp::BATCH_SIZE;

use super::arena::Arena;
use super::clock;
use super::egress::Egress;
use super::grants::{Grants, Wanted, grant};
use super::ingress::{Ingress, Job, MAX_JOBS, Origin, Source};
use super::shared::{Core, Shared};
use super::stream::Standing;
use super::udp::UdpSocket;

/// The parts that a thread works with.
pub(super) struct Worker {
    arena: Arena,
    ingress: Ingress,
    egress: Egress,
    grants: Grants,
    /// The server has more to send than there was room for.
    more: bool,
}

thread_local! {
    static WORKER: RefCell<Option<Box<Worker>>> = const { RefCell::new(None) };
}

/// Lends this thread's worker.
pub(super) fn with_worker<T>(work: impl FnOnce(&mut Worker) -> T) -> T {
    // Taken out rather than borrowed, so that nothing that runs meanwhile can find it borrowed; and
    // a thread that is ending has none to lend.
    let kept = WORKER
        .try_with(|place| place.try_borrow_mut().ok().and_then(|mut place| place.take()))
        .ok()
        .flatten();
    let mut worker = kept.unwrap_or_else(|| Box::new(Worker::new()));
    let result = work(&mut worker);
    let _ = WORKER.try_with(|place| place.try_borrow_mut().map(|mut place| *place = Some(worker)));
    result
}

impl Worker {
    fn new() -> Self {
        Self {
            arena: Arena::new(),
            ingress: Ingress::new(),
            egress: Egress::new(),
            grants: Grants::default(),
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
        let count = self.ingress.receive(&mut self.arena, socket)?;
        for slot in 0..count {
            let received = self.ingress.received(slot, socket, source);
            let (origin, ecn, whole) = (received.origin, received.ecn, received.whole);
            if whole.len() <= received.stride {
                self.add(shared, Job { origin, ecn, range: whole });
                continue;
            }
            for segment in whole.clone().step_by(received.stride) {
                let range = segment..(segment + received.stride).min(whole.end);
                let staged = self.stage(shared, range.len());
                self.arena.copy_within(range, &staged);
                self.add(shared, Job { origin, ecn, range: staged });
            }
        }
        self.run(shared);
        Ok(count == BATCH_SIZE)
    }

    /// Takes in a message from a stream. [`run`](Self::run) deals with it, at the latest.
    pub(super) fn add_message(&mut self, shared: &Arc<Shared>, tuple: FiveTuple, bytes: &[u8]) {
        let range = self.stage(shared, bytes.len());
        self.arena.write(&range, bytes);
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
        if self.ingress.jobs.is_empty() {
            return;
        }
        let mut jobs = std::mem::take(&mut self.ingress.jobs);
        let mut core = shared.core();
        let now = Instant::now();
        for job in jobs.drain(..) {
            self.handle(&mut core, now, job);
        }
        core.rearm(&shared.timer);
        drop(core);
        self.ingress.jobs = jobs;
        self.settle(shared);
        self.arena.clear_stage();
    }

    fn add(&mut self, shared: &Arc<Shared>, job: Job) {
        self.ingress.jobs.push(job);
        if self.ingress.jobs.len() == MAX_JOBS {
            self.run(shared);
        }
    }

    /// Room for a message of this length, with room around it.
    fn stage(&mut self, shared: &Arc<Shared>, length: usize) -> Range<usize> {
        loop {
            if let Some(range) = self.arena.stage(length) {
                return range;
            }
            self.run(shared);
            // An empty stage has room for the longest message.
            self.arena.clear_stage();
        }
    }

    fn handle(&mut self, core: &mut Core, now: Instant, job: Job) {
        match core.server.route(now, job.origin.arrival(), self.arena.all(), job.range.clone()) {
            Forward::ToClient { tuple, range } => self.egress.queue_for_client(core, tuple, job.ecn, range),
            Forward::ToPeer { relay, peer, range, .. } => {
                if let Some(relay) = core.relays.get(&relay) {
                    self.egress.queue_for_peer(relay, peer, job.ecn, range);
                }
            }
            Forward::Control => {
                if let Origin::Client(tuple) = job.origin {
                    let message = Input::Message { tuple, data: self.arena.get(&job.range) };
                    core.server.set_wall_time(now, clock::wall());
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
                    self.grants.wanted.push(Wanted { id, family, port, came_to });
                }
                Event::RelayReleased { id } => self.grants.released.extend(core.relays.remove(&id)),
                Event::ConnectionClose { tuple } => {
                    self.egress.closes.extend(core.streams.get(&tuple.connection()).cloned());
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
            let Some(space) = self.arena.answer_space() else {
                self.more = true;
                return;
            };
            let Some(transmit) = core.server.poll_transmit(now, space) else { return };
            let range = self.arena.keep_answer(transmit.len);
            self.egress.queue_answer(core, transmit.tuple, Standing::of(transmit.allocated), range);
        }
    }

    /// Sends, and does what the server has asked for, until it asks for nothing more.
    fn settle(&mut self, shared: &Arc<Shared>) {
        loop {
            self.egress.flush(&mut self.arena, &shared.counters);
            if self.grants.wanted.is_empty() && !self.more {
                break;
            }
            let mut wanted = std::mem::take(&mut self.grants.wanted);
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
            self.grants.wanted.append(&mut wanted);
            if self.more {
                self.collect_answers(&mut shared.core(), Instant::now());
            }
        }
        // Everything has been sent to the streams that are to be closed.
        for stream in self.egress.closes.drain(..) {
            stream.close();
        }
        self.grants.released.clear();
    }
}
