//! The interface of a stack to the measurements.

use std::time::Duration;

use bytes::Bytes;

use crate::path::Path;

/// A result, or the error that ends a measurement.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bytes that may wait to be sent, where a stack asks for a bound: our library's own default.
pub(crate) const SEND_BUFFER: usize = 1 << 20;

/// Bytes of the largest UDP payload where it is pinned: what every path carries.
pub(crate) const PINNED_MTU: u16 = 1200;

/// The longest time that a connection may take to open; the slowest stack needs two seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// One end of an open data channel, and the connection below it.
pub(crate) trait End: Sized + Send + Sync + 'static {
    /// Connects two ends over a path, with one reliable, ordered channel that is open at both. The
    /// first has created it.
    fn connect(path: &Path) -> impl Future<Output = Outcome<(Self, Self)>> + Send;

    /// Sends a message, once there is room for it.
    fn send(&self, message: Bytes) -> impl Future<Output = Outcome<()>> + Send;

    /// Waits for a message; returns its length.
    fn receive(&self) -> impl Future<Output = Outcome<usize>> + Send;

    /// Closes the connection.
    fn close(&self) -> impl Future<Output = Outcome<()>> + Send;
}

/// [`End::connect`], for as long as a stack is given.
pub(crate) async fn connect<E: End>(path: &Path) -> Outcome<(E, E)> {
    tokio::time::timeout(PATIENCE, E::connect(path)).await.map_err(|_| "no open channel within 15 s")?
}
