//! The hook that seals what goes through the signaling server.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use columba_signal::PeerId;

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Seals the messages of a call, and opens those of the others, so that the signaling server can
/// neither read nor change nor make any: with a key that both sides have from elsewhere, a code
/// that one person tells another, or a link.
///
/// What is sealed is the JSON of a whole message, with the ids of its sender and receiver in it. It
/// fails closed: with a hook, a message that is not sealed, or that [`open`](Self::open) refuses,
/// is dropped and reported ([`CallEvent::SealRefused`](super::CallEvent::SealRefused)), and one
/// that
/// [`seal`](Self::seal) refuses is not sent.
///
/// The futures may take their time, as while a key is still being agreed: the messages of that peer
/// wait behind them, in order, and no others.
pub trait Seal: Debug + Send + Sync + 'static {
    /// Seals a message to this peer.
    ///
    /// # Errors
    /// It cannot be sealed; it is not sent.
    fn seal(&self, peer: PeerId, text: String) -> BoxFuture<'_, Result<String, SealError>>;

    /// Opens a message from this peer.
    ///
    /// # Errors
    /// It was not sealed with the right key, or was changed; it is dropped.
    fn open(&self, peer: PeerId, sealed: String) -> BoxFuture<'_, Result<String, SealError>>;
}

/// The reason for which a message is not sealed or not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealError(pub String);
