//! A data channel as its handles, the driver and the queue of events share it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use columba_peer::{ChannelId, ChannelInfo, Peer};
use tokio::sync::Notify;

/// A data channel: its parameters, and the waiters for what happens to it. It outlives the channel
/// in the peer. The atomics change under the lock of the connection only.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    /// As it was in the beginning.
    pub(crate) info: ChannelInfo,
    /// Messages wait, or the channel is closed.
    pub(crate) readable: Notify,
    /// There is room, or the channel's state has changed.
    pub(crate) changed: Notify,
    /// Set once the channel is closed, with the error that was the reason, if any.
    pub(crate) closed: OnceLock<Option<columba_peer::Error>>,
    /// Tasks that wait for a message: it is theirs, and no event.
    readers: AtomicUsize,
    low: LowMark,
    /// [`Change::Readable`](crate::event_queue::Change) waits for the application.
    pub(crate) is_readable_queued: AtomicBool,
    /// [`Change::BufferedAmountLow`](crate::event_queue::Change) waits for the application.
    pub(crate) is_low_queued: AtomicBool,
}

/// The thresholds of the buffered amount, in bytes: the peer has one, for the event and for all
/// tasks that wait.
#[derive(Debug, Default)]
struct LowMark {
    /// The one in the peer: the highest that is not reached.
    armed: AtomicUsize,
    /// `bufferedAmountLowThreshold`.
    threshold: AtomicUsize,
    /// The application has set the threshold.
    is_set: AtomicBool,
    /// The application has sent by `try_send`, without waiting for room, since the last event.
    is_wanted: AtomicBool,
}

/// A task that waits for a message, until it is dropped.
pub(crate) struct Reader<'a>(&'a Channel);

impl Channel {
    pub(crate) fn new(id: ChannelId, info: ChannelInfo) -> Arc<Self> {
        Arc::new(Self {
            id,
            info,
            readable: Notify::new(),
            changed: Notify::new(),
            closed: OnceLock::new(),
            readers: AtomicUsize::new(0),
            low: LowMark::default(),
            is_readable_queued: AtomicBool::new(false),
            is_low_queued: AtomicBool::new(false),
        })
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        Reader(self)
    }

    pub(crate) fn has_readers(&self) -> bool {
        self.readers.load(Ordering::SeqCst) > 0
    }

    /// Wakes everything that waits, for good.
    pub(crate) fn close(&self, error: Option<columba_peer::Error>) {
        // Only the first reason counts.
        let _ = self.closed.set(error);
        self.readable.notify_waiters();
        self.changed.notify_waiters();
    }

    pub(crate) fn threshold(&self) -> usize {
        self.low.threshold.load(Ordering::Relaxed)
    }

    /// Sets `bufferedAmountLowThreshold`.
    pub(crate) fn set_threshold(&self, peer: &mut Peer, threshold: usize) {
        self.low.threshold.store(threshold, Ordering::Relaxed);
        self.low.is_set.store(true, Ordering::Relaxed);
        if peer.buffered_amount(self.id) > threshold {
            self.await_low(peer, threshold);
        }
    }

    /// Notes that a message was sent, after which so many bytes wait; `is_w3c` if the application
    /// does not wait for room by itself.
    pub(crate) fn note_sent(&self, peer: &mut Peer, waiting: usize, is_w3c: bool) {
        if is_w3c {
            self.low.is_wanted.store(true, Ordering::Relaxed);
        }
        let threshold = self.threshold();
        if waiting > threshold && self.low.armed.load(Ordering::Relaxed) < threshold {
            self.arm(peer, threshold);
        }
    }

    /// Arms the peer's event for when so few bytes wait; more do now. Several tasks may wait, each
    /// for another threshold: the highest that is not reached yet wakes them all, and those that
    /// have to wait on set theirs again.
    pub(crate) fn await_low(&self, peer: &mut Peer, threshold: usize) {
        let armed = self.low.armed.load(Ordering::Relaxed);
        let is_ahead = armed < peer.buffered_amount(self.id);
        self.arm(peer, if is_ahead { threshold.max(armed) } else { threshold });
    }

    /// Handles the peer's event. Returns true if `bufferedamountlow` is to be fired.
    pub(crate) fn is_low(&self, peer: &mut Peer) -> bool {
        let (armed, threshold) = (self.low.armed.load(Ordering::Relaxed), self.threshold());
        if peer.buffered_amount(self.id) > threshold {
            self.arm(peer, threshold);
            return false;
        }
        let is_wanted = self.low.is_wanted.swap(false, Ordering::Relaxed);
        armed >= threshold && (is_wanted || self.low.is_set.load(Ordering::Relaxed))
    }

    fn arm(&self, peer: &mut Peer, threshold: usize) {
        self.low.armed.store(threshold, Ordering::Relaxed);
        // A channel that is closed already has no threshold.
        let _ = peer.set_buffered_amount_low_threshold(self.id, threshold);
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}
