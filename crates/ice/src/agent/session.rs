//! A session: the credentials of both sides, and the state that a restart begins anew (RFC 8445
//! §9); and the session that a restart prepares.

use std::time::Instant;

use columba_stun::IntegrityKey;

use super::ids::{PairId, SessionId};
use super::servers::Servers;
use crate::credentials::{Credentials, RemoteParameters};
use crate::event::GatheringState;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) local: Credentials,
    pub(super) local_key: IntegrityKey,
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
    pub(super) key: IntegrityKey,
}

impl Session {
    pub(super) fn new(id: SessionId, local: Credentials) -> Self {
        Self {
            id,
            local_key: IntegrityKey::short_term(&local.pwd),
            local,
            remote: None,
            ended: false,
            started: None,
            valid_since: None,
            connected: false,
            selected: None,
            was_selected: false,
            carried: 0,
            nomination: 0,
            failed: false,
            restart_requested: false,
            lost_since: None,
            reconnecting_until: None,
            concluded: None,
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
