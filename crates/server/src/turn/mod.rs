//! STUN and TURN: the sockets around [`columba_turn::server::Server`], over UDP, TCP and TLS, and
//! the relay ports.
//!
//! ```ignore
//! let udp = Bound::new("[::]:3478".parse()?, Transport::Udp)?;   // each listener by itself:
//! // The program decides what a taken port means.
//! let tcp = Bound::new("[::]:3478".parse()?, Transport::Tcp)?;
//! let service = Service::start(TurnConfig::default(), vec![udp, tcp], None, Supervisor::new())?;
//! // ... a connection on the web port has turned out to be STUN:
//! service.serve_stream(stream, &first_bytes, local, peer, Transport::Tcp).await;
//! // ... at the end:
//! service.shutdown().await;
//! ```
//!
//! All of it runs on threads of its own, so that nothing that the web port does can keep a datagram
//! waiting. One task reads each UDP socket, one serves each stream, one waits for the server's
//! deadlines. Each thread has a worker: an arena in which messages lie, ingress (jobs for the
//! server), egress (messages to be sent), and grants (relay ports to be bound or closed). The
//! workers share one `Server` behind a lock that is held for some tens of microseconds, never while
//! waiting and never during a system call. Everything that is sent over UDP is sent now or lost;
//! what goes to a stream waits in that stream's own queue, so that a slow client is slow for
//! itself.
//!
//! What is not done: DSCP bits are not carried over from a received datagram to the sent one (RFC
//! 8656 §14 asks for it); ECN bits are.

mod accept;
mod addresses;
mod admission;
mod arena;
mod clock;
mod config;
mod egress;
mod grants;
mod health;
mod ingress;
mod listener;
#[cfg(target_os = "linux")]
mod netlink;
mod options;
mod ports;
mod reader;
mod service;
mod shared;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod udp;
mod worker;

pub(crate) use config::StreamLimits;
pub(crate) use options::{bind, bytes, is_wanted, secrets, turn_config, unserved_peers};
pub(crate) use service::{ClientStream, Connected, Service, TurnStats};
