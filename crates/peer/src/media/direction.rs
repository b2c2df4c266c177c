//! The direction of a transceiver.

use columba_sdp::attributes::Direction;

/// The W3C's `RTCRtpTransceiverDirection`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum TransceiverDirection {
    /// Sends and receives.
    #[default]
    SendRecv,
    /// Sends only.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither sends nor receives.
    Inactive,
    /// Has stopped for good. It cannot be set: see
    /// [`Peer::stop_transceiver`](crate::Peer::stop_transceiver).
    Stopped,
}

impl TransceiverDirection {
    /// Returns true if it sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Returns true if it receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// Returns the direction as descriptions have it; `None` if it is stopped.
    pub(crate) fn described(self) -> Option<Direction> {
        match self {
            Self::Stopped => None,
            other => Some(Direction::new(other.sends(), other.receives())),
        }
    }
}

impl From<Direction> for TransceiverDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::SendRecv => Self::SendRecv,
            Direction::SendOnly => Self::SendOnly,
            Direction::RecvOnly => Self::RecvOnly,
            Direction::Inactive => Self::Inactive,
        }
    }
}
