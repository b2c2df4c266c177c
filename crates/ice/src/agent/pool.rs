//! The candidate pool: candidates gathered ahead of need (RFC 8829 §3.5.4).

use std::time::Instant;

use super::Agent;
use super::gathering::{MAX_ERRORS, Pool};
use crate::config::{Config, IceServer};
use crate::event::{CandidateError, Event, State};

impl Agent {
    /// Begins to gather ahead, where that is asked for and possible.
    pub(super) fn fill_pool(&mut self, now: Instant) {
        let is_due = matches!(self.gathering.pool, Pool::Untouched) && self.state != State::Closed;
        if !is_due || !self.config.candidate_pool || self.addresses.usable(&self.config).is_empty() {
            return;
        }
        self.gathering.pool = Pool::Filled(Vec::new());
        self.timers.gather = Some(now + self.config.timings.gather_timeout);
        self.keep_bindings(now);
        self.add_servers();
        self.open_sockets(now);
        self.update(now);
    }

    /// Announces the pool. Returns whether there was one.
    pub(super) fn announce_pool(&mut self) -> bool {
        match std::mem::replace(&mut self.gathering.pool, Pool::Announced) {
            Pool::Filled(errors) => {
                errors.into_iter().for_each(|error| self.outputs.emit(Event::CandidateError(error)));
                true
            }
            Pool::Untouched | Pool::Announced => false,
        }
    }

    /// Reports an error, or keeps it as long as the pool is not announced.
    pub(super) fn report_error(&mut self, error: CandidateError) {
        match &mut self.gathering.pool {
            Pool::Filled(errors) if errors.len() < MAX_ERRORS => errors.push(error),
            Pool::Filled(_) => self.counters.dropped += 1,
            Pool::Untouched | Pool::Announced => self.outputs.emit(Event::CandidateError(error)),
        }
    }

    /// The configuration was another one: what was gathered by it goes, unless the new one would
    /// have led to the same.
    pub(super) fn refill_pool(&mut self, now: Instant, before: &Config) {
        if self.gathering.is_pooling() {
            let servers = |config: &Config| -> Vec<IceServer> {
                config.servers.iter().take(Config::MAX_SERVERS).cloned().collect()
            };
            let after = &self.config;
            let same = servers(before) == servers(after)
                && before.policy == after.policy
                && before.address_policy == after.address_policy
                && before.mdns == after.mdns
                && before.tcp == after.tcp
                && before.loopback == after.loopback
                && before.lite == after.lite
                && (before.udp, before.tcp) == (after.udp, after.tcp);
            if same && after.candidate_pool {
                // What is there stays, and what is missing follows.
                return self.open_sockets(now);
            }
            self.empty_pool(now);
        }
        self.fill_pool(now);
    }

    fn empty_pool(&mut self, now: Instant) {
        self.gathering.pool = Pool::Untouched;
        self.timers.gather = None;
        self.servers.clear();
        self.transactions.clear();
        self.retire_relays(now);
        self.close_hosts(now);
    }
}
