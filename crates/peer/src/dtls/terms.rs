//! What a machine of the crate `dimpl` is told at its birth.
//!
//! Making a configuration tests the cryptography library against known answers, signatures and key agreements on three curves
//! included. That takes as long as a whole handshake, and says the same each time: therefore configurations are kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dimpl::Config;

use super::attempt::MAX_QUEUE;

/// What configurations differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) datagram_size: usize,
    pub(super) first_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    /// For simulations only, where each attempt has another one: such a configuration is not kept.
    pub(super) seed: Option<u64>,
}

/// Those made so far; the oldest goes when there are [`MAX_KEPT`]. They hold nothing secret, and nothing of any connection.
static KEPT: Mutex<Vec<(Terms, Arc<Config>)>> = Mutex::new(Vec::new());

impl Terms {
    /// The configuration with these terms.
    pub(super) fn config(self) -> Result<Arc<Config>, dimpl::Error> {
        if self.seed.is_some() {
            return self.make();
        }
        // Held while it is made, so that of many connections that begin at once only one makes it.
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = kept.iter().find(|(terms, _)| *terms == self) {
            return Ok(config.clone());
        }
        let config = self.make()?;
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push((self, config.clone()));
        Ok(config)
    }

    fn make(self) -> Result<Arc<Config>, dimpl::Error> {
        let mut builder = Config::builder()
            .mtu(self.datagram_size)
            .max_queue_rx(MAX_QUEUE)
            .max_queue_tx(MAX_QUEUE)
            // The path is verified by ICE: asking for a cookie only costs a round trip.
            .use_server_cookie(false)
            .flight_start_rto(self.first_timeout)
            .flight_retries(RETRIES)
            .handshake_timeout(self.handshake_timeout);
        if let Some(seed) = self.seed {
            builder = builder.dangerously_set_rng_seed(seed);
        }
        Ok(Arc::new(builder.build()?))
    }
}

/// Configurations kept: the steps of the first timeout, for a few sizes of datagrams.
const MAX_KEPT: usize = 64;

/// How often a flight is sent again: with doubling from a tenth of a second it is the handshake's timeout that
/// ends it.
const RETRIES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_configuration_is_made_once() {
        let terms = |size, seed| Terms {
            datagram_size: size,
            first_timeout: Duration::from_millis(150),
            handshake_timeout: Duration::from_secs(7),
            seed,
        };
        let config = |size, seed| terms(size, seed).config().expect("it can be made");
        assert!(Arc::ptr_eq(&config(1001, None), &config(1001, None)));
        assert!(!Arc::ptr_eq(&config(1001, None), &config(1002, None)));
        assert!(!Arc::ptr_eq(&config(1001, Some(1)), &config(1001, Some(1))));
        for size in 2000..2000 + 2 * MAX_KEPT {
            config(size, None);
            assert!(KEPT.lock().expect("nobody panics with it").len() <= MAX_KEPT);
        }
    }
}
