//! The W3C's `RTCStatsReport` (webrtc-stats), without what only a codec or a device knows.
//!
//! Times are milliseconds since the beginning of 1970, durations are seconds. With the feature
//! `serde` a report is written as the JSON of `JSON.stringify([...report.values()])` in browsers.
//! Identifiers stay the same as long as their object exists.
//!
//! Members that are absent have no value: `issuerCertificateId` needs a chain of certificates, of
//! which DTLS takes the first only. `availableOutgoingBitrate` is the estimate of the path where
//! media runs, and what congestion control lets data go at elsewhere. Each member of webrtc-stats,
//! and the reason for those that are never there, is in
//! [docs/statistics.md](https://github.com/columba-rtc/columba/blob/main/docs/statistics.md).

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use columba_ice::{
    CandidateAddress, CandidateKind, CandidatePairStats, CandidateStats, CandidateTransport, PairState, Role,
    State, TcpType,
};
use columba_sdp::attributes::Fingerprint;

use super::{DataChannelStats, SctpStats, Stats, TransportStats};
use crate::certificate;
use crate::data::DataChannelState;
use crate::rtp::PathStats;
use crate::states::DtlsTransportState;
use crate::time::{UnixTime, WallClock};
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

/// The objects of a report, each once.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct StatsReport {
    /// The objects: the connection first, then each transport with what belongs to it, then
    /// channels.
    pub entries: Vec<Entry>,
}

/// An object of a report: the W3C's `RTCStats`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct Entry {
    /// Its identifier.
    pub id: String,
    /// The time of the snapshot in milliseconds.
    pub timestamp: f64,
    /// Its type, and the members of the type.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub object: Object,
}

/// The types of objects: `RTCStatsType`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "type", rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Object {
    /// `RTCPeerConnectionStats`.
    PeerConnection(Connection),
    /// `RTCTransportStats`.
    Transport(Transport),
    /// `RTCIceCandidatePairStats`.
    CandidatePair(Pair),
    /// `RTCIceCandidateStats` of this side.
    LocalCandidate(Candidate),
    /// `RTCIceCandidateStats` of the other side.
    RemoteCandidate(Candidate),
    /// `RTCCertificateStats`.
    Certificate(Certificate),
    /// `RTCDataChannelStats`.
    DataChannel(Channel),
    /// `RTCCodecStats`.
    Codec(Codec),
    /// `RTCInboundRtpStreamStats`.
    InboundRtp(InboundRtp),
    /// `RTCOutboundRtpStreamStats`.
    OutboundRtp(OutboundRtp),
    /// `RTCRemoteInboundRtpStreamStats`.
    RemoteInboundRtp(RemoteInboundRtp),
    /// `RTCRemoteOutboundRtpStreamStats`.
    RemoteOutboundRtp(RemoteOutboundRtp),
    /// `RTCMediaSourceStats`.
    MediaSource(MediaSource),
}

/// Declares a dictionary: members that are always there, then members that may be absent.
macro_rules! dictionary {
    (
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$member_doc:meta])* $member:ident: $type:ty,)*
            ;
            $($(#[$absent_doc:meta])* $absent:ident: $absent_type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$member_doc])* pub $member: $type,)*
            $(
                $(#[$absent_doc])*
                #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
                pub $absent: Option<$absent_type>,
            )*
        }
    };
}

mod media;

pub use media::{Codec, InboundRtp, MediaSource, OutboundRtp, RemoteInboundRtp, RemoteOutboundRtp};

dictionary! {
    /// `RTCPeerConnectionStats`.
    Connection {
        /// Data channels that have opened.
        data_channels_opened: u32,
        /// Data channels that have closed after they had opened.
        data_channels_closed: u32,
        ;
    }
}

dictionary! {
    /// `RTCTransportStats`.
    Transport {
        /// Packets of data sent.
        packets_sent: u64,
        /// Packets of data received.
        packets_received: u64,
        /// Their bytes.
        bytes_sent: u64,
        /// Their bytes.
        bytes_received: u64,
        /// `controlling` or `controlled`.
        ice_role: &'static str,
        /// The local user name fragment.
        ice_local_username_fragment: String,
        /// `RTCIceTransportState`.
        ice_state: &'static str,
        /// `RTCDtlsTransportState`.
        dtls_state: &'static str,
        /// `client`, `server` or `unknown`.
        dtls_role: &'static str,
        /// The identifier of the local certificate.
        local_certificate_id: String,
        /// Changes of the selected pair.
        selected_candidate_pair_changes: u32,
        ;
        /// The identifier of the pair in use.
        selected_candidate_pair_id: String,
        /// The identifier of the other side's certificate, once it was shown.
        remote_certificate_id: String,
        /// The version of DTLS as in its records: `FEFD` for 1.2, `FEFC` for 1.3.
        tls_version: &'static str,
        /// The cipher suite, by its name in IANA's registry.
        dtls_cipher: &'static str,
        /// The group of the key exchange, by its name in IANA's registry.
        tls_group: &'static str,
        /// The protection profile of SRTP, by its name in IANA's registry.
        srtp_cipher: &'static str,
        /// Reports of RFC 8888 sent, if it carries media.
        ccfb_messages_sent: u64,
        /// Reports of RFC 8888 received.
        ccfb_messages_received: u64,
    }
}

dictionary! {
    /// `RTCIceCandidatePairStats`.
    Pair {
        /// The identifier of its transport.
        transport_id: String,
        /// The identifier of its local candidate.
        local_candidate_id: String,
        /// The identifier of its remote candidate.
        remote_candidate_id: String,
        /// `RTCStatsIceCandidatePairState`.
        state: &'static str,
        /// True if it was nominated.
        nominated: bool,
        /// Packets of data sent.
        packets_sent: u64,
        /// Packets of data received.
        packets_received: u64,
        /// Their bytes.
        bytes_sent: u64,
        /// Their bytes.
        bytes_received: u64,
        /// The sum of all round trips measured, in seconds.
        total_round_trip_time: f64,
        /// Checks received.
        requests_received: u64,
        /// Checks sent, without those for consent.
        requests_sent: u64,
        /// Answers received.
        responses_received: u64,
        /// Answers sent.
        responses_sent: u64,
        /// Checks for consent sent.
        consent_requests_sent: u64,
        /// Packets that the socket did not take because of an error.
        packets_discarded_on_send: u64,
        /// Their bytes.
        bytes_discarded_on_send: u64,
        ;
        /// Bits a second that congestion control lets go, on the pair in use.
        available_outgoing_bitrate: f64,
        /// The time of the last packet of data sent.
        last_packet_sent_timestamp: f64,
        /// The time of the last packet of data received.
        last_packet_received_timestamp: f64,
        /// The latest round trip, in seconds.
        current_round_trip_time: f64,
    }
}

dictionary! {
    /// `RTCIceCandidateStats`.
    Candidate {
        /// The identifier of its transport.
        transport_id: String,
        /// The address, or the name that hides it.
        address: String,
        /// The port.
        port: u16,
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// `RTCIceCandidateType`.
        candidate_type: &'static str,
        /// The priority.
        priority: u32,
        /// The foundation.
        foundation: String,
        ;
        /// The URL of the server that it was had from.
        url: String,
        /// The transport towards the relay.
        relay_protocol: &'static str,
        /// The address of its base, or as the server saw it.
        related_address: String,
        /// The port that belongs to it.
        related_port: u16,
        /// The user name fragment of its generation.
        username_fragment: String,
        /// `RTCIceTcpCandidateType`.
        tcp_type: &'static str,
    }
}

dictionary! {
    /// `RTCCertificateStats`.
    Certificate {
        /// The fingerprint, in the form of descriptions.
        fingerprint: String,
        /// The hash function of the fingerprint.
        fingerprint_algorithm: &'static str,
        /// The certificate: DER in base64.
        base64_certificate: String,
        ;
        /// The identifier of the certificate that has signed it.
        issuer_certificate_id: String,
    }
}

dictionary! {
    /// `RTCDataChannelStats`.
    Channel {
        /// The name.
        label: String,
        /// The protocol.
        protocol: String,
        /// `RTCDataChannelState`.
        state: &'static str,
        /// Messages sent.
        messages_sent: u64,
        /// Their bytes.
        bytes_sent: u64,
        /// Messages received.
        messages_received: u64,
        /// Their bytes.
        bytes_received: u64,
        ;
        /// The number of its stream, once it has one.
        data_channel_identifier: u16,
    }
}

impl StatsReport {
    /// Returns the object with this identifier.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Object> {
        self.entries.iter().find(|entry| entry.id == id).map(|entry| &entry.object)
    }

    /// Returns the part that a sender or a receiver over this transport refers to, directly or
    /// indirectly: its streams with what belongs to each, the transport, its certificates, the pair
    /// in use, and its candidates.
    pub(crate) fn of(mut self, transport: TransportId, streams: Vec<String>) -> Self {
        let mut wanted = streams;
        wanted.push(format!("T{}", transport.0));
        let mut next = 0;
        while let Some(id) = wanted.get(next) {
            let mut found = self.get(id).map(Object::references).unwrap_or_default();
            found.retain(|id| !wanted.contains(id));
            wanted.extend(found);
            next += 1;
        }
        self.entries.retain(|entry| wanted.contains(&entry.id));
        self
    }

    /// Makes a report of a snapshot that was taken at `now`.
    pub(crate) fn new(stats: &Stats, own: &crate::Certificate, wall: WallClock, now: Instant) -> Self {
        let mut writer = Writer { report: Self::default(), timestamp: milliseconds(stats.timestamp) };
        let connection = Connection {
            data_channels_opened: stats.data_channels_opened,
            data_channels_closed: stats.data_channels_closed,
        };
        writer.add("P".to_owned(), Object::PeerConnection(connection));
        let clock = |at: Instant| milliseconds(wall.before(now, at));
        for transport in &stats.transports {
            let path = stats.rtp.paths.iter().find(|path| path.transport == transport.id);
            let media = path.and_then(|path| path.available_outgoing_bitrate).map(|rate| rate as f64);
            let data = available(&stats.sctp).filter(|_| stats.sctp.transport == Some(transport.id));
            writer.add_transport(transport, own.der(), media.or(data), path, clock);
        }
        writer.add_media(&stats.rtp, clock);
        for channel in &stats.channels {
            writer.add_channel(channel);
        }
        writer.report
    }
}

impl Object {
    /// Returns the identifiers of the objects that it refers to, without its transport.
    fn references(&self) -> Vec<String> {
        match self {
            Self::Transport(one) => {
                let absent = [&one.selected_candidate_pair_id, &one.remote_certificate_id];
                absent.into_iter().flatten().chain([&one.local_certificate_id]).cloned().collect()
            }
            Self::CandidatePair(one) => vec![one.local_candidate_id.clone(), one.remote_candidate_id.clone()],
            Self::Certificate(one) => one.issuer_certificate_id.iter().cloned().collect(),
            Self::PeerConnection(_)
            | Self::LocalCandidate(_)
            | Self::RemoteCandidate(_)
            | Self::DataChannel(_)
            | Self::Codec(_)
            | Self::MediaSource(_) => Vec::new(),
            Self::InboundRtp(one) => [&one.codec_id, &one.remote_id].into_iter().flatten().cloned().collect(),
            Self::OutboundRtp(one) => {
                let absent = [&one.codec_id, &one.remote_id, &one.media_source_id];
                absent.into_iter().flatten().cloned().collect()
            }
            Self::RemoteInboundRtp(one) => one.codec_id.iter().chain([&one.local_id]).cloned().collect(),
            Self::RemoteOutboundRtp(one) => one.codec_id.iter().chain([&one.local_id]).cloned().collect(),
        }
    }
}

/// A report that is being made.
struct Writer {
    report: StatsReport,
    timestamp: f64,
}

impl Writer {
    fn add(&mut self, id: String, object: Object) {
        self.report.entries.push(Entry { id, timestamp: self.timestamp, object });
    }

    /// `bitrate` is what congestion control lets go on the pair in use.
    fn add_transport(
        &mut self,
        stats: &TransportStats,
        own: &[u8],
        bitrate: Option<f64>,
        path: Option<&PathStats>,
        clock: impl Fn(Instant) -> f64,
    ) {
        let number = stats.id.0;
        let id = format!("T{number}");
        let local_certificate_id = self.add_certificate(own);
        let remote = stats.dtls.remote_certificate.as_ref();
        let remote_certificate_id = remote.map(|der| self.add_certificate(der));
        let (ice, dtls) = (&stats.ice.transport, &stats.dtls);
        let transport = Transport {
            packets_sent: ice.packets_sent,
            packets_received: ice.packets_received,
            bytes_sent: ice.bytes_sent,
            bytes_received: ice.bytes_received,
            ice_role: match ice.role {
                Role::Controlling => "controlling",
                Role::Controlled => "controlled",
            },
            ice_local_username_fragment: ice.local_username_fragment.clone(),
            ice_state: ice_state(ice.state),
            dtls_state: dtls_state(dtls.state),
            dtls_role: match dtls.role {
                Some(DtlsRole::Client) => "client",
                Some(DtlsRole::Server) => "server",
                None => "unknown",
            },
            local_certificate_id,
            selected_candidate_pair_changes: ice.selected_pair_changes,
            selected_candidate_pair_id: ice.selected_pair.map(|pair| format!("CP{number}-{pair}")),
            remote_certificate_id,
            tls_version: dtls.version.map(|version| if version == "DTLS 1.3" { "FEFC" } else { "FEFD" }),
            dtls_cipher: dtls.cipher,
            tls_group: dtls.group,
            srtp_cipher: stats.srtp_profile.map(|profile| profile.as_str()),
            ccfb_messages_sent: path.map(|path| path.ccfb_messages_sent),
            ccfb_messages_received: path.map(|path| path.ccfb_messages_received),
        };
        self.add(id.clone(), Object::Transport(transport));
        for pair in &stats.ice.pairs {
            let discarded = stats.discarded.iter().find(|one| Some(one.path) == pair.path);
            let object = Pair {
                packets_discarded_on_send: discarded.map_or(0, |one| one.packets),
                bytes_discarded_on_send: discarded.map_or(0, |one| one.bytes),
                available_outgoing_bitrate: bitrate.filter(|_| ice.selected_pair == Some(pair.id)),
                ..candidate_pair(pair, number, &clock)
            };
            self.add(format!("CP{number}-{}", pair.id), Object::CandidatePair(object));
        }
        for candidate in &stats.ice.local_candidates {
            let object = Object::LocalCandidate(self::candidate(candidate, &id));
            self.add(format!("LC{number}-{}", candidate.id), object);
        }
        for candidate in &stats.ice.remote_candidates {
            let object = Object::RemoteCandidate(self::candidate(candidate, &id));
            self.add(format!("RC{number}-{}", candidate.id), object);
        }
    }

    /// Adds a certificate, unless it is there already. Returns its identifier.
    fn add_certificate(&mut self, der: &[u8]) -> String {
        let fingerprint = fingerprint(der);
        let id = format!("CF{fingerprint}");
        if self.report.get(&id).is_none() {
            let certificate = Certificate {
                fingerprint,
                fingerprint_algorithm: "sha-256",
                base64_certificate: STANDARD.encode(der),
                issuer_certificate_id: None,
            };
            self.add(id.clone(), Object::Certificate(certificate));
        }
        id
    }

    fn add_channel(&mut self, stats: &DataChannelStats) {
        let channel = Channel {
            label: stats.label.clone(),
            protocol: stats.protocol.clone(),
            state: match stats.state {
                DataChannelState::Connecting => "connecting",
                DataChannelState::Open => "open",
                DataChannelState::Closing => "closing",
                DataChannelState::Closed => "closed",
            },
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            messages_received: stats.messages_received,
            bytes_received: stats.bytes_received,
            data_channel_identifier: stats.stream,
        };
        self.add(format!("D{}", stats.id.to_u64()), Object::DataChannel(channel));
    }
}

/// Bits a second that the congestion window of data lets go.
fn available(stats: &SctpStats) -> Option<f64> {
    let round_trip = stats.association.smoothed_round_trip?.as_secs_f64();
    (round_trip > 0.0).then(|| stats.association.congestion_window as f64 * 8.0 / round_trip)
}

fn milliseconds(time: UnixTime) -> f64 {
    time.0.as_secs_f64() * 1000.0
}

fn fingerprint(der: &[u8]) -> String {
    let Fingerprint { digest, .. } = certificate::fingerprint(der);
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn candidate_pair(stats: &CandidatePairStats, transport: u32, clock: impl Fn(Instant) -> f64) -> Pair {
    let counters = &stats.counters;
    Pair {
        transport_id: format!("T{transport}"),
        local_candidate_id: format!("LC{transport}-{}", stats.local),
        remote_candidate_id: format!("RC{transport}-{}", stats.remote),
        state: match stats.state {
            PairState::Frozen => "frozen",
            PairState::Waiting => "waiting",
            PairState::InProgress => "in-progress",
            PairState::Succeeded => "succeeded",
            PairState::Failed => "failed",
        },
        nominated: stats.nominated,
        packets_sent: counters.packets_sent,
        packets_received: counters.packets_received,
        bytes_sent: counters.bytes_sent,
        bytes_received: counters.bytes_received,
        total_round_trip_time: counters.total_round_trip_time.as_secs_f64(),
        requests_received: counters.requests_received,
        requests_sent: counters.requests_sent,
        responses_received: counters.responses_received,
        responses_sent: counters.responses_sent,
        consent_requests_sent: counters.consent_requests_sent,
        last_packet_sent_timestamp: counters.last_packet_sent.map(&clock),
        last_packet_received_timestamp: counters.last_packet_received.map(&clock),
        current_round_trip_time: counters.current_round_trip_time.as_ref().map(Duration::as_secs_f64),
        ..Pair::default()
    }
}

fn candidate(stats: &CandidateStats, transport: &str) -> Candidate {
    let candidate = &stats.candidate;
    let (protocol, tcp_type) = match candidate.transport {
        CandidateTransport::Udp => ("udp", None),
        CandidateTransport::Tcp(TcpType::Active) => ("tcp", Some("active")),
        CandidateTransport::Tcp(TcpType::Passive) => ("tcp", Some("passive")),
        CandidateTransport::Tcp(TcpType::SimultaneousOpen) => ("tcp", Some("so")),
    };
    Candidate {
        transport_id: transport.to_owned(),
        address: match &candidate.address {
            CandidateAddress::Ip(address) => address.to_string(),
            CandidateAddress::Name(name) => name.to_string(),
        },
        port: candidate.port,
        protocol,
        candidate_type: match candidate.kind {
            CandidateKind::Host => "host",
            CandidateKind::ServerReflexive => "srflx",
            CandidateKind::PeerReflexive => "prflx",
            CandidateKind::Relayed => "relay",
        },
        priority: candidate.priority,
        foundation: candidate.foundation.to_string(),
        url: candidate.url.as_ref().map(ToString::to_string),
        relay_protocol: stats.relay_protocol.map(|transport| match transport {
            columba_ice::Transport::Udp => "udp",
            columba_ice::Transport::Tcp => "tcp",
            columba_ice::Transport::Tls => "tls",
        }),
        related_address: candidate.related.map(|related| related.ip().to_string()),
        related_port: candidate.related.map(|related| related.port()),
        username_fragment: candidate.ufrag.as_ref().map(ToString::to_string),
        tcp_type,
    }
}

fn ice_state(state: State) -> &'static str {
    match state {
        State::New => "new",
        State::Checking => "checking",
        State::Connected => "connected",
        State::Completed => "completed",
        State::Disconnected => "disconnected",
        State::Failed => "failed",
        State::Closed => "closed",
    }
}

fn dtls_state(state: DtlsTransportState) -> &'static str {
    match state {
        DtlsTransportState::New => "new",
        DtlsTransportState::Connecting => "connecting",
        DtlsTransportState::Connected => "connected",
        DtlsTransportState::Closed => "closed",
        DtlsTransportState::Failed => "failed",
    }
}
