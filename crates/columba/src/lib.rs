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
//! # What the words mean
//!
//! A **peer connection** ([`PeerConnection`]) is a way between two programs that carries data, and
//! later audio and video, encrypted from end to end, directly wherever that is possible. Neither
//! program needs an address that the other one can reach: both try all ways that they find, through
//! NATs and firewalls, and keep the best (ICE, RFC 8445). To begin, each must learn two things of
//! the other, over any channel that there is: a *description* ([`SessionDescription`]: the media
//! to carry, and the fingerprint that identifies the other side), and *candidates*
//! ([`IceCandidateInit`]: the addresses at which it may be reached).
//!
//! An **ICE server** ([`IceServer`]) helps to find ways. A STUN server tells a program the address
//! under which the internet sees it. A TURN server lends it an address, and relays what comes
//! there: the last resort where there is no direct way, and it sees encrypted packets only. With
//! [`TransportPolicy::Relay`] the other side learns no other address.
//!
//! A **signaling channel** (`signaling::SignalingChannel`) is the channel for the first
//! messages, if there is no better one: two programs name the same session to a rendezvous server
//! (`columba serve`), which carries messages between them. Once the peer connection is up, it is
//! needed no more. The module `call` does all of that: it connects all peers of a session, and
//! keeps them connected; the browser's `Call` speaks the same protocol.
//!
//! # Examples
//!
//! They are in the folder `examples` and run in the tests:
//!
//! | example | shows |
//! |---|---|
//! | [`two_peers`] | the two sides of a connection in one process, as above |
//! | [`echo_server`] | a server to which pages of browsers are connected, all on one port |
//! | [`chat`] | everybody in a session, in the terminal |
//! | [`copy_and_paste`] | no server at all: people carry the descriptions |
//! | [`one_port`] | thousands of connections on one port ([`Endpoint`]) |
//! | [`relay_only`] | a call in which no one learns another's address |
//! | [`play_file`] | the frames of a WebM, MP4 or Ogg file, for everybody in a session |
//! | [`record_peers`] | what browsers say and show, each in a file |
//! | [`echo_video`] | a mirror: a browser's picture sent back |
//! | [`audio_levels`] | the loudness of everybody, without decoding anything |
//! | [`encrypted_frames`] | pictures that are encrypted end to end, above SRTP |
//!
//! [`two_peers`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/two_peers.rs
//! [`echo_server`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/echo_server.rs
//! [`chat`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/chat.rs
//! [`copy_and_paste`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/copy_and_paste.rs
//! [`one_port`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/one_port.rs
//! [`relay_only`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/relay_only.rs
//! [`play_file`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/play_file.rs
//! [`record_peers`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/record_peers.rs
//! [`echo_video`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/echo_video.rs
//! [`audio_levels`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/audio_levels.rs
//! [`encrypted_frames`]: https://github.com/columba-rtc/columba/blob/main/crates/columba/examples/encrypted_frames.rs
//!
//! # How it behaves
//!
//! - [`PeerConnection::new`] returns a handle, cheap to clone, and the receiver of its [`Events`].
//!   All events of a connection and of its data channels come in one order, and each carries the
//!   state that it announces. [`PeerConnection::builder`] takes a runtime and TLS settings, too.
//! - [`DataChannel::send`] waits while too much is waiting to be sent, and messages that are not
//!   received by [`DataChannel::recv`] hold the other side back. Nothing is lost, and no queue
//!   grows without bound.
//! - [`PeerConnection::add_track`] and [`PeerConnection::add_transceiver`] negotiate audio and
//!   video. [`RtpSender::send_frame`] takes encoded frames, and [`RtpReceiver::recv_frame`] gives
//!   them out; what is lost is sent again, and the pace is that of the path.
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
//! - `signaling`: the modules `signaling` and `call`. Includes `tls`.
//! - `tls`: TURN over TLS (`turns:`), and the module `tls`.

mod builder;
#[cfg(feature = "signaling")]
pub mod call;
mod certificates;
mod channel;
mod connection;
mod data_channel;
mod driver;
mod dtmf;
mod endpoint;
mod error;
mod event_queue;
mod events;
mod features;
mod handle;
mod media_signals;
mod network;
mod operation;
mod receiver;
mod sender;
mod shared;
#[cfg(feature = "signaling")]
pub mod signaling;
#[cfg(feature = "tls")]
pub mod tls;
mod track;
mod transceiver;

pub use builder::PeerConnectionBuilder;
pub use columba_peer::report;
pub use columba_peer::{
    AddressPolicy, BundlePolicy, Candidate, CandidateAddress, CandidateError, CandidateKind,
    CandidatePairStats, CandidateStats, CandidateTransport, Certificate, ChannelId, CompactNtp,
    Configuration, DataChannelInit, DataChannelState, DataChannelStats, DataConfiguration, Discarded,
    Dropped, DtlsRole, DtlsStats, DtlsTransport, DtlsTransportState, DtlsVersions, Error as PeerError,
    ErrorKind, Fingerprint, HashFunction, Host, IceAgentState, IceCandidate, IceCandidateInit, IceConfig,
    IceConnectionState, IceGatheringState, IceParameters, IceRole, IceServer, IceServerConfig, IceStats,
    IceTimings, IceTransport, IceTransportStats, InboundRtpStats, InboundStats, KeyAlgorithm, KeyLog,
    MdnsMode, MediaConfidentiality, MediaConfiguration, Message, NtpTime, OfferOptions, OutboundRtpStats,
    OutboundStats, OutgoingFrame, PacketSource, PairCounters, PairState, Path, PathStats,
    PeerConnectionState, PostQuantum, Priority, ReceiveLevel, ReceivedFrame, ReceivedPacket, Receiver,
    RemoteInboundRtpStats, RemoteOutboundRtpStats, RtcErrorDetail, RtcpFeedback, RtcpParameters, RtpCodec,
    RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtension, RtpReceiveParameters,
    RtpSendParameters, RtpSource, RtpStats, SctpAssociationStats, SctpStats, SctpTransport,
    SctpTransportState, SdpType, SelectedPair, SendLimits, Sender, ServerKind, SessionDescription,
    SignalingState, SrtpProfile, Stats, StatsSelector, TcpMode, TcpType, Track, TrackKind,
    TransceiverDirection, TransceiverId, TransceiverInfo, TransceiverInit, Transport, TransportId,
    TransportPolicy, TransportStats, UnixTime,
};
pub use connection::PeerConnection;
pub use data_channel::DataChannel;
pub use dtmf::DtmfSender;
pub use endpoint::Endpoint;
pub use error::Error;
pub use events::{Event, Events};
pub use operation::Operation;
pub use receiver::{EncodedFrame, RtpReceiver};
#[cfg(feature = "tls")]
pub use rustls;
pub use sender::{EncoderRequest, RtpSender};
pub use track::{MediaStream, MediaStreamTrack, StreamChange, TrackChange, TrackSource, TrackState};
pub use transceiver::{TrackEvent, Transceiver};
