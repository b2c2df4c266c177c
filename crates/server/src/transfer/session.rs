//! The session of a transfer: a call in which everything that passes the server is sealed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use columba::call::{BoxFuture, Call, CallEvents, CallOptions, CallTiming, Seal, SealError};
use columba::signaling::PeerId;
use columba::{CandidateKind, CandidateTransport, Configuration, PeerConnection, TransportPolicy};
use columba_files::{Sealer, Secret};

use super::end::{Stop, StopKind};
use super::link::Place;
use super::meeting;

/// The ways that a connection may go, and the server.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RouteOptions {
    /// The server through which both sides find each other; without one, one on this machine
    #[arg(long, value_name = "URL", env = "COLUMBA_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// The key that the server asks for, if it does
    #[arg(long, value_name = "KEY", env = "COLUMBA_JOIN_KEY", hide_env_values = true)]
    pub(crate) join_key: Option<String>,
    /// Go through the server's relay only, so that the other side does not learn an address
    #[arg(long, conflicts_with = "no_relay")]
    pub(crate) relay_only: bool,
    /// Go directly or not at all
    #[arg(long)]
    pub(crate) no_relay: bool,
}

/// The time in which a direct connection comes up, if it can.
pub(crate) const DIRECT: Duration = Duration::from_secs(45);

/// Bytes that may be on their way: a path of 100 ms carries 1.6 Gbit/s with so many. What has
/// arrived is written at once, so that they are held behind a loss only.
const RECEIVE_BUFFER: usize = 20 << 20;

/// The sentence for two sides that only a relay connects.
pub(crate) const NOT_DIRECT: &str =
    "No direct way leads to the other side; go without --no-relay, or connect both to one network.";

/// Seals with the secret of the transfer.
#[derive(Debug)]
struct SealWith(Sealer);

impl Seal for SealWith {
    fn seal(&self, _: PeerId, text: String) -> BoxFuture<'_, Result<String, SealError>> {
        Box::pin(std::future::ready(Ok(self.0.seal(&text))))
    }

    fn open(&self, _: PeerId, sealed: String) -> BoxFuture<'_, Result<String, SealError>> {
        let opened = self.0.open(&sealed).map(str::to_owned).map_err(|error| SealError(error.to_string()));
        Box::pin(std::future::ready(opened))
    }
}

/// Enters the session of this secret.
pub(crate) async fn join(
    place: &Place,
    secret: &Secret,
    route: &RouteOptions,
) -> Result<(Call, CallEvents), Stop> {
    let mut configuration = Configuration::default();
    configuration.data.receive_buffer = RECEIVE_BUFFER;
    if route.relay_only {
        configuration.ice_transport_policy = TransportPolicy::Relay;
    }
    let options = CallOptions {
        configuration,
        direct_only: route.no_relay,
        seal: Some(Arc::new(SealWith(secret.sealer()))),
        // A file should go on soon after the network has changed.
        timing: CallTiming { disconnected: Duration::from_millis(1500), ..CallTiming::default() },
        ..CallOptions::default()
    };
    Call::join(place.join(&secret.session())?, options).await.map_err(|error| meeting::sentence(&error))
}

/// The way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// True if it goes through a relay of either side.
    pub(crate) is_relayed: bool,
    is_tcp: bool,
}

/// The way of a connection, once it has one.
pub(crate) fn way(connection: &PeerConnection) -> Way {
    let pair = connection
        .transports()
        .into_iter()
        .find_map(|transport| connection.ice_transport(transport)?.selected_pair);
    let is_relayed = pair
        .as_ref()
        .is_some_and(|pair| [&pair.local, &pair.remote].iter().any(|end| end.kind == CandidateKind::Relayed));
    let is_tcp = pair.is_some_and(|pair| pair.local.transport != CandidateTransport::Udp);
    Way { is_relayed, is_tcp }
}

impl Way {
    /// Refuses a relay where it is not wanted.
    pub(crate) fn check(self, route: &RouteOptions) -> Result<(), Stop> {
        if self.is_relayed && route.no_relay {
            return Err(Stop::new(StopKind::Lost, NOT_DIRECT));
        }
        Ok(())
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.is_relayed { "through the relay" } else { "directly" };
        write!(f, "{way} over {}", if self.is_tcp { "TCP" } else { "UDP" })
    }
}
