//! WebRTC for Rust programs: the W3C's `RTCPeerConnection` in async Rust.
//!
//! A caller and a callee in one process; descriptions and candidates are passed from one to the
//! other directly:
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
//! /// Gives one side's candidates to the other, and echoes all messages.
//! async fn attend(mut events: Events, other: PeerConnection) -> Result<(), Error> {
//!     while let Some(event) = events.recv().await {
//!         match event {
//!             Event::IceCandidate(Some(found)) => other.add_ice_candidate(found.init).await?,
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
//! Two programs on different machines find each other through a rendezvous server: see the module
//! `signaling`.
//!
//! - [`PeerConnection::new`] returns a handle, cheap to clone, and the receiver of its [`Events`].
//!   All events of a connection and of its data channels come in one order, and each carries the
//!   state that it announces. [`PeerConnection::builder`] takes a runtime and TLS settings, too.
//! - [`DataChannel::send`] waits while too much is waiting to be sent, and messages that are not
//!   received by [`DataChannel::recv`] hold the other side back. Nothing is lost, and no queue
//!   grows without bound.
//! - [`PeerConnection::add_track`] and [`PeerConnection::add_transceiver`] negotiate audio and
//!   video; their packets are not carried yet.
//! - One task of the tokio runtime drives each connection: it owns the sockets, and never waits for
//!   the application.
//!
//! # Features
//!
//! All are on by default, and only add something. Without them, a program that exchanges data
//! compiles no WebSocket, no TLS and no JSON.
//!
//! - `mdns`: names of mDNS in candidates: resolving those of the other side, and hiding the own
//!   addresses.
//! - `serde`: [`SessionDescription`], [`IceCandidateInit`] and the [`report`] of statistics in the
//!   JSON of browsers.
//! - `signaling`: the module `signaling`. Includes `tls`.
//! - `tls`: TURN over TLS (`turns:`), and the module `tls`.

mod builder;
#[cfg(feature = "signaling")]
pub mod call;
mod channel;
mod connection;
mod data_channel;
mod driver;
mod endpoint;
mod error;
mod event_queue;
mod events;
mod features;
mod handle;
mod network;
mod operation;
mod shared;
#[cfg(feature = "signaling")]
pub mod signaling;
#[cfg(feature = "tls")]
pub mod tls;
mod transceiver;

pub use builder::PeerConnectionBuilder;
pub use columba_peer::report;
pub use columba_peer::{
    AddressPolicy, BundlePolicy, Candidate, CandidateAddress, CandidateError, CandidateKind,
    CandidatePairStats, CandidateStats, CandidateTransport, Certificate, ChannelId, Configuration,
    DataChannelInit, DataChannelState, DataChannelStats, DataConfiguration, Discarded, Dropped, DtlsCache,
    DtlsRole, DtlsStats, DtlsTransport, DtlsTransportState, DtlsVersions, Error as PeerError, ErrorKind,
    Fingerprint, HashFunction, Host, IceCandidate, IceCandidateInit, IceConfig, IceConnectionState,
    IceGatheringState, IceParameters, IceRole, IceServer, IceServerConfig, IceStats, IceTimings,
    IceTransport, IceTransportStats, MdnsMode, MediaConfiguration, Message, OfferOptions, PairCounters,
    PairState, Path, PeerConnectionState, Priority, Receiver, RtcErrorDetail, RtcpFeedback, RtcpParameters,
    RtpCodec, RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtension,
    RtpReceiveParameters, RtpSendParameters, SctpAssociationStats, SctpStats, SctpTransport,
    SctpTransportState, SdpType, SelectedPair, SendLimits, Sender, ServerKind, SessionDescription,
    SignalingState, SrtpProfile, Stats, StatsSelector, TcpMode, TcpType, Track, TrackKind,
    TransceiverDirection, TransceiverId, TransceiverInfo, TransceiverInit, Transport, TransportId,
    TransportPolicy, TransportStats, UnixTime,
};
pub use connection::PeerConnection;
pub use data_channel::DataChannel;
pub use endpoint::Endpoint;
pub use error::Error;
pub use events::{Event, Events};
pub use operation::Operation;
#[cfg(feature = "tls")]
pub use rustls;
pub use transceiver::{TrackEvent, Transceiver};
