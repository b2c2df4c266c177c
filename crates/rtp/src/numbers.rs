//! Numbers of the wire, each a type of its own, compared as RFC 1982 says where they wrap.

use std::fmt;

/// A synchronisation source: names one stream of packets (RFC 3550 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The sequence number of a packet, which wraps at 2^16 (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// Returns the number one step further.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// Returns the number `count` steps further.
    #[must_use]
    pub const fn plus(self, count: u16) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Returns the number of steps from `earlier` to this one, going round if need be.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u16 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Returns true if this number comes after `other` (RFC 1982 §3.2).
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other).cast_signed() > 0
    }

    /// Returns the extended number of this one that lies nearest to `reference`, never below zero.
    #[must_use]
    pub const fn extend(self, reference: u64) -> u64 {
        let steps = self.0.wrapping_sub((reference & 0xFFFF) as u16).cast_signed();
        match reference.checked_add_signed(steps as i64) {
            Some(extended) => extended,
            None => self.0 as u64,
        }
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A media timestamp in ticks of the codec's clock, which wraps at 2^32 (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RtpTimestamp(pub u32);

impl RtpTimestamp {
    /// Returns the timestamp `ticks` further.
    #[must_use]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Returns the ticks from `earlier` to this one, negative if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// Returns true if this timestamp comes after `other` (RFC 1982 §3.2).
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }

    /// Returns the extended timestamp of this one that lies nearest to `reference`.
    #[must_use]
    pub const fn extend(self, reference: i64) -> i64 {
        reference.wrapping_add(self.0.wrapping_sub(reference as u32).cast_signed() as i64)
    }
}

/// A payload type, 0 to 127 (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(u8);

impl PayloadType {
    /// Returns the payload type; `None` if it does not fit into 7 bits.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        if value < 128 { Some(Self(value)) } else { None }
    }

    /// Returns the payload type in the lower 7 bits of a byte.
    #[must_use]
    pub(crate) const fn of_bits(byte: u8) -> Self {
        Self(byte & 0x7F)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A time of the Network Time Protocol: seconds since 1900 in 32 bits, and 32 bits of fraction
/// (RFC 3550 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds from NTP's epoch (1900) to Unix's (1970).
    const UNIX_EPOCH: u64 = 2_208_988_800;

    /// Returns the NTP time of a time since 1970. It wraps in 2036, as the protocol does.
    #[must_use]
    pub const fn from_unix(time: std::time::Duration) -> Self {
        let seconds = time.as_secs().wrapping_add(Self::UNIX_EPOCH);
        let fraction = ((time.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// Returns the time since 1970 within NTP's era that began in 1900, and zero before 1970.
    #[must_use]
    pub const fn to_unix(self) -> std::time::Duration {
        let nanos = ((self.0 & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
        std::time::Duration::new((self.0 >> 32).saturating_sub(Self::UNIX_EPOCH), nanos as u32)
    }

    /// Returns the middle 32 bits, in units of 1/65,536 s (RFC 3550 §6.4.1).
    #[must_use]
    pub const fn compact(self) -> CompactNtp {
        CompactNtp((self.0 >> 16) as u32)
    }
}

/// The middle 32 bits of an NTP time: 16 bits of seconds, 16 bits of fraction (RFC 3550 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactNtp(pub u32);

impl CompactNtp {
    /// Returns a duration in units of 1/65,536 s, at most 65,535 s.
    #[must_use]
    pub const fn from_duration(duration: std::time::Duration) -> Self {
        if duration.as_secs() > 0xFFFF {
            return Self(u32::MAX);
        }
        let fraction = ((duration.subsec_nanos() as u64) << 16) / 1_000_000_000;
        Self(((duration.as_secs() as u32) << 16) | fraction as u32)
    }

    /// Returns the time from `earlier` to this one; `None` if this one is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Option<std::time::Duration> {
        let steps = self.0.wrapping_sub(earlier.0);
        if steps.cast_signed() < 0 { None } else { Some(Self(steps).to_duration()) }
    }

    /// Returns the number as a duration.
    #[must_use]
    pub const fn to_duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos((self.0 as u64 * 1_000_000_000) >> 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn order_survives_the_wrap() {
        assert!(SequenceNumber(2).is_after(SequenceNumber(65_535)));
        assert!(!SequenceNumber(65_535).is_after(SequenceNumber(2)));
        assert!(!SequenceNumber(7).is_after(SequenceNumber(7)));
        assert!(RtpTimestamp(5).is_after(RtpTimestamp(u32::MAX)));
        assert_eq!(RtpTimestamp(5).since(RtpTimestamp(u32::MAX)), 6);
    }

    #[test]
    fn numbers_are_extended_to_the_nearest() {
        assert_eq!(SequenceNumber(1).extend(65_535), 65_537);
        assert_eq!(SequenceNumber(65_535).extend(65_537), 65_535);
        assert_eq!(SequenceNumber(65_535).extend(3), 65_535);
        assert_eq!(SequenceNumber(9).extend(3 << 16), (3 << 16) + 9);
        assert_eq!(RtpTimestamp(3).extend(i64::from(u32::MAX)), (1 << 32) + 3);
        assert_eq!(RtpTimestamp(u32::MAX).extend(0), -1);
    }

    #[test]
    fn ntp_times_are_converted() {
        let time = Duration::new(1_700_000_000, 500_000_000);
        let ntp = NtpTime::from_unix(time);
        assert_eq!(ntp.0 >> 32, 1_700_000_000 + 2_208_988_800);
        assert_eq!(ntp.0 & 0xFFFF_FFFF, 1 << 31);
        assert_eq!(ntp.to_unix(), time);
        assert_eq!(CompactNtp::from_duration(Duration::from_millis(1500)).0, 0x0001_8000);
        assert_eq!(CompactNtp(0x0001_8000).to_duration(), Duration::from_millis(1500));
        assert_eq!(CompactNtp(0x8000).since(CompactNtp(u32::MAX)), Some(CompactNtp(0x8001).to_duration()));
        assert_eq!(CompactNtp(1).since(CompactNtp(2)), None);
    }
}
