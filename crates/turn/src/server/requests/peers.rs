//! CreatePermission and ChannelBind: the peers of a client (RFC 8656 §10 and
//! §12).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use columba_stun::attributes::XorPeerAddress;
use columba_stun::{AddressFamily, AttributeType, ChannelNumber, ErrorCode};

use super::super::Server;
use super::super::deadlines::Deadline;
use super::super::policy::Verdict;
use super::super::table::{Clash, Slot};
use super::{Authentic, bad};

impl Server {
    pub(super) fn handle_create_permission(
        &mut self,
        now: Instant,
        request: &Authentic<'_>,
    ) -> Result<(), ErrorCode> {
        if self.refuse_unknown(request, &[AttributeType::XOR_PEER_ADDRESS]) {
            return Ok(());
        }
        // All peers or none (RFC 8656 §10.2).
        let peers: Result<Vec<_>, _> = request.message.all::<XorPeerAddress>().collect();
        let ips: Vec<IpAddr> =
            peers.map_err(bad)?.into_iter().map(|XorPeerAddress(peer)| peer.ip()).collect();
        if ips.is_empty() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let max = self.config.max_permissions;
        let (slot, _) = self.allocation_of(now, request)?;
        ips.iter().try_for_each(|ip| self.admit_peer(slot, *ip))?;
        let (_, allocation) = self.allocation_of(now, request)?;
        allocation.peers.forget(now);
        if !allocation.peers.has_room_for(&ips, max) {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        ips.into_iter().for_each(|ip| allocation.peers.permit(now, ip));
        self.schedule_sweep(now, slot);
        self.accept(request, |_| Ok(()));
        Ok(())
    }

    pub(super) fn handle_channel_bind(
        &mut self,
        now: Instant,
        request: &Authentic<'_>,
    ) -> Result<(), ErrorCode> {
        if self.refuse_unknown(request, &[AttributeType::CHANNEL_NUMBER, AttributeType::XOR_PEER_ADDRESS]) {
            return Ok(());
        }
        // A number outside the range for channels does not decode.
        let number = request.message.get::<ChannelNumber>().map_err(bad)?.ok_or(ErrorCode::BAD_REQUEST)?;
        let XorPeerAddress(peer) =
            request.message.get::<XorPeerAddress>().map_err(bad)?.ok_or(ErrorCode::BAD_REQUEST)?;
        let (slot, _) = self.allocation_of(now, request)?;
        self.admit_peer(slot, peer.ip())?;
        if !self.can_reach(peer) {
            return Err(ErrorCode::FORBIDDEN);
        }
        self.bind_channel(now, request, number, peer)?;
        self.schedule_sweep(now, slot);
        self.accept(request, |_| Ok(()));
        Ok(())
    }

    fn bind_channel(
        &mut self,
        now: Instant,
        request: &Authentic<'_>,
        number: ChannelNumber,
        peer: SocketAddr,
    ) -> Result<(), ErrorCode> {
        if peer.port() == 0 {
            return Err(ErrorCode::FORBIDDEN);
        }
        let (max_channels, max_permissions) = (self.config.max_channels, self.config.max_permissions);
        let (_, allocation) = self.allocation_of(now, request)?;
        allocation.peers.forget(now);
        allocation.peers.may_bind(now, number, peer, max_channels).map_err(|clash| match clash {
            Clash::Bound => ErrorCode::BAD_REQUEST,
            Clash::Full => ErrorCode::INSUFFICIENT_CAPACITY,
        })?;
        if !allocation.peers.has_room_for(&[peer.ip()], max_permissions) {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        allocation.peers.permit(now, peer.ip());
        allocation.peers.bind(now, number, peer);
        Ok(())
    }

    /// Returns whether an allocation may talk to an address at all.
    fn admit_peer(&self, slot: Slot, ip: IpAddr) -> Result<(), ErrorCode> {
        let relay = self.table.get(slot).and_then(|allocation| allocation.relay(AddressFamily::of(ip)));
        if relay.is_none() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        match self.policy.judge(ip) {
            Verdict::Forbidden => Err(ErrorCode::FORBIDDEN),
            Verdict::Socket => Ok(()),
            // The port of a permission does not matter (RFC 8656 §9.2), so it is enough that there
            // is one that data can go to.
            Verdict::Own if self.relayed_ips.contains_key(&ip) || self.policy.has_open_ports() => Ok(()),
            Verdict::Own => Err(ErrorCode::FORBIDDEN),
        }
    }

    /// Sees to it that expired permissions and channels are forgotten: one deadline for each
    /// allocation.
    pub(in super::super) fn schedule_sweep(&mut self, now: Instant, slot: Slot) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let next = allocation.peers.forget(now);
        if allocation.peers.sweep_at == next {
            return;
        }
        if let Some(at) = allocation.peers.sweep_at {
            self.deadlines.cancel(at, Deadline::Peers(slot));
        }
        allocation.peers.sweep_at = next;
        if let Some(at) = next {
            self.deadlines.set(at, Deadline::Peers(slot));
        }
    }
}
