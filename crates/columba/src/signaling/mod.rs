//! Signaling: finding another program through a rendezvous server, and exchanging the first
//! messages with it.
//!
//! ```no_run
//! use columba::signaling::{SignalingChannel, SignalingEvent, SignalingOptions};
//!
//! # async fn run() -> Result<(), columba::signaling::SignalingError> {
//! let options = SignalingOptions::create("http://localhost:8080");
//! let (channel, mut events) = SignalingChannel::open(options).await?;
//! println!("others join the session {}", channel.session().unwrap().as_str());
//! channel.send(None, &"hello to the first that comes")?;
//! while let Some(event) = events.recv().await {
//!     if let SignalingEvent::Message { from, data } = event {
//!         println!("{from}: {data}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod channel;
mod dial;
mod error;
mod ice_servers;
mod options;
mod websocket;

pub use channel::{SignalingChannel, SignalingEvent, SignalingEvents};
pub use columba_signal::{
    ClientId, ErrorCode, JoinKey, LeaveReason, NameError, PeerId, Refusal, SessionToken,
};
pub use error::SignalingError;
pub use ice_servers::IceServers;
pub use options::{Entry, SignalingOptions, SignalingTiming};
pub use serde_json::value::RawValue;
