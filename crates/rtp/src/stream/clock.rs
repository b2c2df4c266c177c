//! The wall clock of a stream, from its sender reports: what brings sound and picture together.

use std::time::Duration;

use crate::numbers::{NtpTime, RtpTimestamp};

/// Maps a stream's timestamps to the sender's wall clock (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub struct StreamClock {
    rate: u32,
    report: Option<(NtpTime, RtpTimestamp)>,
}

impl StreamClock {
    /// Returns the clock of a stream whose timestamps count so many ticks a second, at least 1.
    #[must_use]
    pub const fn new(rate: u32) -> Self {
        Self { rate: if rate == 0 { 1 } else { rate }, report: None }
    }

    /// Enters a sender report.
    pub fn handle_report(&mut self, ntp_time: NtpTime, rtp_time: RtpTimestamp) {
        // A report without a wall clock has zeros.
        if ntp_time.0 != 0 {
            self.report = Some((ntp_time, rtp_time));
        }
    }

    /// Returns the sender's time at which the sample of a timestamp was captured; `None` before the
    /// first report.
    #[must_use]
    pub fn capture_time(&self, timestamp: RtpTimestamp) -> Option<NtpTime> {
        let (ntp, rtp) = self.report?;
        let ticks = i128::from(timestamp.since(rtp));
        let offset = (ticks << 32) / i128::from(self.rate);
        Some(NtpTime(ntp.0.wrapping_add(offset as u64)))
    }

    /// Returns the time by which this stream's sample was captured later than another stream's of
    /// the same sender; `None` if it was earlier, or without reports.
    #[must_use]
    pub fn later_than(&self, own: RtpTimestamp, other: &Self, others: RtpTimestamp) -> Option<Duration> {
        let steps = self.capture_time(own)?.0.checked_sub(other.capture_time(others)?.0)?;
        let nanos = ((steps & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
        Some(Duration::new(steps >> 32, nanos as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_sender_are_compared() {
        let (mut audio, mut video) = (StreamClock::new(48_000), StreamClock::new(90_000));
        assert_eq!(audio.capture_time(RtpTimestamp(1)), None);
        let noon = NtpTime(1000 << 32);
        audio.handle_report(noon, RtpTimestamp(u32::MAX));
        audio.handle_report(NtpTime(0), RtpTimestamp(7));
        video.handle_report(NtpTime(1002 << 32), RtpTimestamp(500));
        assert_eq!(audio.capture_time(RtpTimestamp(47_999)), Some(NtpTime(1001 << 32)));
        let later = video.later_than(RtpTimestamp(500 + 45_000), &audio, RtpTimestamp(47_999));
        assert_eq!(later, Some(Duration::from_millis(1500)));
        assert_eq!(audio.later_than(RtpTimestamp(47_999), &video, RtpTimestamp(500)), None);
        // A sample from before the report.
        assert_eq!(
            video.capture_time(RtpTimestamp(500 - 45)),
            Some(NtpTime((1002 << 32) - (1 << 32) / 2000))
        );
    }
}
