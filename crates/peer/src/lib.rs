//! A WebRTC peer connection (W3C `RTCPeerConnection`, RFC 8829) as one sans-IO state machine.

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
pub use channel::{ChannelId, ChannelInfo, DataChannelInit, DataChannelState, Message};
pub use columba_ice::framing;
pub use columba_ice::{
    BindId, CandidateError, ConnectId, Ecn, Input, LocalAddress, Path, ResolveId, SelectedPair, Transmit,
    Transport, TransportPolicy,
};
pub use configuration::{Configuration, DataConfiguration, DtlsVersions, IceServer};
pub use description::{OfferOptions, SdpType, SessionDescription};
pub use error::Error;
pub use event::{Event, Request};
pub use peer::Peer;
pub use states::{
    DtlsTransportState, IceConnectionState, IceGatheringState, PeerConnectionState, SctpTransportState,
    SignalingState,
};
pub use stats::{DataChannelStats, Dropped, DtlsStats, SctpStats, Stats};
pub use time::UnixTime;
