//! The allocations, and how they are found: by 5-tuple from the client's side, by relay from the
//! peers' side.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_stun::{AddressFamily, ChannelNumber, ErrorCode, TransactionId};

use super::bucket::AccountId;
use super::hash::Keyed;
use super::mobility::Mobility;
use super::path::{FiveTuple, RelayId};
use super::requests::Signer;

/// The lifetime of a permission (RFC 8656 §9).
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// The lifetime of a channel (RFC 8656 §12).
pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// A token for a reserved port.
pub(super) type Token = [u8; 8];

/// The index of an allocation in the table; valid as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

/// The allocation of a client.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) tuple: FiveTuple,
    /// Only this user may change it (441).
    pub(super) username: Arc<str>,
    pub(super) credential: AccountId,
    pub(super) address: AccountId,
    /// Of the Allocate request, to know its retransmissions.
    pub(super) transaction: TransactionId,
    pub(super) stage: Stage,
    /// At most one of each family; empty while asking.
    pub(super) relays: Vec<RelayPort>,
    pub(super) peers: Peers,
    /// The end of its credential and of the time for which that may still keep it going, whatever
    /// the wall clock shows meanwhile.
    pub(super) good_until: Instant,
    /// If the client has asked for it.
    pub(super) mobility: Option<Box<Mobility>>,
}

/// The stage of an allocation.
#[derive(Debug)]
pub(super) enum Stage {
    /// The owner has been asked for ports; the client waits for its answer.
    Asking(Box<Asking>),
    /// The client has its answer.
    Live(Live),
}

/// An Allocate request that waits for its ports.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) ports: Vec<WantedPort>,
    pub(super) lifetime: Duration,
    pub(super) signer: Signer,
    pub(super) deadline: Instant,
}

/// A port that was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedPort {
    pub(super) family: AddressFamily,
    pub(super) state: PortState,
    /// The port above, if it shall be reserved.
    pub(super) next: Option<RelayId>,
}

/// The state of a wanted port.
#[derive(Debug, Clone, Copy)]
pub(super) enum PortState {
    Waiting(RelayId),
    Granted(RelayPort),
    Refused(ErrorCode),
}

/// An allocation in use.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) expires: Instant,
    /// The Allocate response besides the addresses, to repeat it.
    pub(super) granted: Granted,
}

/// The contents of an Allocate response besides the addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    pub(super) lifetime: Duration,
    pub(super) token: Option<Token>,
    pub(super) missing: Option<(AddressFamily, ErrorCode)>,
}

/// A relay port of an allocation.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayPort {
    pub(super) id: RelayId,
    pub(super) addr: SocketAddr,
}

/// The holder of a relay port.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holder {
    /// Asked for by the allocation in this slot, or held by it.
    Allocation(Slot),
    /// Kept for the client that brings the token.
    Reservation,
    /// Asked for, but not wanted any more; to be released, with the port above, when it is granted.
    Withdrawn(Option<RelayId>),
}

impl Allocation {
    /// The relay of a family.
    pub(super) fn relay(&self, family: AddressFamily) -> Option<RelayPort> {
        self.relays.iter().copied().find(|relay| AddressFamily::of(relay.addr.ip()) == family)
    }
}

/// The permissions and channels of an allocation.
#[derive(Debug, Default)]
pub(super) struct Peers {
    permissions: BTreeMap<IpAddr, Instant>,
    channels: Vec<Channel>,
    by_peer: BTreeMap<SocketAddr, ChannelNumber>,
    /// When something here expires first, at the earliest; that is when the table of deadlines
    /// names this allocation.
    pub(super) sweep_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: ChannelNumber,
    peer: SocketAddr,
    expires: Instant,
}

/// The reason for which a channel cannot be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// The channel is another peer's, or the peer has another channel.
    Bound,
    /// There are too many.
    Full,
}

impl Peers {
    pub(super) fn is_permitted(&self, now: Instant, ip: IpAddr) -> bool {
        self.permissions.get(&ip).is_some_and(|expires| *expires > now)
    }

    /// Returns whether permissions for these addresses stay within `max` (addresses named twice
    /// count twice, which only errs on the safe side).
    pub(super) fn has_room_for(&self, ips: &[IpAddr], max: usize) -> bool {
        let new = ips.iter().filter(|ip| !self.permissions.contains_key(ip)).count();
        self.permissions.len() + new <= max
    }

    pub(super) fn permit(&mut self, now: Instant, ip: IpAddr) {
        self.permissions.insert(ip, now + PERMISSION_LIFETIME);
    }

    /// The peer behind a channel.
    pub(super) fn peer_of(&self, now: Instant, number: ChannelNumber) -> Option<SocketAddr> {
        let at = self.channels.binary_search_by_key(&number, |channel| channel.number).ok()?;
        let channel = self.channels[at];
        (channel.expires > now).then_some(channel.peer)
    }

    /// The channel to a peer.
    pub(super) fn channel_to(&self, now: Instant, peer: SocketAddr) -> Option<ChannelNumber> {
        let number = *self.by_peer.get(&peer)?;
        self.peer_of(now, number).map(|_| number)
    }

    /// Returns whether [`bind`](Self::bind) would be right.
    pub(super) fn may_bind(
        &self,
        now: Instant,
        number: ChannelNumber,
        peer: SocketAddr,
        max: usize,
    ) -> Result<(), Clash> {
        match (self.peer_of(now, number), self.channel_to(now, peer)) {
            (Some(bound), _) if bound != peer => Err(Clash::Bound),
            (_, Some(bound)) if bound != number => Err(Clash::Bound),
            (Some(_), _) => Ok(()),
            (None, _) if self.channels.iter().filter(|c| c.expires > now).count() >= max => Err(Clash::Full),
            (None, _) => Ok(()),
        }
    }

    /// Binds or rebinds a channel.
    pub(super) fn bind(&mut self, now: Instant, number: ChannelNumber, peer: SocketAddr) {
        self.forget(now);
        let channel = Channel { number, peer, expires: now + CHANNEL_LIFETIME };
        match self.channels.binary_search_by_key(&number, |channel| channel.number) {
            Ok(at) => self.channels[at] = channel,
            Err(at) => self.channels.insert(at, channel),
        }
        self.by_peer.insert(peer, number);
    }

    /// Drops what has expired, and returns the next expiry.
    pub(super) fn forget(&mut self, now: Instant) -> Option<Instant> {
        self.permissions.retain(|_, expires| *expires > now);
        let by_peer = &mut self.by_peer;
        self.channels.retain(|channel| {
            let keep = channel.expires > now;
            if !keep {
                by_peer.remove(&channel.peer);
            }
            keep
        });
        self.permissions.values().copied().chain(self.channels.iter().map(|channel| channel.expires)).min()
    }

    /// Forgets every peer of a family, when the relay of that family is gone.
    pub(super) fn forget_family(&mut self, family: AddressFamily) {
        self.permissions.retain(|ip, _| AddressFamily::of(*ip) != family);
        self.channels.retain(|channel| AddressFamily::of(channel.peer.ip()) != family);
        self.by_peer.retain(|peer, _| AddressFamily::of(peer.ip()) != family);
    }

    /// The number of permissions and channels that are kept, expired ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        assert_eq!(self.channels.len(), self.by_peer.len());
        (self.permissions.len(), self.channels.len())
    }
}

/// The allocations.
#[derive(Debug)]
pub(super) struct Table {
    by_tuple: HashMap<FiveTuple, Slot, Keyed>,
    slots: Vec<Option<Allocation>>,
    free: Vec<Slot>,
}

impl Table {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { by_tuple: HashMap::with_hasher(keyed), slots: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn find(&self, tuple: &FiveTuple) -> Option<Slot> {
        self.by_tuple.get(tuple).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Allocation> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Allocation> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(super) fn insert(&mut self, allocation: Allocation) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(self.slots.len() as u32 - 1)
        });
        self.by_tuple.insert(allocation.tuple, slot);
        self.slots[slot.0 as usize] = Some(allocation);
        slot
    }

    /// From now on an allocation is found by this 5-tuple, too.
    pub(super) fn link(&mut self, tuple: FiveTuple, slot: Slot) {
        self.by_tuple.insert(tuple, slot);
    }

    pub(super) fn unlink(&mut self, tuple: &FiveTuple) {
        self.by_tuple.remove(tuple);
    }

    /// 5-tuples by which allocations are found.
    #[cfg(test)]
    pub(super) fn links(&self) -> usize {
        self.by_tuple.len()
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Allocation> {
        let allocation = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.by_tuple.remove(&allocation.tuple);
        self.free.push(slot);
        Some(allocation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::start;
    use super::*;

    fn peer(i: u8) -> SocketAddr {
        SocketAddr::from(([9, 0, 0, i], 1000))
    }

    fn number(i: u16) -> ChannelNumber {
        ChannelNumber::new(0x4000 + i).unwrap()
    }

    #[test]
    fn a_channel_and_a_peer_belong_to_each_other_until_it_expires() {
        let (t0, mut peers) = (start(), Peers::default());
        peers.bind(t0, number(0), peer(1));
        assert_eq!(peers.may_bind(t0, number(0), peer(1), 1), Ok(()), "refreshing needs no room");
        assert_eq!(peers.may_bind(t0, number(0), peer(2), 9), Err(Clash::Bound));
        assert_eq!(peers.may_bind(t0, number(1), peer(1), 9), Err(Clash::Bound));
        assert_eq!(peers.may_bind(t0, number(1), peer(2), 1), Err(Clash::Full));
        assert_eq!(peers.channel_to(t0, peer(1)), Some(number(0)));

        let later = t0 + CHANNEL_LIFETIME;
        assert_eq!(peers.peer_of(later, number(0)), None);
        assert_eq!(peers.may_bind(later, number(0), peer(2), 1), Ok(()));
        peers.bind(later, number(0), peer(2));
        assert_eq!(peers.channel_to(later, peer(1)), None);
        assert_eq!(peers.len(), (0, 1));
    }

    #[test]
    fn the_next_expiry_is_the_first_one() {
        let (t0, mut peers) = (start(), Peers::default());
        assert_eq!(peers.forget(t0), None);
        peers.bind(t0, number(3), peer(1));
        peers.permit(t0 + Duration::from_secs(10), peer(1).ip());
        assert_eq!(peers.forget(t0), Some(t0 + Duration::from_secs(310)));
        assert_eq!(peers.forget(t0 + Duration::from_secs(310)), Some(t0 + Duration::from_secs(600)));
        assert_eq!(peers.forget(t0 + Duration::from_secs(600)), None);
        assert_eq!(peers.len(), (0, 0));
    }
}
