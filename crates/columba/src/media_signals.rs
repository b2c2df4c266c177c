//! The waiters for the media of a transceiver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::sender::EncoderRequest;

/// Changes of tones that wait at most; then the oldest is forgotten.
const MAX_TONES: usize = 64;

/// A transceiver as its handles and the driver share it.
#[derive(Debug, Default)]
pub(crate) struct MediaSignals {
    /// Frames wait, or the transceiver is gone.
    pub(crate) readable: Notify,
    /// A request waits, or the transceiver is gone.
    pub(crate) requested: Notify,
    /// One of each kind and encoding at most.
    requests: Mutex<VecDeque<EncoderRequest>>,
    /// Tones that have begun, and `None` for their end; at most [`MAX_TONES`].
    tones: Mutex<VecDeque<Option<char>>>,
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

    pub(crate) fn add_tone(&self, tone: Option<char>) {
        let mut tones = self.tones.lock().unwrap_or_else(PoisonError::into_inner);
        if tones.len() == MAX_TONES {
            tones.pop_front();
        }
        tones.push_back(tone);
    }

    pub(crate) fn next_tone(&self) -> Option<Option<char>> {
        self.tones.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn wake(self: &Arc<Self>) {
        self.readable.notify_waiters();
        self.requested.notify_waiters();
    }
}

fn is_same(one: &EncoderRequest, other: &EncoderRequest) -> bool {
    use EncoderRequest::{Bitrate, Encoding, KeyFrame};
    match (one, other) {
        (KeyFrame { rid: one }, KeyFrame { rid: other })
        | (Bitrate { rid: one, .. }, Bitrate { rid: other, .. })
        | (Encoding { rid: one, .. }, Encoding { rid: other, .. }) => one == other,
        _ => false,
    }
}
