//! The end of slow start before the queue overflows: HyStart++ (RFC 9406).

use std::time::Duration;

/// Watches the round trips of a slow start.
#[derive(Debug, Default)]
pub(super) struct HyStart {
    /// The least round trip of the last round and of this one.
    last: Option<Duration>,
    current: Option<Duration>,
    samples: u32,
    /// Conservative slow start: the least round trip when it began, and rounds since.
    conservative: Option<(Duration, u32)>,
}

/// The growth of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// By all that was acknowledged.
    Fast,
    /// By a quarter of it.
    Conservative,
    /// As congestion avoidance says.
    Avoidance,
}

impl HyStart {
    /// Something was acknowledged during slow start.
    pub(super) fn on_ack(&mut self, round_trip: Option<Duration>, round_start: bool) -> Growth {
        if round_start {
            self.last = self.current.take().or(self.last);
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.conservative {
                *rounds += 1;
                if *rounds >= CONSERVATIVE_ROUNDS {
                    *self = Self::default();
                    return Growth::Avoidance;
                }
            }
        }
        if let Some(sample) = round_trip {
            self.current = Some(self.current.map_or(sample, |current| current.min(sample)));
            self.samples += 1;
        }
        let (Some(last), Some(current)) = (self.last, self.current) else { return self.growth() };
        if self.samples >= SAMPLES {
            match self.conservative {
                Some((baseline, _)) if current < baseline => self.conservative = None,
                None if current >= last + (last / 8).clamp(MIN_RISE, MAX_RISE) => {
                    self.conservative = Some((current, 0));
                }
                _ => {}
            }
        }
        self.growth()
    }

    fn growth(&self) -> Growth {
        if self.conservative.is_some() { Growth::Conservative } else { Growth::Fast }
    }
}

/// RFC 9406 §4.3.
const MIN_RISE: Duration = Duration::from_millis(4);
const MAX_RISE: Duration = Duration::from_millis(16);
const SAMPLES: u32 = 8;
const CONSERVATIVE_ROUNDS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn round(hystart: &mut HyStart, milliseconds: u64) -> Growth {
        (0..10)
            .map(|n| hystart.on_ack(Some(Duration::from_millis(milliseconds)), n == 0))
            .last()
            .expect("ten of them")
    }

    #[test]
    fn a_rising_round_trip_ends_slow_start_by_and_by() {
        let mut hystart = HyStart::default();
        assert_eq!(round(&mut hystart, 40), Growth::Fast);
        assert_eq!(round(&mut hystart, 43), Growth::Fast);
        assert_eq!(round(&mut hystart, 49), Growth::Conservative);
        for _ in 0..CONSERVATIVE_ROUNDS - 1 {
            assert_eq!(round(&mut hystart, 50), Growth::Conservative);
        }
        assert_eq!(hystart.on_ack(None, true), Growth::Avoidance);
    }

    #[test]
    fn a_false_alarm_is_forgotten() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 40);
        assert_eq!(round(&mut hystart, 60), Growth::Conservative);
        assert_eq!(round(&mut hystart, 41), Growth::Fast);
    }
}
