//! Redundancy of what is sent: copies of earlier frames for sound (RFC 2198), corrections for
//! pictures (RFC 5109) that are lost, where both sides have agreed on it.

use std::time::{Duration, Instant};

use columba_rtp::payload::red::RedundantAudio;
use columba_rtp::payload::ulpfec::{MAX_SPAN, UlpfecEncoder};
use columba_rtp::{Packet, PacketMut, PayloadType, RtpTimestamp};

use super::MAX_PACKET;
use super::sections::{AgreedCodec, Role};

/// Frames of sound that go once more with each one.
const COPIES: usize = 1;

/// The bounds of protection.
#[derive(Debug)]
struct Bounds {
    /// The smoothed part of packets lost from which pictures are protected, and below which no
    /// longer.
    from: f64,
    until: f64,
    /// The round trip from which they are.
    round_trip: Duration,
    /// The part of packets lost that stays so: a correction restores one of its packets.
    unrepaired: f64,
    /// Packets that one correction protects, at least and at most.
    span: (u32, u32),
    /// The time after which a correction is made of fewer packets.
    longest_wait: Duration,
}

/// Where packets are sent again, corrections are only quicker on a long path: few are enough.
const QUICKER: Bounds = Bounds {
    from: 0.01,
    until: 0.005,
    round_trip: Duration::from_millis(30),
    unrepaired: 0.5,
    span: (3, 16),
    longest_wait: Duration::MAX,
};

/// Where packets are not sent again, nothing else repairs, and a picture that waits for longer is
/// of no use to those who talk.
const ALONE: Bounds = Bounds {
    from: 0.003,
    until: 0.001,
    round_trip: Duration::ZERO,
    unrepaired: 0.12,
    span: (2, 8),
    longest_wait: Duration::from_millis(100),
};

/// The part that earlier corrections keep in the reckoning of what they cost.
const MEMORY: f64 = 0.9;

/// Bytes by which a correction is longer than the packets it protects, beside their header
/// extensions: its headers, and that of RED.
pub(super) const OVERHEAD: usize = 19;

/// Returns the payload type of redundancy for a codec of sound: that of the first codec.
pub(super) fn of_sound(codecs: &[AgreedCodec], codec: &AgreedCodec) -> Option<PayloadType> {
    let first = codecs.iter().find(|one| matches!(one.role, Role::Media(_)))?;
    let red = codecs.iter().find(|one| one.role == Role::Red && one.clock_rate == codec.clock_rate)?;
    (first.payload_type == codec.payload_type).then_some(red.payload_type)
}

/// The copies of sound.
#[derive(Debug)]
pub(super) struct Copies {
    /// The payload types of the wrapping and of the codec.
    pub(super) red: PayloadType,
    pub(super) codec: PayloadType,
    audio: RedundantAudio,
}

impl Copies {
    pub(super) fn new(red: PayloadType, codec: PayloadType) -> Self {
        Self { red, codec, audio: RedundantAudio::new(codec, COPIES) }
    }

    /// Writes a frame behind copies of those before it; returns the length.
    pub(super) fn write(&mut self, at: RtpTimestamp, frame: &[u8], out: &mut [u8]) -> Option<usize> {
        self.audio.write(at, frame, out).ok()
    }
}

/// The corrections of pictures. They go between two pictures only: receivers of libwebrtc put no
/// picture together among whose packets a number is missing.
#[derive(Debug)]
pub(super) struct Corrections {
    pub(super) red: PayloadType,
    pub(super) ulpfec: PayloadType,
    mutable: [u8; 2],
    pub(super) is_on: bool,
    bounds: &'static Bounds,
    /// Packets that one protects.
    span: u32,
    /// The corrections that are made of the packets since the last ones, side by side, so that
    /// packets lost one after the other are those of several. All or the first few are in use.
    encoders: Vec<UlpfecEncoder>,
    used: usize,
    /// The beginning of the first picture that they protect, and of the last one.
    since: Option<Instant>,
    last: Option<Instant>,
    /// Bytes of pictures, and of their corrections, as far as they are remembered.
    bytes: (f64, f64),
}

impl Corrections {
    /// Returns the corrections that are agreed. The header extensions with the numbers `mutable`
    /// are written when a packet leaves.
    pub(super) fn of(codecs: &[AgreedCodec], mutable: [u8; 2]) -> Option<Self> {
        let of = |role| codecs.iter().find(|one| one.role == role).map(|one| one.payload_type);
        let (red, ulpfec) = (of(Role::Red)?, of(Role::Ulpfec)?);
        let sends_again = codecs.iter().any(|codec| codec.nack && codec.rtx.is_some());
        let bounds = if sends_again { &QUICKER } else { &ALONE };
        Some(Self {
            red,
            ulpfec,
            mutable,
            is_on: false,
            bounds,
            span: bounds.span.1,
            encoders: Vec::new(),
            used: 0,
            since: None,
            last: None,
            bytes: (0.0, 0.0),
        })
    }

    /// Forgets the packets that no correction has been made of.
    pub(super) fn begin_again(&mut self) {
        self.encoders.clear();
        (self.used, self.since, self.last) = (0, None, None);
    }

    /// Returns true if these are the same as others.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_alike = std::ptr::eq(self.bounds, other.bounds);
        is_alike && (self.red, self.ulpfec, self.mutable) == (other.red, other.ulpfec, other.mutable)
    }

    /// Protects as much as the path loses.
    pub(super) fn handle_loss(&mut self, loss: f64, round_trip: Duration) {
        let Bounds { from, until, round_trip: least, unrepaired, span, .. } = *self.bounds;
        let is_on = round_trip >= least && loss >= if self.is_on { until } else { from };
        if !is_on && self.is_on {
            self.begin_again();
        }
        self.is_on = is_on;
        self.span = ((unrepaired / loss.max(0.001)) as u32).clamp(span.0, span.1);
    }

    /// A picture of so many packets follows.
    pub(super) fn begin_picture(&mut self, now: Instant, packets: usize) {
        self.since.get_or_insert(now);
        let before: u32 = self.encoders[..self.used].iter().map(UlpfecEncoder::count).sum();
        let packets = before as usize + packets.min(usize::from(MAX_SPAN));
        self.used = self.used.max(packets.div_ceil(self.span as usize));
        while self.encoders.len() < self.used {
            self.encoders.push(UlpfecEncoder::new(&self.mutable));
        }
    }

    /// Protects a packet behind which the picture has so many more. Those at the beginning of a
    /// very large one are not protected: when its corrections come, libwebrtc has forgotten them.
    pub(super) fn add(&mut self, packet: &[u8], following: usize) {
        self.bytes.0 += packet.len() as f64;
        if following < usize::from(MAX_SPAN)
            && let Some(least) = self.encoders[..self.used].iter_mut().min_by_key(|one| one.count())
            && !least.add(packet)
        {
            tracing::debug!("a packet is not protected");
        }
    }

    /// A picture has ended. Returns true if corrections are due: there are packets enough, or the
    /// first of them would wait for too long.
    pub(super) fn end_picture(&mut self, now: Instant) -> bool {
        let interval =
            self.last.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let waits = self.since.is_some_and(|since| {
            now.saturating_duration_since(since).saturating_add(interval) > self.bounds.longest_wait
        });
        let count: u32 = self.encoders[..self.used].iter().map(UlpfecEncoder::count).sum();
        count >= self.span || waits
    }

    /// Writes the next correction that is due; returns its length. `None` if there are no more.
    pub(super) fn write(&mut self, out: &mut [u8]) -> Option<usize> {
        while self.used > 0 {
            self.used -= 1;
            if let Some(len) = self.encoders[self.used].finish(out) {
                self.bytes.1 += (OVERHEAD + len) as f64;
                return Some(len);
            }
        }
        self.since = None;
        self.bytes = (self.bytes.0 * MEMORY, self.bytes.1 * MEMORY);
        None
    }

    /// Returns the part of what is sent that is not corrections.
    pub(super) fn share_of_media(&self) -> f64 {
        let (media, corrections) = self.bytes;
        match self.is_on {
            true if corrections > 0.0 => media / (media + corrections),
            true => f64::from(self.span) / f64::from(self.span + 1),
            false => 1.0,
        }
    }
}

/// Wraps the payload of a packet; returns the length. `out` has one byte more at least.
pub(super) fn wrap(packet: &[u8], red: PayloadType, out: &mut [u8]) -> Option<usize> {
    let parsed = Packet::parse(packet).ok()?;
    let (head, codec) = (parsed.header().len(), parsed.fixed().payload_type);
    let out = out.get_mut(..packet.len() + 1)?;
    out[..head].copy_from_slice(&packet[..head]);
    out[head] = codec.get();
    out[head + 1..].copy_from_slice(&packet[head..]);
    PacketMut::parse(out).ok()?.set_payload_type(red);
    Some(packet.len() + 1)
}

/// Takes the wrapping of one block off, for those who ask for the packet again: a retransmission
/// names the payload type of the codec. What is a correction has no payload then, and only its
/// number. Returns the length.
pub(super) fn unwrap(packet: &[u8], codec: PayloadType, out: &mut [u8; MAX_PACKET]) -> Option<usize> {
    let parsed = Packet::parse(packet).ok()?;
    let head = parsed.header().len();
    let (block, rest) = parsed.payload().split_first()?;
    let end = if *block == codec.get() { packet.len() - 1 } else { head };
    out.get_mut(..head)?.copy_from_slice(&packet[..head]);
    if end > head {
        out.get_mut(head..end)?.copy_from_slice(&packet[head + 1..]);
    } else {
        // No padding behind nothing.
        out[0] &= !0x20;
    }
    debug_assert!(rest.len() < packet.len());
    PacketMut::parse(&mut out[..end]).ok()?.set_payload_type(codec);
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use columba_rtp::extension::ExtensionForm;
    use columba_rtp::{FixedHeader, PacketWriter, SequenceNumber, Ssrc};

    #[test]
    fn wrapping_comes_off_again_and_corrections_leave_their_number() {
        let [codec, red] = [96, 100].map(|number| PayloadType::new(number).unwrap());
        let header = FixedHeader {
            marker: true,
            payload_type: codec,
            sequence_number: SequenceNumber(7),
            timestamp: RtpTimestamp(9),
            ssrc: Ssrc(1),
        };
        let mut packet = [0; 100];
        let writer = PacketWriter::new(&mut packet, &header, ExtensionForm::OneByte).unwrap();
        let len = writer.payload(b"picture", 0).unwrap();
        let mut wrapped = [0; MAX_PACKET];
        let longer = wrap(&packet[..len], red, &mut wrapped).unwrap();
        let parsed = Packet::parse(&wrapped[..longer]).unwrap();
        assert_eq!((parsed.fixed().payload_type, parsed.payload()), (red, &b"\x60picture"[..]));
        let mut out = [0; MAX_PACKET];
        let back = unwrap(&wrapped[..longer], codec, &mut out).unwrap();
        assert_eq!(out[..back], packet[..len]);
        let back = unwrap(&wrapped[..longer], PayloadType::new(97).unwrap(), &mut out).unwrap();
        let parsed = Packet::parse(&out[..back]).unwrap();
        assert_eq!((parsed.fixed().sequence_number, parsed.payload()), (SequenceNumber(7), &b""[..]));
    }

    fn corrections(sends_again: bool) -> Corrections {
        let codec = |number, role| AgreedCodec {
            payload_type: PayloadType::new(number).unwrap(),
            role,
            ..AgreedCodec::default()
        };
        let mut codecs =
            vec![codec(96, Role::Media(columba_rtp::payload::Format::Vp8)), codec(100, Role::Red)];
        if sends_again {
            (codecs[0].nack, codecs[0].rtx) = (true, PayloadType::new(97));
        }
        assert!(Corrections::of(&codecs, [0; 2]).is_none());
        codecs.push(codec(101, Role::Ulpfec));
        Corrections::of(&codecs, [0; 2]).unwrap()
    }

    #[test]
    fn pictures_are_protected_by_what_the_path_loses() {
        let mut quicker = corrections(true);
        let mut is_on = |loss, millis| {
            quicker.handle_loss(loss, Duration::from_millis(millis));
            (quicker.is_on, quicker.span)
        };
        assert_eq!([is_on(0.009, 100).0, is_on(0.02, 10).0, is_on(0.02, 100).0], [false, false, true]);
        assert_eq!([is_on(0.006, 100).0, is_on(0.004, 100).0], [true, false]);
        assert_eq!([is_on(0.05, 100).1, is_on(0.5, 100).1, is_on(0.01, 100).1], [10, 3, 16]);
        // Where nothing else repairs, short paths are protected, too, and more.
        let mut alone = corrections(false);
        let mut is_on = |loss, millis| {
            alone.handle_loss(loss, Duration::from_millis(millis));
            (alone.is_on, alone.span)
        };
        assert_eq!([is_on(0.002, 1).0, is_on(0.003, 1).0, is_on(0.002, 1).0], [false, true, true]);
        assert_eq!([is_on(0.01, 1).1, is_on(0.03, 1).1, is_on(0.5, 1).1], [8, 4, 2]);
        assert!(!is_on(0.0005, 1).0);
    }

    /// Sends pictures of so many packets each, 40 ms apart; returns the corrections behind each.
    fn send(corrections: &mut Corrections, start: Instant, pictures: &[usize]) -> Vec<usize> {
        let mut number = 65_530_u16;
        let mut counts = Vec::new();
        for (at, packets) in (0..).zip(pictures) {
            let now = start + Duration::from_millis(40) * at;
            corrections.begin_picture(now, *packets);
            for following in (0..*packets).rev() {
                let header =
                    FixedHeader { sequence_number: SequenceNumber(number), ..FixedHeader::default() };
                let mut packet = [0; 100];
                let writer = PacketWriter::new(&mut packet, &header, ExtensionForm::OneByte).unwrap();
                let len = writer.payload(&[number as u8; 40], 0).unwrap();
                corrections.add(&packet[..len], following);
                number = number.wrapping_add(1);
            }
            let mut count = 0;
            if corrections.end_picture(now) {
                while corrections.write(&mut [0; 100]).is_some() {
                    count += 1;
                    number = number.wrapping_add(1);
                }
            }
            counts.push(count);
        }
        counts
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
    fn corrections_come_behind_pictures_and_soon() {
        let now = Instant::now();
        let mut corrections = corrections(false);
        // One for four packets.
        corrections.handle_loss(0.03, Duration::from_millis(100));
        // After three pictures the next one would be too late; a large one has as many as it needs.
        assert_eq!(
            send(&mut corrections, now, &[1, 1, 1, 1, 2, 2, 4, 1, 20, 100]),
            [0, 0, 1, 0, 0, 2, 1, 0, 6, 12]
        );
        let share = corrections.share_of_media();
        assert!((0.6..0.9).contains(&share), "{share}");
        // What was pending when protection ended is of no use later.
        assert_eq!(send(&mut corrections, now, &[1]), [0]);
        corrections.handle_loss(0.0, Duration::from_millis(100));
        assert!(!corrections.is_on && corrections.share_of_media() == 1.0);
        corrections.handle_loss(0.03, Duration::from_millis(100));
        assert_eq!(send(&mut corrections, now, &[3]), [0]);
        // Slow pictures have one each.
        corrections.begin_again();
        let mut slow = |second| send(&mut corrections, now + Duration::from_secs(second), &[1])[0];
        assert_eq!([slow(1), slow(2), slow(3)], [0, 1, 1]);
    }
}
