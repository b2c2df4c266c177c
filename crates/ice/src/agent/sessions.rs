//! Sessions begin and end: the remote description, and restarts (RFC 8445 §9).

use std::time::Instant;

use columba_stun::IntegrityKey;

use super::Agent;
use super::ids::RemoteId;
use super::session::{RemoteSide, Session};
use crate::config::Config;
use crate::credentials::{Credentials, RemoteParameters};
use crate::event::{Event, GatheringState, Role, State};

impl Agent {
    /// The other side's description has arrived: checks begin. The same credentials again change
    /// nothing; others belong to the session that [`restart`](Self::restart) has begun.
    pub fn set_remote(&mut self, now: Instant, remote: RemoteParameters) {
        if self.state == State::Closed {
            return;
        }
        if let Some(known) = &mut self.session_mut().remote
            && known.parameters.credentials == remote.credentials
        {
            known.parameters = remote;
            return;
        }
        if self.session().remote.is_some() {
            let id = self.session().id;
            self.remove_pairs(|pair| pair.session == id);
            self.remotes.retain(|_, remote| remote.session != id);
        }
        if remote.lite && !self.config.lite && self.role == Role::Controlled {
            self.role = Role::Controlling;
            self.events.push_back(Event::RoleChanged(self.role));
        }
        let key = IntegrityKey::short_term(&remote.credentials.pwd);
        let trickles = remote.trickle;
        let session = self.session_mut();
        session.remote = Some(RemoteSide { parameters: remote, key });
        session.started = Some(now);
        // Who does not trickle has said all there is.
        session.ended |= !trickles;
        for candidate in std::mem::take(&mut self.held) {
            self.take_remote_candidate(now, candidate);
        }
        let id = self.session().id;
        for early in std::mem::take(&mut self.early) {
            if early.session == id {
                self.handle_claim(now, id, early.base, early.remote, &early.claim);
            }
        }
        self.update(now);
    }

    /// Begins a new session (RFC 8445 §9): new credentials now, [`gather`](Self::gather) and
    /// [`set_remote`](Self::set_remote) to follow. Data goes over the old pair until a new one is
    /// nominated. With a configuration, its servers are used from then on.
    pub fn restart(&mut self, now: Instant, config: Option<Config>) {
        if self.state == State::Closed {
            return;
        }
        if let Some(config) = config {
            self.set_config(now, config);
            if !self.is_pooling() {
                self.servers.clear();
                self.transactions.retain(|_, one| one.pair().is_some());
            }
        }
        // Of the old session only what carries data stays; of the one before nothing, unless the
        // old one never came so far. A connection that is silent would carry the new session's
        // checks into the same silence.
        let keep = self.active.filter(|id| {
            let pair = self.pairs.get(id);
            !pair.is_some_and(|pair| pair.base.is_tcp() && pair.is_dead(now))
        });
        let kept_session = keep.and_then(|id| self.pairs.get(&id)).map(|pair| pair.session);
        self.remove_pairs(|pair| keep != Some(pair.id));
        let in_use: Vec<RemoteId> = self.pairs.values().map(|pair| pair.remote).collect();
        self.remotes.retain(|remote, _| in_use.contains(remote));
        let id = self.session().id.next();
        let credentials = Credentials::random(&mut self.rng);
        self.sessions.retain(|session| Some(session.id) == kept_session);
        self.sessions.push(Session::new(id, credentials));
        self.early.clear();
        self.names.clear();
        self.burst = self.config.timings.burst;
        self.gathering = GatheringState::New;
        self.update(now);
    }

    /// The new session has its pairs: the old one goes.
    pub(super) fn retire_old_sessions(&mut self) {
        if self.sessions.len() > 1 && self.session().selected.is_some() {
            let id = self.session().id;
            self.sessions.retain(|session| session.id == id);
            self.remove_pairs(|pair| pair.session != id);
            self.remotes.retain(|_, remote| remote.session == id);
        }
    }
}
