//! Redundant audio, and the wrapping of forward error correction (RFC 2198).

use crate::bytes_at::be16;
use crate::error::{ParseError, WriteError};
use crate::numbers::PayloadType;

/// Blocks of a payload at most; more are of no use.
pub const MAX_BLOCKS: usize = 8;

/// The largest block before the last one, in bytes.
pub const MAX_REDUNDANT_LEN: usize = 1023;
/// The farthest timestamp before the packet's.
const MAX_OFFSET: u16 = 0x3FFF;

const HEADER: usize = 4;

/// One block of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The payload type of the block.
    pub payload_type: PayloadType,
    /// The ticks by which its timestamp lies before the packet's; 0 for the last block.
    pub offset: u16,
    /// The data.
    pub data: &'a [u8],
}

/// Returns the blocks of a payload, the oldest first; the last one is the packet's own.
///
/// # Errors
///
/// A header or a block is cut off, or there are more than eight blocks.
pub fn blocks(payload: &[u8]) -> Result<impl Iterator<Item = Block<'_>>, ParseError> {
    let mut headers = 0;
    let mut lengths = 0;
    loop {
        let at = headers * HEADER;
        let head = *payload.get(at).ok_or_else(|| ParseError::truncated("RED header", at))?;
        if head & 0x80 == 0 {
            break;
        }
        let header = payload.get(at..at + HEADER).ok_or_else(|| ParseError::truncated("RED header", at))?;
        lengths += usize::from(be16(header, 2) & 0x3FF);
        headers += 1;
        if headers == MAX_BLOCKS {
            return Err(ParseError::invalid("number of RED blocks", at));
        }
    }
    let mut data = headers * HEADER + 1;
    if payload.len() < data + lengths {
        return Err(ParseError::truncated("RED block", data));
    }
    Ok((0..=headers).map(move |index| {
        let head = &payload[index * HEADER..];
        let payload_type = PayloadType::of_bits(head[0]);
        let (offset, len) = match index < headers {
            true => (be16(head, 1) >> 2, usize::from(be16(head, 2) & 0x3FF)),
            false => (0, payload.len() - data),
        };
        let block = Block { payload_type, offset, data: &payload[data..data + len] };
        data += len;
        block
    }))
}

/// Writes blocks, the last one of which is the packet's own; returns the length.
///
/// # Errors
///
/// There is no block, a redundant one is longer than 1,023 bytes or more than 16,383 ticks old,
/// there are more than eight, or the buffer is too small.
pub fn write(blocks: &[Block<'_>], out: &mut [u8]) -> Result<usize, WriteError> {
    let (last, redundant) =
        blocks.split_last().ok_or(WriteError::OutOfRange { what: "number of RED blocks" })?;
    if blocks.len() > MAX_BLOCKS {
        return Err(WriteError::OutOfRange { what: "number of RED blocks" });
    }
    let head = redundant.len() * HEADER + 1;
    let needed = head + blocks.iter().map(|block| block.data.len()).sum::<usize>();
    if out.len() < needed {
        return Err(WriteError::no_room("RED blocks", needed));
    }
    let mut data = head;
    for (index, block) in redundant.iter().enumerate() {
        if block.data.len() > MAX_REDUNDANT_LEN || block.offset > MAX_OFFSET {
            return Err(WriteError::OutOfRange { what: "RED block" });
        }
        let word = (u32::from(0x80 | block.payload_type.get()) << 24)
            | (u32::from(block.offset) << 10)
            | block.data.len() as u32;
        out[index * HEADER..][..HEADER].copy_from_slice(&word.to_be_bytes());
        out[data..data + block.data.len()].copy_from_slice(block.data);
        data += block.data.len();
    }
    out[head - 1] = last.payload_type.get();
    out[data..needed].copy_from_slice(last.data);
    Ok(needed)
}

/// Keeps the last payloads of an audio stream, to send them again with the next ones.
#[derive(Debug)]
pub struct RedundantAudio {
    payload_type: PayloadType,
    /// The newest last: timestamp and payload.
    sent: std::collections::VecDeque<(crate::RtpTimestamp, Vec<u8>)>,
    copies: usize,
}

impl RedundantAudio {
    /// Sends each payload of a codec again with the next `copies` ones, 1 to 7.
    #[must_use]
    pub fn new(payload_type: PayloadType, copies: usize) -> Self {
        let copies = copies.clamp(1, MAX_BLOCKS - 1);
        Self { payload_type, sent: std::collections::VecDeque::new(), copies }
    }

    /// Writes a payload behind those before it, as far as they fit; returns the length.
    ///
    /// # Errors
    ///
    /// Not even the payload itself fits.
    pub fn write(
        &mut self,
        timestamp: crate::RtpTimestamp,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let payload_type = self.payload_type;
        let mut list = [Block { payload_type, offset: 0, data: &[] }; MAX_BLOCKS];
        let mut room = out.len().saturating_sub(1 + payload.len());
        let mut count = 0;
        for (sent, data) in self.sent.iter().rev() {
            let age = timestamp.since(*sent);
            let offset = u16::try_from(age).ok().filter(|age| (1..=MAX_OFFSET).contains(age));
            let Some(offset) = offset.filter(|_| data.len() + HEADER <= room) else { break };
            room -= data.len() + HEADER;
            list[count] = Block { payload_type, offset, data };
            count += 1;
        }
        list[..count].reverse();
        list[count] = Block { payload_type, offset: 0, data: payload };
        let written = write(&list[..=count], out);
        self.keep(timestamp, payload);
        written
    }

    /// Keeps a payload in the memory of the oldest.
    fn keep(&mut self, timestamp: crate::RtpTimestamp, payload: &[u8]) {
        let oldest = if self.sent.len() == self.copies { self.sent.pop_front() } else { None };
        let (_, mut data) = oldest.unwrap_or_default();
        data.clear();
        // A payload that cannot be sent again leaves the others alone.
        if payload.len() <= MAX_REDUNDANT_LEN {
            data.extend_from_slice(payload);
            self.sent.push_back((timestamp, data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RtpTimestamp;

    const OPUS: PayloadType = PayloadType::of_bits(111);

    #[test]
    fn blocks_are_read_as_they_were_written() {
        let sent = [
            Block { payload_type: OPUS, offset: 1920, data: b"older" },
            Block { payload_type: OPUS, offset: 960, data: b"" },
            Block { payload_type: PayloadType::of_bits(0), offset: 0, data: b"newest" },
        ];
        let mut out = [0; 64];
        let len = write(&sent, &mut out).unwrap();
        assert_eq!(blocks(&out[..len]).unwrap().collect::<Vec<_>>(), sent);
        for short in 0..13 {
            assert!(blocks(&out[..short]).is_err(), "{short}");
        }
        assert!(write(&sent, &mut out[..len - 1]).is_err());
        assert!(write(&[], &mut out).is_err());
        assert!(blocks(&[0x80; 64]).is_err());
    }

    #[test]
    fn audio_is_sent_again_with_the_next() {
        let mut red = RedundantAudio::new(OPUS, 2);
        let mut out = [0; 100];
        for (index, payload) in [b"a", b"b", b"c", b"d"].into_iter().enumerate() {
            let len = red.write(RtpTimestamp(960 * index as u32), payload, &mut out).unwrap();
            let read: Vec<_> =
                blocks(&out[..len]).unwrap().map(|block| (block.offset, block.data[0])).collect();
            let expected = [(1920, payload[0].wrapping_sub(2)), (960, payload[0] - 1), (0, payload[0])];
            assert_eq!(read, expected[2 - index.min(2)..]);
        }
        // A pause of more than 16,383 ticks.
        let len = red.write(RtpTimestamp(100_000), b"z", &mut out).unwrap();
        assert_eq!(len, 2);
    }
}
