//! A WebRTC peer connection (W3C `RTCPeerConnection`, RFC 8829) as one sans-IO state machine: offers and
//! answers, ICE, DTLS, and data channels over SCTP, behind one demultiplexer.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::{Duration, Instant};
//! use columba_peer::{
//!     ChannelId, Configuration, DataChannelInit, Ecn, Error, Event, Input, Message, Path, Peer, Request, UnixTime,
//! };
//!
//! /// Does what a peer asks its owner for: here without sockets, for two peers in one process. Tells which channel is open.
//! fn serve(peers: &mut [Peer; 2], from: usize, now: Instant) -> Result<Option<ChannelId>, Error> {
//!     let mut open = None;
//!     while let Some(event) = peers[from].poll_event() {
//!         match event {
//!             // The network: a socket is wanted.
//!             Event::Request(Request::BindUdp { id, address }) => {
//!                 let local = SocketAddr::new(address, 4000);
//!                 peers[from].handle_input(now, Input::Bound { id, local });
//!             }
//!             // The signaling: descriptions and candidates go to the other side.
//!             Event::NegotiationNeeded => {
//!                 let offer = peers[from].set_local_description(now, None)?;
//!                 peers[1 - from].set_remote_description(now, offer)?;
//!                 let answer = peers[1 - from].set_local_description(now, None)?;
//!                 peers[from].set_remote_description(now, answer)?;
//!             }
//!             Event::IceCandidate(Some(candidate)) => {
//!                 peers[1 - from].add_ice_candidate(now, Some(candidate.init))?;
//!             }
//!             Event::ChannelOpen(id) | Event::DataChannel(id) => open = Some(id),
//!             _ => {}
//!         }
//!     }
//!     let mut buf = vec![0; 65_536];
//!     while let Some(transmit) = peers[from].poll_transmit(now, &mut buf) {
//!         let path = Path::udp(transmit.path.remote, transmit.path.local);
//!         let size = transmit.segment_size.unwrap_or(transmit.range.len()).max(1);
//!         for datagram in buf[transmit.range].chunks_mut(size) {
//!             peers[1 - from].handle_datagram(now, path, Ecn::NotEct, None, datagram);
//!         }
//!     }
//!     Ok(open)
//! }
//!
//! let mut now = Instant::now();
//! let wall = UnixTime(Duration::from_secs(1_790_000_000));
//! let mut peers = [
//!     Peer::new(Configuration::default(), now, wall, [1; 32])?,
//!     Peer::new(Configuration::default(), now, wall, [2; 32])?,
//! ];
//! peers[0].handle_network_change(now, &["10.0.0.1".parse::<std::net::IpAddr>().unwrap().into()]);
//! peers[1].handle_network_change(now, &["10.0.0.2".parse::<std::net::IpAddr>().unwrap().into()]);
//! let chat = peers[0].create_data_channel(now, "chat", DataChannelInit::default())?;
//!
//! let mut incoming = None;
//! let heard = loop {
//!     if serve(&mut peers, 0, now)? == Some(chat) {
//!         peers[0].send(now, chat, Message::from("coo"))?;
//!     }
//!     incoming = serve(&mut peers, 1, now)?.or(incoming);
//!     if let Some(message) = incoming.and_then(|channel| peers[1].receive(now, channel)) {
//!         break message;
//!     }
//!     now += Duration::from_millis(5);
//!     peers.iter_mut().for_each(|peer| peer.handle_timeout(now));
//! };
//! assert_eq!(heard, Message::from("coo"));
//! # Ok::<(), Error>(())
//! ```
//!
//! The rules: [`Peer`] never blocks, reads no clock and opens no socket; what it needs it asks for by
//! [`Event::Request`]. What arrives from the network never panics and never fails a call: it is dropped and
//! counted, or it ends the connection with one [`Event::Error`]. Whatever the other side sends is bounded in
//! memory.

mod candidate;
mod certificate;
mod channel;
mod configuration;
mod convert;
mod data;
mod demux;
mod description;
mod dtls;
mod error;
mod event;
mod jsep;
mod link;
mod peer;
mod servers;
mod states;
mod stats;
mod time;

pub use candidate::{IceCandidate, IceCandidateInit};
pub use certificate::Certificate;
pub use channel::{ChannelId, ChannelInfo, DataChannelInit, DataChannelState, Message, Priority};
pub use columba_ice::framing;
pub use columba_ice::{
    BindId, CandidateError, ConnectId, Ecn, Input, ListenId, LocalAddress, Path, Request, ResolveId,
    SelectedPair, Transmit, Transport, TransportPolicy,
};
pub use configuration::{Configuration, DataConfiguration, DtlsVersions, IceServer};
pub use description::{OfferOptions, SdpType, SessionDescription};
pub use error::Error;
pub use event::Event;
pub use peer::Peer;
pub use states::{
    DtlsTransportState, IceConnectionState, IceGatheringState, PeerConnectionState, SctpTransportState,
    SignalingState,
};
pub use stats::{DataChannelStats, Dropped, DtlsStats, SctpStats, Stats};
pub use time::UnixTime;
