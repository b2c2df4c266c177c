//! What was counted, collected when somebody asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addresses::Local;
use super::{Agent, Base};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind};
use crate::stats::{CandidatePairStats, CandidateStats, Stats, TransportStats};

impl Agent {
    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.counters;
        let transport = TransportStats {
            packets_sent: counters.packets_sent,
            packets_received: counters.packets_received,
            bytes_sent: counters.bytes_sent,
            bytes_received: counters.bytes_received,
            role: self.role,
            local_username_fragment: self.session().local.ufrag.to_string(),
            state: self.state,
            selected_pair: self.active,
            selected_pair_changes: counters.path_changes,
            dropped: counters.dropped,
        };
        let pairs = self.pairs.values().map(|pair| CandidatePairStats {
            id: pair.id,
            local: pair.seen_as.unwrap_or(pair.local),
            remote: pair.remote,
            path: self.path_of(pair.base, pair.address).filter(|_| self.config.shows_addresses()),
            state: pair.state,
            nominated: pair.nominated,
            priority: pair.priority,
            counters: pair.counters,
        });
        let locals = self.locals.iter().map(|(id, local)| CandidateStats {
            id: *id,
            candidate: self.shown(local),
            relay_protocol: local.relay_protocol,
        });
        let remotes = self.remotes.iter().map(|(id, remote)| CandidateStats {
            id: *id,
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

    /// A candidate as it may be shown: one of which the other side does not learn has no address.
    pub(super) fn shown(&self, local: &Local) -> Candidate {
        let unspecified = match local.address.ip() {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let hidden = local.candidate.kind == CandidateKind::Host && !local.shown;
        let address =
            if hidden { CandidateAddress::Ip(unspecified) } else { local.candidate.address.clone() };
        Candidate { address, ..local.candidate.clone() }
    }

    /// Whether data goes through a relay of this side's now.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.active_pair().is_some_and(|pair| matches!(pair.base, Base::Relay(_)))
    }
}
