//! A WebRTC peer connection (W3C `RTCPeerConnection`, RFC 9429) as one sans-IO state machine:
//! offers and answers, ICE, DTLS, and data channels over SCTP.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::{Duration, Instant};
//! use columba_peer::{
//!     ChannelId, Configuration, DataChannelInit, Ecn, Error, Event, Input, Message, Path, Peer,
//!     Request, TransportId, UnixTime,
//! };
//!
//! /// A peer and the transport of its only socket.
//! struct Side {
//!     peer: Peer,
//!     socket: Option<TransportId>,
//! }
//!
//! /// Takes the outputs of a peer: here without sockets, for two peers in one process. Returns the
//! /// channel that is open.
//! fn serve(sides: &mut [Side; 2], from: usize, now: Instant) -> Result<Option<ChannelId>, Error> {
//!     // A real owner does all that is requested, and keeps the transport with each socket.
//!     while let Some((transport, request)) = sides[from].peer.poll_request() {
//!         if let Request::BindUdp { id, address } = request {
//!             let local = SocketAddr::new(address, 4000);
//!             sides[from].peer.handle_input(now, transport, Input::Bound { id, local });
//!             sides[from].socket = Some(transport);
//!         }
//!     }
//!     let mut open = None;
//!     while let Some(event) = sides[from].peer.poll_event() {
//!         match event {
//!             // Signaling: descriptions and candidates go to the other side.
//!             Event::NegotiationNeeded => {
//!                 let offer = sides[from].peer.set_local_description(now, None)?;
//!                 sides[1 - from].peer.set_remote_description(now, offer)?;
//!                 let answer = sides[1 - from].peer.set_local_description(now, None)?;
//!                 sides[from].peer.set_remote_description(now, answer)?;
//!             }
//!             Event::IceCandidate(Some(candidate)) => {
//!                 sides[1 - from].peer.add_ice_candidate(now, Some(candidate.init))?;
//!             }
//!             Event::ChannelOpen(id) | Event::DataChannel(id) => open = Some(id),
//!             _ => {}
//!         }
//!     }
//!     let mut buf = vec![0; 65_536];
//!     while let Some(transmit) = sides[from].peer.poll_transmit(now, &mut buf) {
//!         let path = Path::udp(transmit.path.remote, transmit.path.local);
//!         let size = transmit.segment_size.unwrap_or(transmit.range.len()).max(1);
//!         let to = &mut sides[1 - from];
//!         let Some(socket) = to.socket else { continue };
//!         for datagram in buf[transmit.range].chunks_mut(size) {
//!             to.peer.handle_datagram(now, socket, path, Ecn::NotEct, None, datagram);
//!         }
//!     }
//!     Ok(open)
//! }
//!
//! let mut now = Instant::now();
//! let wall = UnixTime(Duration::from_secs(1_790_000_000));
//! let side = |seed, address: &str| -> Result<Side, Error> {
//!     let mut peer = Peer::new(Configuration::default(), now, wall, [seed; 32])?;
//!     peer.handle_network_change(now, &[address.parse::<std::net::IpAddr>().unwrap().into()]);
//!     Ok(Side { peer, socket: None })
//! };
//! let mut sides = [side(1, "10.0.0.1")?, side(2, "10.0.0.2")?];
//! let chat = sides[0].peer.create_data_channel(now, "chat", DataChannelInit::default())?;
//!
//! let mut incoming = None;
//! let heard = loop {
//!     if serve(&mut sides, 0, now)? == Some(chat) {
//!         sides[0].peer.send(now, chat, Message::from("coo"))?;
//!     }
//!     incoming = serve(&mut sides, 1, now)?.or(incoming);
//!     if let Some(message) = incoming.and_then(|channel| sides[1].peer.receive(now, channel)) {
//!         break message;
//!     }
//!     now += Duration::from_millis(5);
//!     sides.iter_mut().for_each(|side| side.peer.handle_timeout(now));
//! };
//! assert_eq!(heard, Message::from("coo"));
//! # Ok::<(), Error>(())
//! ```
//!
//! [`Peer`] never blocks, reads no clock and opens no socket; what it needs it asks for by
//! [`Peer::poll_request`]. Input from the network never panics and never fails a call: it is
//! dropped and counted, or it ends the connection with one [`Event::Error`]. Memory is bounded
//! whatever the other side sends.
//!
//! Audio and video are negotiated in full by [transceivers](Peer::add_transceiver): codecs, header
//! extensions, directions, streams, simulcast. Their packets are dropped and counted.
//!
//! # Features
//!
//! - `serde`: [`SessionDescription`], [`IceCandidateInit`] and the [`report`] of statistics in the
//!   JSON of browsers.

mod candidate;
mod certificate;
mod configuration;
mod data;
mod description;
mod error;
mod event;
mod jsep;
#[cfg(feature = "serde")]
mod json;
mod media;
mod peer;
mod rtp;
mod servers;
mod states;
mod stats;
mod tasks;
mod time;
mod transport;

pub use candidate::{IceCandidate, IceCandidateInit};
pub use certificate::{Certificate, KeyAlgorithm};
pub use columba_dtls::KeyLog;
pub use columba_ice::framing;
pub use columba_ice::{
    AddressPolicy, BindId, Candidate, CandidateAddress, CandidateError, CandidateKind, CandidatePairStats,
    CandidateStats, CandidateTransport, Config as IceConfig, ConnectId, Credentials as IceParameters, Ecn,
    Host, IceServer as IceServerConfig, Input, ListenId, LocalAddress, MdnsMode, PairCounters, PairState,
    Path, Request, ResolveId, Role as IceRole, SelectedPair, ServerKind, State as IceAgentState,
    Stats as IceStats, TcpMode, TcpType, Timings as IceTimings, Transmit, Transport, TransportPolicy,
    TransportStats as IceTransportStats,
};
pub use columba_rtp::stream::{
    InboundRtpStats, OutboundRtpStats, RemoteInboundRtpStats, RemoteOutboundRtpStats,
};
pub use columba_rtp::{CompactNtp, NtpTime};
pub use columba_sctp::Stats as SctpAssociationStats;
pub use columba_sdp::attributes::{Fingerprint, HashFunction};
pub use configuration::{
    BundlePolicy, Configuration, DataConfiguration, DtlsVersions, IceServer, MediaConfidentiality,
    PostQuantum,
};
pub use data::{ChannelId, ChannelInfo, DataChannelInit, DataChannelState, Message, Priority};
pub use description::{OfferOptions, SdpType, SessionDescription};
pub use error::{Error, ErrorKind, RtcErrorDetail};
pub use event::Event;
pub use media::{
    MediaConfiguration, Receiver, RtcpFeedback, RtcpParameters, RtpCodec, RtpCodecCapability,
    RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtension, RtpReceiveParameters, RtpSendParameters,
    SendLimits, Sender, Track, TrackKind, TransceiverDirection, TransceiverId, TransceiverInfo,
    TransceiverInit,
};
pub use peer::Peer;
pub use peer::candidates::CandidateStanding;
pub use peer::transports::{DtlsTransport, IceTransport, SctpTransport};
pub use rtp::{
    InboundStats, OutboundStats, OutgoingFrame, PacketSource, PathStats, ReceiveLevel, ReceivedFrame,
    ReceivedPacket, RtpSource, RtpStats,
};
pub use states::{
    DtlsTransportState, IceConnectionState, IceGatheringState, PeerConnectionState, SctpTransportState,
    SignalingState,
};
pub use stats::report;
pub use stats::{
    DataChannelStats, Discarded, Dropped, DtlsStats, SctpStats, Stats, StatsSelector, TransportStats,
};
pub use time::UnixTime;
pub use transport::TransportId;
pub use transport::dtls::{DtlsRole, SrtpProfile};
