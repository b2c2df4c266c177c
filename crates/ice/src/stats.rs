//! Statistics, named as in the W3C's `webrtc-stats`.

use std::time::{Duration, Instant};

use crate::candidate::Candidate;
use crate::event::{Role, State};
use crate::path::{Path, Transport};

/// A snapshot of all statistics.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The agent as a whole.
    pub transport: TransportStats,
    /// The pairs that exist now.
    pub pairs: Vec<CandidatePairStats>,
    /// The own candidates.
    pub local_candidates: Vec<CandidateStats>,
    /// The other side's.
    pub remote_candidates: Vec<CandidateStats>,
}

/// `RTCTransportStats`, as far as ICE knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStats {
    /// Packets of data sent.
    pub packets_sent: u64,
    /// Packets of data received.
    pub packets_received: u64,
    /// Bytes of data sent, without headers of lower layers.
    pub bytes_sent: u64,
    /// Bytes of data received, without headers of lower layers.
    pub bytes_received: u64,
    /// The role.
    pub role: Role,
    /// The own user name fragment.
    pub local_username_fragment: String,
    /// The state.
    pub state: State,
    /// The pair in use.
    pub selected_pair: Option<u32>,
    /// The number of changes of the pair in use.
    pub selected_pair_changes: u32,
    /// Datagrams and candidates that were dropped: malformed, forged, from an unknown address, or
    /// over a bound.
    pub dropped: u64,
}

/// `RTCIceCandidateStats`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CandidateStats {
    /// Unique among this agent's candidates of one side, and stable.
    pub id: u32,
    /// The candidate.
    pub candidate: Candidate,
    /// For a relayed local candidate: the transport towards the relay.
    pub relay_protocol: Option<Transport>,
}

/// `RTCStatsIceCandidatePairState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PairState {
    /// Waits for another pair of its foundation.
    Frozen,
    /// Waits for its turn.
    Waiting,
    /// Being checked.
    InProgress,
    /// Valid.
    Succeeded,
    /// No answer, or a refusal.
    Failed,
}

/// `RTCIceCandidatePairStats`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CandidatePairStats {
    /// Unique among this agent's pairs, and stable.
    pub id: u32,
    /// The own candidate's id.
    pub local: u32,
    /// The other side's.
    pub remote: u32,
    /// The path as the kernel sees it; `None` where the host's own addresses are not shown.
    pub path: Option<Path>,
    /// The state.
    pub state: PairState,
    /// True if it was nominated.
    pub nominated: bool,
    /// RFC 8445 §6.1.2.3.
    pub priority: u64,
    /// Counters.
    pub counters: PairCounters,
}

/// A pair's plain counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairCounters {
    /// Packets of data.
    pub packets_sent: u64,
    /// Packets of data.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Checks sent for the first time; consent checks are counted apart.
    pub requests_sent: u64,
    /// Checks and consent checks that came in.
    pub requests_received: u64,
    /// Answers to them.
    pub responses_sent: u64,
    /// Answers to own checks.
    pub responses_received: u64,
    /// Checks sent again.
    pub retransmissions_sent: u64,
    /// Consent checks (RFC 7675).
    pub consent_requests_sent: u64,
    /// The sum of all round-trip times measured.
    pub total_round_trip_time: Duration,
    /// The latest one.
    pub current_round_trip_time: Option<Duration>,
    /// When data was last sent.
    pub last_packet_sent: Option<Instant>,
    /// When data last arrived.
    pub last_packet_received: Option<Instant>,
}
