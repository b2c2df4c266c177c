//! Permissions, which peers need to send, and channels, the short form of sending (RFC 8656 §9,
//! §12).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_stun::{ChannelNumber, canonical, canonical_ip};

use super::transaction::Kind;
use super::{Client, channel_number};

/// Permissions live 300 s (RFC 8656 §9); they are renewed a minute ahead. A channel's binding
/// renews its permission, too.
const RENEW_AFTER: Duration = Duration::from_secs(240);

/// Addresses in one CreatePermission request.
const PERMISSIONS_PER_REQUEST: usize = 16;

/// A permission for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// To be asked for with the next request.
    Wanted,
    Asked,
    /// Granted; asked for again at this time, ahead of its end.
    Granted {
        renew: Instant,
        renewing: bool,
    },
    Refused,
}

/// A channel to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) number: ChannelNumber,
    pub(super) state: ChannelState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelState {
    Binding,
    Bound {
        renew: Instant,
        renewing: bool,
    },
    /// The server would not, or did not answer; it may have bound it all the same, so the number
    /// stays taken.
    Refused,
}

impl Client {
    /// Asks for a permission for this address, so that it may send; harmless if it has one. Takes
    /// effect when [`is_permitted`](Self::is_permitted) says so. Beyond
    /// [`MAX_PEERS`](Self::MAX_PEERS) addresses nothing happens.
    pub fn permit(&mut self, now: Instant, peer: IpAddr) {
        let peer = canonical_ip(peer);
        if self.permissions.len() < Self::MAX_PEERS && !self.permissions.contains_key(&peer) {
            self.permissions.insert(peer, Permission::Wanted);
            self.ask_for_permissions(now);
        }
    }

    /// Returns whether the address may send and be sent to.
    #[must_use]
    pub fn is_permitted(&self, peer: IpAddr) -> bool {
        matches!(self.permissions.get(&canonical_ip(peer)), Some(Permission::Granted { .. }))
    }

    /// Returns whether the server does not relay to this address.
    #[must_use]
    pub fn is_refused(&self, peer: IpAddr) -> bool {
        self.permissions.get(&canonical_ip(peer)) == Some(&Permission::Refused)
    }

    /// Asks for a channel to this peer, which makes sending to it shorter. Until it is bound, and
    /// if it is refused, data goes in Send indications.
    pub fn bind(&mut self, now: Instant, peer: SocketAddr) {
        let peer = canonical(peer);
        if !self.is_live() || self.channels.contains_key(&peer) {
            return;
        }
        // Numbers are never used for a second peer: the server may keep a binding longer than the
        // client does (RFC 8656 §12).
        let Some(number) = channel_number(self.numbers.len()) else { return };
        if self.numbers.len() >= Self::MAX_PEERS {
            return;
        }
        self.numbers.push(peer);
        self.channels.insert(peer, Channel { number, state: ChannelState::Binding });
        self.begin(now, Kind::Bind { channel: number, peer });
    }

    /// Returns whether there is a bound channel to this peer.
    #[must_use]
    pub fn is_bound(&self, peer: SocketAddr) -> bool {
        let channel = self.channels.get(&canonical(peer));
        channel.is_some_and(|channel| matches!(channel.state, ChannelState::Bound { .. }))
    }

    /// One request for all that is wanted, unless one is under way, whose end asks again.
    pub(super) fn ask_for_permissions(&mut self, now: Instant) {
        if !self.is_live() || self.transactions.iter().any(|one| matches!(one.kind, Kind::Permit(_))) {
            return;
        }
        let wanted: Vec<IpAddr> = self
            .permissions
            .iter_mut()
            .filter(|(_, permission)| **permission == Permission::Wanted)
            .take(PERMISSIONS_PER_REQUEST)
            .map(|(address, permission)| {
                *permission = Permission::Asked;
                *address
            })
            .collect();
        if !wanted.is_empty() {
            self.begin(now, Kind::Permit(wanted));
        }
    }

    pub(super) fn handle_permitted(&mut self, now: Instant, addresses: &[IpAddr]) {
        for address in addresses {
            let granted = Permission::Granted { renew: now + RENEW_AFTER, renewing: false };
            self.permissions.insert(*address, granted);
        }
        self.ask_for_permissions(now);
    }

    /// One address spoils the request for all: then each is asked for alone.
    pub(super) fn handle_not_permitted(&mut self, now: Instant, addresses: &[IpAddr]) {
        if let [address] = addresses {
            self.permissions.insert(*address, Permission::Refused);
            self.events.push_back(super::Event::PeerRefused(*address));
        } else {
            for address in addresses {
                self.begin(now, Kind::Permit(vec![*address]));
            }
        }
        self.ask_for_permissions(now);
    }

    pub(super) fn handle_bound(&mut self, now: Instant, peer: SocketAddr) {
        if let Some(channel) = self.channels.get_mut(&peer) {
            channel.state = ChannelState::Bound { renew: now + RENEW_AFTER, renewing: false };
        }
        self.handle_permitted(now, &[peer.ip()]);
    }

    pub(super) fn handle_not_bound(&mut self, peer: SocketAddr) {
        if let Some(channel) = self.channels.get_mut(&peer) {
            channel.state = ChannelState::Refused;
        }
    }

    pub(super) fn next_renewal(&self) -> Option<Instant> {
        let permissions = self.permissions.values().filter_map(|permission| match permission {
            Permission::Granted { renew, renewing: false } => Some(*renew),
            _ => None,
        });
        let channels = self.channels.values().filter_map(|channel| match channel.state {
            ChannelState::Bound { renew, renewing: false } => Some(renew),
            _ => None,
        });
        permissions.chain(channels).min()
    }

    /// Asks again for what would soon end.
    pub(super) fn renew_peers(&mut self, now: Instant) {
        let mut requests = Vec::new();
        for (peer, channel) in &mut self.channels {
            if let ChannelState::Bound { renew, renewing } = &mut channel.state
                && *renew <= now
                && !*renewing
            {
                *renewing = true;
                requests.push(Kind::Bind { channel: channel.number, peer: *peer });
            }
        }
        let mut addresses = Vec::new();
        for (address, permission) in &mut self.permissions {
            if let Permission::Granted { renew, renewing } = permission
                && *renew <= now
                && !*renewing
            {
                *renewing = true;
                addresses.push(*address);
            }
        }
        requests.extend(addresses.chunks(PERMISSIONS_PER_REQUEST).map(|some| Kind::Permit(some.to_vec())));
        for kind in requests {
            self.begin(now, kind);
        }
    }
}
