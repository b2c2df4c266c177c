//! Certificates made ahead of time: a connection that opens need not wait for its own. Each is
//! given out once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use columba_peer::{Certificate, KeyAlgorithm, UnixTime};

/// Certificates in stock, at most: keys that wait are few, and soon made.
const MOST: usize = 4;

/// The validity of a certificate that is made for one connection, as that of
/// [`Certificate::generate`].
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 3600);

/// The time after which one that waits is dropped, which erases its key.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

static STOCK: Mutex<Stock> = Mutex::new(Stock { made: Vec::new() });

/// Certificates, with the times since 1970 at which they were made.
#[derive(Debug)]
struct Stock {
    made: Vec<(Duration, Certificate)>,
}

/// Takes a certificate out of the stock of this process, if there is one.
pub(crate) fn take() -> Option<Certificate> {
    STOCK.lock().unwrap_or_else(PoisonError::into_inner).take(wall_time())
}

/// Makes a certificate for a later connection, unless there are enough.
pub(crate) fn replenish() {
    let wall = wall_time();
    if STOCK.lock().unwrap_or_else(PoisonError::into_inner).is_full(wall) {
        return;
    }
    // The lock is not held meanwhile: another connection may be opened.
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_err() {
        return;
    }
    let expires = UnixTime(wall + VALIDITY);
    // A connection that finds none makes its own, and says so if that fails.
    if let Ok(certificate) = Certificate::from_seed(KeyAlgorithm::EcdsaP256, seed, UnixTime(wall), expires) {
        STOCK.lock().unwrap_or_else(PoisonError::into_inner).add(wall, certificate);
    }
}

fn wall_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Stock {
    fn take(&mut self, wall: Duration) -> Option<Certificate> {
        self.drop_old(wall);
        self.made.pop().map(|(_, certificate)| certificate)
    }

    fn is_full(&mut self, wall: Duration) -> bool {
        self.drop_old(wall);
        self.made.len() >= MOST
    }

    fn add(&mut self, wall: Duration, certificate: Certificate) {
        if self.made.len() < MOST {
            self.made.push((wall, certificate));
        }
    }

    /// One that was made after now is of a clock that has been set since.
    fn drop_old(&mut self, wall: Duration) {
        self.made.retain(|(at, _)| wall.checked_sub(*at).is_some_and(|age| age < LONGEST_WAIT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(number: u8) -> Certificate {
        let expires = UnixTime(VALIDITY);
        Certificate::from_seed(KeyAlgorithm::EcdsaP256, [number; 32], UnixTime::default(), expires).unwrap()
    }

    #[test]
    fn certificates_are_given_out_once_and_do_not_grow_old() {
        let mut stock = Stock { made: Vec::new() };
        let hours = |count: u64| Duration::from_secs(count * 3600);
        for number in 0..10 {
            stock.add(hours(10), certificate(number));
        }
        assert!(stock.is_full(hours(10)));
        let taken: Vec<_> = std::iter::from_fn(|| stock.take(hours(10))).collect();
        assert_eq!(taken.len(), MOST);
        for (place, one) in taken.iter().enumerate() {
            assert!(taken[place + 1..].iter().all(|other| other.der() != one.der()));
        }
        for (later, remains) in [(10, true), (11, false), (9, false)] {
            stock.add(hours(10), certificate(0));
            assert_eq!(stock.take(hours(later)).is_some(), remains, "at {later} o'clock");
        }
    }
}
