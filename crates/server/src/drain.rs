//! Draining: every owner of something open is notified once, and has a little time to let go.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time that clients get to finish after SIGTERM: with what follows, the process is gone within
/// 10 s.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The time in which the relay must close its ports then.
pub(crate) const CLOSING: Duration = Duration::from_secs(1);

/// The time after which clients get `going-away` and are disconnected.
pub(crate) const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// Tells whether the server is stopping. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Drain(watch::Sender<Option<Instant>>);

impl Drain {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// From now on the server is stopping.
    pub(crate) fn begin(&self) {
        self.0.send_if_modified(|begun| begun.replace(Instant::now()).is_none());
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns when the server is stopping.
    pub(crate) async fn begun(&self) {
        let mut receiver = self.0.subscribe();
        // An error would mean that the sender is gone, which is here.
        let _ = receiver.wait_for(Option::is_some).await;
    }
}
