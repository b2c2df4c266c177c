//! `meet`: clients that find each other by their ids instead of a token.
//!
//! Two see each other when one has asked for the other, and the other waits for any client or has
//! asked for the first. One that has not been found yet stands in a line at the id that it asks
//! for, so that it is found when that client comes or has room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::entering::session_full;
use super::member::{MemberEvent, Place, Presence};
use super::member_set::MemberSet;
use super::{MemberKey, SessionRelay};
use crate::error::{ErrorCode, Refusal};
use crate::names::ClientId;

/// When to ask for an id again that another client has.
const RETRY_WHEN_TAKEN: Duration = Duration::from_secs(2);

/// The longest pause between two requests of a client over HTTP.
const BETWEEN_POLLS: Duration = Duration::from_secs(3);

/// The clients that can be met.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    reachable: BTreeMap<ClientId, MemberKey>,
    /// By the id asked for: who asked, in the order in which they came, and does not see it yet.
    lines: BTreeMap<ClientId, BTreeSet<MemberKey>>,
}

impl Meeting {
    fn queue(&mut self, asked_for: &ClientId, key: MemberKey) {
        self.lines.entry(asked_for.clone()).or_default().insert(key);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.reachable.is_empty() && self.lines.is_empty()
    }

    fn unqueue(&mut self, asked_for: &ClientId, key: MemberKey) {
        if let Some(line) = self.lines.get_mut(asked_for) {
            line.remove(&key);
            if line.is_empty() {
                self.lines.remove(asked_for);
            }
        }
    }
}

impl SessionRelay {
    /// Returns whether a client can be reachable under `id` and find `with`; `before` is an older
    /// membership of its own.
    pub(super) fn check_meeting(
        &self,
        id: &ClientId,
        with: Option<&ClientId>,
        before: Option<MemberKey>,
    ) -> Result<(), Refusal> {
        if with == Some(id) {
            return Err(Refusal::new(
                ErrorCode::BadId,
                "A client cannot meet itself: \"id\" and \"with\" are the same.",
            ));
        }
        if self.meeting.reachable.get(id).is_some_and(|holder| Some(*holder) != before) {
            let text = "Another client is reachable under this id.";
            return Err(Refusal::new(ErrorCode::IdTaken, text).with_retry_after(RETRY_WHEN_TAKEN));
        }
        if let Some(target) = with.and_then(|with| self.willing(with, id))
            && let Some(target) = self.members.get(&target)
        {
            let replaces = before.is_some_and(|before| target.sees.contains(before));
            if target.sees.len() - usize::from(replaces) + 1 >= self.config.session_peers {
                return Err(session_full(self.config.session_peers));
            }
        }
        Ok(())
    }

    /// The client that is reachable under `id`, if its connection is gone: another may take its
    /// place, for it may be the same one, started anew. Where polls come and go, only the absence
    /// for a while shows it.
    pub(super) fn absent_holder(&self, now: Instant, id: &ClientId) -> Option<MemberKey> {
        let key = *self.meeting.reachable.get(id)?;
        let member = self.members.get(&key)?;
        let Presence::Away { until } = member.presence else { return None };
        let since = until.checked_sub(self.config.resume_within)?;
        let grace = if member.polls { BETWEEN_POLLS } else { Duration::ZERO };
        (since + grace <= now).then_some(key)
    }

    /// Makes a client reachable, and returns the members that it sees at once.
    pub(super) fn enter_meeting(
        &mut self,
        key: MemberKey,
        id: &ClientId,
        with: Option<&ClientId>,
    ) -> MemberSet {
        self.meeting.reachable.insert(id.clone(), key);
        let Some(with) = with else {
            let room = self.config.session_peers.saturating_sub(1);
            let line = self.meeting.lines.get(id).into_iter().flatten();
            let found: MemberSet = line.copied().take(room).collect();
            for seeker in found.iter() {
                self.meeting.unqueue(id, seeker);
            }
            return found;
        };
        match self.willing(with, id) {
            Some(target) => {
                // It may have asked for this one before.
                self.meeting.unqueue(id, target);
                MemberSet::from_iter([target])
            }
            None => {
                self.meeting.queue(with, key);
                MemberSet::default()
            }
        }
    }

    /// A client is gone that saw `seen`: those who asked for it stand in line again, and those who
    /// had no room have some.
    pub(super) fn leave_meeting(
        &mut self,
        key: MemberKey,
        id: &ClientId,
        with: Option<&ClientId>,
        seen: &MemberSet,
    ) {
        self.meeting.reachable.remove(id);
        if let Some(with) = with {
            self.meeting.unqueue(with, key);
        }
        for other in seen.iter() {
            let Some(member) = self.members.get(&other) else { continue };
            match &member.place {
                Place::Meeting { with: Some(with), .. } if with == id => self.meeting.queue(with, other),
                Place::Meeting { id: waiting, with: None } => {
                    let waiting = waiting.clone();
                    self.next_in_line(&waiting, other);
                }
                _ => {}
            }
        }
    }

    /// Lets a waiting client that has room see the first of those who ask for it.
    fn next_in_line(&mut self, id: &ClientId, key: MemberKey) {
        let Some(seeker) = self.meeting.lines.get(id).and_then(|line| line.first().copied()) else { return };
        self.meeting.unqueue(id, seeker);
        for (one, other) in [(key, seeker), (seeker, key)] {
            let Some(present) = self.members.get(&other).map(|member| member.present()) else { continue };
            self.see(one, other);
            self.push_member_event(one, MemberEvent::Joined(present));
        }
    }

    /// The client that is reachable under `id`, if it waits for any client or for `seeker`.
    fn willing(&self, id: &ClientId, seeker: &ClientId) -> Option<MemberKey> {
        let key = *self.meeting.reachable.get(id)?;
        match &self.members.get(&key)?.place {
            Place::Meeting { with: None, .. } => Some(key),
            Place::Meeting { with: Some(with), .. } => (with == seeker).then_some(key),
            Place::Session(_) => None,
        }
    }
}
