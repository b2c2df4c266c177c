//! Tones of a telephone's keys that are sent: `RTCDTMFSender` (W3C WebRTC §7, RFC 4733).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use columba_rtp::RtpTimestamp;
use columba_rtp::payload::telephone_event::TelephoneEvent;

/// The time between two packets of a tone.
const PACKET: Duration = Duration::from_millis(20);

/// The packets that tell the end of a tone, of which some may be lost (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;

/// The pause that a comma stands for.
const COMMA: Duration = Duration::from_secs(2);

/// The level of a tone in -dBm0.
const VOLUME: u8 = 10;

/// The bounds of a tone and of a pause between two.
const DURATION: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(6000)];
const GAP: [Duration; 2] = [Duration::from_millis(30), Duration::from_millis(6000)];

/// Tones that wait, at most.
const MAX_TONES: usize = 1024;

/// The tones of a sender.
#[derive(Debug, Default)]
pub(super) struct Tones {
    /// `toneBuffer`.
    waiting: VecDeque<char>,
    duration: Duration,
    gap: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Silent,
    /// The next tone begins then.
    Pause(Instant),
    Tone(Tone),
}

/// A tone that sounds.
#[derive(Clone, Copy, Debug)]
struct Tone {
    event: u8,
    began: Instant,
    timestamp: RtpTimestamp,
    next: Instant,
    is_first: bool,
    ends_sent: u8,
}

/// The outcome of a deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// A tone begins: `tonechange` with it.
    Begins(char),
    /// There are no more: `tonechange` without one.
    Ended,
    /// A packet is to be sent: its timestamp, the marker, and the payload.
    Packet(RtpTimestamp, bool, [u8; TelephoneEvent::LEN]),
}

impl Tones {
    /// `insertDTMF`: takes the place of the tones that wait. Returns false if one of them has no
    /// key.
    pub(super) fn insert(&mut self, now: Instant, tones: &str, duration: Duration, gap: Duration) -> bool {
        let is_known = |tone: char| tone == ',' || TelephoneEvent::event_of(tone).is_some();
        if !tones.chars().all(is_known) || tones.len() > MAX_TONES {
            return false;
        }
        self.duration = duration.clamp(DURATION[0], DURATION[1]);
        self.gap = gap.clamp(GAP[0], GAP[1]);
        self.waiting.clear();
        self.waiting.extend(tones.chars().map(|tone| tone.to_ascii_uppercase()));
        if matches!(self.state, State::Silent) && !self.waiting.is_empty() {
            self.state = State::Pause(now);
        }
        true
    }

    /// `toneBuffer`.
    pub(super) fn waiting(&self) -> String {
        self.waiting.iter().collect()
    }

    /// Ends what sounds and forgets what waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.state = State::Silent;
    }

    /// Returns true while a tone sounds: the sender's own sound is not sent then.
    pub(super) fn sounds(&self) -> bool {
        matches!(self.state, State::Tone(_))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Silent => None,
            State::Pause(until) => Some(until),
            State::Tone(tone) => Some(tone.next),
        }
    }

    /// Returns what is due; to be called until `None`. `timestamp` is that of the sender's sound
    /// now, at `clock_rate` ticks per second.
    pub(super) fn poll(&mut self, now: Instant, timestamp: RtpTimestamp, clock_rate: u32) -> Option<Step> {
        if self.poll_timeout()? > now {
            return None;
        }
        match &mut self.state {
            State::Silent => None,
            State::Pause(_) => self.begin(now, timestamp),
            State::Tone(tone) => {
                let until = tone.began + self.duration;
                let passed = now.min(until).saturating_duration_since(tone.began);
                let ticks = passed.as_secs_f64() * f64::from(clock_rate);
                let end = now >= until;
                let duration = (ticks.round() as u64).min(u64::from(u16::MAX)) as u16;
                let payload = TelephoneEvent { event: tone.event, end, volume: VOLUME, duration };
                let step = Step::Packet(tone.timestamp, tone.is_first, payload.to_bytes());
                tone.is_first = false;
                tone.ends_sent += u8::from(end);
                let next = tone.next + PACKET;
                tone.next = if end { now } else { next.max(now).min(until.max(now)) };
                if tone.ends_sent == END_PACKETS {
                    self.state = State::Pause(until.max(now) + self.gap);
                }
                Some(step)
            }
        }
    }

    fn begin(&mut self, now: Instant, timestamp: RtpTimestamp) -> Option<Step> {
        let Some(tone) = self.waiting.pop_front() else {
            self.state = State::Silent;
            return Some(Step::Ended);
        };
        self.state = match TelephoneEvent::event_of(tone) {
            None => State::Pause(now + COMMA),
            Some(event) => {
                let next = now + PACKET;
                State::Tone(Tone { event, began: now, timestamp, next, is_first: true, ends_sent: 0 })
            }
        };
        Some(Step::Begins(tone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of tones, each with the milliseconds at which it comes.
    fn steps(tones: &mut Tones, start: Instant) -> Vec<(u128, Step)> {
        let mut all = Vec::new();
        let mut now = start;
        while let Some(at) = tones.poll_timeout() {
            now = now.max(at);
            let passed = now.duration_since(start);
            let timestamp = RtpTimestamp((passed.as_millis() * 8) as u32);
            while let Some(step) = tones.poll(now, timestamp, 8000) {
                all.push((passed.as_millis(), step));
            }
        }
        all
    }

    #[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn tones_last_pause_and_end() {
        let start = start();
        let mut tones = Tones::default();
        let millis = Duration::from_millis;
        assert!(!tones.insert(start, "1x", millis(100), millis(70)));
        assert_eq!(tones.poll_timeout(), None);
        assert!(tones.insert(start, "1,d", millis(100), millis(1)));
        assert_eq!(tones.waiting(), "1,D");
        let all = steps(&mut tones, start);
        let changes: Vec<_> =
            all.iter().filter(|(_, step)| !matches!(step, Step::Packet(..))).copied().collect();
        // The least gap is 30 ms; a comma is 2 s.
        assert_eq!(
            changes,
            [
                (0, Step::Begins('1')),
                (130, Step::Begins(',')),
                (2130, Step::Begins('D')),
                (2260, Step::Ended)
            ]
        );
        let packets: Vec<_> = all
            .iter()
            .filter_map(|(at, step)| match step {
                Step::Packet(timestamp, marker, payload) => {
                    let event = TelephoneEvent::read(payload).unwrap();
                    Some((*at, timestamp.0, *marker, event.duration, event.end))
                }
                _ => None,
            })
            .collect();
        assert_eq!(
            packets[..7],
            [
                (20, 0, true, 160, false),
                (40, 0, false, 320, false),
                (60, 0, false, 480, false),
                (80, 0, false, 640, false),
                (100, 0, false, 800, true),
                (100, 0, false, 800, true),
                (100, 0, false, 800, true),
            ]
        );
        assert_eq!(packets.len(), 14);
        assert_eq!(packets[7].1, 2130 * 8);
    }

    #[test]
    fn new_tones_take_the_place_of_those_that_wait() {
        let start = start();
        let mut tones = Tones::default();
        let millis = Duration::from_millis;
        tones.insert(start, "123", millis(10), millis(50));
        assert_eq!(tones.poll(start, RtpTimestamp(0), 8000), Some(Step::Begins('1')));
        tones.insert(start, "#", millis(100), millis(50));
        assert!(tones.sounds());
        let begun: Vec<_> = steps(&mut tones, start)
            .into_iter()
            .filter(|(_, step)| matches!(step, Step::Begins(_) | Step::Ended))
            .collect();
        assert_eq!(begun.iter().map(|(_, step)| *step).collect::<Vec<_>>(), [Step::Begins('#'), Step::Ended]);
        tones.insert(start, "4", millis(100), millis(50));
        tones.insert(start, "", millis(100), millis(50));
        assert_eq!(steps(&mut tones, start).last().map(|(_, step)| *step), Some(Step::Ended));
    }
}
