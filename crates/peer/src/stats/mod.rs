//! Statistics of a peer connection, in the words of the W3C's `webrtc-stats`.

pub mod report;

use crate::data::{ChannelId, DataChannelState};
use crate::media::TransceiverId;
use crate::rtp::RtpStats;
use crate::states::{DtlsTransportState, SctpTransportState};
use crate::time::UnixTime;
use crate::transport::TransportId;
use crate::transport::dtls::{DtlsRole, SrtpProfile};

/// A snapshot of all statistics.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The time of the snapshot.
    pub timestamp: UnixTime,
    /// `RTCPeerConnectionStats.dataChannelsOpened`.
    pub data_channels_opened: u32,
    /// `RTCPeerConnectionStats.dataChannelsClosed`.
    pub data_channels_closed: u32,
    /// The transports.
    pub transports: Vec<TransportStats>,
    /// SCTP.
    pub sctp: SctpStats,
    /// The channels that exist now.
    pub channels: Vec<DataChannelStats>,
    /// The streams of audio and video.
    pub rtp: RtpStats,
    /// Packets that were dropped.
    pub dropped: Dropped,
}

/// Statistics of one transport.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportStats {
    /// The transport.
    pub id: TransportId,
    /// Candidates, pairs, and `RTCTransportStats` as far as ICE knows it.
    pub ice: columba_ice::Stats,
    /// `RTCTransportStats` as far as DTLS knows it.
    pub dtls: DtlsStats,
    /// `RTCTransportStats.srtpCipher`, once DTLS is connected and if both sides support SRTP.
    pub srtp_profile: Option<SrtpProfile>,
    /// Packets that the sockets did not take, by their paths: see
    /// [`Peer::note_discarded`](crate::Peer::note_discarded).
    pub discarded: Vec<Discarded>,
}

/// Packets of one path that a socket did not take because of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discarded {
    /// The path.
    pub path: columba_ice::Path,
    /// `RTCIceCandidatePairStats.packetsDiscardedOnSend`.
    pub packets: u64,
    /// `RTCIceCandidatePairStats.bytesDiscardedOnSend`.
    pub bytes: u64,
}

/// A part of the connection whose statistics are asked for: the selector of the W3C's `getStats`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StatsSelector {
    /// The sender of this transceiver.
    Sender(TransceiverId),
    /// The receiver of this transceiver.
    Receiver(TransceiverId),
    /// The only sender or receiver that has the track with this identifier.
    Track(String),
}

/// The DTLS part of `RTCTransportStats`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DtlsStats {
    /// The state.
    pub state: DtlsTransportState,
    /// `RTCTransportStats.dtlsRole`: the local role; `None` as long as it is not settled.
    pub role: Option<DtlsRole>,
    /// `DTLS 1.2` or `DTLS 1.3`, once negotiated.
    pub version: Option<&'static str>,
    /// The cipher suite by its name in IANA's registry, once negotiated.
    pub cipher: Option<&'static str>,
    /// The group of the key exchange by its name in IANA's registry, once negotiated.
    pub group: Option<&'static str>,
    /// The application protocol (RFC 8833), once negotiated: `webrtc`, or `c-webrtc` if both sides
    /// keep media from other applications. `None` if the other side has none.
    pub application_protocol: Option<String>,
    /// The SHA-256 fingerprint of the local certificate.
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
#[non_exhaustive]
pub struct SctpStats {
    /// The transport below, once a section for data is agreed.
    pub transport: Option<TransportId>,
    /// The state.
    pub state: SctpTransportState,
    /// The longest message that the other side takes, in bytes; 0 for any length.
    pub max_message_size: u64,
    /// Counters of the association, and its view of the path.
    pub association: columba_sctp::Stats,
}

/// `RTCDataChannelStats`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataChannelStats {
    /// The channel.
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

/// Packets that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Arrived datagrams of an unknown protocol (RFC 7983), of an unknown transport, and packets of
    /// data that was not agreed.
    pub unknown: u64,
    /// RTP and RTCP packets that arrived and were not taken: not authentic, repeated, of no section
    /// that receives, or more than the queue holds.
    pub media: u64,
    /// Their bytes.
    pub media_bytes: u64,
    /// The arrival of the last one, by the kernel's clock where it is known.
    pub last_media: Option<UnixTime>,
    /// DTLS records that arrived too early and were too many, or too late, or were not authentic.
    pub dtls: u64,
    /// Remote candidates of an unknown kind, or of another component than the first.
    pub candidates: u64,
    /// Outgoing packets for which there was no path.
    pub no_path: u64,
}
