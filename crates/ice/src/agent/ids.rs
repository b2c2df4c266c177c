//! The names of an agent's parts.

use crate::event::{BindId, ConnectId, ListenId, ResolveId};

/// The name of a candidate pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PairId(pub(super) u32);

/// The name of a local candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LocalId(pub(super) u32);

/// The name of a remote candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RemoteId(pub(super) u32);

/// The number of a session; each restart adds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionId(pub(super) u32);

/// The name of an allocation at a TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RelayId(pub(super) u32);

/// The name of a place where TCP connections begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TcpBaseId(pub(super) u32);

/// The position of a server among those in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServerIndex(pub(super) usize);

/// A local end: where messages leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Base {
    /// A UDP socket of the host.
    Socket(BindId),
    /// An allocation at a server.
    Relay(RelayId),
    /// The local end of TCP connections; the remote address says which of them.
    Tcp(TcpBaseId),
}

impl Base {
    pub(super) fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

impl SessionId {
    pub(super) const FIRST: Self = Self(0);
}

impl TcpBaseId {
    /// The name under which the owner is asked for the base's listener.
    pub(super) fn listener(self) -> ListenId {
        ListenId(self.0.into())
    }

    /// The base whose listener has this name.
    pub(super) fn of_listener(id: ListenId) -> Option<Self> {
        u32::try_from(id.0).ok().map(Self)
    }
}

/// The source of names: each is given once in an agent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ids {
    last: u32,
}

impl Ids {
    fn number(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    pub(super) fn session(&mut self) -> SessionId {
        SessionId(self.number())
    }

    pub(super) fn pair(&mut self) -> PairId {
        PairId(self.number())
    }

    pub(super) fn local(&mut self) -> LocalId {
        LocalId(self.number())
    }

    pub(super) fn remote(&mut self) -> RemoteId {
        RemoteId(self.number())
    }

    pub(super) fn relay(&mut self) -> RelayId {
        RelayId(self.number())
    }

    pub(super) fn tcp_base(&mut self) -> TcpBaseId {
        TcpBaseId(self.number())
    }

    pub(super) fn bind(&mut self) -> BindId {
        BindId(self.number().into())
    }

    pub(super) fn connect(&mut self) -> ConnectId {
        ConnectId(self.number().into())
    }

    pub(super) fn resolve(&mut self) -> ResolveId {
        ResolveId(self.number().into())
    }

    /// A foundation for a candidate that a check has discovered (RFC 8445 §7.3.1.3).
    pub(super) fn foundation(&mut self) -> String {
        format!("prflx{}", self.last)
    }
}
