//! The header extensions with one plain value.

use std::time::Duration;

use super::HeaderExtension;
use crate::bytes_at::{be16, be24, be64, put16, put24, put64};
use crate::numbers::NtpTime;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $uri:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a str);

        impl<'a> HeaderExtension<'a> for $name<'a> {
            const URI: &'static str = $uri;

            fn read(value: &'a [u8]) -> Option<Self> {
                std::str::from_utf8(value).ok().filter(|text| !text.is_empty()).map(Self)
            }

            fn len(&self) -> usize {
                self.0.len()
            }

            fn write(&self, value: &mut [u8]) {
                value.copy_from_slice(self.0.as_bytes());
            }
        }
    };
}

text! {
    /// The name of the media section that the packet belongs to (RFC 9143 §15).
    Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"
}
text! {
    /// The name of the encoding that the packet belongs to (RFC 8852 §4.1).
    Rid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
}
text! {
    /// The name of the encoding that the packet repairs (RFC 8852 §4.2).
    RepairedRid, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
}

/// A number of the packet among all of a transport
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransportSequenceNumber(pub u16);

impl HeaderExtension<'_> for TransportSequenceNumber {
    const URI: &'static str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

    fn read(value: &[u8]) -> Option<Self> {
        (value.len() == 2).then(|| Self(be16(value, 0)))
    }

    fn len(&self) -> usize {
        2
    }

    fn write(&self, value: &mut [u8]) {
        put16(value, 0, self.0);
    }
}

/// The time at which the packet leaves, in units of 2^-18 s, modulo 64 s (libwebrtc's
/// `abs-send-time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// Returns the middle bits of an NTP time.
    #[must_use]
    pub const fn new(time: NtpTime) -> Self {
        Self((time.0 >> 14) as u32 & 0x00FF_FFFF)
    }

    /// Returns the 24 bits.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the time from `earlier` to this one, negative as nanoseconds if it is less than half
    /// of 64 s earlier.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        let steps = (self.0.wrapping_sub(earlier.0) << 8).cast_signed() >> 8;
        (steps as i64 * 1_000_000_000) >> 18
    }
}

impl HeaderExtension<'_> for AbsSendTime {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

    fn read(value: &[u8]) -> Option<Self> {
        (value.len() == 3).then(|| Self(be24(value, 0)))
    }

    fn len(&self) -> usize {
        3
    }

    fn write(&self, value: &mut [u8]) {
        put24(value, 0, self.0);
    }
}

/// The time at which the first sample of the packet was captured (libwebrtc's `abs-capture-time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbsCaptureTime {
    /// The time by the clock of the capturing system.
    pub time: NtpTime,
    /// The estimated offset of that clock from the sender's, in units of 2^-32 s; a forwarder that
    /// knows it sends it.
    pub clock_offset: Option<i64>,
}

impl HeaderExtension<'_> for AbsCaptureTime {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

    fn read(value: &[u8]) -> Option<Self> {
        let clock_offset = match value.len() {
            8 => None,
            16 => Some(be64(value, 8).cast_signed()),
            _ => return None,
        };
        Some(Self { time: NtpTime(be64(value, 0)), clock_offset })
    }

    fn len(&self) -> usize {
        if self.clock_offset.is_some() { 16 } else { 8 }
    }

    fn write(&self, value: &mut [u8]) {
        put64(value, 0, self.time.0);
        if let Some(offset) = self.clock_offset {
            put64(value, 8, offset.cast_unsigned());
        }
    }
}

/// The loudness of the packet's audio (RFC 6464).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioLevel {
    /// The sender believes that it contains voice.
    pub voice: bool,
    /// The level in -dBov: 0 is the loudest, 127 silence.
    pub level: u8,
}

impl HeaderExtension<'_> for AudioLevel {
    const URI: &'static str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

    fn read(value: &[u8]) -> Option<Self> {
        let byte = *value.first()?;
        Some(Self { voice: byte & 0x80 != 0, level: byte & 0x7F })
    }

    fn len(&self) -> usize {
        1
    }

    fn write(&self, value: &mut [u8]) {
        value[0] = (u8::from(self.voice) << 7) | self.level.min(127);
    }
}

/// The loudness of each contributing source, in their order (RFC 6465).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CsrcAudioLevels<'a>(&'a [u8]);

impl<'a> CsrcAudioLevels<'a> {
    /// Returns the levels in -dBov, as they are in the packet.
    #[must_use]
    pub const fn new(levels: &'a [u8]) -> Self {
        Self(levels)
    }

    /// Returns the level of each contributing source in -dBov.
    pub fn levels(&self) -> impl ExactSizeIterator<Item = u8> + use<'a> {
        self.0.iter().map(|byte| byte & 0x7F)
    }
}

impl<'a> HeaderExtension<'a> for CsrcAudioLevels<'a> {
    const URI: &'static str = "urn:ietf:params:rtp-hdrext:csrc-audio-level";

    fn read(value: &'a [u8]) -> Option<Self> {
        (1..=15).contains(&value.len()).then_some(Self(value))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn write(&self, value: &mut [u8]) {
        value.copy_from_slice(self.0);
    }
}

/// The rotation of a picture, clockwise, that makes it upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// It is upright.
    #[default]
    None,
    /// By 90°.
    Quarter,
    /// By 180°.
    Half,
    /// By 270°.
    ThreeQuarters,
}

/// The orientation of the camera (3GPP TS 26.114 §7.4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VideoOrientation {
    /// The camera faces away from the screen.
    pub back_facing: bool,
    /// The picture is flipped horizontally.
    pub flipped: bool,
    /// The rotation that the receiver applies.
    pub rotation: Rotation,
}

impl HeaderExtension<'_> for VideoOrientation {
    const URI: &'static str = "urn:3gpp:video-orientation";

    fn read(value: &[u8]) -> Option<Self> {
        let byte = *value.first()?;
        let rotation = match byte & 3 {
            0 => Rotation::None,
            1 => Rotation::Quarter,
            2 => Rotation::Half,
            _ => Rotation::ThreeQuarters,
        };
        Some(Self { back_facing: byte & 8 != 0, flipped: byte & 4 != 0, rotation })
    }

    fn len(&self) -> usize {
        1
    }

    fn write(&self, value: &mut [u8]) {
        value[0] = (u8::from(self.back_facing) << 3) | (u8::from(self.flipped) << 2) | self.rotation as u8;
    }
}

/// The delay from capture to rendering that the sender wants (libwebrtc's `playout-delay`), in
/// steps of 10 ms up to 40.95 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayoutDelay {
    /// The least delay.
    pub min: Duration,
    /// The largest delay.
    pub max: Duration,
}

impl HeaderExtension<'_> for PlayoutDelay {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

    fn read(value: &[u8]) -> Option<Self> {
        if value.len() != 3 {
            return None;
        }
        let bits = be24(value, 0);
        let delay = |steps: u32| Duration::from_millis(u64::from(steps) * 10);
        let (min, max) = (delay(bits >> 12), delay(bits & 0xFFF));
        (min <= max).then_some(Self { min, max })
    }

    fn len(&self) -> usize {
        3
    }

    fn write(&self, value: &mut [u8]) {
        let steps = |delay: Duration| (delay.as_millis() / 10).min(0xFFF) as u32;
        put24(value, 0, (steps(self.min) << 12) | steps(self.max));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<'a, T: HeaderExtension<'a>>(extension: &T) -> Vec<u8> {
        let mut value = vec![0xAA; extension.len()];
        extension.write(&mut value);
        value
    }

    #[test]
    fn values_have_the_forms_of_their_specifications() {
        assert_eq!(written(&AudioLevel { voice: true, level: 5 }), [0x85]);
        assert_eq!(written(&AudioLevel { voice: false, level: 200 }), [127]);
        let rotated =
            VideoOrientation { back_facing: true, flipped: false, rotation: Rotation::ThreeQuarters };
        assert_eq!(written(&rotated), [0b1011]);
        assert_eq!(VideoOrientation::read(&[0b1011]), Some(rotated));
        let delay = PlayoutDelay { min: Duration::from_millis(100), max: Duration::from_secs(40) };
        assert_eq!(written(&delay), [0x00, 0xAF, 0xA0]);
        assert_eq!(PlayoutDelay::read(&[0x00, 0xAF, 0xA0]), Some(delay));
        assert_eq!(PlayoutDelay::read(&[0x00, 0xB0, 0x0A]), None);
        let time = NtpTime(0x0123_4567_89AB_CDEF);
        assert_eq!(AbsSendTime::new(time).get(), ((0x4567_u32 & 0x3F) << 18) | (0x89AB_CDEF >> 14));
        let capture = AbsCaptureTime { time, clock_offset: Some(-1) };
        assert_eq!(AbsCaptureTime::read(&written(&capture)), Some(capture));
        assert_eq!(CsrcAudioLevels::read(&[0x80, 3]).unwrap().levels().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(Mid::read(&[0xFF]), None);
        assert_eq!(Rid::read(b""), None);
        assert_eq!(RepairedRid::read(b"hi"), Some(RepairedRid("hi")));
    }

    #[test]
    fn send_times_are_compared_across_the_wrap() {
        let (early, late) = (AbsSendTime(0x00FF_FFFF), AbsSendTime((1 << 18) - 1));
        assert_eq!(late.nanos_since(early), 1_000_000_000);
        assert_eq!(early.nanos_since(late), -1_000_000_000);
    }
}
