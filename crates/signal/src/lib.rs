//! The signaling protocol of Columba: its messages, and the session relay and its client as sans-IO
//! state machines.
//!
//! Two programs that want to talk directly must first exchange a few messages. The [`SessionRelay`]
//! knows who is in which session and forwards their messages to each other byte for byte, without
//! looking into them. It has two transports, WebSocket and HTTP, and owns neither sockets nor a
//! clock: its owner hands in what arrived and when, and pulls what is to go out. The protocol is
//! described in `docs/signaling.md`; [`Client`] is the other end, and [`ClientMessage`] and
//! [`ServerMessage`] are its messages, for both ends.
//!
//! ```
//! use columba_signal::{Config, Frame, IceServers, Input, PeerId, SessionRelay, ServerMessage};
//! use rand_chacha::rand_core::SeedableRng as _;
//! # #[expect(clippy::disallowed_methods)]
//! # fn the_clock() -> std::time::Instant { std::time::Instant::now() }
//!
//! let now = the_clock();
//! // A server takes its seed from the system.
//! let rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
//! let mut relay = SessionRelay::new(Config::default(), rng);
//! let ice_servers = |_: PeerId| IceServers::default();
//!
//! // Two WebSockets enter the same session.
//! let address = "192.0.2.1".parse().unwrap();
//! let (ann, bob) = (relay.connect(now, address), relay.connect(now, address));
//! for connection in [ann, bob] {
//!     relay.handle_input(now, connection, Input::Text(r#"{"type":"join","session":"a-token"}"#));
//!     let frame = relay.poll_transmit(now, connection, &ice_servers).unwrap();
//!     assert!(matches!(ServerMessage::parse(&frame.text), Ok(ServerMessage::Joined(_))));
//! }
//!
//! // A message reaches the other as it was written.
//! let message = r#"{"type":"send","seq":1,"data":{"answer" : 4.2e1}}"#;
//! relay.handle_input(now, ann, Input::Text(message));
//! let Frame { text, seq, .. } = relay.poll_transmit(now, bob, &ice_servers).unwrap();
//! assert_eq!(seq, Some(1));
//! assert!(text.ends_with(r#""data":{"answer" : 4.2e1}}"#));
//! ```

mod client;
mod client_message;
mod config;
mod error;
mod names;
mod rates;
mod relay;
mod server_message;
mod stats;
#[cfg(test)]
mod test_clock;

pub use client::{Client, ClientEvent, ClientInput, ClientRequest, SendError, Timing};
pub use client_message::{ClientMessage, Recipient};
pub use config::{Config, Limits};
pub use error::{ErrorCode, Refusal};
pub use names::{ClientId, Credential, Instance, JoinKey, NameError, PeerId, Secret, SessionToken};
pub use relay::{ConnectionId, Event, EventsKind, Frame, IceServersFor, Input, Reading, SessionRelay};
pub use server_message::{
    Ack, GoingAway, IceServer, IceServers, Joined, LeaveReason, Message, PeerJoined, PeerLeft, PresentPeer,
    Resumed, ServerMessage,
};
pub use stats::Stats;
