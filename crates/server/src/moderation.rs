//! Threads that are woken for every single packet rest for a moment between two looks at their
//! sockets, as network cards hold back their interrupts: to be put to sleep and woken costs several
//! times as much as what a small message asks for.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The time after which a thread that has gone to sleep is woken late enough.
const SOON: Duration = Duration::from_micros(200);

/// The times in a row that a thread must have been woken sooner before it rests: what comes now and
/// then is not delayed.
const IN_A_ROW: u32 = 16;

/// The rest, to which the system adds some 50 µs.
const REST: Duration = Duration::from_micros(200);

thread_local! {
    static PACE: Cell<Pace> = const { Cell::new(Pace { asleep: None, hurried: 0 }) };
}

/// The pace at which a thread is woken.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// When it went to sleep last.
    asleep: Option<Instant>,
    /// The times in a row that it was woken soon.
    hurried: u32,
}

impl Pace {
    /// The thread goes to sleep. Returns whether it should rest first.
    fn sleeps(&mut self, now: Instant) -> bool {
        let soon = self.asleep.is_some_and(|asleep| now.saturating_duration_since(asleep) < SOON);
        self.hurried = if soon { self.hurried.saturating_add(1) } else { 0 };
        self.asleep = Some(now);
        self.hurried >= IN_A_ROW
    }
}

/// To be called by a thread of the runtime that has nothing to do.
pub(crate) fn before_sleep() {
    let mut pace = PACE.get();
    if pace.sleeps(Instant::now()) {
        std::thread::sleep(REST);
        pace.asleep = Some(Instant::now());
    }
    PACE.set(pace);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_thread_that_is_always_woken_soon_rests() {
        let mut pace = Pace { asleep: None, hurried: 0 };
        let mut now = Instant::now();
        let rests = |pace: &mut Pace, now: &mut Instant, after: Duration| {
            *now += after;
            pace.sleeps(*now)
        };
        let (short, long) = (SOON / 4, SOON * 2);
        assert!((0..1000).all(|_| !rests(&mut pace, &mut now, long)));
        assert!((0..IN_A_ROW - 1).all(|_| !rests(&mut pace, &mut now, short)));
        assert!((0..100).all(|_| rests(&mut pace, &mut now, short)));
        assert!(!rests(&mut pace, &mut now, long), "a pause ends it");
        assert!(!rests(&mut pace, &mut now, short));
    }
}
