//! Sessions begin and end: the remote description, restarts and their rollback (RFC 8445 §9).

use std::time::Instant;

use super::Agent;
use super::session::{Prospect, RemoteSide, Session};
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
        if let Some(known) = &mut self.sessions.current_mut().remote
            && known.parameters.credentials == remote.credentials
        {
            known.parameters = remote;
            return;
        }
        if let Some(prospect) = self.sessions.prospect.take() {
            self.settle(now, *prospect);
        }
        if self.sessions.current().remote.is_some() {
            let id = self.sessions.current().id;
            self.remove_pairs(|pair| pair.session == id);
            self.remotes.retain(|_, remote| remote.session != id);
        }
        if remote.lite && !self.config.lite && self.roles.role == Role::Controlled {
            self.roles.role = Role::Controlling;
            self.outputs.emit(Event::RoleChanged(self.roles.role));
        }
        let trickles = remote.trickle;
        let session = self.sessions.current_mut();
        session.remote = Some(RemoteSide::new(remote));
        session.started = Some(now);
        // Who does not trickle has said all there is.
        session.ended |= !trickles;
        for candidate in self.remotes.take_held() {
            self.take_remote_candidate(now, candidate);
        }
        let id = self.sessions.current().id;
        for early in self.sessions.early.take(id) {
            self.handle_claim(now, id, early.base, early.remote, &early.claim);
        }
        self.update(now);
    }

    /// Begins a restart with new random credentials: see [`restart_with`](Self::restart_with).
    pub fn restart(&mut self, now: Instant, config: Option<Config>) {
        let credentials = self.new_credentials();
        self.restart_with(now, credentials, config);
    }

    /// Begins a restart (RFC 8445 §9): these local credentials are the next session's, with
    /// [`gather`](Self::gather) and [`set_remote`](Self::set_remote) to follow. Until the latter,
    /// the running session goes on as it is, and [`roll_back`](Self::roll_back) returns to it;
    /// afterwards data goes over its pair until a new one is nominated. A restart that is under way
    /// is replaced. With a configuration, its servers are used from then on.
    pub fn restart_with(&mut self, now: Instant, credentials: Credentials, config: Option<Config>) {
        if self.state == State::Closed {
            return;
        }
        let (gathering, mut servers) = match self.sessions.prospect.take() {
            Some(replaced) => {
                self.forget_prospect(&replaced.session);
                (replaced.gathering, replaced.servers)
            }
            None => (self.gathering.state, None),
        };
        if let Some(config) = config {
            self.set_config(now, config);
            if !self.gathering.is_pooling() {
                let before = std::mem::take(&mut self.servers);
                servers.get_or_insert(before);
                self.transactions.forget_servers();
            }
        }
        let session = Session::new(self.ids.session(), credentials);
        self.sessions.prospect = Some(Box::new(Prospect { session, gathering, servers }));
        self.gathering.state = GatheringState::New;
        self.timers.gather = self.timers.gather.filter(|_| self.gathering.is_pooling());
        self.update(now);
    }

    /// Takes back a restart that the other side has not answered: credentials, candidates and the
    /// state of gathering are those of the running session again, without an event. Candidates that
    /// were found meanwhile are announced for it, unless it never gathered.
    pub fn roll_back(&mut self, now: Instant) {
        let Some(prospect) = self.sessions.prospect.take() else { return };
        self.forget_prospect(&prospect.session);
        if let Some(servers) = prospect.servers {
            self.servers = servers;
            self.transactions.forget_servers();
        }
        self.gathering.state = prospect.gathering;
        let is_gathering = self.gathering.state == GatheringState::Gathering;
        self.timers.gather = is_gathering.then(|| now + self.config.timings.gather_timeout);
        if self.gathering.state != GatheringState::New {
            self.retire_relays(now);
            for id in self.locals.ids() {
                if self.is_local_current(id) {
                    self.announce(id);
                }
            }
        }
        if is_gathering {
            self.query_all_servers(now);
        }
        self.update(now);
    }

    /// Forgets what was announced and heard of a session that never began.
    fn forget_prospect(&mut self, prospect: &Session) {
        let ufrag = self.sessions.current().local.ufrag.clone();
        self.locals.take_back(prospect.id, &ufrag);
        self.sessions.early.retain_sessions(|session| session != prospect.id);
        let theirs = prospect.local.ufrag.clone();
        self.outputs.retain_events(|event| match event {
            Event::LocalCandidate(candidate) => candidate.ufrag.as_ref() != Some(&theirs),
            Event::GatheringState(_) => false,
            _ => true,
        });
    }

    /// The other side has answered the restart: its session is the current one. Of the one before
    /// only what carries data stays; of those before that one nothing, unless it never came so far.
    /// A connection that is silent would carry the new session's checks into the same silence.
    fn settle(&mut self, now: Instant, prospect: Prospect) {
        let keep = self.pairs.active.filter(|id| {
            let pair = self.pairs.get(*id);
            !pair.is_some_and(|pair| pair.base.is_tcp() && pair.is_dead(now))
        });
        let kept_session = keep.and_then(|id| self.pairs.get(id)).map(|pair| pair.session);
        self.remove_pairs(|pair| keep != Some(pair.id));
        let in_use = self.pairs.remotes();
        self.remotes.retain(|remote, _| in_use.contains(&remote));
        self.sessions.begin(prospect.session, kept_session);
        self.remotes.forget_names();
        self.checks.burst = self.config.timings.burst;
    }

    /// The new session has its pairs: the old one goes.
    pub(super) fn retire_old_sessions(&mut self) {
        if self.sessions.retire_former() {
            let id = self.sessions.current().id;
            self.remove_pairs(|pair| pair.session != id);
            self.remotes.retain(|_, remote| remote.session == id);
        }
    }
}
