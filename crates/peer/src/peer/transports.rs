//! The transports as objects: the W3C's `RTCIceTransport`, `RTCDtlsTransport`, `RTCSctpTransport`.

use columba_ice::{Candidate, Credentials, Role, SelectedPair};

use super::Peer;
use crate::jsep::candidate::from_sdp;
use crate::states::{DtlsTransportState, IceConnectionState, IceGatheringState, SctpTransportState};
use crate::transport::{Transport, TransportId};

/// The W3C's `RTCIceTransport`, as it is now. Its identity is the [`TransportId`], which stays
/// through restarts and rollbacks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct IceTransport {
    /// Its identity.
    pub id: TransportId,
    /// The local role; `None` as long as no description has settled it.
    pub role: Option<Role>,
    /// Its state, in the words of the connection's.
    pub state: IceConnectionState,
    /// The state of gathering.
    pub gathering_state: IceGatheringState,
    /// The local candidates that were announced under the local parameters.
    pub local_candidates: Vec<Candidate>,
    /// The candidates of the other side's description, with those that came since.
    pub remote_candidates: Vec<Candidate>,
    /// The local parameters in the local description.
    pub local_parameters: Option<Credentials>,
    /// The other side's parameters in its description.
    pub remote_parameters: Option<Credentials>,
    /// The pair over which data goes.
    pub selected_pair: Option<SelectedPair>,
}

/// The W3C's `RTCDtlsTransport`, as it is now, over the ICE transport of the same identity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DtlsTransport {
    /// Its identity.
    pub id: TransportId,
    /// Its state.
    pub state: DtlsTransportState,
    /// The other side's certificate (DER), once it was found to be right.
    pub remote_certificate: Option<Vec<u8>>,
}

/// The W3C's `RTCSctpTransport`, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SctpTransport {
    /// The DTLS transport below.
    pub transport: TransportId,
    /// Its state.
    pub state: SctpTransportState,
    /// Bytes of the longest message that can be sent: the other side's limit, or what this side
    /// lets wait, whichever is less.
    pub max_message_size: u64,
    /// The number of channels that there can be, once connected: the streams that both sides have
    /// agreed on in each direction, whichever are fewer.
    pub max_channels: Option<u16>,
}

impl Peer {
    /// Returns the transports that sections of the descriptions use, in the order in which they
    /// came.
    #[must_use]
    pub fn transports(&self) -> Vec<TransportId> {
        self.transports.iter().filter(|one| one.is_used()).map(Transport::id).collect()
    }

    /// Returns a transport's ICE; `None` if there is no such transport.
    #[must_use]
    pub fn ice_transport(&self, id: TransportId) -> Option<IceTransport> {
        let transport = self.transports.iter().find(|one| one.id() == id)?;
        let local = self.jsep.local_credentials(id);
        let found = local.and_then(|local| transport.candidates(local)).map(|one| one.found.clone());
        let remote = self.jsep.remote_transport(id);
        let theirs = self.jsep.remote_candidates(id);
        let ufrag = remote.map(|remote| &*remote.ice.credentials.ufrag);
        Some(IceTransport {
            id,
            role: self.jsep.has_ice_role().then(|| transport.ice_role()),
            state: transport.ice_state(),
            gathering_state: transport.gathering_state(),
            local_candidates: found.unwrap_or_default(),
            remote_candidates: theirs.iter().filter_map(|one| from_sdp(one, ufrag)).collect(),
            local_parameters: local.cloned(),
            remote_parameters: remote.map(|remote| remote.ice.credentials.clone()),
            selected_pair: transport.current_pair(),
        })
    }

    /// Returns a transport's DTLS; `None` if there is no such transport.
    #[must_use]
    pub fn dtls_transport(&self, id: TransportId) -> Option<DtlsTransport> {
        let transport = self.transports.iter().find(|one| one.id() == id)?;
        let remote_certificate = transport.remote_certificate().map(<[u8]>::to_vec);
        Some(DtlsTransport { id, state: transport.dtls_state(), remote_certificate })
    }

    /// Returns the W3C's `sctp`; `None` as long as no section for data is agreed.
    #[must_use]
    pub fn sctp_transport(&self) -> Option<SctpTransport> {
        self.data.sctp_transport(self.configuration.data.send_buffer as u64)
    }
}
