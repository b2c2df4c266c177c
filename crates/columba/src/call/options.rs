//! The options of a call.

use std::sync::Arc;
use std::time::Duration;

use columba_peer::{Configuration, Track};

use super::seal::Seal;
use crate::endpoint::Endpoint;

/// The options of a [`Call`](super::Call).
///
/// ```
/// use columba::call::{Admission, CallOptions};
///
/// let options = CallOptions { admission: Admission::OnRequest, ..CallOptions::default() };
/// ```
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// For every connection. The signaling server's ICE servers are added to its own, and ICE is
    /// restarted by the call alone.
    pub configuration: Configuration,
    /// The endpoint whose UDP socket the connections share. Default: sockets of their own.
    pub endpoint: Option<Endpoint>,
    /// True: no TURN server is used, and the relays of the other side are not either, so that a
    /// connection is direct or is not made.
    pub direct_only: bool,
    /// The peers to which a connection is made.
    pub admission: Admission,
    /// Seals what goes through the signaling server. Default: nothing does.
    pub seal: Option<Arc<dyn Seal>>,
    /// The media of every connection. Default none.
    pub media: CallMedia,
    /// The durations.
    pub timing: CallTiming,
}

/// The media of a call's connections.
///
/// There is room for one track of each kind in each direction, as the call page has it. The senders
/// and receivers are those of
/// [`PeerConnection::transceivers`](crate::PeerConnection::transceivers).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallMedia {
    /// The tracks that are sent to everybody, one of each kind at most.
    pub tracks: Vec<Track>,
    /// True if sound and pictures of the others are received:
    /// [`CallEvent::TrackAdded`](super::CallEvent::TrackAdded) comes for each.
    pub receives: bool,
}

/// The peers to which a connection is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// Everybody who is in the session.
    #[default]
    Automatic,
    /// Those for which [`Call::connect`](super::Call::connect) was called. What the others send
    /// meanwhile waits, the last 64 messages of each.
    OnRequest,
}

/// The durations of a call; `CALL_TIMING` in the browser's part has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTiming {
    /// The time for which the polite side waits for the first offer before it asks for it, and the
    /// pause after a failed negotiation. Default 3 s.
    pub patience: Duration,
    /// The time for which a connection may stay disconnected before ICE is restarted. Default 5 s.
    pub disconnected: Duration,
    /// The delay of the polite side, so that both do not restart at once. Default 1.5 s.
    pub polite: Duration,
    /// The time in which a connection must come up before the next attempt; twice as long after
    /// each connection that never came up, up to four times. Default 12 s.
    pub retry: Duration,
    /// The time for which an offer waits for its answer before it is sent again. Default 5 s.
    pub send_again: Duration,
    /// The time for which a peer that neither the server nor a connection reaches is kept. Default
    /// 15 s.
    pub absent: Duration,
    /// The time for each step of closing a connection. Default 2 s.
    pub close: Duration,
}

impl Default for CallTiming {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            patience: ms(3000),
            disconnected: ms(5000),
            polite: ms(1500),
            retry: ms(12_000),
            send_again: ms(5000),
            absent: ms(15_000),
            close: ms(2000),
        }
    }
}
