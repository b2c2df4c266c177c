//! The options of a signaling channel.

use std::sync::Arc;
use std::time::Duration;

use columba_signal::{ClientId, ClientMessage, Instance, JoinKey, SessionToken, Timing};

/// The server, the session, and the own name.
#[derive(Clone, Debug)]
pub struct SignalingOptions {
    /// The address of the signaling service, such as `https://example.org/v1/signal`; without a
    /// path, `/v1/signal` is meant. Its scheme is `http`, `https`, `ws` or `wss`.
    pub url: String,
    /// The way to meet others.
    pub entry: Entry,
    /// The name by which the others know this client; for [`Entry::Meet`] it is needed, and part of
    /// it.
    pub client_id: Option<ClientId>,
    /// The key that the server asks for on entering, if it does.
    pub join_key: Option<JoinKey>,
    /// For `https` and `wss`: how certificates are checked. Default `None`: as the system does it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The timeouts.
    pub timing: SignalingTiming,
}

/// The ways to meet others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Everybody who knows the token.
    Join(SessionToken),
    /// Everybody who knows a new token, which the server makes.
    Create,
    /// By client ids: be reachable under the own one, and perhaps ask for another.
    Meet {
        /// The own id.
        id: ClientId,
        /// The id of the client asked for.
        with: Option<ClientId>,
    },
}

/// The timeouts of a signaling channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalingTiming {
    /// To connect, TLS and the WebSocket's handshake included. Default 10 s.
    pub open: Duration,
    /// The server's answer to the first message. Default 5 s.
    pub answer: Duration,
    /// The silence after which the server is asked for a sign of life. Default 12 s.
    pub silence: Duration,
    /// The time in which it must give one. Default 5 s.
    pub probe: Duration,
    /// The time for which an event may stay unacknowledged; the protocol allows 1 s. Default 400
    /// ms.
    pub acknowledge: Duration,
    /// The first pause between two attempts to connect again; it doubles each time. Default 250 ms.
    pub backoff: Duration,
    /// The longest such pause. Default 5 s.
    pub backoff_max: Duration,
    /// The time for which a message to an absent peer waits for its return. Default 60 s.
    pub hold: Duration,
}

impl SignalingOptions {
    /// To enter the session with this token.
    pub fn join(url: impl Into<String>, session: SessionToken) -> Self {
        Self::new(url.into(), Entry::Join(session))
    }

    /// To enter a new session; [`SignalingChannel::session`](super::SignalingChannel::session) has
    /// its token.
    pub fn create(url: impl Into<String>) -> Self {
        Self::new(url.into(), Entry::Create)
    }

    /// To be reachable under the client id `id`, and to ask for the client `with`.
    pub fn meet(url: impl Into<String>, id: ClientId, with: Option<ClientId>) -> Self {
        Self::new(url.into(), Entry::Meet { id, with })
    }

    fn new(url: String, entry: Entry) -> Self {
        Self { url, entry, client_id: None, join_key: None, tls: None, timing: SignalingTiming::default() }
    }

    /// The message that enters.
    pub(super) fn greeting(&self, instance: Instance) -> ClientMessage {
        let (instance, id) = (Some(instance), self.client_id.clone());
        let key = self.join_key.clone();
        match self.entry.clone() {
            Entry::Join(session) => ClientMessage::Join { session, instance, id, key },
            Entry::Create => ClientMessage::Create { instance, id, key },
            Entry::Meet { id, with } => ClientMessage::Meet { id, with, instance, key },
        }
    }
}

impl SignalingTiming {
    /// Those of the machine below.
    pub(super) fn client(&self) -> Timing {
        let Self { open: _, answer, silence, probe, acknowledge, backoff, backoff_max, hold } = self.clone();
        let close = Timing::default().close;
        Timing { answer, silence, probe, acknowledge, backoff, backoff_max, hold, close }
    }
}

impl Default for SignalingTiming {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            open: ms(10_000),
            answer: ms(5000),
            silence: ms(12_000),
            probe: ms(5000),
            acknowledge: ms(400),
            backoff: ms(250),
            backoff_max: ms(5000),
            hold: ms(60_000),
        }
    }
}
