//! WebRTC for Rust programs: the W3C's `RTCPeerConnection`, said in async Rust.
//!
//! A caller and a callee in one process; descriptions and candidates are handed over in person, then the two talk directly:
//!
//! ```
//! use columba::{Configuration, DataChannelInit, Error, Event, Events, PeerConnection};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let (caller, from_caller) = PeerConnection::new(Configuration::default())?;
//!     let (callee, from_callee) = PeerConnection::new(Configuration::default())?;
//!     let channel = caller.create_data_channel("echo", DataChannelInit::default())?;
//!     callee.set_remote_description(caller.set_local_description(None).await?).await?;
//!     caller.set_remote_description(callee.set_local_description(None).await?).await?;
//!     tokio::spawn(attend(from_caller, callee.clone()));
//!     tokio::spawn(attend(from_callee, caller.clone()));
//!
//!     channel.send("hello").await?;
//!     println!("the callee answers {:?}", channel.recv().await);
//!     caller.close().await;
//!     callee.close().await;
//!     Ok(())
//! }
//!
//! /// Hands one side's candidates to the other, and echoes what is said to it.
//! async fn attend(mut events: Events, other: PeerConnection) -> Result<(), Error> {
//!     while let Some(event) = events.recv().await {
//!         match event {
//!             Event::IceCandidate(Some(candidate)) => other.add_ice_candidate(candidate.init).await?,
//!             Event::DataChannel(channel) => {
//!                 while let Some(message) = channel.recv().await {
//!                     channel.send(message).await?;
//!                 }
//!             }
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Two programs that do not share a process find each other through a rendezvous server: see [`signaling`].
//!
//! - [`PeerConnection::new`] returns a handle, cheap to clone, and one receiver of [`Events`]. An event carries the state that it announces.
//! - [`DataChannel::send`] waits while too much is under way; whoever does not call [`DataChannel::recv`] holds the other side back.
//!   Nothing is lost, and no queue grows without bound.
//! - One task of the tokio runtime drives each connection: it owns the sockets, and never waits for the application.

mod builder;
mod connection;
mod data_channel;
mod driver;
mod error;
mod events;
mod features;
mod handle;
mod network;
mod shared;
#[cfg(feature = "signaling")]
pub mod signaling;
#[cfg(feature = "tls")]
pub mod tls;

pub use builder::PeerConnectionBuilder;
pub use columba_ice::{AddressPolicy, Config as IceConfig, MdnsMode, TcpMode, Timings as IceTimings};
pub use columba_peer::Error as PeerError;
pub use columba_peer::{
    CandidateError, Certificate, Configuration, DataChannelInit, DataChannelState, DataChannelStats,
    DataConfiguration, DtlsRole, DtlsTransportState, DtlsVersions, IceCandidate, IceCandidateInit,
    IceConnectionState, IceGatheringState, IceServer, Message, OfferOptions, PeerConnectionState, Priority,
    SctpTransportState, SdpType, SelectedPair, SessionDescription, SignalingState, Stats, TransportPolicy,
    UnixTime,
};
pub use connection::PeerConnection;
pub use data_channel::DataChannel;
pub use error::Error;
pub use events::{Event, Events};
#[cfg(feature = "tls")]
pub use rustls;
