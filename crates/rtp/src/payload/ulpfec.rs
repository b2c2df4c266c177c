//! Forward error correction by exclusive or: ULPFEC with one level (RFC 5109).
//!
//! The packets that it protects, and its own, travel in RED (RFC 2198) in one stream, as browsers
//! negotiate it. It covers the packets without RED, and with those header extensions set to zero
//! that change on the way.

use std::collections::VecDeque;

use crate::bytes_at::{be16, be32, put16, put32};
use crate::error::ParseError;
use crate::numbers::{SequenceNumber, Ssrc};
use crate::packet::{FIXED_HEADER_LEN, Header};

/// The header, and that of the one level with a mask of 48 bits (RFC 5109 §7.3, §7.4).
const HEADER: usize = 10;
const SHORT_LEVEL: usize = 4;
const LONG_LEVEL: usize = 8;

/// Packets behind the first that one packet of correction can protect.
pub const MAX_SPAN: u16 = 48;

/// Packets and corrections that a receiver keeps.
const KEPT_PACKETS: usize = 128;
const KEPT_CORRECTIONS: usize = 16;

/// The largest packet that is protected, in bytes.
const MAX_PACKET: usize = 2048;

/// Copies a packet, with the header extensions of these numbers set to zero.
fn copy_without(packet: &[u8], mutable: &[u8], out: &mut Vec<u8>) -> Option<SequenceNumber> {
    if packet.len() > MAX_PACKET {
        return None;
    }
    let header = Header::parse(packet).ok()?;
    out.clear();
    out.extend_from_slice(packet);
    for (id, value) in header.extensions() {
        if mutable.contains(&id) {
            let start = value.as_ptr().addr() - packet.as_ptr().addr();
            out[start..start + value.len()].fill(0);
        }
    }
    Some(header.sequence_number())
}

/// The exclusive or of several packets.
#[derive(Debug, Default)]
struct Sum {
    /// The first byte without the version, the second byte, timestamp and length.
    head: [u8; 2],
    timestamp: u32,
    len: u16,
    /// All behind the fixed header.
    body: Vec<u8>,
}

impl Sum {
    fn clear(&mut self) {
        (self.head, self.timestamp, self.len) = ([0; 2], 0, 0);
        self.body.clear();
    }

    fn add(&mut self, packet: &[u8]) {
        self.head[0] ^= packet[0] & 0x3F;
        self.head[1] ^= packet[1];
        self.timestamp ^= be32(packet, 4);
        let body = &packet[FIXED_HEADER_LEN..];
        self.len ^= body.len() as u16;
        if self.body.len() < body.len() {
            self.body.resize(body.len(), 0);
        }
        self.body.iter_mut().zip(body).for_each(|(sum, byte)| *sum ^= byte);
    }
}

/// Makes packets of correction.
#[derive(Debug)]
pub struct UlpfecEncoder {
    mutable: Vec<u8>,
    base: SequenceNumber,
    mask: u64,
    sum: Sum,
    scratch: Vec<u8>,
}

impl UlpfecEncoder {
    /// Returns an encoder. The header extensions of the given numbers change on the way: the
    /// transport-wide number, the time of sending.
    #[must_use]
    pub fn new(mutable: &[u8]) -> Self {
        let mutable = mutable.to_vec();
        Self { mutable, base: SequenceNumber(0), mask: 0, sum: Sum::default(), scratch: Vec::new() }
    }

    /// Returns the number of packets that the next correction protects.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.mask.count_ones()
    }

    /// Adds a packet in the clear and without RED. Returns false if it is not a packet, or lies
    /// before the first one or more than 47 behind it: then a correction is due first.
    pub fn add(&mut self, packet: &[u8]) -> bool {
        let Some(number) = copy_without(packet, &self.mutable, &mut self.scratch) else { return false };
        if self.mask == 0 {
            self.base = number;
            self.sum.clear();
        }
        let distance = number.since(self.base);
        if distance >= MAX_SPAN || self.mask & (1 << distance) != 0 {
            return false;
        }
        self.mask |= 1 << distance;
        self.sum.add(&self.scratch);
        true
    }

    /// Writes the correction of the packets that were added, and forgets them; returns its length.
    /// `None` if there is none, or no room for it.
    pub fn finish(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.mask == 0 {
            return None;
        }
        let long = self.mask >> 16 != 0;
        let body = HEADER + if long { LONG_LEVEL } else { SHORT_LEVEL };
        let len = body + self.sum.body.len();
        let out = out.get_mut(..len)?;
        out[0] = (u8::from(long) << 6) | self.sum.head[0];
        out[1] = self.sum.head[1];
        put16(out, 2, self.base.0);
        put32(out, 4, self.sum.timestamp);
        put16(out, 8, self.sum.len);
        put16(out, 10, self.sum.body.len() as u16);
        // The first packet is the mask's most significant bit.
        let mask = self.mask.reverse_bits();
        out[12..body].copy_from_slice(&mask.to_be_bytes()[..body - 12]);
        out[body..].copy_from_slice(&self.sum.body);
        self.mask = 0;
        Some(len)
    }
}

/// A correction that was received.
#[derive(Debug, Default)]
struct Correction {
    base: SequenceNumber,
    mask: u64,
    payload: Vec<u8>,
    body: usize,
}

/// Restores packets from others of their stream.
#[derive(Debug)]
pub struct UlpfecDecoder {
    ssrc: Ssrc,
    mutable: Vec<u8>,
    /// The packets received, each at its number modulo the length.
    packets: Vec<Option<SequenceNumber>>,
    bytes: Vec<Vec<u8>>,
    corrections: VecDeque<Correction>,
    /// Memory of corrections that are done.
    spare: Vec<Vec<u8>>,
    newest: Option<SequenceNumber>,
    sum: Sum,
    scratch: Vec<u8>,
    restored: u64,
}

impl UlpfecDecoder {
    /// Returns a decoder of a stream; the header extensions of the given numbers change on the way.
    #[must_use]
    pub fn new(ssrc: Ssrc, mutable: &[u8]) -> Self {
        Self {
            ssrc,
            mutable: mutable.to_vec(),
            packets: vec![None; KEPT_PACKETS],
            bytes: vec![Vec::new(); KEPT_PACKETS],
            corrections: VecDeque::with_capacity(KEPT_CORRECTIONS),
            spare: Vec::with_capacity(KEPT_CORRECTIONS),
            newest: None,
            sum: Sum::default(),
            scratch: Vec::new(),
            restored: 0,
        }
    }

    /// Returns the number of packets restored.
    #[must_use]
    pub const fn restored(&self) -> u64 {
        self.restored
    }

    /// Adds a packet of media in the clear and without RED.
    pub fn add_media(&mut self, packet: &[u8]) {
        let Some(number) = copy_without(packet, &self.mutable, &mut self.scratch) else { return };
        let slot = usize::from(number.0) % KEPT_PACKETS;
        self.packets[slot] = Some(number);
        std::mem::swap(&mut self.bytes[slot], &mut self.scratch);
        if self.newest.is_none_or(|newest| number.is_after(newest)) {
            self.newest = Some(number);
        }
    }

    /// Adds a correction: the payload of RED's block.
    ///
    /// # Errors
    ///
    /// It is cut off, or protects nothing.
    pub fn add_correction(&mut self, payload: &[u8]) -> Result<(), ParseError> {
        let level =
            if payload.first().is_some_and(|byte| byte & 0x40 != 0) { LONG_LEVEL } else { SHORT_LEVEL };
        let body = HEADER + level;
        if payload.len() < body || payload.len() > MAX_PACKET {
            return Err(ParseError::truncated("ULPFEC header", 0));
        }
        let protected = usize::from(be16(payload, HEADER));
        if payload.len() - body < protected {
            return Err(ParseError::truncated("ULPFEC payload", body));
        }
        let mut mask = [0; 8];
        mask[..level - 2].copy_from_slice(&payload[HEADER + 2..body]);
        let mask = u64::from_be_bytes(mask).reverse_bits();
        if mask == 0 {
            return Err(ParseError::invalid("ULPFEC mask", HEADER + 2));
        }
        if self.corrections.len() == KEPT_CORRECTIONS {
            self.remove(0);
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(&payload[..body + protected]);
        let base = SequenceNumber(be16(payload, 2));
        let correction = Correction { base, mask, payload: bytes, body };
        self.corrections.push_back(correction);
        Ok(())
    }

    /// Restores a packet of which all others of its group are there, into `out`. Returns false if
    /// there is none; call it again until then, because one packet may restore the next.
    pub fn restore(&mut self, out: &mut Vec<u8>) -> bool {
        let mut index = 0;
        while index < self.corrections.len() {
            let correction = &self.corrections[index];
            let mut missing = numbers(correction).filter(|number| !self.has(*number));
            match (missing.next(), missing.next()) {
                (Some(number), None) => {
                    drop(missing);
                    let good = self.restore_one(index, number, out);
                    self.remove(index);
                    if good {
                        self.restored += 1;
                        self.add_media(out);
                        return true;
                    }
                }
                (None, _) => {
                    drop(missing);
                    self.remove(index);
                }
                _ => index += 1,
            }
        }
        false
    }

    fn remove(&mut self, index: usize) {
        if let Some(correction) = self.corrections.remove(index) {
            self.spare.push(correction.payload);
        }
    }

    fn has(&self, number: SequenceNumber) -> bool {
        self.packets[usize::from(number.0) % KEPT_PACKETS] == Some(number)
    }

    fn restore_one(&mut self, index: usize, number: SequenceNumber, out: &mut Vec<u8>) -> bool {
        let correction = &self.corrections[index];
        // A packet that is as old as the memory may have been there.
        let old = self.newest.is_some_and(|newest| {
            usize::from(newest.since(number)) < 1 << 15 && usize::from(newest.since(number)) >= KEPT_PACKETS
        });
        if old {
            return false;
        }
        self.sum.clear();
        for other in numbers(correction).filter(|other| *other != number) {
            self.sum.add(&self.bytes[usize::from(other.0) % KEPT_PACKETS]);
        }
        let payload = &correction.payload;
        let len = usize::from(self.sum.len ^ be16(payload, 8));
        let protected = &payload[correction.body..];
        // What lies beyond the protected part cannot be restored.
        if len > protected.len() {
            return false;
        }
        self.sum.body.resize(protected.len(), 0);
        out.clear();
        out.resize(FIXED_HEADER_LEN, 0);
        out[0] = (2 << 6) | (self.sum.head[0] ^ (payload[0] & 0x3F));
        out[1] = self.sum.head[1] ^ payload[1];
        put16(out, 2, number.0);
        put32(out, 4, self.sum.timestamp ^ be32(payload, 4));
        put32(out, 8, self.ssrc.0);
        out.extend(self.sum.body.iter().zip(protected).take(len).map(|(sum, byte)| sum ^ byte));
        Header::parse(out).is_ok()
    }
}

/// Returns the packets that a correction protects.
fn numbers(correction: &Correction) -> impl Iterator<Item = SequenceNumber> + use<> {
    let (base, mask) = (correction.base, correction.mask);
    (0..MAX_SPAN).filter(move |bit| mask >> bit & 1 == 1).map(move |bit| base.plus(bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::{AbsSendTime, ExtensionForm, Mid};
    use crate::{FixedHeader, NtpTime, PacketMut, PacketWriter, PayloadType, RtpTimestamp};
    use proptest::prelude::*;

    fn packet(number: u16, payload: &[u8]) -> Vec<u8> {
        let header = FixedHeader {
            marker: number.is_multiple_of(3),
            payload_type: PayloadType::of_bits(96 + number as u8 % 2),
            sequence_number: SequenceNumber(number),
            timestamp: RtpTimestamp(u32::from(number) * 3000),
            ssrc: Ssrc(7),
        };
        let mut buffer = vec![0; 1500];
        let writer = PacketWriter::new(&mut buffer, &header, ExtensionForm::OneByte).unwrap();
        let time = AbsSendTime::new(NtpTime(u64::from(number) << 40));
        let writer = writer.extension(1, &Mid("0")).unwrap().extension(2, &time).unwrap();
        let len = writer.payload(payload, 0).unwrap();
        buffer.truncate(len);
        buffer
    }

    fn without_time(packet: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        copy_without(packet, &[2], &mut out).unwrap();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn one_lost_packet_is_restored(
            start in any::<u16>(),
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..48),
            lost in any::<prop::sample::Index>(),
        ) {
            let mut encoder = UlpfecEncoder::new(&[2]);
            let mut decoder = UlpfecDecoder::new(Ssrc(7), &[2]);
            let lost = lost.index(payloads.len());
            let mut packets = Vec::new();
            for (index, payload) in payloads.iter().enumerate() {
                let packet = packet(start.wrapping_add(index as u16), payload);
                prop_assert!(encoder.add(&packet));
                if index != lost {
                    decoder.add_media(&packet);
                }
                packets.push(packet);
            }
            let mut buffer = [0; 1500];
            let len = encoder.finish(&mut buffer).unwrap();
            let mut out = Vec::new();
            decoder.add_correction(&buffer[..len]).unwrap();
            prop_assert!(decoder.restore(&mut out));
            prop_assert_eq!(&out, &without_time(&packets[lost]));
            prop_assert!(!decoder.restore(&mut out));
            for short in 0..len {
                let _ = decoder.add_correction(&buffer[..short]);
            }
        }
    }

    /// Packets are numbered and timed when they leave, after they were protected: a lost one comes
    /// back as it was sent, but for that.
    #[test]
    fn packets_come_back_as_they_were_sent() {
        let mut packets: Vec<_> = (0..6).map(|number| packet(number, &[number as u8; 90])).collect();
        let mut encoder = UlpfecEncoder::new(&[2]);
        packets.iter().for_each(|packet| assert!(encoder.add(packet)));
        let mut buffer = [0; 1500];
        let len = encoder.finish(&mut buffer).unwrap();
        for (packet, seconds) in packets.iter_mut().zip(40_u64..) {
            let time = AbsSendTime::new(NtpTime(seconds << 30));
            assert!(PacketMut::parse(packet).unwrap().set_extension(2, &time));
        }
        for lost in 0..packets.len() {
            let mut decoder = UlpfecDecoder::new(Ssrc(7), &[2]);
            let others = packets.iter().enumerate().filter(|(index, _)| *index != lost);
            others.for_each(|(_, packet)| decoder.add_media(packet));
            decoder.add_correction(&buffer[..len]).unwrap();
            let mut out = Vec::new();
            assert!(decoder.restore(&mut out));
            assert_ne!(packets[lost], without_time(&packets[lost]));
            assert_eq!(out, without_time(&packets[lost]));
        }
    }

    #[test]
    fn one_restored_packet_restores_the_next() {
        let packets: Vec<_> = (0..4).map(|number| packet(number, &[number as u8; 9])).collect();
        let correction = |protected: &[usize]| {
            let mut encoder = UlpfecEncoder::new(&[2]);
            protected.iter().for_each(|index| assert!(encoder.add(&packets[*index])));
            let mut buffer = vec![0; 200];
            let len = encoder.finish(&mut buffer).unwrap();
            assert_eq!(encoder.finish(&mut []), None);
            buffer.truncate(len);
            buffer
        };
        let mut decoder = UlpfecDecoder::new(Ssrc(7), &[2]);
        let mut out = Vec::new();
        decoder.add_media(&packets[0]);
        decoder.add_correction(&correction(&[1, 2])).unwrap();
        assert!(!decoder.restore(&mut out));
        decoder.add_correction(&correction(&[0, 1])).unwrap();
        assert!(decoder.restore(&mut out) && decoder.restore(&mut out));
        assert_eq!(out, without_time(&packets[2]));
        assert_eq!(decoder.restored(), 2);
    }

    #[test]
    fn spans_and_masks_have_limits() {
        let mut encoder = UlpfecEncoder::new(&[]);
        assert!(encoder.add(&packet(10, b"a")) && encoder.add(&packet(57, b"b")));
        assert!(!encoder.add(&packet(58, b"c")) && !encoder.add(&packet(9, b"d")) && !encoder.add(&[1]));
        assert_eq!(encoder.count(), 2);
        assert!(UlpfecDecoder::new(Ssrc(7), &[]).add_correction(&[0; 14]).is_err());
    }
}
