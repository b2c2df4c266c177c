//! Opus packets, as far as a sender must look into them (RFC 6716 §3.1, RFC 7587).

use std::time::Duration;

/// Opus's clock in RTP, whatever it samples at (RFC 7587 §4.1).
pub const CLOCK_RATE: u32 = 48_000;

/// Returns the duration of a packet's audio; `None` if it is malformed or longer than 120 ms.
#[must_use]
pub fn duration(packet: &[u8]) -> Option<Duration> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        12..=15 => [10_000, 20_000][usize::from(config & 1)],
        _ => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(*packet.get(1)? & 0x3F),
    };
    let total = frame * frames;
    (1..=120_000).contains(&total).then(|| Duration::from_micros(total))
}

/// Returns true if the packet has two channels.
#[must_use]
pub fn is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 4 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_the_table() {
        let of = |packet: &[u8]| duration(packet).map(|duration| duration.as_micros());
        assert_eq!(of(&[1 << 3]), Some(20_000));
        assert_eq!(of(&[(16 << 3) | 1]), Some(5_000));
        assert_eq!(of(&[(31 << 3) | 3, 6]), Some(120_000));
        assert_eq!(of(&[(31 << 3) | 3, 7]), None);
        assert_eq!(of(&[(13 << 3) | 3]), None);
        assert_eq!(of(&[3, 0]), None);
        assert_eq!(of(&[]), None);
        assert!(is_stereo(&[0xFC]) && !is_stereo(&[0xF8]));
    }
}
