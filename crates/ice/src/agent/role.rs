//! The role of the agent, and conflicts about it (RFC 8445 §7.3.1.1).

use std::time::{Duration, Instant};

use columba_stun::Message;
use columba_stun::attributes::{IceControlled, IceControlling};

use crate::event::Role;

/// The time for which the other side may go on with a role that it was told to change. Firefox
/// (153) changes it once at most, for all transports, and then ignores what it is told.
const STUBBORNNESS: Duration = Duration::from_secs(2);

/// The role, and the number that decides where both sides claim the same.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    /// Since when the other side is told to change its role.
    told_since: Option<Instant>,
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
        Self { role: Role::Controlling, tie_breaker, told_since: None }
    }

    /// Compares a request's role with the own one; `None` if the request has no role. A lite agent
    /// never controls a full one.
    ///
    /// Deviation: RFC 8445 §7.3.1.1 answers each conflict with 487. Where that has changed nothing
    /// for a while, this side changes its role.
    pub(super) fn conflict(
        &mut self,
        now: Instant,
        request: &Message<'_>,
        is_lite: bool,
    ) -> Option<Conflict> {
        let conflict = self.compare(request, is_lite)?;
        if conflict != Conflict::Theirs {
            self.told_since = None;
            return Some(conflict);
        }
        let since = *self.told_since.get_or_insert(now);
        if is_lite || now.saturating_duration_since(since) < STUBBORNNESS {
            return Some(Conflict::Theirs);
        }
        self.told_since = None;
        Some(Conflict::Ours)
    }

    fn compare(&self, request: &Message<'_>, is_lite: bool) -> Option<Conflict> {
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
