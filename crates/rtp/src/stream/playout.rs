//! Jitter buffers: what is played, and when. They decide only; the one who plays asks them, by the
//! clock of the sound card or of the screen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::numbers::RtpTimestamp;

/// Frames that are kept at most; more are dropped, the oldest first.
const MAX_FRAMES: usize = 512;

/// A frame of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    /// The extended sequence number of its packet.
    pub number: u64,
    /// The timestamp.
    pub timestamp: RtpTimestamp,
    /// The duration in ticks.
    pub ticks: u32,
    /// The encoded data.
    pub data: Bytes,
}

/// The next piece of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudioDecision {
    /// Decode this frame.
    Play(AudioFrame),
    /// A frame is missing: conceal so many ticks. If the next one is there already, its data may
    /// carry a copy (in-band FEC).
    Conceal {
        /// The ticks to fill.
        ticks: u32,
        /// The frame behind the gap.
        next: Option<AudioFrame>,
    },
    /// The sender has paused: comfort noise for so many ticks.
    Pause {
        /// The ticks to fill.
        ticks: u32,
    },
    /// Nothing to play yet: silence for so many ticks.
    Wait {
        /// The ticks to fill.
        ticks: u32,
    },
}

/// Counters of a jitter buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutStats {
    /// Frames given out (`jitterBufferEmittedCount`).
    pub emitted: u64,
    /// The time that these had waited (`jitterBufferDelay`).
    pub delay: Duration,
    /// Frames that came too late, or were too many.
    pub discarded: u64,
    /// Times that something was concealed (`concealmentEvents`).
    pub concealments: u64,
}

/// A jitter buffer of audio. A fixed one is [`FixedAudioPlayout`]; adaptive ones have the same
/// interface.
pub trait AudioPlayout {
    /// Sets the delay that the application wants (`jitterBufferTarget`).
    fn set_target(&mut self, target: Duration);

    /// Takes a frame at the time of its arrival.
    fn insert(&mut self, arrival: Instant, frame: AudioFrame);

    /// Returns the next piece; `ticks` is its length where there is no frame.
    fn next(&mut self, now: Instant, ticks: u32) -> AudioDecision;

    /// Returns the counters.
    fn stats(&self) -> PlayoutStats;
}

/// A jitter buffer of audio with a fixed delay.
#[derive(Debug)]
pub struct FixedAudioPlayout {
    clock_rate: u32,
    target: Duration,
    /// In ascending order of extended timestamps, with the arrival of each.
    frames: VecDeque<(i64, Instant, AudioFrame)>,
    /// The extended timestamp of what is played next; `None` while the buffer fills.
    position: Option<i64>,
    reference: i64,
    last_number: Option<u64>,
    /// Ticks since the last frame.
    empty: u32,
    concealing: bool,
    stats: PlayoutStats,
}

impl FixedAudioPlayout {
    /// Without frames for so long the buffer fills anew.
    const REFILL: Duration = Duration::from_secs(1);
    /// Beyond twice the target and this much the oldest frames are dropped.
    const SLACK: Duration = Duration::from_millis(100);

    /// Returns an empty buffer for timestamps of so many ticks a second.
    #[must_use]
    pub fn new(clock_rate: u32, target: Duration) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            target,
            frames: VecDeque::with_capacity(MAX_FRAMES),
            position: None,
            reference: 0,
            last_number: None,
            empty: 0,
            concealing: false,
            stats: PlayoutStats::default(),
        }
    }

    fn ticks(&self, duration: Duration) -> i64 {
        (duration.as_secs_f64() * f64::from(self.clock_rate)) as i64
    }

    /// The ticks from the first frame's beginning to the last one's end.
    fn span(&self) -> i64 {
        let ends = self.frames.front().zip(self.frames.back());
        ends.map_or(0, |(first, last)| last.0 + i64::from(last.2.ticks) - first.0)
    }

    fn drop_surplus(&mut self) {
        let most = self.ticks(2 * self.target + Self::SLACK);
        while self.frames.len() == MAX_FRAMES || (self.frames.len() > 1 && self.span() > most) {
            self.frames.pop_front();
            self.stats.discarded += 1;
            if let (Some(position), Some(first)) = (self.position, self.frames.front()) {
                self.position = Some(position.max(first.0));
            }
        }
    }

    fn play(&mut self, now: Instant) -> Option<AudioFrame> {
        let (start, arrival, frame) = self.frames.pop_front()?;
        self.position = Some(start + i64::from(frame.ticks));
        self.last_number = Some(frame.number);
        (self.empty, self.concealing) = (0, false);
        self.stats.emitted += 1;
        self.stats.delay += now.saturating_duration_since(arrival);
        Some(frame)
    }
}

impl AudioPlayout for FixedAudioPlayout {
    fn set_target(&mut self, target: Duration) {
        self.target = target;
    }

    fn insert(&mut self, arrival: Instant, frame: AudioFrame) {
        let start = frame.timestamp.extend(self.reference);
        if self.position.is_some_and(|position| start < position) {
            self.stats.discarded += 1;
            return;
        }
        self.reference = self.reference.max(start);
        match self.frames.binary_search_by_key(&start, |(start, ..)| *start) {
            Ok(_) => self.stats.discarded += 1,
            Err(at) => {
                self.drop_surplus();
                self.frames.insert(at.min(self.frames.len()), (start, arrival, frame));
                self.drop_surplus();
            }
        }
    }

    fn next(&mut self, now: Instant, ticks: u32) -> AudioDecision {
        let Some(position) = self.position else {
            // The first frame waits as long as the target says.
            let waited = self.frames.front().map(|(_, arrival, _)| now.saturating_duration_since(*arrival));
            return match waited.is_some_and(|waited| waited >= self.target).then(|| self.play(now)) {
                Some(Some(frame)) => AudioDecision::Play(frame),
                _ => AudioDecision::Wait { ticks },
            };
        };
        let Some((start, _, first)) = self.frames.front() else {
            // The position stays: frames that come late, and not too late, are played then.
            self.empty += ticks;
            if i64::from(self.empty) >= self.ticks(Self::REFILL) {
                // A long pause: the next frame begins anew, so that no delay is carried over.
                (self.position, self.empty) = (None, 0);
            }
            if !self.concealing {
                (self.concealing, self.stats.concealments) = (true, self.stats.concealments + 1);
            }
            return AudioDecision::Conceal { ticks, next: None };
        };
        // A part of what is missing was concealed while there was nothing.
        let position = position + i64::from(self.empty).min(*start - position).max(0);
        (self.empty, self.position) = (0, Some(position));
        let gap = *start - position;
        if gap <= 0 {
            return self.play(now).map_or(AudioDecision::Wait { ticks }, AudioDecision::Play);
        }
        let ticks = u32::try_from(gap).map_or(ticks, |gap| gap.min(ticks));
        let follows = self.last_number.is_some_and(|last| first.number == last + 1);
        let next = (gap <= i64::from(ticks)).then(|| first.clone());
        self.position = Some(position + i64::from(ticks));
        if follows {
            return AudioDecision::Pause { ticks };
        }
        if !self.concealing {
            (self.concealing, self.stats.concealments) = (true, self.stats.concealments + 1);
        }
        AudioDecision::Conceal { ticks, next }
    }

    fn stats(&self) -> PlayoutStats {
        self.stats
    }
}

/// The next picture.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoDecision {
    /// Decode this frame, and show it unless `skip` is set: the next one is due as well.
    Frame {
        /// The timestamp.
        timestamp: RtpTimestamp,
        /// The encoded data.
        data: Bytes,
        /// It is only needed to decode the next ones.
        skip: bool,
    },
    /// The next frame is due at this time.
    Wait(Instant),
    /// There is none.
    Empty,
}

/// A jitter buffer of video, of whole frames in their order.
pub trait VideoPlayout {
    /// Sets the delay that the application wants (`jitterBufferTarget`).
    fn set_target(&mut self, target: Duration);

    /// Takes a frame at the time of its arrival.
    fn insert(&mut self, arrival: Instant, timestamp: RtpTimestamp, data: Bytes);

    /// Returns the next frame, if it is due.
    fn next(&mut self, now: Instant) -> VideoDecision;

    /// Returns the counters.
    fn stats(&self) -> PlayoutStats;
}

/// A jitter buffer of video with a fixed delay after the fastest frame of the last while.
#[derive(Debug)]
pub struct FixedVideoPlayout {
    clock_rate: u32,
    target: Duration,
    frames: VecDeque<(RtpTimestamp, Instant, Bytes)>,
    /// The arrival of the frame that came fastest, and its timestamp.
    fastest: Option<(Instant, RtpTimestamp)>,
    stats: PlayoutStats,
}

impl FixedVideoPlayout {
    /// The anchor follows a path that has become slower by this part of the difference with each
    /// frame.
    const FOLLOW: f64 = 0.01;
    /// A jump of timestamps or arrivals that begins anew.
    const JUMP: f64 = 5.0;

    /// Returns an empty buffer for timestamps of so many ticks a second.
    #[must_use]
    pub fn new(clock_rate: u32, target: Duration) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            target,
            frames: VecDeque::with_capacity(MAX_FRAMES),
            fastest: None,
            stats: PlayoutStats::default(),
        }
    }

    /// Returns when a frame is due: as long after the fastest one as their timestamps say, and the
    /// target.
    fn due(&self, timestamp: RtpTimestamp) -> Option<Instant> {
        let (arrival, anchor) = self.fastest?;
        let seconds = f64::from(timestamp.since(anchor)) / f64::from(self.clock_rate);
        let offset = Duration::from_secs_f64(seconds.abs());
        let at = if seconds < 0.0 { arrival.checked_sub(offset)? } else { arrival + offset };
        Some(at + self.target)
    }

    fn follow(&mut self, arrival: Instant, timestamp: RtpTimestamp) {
        let Some((anchor, reference)) = self.fastest else {
            self.fastest = Some((arrival, timestamp));
            return;
        };
        let ticks = f64::from(timestamp.since(reference)) / f64::from(self.clock_rate);
        let passed = match arrival.checked_duration_since(anchor) {
            Some(passed) => passed.as_secs_f64(),
            None => -anchor.duration_since(arrival).as_secs_f64(),
        };
        let late = passed - ticks;
        self.fastest = if late <= 0.0 || late > Self::JUMP || ticks.abs() > 60.0 * Self::JUMP {
            Some((arrival, timestamp))
        } else {
            Some((anchor + Duration::from_secs_f64(late * Self::FOLLOW), reference))
        };
    }
}

impl VideoPlayout for FixedVideoPlayout {
    fn set_target(&mut self, target: Duration) {
        self.target = target;
    }

    fn insert(&mut self, arrival: Instant, timestamp: RtpTimestamp, data: Bytes) {
        self.follow(arrival, timestamp);
        if self.frames.len() == MAX_FRAMES {
            self.frames.pop_front();
            self.stats.discarded += 1;
        }
        self.frames.push_back((timestamp, arrival, data));
    }

    fn next(&mut self, now: Instant) -> VideoDecision {
        let Some((timestamp, ..)) = self.frames.front() else { return VideoDecision::Empty };
        if let Some(due) = self.due(*timestamp).filter(|due| *due > now) {
            return VideoDecision::Wait(due);
        }
        let Some((timestamp, arrival, data)) = self.frames.pop_front() else { return VideoDecision::Empty };
        self.stats.emitted += 1;
        self.stats.delay += now.saturating_duration_since(arrival);
        let next = self.frames.front().and_then(|(next, ..)| self.due(*next));
        VideoDecision::Frame { timestamp, data, skip: next.is_some_and(|due| due <= now) }
    }

    fn stats(&self) -> PlayoutStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(60);

    fn frame(number: u64) -> AudioFrame {
        let timestamp = RtpTimestamp(u32::MAX - 3000).plus(number as u32 * 960);
        AudioFrame { number, timestamp, ticks: 960, data: Bytes::from_static(b"opus") }
    }

    /// Plays for a while in steps of 20 ms; what came is a letter for each step.
    fn play(arrivals: &[(u64, AudioFrame)], steps: u64) -> (String, PlayoutStats) {
        let start = crate::test_time();
        let mut playout = FixedAudioPlayout::new(48_000, TARGET);
        let mut arrivals = arrivals.iter().peekable();
        let mut played = String::new();
        for step in 0..steps {
            while let Some((at, frame)) = arrivals.next_if(|(at, _)| *at <= step * 20) {
                playout.insert(start + Duration::from_millis(*at), frame.clone());
            }
            played.push(match playout.next(start + Duration::from_millis(step * 20), 960) {
                AudioDecision::Play(_) => 'P',
                AudioDecision::Conceal { next: None, .. } => 'c',
                AudioDecision::Conceal { .. } => 'C',
                AudioDecision::Pause { .. } => '-',
                AudioDecision::Wait { .. } => '.',
            });
        }
        (played, playout.stats())
    }

    #[test]
    fn frames_are_played_behind_the_target_in_order() {
        let arrivals = [(0, frame(0)), (35, frame(2)), (45, frame(1)), (60, frame(3)), (80, frame(4))];
        let (played, stats) = play(&arrivals, 8);
        assert_eq!(played, "...PPPPP");
        assert_eq!((stats.emitted, stats.discarded), (5, 0));
    }

    #[test]
    fn losses_are_concealed_and_pauses_are_not() {
        let lost = [(0, frame(0)), (40, frame(2)), (60, frame(3))];
        assert_eq!(play(&lost, 7).0, "...PCPP");
        let mut resumed = frame(5);
        resumed.number = 1;
        let (played, stats) = play(&[(0, frame(0)), (60, resumed)], 9);
        assert_eq!((played.as_str(), stats.concealments), ("...P----P", 0));
        let late = [(0, frame(0)), (110, frame(1)), (120, frame(2)), (130, frame(3))];
        let (played, stats) = play(&late, 10);
        assert_eq!((played.as_str(), stats.discarded), ("...PccPPPc", 0));
    }

    #[test]
    fn bursts_do_not_leave_a_delay_behind() {
        let start = crate::test_time();
        let mut playout = FixedAudioPlayout::new(48_000, TARGET);
        for number in 0..2000 {
            playout.insert(start, frame(number));
        }
        assert!(playout.frames.len() <= 12);
        assert!(matches!(playout.next(start + TARGET, 960), AudioDecision::Play(_)));
    }

    #[test]
    fn long_silence_fills_the_buffer_anew() {
        let (played, _) = play(&[(0, frame(0)), (1400, frame(70))], 74);
        assert_eq!(played.matches('c').count(), 50);
        assert!(played.ends_with(".P"), "{played}");
    }

    #[test]
    fn pictures_are_due_after_the_fastest() {
        let start = crate::test_time();
        let at = |millis| start + Duration::from_millis(millis);
        let mut playout = FixedVideoPlayout::new(90_000, TARGET);
        assert_eq!(playout.next(start), VideoDecision::Empty);
        playout.insert(at(30), RtpTimestamp(0), Bytes::new());
        // 40 ms later by its timestamp, and 20 ms faster.
        playout.insert(at(50), RtpTimestamp(3600), Bytes::new());
        assert_eq!(playout.next(at(60)), VideoDecision::Wait(at(70)));
        assert!(matches!(playout.next(at(70)), VideoDecision::Frame { skip: false, .. }));
        assert_eq!(playout.next(at(71)), VideoDecision::Wait(at(110)));
        playout.insert(at(90), RtpTimestamp(7200), Bytes::new());
        assert!(matches!(playout.next(at(150)), VideoDecision::Frame { skip: true, .. }));
        assert!(matches!(playout.next(at(150)), VideoDecision::Frame { skip: false, .. }));
        assert_eq!(playout.stats().emitted, 3);
    }
}
