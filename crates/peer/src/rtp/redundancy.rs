//! Redundancy of what is sent: copies of earlier frames for sound (RFC 2198), corrections for
//! pictures (RFC 5109) that are lost, where both sides have agreed on it.

use std::time::Duration;

use columba_rtp::payload::red::RedundantAudio;
use columba_rtp::payload::ulpfec::UlpfecEncoder;
use columba_rtp::{Packet, PacketMut, PayloadType, RtpTimestamp};

use super::MAX_PACKET;
use super::sections::{AgreedCodec, Role};

/// Frames of sound that go once more with each one.
const COPIES: usize = 1;

/// The smoothed part of packets lost from which pictures are protected, and below which no longer.
const PROTECT_FROM: f64 = 0.01;
const PROTECT_UNTIL: f64 = 0.005;

/// The round trip below which a packet that is sent again comes in time.
const SHORT_ROUND_TRIP: Duration = Duration::from_millis(30);

/// Packets that one correction protects, at least and at most.
const LEAST_SPAN: u32 = 3;
const GREATEST_SPAN: u32 = 16;

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

/// The corrections of pictures.
#[derive(Debug)]
pub(super) struct Corrections {
    pub(super) red: PayloadType,
    pub(super) ulpfec: PayloadType,
    pub(super) encoder: UlpfecEncoder,
    mutable: [u8; 2],
    pub(super) is_on: bool,
    /// Packets that one protects.
    pub(super) span: u32,
}

impl Corrections {
    /// Returns the corrections that are agreed. The header extensions with the numbers `mutable`
    /// are written when a packet leaves.
    pub(super) fn of(codecs: &[AgreedCodec], mutable: [u8; 2]) -> Option<Self> {
        let of = |role| codecs.iter().find(|one| one.role == role).map(|one| one.payload_type);
        let (red, ulpfec) = (of(Role::Red)?, of(Role::Ulpfec)?);
        let encoder = UlpfecEncoder::new(&mutable);
        Some(Self { red, ulpfec, encoder, mutable, is_on: false, span: GREATEST_SPAN })
    }

    /// Forgets the packets that no correction has been made of.
    pub(super) fn begin_again(&mut self) {
        self.encoder = UlpfecEncoder::new(&self.mutable);
    }

    /// Returns true if these are the same as others.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.red, self.ulpfec, self.mutable) == (other.red, other.ulpfec, other.mutable)
    }

    /// Protects as much as the path loses.
    pub(super) fn handle_loss(&mut self, loss: f64, round_trip: Duration) {
        self.is_on =
            round_trip >= SHORT_ROUND_TRIP && loss >= if self.is_on { PROTECT_UNTIL } else { PROTECT_FROM };
        self.span = ((0.5 / loss.max(0.001)) as u32).clamp(LEAST_SPAN, GREATEST_SPAN);
    }

    /// Returns the part of what is sent that is not corrections.
    pub(super) fn share_of_media(&self) -> f64 {
        if self.is_on { f64::from(self.span) / f64::from(self.span + 1) } else { 1.0 }
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

    #[test]
    fn pictures_are_protected_by_what_the_path_loses() {
        let codec = |number, role| AgreedCodec {
            payload_type: PayloadType::new(number).unwrap(),
            role,
            ..AgreedCodec::default()
        };
        let codecs = [codec(96, Role::Media(columba_rtp::payload::Format::Vp8)), codec(100, Role::Red)];
        assert!(Corrections::of(&codecs, [0; 2]).is_none());
        let codecs = [codecs[0], codecs[1], codec(101, Role::Ulpfec)];
        let mut corrections = Corrections::of(&codecs, [0; 2]).unwrap();
        let mut is_on = |loss, millis| {
            corrections.handle_loss(loss, Duration::from_millis(millis));
            (corrections.is_on, corrections.span)
        };
        assert_eq!([is_on(0.009, 100).0, is_on(0.02, 10).0, is_on(0.02, 100).0], [false, false, true]);
        assert_eq!([is_on(0.006, 100).0, is_on(0.004, 100).0], [true, false]);
        assert_eq!([is_on(0.05, 100).1, is_on(0.5, 100).1, is_on(0.01, 100).1], [10, 3, 16]);
    }
}
