//! Taking the allocation along to another address (RFC 8016).

use std::time::Instant;

use columba_stun::Message;
use columba_stun::attributes::MobilityTicket;

use super::transaction::Kind;
use super::{Client, Event, KEEPALIVE, LIFETIME, Stage};

/// The longest ticket that is kept, in bytes: a request must have room for it.
const MAX_TICKET: usize = 1024;

/// The number of moves in a row that a client makes while the server does not know it afterwards.
const MAX_UNPROVEN: u8 = 4;

/// The client's state for moving to another address.
#[derive(Debug, Default)]
pub(super) struct Mobility {
    /// The newest ticket that has come.
    ticket: Option<Box<[u8]>>,
    /// While a move is under way: the requests to make once it is done. As many as there are
    /// permissions and channels, at most.
    waiting: Option<Vec<Kind>>,
    /// Moves since a request from the new address was last answered.
    unproven: u8,
    pub(super) forbidden: bool,
}

impl Mobility {
    pub(super) fn ticket(&self) -> Option<&[u8]> {
        self.ticket.as_deref()
    }
}

impl Client {
    /// Returns whether the server has given a ticket, with which the allocation can be taken along.
    #[must_use]
    pub fn is_mobile(&self) -> bool {
        self.is_live() && self.mobility.ticket.is_some()
    }

    /// Returns whether the server has refused to give tickets.
    #[must_use]
    pub fn is_mobility_forbidden(&self) -> bool {
        self.mobility.forbidden
    }

    /// Returns whether the allocation is on the way to a new address: nothing can be sent to peers
    /// meanwhile.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.mobility.waiting.is_some()
    }

    /// From now on messages go out from another local address: the server is asked to follow (RFC
    /// 8016 §3.2), with the same relayed address, permissions and channels. Leads to
    /// [`Event::Moved`], or [`Event::Lost`] if the server does not know the allocation any more.
    /// Without a ticket, see [`is_mobile`](Self::is_mobile), nothing happens.
    pub fn change_address(&mut self, now: Instant) {
        if !self.is_mobile() {
            return;
        }
        // From the new address nothing else would be understood, so these requests wait for the end
        // of the move.
        let pending = std::mem::take(&mut self.transactions);
        let waiting = self.mobility.waiting.get_or_insert_default();
        waiting.extend(pending.into_iter().map(|transaction| transaction.kind).filter(is_for_peers));
        self.round_trip = None;
        self.refresh_at = None;
        self.keepalive_at = None;
        self.keepalive_due = false;
        self.begin_again(now, Kind::Move, 0);
    }

    /// The server does not know this address: something on the way has changed it, which is a move
    /// like any other. `false` if the allocation cannot come along.
    pub(super) fn follow(&mut self, now: Instant, kind: &Kind) -> bool {
        if !self.is_mobile() || self.mobility.unproven >= MAX_UNPROVEN {
            return false;
        }
        self.mobility.unproven += 1;
        self.change_address(now);
        self.defer(kind);
        true
    }

    pub(super) fn note_proof(&mut self) {
        self.mobility.unproven = 0;
    }

    /// Puts a request off until the move under way is done; `false` if there is none, or it does
    /// not wait.
    pub(super) fn defer(&mut self, kind: &Kind) -> bool {
        let Some(waiting) = self.mobility.waiting.as_mut().filter(|_| is_for_peers(kind)) else {
            return false;
        };
        waiting.push(kind.clone());
        true
    }

    pub(super) fn keep_ticket(&mut self, answer: &Message<'_>) {
        if let Ok(Some(MobilityTicket(ticket))) = answer.get()
            && !ticket.is_empty()
        {
            self.mobility.ticket = (ticket.len() <= MAX_TICKET).then(|| ticket.into());
        }
    }

    pub(super) fn handle_moved(&mut self, now: Instant, answer: &Message<'_>) {
        if self.stage != Stage::Live {
            return;
        }
        self.keep_ticket(answer);
        self.schedule_refresh(now, answer);
        self.keepalive_at = (!self.config.stream).then(|| now + KEEPALIVE);
        let waiting = self.mobility.waiting.take().unwrap_or_default();
        // Whatever comes from the new address makes the server let go of the old one, and this is
        // repeated until it is answered.
        self.begin(now, Kind::Refresh { lifetime: LIFETIME });
        for kind in waiting {
            self.begin(now, kind);
        }
        self.ask_for_permissions(now);
        self.events.push_back(Event::Moved);
    }
}

fn is_for_peers(kind: &Kind) -> bool {
    matches!(kind, Kind::Permit(_) | Kind::Bind { .. })
}
