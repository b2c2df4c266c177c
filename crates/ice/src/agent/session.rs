//! Sessions: the credentials of both sides, and the state that a restart begins anew (RFC 8445 §9);
//! and the session that a restart prepares.

use std::borrow::Cow;
use std::time::Instant;

use columba_stun::IntegrityKey;

use super::claim::EarlyRequests;
use super::ids::{PairId, SessionId};
use super::servers::Servers;
use crate::credentials::{Credentials, RemoteParameters};
use crate::event::GatheringState;

/// The sessions of an agent.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The running session is the last one; the one before stays until the running one has its
    /// pair.
    list: Vec<Session>,
    /// The session that a restart has begun, until the other side's description comes.
    pub(super) prospect: Option<Box<Prospect>>,
    pub(super) early: EarlyRequests,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) local: Credentials,
    /// The key of the local password, while it is used often.
    local_key: Option<Box<IntegrityKey>>,
    pub(super) remote: Option<RemoteSide>,
    /// True if no more remote candidates follow.
    pub(super) ended: bool,
    /// When checks could begin.
    pub(super) started: Option<Instant>,
    /// When the first pair became valid.
    pub(super) valid_since: Option<Instant>,
    /// True once there was a path of this session.
    pub(super) connected: bool,
    /// The nominated pair.
    pub(super) selected: Option<PairId>,
    /// True once a pair was nominated.
    pub(super) was_selected: bool,
    /// A pair was nominated before the other side had sent a check.
    pub(super) nominated_unheard: bool,
    /// The other side had sent no check when the last nomination was sent.
    pub(super) nominates_unheard: bool,
    /// Checks that have carried the embedded value to addresses that have not answered yet.
    pub(super) carried: u32,
    /// The highest nomination sent or accepted (draft-thatcher-ice-renomination).
    pub(super) nomination: u32,
    /// True once nothing works any more; only a restart helps.
    pub(super) failed: bool,
    pub(super) restart_requested: bool,
    /// Since when no pair is valid, although one was.
    pub(super) lost_since: Option<Instant>,
    /// Until when a connection that broke may be opened again before a restart is asked for.
    pub(super) reconnecting_until: Option<Instant>,
    /// Since when a direct pair is selected.
    pub(super) concluded: Option<Instant>,
}

/// The session of a restart that the other side has not answered: its credentials are announced,
/// and candidates are gathered for it, while the running session goes on as it is.
#[derive(Debug)]
pub(super) struct Prospect {
    pub(super) session: Session,
    /// The state of gathering of the running session.
    pub(super) gathering: GatheringState,
    /// The servers of the running session, where the restart has taken others.
    pub(super) servers: Option<Servers>,
}

/// The other side's parameters in a session.
#[derive(Debug)]
pub(super) struct RemoteSide {
    pub(super) parameters: RemoteParameters,
    /// The key of the password, while it is used often.
    key: Option<Box<IntegrityKey>>,
}

impl RemoteSide {
    pub(super) fn new(parameters: RemoteParameters) -> Self {
        let key = Some(prepared(&parameters.credentials.pwd));
        Self { parameters, key }
    }

    /// The key of the password.
    pub(super) fn key(&self) -> Cow<'_, IntegrityKey> {
        key(self.key.as_deref(), &self.parameters.credentials.pwd)
    }
}

/// Makes a key ready, which takes about as long as using it once, and 1.2 kB.
fn prepared(password: &str) -> Box<IntegrityKey> {
    Box::new(IntegrityKey::short_term(password))
}

fn key<'a>(prepared: Option<&'a IntegrityKey>, password: &str) -> Cow<'a, IntegrityKey> {
    prepared.map_or_else(|| Cow::Owned(IntegrityKey::short_term(password)), Cow::Borrowed)
}

impl Sessions {
    pub(super) fn new(first: Session) -> Self {
        Self { list: vec![first], prospect: None, early: EarlyRequests::default() }
    }

    /// The session that runs.
    pub(super) fn current(&self) -> &Session {
        // There is always one: the constructor takes it, and `begin` adds before anything is gone.
        &self.list[self.list.len() - 1]
    }

    pub(super) fn current_mut(&mut self) -> &mut Session {
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// The session whose credentials and candidates are announced now.
    pub(super) fn announced(&self) -> &Session {
        self.prospect.as_ref().map_or_else(|| self.current(), |prospect| &prospect.session)
    }

    /// Returns whether a restart waits for the other side's answer.
    pub(super) fn is_restarting(&self) -> bool {
        self.prospect.is_some()
    }

    /// All sessions whose checks are answered.
    pub(super) fn answered(&self) -> impl Iterator<Item = &Session> {
        self.list.iter().chain(self.prospect.as_ref().map(|prospect| &prospect.session))
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.answered().find(|session| session.id == id)
    }

    /// The same, but not the one that a restart prepares.
    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.list.iter_mut().find(|session| session.id == id)
    }

    /// Returns whether the other side has had this user name fragment before the running session.
    pub(super) fn is_former_ufrag(&self, ufrag: &str) -> bool {
        self.list.iter().rev().skip(1).any(|session| session.remote_ufrag() == Some(ufrag))
    }

    /// This session is the running one from now on. Of those before, `kept` stays.
    pub(super) fn begin(&mut self, session: Session, kept: Option<SessionId>) {
        self.list.retain(|one| Some(one.id) == kept);
        let id = session.id;
        self.list.push(session);
        self.early.retain_sessions(|one| one == id);
    }

    /// Forgets the session before, if the running one has its pair. Returns true if it was there.
    pub(super) fn retire_former(&mut self) -> bool {
        let retires = self.list.len() > 1 && self.current().selected.is_some();
        if retires {
            self.list.drain(..self.list.len() - 1);
        }
        retires
    }

    /// A pair is gone.
    pub(super) fn forget_pair(&mut self, pair: PairId) {
        self.list.iter_mut().for_each(|session| session.forget(pair));
    }
}

impl Session {
    pub(super) fn new(id: SessionId, local: Credentials) -> Self {
        Self {
            id,
            local_key: Some(prepared(&local.pwd)),
            local,
            remote: None,
            ended: false,
            started: None,
            valid_since: None,
            connected: false,
            selected: None,
            was_selected: false,
            nominated_unheard: false,
            nominates_unheard: false,
            carried: 0,
            nomination: 0,
            failed: false,
            restart_requested: false,
            lost_since: None,
            reconnecting_until: None,
            concluded: None,
        }
    }

    /// The key of the local password.
    pub(super) fn local_key(&self) -> Cow<'_, IntegrityKey> {
        key(self.local_key.as_deref(), &self.local.pwd)
    }

    /// Forgets the prepared keys: from now on there are few messages.
    pub(super) fn forget_keys(&mut self) {
        self.local_key = None;
        if let Some(remote) = &mut self.remote {
            remote.key = None;
        }
    }

    /// Returns whether the other side understands numbered nominations.
    pub(super) fn renomination(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.parameters.renomination)
    }

    /// The other side's user name fragment, if it is known.
    pub(super) fn remote_ufrag(&self) -> Option<&str> {
        self.remote.as_ref().map(|remote| &*remote.parameters.credentials.ufrag)
    }

    /// A pair is gone.
    pub(super) fn forget(&mut self, pair: PairId) {
        self.selected = self.selected.filter(|one| *one != pair);
    }
}
