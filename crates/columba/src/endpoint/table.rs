//! Whose a datagram is: the table of an endpoint, without sockets.
//!
//! Nothing in it is made by what arrives: addresses are noted when a connection sends to them,
//! which its ICE agent does only to candidates of its descriptions and to senders that have proven
//! to know its password; so strangers cannot make it grow.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::stun::{Class, Stun, TransactionId};

/// The time for which the answer of a STUN server is expected (RFC 8489 §6.2.1: 39.5 s).
const TRANSACTION: Duration = Duration::from_secs(40);

/// Requests to STUN servers that are remembered at a time; the oldest is forgotten first.
const MAX_TRANSACTIONS: usize = 1 << 16;

/// The number of a connection at its endpoint. Never used twice.
pub(super) type Owner = u64;

/// A way between one of the endpoint's addresses and another host.
type Way = (IpAddr, SocketAddr);

#[derive(Debug, Default)]
pub(super) struct Table {
    ways: HashMap<Way, Owner>,
    fragments: HashMap<Box<str>, Owner>,
    transactions: HashMap<TransactionId, Owner>,
    /// The transactions in the order of their beginning.
    ages: VecDeque<(Instant, TransactionId)>,
}

impl Table {
    /// The connection that a datagram is for.
    pub(super) fn route(&mut self, local: IpAddr, from: SocketAddr, datagram: &[u8]) -> Option<Owner> {
        let by_address = self.ways.get(&(local, from)).copied();
        let Some(stun) = Stun::read(datagram) else { return by_address };
        match stun.class {
            Class::Response => {
                let by_transaction = self.transactions.remove(&stun.transaction);
                by_transaction.or(by_address)
            }
            Class::Request => match stun.fragment().and_then(|fragment| self.fragments.get(fragment)) {
                // A way that belongs to another connection cannot carry this one as well: the
                // other side has to come another way, as this side does.
                Some(owner) => by_address.is_none_or(|holder| holder == *owner).then_some(*owner),
                None => by_address,
            },
            Class::Indication => by_address,
        }
    }

    /// Gives a way to a connection, unless another has it. Returns whether it is the connection's.
    pub(super) fn claim(&mut self, owner: Owner, local: IpAddr, remote: SocketAddr) -> bool {
        *self.ways.entry((local, remote)).or_insert(owner) == owner
    }

    /// Notes a request to a STUN server, whose answer is this connection's.
    pub(super) fn expect(&mut self, now: Instant, owner: Owner, transaction: TransactionId) {
        while let Some((since, oldest)) = self.ages.front()
            && (*since + TRANSACTION <= now || self.ages.len() >= MAX_TRANSACTIONS)
        {
            self.transactions.remove(oldest);
            self.ages.pop_front();
        }
        if self.transactions.insert(transaction, owner).is_none() {
            self.ages.push_back((now, transaction));
        }
    }

    /// Lets checks find a connection by these fragments, and no longer by those before.
    pub(super) fn set_fragments(&mut self, owner: Owner, before: &[Box<str>], now: &[Box<str>]) {
        for fragment in before.iter().filter(|fragment| !now.contains(fragment)) {
            self.remove_fragment(owner, fragment);
        }
        for fragment in now {
            self.fragments.entry(fragment.clone()).or_insert(owner);
        }
    }

    fn remove_fragment(&mut self, owner: Owner, fragment: &str) {
        if self.fragments.get(fragment) == Some(&owner) {
            self.fragments.remove(fragment);
        }
    }

    /// Gives back the ways that a connection has claimed.
    pub(super) fn release(&mut self, owner: Owner, local: IpAddr, claimed: &[SocketAddr]) {
        for remote in claimed {
            if self.ways.get(&(local, *remote)) == Some(&owner) {
                self.ways.remove(&(local, *remote));
            }
        }
    }

    /// The number of ways, fragments and transactions.
    #[cfg(test)]
    fn size(&self) -> [usize; 4] {
        [self.ways.len(), self.fragments.len(), self.transactions.len(), self.ages.len()]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::stun::message;
    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn address(number: u32) -> SocketAddr {
        (Ipv4Addr::from(0x0A00_0000 + number), 4000).into()
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn fragment(owner: Owner) -> Box<str> {
        format!("f{owner}").into()
    }

    #[test]
    fn ten_thousand_peers_on_one_port_are_told_apart() {
        let mut table = Table::default();
        const PEERS: u32 = 10_000;
        for peer in 0..PEERS {
            let owner = u64::from(peer);
            table.set_fragments(owner, &[], &[fragment(owner)]);
            // The first check comes from an address that was never heard of.
            let check = message(0x0001, 1, Some(&format!("f{owner}:x")));
            assert_eq!(table.route(HOME, address(peer), &check), Some(owner));
            assert!(table.claim(owner, HOME, address(peer)));
        }
        for peer in 0..PEERS {
            assert_eq!(table.route(HOME, address(peer), &[22, 1]), Some(peer.into()), "DTLS");
            assert_eq!(table.route(HOME, address(peer), &message(0x0101, 1, None)), Some(peer.into()));
        }
        for peer in 0..PEERS {
            table.release(peer.into(), HOME, &[address(peer)]);
            table.set_fragments(peer.into(), &[fragment(peer.into())], &[]);
        }
        assert_eq!(table.size(), [0; 4]);
    }

    #[test]
    fn answers_of_a_server_find_who_has_asked() {
        let mut table = Table::default();
        let server = address(0);
        for owner in 0..100_u8 {
            table.expect(now(), owner.into(), [owner; 12]);
        }
        for owner in (0..100_u8).rev() {
            assert_eq!(table.route(HOME, server, &message(0x0101, owner, None)), Some(owner.into()));
            assert_eq!(table.route(HOME, server, &message(0x0101, owner, None)), None, "it comes again");
        }
    }

    #[test]
    fn way_of_one_connection_is_not_another_ones() {
        let mut table = Table::default();
        table.set_fragments(1, &[], &[fragment(1)]);
        table.set_fragments(2, &[], &[fragment(2)]);
        assert!(table.claim(1, HOME, address(5)) && !table.claim(2, HOME, address(5)));
        assert_eq!(table.route(HOME, address(5), &message(0x0001, 1, Some("f2:x"))), None);
        assert_eq!(table.route(HOME, address(6), &message(0x0001, 1, Some("f2:x"))), Some(2));
        table.release(2, HOME, &[address(5)]);
        assert_eq!(table.route(HOME, address(5), &[22]), Some(1), "what is another's stays");
        let other: IpAddr = [192, 0, 2, 2].into();
        assert!(table.claim(2, other, address(5)), "another address of the endpoint is another way");
    }

    #[test]
    fn strangers_leave_no_trace() {
        let mut table = Table::default();
        table.set_fragments(1, &[], &[fragment(1)]);
        let before = table.size();
        for number in 0..100_000 {
            let check = message(0x0001, 1, Some(if number % 2 == 0 { "f1:x" } else { "guess:x" }));
            table.route(HOME, address(number), &check);
            assert_eq!(table.route(HOME, address(number), &[22, 254, 253]), None);
        }
        assert_eq!(table.size(), before);
    }

    #[test]
    fn requests_without_answer_are_forgotten() {
        let mut table = Table::default();
        let start = now();
        for number in 0..200_000_u32 {
            let mut id = [0; 12];
            id[..4].copy_from_slice(&number.to_be_bytes());
            table.expect(start, 1, id);
        }
        assert!(table.size()[2] <= MAX_TRANSACTIONS && table.size()[3] <= MAX_TRANSACTIONS);
        table.expect(start + TRANSACTION, 1, [255; 12]);
        assert_eq!(table.size()[2..], [1, 1]);
    }

    #[test]
    fn fragments_of_a_restart_take_the_place_of_those_before() {
        let mut table = Table::default();
        let (before, after): ([Box<str>; 2], [Box<str>; 2]) =
            (["a".into(), "b".into()], ["b".into(), "c".into()]);
        table.set_fragments(1, &[], &before);
        table.set_fragments(1, &before, &after);
        let route = |table: &mut Table, name: &str| {
            table.route(HOME, address(1), &message(0x0001, 1, Some(&format!("{name}:x"))))
        };
        assert_eq!(
            (route(&mut table, "a"), route(&mut table, "b"), route(&mut table, "c")),
            (None, Some(1), Some(1))
        );
    }
}
