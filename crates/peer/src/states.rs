//! The states of a peer connection, as the W3C defines them.

/// `RTCSignalingState`: where the exchange of descriptions stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignalingState {
    /// No exchange is under way.
    #[default]
    Stable,
    /// An own offer is out.
    HaveLocalOffer,
    /// The other side's offer has come.
    HaveRemoteOffer,
    /// The other side's offer has been answered for the time being.
    HaveLocalPrAnswer,
    /// The own offer has been answered for the time being.
    HaveRemotePrAnswer,
    /// The connection is closed.
    Closed,
}

/// `RTCIceGatheringState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IceGatheringState {
    /// Not begun.
    #[default]
    New,
    /// Own candidates are being looked for.
    Gathering,
    /// All are found.
    Complete,
}

/// `RTCIceConnectionState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IceConnectionState {
    /// Nothing to check yet.
    #[default]
    New,
    /// Looking for a path.
    Checking,
    /// There is a path; a better one may be found.
    Connected,
    /// There is a path, and nothing is left to be checked.
    Completed,
    /// The other side has fallen silent; it may come back by itself.
    Disconnected,
    /// No path works; only an ICE restart helps.
    Failed,
    /// The connection is closed.
    Closed,
}

/// `RTCPeerConnectionState`: ICE and DTLS together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerConnectionState {
    /// Nothing has begun.
    #[default]
    New,
    /// ICE or DTLS is at work.
    Connecting,
    /// There is a path, and the other side has proven who it is.
    Connected,
    /// The other side has fallen silent; it may come back by itself.
    Disconnected,
    /// No path works, or the other side is not who it should be.
    Failed,
    /// The connection is closed.
    Closed,
}

/// `RTCDtlsTransportState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DtlsTransportState {
    /// Not begun.
    #[default]
    New,
    /// The handshake is under way.
    Connecting,
    /// The handshake is done, and the other side's certificate is the one that its description named.
    Connected,
    /// Closed by either side.
    Closed,
    /// The handshake failed.
    Failed,
}

/// `RTCSctpTransportState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SctpTransportState {
    /// Not established yet.
    #[default]
    Connecting,
    /// Established.
    Connected,
    /// Closed or given up.
    Closed,
}

/// The state of the whole, from those of its parts: the W3C's "RTCPeerConnectionState" in its order of
/// precedence.
pub(crate) fn connection_state(
    closed: bool,
    ice: IceConnectionState,
    dtls: DtlsTransportState,
) -> PeerConnectionState {
    use DtlsTransportState as Dtls;
    use IceConnectionState as Ice;
    match (ice, dtls) {
        _ if closed => PeerConnectionState::Closed,
        (Ice::Failed, _) | (_, Dtls::Failed) => PeerConnectionState::Failed,
        (Ice::Disconnected, _) => PeerConnectionState::Disconnected,
        (Ice::New | Ice::Closed, Dtls::New | Dtls::Closed) => PeerConnectionState::New,
        (Ice::New | Ice::Checking, _) | (_, Dtls::New | Dtls::Connecting) => PeerConnectionState::Connecting,
        (Ice::Connected | Ice::Completed | Ice::Closed, Dtls::Connected | Dtls::Closed) => {
            PeerConnectionState::Connected
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_follows_its_parts_in_the_w3cs_order() {
        use {DtlsTransportState as Dtls, IceConnectionState as Ice, PeerConnectionState as All};
        for (ice, dtls, all) in [
            (Ice::New, Dtls::New, All::New),
            (Ice::Checking, Dtls::New, All::Connecting),
            (Ice::Connected, Dtls::New, All::Connecting),
            (Ice::Connected, Dtls::Connecting, All::Connecting),
            (Ice::Completed, Dtls::Connected, All::Connected),
            (Ice::Checking, Dtls::Connected, All::Connecting),
            (Ice::Disconnected, Dtls::Connected, All::Disconnected),
            (Ice::Failed, Dtls::Connected, All::Failed),
            (Ice::Connected, Dtls::Failed, All::Failed),
            (Ice::Connected, Dtls::Closed, All::Connected),
        ] {
            assert_eq!(connection_state(false, ice, dtls), all, "{ice:?} {dtls:?}");
        }
        assert_eq!(connection_state(true, Ice::Connected, Dtls::Connected), All::Closed);
    }
}
