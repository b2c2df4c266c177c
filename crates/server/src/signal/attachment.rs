//! One connection's hold on the relay: it waits for events, and disconnects when it is dropped.

use std::sync::Arc;

use columba_signal::{ConnectionId, ErrorCode, Frame, IceServers, Input, PeerId};
use tokio::sync::{Notify, watch};

use super::service::Signal;

/// Why the relay is done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    /// The WebSocket close code.
    pub(super) code: u16,
    pub(super) error: Option<ErrorCode>,
}

/// The wake-up of a connection's task.
#[derive(Debug, Default)]
pub(super) struct Wake {
    writable: Notify,
    closing: watch::Sender<Option<Closing>>,
}

impl Wake {
    pub(super) fn writable(&self) {
        self.writable.notify_one();
    }

    pub(super) fn close(&self, closing: Closing) {
        self.closing.send_replace(Some(closing));
        self.writable.notify_one();
    }
}

/// The next step for a connection.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame),
    /// Everything has been sent.
    Closed(Closing),
}

/// A connection of the relay. Dropping it disconnects.
#[derive(Debug)]
pub(super) struct Attachment {
    signal: Arc<Signal>,
    id: ConnectionId,
    wake: Arc<Wake>,
}

impl Attachment {
    pub(super) fn new(signal: Arc<Signal>, id: ConnectionId, wake: Arc<Wake>) -> Self {
        Self { signal, id, wake }
    }

    pub(super) fn input(&self, input: Input<'_>) {
        self.signal.with(|relay, now| relay.handle_input(now, self.id, input));
    }

    /// The next frame if there is one already.
    pub(super) fn try_next(&self, ice_servers: &dyn Fn(PeerId) -> IceServers) -> Option<Frame> {
        self.signal.with(|relay, now| relay.poll_transmit(now, self.id, ice_servers))
    }

    /// Waits for the next frame, or the end.
    pub(super) async fn next(&self, ice_servers: &(dyn Fn(PeerId) -> IceServers + Sync)) -> Next {
        loop {
            // Looked at first: what was queued before the end was announced must still be pulled.
            let closing = *self.wake.closing.borrow();
            if let Some(frame) = self.try_next(ice_servers) {
                return Next::Frame(frame);
            }
            if let Some(closing) = closing {
                return Next::Closed(closing);
            }
            self.wake.writable.notified().await;
        }
    }

    /// Waits until the relay is done with this connection, whatever is still unsent.
    pub(super) async fn closing(&self) {
        let mut receiver = self.wake.closing.subscribe();
        // An error would mean that the sender is gone, which is here.
        let _ = receiver.wait_for(Option::is_some).await;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.signal.disconnect(self.id);
    }
}
