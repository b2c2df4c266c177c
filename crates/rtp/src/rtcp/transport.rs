//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use super::sender_and_media;
use crate::bytes_at::{be16, be24, put16, put24, put32};
use crate::numbers::{SequenceNumber, Ssrc};

/// Packets that one feedback packet of ours tells about at most.
pub const MAX_TRANSPORT_STATUSES: usize = 512;

/// Ticks of 250 µs in the unit of the reference time, 64 ms.
const TICKS_PER_REFERENCE: i64 = 256;
/// The reference time wraps at 24 bits.
const REFERENCE_WRAP: i64 = 1 << 24;

/// The fate of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportStatus {
    /// Its transport-wide number.
    pub number: SequenceNumber,
    /// The time of its arrival in ticks of 250 µs, by the receiver's clock modulo 2^32 ticks;
    /// `None` if it has not arrived.
    pub arrival: Option<i64>,
}

/// Arrival times of a transport's packets.
#[derive(Clone, Copy, Debug)]
pub struct TransportFeedback<'a> {
    /// The source that reports.
    pub sender: Ssrc,
    /// A stream of the transport.
    pub media: Ssrc,
    /// The number of the feedback packet, which wraps.
    pub feedback_number: u8,
    base: SequenceNumber,
    count: u16,
    reference: i64,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// The length before the chunks, the RTCP header not counted.
    const HEAD: usize = 16;

    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (sender, media) = sender_and_media(body)?;
        if body.len() < Self::HEAD {
            return None;
        }
        let count = be16(body, 10);
        let reference = i64::from((be24(body, 12) << 8).cast_signed() >> 8) * TICKS_PER_REFERENCE;
        let rest = &body[Self::HEAD..];
        let (mut told, mut chunks, mut deltas) = (0, 0, 0);
        while told < usize::from(count) {
            let chunk = Chunk(be16(rest.get(chunks..chunks + 2)?, 0));
            chunks += 2;
            let len = chunk.len().min(usize::from(count) - told);
            deltas += chunk.delta_bytes(len);
            // A run of no packets would never end.
            if len == 0 {
                return None;
            }
            told += len;
        }
        let (chunks, after) = rest.split_at(chunks);
        let deltas = after.get(..deltas)?;
        let base = SequenceNumber(be16(body, 8));
        Some(Self { sender, media, feedback_number: body[15], base, count, reference, chunks, deltas })
    }

    /// Returns the number of packets that it tells about.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Returns the fate of each packet, in the order of their numbers.
    pub fn statuses(&self) -> impl Iterator<Item = TransportStatus> + use<'a> {
        let (mut deltas, mut time) = (self.deltas, self.reference);
        let symbols = self.chunks.chunks_exact(2).flat_map(|bytes| {
            let chunk = Chunk(be16(bytes, 0));
            (0..chunk.len()).map(move |index| chunk.symbol(index))
        });
        let base = self.base;
        symbols.take(usize::from(self.count)).enumerate().map(move |(index, symbol)| {
            let delta = match symbol {
                1 => deltas.split_first().map(|(byte, rest)| (i64::from(*byte), rest)),
                2 => deltas
                    .split_at_checked(2)
                    .map(|(word, rest)| (i64::from(be16(word, 0).cast_signed()), rest)),
                _ => None,
            };
            let arrival = delta.map(|(delta, rest)| {
                deltas = rest;
                time += delta;
                time
            });
            TransportStatus { number: base.plus(index as u16), arrival }
        })
    }

    /// Writes the part behind the RTCP header into `body`: as many of the statuses, whose numbers
    /// are consecutive, as there is room for, and as their times can be expressed. Returns how many
    /// it tells, and its length with padding; `None` if that is not one.
    pub(super) fn write(
        body: &mut [u8],
        sender: Ssrc,
        media: Ssrc,
        number: u8,
        statuses: &[TransportStatus],
    ) -> Option<(usize, usize)> {
        let statuses = &statuses[..statuses.len().min(MAX_TRANSPORT_STATUSES)];
        let first = statuses.iter().find_map(|status| status.arrival)?;
        let reference = first.div_euclid(TICKS_PER_REFERENCE);
        let (mut symbols, mut deltas) = ([0_u8; MAX_TRANSPORT_STATUSES], [0_i16; MAX_TRANSPORT_STATUSES]);
        let mut last = reference * TICKS_PER_REFERENCE;
        let mut count = statuses.len();
        for (index, status) in statuses.iter().enumerate() {
            let Some(arrival) = status.arrival else { continue };
            let Ok(delta) = i16::try_from(arrival - last) else {
                count = index;
                break;
            };
            (deltas[index], last) = (delta, arrival);
            symbols[index] = if (0..256).contains(&delta) { 1 } else { 2 };
        }
        // A first pass finds how many fit, a second writes them.
        let room = body.len().checked_sub(Self::HEAD)? & !3;
        let (mut told, mut chunks, mut delta_bytes) = (0, 0, 0);
        while told < count {
            let (_, len) = Chunk::of(&symbols[told..count]);
            let more: usize = symbols[told..told + len].iter().map(|symbol| usize::from(*symbol)).sum();
            // Chunks of packets that are lost need room, too.
            let Some(left) = room.checked_sub(2 * (chunks + 1) + delta_bytes) else { break };
            if more > left {
                // A part of the chunk may fit; it is a chunk, too.
                let mut sum = 0;
                count = told
                    + symbols[told..told + len]
                        .iter()
                        .take_while(|symbol| {
                            sum += usize::from(**symbol);
                            sum <= left
                        })
                        .count();
                if count == told {
                    break;
                }
                continue;
            }
            (told, chunks, delta_bytes) = (told + len, chunks + 1, delta_bytes + more);
        }
        if told == 0 {
            return None;
        }
        put32(body, 0, sender.0);
        put32(body, 4, media.0);
        put16(body, 8, statuses[0].number.0);
        put16(body, 10, told as u16);
        put24(body, 12, (reference.rem_euclid(REFERENCE_WRAP)) as u32);
        body[15] = number;
        let (mut at, mut done) = (Self::HEAD, 0);
        while done < told {
            let (chunk, len) = Chunk::of(&symbols[done..told]);
            put16(body, at, chunk.0);
            (at, done) = (at + 2, done + len);
        }
        for (symbol, delta) in symbols[..told].iter().zip(&deltas) {
            match symbol {
                1 => body[at] = *delta as u8,
                2 => put16(body, at, delta.cast_unsigned()),
                _ => {}
            }
            at += usize::from(*symbol);
        }
        let end = at.next_multiple_of(4);
        body[at..end].fill(0);
        Some((told, end))
    }
}

/// The symbols of several packets in 16 bits.
#[derive(Clone, Copy)]
struct Chunk(u16);

impl Chunk {
    const ONE_BIT: usize = 14;
    const TWO_BITS: usize = 7;
    const LONGEST_RUN: usize = 0x1FFF;

    const fn len(self) -> usize {
        match self.0 >> 14 {
            0 | 1 => (self.0 & 0x1FFF) as usize,
            2 => Self::ONE_BIT,
            _ => Self::TWO_BITS,
        }
    }

    const fn symbol(self, index: usize) -> u8 {
        let bits = match self.0 >> 14 {
            0 | 1 => self.0 >> 13,
            2 => return (self.0 >> (13 - index) & 1) as u8,
            _ => self.0 >> (12 - 2 * index),
        };
        // The fourth symbol is reserved; it has no delta.
        match bits & 3 {
            3 => 0,
            symbol => symbol as u8,
        }
    }

    fn delta_bytes(self, len: usize) -> usize {
        match self.0 >> 14 {
            0 | 1 => len * usize::from(self.symbol(0)),
            _ => (0..len).map(|index| usize::from(self.symbol(index))).sum(),
        }
    }

    /// Returns a chunk for the first of these symbols, and how many it tells.
    fn of(symbols: &[u8]) -> (Self, usize) {
        let first = symbols[0];
        let run = symbols.iter().take(Self::LONGEST_RUN).take_while(|symbol| **symbol == first).count();
        let ones = symbols.iter().take(Self::ONE_BIT).all(|symbol| *symbol < 2);
        let vector = if ones { Self::ONE_BIT } else { Self::TWO_BITS };
        if run >= vector.min(symbols.len()) {
            return (Self((u16::from(first) << 13) | run as u16), run);
        }
        let len = vector.min(symbols.len());
        let mut bits = if ones { 2 << 14 } else { 3 << 14 };
        for (index, symbol) in symbols[..len].iter().enumerate() {
            let shift = if ones { 13 - index } else { 12 - 2 * index };
            bits |= u16::from(*symbol) << shift;
        }
        (Self(bits), len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(base: u16, arrivals: &[Option<i64>]) -> Vec<TransportStatus> {
        let number = |index: usize| SequenceNumber(base).plus(index as u16);
        arrivals
            .iter()
            .enumerate()
            .map(|(index, arrival)| TransportStatus { number: number(index), arrival: *arrival })
            .collect()
    }

    fn round_trip(all: &[TransportStatus], room: usize) -> usize {
        let mut body = vec![0xAA; room];
        let (told, len) = TransportFeedback::write(&mut body, Ssrc(1), Ssrc(2), 9, all).unwrap();
        assert_eq!(len % 4, 0);
        let read = TransportFeedback::read(&body[..len]).unwrap();
        assert_eq!((read.sender, read.media, read.feedback_number), (Ssrc(1), Ssrc(2), 9));
        assert_eq!(read.statuses().collect::<Vec<_>>(), all[..told]);
        told
    }

    #[test]
    fn feedback_is_read_as_it_was_written() {
        let mixed = [Some(1000), None, Some(1010), Some(2000), Some(1500), None, None, Some(1501)];
        assert_eq!(round_trip(&statuses(65_533, &mixed), 100), 8);
        let run: Vec<_> = (0..300).map(|index| Some(-5000 + index * 4)).collect();
        assert_eq!(round_trip(&statuses(7, &run), 1200), 300);
        assert_eq!(round_trip(&statuses(7, &run), 120), 102);
        // A gap that no delta can express ends it.
        let gap = [Some(0), Some(5), Some(40_000)];
        assert_eq!(round_trip(&statuses(7, &gap), 100), 2);
    }

    /// Whatever arrives when, and however little room there is, the report fits, and says what was.
    #[test]
    fn random_arrivals_fit_into_any_room() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..10_000 {
            let (mut time, mut arrivals) = (1000_i64, Vec::new());
            let (lost, long, room) = (random(100), random(100), [100, 1200][random(10) as usize / 9]);
            for _ in 0..=random(room) {
                time += if random(100) < long { random(3000) as i64 - 1000 } else { random(5) as i64 };
                arrivals.push((random(100) >= lost).then_some(time));
            }
            if arrivals.iter().take(MAX_TRANSPORT_STATUSES).all(Option::is_none) {
                continue;
            }
            let told = round_trip(&statuses(random(65_536) as u16, &arrivals), 24 + random(room) as usize);
            assert!(told > 0);
        }
    }

    #[test]
    fn no_room_and_no_arrival_give_nothing() {
        let mut body = [0; 64];
        let none = statuses(1, &[None, None]);
        assert_eq!(TransportFeedback::write(&mut body, Ssrc(1), Ssrc(2), 0, &none), None);
        let one = statuses(1, &[Some(1)]);
        assert_eq!(TransportFeedback::write(&mut body[..18], Ssrc(1), Ssrc(2), 0, &one), None);
        assert!(TransportFeedback::write(&mut body[..20], Ssrc(1), Ssrc(2), 0, &one).is_some());
    }

    #[test]
    fn damaged_feedback_is_refused() {
        let mut body = [0_u8; 24];
        put16(&mut body, 10, 3);
        put16(&mut body, 16, 0x2003);
        assert_eq!(TransportFeedback::read(&body).unwrap().statuses().count(), 3);
        assert!(TransportFeedback::read(&body[..20]).is_none());
        // A run of nothing.
        put16(&mut body, 16, 0x2000);
        assert!(TransportFeedback::read(&body).is_none());
        // More statuses than chunks.
        put16(&mut body, 10, 60_000);
        assert!(TransportFeedback::read(&body).is_none());
    }
}
