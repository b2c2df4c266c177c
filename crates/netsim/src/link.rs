//! One direction of a link: delay, rate, queue, loss and damage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Random;
use crate::codel::Codel;
use crate::stream::ConnectionId;

/// The properties of one direction of a link. The default is perfect and immediate.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Propagation delay.
    pub delay: Duration,
    /// Uniform extra delay, up to this; keeps the order.
    pub jitter: Duration,
    /// Bits per second; `None` for no limit.
    pub rate: Option<u64>,
    /// The queue before the rate limit.
    pub queue: Queue,
    /// The loss apart from the queue's.
    pub loss: Loss,
    /// Probability that a datagram is held back by [`reorder_delay`](Self::reorder_delay), and
    /// overtaken.
    pub reorder: f64,
    /// The time for which such a datagram is held back.
    pub reorder_delay: Duration,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Probability that one bit of a datagram is flipped.
    pub corrupt: f64,
    /// The largest IP packet in bytes; larger ones vanish, as behind a black hole.
    pub mtu: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: Queue::DropTail { bytes: usize::MAX },
            loss: Loss::None,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(10),
            duplicate: 0.0,
            corrupt: 0.0,
            mtu: 65_535,
        }
    }
}

impl Link {
    /// A perfect link with this propagation delay.
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// The handling of datagrams that wait for a link's rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Queue {
    /// First in, first out; what does not fit is dropped.
    DropTail {
        /// The queue's length in bytes.
        bytes: usize,
    },
    /// Controlled delay (RFC 8289) over such a queue; marks instead of dropping where ECN is
    /// offered.
    CoDel {
        /// The queue's length in bytes.
        bytes: usize,
        /// The acceptable standing delay (5 ms in the RFC).
        target: Duration,
        /// The time within which it must be reached (100 ms in the RFC).
        interval: Duration,
    },
}

/// Random loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// No loss.
    None,
    /// Each datagram with this probability.
    Random(f64),
    /// In bursts (Gilbert–Elliott): a good state without loss and a bad state with it.
    Burst {
        /// Probability to turn bad, per datagram.
        enter: f64,
        /// Probability to turn good again, per datagram.
        leave: f64,
        /// Probability of loss in the bad state.
        loss: f64,
    },
    /// Everything: a partition.
    All,
}

/// Why a link did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkDrop {
    /// Larger than the MTU.
    Mtu,
    /// The queue was full.
    QueueFull,
    /// The queue's delay control chose it.
    CoDel,
    /// Random loss.
    Loss,
}

/// The treatment of one datagram by a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Passage {
    /// When it arrives.
    pub(crate) arrival: Option<Instant>,
    /// When a second copy arrives.
    pub(crate) duplicate: Option<Instant>,
    /// True if a bit of it is flipped.
    pub(crate) corrupt: bool,
    /// True if it is marked "congestion experienced".
    pub(crate) marked: bool,
    /// Why it does not arrive.
    pub(crate) drop: Option<LinkDrop>,
}

/// The link's memory.
#[derive(Debug, Default)]
pub(crate) struct LinkState {
    /// When the transmitter has sent all that was accepted.
    free: Option<Instant>,
    /// The latest arrival of a datagram in order.
    last_arrival: Option<Instant>,
    /// The same for segments of each connection of which some are under way: what is repeated holds
    /// up only its own connection.
    last_segments: BTreeMap<usize, Instant>,
    bad: bool,
    codel: Codel,
}

impl LinkState {
    /// Decides about a datagram of `size` bytes (IP headers included) that enters at `now`. What
    /// must not be lost (the segments of a simulated TCP `connection`) is delayed instead, as long
    /// as anything passes at all.
    pub(crate) fn enter(
        &mut self,
        link: &Link,
        now: Instant,
        size: usize,
        ecn_capable: bool,
        connection: Option<ConnectionId>,
        random: &mut Random,
    ) -> Passage {
        let reliable = connection.is_some();
        let mut passage = Passage::default();
        let dropped = |drop| Passage { drop: Some(drop), ..Passage::default() };
        if size > link.mtu && !reliable {
            return dropped(LinkDrop::Mtu);
        }
        let start = self.free.map_or(now, |free| free.max(now));
        let mut sent = start;
        if let Some(rate) = link.rate {
            let rate = rate.max(1);
            let waiting = (start - now).as_secs_f64() * rate as f64 / 8.0;
            let (Queue::DropTail { bytes } | Queue::CoDel { bytes, .. }) = link.queue;
            if waiting + size as f64 > bytes.max(size) as f64 && !reliable {
                return dropped(LinkDrop::QueueFull);
            }
            if let Queue::CoDel { target, interval, .. } = link.queue
                && self.codel.drops(start, start - now, target, interval)
            {
                if !ecn_capable && !reliable {
                    return dropped(LinkDrop::CoDel);
                }
                passage.marked = true;
            }
            sent = start + Duration::from_secs_f64(size as f64 * 8.0 / rate as f64);
            self.free = Some(sent);
        }
        let mut arrival = sent + link.delay + random.up_to(link.jitter);
        let mut wait = RETRANSMISSION;
        let mut tries = if reliable { RETRANSMISSIONS } else { 0 };
        while self.loses(link.loss, random) {
            if tries == 0 {
                // It has used its share of the rate all the same.
                return dropped(LinkDrop::Loss);
            }
            tries -= 1;
            arrival += wait;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        let held_back = random.chance(link.reorder) && !reliable;
        if let Some(ConnectionId(connection)) = connection {
            self.last_segments.retain(|_, at| *at > now);
            let last = self.last_segments.entry(connection).or_insert(arrival);
            arrival = arrival.max(*last);
            *last = arrival;
        } else if held_back {
            arrival += link.reorder_delay;
        } else {
            arrival = self.last_arrival.map_or(arrival, |last| last.max(arrival));
            self.last_arrival = Some(arrival);
        }
        passage.arrival = Some(arrival);
        passage.duplicate = (!reliable && random.chance(link.duplicate)).then_some(arrival);
        passage.corrupt = !reliable && random.chance(link.corrupt);
        passage
    }

    fn loses(&mut self, loss: Loss, random: &mut Random) -> bool {
        match loss {
            Loss::None => false,
            Loss::All => true,
            Loss::Random(probability) => random.chance(probability),
            Loss::Burst { enter, leave, loss } => {
                if random.chance(if self.bad { leave } else { enter }) {
                    self.bad = !self.bad;
                }
                self.bad && random.chance(loss)
            }
        }
    }
}

/// The delay that replaces the loss of a segment of a simulated TCP connection: a retransmission
/// timeout of 200 ms (Linux's minimum), which doubles as long as the retransmission is lost, too.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// The longest such timeout.
const LONGEST_WAIT: Duration = Duration::from_millis(3200);

/// Retransmissions, at most: then the segment is lost, and its connection with it. Linux tries
/// fifteen times, which is too long to simulate.
const RETRANSMISSIONS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        crate::clock::start()
    }

    #[test]
    fn full_queue_drops_the_eleventh_datagram() {
        let link = Link {
            rate: Some(8_000_000),
            queue: Queue::DropTail { bytes: 10_000 },
            delay: Duration::from_millis(5),
            ..Link::default()
        };
        let (mut state, mut random, now) = (LinkState::default(), Random::new(1), start());
        let passages: Vec<Passage> =
            (0..11).map(|_| state.enter(&link, now, 1000, false, None, &mut random)).collect();
        assert_eq!(passages[0].arrival, Some(now + Duration::from_millis(6)));
        assert_eq!(passages[9].arrival, Some(now + Duration::from_millis(15)));
        assert_eq!(passages[10].drop, Some(LinkDrop::QueueFull));
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let now = start();
        let arrivals = |link: &Link| {
            let (mut state, mut random) = (LinkState::default(), Random::new(3));
            (0..200)
                .map(|step| {
                    let entered = now + Duration::from_millis(step);
                    state.enter(link, entered, 100, false, None, &mut random).arrival.expect("no loss here")
                })
                .collect::<Vec<_>>()
        };
        let jittery = Link { jitter: Duration::from_millis(30), ..Link::default() };
        assert!(arrivals(&jittery).is_sorted());
        let reordering = Link { reorder: 0.1, ..jittery };
        assert!(!arrivals(&reordering).is_sorted());
    }

    #[test]
    fn loss_has_the_configured_rate_and_burst_length() {
        let now = start();
        let lost = |loss: Loss| {
            let (mut state, mut random) = (LinkState::default(), Random::new(5));
            let link = Link { loss, ..Link::default() };
            (0..20_000)
                .map(|_| state.enter(&link, now, 100, false, None, &mut random).drop.is_some())
                .collect::<Vec<_>>()
        };
        let share = |lost: &[bool]| lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
        let single = lost(Loss::Random(0.1));
        assert!((share(&single) - 0.1).abs() < 0.01);
        let burst = lost(Loss::Burst { enter: 0.01, leave: 0.1, loss: 1.0 });
        assert!((share(&burst) - 1.0 / 11.0).abs() < 0.02);
        let after_loss = |lost: &[bool]| {
            let pairs: Vec<_> = lost.windows(2).filter(|pair| pair[0]).collect();
            pairs.iter().filter(|pair| pair[1]).count() as f64 / pairs.len() as f64
        };
        assert!(after_loss(&burst) > 0.8 && after_loss(&single) < 0.2);
    }

    #[test]
    fn codel_drops_from_a_standing_queue_or_marks_ecn() {
        let link = Link {
            rate: Some(8_000_000),
            queue: Queue::CoDel {
                bytes: 1_000_000,
                target: Duration::from_millis(5),
                interval: Duration::from_millis(100),
            },
            ..Link::default()
        };
        let run = |ecn: bool| {
            let (mut state, mut random, mut now) = (LinkState::default(), Random::new(1), start());
            let (mut drops, mut marks) = (0, 0);
            for _ in 0..2000 {
                // 10 % more than the rate.
                now += Duration::from_micros(900);
                let passage = state.enter(&link, now, 1000, ecn, None, &mut random);
                drops += usize::from(passage.drop == Some(LinkDrop::CoDel));
                marks += usize::from(passage.marked);
            }
            (drops, marks)
        };
        let (drops, marks) = run(false);
        assert!(drops > 5 && marks == 0, "{drops} {marks}");
        let (drops, marks) = run(true);
        assert!(drops == 0 && marks > 5, "{drops} {marks}");
    }

    #[test]
    fn a_lost_segment_holds_up_its_own_connection_and_nothing_else() {
        let (mut state, mut random, now) = (LinkState::default(), Random::new(1), start());
        let link = Link { loss: Loss::Random(0.5), ..Link::with_delay(Duration::from_millis(10)) };
        let one = Some(ConnectionId(1));
        let mut segments = Vec::new();
        while segments.last().is_none_or(|last| *last < now + Duration::from_secs(1)) {
            segments.extend(state.enter(&link, now, 100, false, one, &mut random).arrival);
        }
        let lossless = Link { loss: Loss::None, ..link };
        let soon = Some(now + Duration::from_millis(10));
        let late = state.enter(&lossless, now, 100, false, one, &mut random).arrival;
        assert!(segments.is_sorted() && late == segments.last().copied());
        assert_eq!(state.enter(&lossless, now, 100, false, Some(ConnectionId(2)), &mut random).arrival, soon);
        assert_eq!(state.enter(&lossless, now, 100, false, None, &mut random).arrival, soon);
    }

    #[test]
    fn datagrams_over_the_mtu_vanish() {
        let link = Link { mtu: 1280, ..Link::default() };
        let (mut state, mut random) = (LinkState::default(), Random::new(1));
        assert_eq!(state.enter(&link, start(), 1281, false, None, &mut random).drop, Some(LinkDrop::Mtu));
        assert_eq!(state.enter(&link, start(), 1280, false, None, &mut random).drop, None);
    }
}
