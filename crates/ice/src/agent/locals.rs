//! Local candidates come, are signalled, and go.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rand_core::CryptoRng;

use super::Agent;
use super::ids::{Base, LocalId};
use super::local::{FoundationKey, Local, unspecified};
use crate::candidate::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, priority, tcp_local_preference,
};
use crate::config::{AddressPolicy, MdnsMode};
use crate::event::{Event, GatheringState, Request};
use crate::path::Transport;

impl Agent {
    pub(super) fn remove_locals(&mut self, base: Base) {
        self.locals.forget(base);
        self.remove_pairs(|pair| pair.base == base);
        self.outputs.forget_messages(base, None);
    }

    /// Adds the candidate of a host's own address.
    pub(super) fn add_host(
        &mut self,
        now: Instant,
        base: Base,
        local: SocketAddr,
        transport: CandidateTransport,
    ) {
        let ip = local.ip();
        let policy = self.config.address_policy;
        let shown = !matches!(policy, AddressPolicy::DefaultRouteHidden | AddressPolicy::RelayOnly);
        let hidden = shown && self.config.mdns == MdnsMode::QueryAndGather && !ip.is_loopback();
        let address =
            if hidden { CandidateAddress::Name(self.name_of(ip)) } else { CandidateAddress::Ip(ip) };
        let of_address = self.addresses.local_preference(&self.config, ip);
        let (protocol, type_preference, local_preference) = match transport {
            CandidateTransport::Udp => (Transport::Udp, CandidateKind::Host.preference(), of_address),
            CandidateTransport::Tcp(tcp_type) => (
                Transport::Tcp,
                CandidateKind::Host.tcp_preference(),
                tcp_local_preference(CandidateKind::Host, tcp_type, of_address),
            ),
        };
        let candidate = Candidate {
            foundation: self.locals.foundation(FoundationKey {
                kind: CandidateKind::Host,
                base: ip,
                server: None,
                protocol,
            }),
            transport,
            priority: priority(type_preference, local_preference),
            address,
            port: local.port(),
            kind: CandidateKind::Host,
            related: None,
            ufrag: None,
            network_cost: self.addresses.network_cost(ip),
            url: None,
        };
        self.add_local(now, Local::new(base, local, candidate).with_shown(shown));
    }

    /// The mDNS name that hides an address: one for all candidates of it.
    fn name_of(&mut self, ip: IpAddr) -> Arc<str> {
        self.locals.name_of(ip).unwrap_or_else(|| {
            let host = mdns_name(&mut self.rng);
            self.outputs.request(Request::PublishMdns { host: host.clone(), address: ip });
            host
        })
    }

    /// Adds a candidate unless it is redundant, announces and pairs it.
    pub(super) fn add_local(&mut self, now: Instant, local: Local) {
        if let Some(id) = self.locals.find(local.base, local.address) {
            // A check was quicker than the server; in a later session it has not been discovered
            // yet.
            if self.locals.get(id).is_some_and(Local::is_discovered) {
                self.locals.insert(id, local);
                self.announce(id);
            }
            return;
        }
        let id = self.ids.local();
        self.locals.insert(id, local);
        self.announce(id);
        self.pair_local(now, id);
    }

    /// Signals a candidate, once in each session, and not before gathering was asked for.
    pub(super) fn announce(&mut self, id: LocalId) {
        if self.gathering.state == GatheringState::New {
            return;
        }
        let session = self.sessions.announced();
        let (session, ufrag) = (session.id, session.local.ufrag.clone());
        let candidate = self.locals.get_mut(id).and_then(|local| local.announce(session, &ufrag));
        if let Some(candidate) = candidate {
            self.outputs.emit(Event::LocalCandidate(candidate));
        }
    }

    /// The related address of another candidate, as far as it may be shown.
    pub(super) fn shown_related(&self, address: SocketAddr) -> SocketAddr {
        if self.config.shows_addresses() { address } else { unspecified(address) }
    }
}

/// A random name for mDNS: a UUID of version 4 (draft-ietf-mmusic-mdns-ice-candidates §3.1.1).
fn mdns_name(rng: &mut impl CryptoRng) -> Arc<str> {
    let bits = (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64());
    let bits = bits & !(0xF << 76) & !(0xC << 60) | (0x4 << 76) | (0x8 << 60);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}.local", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into()
}
