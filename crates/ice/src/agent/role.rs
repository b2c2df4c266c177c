//! The role of the agent, and conflicts about it (RFC 8445 §7.3.1.1).

use columba_stun::Message;
use columba_stun::attributes::{IceControlled, IceControlling};

use crate::event::Role;

/// The role, and the number that decides where both sides claim the same.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
}

/// The comparison of a request's role with the own one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    None,
    /// The other side is to change its role.
    Theirs,
    /// This side is to change its role.
    Ours,
}

impl Roles {
    pub(super) fn new(tie_breaker: u64) -> Self {
        Self { role: Role::Controlling, tie_breaker }
    }

    /// Compares a request's role with the own one; `None` if the request has no role. A lite agent
    /// never controls a full one.
    pub(super) fn conflict(&self, request: &Message<'_>, is_lite: bool) -> Option<Conflict> {
        let controlling = request.get::<IceControlling>().ok()?.map(|IceControlling(theirs)| theirs);
        let controlled = request.get::<IceControlled>().ok()?.map(|IceControlled(theirs)| theirs);
        let is_ours_to_change = match (self.role, controlling, controlled) {
            (_, None, None) => return None,
            (Role::Controlling, Some(theirs), _) => self.tie_breaker < theirs || is_lite,
            (Role::Controlled, _, Some(theirs)) => self.tie_breaker >= theirs && !is_lite,
            _ => return Some(Conflict::None),
        };
        Some(if is_ours_to_change { Conflict::Ours } else { Conflict::Theirs })
    }
}
