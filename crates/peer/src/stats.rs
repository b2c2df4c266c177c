//! What a peer connection has counted, in the words of the W3C's `webrtc-stats`.

use crate::channel::{ChannelId, DataChannelState};
use crate::states::{DtlsTransportState, SctpTransportState};
use crate::time::UnixTime;

/// A snapshot of everything.
#[derive(Clone, Debug)]
pub struct Stats {
    /// When it was made.
    pub timestamp: UnixTime,
    /// `RTCPeerConnectionStats.dataChannelsOpened`.
    pub data_channels_opened: u32,
    /// `RTCPeerConnectionStats.dataChannelsClosed`.
    pub data_channels_closed: u32,
    /// Candidates, pairs, and the transport as far as ICE knows it.
    pub ice: columba_ice::Stats,
    /// DTLS.
    pub dtls: DtlsStats,
    /// SCTP.
    pub sctp: SctpStats,
    /// The channels that exist now.
    pub channels: Vec<DataChannelStats>,
    /// What arrived and was dropped.
    pub dropped: Dropped,
}

/// The DTLS part of `RTCTransportStats`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DtlsStats {
    /// The state.
    pub state: DtlsTransportState,
    /// Whether this side is the client; `None` as long as that is open.
    pub is_client: Option<bool>,
    /// `DTLS 1.2` or `DTLS 1.3`, once negotiated.
    pub version: Option<&'static str>,
    /// The own certificate's SHA-256 fingerprint.
    pub local_fingerprint: String,
    /// The other side's certificate, DER, once known.
    pub remote_certificate: Option<Vec<u8>>,
    /// Records of data sealed.
    pub records_sent: u64,
    /// Records of data opened.
    pub records_received: u64,
}

/// `RTCSctpTransportStats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpStats {
    /// The state.
    pub state: SctpTransportState,
    /// The longest message that the other side takes, in bytes; 0 for any length.
    pub max_message_size: u64,
    /// What the association counts, and how it sees the path.
    pub association: columba_sctp::Stats,
}

/// `RTCDataChannelStats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataChannelStats {
    /// Which.
    pub id: ChannelId,
    /// Its name.
    pub label: String,
    /// Its protocol.
    pub protocol: String,
    /// Its stream number, once it has one.
    pub stream: Option<u16>,
    /// Its state.
    pub state: DataChannelState,
    /// Messages sent.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Messages received by the application.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// What arrived and was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Datagrams whose first byte belongs to no protocol that is spoken here (RFC 7983).
    pub unknown: u64,
    /// Media: no media was negotiated.
    pub media: u64,
    /// DTLS records that came too early and were too many, or too late.
    pub dtls: u64,
    /// Remote candidates of an unknown kind, or of another component than the first.
    pub candidates: u64,
    /// Outgoing packets for which there was no path.
    pub no_path: u64,
}
