//! The state cookie (RFC 9260 §5.1.3): what the answer to an INIT would have to remember, kept by
//! the peer instead.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::error::WireError;
use crate::serial::Tsn;
use crate::wire::{Extensions, Init, Reader, Writer};

/// The content of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    /// When it was made, counted from the association's birth.
    pub(super) made: Duration,
    pub(super) local_tag: u32,
    pub(super) local_tsn: Tsn,
    /// The tags that were in use when it was made, or zero (RFC 9260 §5.2.2).
    pub(super) tie_tags: (u32, u32),
    pub(super) peer: PeerInit,
}

/// The content of a peer's INIT or INIT ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerInit {
    pub(super) tag: u32,
    pub(super) tsn: Tsn,
    pub(super) window: u32,
    /// The number of streams that it sends on at most.
    pub(super) outgoing_streams: u16,
    /// The number of streams that it takes from us.
    pub(super) incoming_streams: u16,
    pub(super) extensions: Extensions,
}

impl From<&Init<'_>> for PeerInit {
    fn from(init: &Init<'_>) -> Self {
        Self {
            tag: init.tag,
            tsn: init.initial_tsn,
            window: init.window,
            outgoing_streams: init.outgoing_streams,
            incoming_streams: init.incoming_streams,
            extensions: init.extensions,
        }
    }
}

impl Cookie {
    /// The cookie's bytes, with a code under `key` that says that they are ours.
    pub(super) fn to_bytes(self, key: &[u8; 16]) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let (content, code) = bytes.split_at_mut(CONTENT);
        let mut writer = Writer::new(content);
        writer.u64(self.made.as_millis() as u64);
        writer.u32(self.local_tag);
        writer.u32(self.local_tsn.0);
        writer.u32(self.tie_tags.0);
        writer.u32(self.tie_tags.1);
        writer.u32(self.peer.tag);
        writer.u32(self.peer.tsn.0);
        writer.u32(self.peer.window);
        writer.u16(self.peer.outgoing_streams);
        writer.u16(self.peer.incoming_streams);
        let extensions = self.peer.extensions;
        for set in [
            extensions.forward_tsn,
            extensions.reconfig,
            extensions.interleaving,
            extensions.zero_checksum,
            extensions.partial_sacks,
            extensions.padding,
            extensions.ecn,
        ] {
            writer.u8(u8::from(set));
        }
        code.copy_from_slice(&authenticate(content, key));
        bytes
    }

    /// Reads a cookie. `None` if it is not ours.
    pub(super) fn from_bytes(bytes: &[u8], key: &[u8; 16]) -> Option<Self> {
        let (content, code) = bytes.split_at_checked(CONTENT)?;
        // All bytes are compared, so that time does not tell how many are right.
        let difference = authenticate(content, key)
            .iter()
            .zip(code)
            .fold(0, |seen, (ours, theirs)| seen | (ours ^ theirs));
        if bytes.len() != LENGTH || difference != 0 {
            return None;
        }
        Self::read(content).ok()
    }

    fn read(content: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(content);
        Ok(Self {
            made: Duration::from_millis(reader.u64()?),
            local_tag: reader.u32()?,
            local_tsn: Tsn(reader.u32()?),
            tie_tags: (reader.u32()?, reader.u32()?),
            peer: PeerInit {
                tag: reader.u32()?,
                tsn: Tsn(reader.u32()?),
                window: reader.u32()?,
                outgoing_streams: reader.u16()?,
                incoming_streams: reader.u16()?,
                extensions: Extensions {
                    forward_tsn: reader.u8()? != 0,
                    reconfig: reader.u8()? != 0,
                    interleaving: reader.u8()? != 0,
                    zero_checksum: reader.u8()? != 0,
                    partial_sacks: reader.u8()? != 0,
                    padding: reader.u8()? != 0,
                    ecn: reader.u8()? != 0,
                },
            },
        })
    }
}

fn authenticate(content: &[u8], key: &[u8; 16]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(content);
    hasher.finish128().as_bytes()
}

const CONTENT: usize = 47;
/// The number of bytes that a cookie has.
pub(super) const LENGTH: usize = CONTENT + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bit_can_be_changed() {
        let cookie = Cookie {
            made: Duration::from_millis(77),
            local_tag: 1,
            local_tsn: Tsn(2),
            tie_tags: (3, 4),
            peer: PeerInit {
                tag: 5,
                window: 6,
                outgoing_streams: 8,
                incoming_streams: 7,
                ..PeerInit::default()
            },
        };
        let key = [9; 16];
        let bytes = cookie.to_bytes(&key);
        assert_eq!(Cookie::from_bytes(&bytes, &key), Some(cookie));
        assert_eq!(Cookie::from_bytes(&bytes, &[8; 16]), None);
        for bit in 0..LENGTH * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cookie::from_bytes(&changed, &key), None, "bit {bit}");
        }
        assert_eq!(Cookie::from_bytes(&bytes[..LENGTH - 1], &key), None);
    }
}
