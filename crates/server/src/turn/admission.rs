//! Limits on open streams: in all, for one client and for one network. When there is no place left,
//! the stream that has been silent longest makes way.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use columba_limits::{Excess, PrefixLimits, Prefixes};
use tokio::sync::Notify;

use super::stream::Standing;

/// The time that every stream has to say something before it may have to make way.
const GRACE: Duration = Duration::from_secs(1);

/// The open streams, counted.
#[derive(Debug)]
pub(super) struct Admission(Mutex<Open>);

#[derive(Debug)]
struct Open {
    held: Prefixes,
    /// The streams without an allocation, in the order in which they last said something. As many
    /// as streams at most.
    strangers: BTreeMap<u64, Stranger>,
    /// The next number in that order; 0 is none.
    next: u64,
}

#[derive(Debug)]
struct Stranger {
    client: IpAddr,
    since: Instant,
    notice: Arc<Notice>,
}

/// The notice to a stream's task that its place is given to another.
#[derive(Debug, Default)]
struct Notice {
    given: AtomicBool,
    wake: Notify,
}

/// A stream's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    client: IpAddr,
    notice: Arc<Notice>,
    /// The number among the strangers, 0 for none.
    number: AtomicU64,
}

impl Admission {
    pub(super) fn new(max: usize, max_per_client: usize) -> Arc<Self> {
        let bounded = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let limits = PrefixLimits { total: bounded(max), per_client: bounded(max_per_client) };
        let open = Open { held: Prefixes::new(limits), strangers: BTreeMap::new(), next: 1 };
        Arc::new(Self(Mutex::new(open)))
    }

    /// A place for one more stream of this client, if there is one or a silent stream makes way.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr, now: Instant) -> Option<Place> {
        let mut open = self.open();
        let mut taken = open.held.take(client, 1);
        if taken == Err(Excess::Total) && open.make_way(now) {
            taken = open.held.take(client, 1);
        }
        taken.ok()?;
        let notice = Arc::new(Notice::default());
        let number = open.enter(Stranger { client, since: now, notice: Arc::clone(&notice) });
        Some(Place { admission: Arc::clone(self), client, notice, number: AtomicU64::new(number) })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn enter(&mut self, stranger: Stranger) -> u64 {
        let number = self.next;
        self.next += 1;
        self.strangers.insert(number, stranger);
        number
    }

    /// Has the stream that has been silent longest make way; false if all have spoken just now.
    fn make_way(&mut self, now: Instant) -> bool {
        let Some(oldest) = self.strangers.first_entry() else { return false };
        if now.saturating_duration_since(oldest.get().since) < GRACE {
            return false;
        }
        let stranger = oldest.remove();
        self.held.give_back(stranger.client, 1);
        stranger.notice.given.store(true, Ordering::Release);
        stranger.notice.wake.notify_one();
        true
    }
}

impl Place {
    /// The client has said something, and has this afterwards.
    pub(super) fn note(&self, standing: Standing, now: Instant) {
        let number = self.number.load(Ordering::Relaxed);
        if standing == Standing::Allocated && number == 0 {
            return;
        }
        let mut open = self.admission.open();
        if number != 0 && open.strangers.remove(&number).is_none() {
            // The place is another's already.
            return;
        }
        let number = match standing {
            Standing::Allocated => 0,
            Standing::Stranger => {
                open.enter(Stranger { client: self.client, since: now, notice: Arc::clone(&self.notice) })
            }
        };
        self.number.store(number, Ordering::Relaxed);
    }

    /// Returns when the place is given to another: the stream is to be closed at once.
    pub(super) async fn lost(&self) {
        while !self.notice.given.load(Ordering::Acquire) {
            self.notice.wake.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.strangers.remove(&self.number.load(Ordering::Relaxed));
        if !self.notice.given.load(Ordering::Acquire) {
            open.held.give_back(self.client, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let (admission, now) = (Admission::new(3, 2), Instant::now());
        let admit = |client: &str| admission.admit(ip(client), now);
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("::ffff:192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none(), "two for one client");
        let _third = admit("2001:db8::1").unwrap();
        assert!(admit("192.0.2.2").is_none(), "three in all");
        drop(first);
        let _fourth = admit("2001:db8::2").unwrap();
        assert!(admit("192.0.2.1").is_none(), "three in all again");
        drop(_third);
        assert!(admit("2001:db8::3").is_some());
        assert_eq!(admission.open().held.total(), 2);
    }

    /// 4,032 silent streams from 16 addresses kept every other client out.
    #[tokio::test]
    async fn silent_streams_make_way_for_those_who_speak() {
        let (admission, start) = (Admission::new(40, 4), Instant::now());
        let silent: Vec<Place> = (0..10)
            .flat_map(|n| [0; 4].map(|_| n))
            .filter_map(|n| admission.admit([9, n, 0, 1].into(), start))
            .collect();
        let mut talkers = Vec::new();
        let later = start + Duration::from_secs(5);
        for n in 0..40_u8 {
            // Each speaks before the next one comes.
            let place = admission.admit([8, n, 0, 1].into(), later).expect("a silent one makes way");
            place.note(if n % 2 == 0 { Standing::Allocated } else { Standing::Stranger }, later);
            talkers.push(place);
            assert!(admission.open().held.total() <= 40);
        }
        for place in &silent {
            tokio::time::timeout(Duration::from_secs(60), place.lost()).await.expect("it is told");
        }
        drop(silent);
        assert_eq!(admission.open().held.total(), 40, "what was lost is not given back twice");
        assert!(admission.admit([7, 0, 0, 1].into(), later).is_none(), "all have just spoken");
        let much_later = later + Duration::from_secs(5);
        let newest = admission.admit([7, 0, 0, 1].into(), much_later).expect("one without an allocation");
        let lost = talkers.iter().position(|place| place.notice.given.load(Ordering::Acquire));
        assert_eq!(lost, Some(1), "the one that has been silent longest, not one with an allocation");
        // One that has lost its place does not come back by speaking.
        talkers[1].note(Standing::Stranger, much_later);
        assert_eq!(admission.open().strangers.len(), 20);
        drop((talkers, newest));
        let open = admission.open();
        assert!(open.held.is_empty() && open.strangers.is_empty());
    }
}
