//! Statistics, collected on demand.

use super::Agent;
use super::ids::Base;
use crate::stats::{CandidatePairStats, CandidateStats, Stats, TransportStats};

impl Agent {
    /// Returns the statistics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.counters;
        let transport = TransportStats {
            packets_sent: counters.packets_sent,
            packets_received: counters.packets_received,
            bytes_sent: counters.bytes_sent,
            bytes_received: counters.bytes_received,
            role: self.roles.role,
            local_username_fragment: self.sessions.current().local.ufrag.to_string(),
            state: self.state,
            selected_pair: self.pairs.active.map(|id| id.0),
            selected_pair_changes: counters.path_changes,
            dropped: counters.dropped,
        };
        let pairs = self.pairs.values().map(|pair| CandidatePairStats {
            id: pair.id.0,
            local: pair.seen_as.unwrap_or(pair.local).0,
            remote: pair.remote.0,
            path: self.path_of(pair.base, pair.address).filter(|_| self.config.shows_addresses()),
            state: pair.state,
            nominated: pair.nomination.accepted,
            priority: pair.priority,
            counters: pair.counters,
        });
        let locals = self.locals.iter().map(|(id, local)| CandidateStats {
            id: id.0,
            candidate: local.shown_candidate(),
            relay_protocol: local.relay_protocol,
        });
        let remotes = self.remotes.iter().map(|(id, remote)| CandidateStats {
            id: id.0,
            candidate: remote.candidate.clone(),
            relay_protocol: None,
        });
        Stats {
            transport,
            pairs: pairs.collect(),
            local_candidates: locals.collect(),
            remote_candidates: remotes.collect(),
        }
    }

    /// Returns whether data goes through a relay of this side now.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.pairs.active().is_some_and(|pair| matches!(pair.base, Base::Relay(_)))
    }
}
