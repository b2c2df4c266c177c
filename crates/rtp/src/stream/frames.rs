//! Packets in any order become frames in order.

use crate::numbers::{PayloadType, RtpTimestamp};
use crate::payload::{Assembler, Format, PartInfo};

/// A packet as a frame buffer takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// The extended sequence number.
    pub number: u64,
    /// The timestamp.
    pub timestamp: RtpTimestamp,
    /// The marker.
    pub marker: bool,
    /// The payload type, which a frame takes from its first packet.
    pub payload_type: PayloadType,
}

/// A frame that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// The extended number of its first packet.
    pub first: u64,
    /// The extended number of its last packet.
    pub last: u64,
    /// The timestamp.
    pub timestamp: RtpTimestamp,
    /// The payload type.
    pub payload_type: PayloadType,
    /// A decoder can begin with it.
    pub key: bool,
    /// The frames before it are not all there: it follows a loss.
    pub after_loss: bool,
}

/// Packets without a part of a frame that may be missing between two pictures: fewer than there are
/// numbers of pictures.
const MAX_CORRECTIONS: u64 = 100;

#[derive(Debug)]
struct Slot {
    info: PacketInfo,
    place: PartInfo,
    payload: Vec<u8>,
}

/// Puts the frames of one stream together. After a loss it gives out no frame before the next key
/// frame, if the codec has such.
#[derive(Debug)]
pub struct FrameBuffer {
    format: Format,
    assembler: Assembler,
    /// Each packet at its number modulo the length.
    slots: Vec<Option<Slot>>,
    /// Payload memory that is not in use.
    spare: Vec<Vec<u8>>,
    /// The first packet that is not given out yet.
    next: Option<u64>,
    highest: u64,
    wants_key: bool,
    after_loss: bool,
    dropped: u64,
    /// The number of the last picture that was given out.
    picture: Option<u8>,
}

impl FrameBuffer {
    /// Returns a buffer of `packets` packets at most, rounded up to a power of two.
    #[must_use]
    pub fn new(format: Format, packets: usize) -> Self {
        let len = packets.clamp(16, 1 << 14).next_power_of_two();
        Self {
            format,
            assembler: Assembler::new(format),
            slots: std::iter::repeat_with(|| None).take(len).collect(),
            spare: Vec::new(),
            next: None,
            highest: 0,
            wants_key: !matches!(format, Format::Whole),
            after_loss: false,
            dropped: 0,
            picture: None,
        }
    }

    /// Returns true if nothing is given out before a key frame comes: ask for one.
    #[must_use]
    pub const fn wants_key_frame(&self) -> bool {
        self.wants_key
    }

    /// Returns the number of frames, or parts of such, that were given up.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a packet; an empty payload is padding. Returns false if it is too late, a repetition,
    /// or not of the format.
    pub fn insert(&mut self, info: PacketInfo, payload: &[u8]) -> bool {
        let place = match payload.is_empty() {
            true => PartInfo::default(),
            false => match Assembler::inspect(self.format, payload) {
                Ok(place) => place,
                Err(error) => {
                    tracing::debug!(%error, "a payload is dropped");
                    return false;
                }
            },
        };
        let next = *self.next.get_or_insert(info.number);
        if info.number < next {
            return false;
        }
        if info.number - next >= self.slots.len() as u64 {
            // What is older than the buffer is long is given up.
            self.skip_to(info.number + 1 - self.slots.len() as u64);
        }
        let at = self.slot(info.number);
        if self.slots[at].is_some() {
            return false;
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(payload);
        self.slots[at] = Some(Slot { info, place, payload: bytes });
        self.highest = self.highest.max(info.number);
        true
    }

    /// Gives packets up that are missing, up to this number: they will not come any more.
    pub fn give_up(&mut self, number: u64) {
        let Some(next) = self.next else { return };
        let mut at = next;
        while at <= number.min(self.highest) && self.get(at).is_some() {
            at += 1;
        }
        if at <= number {
            // Whole frames before the gap are still good: they are given out first.
            let begin = self.frame_begin(at);
            if begin == next {
                self.skip_to(number + 1);
            }
        }
    }

    /// Appends the next whole frame to `out`, which is cleared first.
    pub fn pop(&mut self, out: &mut Vec<u8>) -> Option<FrameInfo> {
        loop {
            self.skip_padding();
            self.skip_corrections();
            let first = self.next?;
            let slot = self.get(first)?;
            if self.after_loss && !slot.place.begins {
                // The rest of a frame whose beginning is lost.
                self.release(first);
                self.next = Some(first + 1);
                continue;
            }
            let (begin, picture, last) = (slot.info, slot.place.picture, self.last_of(first)?);
            let info = self.assemble(begin, last, out);
            self.next = Some(last + 1);
            match info {
                Some(info) if info.key || !self.wants_key => {
                    (self.wants_key, self.after_loss, self.picture) = (false, false, picture);
                    return Some(info);
                }
                Some(_) => {
                    // Whole, and of no use without the one that it builds on.
                    self.dropped += 1;
                    self.after_loss = true;
                }
                None => self.lose(),
            }
        }
    }

    /// Returns the last packet of the frame that begins here, if all between are there.
    fn last_of(&self, first: u64) -> Option<u64> {
        if self.format == Format::Whole {
            return self.get(first).map(|_| first);
        }
        let timestamp = self.get(first)?.info.timestamp;
        let mut at = first;
        loop {
            if self.get(at)?.info.marker {
                return Some(at);
            }
            // Without a marker a frame ends before the next timestamp.
            let following = self.get(at + 1)?;
            if following.info.timestamp != timestamp {
                return Some(at);
            }
            at += 1;
        }
    }

    fn assemble(&mut self, begin: PacketInfo, last: u64, out: &mut Vec<u8>) -> Option<FrameInfo> {
        out.clear();
        self.assembler.reset();
        let (mut key, mut good) = (false, true);
        let PacketInfo { number: first, timestamp, payload_type, .. } = begin;
        for number in first..=last {
            let at = self.slot(number);
            let Some(slot) = self.slots[at].take() else { continue };
            if !slot.payload.is_empty() && good {
                match self.assembler.push(&slot.payload, out) {
                    Ok(place) => key |= place.key,
                    Err(error) => {
                        tracing::debug!(%error, "a frame is dropped");
                        good = false;
                    }
                }
            }
            self.spare.push(slot.payload);
        }
        good.then_some(FrameInfo { first, last, timestamp, payload_type, key, after_loss: self.after_loss })
    }

    /// Skips packets without payload between frames.
    fn skip_padding(&mut self) {
        while let Some(next) =
            self.next.filter(|next| self.get(*next).is_some_and(|slot| slot.payload.is_empty()))
        {
            self.release(next);
            self.next = Some(next + 1);
        }
    }

    /// Skips packets that are missing between two pictures whose numbers follow each other: they
    /// had no part of a frame. Corrections (RFC 5109) have numbers of the stream, and are not sent
    /// again.
    fn skip_corrections(&mut self) {
        let (Some(next), Some(picture)) = (self.next, self.picture) else { return };
        if self.wants_key || self.get(next).is_some() {
            return;
        }
        let end = self.highest.min(next + MAX_CORRECTIONS);
        let following = (next..=end).find(|at| self.get(*at).is_some_and(|slot| !slot.payload.is_empty()));
        let Some(begin) = following else { return };
        let follows = |slot: &Slot| slot.place.begins && slot.place.picture == Some((picture + 1) & 0x7F);
        if self.get(begin).is_some_and(follows) {
            (next..begin).for_each(|number| self.release(number));
            self.next = Some(begin);
        }
    }

    /// Returns where the frame begins that a packet belongs to, or would.
    fn frame_begin(&self, number: u64) -> u64 {
        let next = self.next.unwrap_or(number);
        let mut at = number;
        while at > next && !self.get(at - 1).is_some_and(|slot| slot.info.marker) {
            at -= 1;
        }
        at
    }

    fn skip_to(&mut self, number: u64) {
        let Some(next) = self.next else { return };
        let end = number.min(self.highest + 1).min(next + self.slots.len() as u64);
        for lost in next..end {
            self.release(lost);
        }
        self.next = Some(number.max(next));
        self.lose();
    }

    fn lose(&mut self) {
        self.after_loss = true;
        self.dropped += 1;
        self.wants_key = !matches!(self.format, Format::Whole);
    }

    fn release(&mut self, number: u64) {
        let at = self.slot(number);
        if let Some(slot) = self.slots[at].take_if(|slot| slot.info.number == number) {
            self.spare.push(slot.payload);
        }
    }

    fn get(&self, number: u64) -> Option<&Slot> {
        self.slots[self.slot(number)].as_ref().filter(|slot| slot.info.number == number)
    }

    const fn slot(&self, number: u64) -> usize {
        (number % self.slots.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Packetizer;
    use proptest::prelude::*;

    type Sent = (PacketInfo, Vec<u8>);

    /// Frames of VP8, the first of each ten a key frame, as packets; and the frames.
    fn stream(sizes: &[usize]) -> (Vec<Sent>, Vec<Vec<u8>>) {
        let mut packetizer = Packetizer::new(Format::Vp8);
        let (mut packets, mut frames, mut number) = (Vec::new(), Vec::new(), 65_500);
        for (index, size) in sizes.iter().enumerate() {
            let mut frame = vec![index as u8; *size];
            frame[0] = u8::from(index % 10 != 0);
            packetizer.begin(&frame, 100).unwrap();
            let mut out = [0; 100];
            while let Some(part) = packetizer.next(&frame, &mut out).unwrap() {
                let timestamp = RtpTimestamp(3000 * index as u32);
                let payload_type = PayloadType::default();
                let info = PacketInfo { number, timestamp, marker: part.last, payload_type };
                packets.push((info, out[..part.len].to_vec()));
                number += 1;
            }
            frames.push(frame);
        }
        (packets, frames)
    }

    fn drain(buffer: &mut FrameBuffer, out: &mut Vec<(FrameInfo, Vec<u8>)>) {
        let mut frame = Vec::new();
        while let Some(info) = buffer.pop(&mut frame) {
            out.push((info, frame.clone()));
        }
    }

    /// A stream whose first key frame is lost, or that was joined in its midst: what comes before
    /// the next one is of no use, and is told.
    #[test]
    fn frames_before_the_first_key_frame_are_told() {
        let (packets, frames) = stream(&[50; 25]);
        let mut buffer = FrameBuffer::new(Format::Vp8, 64);
        for (info, payload) in packets.iter().skip(1) {
            buffer.insert(*info, payload);
        }
        let mut out = Vec::new();
        drain(&mut buffer, &mut out);
        assert_eq!(buffer.dropped(), 9);
        assert!(out[0].1 == frames[10] && out[0].0.after_loss, "{:?}", out[0].0);
        assert!(out[1..].iter().all(|(info, _)| !info.after_loss));
    }

    /// Corrections between pictures are lost like others, and are not sent again: only missing
    /// pictures hold the stream.
    #[test]
    fn lost_corrections_hold_no_pictures() {
        let mut buffer = FrameBuffer::new(Format::Vp8, 64);
        let mut arrive = |number: u64, picture: u8| {
            let timestamp = RtpTimestamp(3000 * number as u32);
            let info = PacketInfo { number, timestamp, marker: true, payload_type: PayloadType::default() };
            // The first packet of a picture, with a number of seven bits.
            assert!(buffer.insert(info, &[0x90, 0x80, picture, u8::from(number > 10), 1, 2]));
            let mut received = Vec::new();
            drain(&mut buffer, &mut received);
            received.iter().map(|(info, _)| (info.last, info.after_loss)).collect::<Vec<_>>()
        };
        assert_eq!(arrive(10, 127), [(10, false)]);
        assert_eq!(arrive(13, 0), [(13, false)]);
        assert_eq!(arrive(14, 1), [(14, false)]);
        assert_eq!(arrive(16, 3), [], "picture 2 is missing");
        assert_eq!(arrive(15, 2), [(15, false), (16, false)]);
        assert!(!buffer.wants_key_frame());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn any_order_gives_all_frames(
            sizes in prop::collection::vec(1_usize..500, 1..20),
            keys in prop::collection::vec(0_u64..20, 120),
            first in any::<prop::sample::Index>(),
        ) {
            let (mut packets, frames) = stream(&sizes);
            let mut buffer = FrameBuffer::new(Format::Vp8, 256);
            let mut received = Vec::new();
            // The very first packet tells where the stream begins.
            buffer.insert(packets[0].0, &packets[0].1);
            let _ = first;
            let mut order: Vec<_> = packets.drain(1..).enumerate().collect();
            order.sort_by_key(|(index, _)| *index as u64 + keys[index % keys.len()]);
            for (_, (info, payload)) in order {
                prop_assert!(buffer.insert(info, &payload));
                prop_assert!(!buffer.insert(info, &payload));
                drain(&mut buffer, &mut received);
            }
            drain(&mut buffer, &mut received);
            prop_assert_eq!(received.len(), frames.len());
            for ((_, frame), expected) in received.iter().zip(&frames) {
                prop_assert_eq!(frame, expected);
            }
        }

        /// Each frame that comes out is whole and in order; after a loss the first is a key frame.
        #[test]
        fn losses_lose_frames_up_to_the_next_key_frame(
            sizes in prop::collection::vec(1_usize..500, 30),
            lost in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let (packets, frames) = stream(&sizes);
            let lost: Vec<_> = lost.iter().map(|index| index.index(packets.len())).collect();
            let mut buffer = FrameBuffer::new(Format::Vp8, 256);
            let mut received = Vec::new();
            for (index, (info, payload)) in packets.iter().enumerate() {
                if lost.contains(&index) {
                    continue;
                }
                buffer.insert(*info, payload);
                drain(&mut buffer, &mut received);
                if index >= 5 {
                    buffer.give_up(info.number - 5);
                    drain(&mut buffer, &mut received);
                }
            }
            let mut expected = None;
            for (info, frame) in &received {
                let index = (info.timestamp.0 / 3000) as usize;
                prop_assert_eq!(frame, &frames[index]);
                prop_assert!(expected == Some(index) || info.key, "{} {:?}", index, expected);
                prop_assert!(expected.is_none_or(|expected| expected <= index));
                expected = Some(index + 1);
            }
            if lost.is_empty() {
                prop_assert_eq!(received.len(), frames.len());
            }
        }
    }

    #[test]
    fn jumps_and_giant_frames_keep_memory_bounded() {
        let mut buffer = FrameBuffer::new(Format::Vp8, 64);
        let mut out = Vec::new();
        for number in (0..100_000_u64).map(|index| index * index) {
            let payload_type = PayloadType::default();
            let info = PacketInfo { number, timestamp: RtpTimestamp(1), marker: false, payload_type };
            buffer.insert(info, &[0x00, 1, 2]);
            assert_eq!(buffer.pop(&mut out), None);
        }
        assert!(buffer.spare.len() <= 65 && buffer.wants_key_frame());
    }

    #[test]
    fn padding_between_frames_is_skipped() {
        let mut buffer = FrameBuffer::new(Format::Whole, 64);
        let mut out = Vec::new();
        let payload_type = PayloadType::default();
        let info = |number, timestamp| PacketInfo {
            number,
            timestamp: RtpTimestamp(timestamp),
            marker: true,
            payload_type,
        };
        buffer.insert(info(1, 0), b"a");
        buffer.insert(info(2, 0), b"");
        buffer.insert(info(3, 960), b"b");
        assert_eq!(buffer.pop(&mut out).map(|frame| frame.first), Some(1));
        assert_eq!(buffer.pop(&mut out).map(|frame| frame.first), Some(3));
        assert_eq!((out.as_slice(), buffer.pop(&mut Vec::new())), (&b"b"[..], None));
    }
}
