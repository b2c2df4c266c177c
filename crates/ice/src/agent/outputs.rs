//! The outputs of the agent that wait for its owner.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::ids::Base;
use crate::event::{Event, Request};

/// Messages that wait to be sent, at most.
const MAX_OUTBOX: usize = 512;

/// A message of the agent's own.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) base: Base,
    pub(super) remote: SocketAddr,
    pub(super) bytes: Box<[u8]>,
}

/// The queues of outputs.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// At most [`MAX_OUTBOX`]; more are dropped, as the network might.
    messages: VecDeque<Outgoing>,
    events: VecDeque<Event>,
    requests: VecDeque<Request>,
}

impl Outputs {
    /// Queues a message. Returns false if there is no room.
    pub(super) fn send(&mut self, base: Base, remote: SocketAddr, bytes: Box<[u8]>) -> bool {
        let has_room = self.messages.len() < MAX_OUTBOX;
        if has_room {
            self.messages.push_back(Outgoing { base, remote, bytes });
        }
        has_room
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn request(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    pub(super) fn poll_message(&mut self) -> Option<Outgoing> {
        pop(&mut self.messages)
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        pop(&mut self.events)
    }

    pub(super) fn poll_request(&mut self) -> Option<Request> {
        pop(&mut self.requests)
    }

    /// Drops messages that were to leave from this base, to this address or to any.
    pub(super) fn forget_messages(&mut self, base: Base, remote: Option<SocketAddr>) {
        let is_kept = |one: &Outgoing| one.base != base || remote.is_some_and(|remote| one.remote != remote);
        self.messages.retain(is_kept);
    }

    pub(super) fn clear_messages(&mut self) {
        self.messages.clear();
    }

    pub(super) fn retain_events(&mut self, is_kept: impl FnMut(&Event) -> bool) {
        self.events.retain(is_kept);
    }
}

/// Takes the first element of a queue that is seldom filled; an empty one gives its memory back.
pub(super) fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if first.is_none() {
        *queue = VecDeque::new();
    }
    first
}
