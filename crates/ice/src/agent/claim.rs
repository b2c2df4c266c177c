//! The contents of authentic requests, and those that came too early to be acted upon.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::ids::{Base, SessionId};

/// Early requests that are remembered, at most.
const MAX_EARLY: usize = 100;

/// The contents of a request that concern its pair.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) priority: u32,
    pub(super) nominated: bool,
    pub(super) nomination: Option<u32>,
    pub(super) remote_ufrag: Box<str>,
}

/// An authentic request that came before the other side's credentials were known.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) session: SessionId,
    pub(super) base: Base,
    pub(super) remote: SocketAddr,
    pub(super) claim: Claim,
}

/// Early requests; at most [`MAX_EARLY`], then the oldest goes.
#[derive(Debug, Default)]
pub(super) struct EarlyRequests(VecDeque<Early>);

impl EarlyRequests {
    /// Remembers a request in place of an earlier one from the same address, unless that has
    /// nominated.
    pub(super) fn push(&mut self, early: Early) {
        if self.0.len() >= MAX_EARLY {
            self.0.pop_front();
        }
        let is_replaced =
            |one: &Early| one.base == early.base && one.remote == early.remote && !one.claim.nominated;
        self.0.retain(|one| !is_replaced(one));
        self.0.push_back(early);
    }

    /// Takes all requests; those of this session are returned.
    pub(super) fn take(&mut self, session: SessionId) -> impl Iterator<Item = Early> + use<> {
        std::mem::take(&mut self.0).into_iter().filter(move |early| early.session == session)
    }

    /// Returns whether a request has come this way.
    pub(super) fn is_from(&self, base: Base, remote: SocketAddr) -> bool {
        self.0.iter().any(|early| early.base == base && early.remote == remote)
    }

    /// Forgets what has come this way.
    pub(super) fn forget(&mut self, base: Base, remote: SocketAddr) {
        self.0.retain(|early| early.base != base || early.remote != remote);
    }

    pub(super) fn retain_sessions(&mut self, is_kept: impl Fn(SessionId) -> bool) {
        self.0.retain(|early| is_kept(early.session));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
