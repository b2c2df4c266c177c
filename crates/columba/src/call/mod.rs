//! A call: a connection to everybody in a session, made and kept up.
//!
//! [`Call::join`] enters a session of a signaling server. From then on a connection to each other
//! member is made (by perfect negotiation), mended when it breaks (by ICE restarts), and made anew
//! where that is not enough. The application opens data channels on them, and reads [`CallEvents`].
//! Once a connection is up, it needs the signaling server no more: losing it, or its restart,
//! disturbs no connection.
//!
//! The browser's `Call` (`web/src/call.js`) speaks the same protocol, which `docs/call.md`
//! describes.
//!
//! ```no_run
//! use columba::call::{Call, CallEvent, CallOptions};
//! use columba::signaling::SignalingOptions;
//! use columba::DataChannelInit;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = SignalingOptions::join("https://example.org", "a-session".parse()?);
//! let (call, mut events) = Call::join(server, CallOptions::default()).await?;
//! while let Some(event) = events.recv().await {
//!     match event {
//!         CallEvent::PeerConnected { peer, .. } => {
//!             let channel = call.open_channel(peer, "greetings", DataChannelInit::default())?;
//!             channel.send("hello").await?;
//!         }
//!         CallEvent::ChannelOpened { peer, channel } => {
//!             println!("{peer} says {:?}", channel.recv().await);
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod events;
mod hub;
mod link;
mod message;
mod negotiation;
mod options;
mod post;
mod remote;
mod seal;
mod signaling;
mod state;
#[cfg(test)]
mod tests;
mod timers;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use columba_peer::DataChannelInit;
use columba_signal::{PeerId, SessionToken};
use futures_util::Stream;
use serde::Serialize;

pub use error::CallError;
pub use events::{CallEvent, CallEvents, PeerEnd};
pub use options::{Admission, CallMedia, CallOptions, CallTiming};
pub use seal::{BoxFuture, Seal, SealError};

use self::hub::Hub;
use self::signaling::Signaling;
use self::state::{PeerRequest, Shared};
use crate::connection::PeerConnection;
use crate::data_channel::DataChannel;
use crate::signaling::{SignalingChannel, SignalingError, SignalingEvent, SignalingEvents, SignalingOptions};

/// The events of the signaling channel.
type Source = Pin<Box<dyn Stream<Item = SignalingEvent> + Send>>;

/// A call with everybody in a session. Cheap to clone; when the last handle is dropped, the call is
/// left.
#[derive(Clone, Debug)]
pub struct Call {
    owner: Arc<Owner>,
}

/// Leaves the call when the last handle goes.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    signaling: Arc<dyn Signaling>,
}

impl Call {
    /// Enters a session of a signaling server. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// As [`SignalingChannel::open`].
    pub async fn join(
        server: SignalingOptions,
        options: CallOptions,
    ) -> Result<(Self, CallEvents), SignalingError> {
        let (channel, events) = SignalingChannel::open(server).await?;
        Self::over(channel, events, options)
    }

    /// Begins a call over a signaling channel, which belongs to it from then on. To be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// [`SignalingError::Closed`]: the channel is closed, or was never open.
    pub fn over(
        channel: SignalingChannel,
        events: SignalingEvents,
        options: CallOptions,
    ) -> Result<(Self, CallEvents), SignalingError> {
        let source = futures_util::stream::unfold(events, |mut events| async move {
            events.recv().await.map(|event| (event, events))
        });
        Self::begin(Arc::new(channel), Box::pin(source), options)
    }

    fn begin(
        signaling: Arc<dyn Signaling>,
        source: Source,
        options: CallOptions,
    ) -> Result<(Self, CallEvents), SignalingError> {
        let own = signaling.peer_id().ok_or(SignalingError::Closed)?;
        let shared = Arc::new(Shared::default());
        let hub = Hub::new(shared.clone(), signaling.clone(), own, options);
        tokio::spawn(hub.run(source));
        let owner = Arc::new(Owner { shared: shared.clone(), signaling });
        Ok((Self { owner }, CallEvents { shared }))
    }

    /// The own peer id.
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        self.owner.signaling.peer_id()
    }

    /// The session's token, which others join with; `None` if clients meet by id.
    #[must_use]
    pub fn session(&self) -> Option<SessionToken> {
        self.owner.signaling.session()
    }

    /// The other participants, connected or not.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerId> {
        self.owner.shared.peers()
    }

    /// Makes a connection to this peer, with [`Admission::OnRequest`].
    pub fn connect(&self, peer: PeerId) {
        self.owner.shared.request(peer, PeerRequest::Connect);
    }

    /// Ends the connection to this peer: says goodbye, and listens to it no more until it leaves
    /// the session.
    pub fn dismiss(&self, peer: PeerId) {
        self.owner.shared.request(peer, PeerRequest::Dismiss);
    }

    /// The connection to this peer, between [`CallEvent::PeerConnected`] and its end.
    ///
    /// # Errors
    /// There is no such peer, or no connection to it now.
    pub fn connection(&self, peer: PeerId) -> Result<PeerConnection, CallError> {
        self.owner.shared.connection(peer)
    }

    /// Opens a data channel to this peer, on the present connection. Labels that begin with
    /// `columba` are the call's own.
    ///
    /// # Errors
    /// There is no such peer, no connection to it now, or the connection refuses the label or the
    /// options.
    pub fn open_channel(
        &self,
        peer: PeerId,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannel, CallError> {
        Ok(self.connection(peer)?.create_data_channel(label, init)?)
    }

    /// Sends a text to this peer on the call's own channel, ordered and reliable; it waits for the
    /// connection. The call page sends JSON objects with a `type`, of which `bye` is the call's
    /// own; a text that was under way when a connection had to be made anew may be lost.
    ///
    /// # Errors
    /// There is no such peer, 256 texts wait for it already, the text has more than 64 KiB, or the
    /// call is over.
    pub fn send(&self, peer: PeerId, text: impl Into<String>) -> Result<(), CallError> {
        self.owner.shared.add_text(peer, text.into())
    }

    /// Sends a message through the signaling server, which can read it: it arrives as
    /// [`CallEvent::Signal`]. An object must have no field `call`.
    ///
    /// # Errors
    /// As [`SignalingChannel::send`].
    pub fn send_signal<T: Serialize + ?Sized>(&self, peer: PeerId, data: &T) -> Result<(), SignalingError> {
        let data = serde_json::value::to_raw_value(data)
            .map_err(|error| SignalingError::NotJson { reason: error.to_string() })?;
        self.owner.signaling.send(peer, &data)
    }

    /// Leaves the call: sends the texts that wait, for which there is so much time, says goodbye to
    /// everybody, closes the connections, and leaves the session. Returns the number of texts that
    /// were never sent.
    pub async fn leave(&self, patience: Duration) -> usize {
        self.owner.shared.leave(patience);
        self.owner.shared.ended().await
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.leave(Duration::ZERO);
    }
}
