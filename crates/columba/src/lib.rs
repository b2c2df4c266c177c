//! WebRTC for Rust programs.

mod connection;
mod data_channel;
mod driver;
mod error;
mod events;
mod shared;
pub mod signaling;
mod tls;

pub use columba_peer::Error as PeerError;
pub use columba_peer::{
    CandidateError, Certificate, Configuration, DataChannelInit, DataChannelState, DataChannelStats,
    DataConfiguration, DtlsTransportState, DtlsVersions, IceCandidate, IceCandidateInit, IceConnectionState,
    IceGatheringState, IceServer, Message, OfferOptions, PeerConnectionState, SctpTransportState, SdpType,
    SelectedPair, SessionDescription, SignalingState, Stats, TransportPolicy, UnixTime,
};
pub use connection::PeerConnection;
pub use data_channel::DataChannel;
pub use error::Error;
pub use events::{Event, Events};
