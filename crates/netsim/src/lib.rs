//! A virtual network for tests of sans-IO protocols: hosts, links, routers with NATs and firewalls,
//! a virtual clock, and one seed from which everything follows.
//!
//! It drives anything with the five doors. Time passes only when nothing is left to do at an
//! instant, so that an hour of keepalives takes milliseconds, and a seed that fails once fails
//! again.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::{Duration, Instant};
//! use columba_netsim::{Datagram, Departure, Ecn, Endpoint, Link, Nat, Network, Router};
//!
//! /// Sends one greeting, and answers each with another.
//! struct Greeter { local: SocketAddr, greet: Option<SocketAddr>, heard: usize }
//!
//! impl Endpoint for Greeter {
//!     fn handle_datagram(&mut self, _now: Instant, datagram: Datagram<'_>) {
//!         self.heard += 1;
//!         if self.heard == 1 { self.greet = Some(datagram.remote); }
//!     }
//!     fn handle_timeout(&mut self, _now: Instant) {}
//!     fn poll_transmit(&mut self, _now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
//!         let remote = self.greet.take()?;
//!         payload.extend_from_slice(b"coo");
//!         Some(Departure::Udp { local: self.local, remote, ecn: Ecn::NotEct, segment_size: None })
//!     }
//!     fn poll_timeout(&self) -> Option<Instant> { None }
//! }
//!
//! let mut network = Network::new(columba_netsim::seed(1));
//! let internet = network.add_zone();
//! let home = network.add_zone();
//! let outer = vec!["198.51.100.1".parse()?];
//! let router = Router { outer, nat: Some(Nat::PORT), ..Router::default() };
//! network.add_router(home, internet, router);
//!
//! let inner: SocketAddr = "192.168.0.2:5000".parse()?;
//! let public: SocketAddr = "203.0.113.1:5000".parse()?;
//! let alice = network.add_host(Greeter { local: inner, greet: None, heard: 0 });
//! let bob = network.add_host(Greeter { local: public, greet: None, heard: 0 });
//! network.attach(alice, home, inner.ip(), Link::with_delay(Duration::from_millis(5)));
//! network.attach(bob, internet, public.ip(), Link::default());
//!
//! network.with(alice, |greeter, _now| greeter.greet = Some(public));
//! network.run_for(Duration::from_secs(1));
//! assert_eq!(network.host(bob).heard, 2);
//! assert_eq!(network.host(alice).heard, 1);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod clock;
mod codel;
mod endpoint;
mod link;
mod nat;
mod network;
mod random;
mod stream;
mod topology;
mod trace;

pub use endpoint::{Datagram, Departure, Ecn, Endpoint, StreamId, StreamInput};
pub use link::{Link, LinkDrop, Loss, Queue};
pub use nat::{Dependence, Nat, PortAssignment};
pub use network::{Network, Stats};
pub use random::Random;
pub use topology::{Firewall, HostId, InterfaceId, Router, RouterId, ZoneId};
pub use trace::Drop;

/// The seed of a run: this one, unless the environment variable `NETSIM_SEED` names the one that
/// failed.
///
/// # Panics
/// If the variable is not a number.
pub fn seed(otherwise: u64) -> u64 {
    std::env::var("NETSIM_SEED")
        .map_or(otherwise, |text| text.trim().parse().expect("NETSIM_SEED is a whole number"))
}

#[cfg(test)]
mod tests;
