//! The states of a peer connection, as the W3C defines them.

/// `RTCSignalingState`: the state of the exchange of descriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignalingState {
    /// No exchange is under way.
    #[default]
    Stable,
    /// A local offer was set.
    HaveLocalOffer,
    /// An offer of the other side's was set.
    HaveRemoteOffer,
    /// A local provisional answer was set.
    HaveLocalPrAnswer,
    /// A provisional answer of the other side's was set.
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
    /// Local candidates are being gathered.
    Gathering,
    /// All candidates were found.
    Complete,
}

/// `RTCIceConnectionState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IceConnectionState {
    /// There is nothing to check yet.
    #[default]
    New,
    /// Looking for a path.
    Checking,
    /// There is a path; a better one may be found.
    Connected,
    /// There is a path, and no checks are left.
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
    /// No transport has begun.
    #[default]
    New,
    /// ICE or DTLS is in progress.
    Connecting,
    /// There is a path, and the other side has shown the right certificate.
    Connected,
    /// The other side has fallen silent; it may come back by itself.
    Disconnected,
    /// No path works, or DTLS has failed.
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
    /// The handshake is done, and the other side's certificate is the one that its description
    /// named.
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

impl IceGatheringState {
    /// Returns the state of all transports together: the W3C's `RTCIceGatheringState`.
    pub(crate) fn of(transports: impl Iterator<Item = Self> + Clone) -> Self {
        if transports.clone().any(|state| state == Self::Gathering) {
            Self::Gathering
        } else if transports.clone().count() > 0 && transports.clone().all(|state| state == Self::Complete) {
            Self::Complete
        } else {
            Self::New
        }
    }
}

impl IceConnectionState {
    /// Returns the state of all transports together: the W3C's `RTCIceConnectionState` in its order
    /// of precedence.
    pub(crate) fn of(transports: impl Iterator<Item = Self> + Clone) -> Self {
        let any = |one: &[Self]| transports.clone().any(|state| one.contains(&state));
        let all = |one: &[Self]| transports.clone().all(|state| one.contains(&state));
        if all(&[Self::Closed]) && transports.clone().count() > 0 {
            Self::Closed
        } else if any(&[Self::Failed]) {
            Self::Failed
        } else if any(&[Self::Disconnected]) {
            Self::Disconnected
        } else if all(&[Self::New, Self::Closed]) {
            Self::New
        } else if any(&[Self::New, Self::Checking]) {
            Self::Checking
        } else if all(&[Self::Completed, Self::Closed]) {
            Self::Completed
        } else {
            Self::Connected
        }
    }
}

impl PeerConnectionState {
    /// Returns the state of all transports together: the W3C's `RTCPeerConnectionState` in its
    /// order of precedence.
    pub(crate) fn of(
        closed: bool,
        transports: impl Iterator<Item = (IceConnectionState, DtlsTransportState)> + Clone,
    ) -> Self {
        use {DtlsTransportState as Dtls, IceConnectionState as Ice};
        let any = |ice: &[Ice], dtls: &[Dtls]| {
            transports.clone().any(|(one, other)| ice.contains(&one) || dtls.contains(&other))
        };
        let is_new = |(ice, dtls): (Ice, Dtls)| {
            matches!(ice, Ice::New | Ice::Closed) && matches!(dtls, Dtls::New | Dtls::Closed)
        };
        if closed {
            Self::Closed
        } else if any(&[Ice::Failed], &[Dtls::Failed]) {
            Self::Failed
        } else if any(&[Ice::Disconnected], &[]) {
            Self::Disconnected
        } else if transports.clone().all(is_new) {
            Self::New
        } else if any(&[Ice::New, Ice::Checking], &[Dtls::New, Dtls::Connecting]) {
            Self::Connecting
        } else {
            Self::Connected
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_transport_decides_in_the_order_of_the_w3c() {
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
            assert_eq!(All::of(false, [(ice, dtls)].into_iter()), all, "{ice:?} {dtls:?}");
        }
        assert_eq!(All::of(true, [(Ice::Connected, Dtls::Closed)].into_iter()), All::Closed);
    }

    #[test]
    fn several_transports_are_as_far_as_the_slowest() {
        use {DtlsTransportState as Dtls, IceConnectionState as Ice, PeerConnectionState as All};
        for (one, other, all) in [
            (Ice::New, Ice::New, Ice::New),
            (Ice::New, Ice::Closed, Ice::New),
            (Ice::New, Ice::Connected, Ice::Checking),
            (Ice::Checking, Ice::Completed, Ice::Checking),
            (Ice::Connected, Ice::Completed, Ice::Connected),
            (Ice::Completed, Ice::Closed, Ice::Completed),
            (Ice::Disconnected, Ice::Completed, Ice::Disconnected),
            (Ice::Disconnected, Ice::Failed, Ice::Failed),
            (Ice::Closed, Ice::Closed, Ice::Closed),
        ] {
            assert_eq!(Ice::of([one, other].into_iter()), all, "{one:?} {other:?}");
            assert_eq!(Ice::of([other, one].into_iter()), all, "{other:?} {one:?}");
        }
        assert_eq!(Ice::of(std::iter::empty()), Ice::New);
        let connected = (Ice::Connected, Dtls::Connected);
        for (other, all) in [
            (connected, All::Connected),
            ((Ice::New, Dtls::New), All::Connecting),
            ((Ice::Connected, Dtls::Connecting), All::Connecting),
            ((Ice::Disconnected, Dtls::Connected), All::Disconnected),
            ((Ice::Connected, Dtls::Failed), All::Failed),
        ] {
            assert_eq!(All::of(false, [connected, other].into_iter()), all, "{other:?}");
        }
        use IceGatheringState as Gathering;
        for (one, other, all) in [
            (Gathering::New, Gathering::Complete, Gathering::New),
            (Gathering::Gathering, Gathering::Complete, Gathering::Gathering),
            (Gathering::Complete, Gathering::Complete, Gathering::Complete),
        ] {
            assert_eq!(Gathering::of([one, other].into_iter()), all, "{one:?} {other:?}");
        }
    }
}
