//! DTLS 1.2 (RFC 6347) and 1.3 (RFC 9147) for WebRTC, without I/O.
//!
//! An [`Association`] has the five doors: datagrams and time go in, datagrams, events and deadlines
//! come out. Both sides show a certificate, and each is proven by the fingerprints of the other's
//! description alone ([RFC 8827](https://www.rfc-editor.org/rfc/rfc8827) §6.5). Packets are sealed
//! and opened where they stand, without an allocation.
//!
//! What is in the clear may be forged: it never ends an association at once, and nothing that is
//! replayed or forged changes one that is connected. Whatever is sent, memory is bounded: messages
//! that are put together by 48 KiB for each of the 4 handshakes that a server may have begun,
//! records that came too early by 32 KiB for each.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//! use columba_dtls::{Association, Certificate, Config, Event, HashFunction, KeyAlgorithm, Role};
//! # use rand_chacha::rand_core::SeedableRng;
//! # #[allow(clippy::disallowed_methods)]
//! # let now = Instant::now();
//!
//! let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
//! let (wall, expires) = (Duration::from_secs(1_790_000_000), Duration::from_secs(1_792_000_000));
//! let mut make = || Certificate::generate(KeyAlgorithm::EcdsaP256, &mut rng, wall, expires);
//! let (alice, bob) = (make()?, make()?);
//! let fingerprint = |of: &Certificate| vec![of.fingerprint(HashFunction::Sha256)];
//! let (of_alice, of_bob) = (fingerprint(&alice), fingerprint(&bob));
//! let (ours, theirs) = (Arc::new(Config::new(alice)), Arc::new(Config::new(bob)));
//! let mut alice = Association::new(Role::Client, ours, of_bob, now, &mut rng);
//! let mut bob = Association::new(Role::Server, theirs, of_alice, now, &mut rng);
//!
//! // Usually the datagrams go through UDP; here the one's output is the other's input.
//! let mut buf = [0; 1500];
//! for _ in 0..10 {
//!     while let Some(length) = alice.poll_transmit(now, &mut buf) {
//!         bob.handle_input(now, &mut buf[..length]);
//!     }
//!     while let Some(length) = bob.poll_transmit(now, &mut buf) {
//!         alice.handle_input(now, &mut buf[..length]);
//!     }
//! }
//! assert_eq!(alice.poll_event(), Some(Event::Connected));
//!
//! // A packet with room around it becomes a record where it stands.
//! let (front, back) = alice.overhead();
//! let mut packet = vec![0; front + 3 + back];
//! packet[front..front + 3].copy_from_slice(b"coo");
//! let record = alice.seal(&mut packet, front..front + 3)?;
//! let datagram = &mut packet[record];
//! bob.handle_input(now, datagram);
//! assert_eq!(bob.read(datagram), Some(&b"coo"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alert;
mod association;
mod certificate;
mod config;
mod cookie;
mod crypto;
mod error;
mod handshake;
mod hellos;
mod machine;
mod message;
mod record;
mod srtp;
mod wire;

pub use alert::AlertDescription;
pub use association::{Association, Event, Negotiated};
pub use certificate::{Certificate, Fingerprint, HashFunction, KeyAlgorithm};
pub use config::{ANY_RECORD, Config, KeyLog, Role, SMALLEST_DATAGRAM, Version, Versions};
pub use cookie::CookieKey;
pub use crypto::group::Group;
pub use crypto::suite::CipherSuite;
pub use error::{CertificateError, Error, SealError};
pub use record::{BACK, FRONT};
pub use srtp::{MasterKey, SrtpKeys, SrtpProfile};
