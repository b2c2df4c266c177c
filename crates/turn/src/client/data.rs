//! The data path: headers on and off, in place.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use columba_stun::attributes::{Data, XorPeerAddress};
use columba_stun::{
    AttributeType, CHANNEL_HEADER_LEN, ChannelData, Class, HEADER_LEN, Message, MessageBuilder, Method,
    TransactionId, canonical, is_channel_data,
};
use rand_core::Rng;

use super::peers::ChannelState;
use super::{Client, Received, channel_number};

impl Client {
    /// Takes a datagram from the server, or one message of a stream.
    pub fn handle_message(&mut self, now: Instant, datagram: &[u8]) -> Received {
        if is_channel_data(datagram) {
            return self.unwrap_channel(datagram).unwrap_or(Received::Consumed);
        }
        let Ok(message) = Message::parse(datagram) else { return Received::Consumed };
        match (message.class(), message.method()) {
            (Class::Indication, Method::DATA) => unwrap_indication(&message).unwrap_or(Received::Consumed),
            (Class::SuccessResponse | Class::ErrorResponse, _) => {
                self.handle_response(now, &message);
                Received::Consumed
            }
            _ => Received::Consumed,
        }
    }

    /// Writes a header in front of `range`, so that the server sends the bytes on to `peer`, and
    /// returns the range of the whole. It needs [`HEADROOM`](super::HEADROOM) bytes in front and
    /// [`TAILROOM`](super::TAILROOM) behind. `None` if there is no allocation, or none yet at a new
    /// address, or no room.
    pub fn wrap(&mut self, peer: SocketAddr, buf: &mut [u8], range: Range<usize>) -> Option<Range<usize>> {
        if !self.is_live() || self.is_moving() || range.start > range.end || range.end > buf.len() {
            return None;
        }
        let peer = canonical(peer);
        match self.channels.get(&peer) {
            Some(channel) if matches!(channel.state, ChannelState::Bound { .. }) => {
                let header = ChannelData::header(channel.number, range.len())?;
                let start = range.start.checked_sub(CHANNEL_HEADER_LEN)?;
                let padding = if self.config.stream { ChannelData::padding(range.len()) } else { 0 };
                buf.get_mut(range.end..range.end + padding)?.fill(0);
                buf[start..range.start].copy_from_slice(&header);
                Some(start..range.end + padding)
            }
            _ => self.wrap_indication(peer, buf, range),
        }
    }

    fn wrap_indication(
        &mut self,
        peer: SocketAddr,
        buf: &mut [u8],
        range: Range<usize>,
    ) -> Option<Range<usize>> {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        let header = HEADER_LEN + if peer.is_ipv4() { 12 } else { 24 };
        let start = range.start.checked_sub(header + 4)?;
        let padding = ChannelData::padding(range.len());
        let end = range.end + padding;
        let length = u16::try_from(end - start - HEADER_LEN).ok()?;
        buf.get_mut(range.end..end)?.fill(0);
        let target = &mut buf[start..range.start];
        MessageBuilder::new(target, Class::Indication, Method::SEND, TransactionId(id))
            .ok()?
            .push(&XorPeerAddress(peer))
            .ok()?;
        let [high, low] = AttributeType::DATA.number().to_be_bytes();
        let [length_high, length_low] = u16::try_from(range.len()).ok()?.to_be_bytes();
        target[header..].copy_from_slice(&[high, low, length_high, length_low]);
        target[2..4].copy_from_slice(&length.to_be_bytes());
        Some(start..end)
    }

    fn unwrap_channel(&self, datagram: &[u8]) -> Option<Received> {
        let ChannelData { channel, data } = ChannelData::parse(datagram).ok()?;
        let first = channel_number(0)?.number();
        let index = usize::from(channel.number().checked_sub(first)?);
        let peer = *self.numbers.get(index)?;
        Some(Received::Data { peer, range: CHANNEL_HEADER_LEN..CHANNEL_HEADER_LEN + data.len() })
    }
}

fn unwrap_indication(message: &Message<'_>) -> Option<Received> {
    let XorPeerAddress(peer) = message.get().ok()??;
    let start = message.raw(AttributeType::DATA)?.offset + 4;
    let Data(data) = message.get().ok()??;
    Some(Received::Data { peer, range: start..start + data.len() })
}
