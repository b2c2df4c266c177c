//! The configuration of a peer connection.

use std::sync::Arc;

use columba_dtls::KeyLog;

use crate::certificate::Certificate;
use crate::media::MediaConfiguration;

/// The W3C's `RTCConfiguration`, and further settings. The default is a connection without servers.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// The candidates that may be used. Default all.
    pub ice_transport_policy: columba_ice::TransportPolicy,
    /// The transports that offers name, for other sides that cannot bundle. Default
    /// [`BundlePolicy::Balanced`].
    pub bundle_policy: BundlePolicy,
    /// The transports for which candidates are gathered before a local description needs them (RFC
    /// 9429 §3.5.4). More than 1 counts as 1. Cannot be changed once a local description was set.
    /// Default 0.
    pub ice_candidate_pool_size: u8,
    /// Certificates, of which the first is used. Default none: one is generated.
    pub certificates: Vec<Certificate>,
    /// All other settings of ICE; its `servers`, `policy` and `candidate_pool` are replaced by the
    /// fields above.
    pub ice: columba_ice::Config,
    /// True if ICE restarts by itself when a path is dead and no other can be found without new
    /// credentials: the next offer has them, and
    /// [`Event::NegotiationNeeded`](crate::Event::NegotiationNeeded) follows. The side that
    /// controls ICE begins; the other one follows after 3 s, if nothing has happened. Default true;
    /// browsers leave it to the application.
    pub automatic_ice_restart: bool,
    /// Settings of data channels.
    pub data: DataConfiguration,
    /// Codecs and header extensions of audio and video. It may be shared by several connections,
    /// and cannot be changed later.
    pub media: Arc<MediaConfiguration>,
    /// The versions of DTLS. Default [`DtlsVersions::Auto`].
    pub dtls_versions: DtlsVersions,
    /// A receiver of the secrets of DTLS, in lines of the format of `SSLKEYLOGFILE`, to decrypt
    /// what was captured. Dangerous. Default none; no environment variable is read.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// Use of X25519MLKEM768 in DTLS 1.3's key exchange, which a quantum computer does not break.
    /// Default [`PostQuantum::Negotiated`].
    pub post_quantum: PostQuantum,
    /// The other side's promise to keep media from other applications. Default
    /// [`MediaConfidentiality::Optional`].
    pub media_confidentiality: MediaConfidentiality,
    /// True if handshakes may travel earlier than their turn, where both sides' descriptions say
    /// so: DTLS's in checks of ICE (draft-hancke-webrtc-sped), SCTP's in the descriptions
    /// (draft-hancke-tsvwg-snap). It saves two round trips; states and events come in the same
    /// order as without. Default true: others than peers of this library notice nothing but lines
    /// in the description.
    pub early_handshakes: bool,
    /// Bytes of the largest UDP payload that is sent, without a TURN header; 508 to 8,952. Default
    /// 1,200: with everything around it less than the 1,280 bytes that every IPv6 path carries.
    pub datagram_size: usize,
    /// Bytes of the largest UDP payload that path MTU discovery (RFC 8899) tries between two hosts
    /// without a relay, once there is much to send. The sockets must not let datagrams be
    /// fragmented. More than 16,422 is of no use: a DTLS record has 16,384 bytes at most. Default
    /// 16,422.
    pub max_datagram_size: usize,
}

/// Settings of data channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataConfiguration {
    /// Bytes of the longest message that this side takes (`a=max-message-size`). Default 262,144,
    /// as Chromium.
    pub max_message_size: u32,
    /// Bytes that may wait to be sent, all channels together; beyond it
    /// [`Error::BufferFull`](crate::Error::BufferFull). Default 16 MiB, as Chromium.
    pub send_buffer: usize,
    /// Bytes that may be on their way to this side or wait to be read; beyond it the other side has
    /// to wait. Memory is only used for what has arrived. Default 16 MiB.
    pub receive_buffer: usize,
}

/// The W3C's `RTCBundlePolicy`: which sections have a transport of their own until the other side
/// has agreed to bundle them (RFC 9429 §4.1.1), and which sections of an offer that bundles none
/// are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BundlePolicy {
    /// The first section of audio, of video and of data.
    #[default]
    Balanced,
    /// Each section.
    MaxCompat,
    /// None but the first; the others are offered as if the bundle were agreed already, as browsers
    /// have it.
    MaxBundle,
    /// None but the first; the others are marked as bundle-only: RFC 9429's `must-bundle`.
    MustBundle,
}

/// The versions of DTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DtlsVersions {
    /// 1.3 if the other side supports it, else 1.2.
    #[default]
    Auto,
    /// 1.2 only.
    Dtls12,
    /// 1.3 only.
    Dtls13,
}

/// The use of a key exchange that a quantum computer does not break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostQuantum {
    /// With peers whose description says that they have it (`a=dtls-groups:X25519MLKEM768`): the
    /// ClientHello needs two datagrams, which some implementations do not take.
    #[default]
    Negotiated,
    /// With all that have it: a client sends such a key to every server.
    Always,
    /// Not at all.
    Never,
}

/// A promise of both sides to keep media from other applications, negotiated in DTLS's handshake
/// (RFC 8833). Once connected, the statistics say what was agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaConfidentiality {
    /// The connection comes about with and without. A client offers both `webrtc` and `c-webrtc`; a
    /// server prefers `webrtc`, and takes a client that only offers `c-webrtc`.
    #[default]
    Optional,
    /// The connection fails unless both sides agree on `c-webrtc`, which Firefox can and Chromium
    /// cannot.
    Required,
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
            bundle_policy: BundlePolicy::default(),
            ice_candidate_pool_size: 0,
            certificates: Vec::new(),
            ice: columba_ice::Config::default(),
            automatic_ice_restart: true,
            data: DataConfiguration::default(),
            media: MediaConfiguration::shared_default(),
            dtls_versions: DtlsVersions::default(),
            key_log: None,
            post_quantum: PostQuantum::default(),
            media_confidentiality: MediaConfidentiality::default(),
            early_handshakes: true,
            datagram_size: 1200,
            max_datagram_size: 16_422,
        }
    }
}

impl Default for DataConfiguration {
    fn default() -> Self {
        Self { max_message_size: 262_144, send_buffer: 16 << 20, receive_buffer: 16 << 20 }
    }
}
