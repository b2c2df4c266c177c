//! TURN (RFC 8656) and STUN (RFC 8489) as sans-IO state machines.
//!
//! [`server`] is the service: it answers Binding requests, authenticates clients, keeps their
//! allocations and forwards their data. It owns no socket and reads no clock; its owner does both,
//! through five doors and one shortcut for the data path. See [`server::Server`] for how to drive
//! it.
//!
//! [`client`] is the other half: one allocation at such a server, with its permissions and
//! channels.
//!
//! A Binding request, answered without a socket:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use columba_turn::server::{Config, FiveTuple, Input, Server, Transport, UnixTime};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! let now = Instant::now();
//! let wall = UnixTime(Duration::from_secs(1_800_000_000));
//! let mut server = Server::new(Config::default(), now, wall, &mut ChaCha20Rng::seed_from_u64(1));
//!
//! // Type 0x0001, length 0, magic cookie, transaction id.
//! let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
//! request.extend_from_slice(b"transaction!");
//! let local = "192.0.2.1:3478".parse().unwrap();
//! let tuple = FiveTuple::udp(local, "198.51.100.7:50000".parse().unwrap());
//! server.handle_input(now, Input::Message { tuple, data: &request });
//!
//! let mut buf = [0; 1500];
//! let transmit = server.poll_transmit(now, &mut buf).unwrap();
//! assert_eq!(transmit.tuple, tuple);
//! assert_eq!(buf[..2], [1, 1], "a Binding success response");
//! assert_eq!(server.poll_transmit(now, &mut buf), None);
//! ```

pub mod client;
pub mod server;
