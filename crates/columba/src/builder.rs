//! The builder of peer connections.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use columba_peer::{
    AddressPolicy, BundlePolicy, Certificate, Configuration, IceServer, MediaConfidentiality, Peer,
    PostQuantum, TransportPolicy, UnixTime,
};
use tokio::runtime::Handle as Runtime;

use crate::certificates;
use crate::connection::PeerConnection;
use crate::driver::Driver;
use crate::driver::tcp::ServerTls;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::events::Events;
use crate::features;
use crate::handle::Handle;
use crate::network;
use crate::shared::Shared;

/// Builds a [`PeerConnection`]: its configuration, and the means by which it runs.
///
/// ```
/// use columba::{Configuration, PeerConnection};
///
/// // A program without a runtime of its own gives one to its connections.
/// let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
/// let (connection, _events) = PeerConnection::builder()
///     .configuration(Configuration::default())
///     .runtime(runtime.handle().clone())
///     .build()?;
/// # drop(connection);
/// # Ok::<(), columba::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is built without `build`"]
pub struct PeerConnectionBuilder {
    configuration: Configuration,
    runtime: Option<Runtime>,
    tls: ServerTls,
    endpoint: Option<Endpoint>,
}

impl PeerConnectionBuilder {
    /// Sets the W3C configuration and the limits beside it. Default: no ICE servers.
    pub fn configuration(mut self, configuration: Configuration) -> Self {
        self.configuration = configuration;
        self
    }

    /// Sets the certificate, in place of one that is generated: peers can recognize it in several
    /// connections.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.configuration.certificates = vec![certificate];
        self
    }

    /// Sets the candidates that may be used: with [`TransportPolicy::Relay`] the other side does
    /// not learn an address of this one.
    pub fn ice_transport_policy(mut self, policy: TransportPolicy) -> Self {
        self.configuration.ice_transport_policy = policy;
        self
    }

    /// Sets the STUN and TURN servers.
    pub fn ice_servers(mut self, servers: impl IntoIterator<Item = IceServer>) -> Self {
        self.configuration.ice_servers = servers.into_iter().collect();
        self
    }

    /// Sets the transports that offers name, for other sides that cannot bundle.
    pub fn bundle_policy(mut self, policy: BundlePolicy) -> Self {
        self.configuration.bundle_policy = policy;
        self
    }

    /// Sets with which peers the key exchange is one that a quantum computer does not break.
    /// Default: with those whose description says that they have it.
    pub fn post_quantum(mut self, post_quantum: PostQuantum) -> Self {
        self.configuration.post_quantum = post_quantum;
        self
    }

    /// Sets whether the other side must promise to keep media from other applications (RFC 8833).
    /// Default: it need not.
    pub fn media_confidentiality(mut self, confidentiality: MediaConfidentiality) -> Self {
        self.configuration.media_confidentiality = confidentiality;
        self
    }

    /// Sets the runtime that drives the connection, with I/O and time enabled. Default: the runtime
    /// that [`build`](Self::build) is called in.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Sets the way in which certificates of TURN servers (`turns:`) are checked. Default: against
    /// the system's roots. See [`tls::trusting`](crate::tls::trusting).
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls.config = Some(config);
        self
    }

    /// Sets the endpoint whose UDP socket the connection shares with others. Default: sockets of
    /// its own.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Builds the connection, and the receiver of its events.
    ///
    /// # Errors
    /// - [`Error::NoRuntime`]: no runtime was given, and this is not called inside one.
    /// - [`Error::MissingFeature`]: the configuration needs a feature that is not built in.
    /// - [`Error::NoRandomness`]: the system gives no random numbers.
    /// - [`Error::Peer`]: an ICE server or certificate in the configuration cannot be used.
    ///
    /// # Panics
    /// If I/O or time is not enabled in the runtime.
    pub fn build(self) -> Result<(PeerConnection, Events), Error> {
        features::check(&self.configuration)?;
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => Runtime::try_current().map_err(|_| Error::NoRuntime)?,
        };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| Error::NoRandomness)?;
        let now = Instant::now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let configuration = self.configuration;
        // What goes over relays alone has no socket to share.
        let shares = configuration.ice_transport_policy != TransportPolicy::Relay
            && configuration.ice.address_policy != AddressPolicy::RelayOnly;
        let endpoint = self.endpoint.filter(|_| shares);
        // A certificate of the configuration is its owner's to share; others are for one
        // connection.
        let makes_certificate = configuration.certificates.is_empty();
        let certificate = if makes_certificate { certificates::take() } else { None };
        let mut peer = Peer::with_certificate(configuration, certificate, now, UnixTime(wall), seed)?;
        let mut addresses = endpoint.as_ref().map_or_else(network::watch, Endpoint::addresses);
        peer.handle_network_change(now, &addresses.borrow_and_update());
        let shared = Arc::new(Shared::new(peer));
        let driver = {
            let _entered = runtime.enter();
            Driver::new(shared.clone(), addresses, self.tls, endpoint, makes_certificate)
        };
        runtime.spawn(driver);
        let handle = Arc::new(Handle { shared: shared.clone() });
        let events = Events::new(shared, Arc::downgrade(&handle));
        Ok((PeerConnection::from_handle(handle), events))
    }
}
