//! The data path: from client to peer, from peer to client, and from client to client within this
//! process.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use columba_stun::attributes::XorPeerAddress;
use columba_stun::{
    AddressFamily, AttributeType, CHANNEL_HEADER_LEN, ChannelData, ChannelNumber, Class, FingerprintError,
    HEADER_LEN, Message, MessageBuilder, Method, TransactionId, canonical, is_channel_data,
    is_classic_binding_request, is_stun,
};

use super::bucket::{Account, AccountId, Bucket};
use super::path::{Arrival, FiveTuple, Forward, RelayId, Transport};
use super::stats::DropReason;
use super::table::{Allocation, Holder, Slot, Stage};
use super::{DATAGRAM_OVERHEAD, Server};

/// The type of a Send indication, as its first two bytes.
const SEND_INDICATION: [u8; 2] = [0x00, 0x16];

/// The length of an attribute's header.
const ATTRIBUTE_HEADER_LEN: usize = 4;

/// Data on its way to a peer.
#[derive(Debug)]
struct Outbound {
    slot: Slot,
    peer: SocketAddr,
    /// Where it stands in the buffer.
    data: Range<usize>,
    dont_fragment: bool,
}

impl Server {
    /// Returns what to do with a message that has arrived as `buf[payload]`: the data path.
    ///
    /// The payload is not moved: a header that is no longer wanted is left in front of the returned
    /// range, a new one is written there. That takes [`HEADROOM`](super::HEADROOM) bytes in front
    /// of the payload and [`TAILROOM`](super::TAILROOM) behind it (with less, what fits goes
    /// through, and what does not is dropped as [`DropReason::NoRoom`]). From one relay of this
    /// server to another it is one call: the answer is the receiving client.
    pub fn route(
        &mut self,
        now: Instant,
        from: Arrival<'_>,
        buf: &mut [u8],
        payload: Range<usize>,
    ) -> Forward {
        let routed = match from {
            _ if buf.get(payload.clone()).is_none() => Err(DropReason::NoRoom),
            Arrival::Client(tuple) => self.route_from_client(now, tuple, buf, payload),
            Arrival::Relay { id, peer } => self.route_from_peer(now, id, peer, buf, payload),
        };
        routed.unwrap_or_else(|reason| {
            self.stats.count_drop(reason);
            Forward::Drop(reason)
        })
    }

    fn route_from_client(
        &mut self,
        now: Instant,
        tuple: &FiveTuple,
        buf: &mut [u8],
        payload: Range<usize>,
    ) -> Result<Forward, DropReason> {
        let start = payload.start;
        let message = buf.get(payload).ok_or(DropReason::NoRoom)?;
        let outbound = if is_channel_data(message) {
            self.read_channel_data(now, tuple, message, start)?
        } else if !is_stun(message) {
            // The limit on answers applies where all unauthenticated requests are counted.
            let is_request = tuple.transport() == Transport::Udp && is_classic_binding_request(message);
            return if is_request { Ok(Forward::Control) } else { Err(DropReason::Malformed) };
        } else if message[..2] == SEND_INDICATION {
            self.read_send(now, tuple, message, start)?
        } else {
            return Ok(Forward::Control);
        };
        self.note_presence(now, outbound.slot, tuple);
        self.send_to_peer(now, outbound, buf)
    }

    /// ChannelData (RFC 8656 §12.7).
    fn read_channel_data(
        &self,
        now: Instant,
        tuple: &FiveTuple,
        message: &[u8],
        start: usize,
    ) -> Result<Outbound, DropReason> {
        let ChannelData { channel, data } = ChannelData::parse(message).map_err(|_| DropReason::Malformed)?;
        let (slot, allocation) = self.live(tuple)?;
        let peer = allocation.peers.peer_of(now, channel).ok_or(DropReason::NoChannel)?;
        let start = start + CHANNEL_HEADER_LEN;
        Ok(Outbound { slot, peer, data: start..start + data.len(), dont_fragment: false })
    }

    /// A Send indication (RFC 8656 §11.2).
    fn read_send(
        &self,
        now: Instant,
        tuple: &FiveTuple,
        message: &[u8],
        start: usize,
    ) -> Result<Outbound, DropReason> {
        const KNOWN: [AttributeType; 3] =
            [AttributeType::XOR_PEER_ADDRESS, AttributeType::DATA, AttributeType::DONT_FRAGMENT];
        let message = Message::parse(message).map_err(|_| DropReason::Malformed)?;
        if !matches!(message.verify_fingerprint(), Ok(()) | Err(FingerprintError::Missing)) {
            return Err(DropReason::Malformed);
        }
        let dont_fragment = message.has(AttributeType::DONT_FRAGMENT);
        if !message.unknown_comprehension_required(&KNOWN).is_empty()
            || (dont_fragment && !self.config.dont_fragment)
        {
            return Err(DropReason::Unexpected);
        }
        let data = message.raw(AttributeType::DATA).ok_or(DropReason::Malformed)?;
        let peer = message.get::<XorPeerAddress>().map_err(|_| DropReason::Malformed)?;
        let XorPeerAddress(peer) = peer.ok_or(DropReason::Malformed)?;
        let (slot, allocation) = self.live(tuple)?;
        if !allocation.peers.is_permitted(now, peer.ip()) {
            return Err(DropReason::NoPermission);
        }
        let start = start + data.offset + ATTRIBUTE_HEADER_LEN;
        Ok(Outbound { slot, peer, data: start..start + data.value.len(), dont_fragment })
    }

    /// Where every datagram to a peer passes: out by a relay port, over to another client, or not
    /// at all.
    fn send_to_peer(
        &mut self,
        now: Instant,
        outbound: Outbound,
        buf: &mut [u8],
    ) -> Result<Forward, DropReason> {
        let Outbound { slot, peer, data, dont_fragment } = outbound;
        let relay = self.relay_for(slot, AddressFamily::of(peer.ip())).ok_or(DropReason::NoPermission)?;
        if peer.port() == 0 {
            return Err(DropReason::PeerForbidden);
        }
        let target = self.allocation_at(peer);
        if target.is_none() && self.policy.is_closed(peer) {
            return Err(DropReason::OwnAddress);
        }
        let bytes = data.len() as u64;
        self.charge(now, slot, data.len(), Direction::Up)?;
        let forward = match target {
            None => Forward::ToPeer { relay: relay.id, peer, range: data, dont_fragment },
            Some(other) => {
                let forward = self.send_to_client(now, other, relay.addr, buf, data)?;
                self.stats.datagrams_in_process += 1;
                forward
            }
        };
        self.stats.datagrams_to_peers += 1;
        self.stats.bytes_to_peers += bytes;
        Ok(forward)
    }

    /// Returns whether data for `peer`, whose address may have a permission, can go anywhere.
    pub(super) fn can_reach(&self, peer: SocketAddr) -> bool {
        self.allocation_at(peer).is_some() || !self.policy.is_closed(peer)
    }

    /// The allocation that has this relayed address.
    fn allocation_at(&self, peer: SocketAddr) -> Option<Slot> {
        let ours = peer.ip().is_loopback() || self.policy.is_own(peer.ip());
        if ours { self.by_address.get(&peer).copied() } else { None }
    }

    fn route_from_peer(
        &mut self,
        now: Instant,
        id: RelayId,
        peer: SocketAddr,
        buf: &mut [u8],
        payload: Range<usize>,
    ) -> Result<Forward, DropReason> {
        let Some(Holder::Allocation(slot)) = self.relays.get(&id).copied() else {
            return Err(DropReason::NoAllocation);
        };
        self.send_to_client(now, slot, canonical(peer), buf, payload)
    }

    /// Where every datagram to a client passes (RFC 8656 §11.3 and §12.7).
    fn send_to_client(
        &mut self,
        now: Instant,
        slot: Slot,
        peer: SocketAddr,
        buf: &mut [u8],
        data: Range<usize>,
    ) -> Result<Forward, DropReason> {
        let allocation = self.table.get(slot).filter(|a| is_live(a)).ok_or(DropReason::NoAllocation)?;
        if !allocation.peers.is_permitted(now, peer.ip()) {
            return Err(DropReason::NoPermission);
        }
        let tuple = allocation.tuple;
        let channel = allocation.peers.channel_to(now, peer);
        let len = data.len();
        self.charge(now, slot, len, Direction::Down)?;
        let range = match channel {
            Some(channel) => write_channel_data(channel, tuple.transport().is_stream(), buf, data),
            None => write_data_indication(self.next_indication(), peer, buf, data),
        };
        let range = range.ok_or(DropReason::NoRoom)?;
        self.stats.datagrams_to_clients += 1;
        self.stats.bytes_to_clients += len as u64;
        Ok(Forward::ToClient { tuple, range })
    }

    fn live(&self, tuple: &FiveTuple) -> Result<(Slot, &Allocation), DropReason> {
        let slot = self.table.find(tuple).ok_or(DropReason::NoAllocation)?;
        let allocation = self.table.get(slot).filter(|a| is_live(a)).ok_or(DropReason::NoAllocation)?;
        Ok((slot, allocation))
    }

    /// Takes a datagram from the three buckets that it must fit, or from none.
    fn charge(
        &mut self,
        now: Instant,
        slot: Slot,
        len: usize,
        direction: Direction,
    ) -> Result<(), DropReason> {
        let bytes = (len + DATAGRAM_OVERHEAD) as u64;
        let allocation = self.table.get(slot).ok_or(DropReason::NoAllocation)?;
        let (credential, address): (AccountId, AccountId) = (allocation.credential, allocation.address);
        let config = &self.config;
        let total = match direction {
            Direction::Up => &mut self.total_up,
            Direction::Down => &mut self.total_down,
        };
        let credential = self.credentials.get_mut(credential).map(|account| direction.of(account));
        let address = self.addresses.get_mut(address).map(|account| direction.of(account));
        let buckets = [
            (credential, config.bandwidth_per_credential, DropReason::CredentialBandwidth),
            (address, config.bandwidth_per_address, DropReason::AddressBandwidth),
            (Some(total), config.bandwidth_total, DropReason::TotalBandwidth),
        ];
        for (bucket, rate, reason) in &buckets {
            if !bucket.as_ref().is_some_and(|bucket| bucket.fits(now, bytes, *rate)) {
                return Err(*reason);
            }
        }
        for (bucket, rate, _) in buckets {
            if let Some(bucket) = bucket {
                bucket.take(now, bytes, rate);
            }
        }
        Ok(())
    }

    fn next_indication(&mut self) -> TransactionId {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.secret_number().to_be_bytes());
        TransactionId(id)
    }
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    fn of(self, account: &mut Account) -> &mut Bucket {
        match self {
            Self::Up => &mut account.up,
            Self::Down => &mut account.down,
        }
    }
}

fn is_live(allocation: &Allocation) -> bool {
    matches!(allocation.stage, Stage::Live(_))
}

/// Puts a channel's header in front of the data, and padding behind it if it goes over a stream.
fn write_channel_data(
    channel: ChannelNumber,
    stream: bool,
    buf: &mut [u8],
    data: Range<usize>,
) -> Option<Range<usize>> {
    let header = ChannelData::header(channel, data.len())?;
    let padding = if stream { ChannelData::padding(data.len()) } else { 0 };
    let start = data.start.checked_sub(CHANNEL_HEADER_LEN)?;
    buf.get_mut(data.end..data.end + padding)?.fill(0);
    buf.get_mut(start..data.start)?.copy_from_slice(&header);
    Some(start..data.end + padding)
}

/// Puts the front of a Data indication before the data, and padding behind it.
fn write_data_indication(
    transaction: TransactionId,
    peer: SocketAddr,
    buf: &mut [u8],
    data: Range<usize>,
) -> Option<Range<usize>> {
    let len = u16::try_from(data.len()).ok()?;
    let address_len = if peer.is_ipv4() { 8 } else { 20 };
    let front = HEADER_LEN + ATTRIBUTE_HEADER_LEN + address_len + ATTRIBUTE_HEADER_LEN;
    let start = data.start.checked_sub(front)?;
    let end = data.end + ChannelData::padding(data.len());
    let body = u16::try_from(end - start - HEADER_LEN).ok()?;
    buf.get_mut(data.end..end)?.fill(0);
    let head = buf.get_mut(start..data.start)?;
    MessageBuilder::new(head, Class::Indication, Method::DATA, transaction)
        .and_then(|mut builder| builder.push(&XorPeerAddress(peer)).map(|_| ()))
        .ok()?;
    // The data is in place already, so its header is written here and the length put right.
    let (_, data_header) = head.split_last_chunk_mut::<ATTRIBUTE_HEADER_LEN>()?;
    data_header[..2].copy_from_slice(&AttributeType::DATA.number().to_be_bytes());
    data_header[2..].copy_from_slice(&len.to_be_bytes());
    head[2..4].copy_from_slice(&body.to_be_bytes());
    Some(start..end)
}
