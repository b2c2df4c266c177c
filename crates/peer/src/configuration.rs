//! What a peer connection can be told before it begins.

use crate::certificate::Certificate;

/// The W3C's `RTCConfiguration`, and what else can be set. The default is a connection without servers.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// Which candidates may be used. Default all.
    pub ice_transport_policy: columba_ice::TransportPolicy,
    /// Transports for which candidates are gathered before a local description asks for them (RFC 8829 §3.5.4). There is one
    /// transport, so that more than 1 is no more than 1. Cannot be changed once a local description was set. Default 0.
    pub ice_candidate_pool_size: u8,
    /// Who this side is; the first one is used. Default none: one is generated.
    pub certificates: Vec<Certificate>,
    /// Everything else about ICE; its `servers`, `policy` and `candidate_pool` are replaced by the fields above.
    pub ice: columba_ice::Config,
    /// What applies to data channels.
    pub data: DataConfiguration,
    /// The versions of DTLS that are spoken. Default [`DtlsVersions::Auto`].
    pub dtls_versions: DtlsVersions,
    /// Bytes of the largest UDP payload that is sent, without a TURN header; 508 to 8,952. Default 1,200:
    /// with everything around it less than the 1,280 bytes that every IPv6 path carries.
    pub datagram_size: usize,
    /// Bytes of the largest UDP payload that is tried where two hosts talk directly: whether larger ones than
    /// [`datagram_size`](Self::datagram_size) get through is found out once there is much to send (RFC 8899). The sockets must
    /// not let datagrams be fragmented. More than 16,422 is of no use: a DTLS record has 16,384 bytes at most. Default 16,422.
    pub max_datagram_size: usize,
    /// Derives the DTLS room's own random numbers from the seed, so that a simulation can be repeated.
    /// Default false. Keys and signatures are random nevertheless; but 64 bits of seed are too few for a real
    /// connection.
    pub simulated: bool,
}

/// What applies to data channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataConfiguration {
    /// Bytes of the longest message that this side takes (`a=max-message-size`). Default 262,144, as
    /// Chromium.
    pub max_message_size: u32,
    /// Bytes that may wait to be sent, all channels together; beyond it
    /// [`Error::BufferFull`](crate::Error::BufferFull). Default 16 MiB, as Chromium.
    pub send_buffer: usize,
    /// Bytes that may be on their way to this side or wait to be read; beyond it the other side has to wait.
    /// Memory is only used for what has arrived. Default 16 MiB.
    pub receive_buffer: usize,
}

/// The versions of DTLS that are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DtlsVersions {
    /// 1.3 with whoever knows it, else 1.2.
    #[default]
    Auto,
    /// 1.2 only.
    Dtls12,
    /// 1.3 only.
    Dtls13,
}

/// The W3C's `RTCIceServer`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IceServer {
    /// Its URLs: `stun:`, `turn:` and `turns:` (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// For TURN: the user name.
    pub username: String,
    /// For TURN: the password.
    pub credential: String,
}

/// Debug output must not give the credential away.
impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            ice_transport_policy: columba_ice::TransportPolicy::All,
            ice_candidate_pool_size: 0,
            certificates: Vec::new(),
            ice: columba_ice::Config::default(),
            data: DataConfiguration::default(),
            dtls_versions: DtlsVersions::default(),
            datagram_size: 1200,
            max_datagram_size: 16_422,
            simulated: false,
        }
    }
}

impl Default for DataConfiguration {
    fn default() -> Self {
        Self { max_message_size: 262_144, send_buffer: 16 << 20, receive_buffer: 16 << 20 }
    }
}
