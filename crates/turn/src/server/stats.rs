//! Plain counters, for metrics.

use std::fmt;

/// The error codes that the server answers with.
pub const ERROR_CODES: [u16; 13] = [400, 401, 403, 405, 420, 437, 438, 440, 441, 442, 443, 486, 508];

/// The counters of a server. They only grow; those named "live" are the present state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Binding requests.
    pub binding_requests: u64,
    /// Allocate requests, retransmissions included.
    pub allocate_requests: u64,
    /// Refresh requests.
    pub refresh_requests: u64,
    /// CreatePermission requests.
    pub create_permission_requests: u64,
    /// ChannelBind requests.
    pub channel_bind_requests: u64,
    /// Success responses.
    pub successes: u64,
    /// Requests that were answered with nothing because their source prefix has been answered
    /// enough.
    pub answers_withheld: u64,
    /// Bytes of STUN messages that came in for the server itself.
    pub control_bytes_in: u64,
    /// Bytes of STUN messages that the server itself made.
    pub control_bytes_out: u64,
    /// Allocations made.
    pub allocations_total: u64,
    /// Moves of allocations to another address of their client.
    pub allocations_moved: u64,
    /// Allocations live.
    pub allocations_live: u64,
    /// Relay ports held: of live allocations, reserved, and being asked for.
    pub relays_live: u64,
    /// Datagrams from clients to peers.
    pub datagrams_to_peers: u64,
    /// Payload bytes from clients to peers.
    pub bytes_to_peers: u64,
    /// Datagrams from peers to clients.
    pub datagrams_to_clients: u64,
    /// Payload bytes from peers to clients.
    pub bytes_to_clients: u64,
    /// Datagrams from one client's relay to another's, which left by no relay port; they are
    /// counted as going to a peer and as going to a client, too.
    pub datagrams_in_process: u64,
    errors: [u64; ERROR_CODES.len()],
    drops: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// Error responses by code.
    pub fn errors(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        ERROR_CODES.into_iter().zip(self.errors)
    }

    /// Error responses with this code.
    pub fn error(&self, code: u16) -> u64 {
        self.errors().find(|(c, _)| *c == code).map_or(0, |(_, n)| n)
    }

    /// The number of drops, by reason.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().zip(self.drops)
    }

    /// The number of drops for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    pub(super) fn count_error(&mut self, code: u16) {
        if let Some(i) = ERROR_CODES.iter().position(|c| *c == code) {
            self.errors[i] += 1;
        }
    }

    pub(super) fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}

/// The reason for which a message was neither answered nor forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// It is neither STUN nor ChannelData, or broken.
    Malformed,
    /// It is STUN, but a kind that a server does not answer: a response, an unknown
    /// indication or method.
    Unexpected,
    /// Data from a client, or at a relay port, without a live allocation.
    NoAllocation,
    /// Data to or from a peer without a permission.
    NoPermission,
    /// ChannelData on a channel that is not bound.
    NoChannel,
    /// Data to an address that peers must not have.
    PeerForbidden,
    /// Data to an address of the server itself where no live allocation is.
    OwnAddress,
    /// Over the bandwidth of the credential.
    CredentialBandwidth,
    /// Over the bandwidth of the client's address.
    AddressBandwidth,
    /// Over the bandwidth of the server.
    TotalBandwidth,
    /// The buffer has too little room around the payload, or the payload is too long for its
    /// header.
    NoRoom,
    /// Too many answers wait to be sent.
    Backlog,
}

impl DropReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::Unexpected,
        Self::NoAllocation,
        Self::NoPermission,
        Self::NoChannel,
        Self::PeerForbidden,
        Self::OwnAddress,
        Self::CredentialBandwidth,
        Self::AddressBandwidth,
        Self::TotalBandwidth,
        Self::NoRoom,
        Self::Backlog,
    ];

    /// A name for metrics and logs: lower case, words joined by underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unexpected => "unexpected",
            Self::NoAllocation => "no_allocation",
            Self::NoPermission => "no_permission",
            Self::NoChannel => "no_channel",
            Self::PeerForbidden => "peer_forbidden",
            Self::OwnAddress => "own_address",
            Self::CredentialBandwidth => "credential_bandwidth",
            Self::AddressBandwidth => "address_bandwidth",
            Self::TotalBandwidth => "total_bandwidth",
            Self::NoRoom => "no_room",
            Self::Backlog => "backlog",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
