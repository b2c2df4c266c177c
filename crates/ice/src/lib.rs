//! The ICE agent (RFC 8445): finds a way between two peers, and keeps it.

mod agent;
mod candidate;
mod config;
mod credentials;
mod event;
pub mod framing;
pub mod path;
mod stats;

pub use agent::{Agent, EMBEDDED, HEADROOM, TAILROOM};
pub use candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, TcpType};
pub use config::{
    AddressPolicy, Config, Host, IceServer, LocalAddress, MdnsMode, ServerKind, Timings, TransportPolicy,
};
pub use credentials::{Credentials, RemoteParameters};
pub use event::{
    BindId, CandidateError, ConnectId, Event, GatheringState, Input, Received, ResolveId, Role, SelectedPair,
    State,
};
pub use path::{Ecn, Path, Transmit, Transport};
pub use stats::{CandidatePairStats, CandidateStats, PairCounters, PairState, Stats, TransportStats};
