//! The configurations of the crate `dimpl`, and their cache.
//!
//! Making a configuration tests the cryptography library against known answers, signatures and key
//! agreements on three curves included. That takes as long as a whole handshake and has the same
//! result each time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dimpl::Config;

use super::attempt::MAX_QUEUE;

/// Configurations in a cache at most: the steps of the first timeout, for a few sizes of datagrams.
const MAX_CACHED: usize = 64;

/// Retransmissions of a flight at most: with a timeout that doubles from 100 ms, the handshake's
/// own timeout comes first.
const RETRIES: usize = 16;

/// A cache of what DTLS handshakes of any connection have in common, so that it is computed once:
/// the results of the cryptography library's self-test. It holds nothing secret and nothing of any
/// connection.
///
/// Clones share one cache: give the same to all connections of a program by
/// [`Configuration::dtls_cache`](crate::Configuration::dtls_cache).
#[derive(Clone, Default)]
pub struct DtlsCache {
    configs: Arc<Mutex<Vec<Cached>>>,
}

/// A configuration and its parameters.
type Cached = (MachineConfig, Arc<Config>);

impl fmt::Debug for DtlsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsCache").finish_non_exhaustive()
    }
}

impl DtlsCache {
    /// Returns the configuration with these parameters. The oldest goes when there are
    /// [`MAX_CACHED`].
    pub(super) fn get(&self, parameters: MachineConfig) -> Result<Arc<Config>, dimpl::Error> {
        if parameters.seed.is_some() {
            return parameters.build();
        }
        // Locked while it is made, so that of many connections that begin at once only one makes
        // it.
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = configs.iter().find(|(known, _)| *known == parameters) {
            return Ok(config.clone());
        }
        let config = parameters.build()?;
        if configs.len() >= MAX_CACHED {
            configs.remove(0);
        }
        configs.push((parameters, config.clone()));
        Ok(config)
    }
}

/// The parameters in which configurations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MachineConfig {
    pub(super) datagram_size: usize,
    pub(super) first_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    /// For simulations only, where each attempt has another one: such a configuration is not
    /// cached.
    pub(super) seed: Option<u64>,
}

impl MachineConfig {
    fn build(self) -> Result<Arc<Config>, dimpl::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_configuration_is_made_once_in_one_cache() {
        let (cache, other) = (DtlsCache::default(), DtlsCache::default());
        let parameters = |size, seed| MachineConfig {
            datagram_size: size,
            first_timeout: Duration::from_millis(150),
            handshake_timeout: Duration::from_secs(7),
            seed,
        };
        let config = |size, seed| cache.clone().get(parameters(size, seed)).expect("it can be made");
        assert!(Arc::ptr_eq(&config(1001, None), &config(1001, None)));
        assert!(!Arc::ptr_eq(&config(1001, None), &config(1002, None)));
        assert!(!Arc::ptr_eq(&config(1001, Some(1)), &config(1001, Some(1))));
        let foreign = other.get(parameters(1001, None)).expect("it can be made");
        assert!(!Arc::ptr_eq(&config(1001, None), &foreign));
        for size in 2000..2000 + 2 * MAX_CACHED {
            config(size, None);
            assert!(cache.configs.lock().expect("no thread has panicked").len() <= MAX_CACHED);
        }
    }
}
