//! The ICE agent (RFC 8445): finds a path between two peers, and keeps it. Sans-IO: no sockets, no
//! clock, no randomness of its own.
//!
//! Two agents in one process, whose datagrams are handed over by hand:
//!
//! ```
//! use std::net::{IpAddr, SocketAddr};
//! use std::time::{Duration, Instant};
//!
//! use columba_ice::{
//!     Agent, Config, Ecn, Event, Input, Path, RemoteParameters, Request, Role, State,
//! };
//! use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
//!
//! let mut now = Instant::now();
//! let mut rng = ChaCha12Rng::seed_from_u64(1);
//! let mut agents = [(); 2].map(|()| Agent::new(Config::default(), &mut rng));
//! agents[1].set_role(Role::Controlled);
//! for index in 0..2 {
//!     let ip = IpAddr::from([192, 0, 2, 1 + index as u8]);
//!     agents[index].handle_network_change(now, &[ip.into()]);
//!     agents[index].gather(now);
//!     let credentials = agents[1 - index].local_credentials().clone();
//!     let (lite, trickle, renomination, pacing) = (false, true, true, None);
//!     let remote = RemoteParameters { credentials, lite, trickle, renomination, pacing };
//!     agents[index].set_remote(now, remote);
//! }
//!
//! while agents.iter().any(|agent| agent.state() != State::Connected) {
//!     for index in 0..2 {
//!         while let Some(request) = agents[index].poll_request() {
//!             // A real owner binds a socket, and opens listeners and connections.
//!             if let Request::BindUdp { id, address } = request {
//!                 let local = SocketAddr::new(address, 5000);
//!                 agents[index].handle_input(now, Input::Bound { id, local });
//!             }
//!         }
//!         while let Some(event) = agents[index].poll_event() {
//!             // A real owner sends the candidate by signaling.
//!             if let Event::LocalCandidate(candidate) = event {
//!                 agents[1 - index].add_remote_candidate(now, candidate);
//!             }
//!         }
//!         let mut buf = [0; 2000];
//!         while let Some(transmit) = agents[index].poll_transmit(now, &mut buf) {
//!             let path = Path::udp(transmit.path.remote, transmit.path.local);
//!             let datagram = &mut buf[transmit.range];
//!             agents[1 - index].handle_datagram(now, path, Ecn::NotEct, datagram);
//!         }
//!     }
//!     now += Duration::from_millis(10);
//!     agents.iter_mut().for_each(|agent| agent.handle_timeout(now));
//! }
//! ```
//!
//! - [`Agent`] is the machine; its documentation says how to drive it.
//! - [`Candidate`] is a candidate in its parts; [`Path`] and [`Transmit`] are the types for
//!   datagrams that the whole peer shares.
//! - [`framing`] cuts messages out of TCP connections.

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
    AddressPolicy, Config, Host, IceServer, LocalAddress, MdnsMode, ServerKind, TcpMode, Timings,
    TransportPolicy,
};
pub use credentials::{Credentials, RemoteParameters};
pub use event::{
    BindId, CandidateError, ConnectId, Event, GatheringState, Input, ListenId, Received, Request, ResolveId,
    Role, SelectedPair, State,
};
pub use path::{Ecn, Path, Transmit, Transport};
pub use stats::{CandidatePairStats, CandidateStats, PairCounters, PairState, Stats, TransportStats};
