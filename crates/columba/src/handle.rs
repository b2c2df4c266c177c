//! The claim of handles on their connection.

use std::pin::pin;
use std::sync::Arc;

use columba_peer::TransceiverId;

use crate::media_signals::MediaSignals;
use crate::shared::Shared;

/// Shared by all handles to a connection and to its data channels; closes the connection when the
/// last of them is dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// Waits until `next` has something of a transceiver's sender; `None` once the connection or
    /// the transceiver is gone. Cancelling loses nothing.
    pub(crate) async fn next_requested<T>(
        &self,
        id: TransceiverId,
        next: impl Fn(&MediaSignals) -> Option<T>,
    ) -> Option<T> {
        let signals = self.shared.lock().media(id)?;
        loop {
            let mut changed = pin!(signals.requested.notified());
            changed.as_mut().enable();
            {
                let mut state = self.shared.lock();
                if let Some(value) = next(&signals) {
                    return Some(value);
                }
                state.media(id)?;
            }
            changed.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}
