//! One allowance for all that leaves on a path, given out by class.

use std::time::{Duration, Instant};

/// The priority of a flow: of a data channel (RFC 8831 §6.4), or of a stream of pictures. Each
/// level gets twice the part of the one before it, of data and of pictures alike (RFC 8835 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowPriority {
    /// Below normal.
    VeryLow,
    /// Normal.
    #[default]
    Low,
    /// High.
    Medium,
    /// Extra high.
    High,
}

impl FlowPriority {
    /// All levels, the highest first.
    pub const ALL: [Self; 4] = [Self::High, Self::Medium, Self::Low, Self::VeryLow];

    /// Returns the part of a flow among those that share, beside 1 for the lowest level.
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::VeryLow => 1.0,
            Self::Low => 2.0,
            Self::Medium => 4.0,
            Self::High => 8.0,
        }
    }
}

/// The kinds of what is sent. The first ones go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Audio: never waits, and its bytes count, up to half of the rate.
    Audio,
    /// Retransmissions, which are late already.
    Retransmission,
    /// Video; its levels share with each other and with data by weight.
    Video(FlowPriority),
    /// Data; its levels share with each other and with video by weight.
    Data(FlowPriority),
    /// Packets that only try the path: they take what no one else wants.
    Probe,
}

impl Class {
    const COUNT: usize = 11;

    const fn index(self) -> usize {
        match self {
            Self::Audio => 0,
            Self::Retransmission => 1,
            Self::Video(priority) => 5 - priority as usize,
            Self::Data(priority) => 9 - priority as usize,
            Self::Probe => 10,
        }
    }

    /// Returns whether it always has more to send; the rate of the others follows the estimate.
    const fn is_greedy(self) -> bool {
        matches!(self, Self::Data(_) | Self::Probe)
    }

    const SHARING: [Self; 8] = {
        let [high, medium, low, very_low] = FlowPriority::ALL;
        [
            Self::Video(high),
            Self::Video(medium),
            Self::Video(low),
            Self::Video(very_low),
            Self::Data(high),
            Self::Data(medium),
            Self::Data(low),
            Self::Data(very_low),
        ]
    };
}

/// Gives out a path's rate, packet by packet. It holds no packets: a class says whether it has
/// some, and asks before each.
#[derive(Debug)]
pub struct Pacer {
    bytes_per_second: f64,
    /// Bytes that may go out at once; negative after the last packet of a burst.
    tokens: f64,
    /// The same at the rate itself, without the factor: data and probes, which always have more,
    /// must not take the path beyond its rate.
    budget: f64,
    /// The bytes of audio that still count. What it takes beyond half of the rate does not, or
    /// nothing else would leave a path of little, and nothing would be learned of what it carries.
    audio: f64,
    filled: Instant,
    waiting: [bool; Class::COUNT],
    /// The part of a class among those that share; 0 for one that goes before or after them.
    weights: [f64; Class::COUNT],
    /// The bytes that a class was given, by its weight.
    served: [f64; Class::COUNT],
}

impl Pacer {
    /// The time of sending that may go out at once: the grain of timers.
    const BURST: Duration = Duration::from_millis(5);
    /// Packets that may go out at once in any case.
    const LEAST_BURST: f64 = 3000.0;
    /// The rate at which packets leave, above that of the estimate, so that a frame does not wait
    /// for as long as the next one takes.
    const FACTOR: f64 = 1.25;
    /// The least time to wait: a wake-up costs more than a packet.
    const SHORTEST_WAIT: Duration = Duration::from_micros(500);

    /// Returns a pacer of a rate.
    #[must_use]
    pub fn new(now: Instant, bits_per_second: u64) -> Self {
        Self {
            bytes_per_second: (bits_per_second.max(8000) as f64) / 8.0,
            tokens: Self::LEAST_BURST,
            budget: Self::LEAST_BURST,
            audio: Self::LEAST_BURST,
            filled: now,
            waiting: [false; Class::COUNT],
            weights: Self::first_weights(),
            served: [0.0; Class::COUNT],
        }
    }

    /// One flow of each class that shares.
    fn first_weights() -> [f64; Class::COUNT] {
        let mut weights = [0.0; Class::COUNT];
        for class in Class::SHARING {
            if let Class::Video(priority) | Class::Data(priority) = class {
                weights[class.index()] = priority.weight();
            }
        }
        weights
    }

    /// Sets the part of a class of video among those that share: the sum of the
    /// [weights](FlowPriority::weight) of its streams. At first it is that of one stream.
    pub fn set_video_weight(&mut self, priority: FlowPriority, weight: f64) {
        // A packet that is left of a stream that has ended goes, too.
        self.weights[Class::Video(priority).index()] = weight.max(0.1);
    }

    /// Returns the part of the rate that data of a priority gets beside streams of pictures whose
    /// weights sum to `pictures`, if all always have something to send.
    #[must_use]
    pub fn share_of_data(priority: FlowPriority, pictures: f64) -> f64 {
        priority.weight() / (priority.weight() + pictures.max(0.0))
    }

    /// Sets the rate.
    pub fn set_rate(&mut self, now: Instant, bits_per_second: u64) {
        self.fill(now);
        self.bytes_per_second = (bits_per_second.max(8000) as f64) / 8.0;
    }

    /// Says whether a class has something to send.
    pub fn set_waiting(&mut self, class: Class, waiting: bool) {
        let index = class.index();
        if waiting && !self.waiting[index] {
            // A class that comes back gets no credit for the time that it was away.
            let others = Class::SHARING.iter().filter(|other| self.waiting[other.index()]);
            let least = others.map(|other| self.served[other.index()]).fold(f64::INFINITY, f64::min);
            if least.is_finite() {
                self.served[index] = self.served[index].max(least);
            }
        }
        self.waiting[index] = waiting;
    }

    /// Returns whether a class has said that it has something to send.
    #[must_use]
    pub const fn is_waiting(&self, class: Class) -> bool {
        self.waiting[class.index()]
    }

    /// Returns whether a class may send a packet now.
    pub fn may_send(&mut self, now: Instant, class: Class) -> bool {
        self.fill(now);
        class == Class::Audio || (self.allowed(class) > 0.0 && self.is_next(class))
    }

    /// Returns the bytes that a class may send now; the last packet of a burst may be longer.
    pub fn available(&mut self, now: Instant, class: Class) -> usize {
        if class == Class::Audio {
            return usize::MAX;
        }
        if self.may_send(now, class) { self.allowed(class) as usize } else { 0 }
    }

    /// Takes the bytes of a packet that has left.
    pub fn sent(&mut self, now: Instant, class: Class, bytes: usize) {
        self.fill(now);
        let mut counted = bytes as f64;
        if class == Class::Audio {
            counted = counted.min(self.audio);
            self.audio -= counted;
        }
        // Audio is never held back; its debt is bounded, so that it does not hold others back long.
        self.tokens = (self.tokens - counted).max(-self.bytes_per_second);
        self.budget = (self.budget - counted).max(-self.bytes_per_second / 4.0);
        let weight = self.weights[class.index()];
        if weight > 0.0 {
            self.served[class.index()] += bytes as f64 / weight;
        }
    }

    /// Returns when a class that waits for its turn may ask again; `None` if it need not wait, or
    /// others go first.
    #[must_use]
    pub fn next_opening(&self, now: Instant, class: Class) -> Option<Instant> {
        if class == Class::Audio || !self.is_next(class) {
            return None;
        }
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        let wait_for = |allowed: f64, rate: f64| ((1.0 - allowed) / rate - passed).max(0.0);
        let mut wait = wait_for(self.tokens, self.rate());
        if class.is_greedy() {
            wait = wait.max(wait_for(self.budget, self.bytes_per_second));
        }
        (wait > 0.0).then(|| now + Duration::from_secs_f64(wait).max(Self::SHORTEST_WAIT))
    }

    /// Returns the class whose turn it is; `None` if no class has something to send.
    #[must_use]
    pub fn next_class(&self) -> Option<Class> {
        let first = [Class::Audio, Class::Retransmission].into_iter();
        if let Some(class) = first.into_iter().find(|class| self.waiting[class.index()]) {
            return Some(class);
        }
        let sharing = Class::SHARING.into_iter().filter(|class| self.waiting[class.index()]);
        let served = |class: &Class| self.served[class.index()];
        let least = sharing.min_by(|one, other| served(one).total_cmp(&served(other)));
        least.or_else(|| self.waiting[Class::Probe.index()].then_some(Class::Probe))
    }

    /// A class that asks without having said that it waits goes if no other one does.
    fn is_next(&self, class: Class) -> bool {
        self.next_class().is_none_or(|next| next == class)
    }

    fn allowed(&self, class: Class) -> f64 {
        if class.is_greedy() { self.tokens.min(self.budget) } else { self.tokens }
    }

    fn rate(&self) -> f64 {
        self.bytes_per_second * Self::FACTOR
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        let burst = (self.rate() * Self::BURST.as_secs_f64()).max(Self::LEAST_BURST);
        self.tokens = (self.tokens + passed * self.rate()).min(burst);
        self.budget = (self.budget + passed * self.bytes_per_second).min(burst);
        let most = self.bytes_per_second.max(Self::LEAST_BURST);
        self.audio = (self.audio + passed * self.bytes_per_second / 2.0).min(most);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: Class = Class::Video(FlowPriority::Low);
    const DATA: Class = Class::Data(FlowPriority::Low);

    /// Sends what may go for some time; returns bytes for each class.
    fn run(pacer: &mut Pacer, start: Instant, classes: &[Class], millis: u64) -> Vec<usize> {
        let mut sent = vec![0; classes.len()];
        for class in classes {
            pacer.set_waiting(*class, true);
        }
        for step in 0..millis {
            let now = start + Duration::from_millis(step);
            while let Some(index) = classes.iter().position(|class| pacer.may_send(now, *class)) {
                sent[index] += 1000;
                pacer.sent(now, classes[index], 1000);
            }
        }
        sent
    }

    #[test]
    fn the_rate_holds_and_is_shared_by_weight() {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start, 8_000_000);
        let sent = run(&mut pacer, start, &[VIDEO, DATA], 10_000);
        let total: usize = sent.iter().sum();
        assert!((9_900_000..10_100_000).contains(&total), "{total}");
        assert!((0.98..1.02).contains(&(sent[0] as f64 / sent[1] as f64)), "{sent:?}");
    }

    #[test]
    fn retransmissions_go_first_and_probes_last() {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start, 1_000_000);
        let classes = [Class::Probe, DATA, Class::Retransmission];
        assert_eq!(run(&mut pacer, start, &classes, 1000)[..2], [0, 0]);
        pacer.set_waiting(Class::Retransmission, false);
        assert!(pacer.next_class() == Some(DATA));
        pacer.set_waiting(DATA, false);
        let later = start + Duration::from_secs(2);
        assert!(pacer.may_send(later, Class::Probe) && !pacer.may_send(later, DATA));
    }

    #[test]
    fn audio_never_waits_and_counts() {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start, 1_000_000);
        let start = start + Duration::from_secs(1);
        for _ in 0..100 {
            assert!(pacer.may_send(start, Class::Audio));
            pacer.sent(start, Class::Audio, 200);
        }
        assert!(!pacer.may_send(start, VIDEO));
        let opening = pacer.next_opening(start, VIDEO).unwrap();
        // 17,000 bytes beyond the burst, at 156,250 bytes a second.
        let wait = opening - start;
        assert!((105..112).contains(&wait.as_millis()), "{wait:?}");
        assert!(!pacer.may_send(opening - Duration::from_millis(1), VIDEO));
        assert!(pacer.may_send(opening, VIDEO));
        assert_eq!(pacer.next_opening(opening, VIDEO), None);
    }

    #[test]
    fn audio_leaves_half_of_a_rate_that_is_too_low_for_it() {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start, 32_000);
        let (mut sent, millis) = (0, 20_000);
        for step in 0..millis {
            let now = start + Duration::from_millis(step);
            pacer.set_waiting(VIDEO, true);
            if step % 20 == 0 {
                pacer.sent(now, Class::Audio, 160);
            }
            if pacer.may_send(now, VIDEO) {
                pacer.sent(now, VIDEO, 1000);
                sent += 1000;
            }
        }
        // 40,000 bytes are half of it; the factor and the first burst come on top.
        assert!((40_000..70_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_class_that_was_away_gets_no_credit() {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start, 8_000_000);
        run(&mut pacer, start, &[DATA], 5000);
        let sent = run(&mut pacer, start + Duration::from_secs(5), &[VIDEO, DATA], 1000);
        assert!((0.9..1.1).contains(&(sent[0] as f64 / sent[1] as f64)), "{sent:?}");
    }

    /// RFC 8835 §4.1: each level has twice the part of the one before it, independent of the kind.
    #[test]
    fn each_priority_has_twice_the_part_of_the_one_below() {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start, 8_000_000);
        let sent = run(&mut pacer, start, &Class::SHARING, 10_000);
        for pair in [0, 1, 2, 4, 5, 6] {
            let ratio = sent[pair] as f64 / sent[pair + 1] as f64;
            assert!((1.95..2.05).contains(&ratio), "{sent:?}");
        }
        let (video, data) = (sent[..4].iter().sum::<usize>(), sent[4..].iter().sum::<usize>());
        assert!((0.98..1.02).contains(&(video as f64 / data as f64)), "{sent:?}");
    }

    #[test]
    fn streams_of_one_priority_add_up() {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start, 8_000_000);
        pacer.set_video_weight(FlowPriority::Low, 3.0 * FlowPriority::Low.weight());
        let sent = run(&mut pacer, start, &[VIDEO, DATA], 10_000);
        assert!((2.9..3.1).contains(&(sent[0] as f64 / sent[1] as f64)), "{sent:?}");
        let share = Pacer::share_of_data(FlowPriority::Low, 3.0 * FlowPriority::Low.weight());
        assert!((share - 0.25).abs() < 1e-9, "{share}");
    }
}
