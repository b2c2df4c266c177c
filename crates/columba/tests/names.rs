//! Types in public fields and signatures can be named from `columba`: compiling this is the test.
//! That each of them has a name there is checked against the snapshots in `docs/api/`
//! (`xtask/src/names.rs`).
#![allow(missing_docs, reason = "a test")]

use std::net::SocketAddr;
use std::sync::Arc;

#[cfg(feature = "tls")]
use columba::rustls::ClientConfig;
use columba::{self as c, Configuration, Stats};

fn configuration(configuration: Configuration) {
    let Configuration {
        ice_servers,
        ice_transport_policy,
        certificates,
        ice,
        data,
        dtls_versions,
        key_log,
        ..
    } = configuration;
    let _: Vec<c::IceServer> = ice_servers;
    let _: c::TransportPolicy = ice_transport_policy;
    let _: Vec<c::Certificate> = certificates;
    let _: c::DataConfiguration = data;
    let _: c::DtlsVersions = dtls_versions;
    let _: Option<Arc<dyn c::KeyLog>> = key_log;
    let ice: c::IceConfig = ice;
    let _: c::AddressPolicy = ice.address_policy;
    let _: c::MdnsMode = ice.mdns;
    let _: c::TcpMode = ice.tcp;
    let _: c::IceTimings = ice.timings;
    let servers: Vec<c::IceServerConfig> = ice.servers;
    let Some(server) = servers.into_iter().next() else { return };
    let _: c::ServerKind = server.kind;
    let _: c::Host = server.host;
    let _: c::Transport = server.transport;
}

fn stats(stats: Stats) {
    let _: c::UnixTime = stats.timestamp;
    let _: c::Dropped = stats.dropped;
    let sctp: c::SctpStats = stats.sctp;
    let _: c::SctpTransportState = sctp.state;
    let _: c::SctpAssociationStats = sctp.association;
    let _: Option<c::DataChannelStats> = stats.channels.into_iter().next();
    let transports: Vec<c::TransportStats> = stats.transports;
    let Some(transport) = transports.into_iter().next() else { return };
    let _: c::TransportId = transport.id;
    let _: Option<c::SrtpProfile> = transport.srtp_profile;
    let dtls: c::DtlsStats = transport.dtls;
    let _: c::DtlsTransportState = dtls.state;
    let _: Option<c::DtlsRole> = dtls.role;
    let ice: c::IceStats = transport.ice;
    let _: Option<c::CandidateStats> = ice.local_candidates.into_iter().next();
    let whole: c::IceTransportStats = ice.transport;
    let _: c::IceRole = whole.role;
    let _: c::IceAgentState = whole.state;
    let pairs: Vec<c::CandidatePairStats> = ice.pairs;
    let Some(pair) = pairs.into_iter().next() else { return };
    let _: c::PairState = pair.state;
    let _: c::PairCounters = pair.counters;
    let _: Option<c::Path> = pair.path;
}

fn events(event: c::Event) {
    match event {
        c::Event::SignalingState(state) => is::<c::SignalingState>(state),
        c::Event::IceGatheringState(state) => is::<c::IceGatheringState>(state),
        c::Event::IceConnectionState(state) => is::<c::IceConnectionState>(state),
        c::Event::ConnectionState(state) => is::<c::PeerConnectionState>(state),
        c::Event::IceTransportState(transport, state) => {
            is::<(c::TransportId, c::IceConnectionState)>((transport, state))
        }
        c::Event::IceTransportGatheringState(transport, state) => {
            is::<(c::TransportId, c::IceGatheringState)>((transport, state))
        }
        c::Event::DtlsState(transport, state) => {
            is::<(c::TransportId, c::DtlsTransportState)>((transport, state))
        }
        c::Event::SctpState(state) => is::<c::SctpTransportState>(state),
        c::Event::IceCandidate(candidate) => is::<Option<c::IceCandidate>>(candidate),
        c::Event::IceCandidateError(error) => is::<c::CandidateError>(error),
        c::Event::SelectedCandidatePair(_, pair) => selected(*pair),
        c::Event::DataChannel(channel) => channel_of(&channel),
        c::Event::Error(error) => is::<c::PeerError>(error),
        _ => {}
    }
}

/// Accepts a value of the named type.
fn is<T>(_: T) {}

fn selected(pair: c::SelectedPair) {
    let path: c::Path = pair.path;
    let _: (c::Transport, SocketAddr) = (path.transport, path.remote);
    let candidate: c::Candidate = pair.local;
    let _: c::CandidateKind = candidate.kind;
    let _: c::CandidateTransport = candidate.transport;
    let _: c::CandidateAddress = candidate.address;
}

fn channel_of(channel: &c::DataChannel) {
    let _: c::DataChannelState = channel.state();
    let _: c::Priority = channel.priority();
    let _: Option<c::Message> = channel.try_recv();
}

fn channel_stats(stats: &c::DataChannelStats) -> (c::ChannelId, c::DataChannelState) {
    (stats.id, stats.state)
}

#[cfg(feature = "tls")]
fn builder(tls: Arc<ClientConfig>) -> c::PeerConnectionBuilder {
    c::PeerConnection::builder().tls(tls)
}

#[cfg(feature = "signaling")]
fn signaling(channel: &c::signaling::SignalingChannel) -> (Vec<c::IceServer>, Option<c::UnixTime>) {
    let c::signaling::IceServers { servers, expire, .. } = channel.ice_servers();
    (servers, expire)
}

#[test]
fn all_types_in_public_fields_have_names() {
    configuration(Configuration::default());
    let _ = (stats, events, channel_stats);
    #[cfg(feature = "tls")]
    let _ = builder;
    #[cfg(feature = "signaling")]
    let _ = signaling;
}
