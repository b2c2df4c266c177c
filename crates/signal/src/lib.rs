//! The signaling protocol of Columba: its messages, and the session relay as a sans-IO state machine.

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

pub use client_message::{ClientMessage, Recipient};
pub use config::{Config, Limits};
pub use error::{ErrorCode, Refusal};
pub use names::{ClientId, Credential, Instance, NameError, PeerId, Secret, SessionToken};
pub use relay::{ConnectionId, Event, EventsKind, Frame, IceServersFor, Input, Relay};
pub use server_message::{
    Ack, GoingAway, IceServer, IceServers, Joined, LeaveReason, Message, PeerJoined, PeerLeft, PresentPeer,
    Resumed, ServerMessage,
};
pub use stats::Stats;
