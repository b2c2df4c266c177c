//! One allocation, from the first socket to the last message.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_turn::client::{Client, Families};

use crate::config::IceServer;
use crate::event::ConnectId;
use crate::path::Path;

use super::super::ids::SessionId;

/// The wait after the first failure of a moving relay to reach its server; doubled after each
/// further one.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// The longest of these waits.
const LONGEST_RETRY: Duration = Duration::from_secs(4);

/// The time in which a connection of a moving relay must open, TLS included.
pub(super) const MOVING_CONNECT: Duration = Duration::from_secs(6);

/// Failures after which a moving allocation is given up: a minute in all. That is how long servers
/// like ours keep it without its connection.
const MAX_SETBACKS: u8 = 18;

/// An allocation, or the attempt at one.
#[derive(Debug)]
pub(in crate::agent) struct Relay {
    pub(in crate::agent) attempt: Attempt,
    pub(super) leg: Leg,
    /// An IPv6 address was asked for in an allocation of its own, too.
    pub(super) bridged: bool,
    /// The last session in which the server was probed because checks went unanswered.
    pub(super) probed_in: Option<SessionId>,
    /// The configuration no longer has the server: the relay is released with its last pair.
    pub(super) retired: bool,
    /// Failures to reach the server since the relay is moving.
    pub(super) setbacks: u8,
}

/// Where and how an allocation is asked for.
#[derive(Clone, Debug)]
pub(in crate::agent) struct Attempt {
    /// The server of the configuration.
    pub(in crate::agent) server: IceServer,
    /// The server's address; another one than configured after a redirection.
    pub(in crate::agent) address: SocketAddr,
    /// The host's address that the server is reached from.
    pub(in crate::agent) local: IpAddr,
    /// The number of new beginnings of this allocation, on another port or at another server.
    pub(super) retries: u8,
    /// The servers that have redirected this allocation.
    pub(super) visited: Vec<SocketAddr>,
    /// The address families asked for.
    pub(super) families: Families,
}

/// The connection to the server.
#[derive(Debug)]
pub(super) enum Leg {
    /// A UDP socket is being bound.
    Binding,
    /// A TCP or TLS connection is being opened.
    Connecting(ConnectId),
    /// The server can be reached.
    Open { path: Path, client: Box<Client> },
    /// The local address is gone, and the allocation moves to another one (RFC 8016).
    Moving {
        client: Box<Client>,
        /// `None` while there is no local address.
        waits_for: Option<WaitsFor>,
    },
}

/// The thing that a moving relay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    Socket,
    Connection {
        id: ConnectId,
        /// When it is given up: a system goes on for minutes with one that began on a bad route.
        until: Instant,
    },
    /// The time of the next try: a new address may be there before the route to it is.
    Retry(Instant),
}

impl Relay {
    pub(super) fn new(attempt: Attempt, leg: Leg) -> Self {
        Self { attempt, leg, bridged: false, probed_in: None, retired: false, setbacks: 0 }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.leg {
            Leg::Open { client, .. } => client.poll_timeout(),
            Leg::Moving {
                waits_for: Some(WaitsFor::Retry(at) | WaitsFor::Connection { until: at, .. }),
                ..
            } => Some(*at),
            _ => None,
        }
    }

    pub(super) fn client(&self) -> Option<&Client> {
        match &self.leg {
            Leg::Open { client, .. } | Leg::Moving { client, .. } => Some(client),
            _ => None,
        }
    }

    pub(super) fn path(&self) -> Option<Path> {
        match self.leg {
            Leg::Open { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The way to the server and the client, if the server can be reached.
    pub(in crate::agent) fn open(&mut self) -> Option<(Path, &mut Client)> {
        match &mut self.leg {
            Leg::Open { path, client } => Some((*path, client)),
            _ => None,
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Returns whether both are at the same server of the configuration, for the same families.
    pub(super) fn is_for_same(&self, other: &Self) -> bool {
        self.attempt.server == other.attempt.server && self.attempt.families == other.attempt.families
    }

    pub(super) fn is_pending(&self) -> bool {
        self.client().is_none_or(|client| !client.is_live() && !client.is_releasing() && !client.is_ended())
    }

    /// Returns whether this connection is being opened for the relay.
    pub(super) fn waits_for(&self, id: ConnectId) -> bool {
        match self.leg {
            Leg::Connecting(one) => one == id,
            Leg::Moving { waits_for: Some(WaitsFor::Connection { id: one, .. }), .. } => one == id,
            _ => false,
        }
    }

    /// Gives up the local address; the allocation stays with its client.
    pub(super) fn detach(&mut self) {
        self.leg = match std::mem::replace(&mut self.leg, Leg::Binding) {
            Leg::Open { client, .. } | Leg::Moving { client, .. } => Leg::Moving { client, waits_for: None },
            other => other,
        };
    }

    /// Returns whether the relay is moving and has no way to its server, nor is one being opened.
    pub(super) fn is_homeless(&self) -> bool {
        matches!(self.leg, Leg::Moving { waits_for: None | Some(WaitsFor::Retry(_)), .. })
    }

    /// Returns whether it is moving, and its connection has had until now to open.
    pub(super) fn is_connecting_until(&self, now: Instant) -> bool {
        matches!(self.leg, Leg::Moving { waits_for: Some(WaitsFor::Connection { until, .. }), .. } if until <= now)
    }

    /// The server could not be reached. Returns false if the relay is not moving, or is to be given
    /// up.
    pub(super) fn retry_later(&mut self, now: Instant) -> bool {
        let Leg::Moving { waits_for, .. } = &mut self.leg else { return false };
        if self.retired || self.setbacks >= MAX_SETBACKS {
            return false;
        }
        let wait = FIRST_RETRY * (1 << self.setbacks.min(8));
        self.setbacks += 1;
        *waits_for = Some(WaitsFor::Retry(now + wait.min(LONGEST_RETRY)));
        true
    }

    /// Goes on with a moving allocation over a new path. Returns false if the relay is not moving.
    pub(super) fn resume(&mut self, now: Instant, path: Path) -> bool {
        match std::mem::replace(&mut self.leg, Leg::Binding) {
            Leg::Moving { mut client, .. } => {
                client.change_address(now);
                self.setbacks = 0;
                self.leg = Leg::Open { path, client };
                true
            }
            other => {
                self.leg = other;
                false
            }
        }
    }
}
