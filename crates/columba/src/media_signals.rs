//! The waiters for the media of a transceiver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::sender::EncoderRequest;

/// A transceiver as its handles and the driver share it.
#[derive(Debug, Default)]
pub(crate) struct MediaSignals {
    /// Frames wait, or the transceiver is gone.
    pub(crate) readable: Notify,
    /// A request waits, or the transceiver is gone.
    pub(crate) requested: Notify,
    /// One of each kind and encoding at most.
    requests: Mutex<VecDeque<EncoderRequest>>,
}

impl MediaSignals {
    /// Adds a request; it takes the place of one of its kind.
    pub(crate) fn add_request(&self, request: EncoderRequest) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        match requests.iter_mut().find(|other| is_same(other, &request)) {
            Some(other) => *other = request,
            None => requests.push_back(request),
        }
    }

    pub(crate) fn next_request(&self) -> Option<EncoderRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn wake(self: &Arc<Self>) {
        self.readable.notify_waiters();
        self.requested.notify_waiters();
    }
}

fn is_same(one: &EncoderRequest, other: &EncoderRequest) -> bool {
    use EncoderRequest::{Bitrate, KeyFrame};
    match (one, other) {
        (KeyFrame { rid: one }, KeyFrame { rid: other })
        | (Bitrate { rid: one, .. }, Bitrate { rid: other, .. }) => one == other,
        _ => false,
    }
}
