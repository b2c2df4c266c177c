//! The rules of RFC 4787 for two ends, reasoned without a network, a clock or an agent.

use columba_netsim::{Dependence, Nat};

/// One end's way out, as far as the other end can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Mapping and filtering of the NATs on the way, the innermost first.
    layers: Vec<(Dependence, Dependence)>,
    /// True if UDP passes at all.
    udp: bool,
    /// True if TCP connections to any port can be opened from here.
    tcp: bool,
}

/// The best kind of path between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    /// Over a connection that one side opens to the other.
    Connection,
    /// Over an allocation of one side's, which the other side reaches itself.
    OneRelay,
    /// From allocation to allocation.
    TwoRelays,
    Nothing,
}

impl End {
    /// A public address without a filter.
    pub(super) fn public() -> Self {
        Self { layers: Vec::new(), udp: true, tcp: true }
    }

    /// A wall that nothing passes but TCP to port 443.
    pub(super) fn blocked() -> Self {
        Self { tcp: false, ..Self::walled(&[Nat::PORT]) }
    }

    /// Behind these NATs, of which one lets no datagram pass.
    pub(super) fn walled(nats: &[Nat]) -> Self {
        Self { udp: false, ..Self::behind(nats) }
    }

    /// Behind these NATs, the innermost first.
    pub(super) fn behind(nats: &[Nat]) -> Self {
        Self { layers: nats.iter().map(|nat| (nat.mapping, nat.filtering)).collect(), ..Self::public() }
    }

    /// On what the outermost port depends: on all that any NAT on the way looks at, since a flow
    /// that one of them tells from another leaves it from another port, which the next one maps by
    /// itself.
    fn mapping(&self) -> Dependence {
        self.mapping_up_to(self.layers.len())
    }

    fn mapping_up_to(&self, layers: usize) -> Dependence {
        let mappings = self.layers[..layers].iter().map(|(mapping, _)| *mapping);
        mappings.max().unwrap_or(Dependence::EndpointIndependent)
    }

    /// Returns whether any filter on the way looks at ports.
    fn filters_ports(&self) -> bool {
        self.layers.iter().any(|(_, filtering)| *filtering == Dependence::AddressAndPortDependent)
    }
}

/// The best path between two ends, of which both have (or both have not) a relay that they reach by
/// UDP and by TCP.
pub(super) fn best_way(one: &End, two: &End, relays: bool) -> Way {
    if is_direct(one, two) {
        Way::Direct
    } else if connects(one, two) || connects(two, one) {
        Way::Connection
    } else if !relays {
        Way::Nothing
    } else if one.udp || two.udp {
        // A side with UDP reaches the other's relayed address, and by having sent there is let in
        // from there; and the relay lets in whom its owner has asked to be let in.
        Way::OneRelay
    } else {
        Way::TwoRelays
    }
}

/// Returns whether both can make their NATs let the other's datagrams pass, when each knows the
/// address that a server saw, both try again and again, and each answers to where a datagram came
/// from.
pub(super) fn is_direct(one: &End, two: &End) -> bool {
    one.udp && two.udp && (reaches(one, two) || reaches(two, one))
}

/// Returns whether a connection can be opened from one to the other. No NAT lets one in to which
/// nothing inside has opened a way, and a listener opens none.
fn connects(from: &End, to: &End) -> bool {
    from.tcp && to.tcp && to.layers.is_empty()
}

/// Returns whether a path comes of `from`'s datagrams to the address at which the server saw `to`.
fn reaches(from: &End, to: &End) -> bool {
    gets_in(from, to) && comes_back(from, to)
}

/// Returns whether `from`'s first datagram passes every filter on the way to `to`, on the mappings
/// that `to` has towards the server.
///
/// A filter without dependence lets all in. The others let in only whom their very mapping has been
/// used to send to; and only if no mapping from the host up to this one depends on the other end is
/// it used to send to the other peer, not to the server alone. What it has been used to send to is
/// then the address that the server saw of `from`: its IP address is right in any case (for a
/// filter that looks at addresses), its port only if `from` uses one mapping for server and peer
/// (for a filter that looks at ports as well).
fn gets_in(from: &End, to: &End) -> bool {
    use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    to.layers.iter().enumerate().all(|(index, (_, filtering))| {
        let has_sent = to.mapping_up_to(index + 1) == EndpointIndependent;
        match filtering {
            EndpointIndependent => true,
            AddressDependent => has_sent,
            AddressAndPortDependent => has_sent && from.mapping() == EndpointIndependent,
        }
    })
}

/// Returns whether, after `from`'s datagram got in, requests and answers run between one pair of
/// addresses in both directions.
///
/// If `to` has one mapping for all, its answer comes from where `from` has sent to, and the path is
/// there. Else it comes from a new port of the same IP address:
/// - a filter of `from`'s that looks at ports has never heard of that port: the end;
/// - else `from` hears of it and sends there. If that leaves by the mapping that it used before
///   (one for all, or one for each IP address), it comes from where `to` has just sent to, which
///   therefore lets it in and answers from the same port: the path is there;
/// - else it comes from a new port of `from`'s, of an IP address that `to` has sent to; had `to`
///   looked at ports, nothing of `from`'s would have got in at all. `to` answers it from the same
///   port as before if its mappings look at IP addresses only: the path is there. If they look at
///   ports, each side answers each new port from a new port, without end.
fn comes_back(from: &End, to: &End) -> bool {
    use Dependence::{AddressAndPortDependent, EndpointIndependent};
    let endless = from.mapping() == AddressAndPortDependent && to.mapping() == AddressAndPortDependent;
    to.mapping() == EndpointIndependent || !(from.filters_ports() || endless)
}

#[test]
fn rules_agree_with_the_four_classical_nat_types() {
    let kinds = [Nat::CONE, Nat::ADDRESS, Nat::PORT, Nat::SYMMETRIC];
    for (row, one) in kinds.iter().enumerate() {
        for (column, two) in kinds.iter().enumerate() {
            let ends = [one, two].map(|nat| End::behind(&[*nat]));
            assert_eq!(is_direct(&ends[0], &ends[1]), row + column < 5, "{one:?} and {two:?}");
        }
        assert!(is_direct(&End::behind(&[*one]), &End::public()));
        assert!(!is_direct(&End::behind(&[*one]), &End::blocked()));
    }
}
