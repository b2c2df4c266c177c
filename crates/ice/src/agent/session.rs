//! Generations: credentials of both sides, and what begins anew with them (RFC 8445 §9).

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use columba_stun::IntegrityKey;

use super::pairs::PairId;
use super::{Agent, Base, Event};
use crate::config::Config;
use crate::credentials::{Credentials, RemoteParameters};
use crate::event::{GatheringState, Role, State};

/// One generation.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u32,
    pub(super) local: Credentials,
    pub(super) local_key: IntegrityKey,
    pub(super) remote: Option<RemoteSide>,
    /// No more remote candidates follow.
    pub(super) ended: bool,
    /// When checks could begin.
    pub(super) started: Option<Instant>,
    /// When the first pair became valid.
    pub(super) valid_since: Option<Instant>,
    /// True once there was a path of this generation.
    pub(super) connected: bool,
    /// The nominated pair.
    pub(super) selected: Option<PairId>,
    /// True once a pair was nominated.
    pub(super) was_selected: bool,
    /// How many checks have carried what the owner embeds to addresses that have not answered yet.
    pub(super) carried: u32,
    /// The highest nomination sent or accepted (draft-thatcher-ice-renomination).
    pub(super) nomination: u32,
    /// Nothing works any more; only a restart helps.
    pub(super) failed: bool,
    pub(super) restart_asked: bool,
    /// Since when no pair is valid, although one was.
    pub(super) lost_since: Option<Instant>,
    /// Until when a connection that broke may be opened again before a restart is asked for.
    pub(super) reconnecting_until: Option<Instant>,
    /// Since when a direct pair is selected.
    pub(super) concluded: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct RemoteSide {
    pub(super) parameters: RemoteParameters,
    pub(super) key: IntegrityKey,
}

/// An authentic request that came before the other side's credentials were known.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) session: u32,
    pub(super) base: Base,
    pub(super) remote: SocketAddr,
    pub(super) claim: Claim,
}

/// What a request says about its pair.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) priority: u32,
    pub(super) nominated: bool,
    pub(super) nomination: Option<u32>,
    pub(super) remote_ufrag: Box<str>,
    pub(super) embedded: Option<Bytes>,
}

/// Early requests that are remembered, at most.
pub(super) const MAX_EARLY: usize = 100;

impl Session {
    pub(super) fn new(number: u32, local: Credentials) -> Self {
        Self {
            number,
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
            restart_asked: false,
            lost_since: None,
            reconnecting_until: None,
            concluded: None,
        }
    }

    pub(super) fn renomination(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.parameters.renomination)
    }

    pub(super) fn is_selected(&self) -> bool {
        self.selected.is_some()
    }
}

impl Agent {
    /// The other side's description has arrived: checks begin. The same credentials again change nothing; others belong to
    /// the generation that [`restart`](Self::restart) has begun.
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
            let number = self.session().number;
            self.remove_pairs(|pair| pair.session == number);
            self.remotes.retain(|_, remote| remote.session != number);
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
        let number = self.session().number;
        for early in std::mem::take(&mut self.early) {
            if early.session == number {
                self.handle_claim(now, number, early.base, early.remote, &early.claim);
            }
        }
        self.update(now);
    }

    /// Begins a new generation (RFC 8445 §9): new credentials now, [`gather`](Self::gather) and
    /// [`set_remote`](Self::set_remote) to follow. Data goes over the old pair until a new one is nominated. With a configuration,
    /// its servers are used from then on.
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
        // Of the old generation only what carries data stays; of the one before nothing, unless the old one never came so far.
        // A connection that is silent would carry the new generation's checks into the same silence.
        let keep = self.active.filter(|id| {
            let pair = self.pairs.get(id);
            !pair.is_some_and(|pair| matches!(pair.base, Base::Tcp(_)) && self.is_dead(pair, now))
        });
        let kept_session = keep.and_then(|id| self.pairs.get(&id)).map(|pair| pair.session);
        self.remove_pairs(|pair| keep != Some(pair.id));
        let in_use: Vec<u32> = self.pairs.values().map(|pair| pair.remote).collect();
        self.remotes.retain(|id, _| in_use.contains(id));
        let number = self.session().number + 1;
        let credentials = Credentials::random(&mut self.rng);
        self.sessions.retain(|session| Some(session.number) == kept_session);
        self.sessions.push(Session::new(number, credentials));
        self.early.clear();
        self.names.clear();
        self.burst = self.config.timings.burst;
        self.gathering = GatheringState::New;
        self.update(now);
    }

    /// The new generation has its pairs: the old one goes.
    pub(super) fn retire_old_sessions(&mut self) {
        if self.sessions.len() > 1 && self.session().is_selected() {
            let number = self.session().number;
            self.sessions.retain(|session| session.number == number);
            self.remove_pairs(|pair| pair.session != number);
            self.remotes.retain(|_, remote| remote.session == number);
        }
    }
}
