//! One connection's hold on the relay: it waits for events, and disconnects when it is dropped.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Bytes;
use columba_signal::{ConnectionId, ErrorCode, Frame, Input, PeerId, Reading};
use futures_util::task::AtomicWaker;

use super::service::Signal;
use crate::client::Client;
use crate::memory::{Account, Evicted, Held, Holder};

/// The most bytes that are handed to HTTP at a time: what it has taken cannot be taken back when
/// the client does not read.
const PIECE: usize = 8 * 1024;

/// Why the relay is done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    /// The WebSocket close code.
    pub(super) code: u16,
    pub(super) error: Option<ErrorCode>,
}

impl Closing {
    /// Returns whether the client gets nothing more of an answer that is under way.
    fn cuts(self) -> bool {
        matches!(self.error, Some(ErrorCode::Replaced | ErrorCode::TooSlow))
    }
}

/// The wake-up of a connection's task.
#[derive(Debug, Default)]
pub(super) struct Wake {
    waker: AtomicWaker,
    /// The relay may have a frame, so that a task that has been woken for something else need not
    /// ask it.
    writable: AtomicBool,
    state: Mutex<Pending>,
}

/// The state that a connection's task looks at when it is woken.
#[derive(Debug, Default)]
struct Pending {
    closing: Option<Closing>,
    unsent: Option<Unsent>,
    /// Text that was under way has been dropped: the answer cannot be completed.
    cut: bool,
}

/// The rest of a text that HTTP has not taken.
#[derive(Debug)]
struct Unsent {
    text: String,
    taken: usize,
    _held: Held,
}

impl Wake {
    pub(super) fn writable(&self) {
        self.writable.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Ends the connection. What a connection that has been replaced, or put out, has not taken is
    /// dropped at once, whether its client reads or not.
    pub(super) fn close(&self, closing: Closing) {
        let mut state = self.state();
        state.closing = Some(closing);
        if closing.cuts() {
            state.cut |= state.unsent.take().is_some();
        }
        drop(state);
        self.waker.wake();
    }

    fn state(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next step for a connection.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame),
    /// Everything has been sent.
    Closed,
}

/// The end of an answer that cannot be completed.
#[derive(Debug, thiserror::Error)]
#[error("another request has taken over")]
pub(super) struct Cut;

/// A connection of the relay. Dropping it disconnects.
#[derive(Debug)]
pub(super) struct Attachment {
    signal: Arc<Signal>,
    client: Client,
    id: ConnectionId,
    wake: Arc<Wake>,
}

impl Attachment {
    pub(super) fn new(signal: Arc<Signal>, client: Client, id: ConnectionId, wake: Arc<Wake>) -> Self {
        Self { signal, client, id, wake }
    }

    pub(super) fn input(&self, input: Input<'_>) -> Reading {
        self.signal.with(|relay, now| relay.handle_input(now, self.id, input))
    }

    /// The largest message that is worth reading now.
    pub(super) fn reading_limit(&self) -> usize {
        self.signal.with(|relay, _| relay.reading_limit(self.id))
    }

    /// The next frame if there is one already.
    pub(super) fn try_next(&self) -> Option<Frame> {
        let source = |peer: PeerId| self.signal.ice_servers.of(&self.client).for_peer(peer);
        self.signal.with(|relay, now| relay.poll_transmit(now, self.id, &source))
    }

    /// Returns whether the relay may have a frame.
    pub(super) fn is_writable(&self) -> bool {
        self.wake.writable.load(Ordering::Acquire)
    }

    /// Has the task woken when there is a frame, or the end.
    pub(super) fn wake_on_change(&self, context: &Context<'_>) {
        self.wake.waker.register(context.waker());
    }

    /// The next frame, or the end. Wakes the task of the last call when there is one.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<Next> {
        self.wake_on_change(context);
        // Looked at first: what was queued before the end was announced must still be pulled.
        let closing = self.closing();
        // Taken back before the relay is asked: what comes after its answer is announced again.
        let is_asked = self.wake.writable.swap(false, Ordering::AcqRel) || closing.is_some();
        if let Some(frame) = is_asked.then(|| self.try_next()).flatten() {
            self.wake.writable.store(true, Ordering::Release);
            return Poll::Ready(Next::Frame(frame));
        }
        if closing.is_some() { Poll::Ready(Next::Closed) } else { Poll::Pending }
    }

    /// Hands over the frames that there are, until `take` says that it has enough. Pending if there
    /// are none; otherwise whether it is the end. As with [`poll_next`](Self::poll_next) the task
    /// is woken when there is more.
    pub(super) fn poll_frames(
        &self,
        context: &Context<'_>,
        mut take: impl FnMut(Frame) -> bool,
    ) -> Poll<Option<Closing>> {
        self.wake_on_change(context);
        let closing = self.closing();
        if self.wake.writable.swap(false, Ordering::AcqRel) || closing.is_some() {
            let source = |peer: PeerId| self.signal.ice_servers.of(&self.client).for_peer(peer);
            let mut some = false;
            let all = self.signal.with(|relay, now| {
                while let Some(frame) = relay.poll_transmit(now, self.id, &source) {
                    some = true;
                    if !take(frame) {
                        return false;
                    }
                }
                true
            });
            if !all {
                self.wake.writable.store(true, Ordering::Release);
                return Poll::Ready(None);
            }
            if some && closing.is_none() {
                return Poll::Ready(None);
            }
        }
        closing.map_or(Poll::Pending, |closing| Poll::Ready(Some(closing)))
    }

    /// Waits for the next frame, or the end.
    pub(super) async fn next(&self) -> Next {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Why the relay is done with this connection, if it is.
    pub(super) fn closing(&self) -> Option<Closing> {
        self.wake.state().closing
    }

    /// Lets an event wait until HTTP takes it. The last one says why the stream ends.
    pub(super) fn put_event(&self, text: String, account: &Account) -> Result<(), Evicted> {
        let held = account.hold(Holder::Answers, text.capacity())?;
        self.wake.state().unsent = Some(Unsent { text, taken: 0, _held: held });
        Ok(())
    }

    /// Lets a part of a poll's answer wait until HTTP takes it. Of a poll that was replaced while
    /// its answer was made, nothing is kept.
    pub(super) fn put_answer(&self, text: String, account: &Account) -> Result<(), Evicted> {
        let held = account.hold(Holder::Answers, text.capacity())?;
        let mut state = self.wake.state();
        if state.closing.is_some_and(Closing::cuts) {
            state.cut = true;
        } else {
            state.unsent = Some(Unsent { text, taken: 0, _held: held });
        }
        Ok(())
    }

    /// The next piece of the text that waits; none if no text waits.
    pub(super) fn piece(&self) -> Result<Option<Bytes>, Cut> {
        let mut state = self.wake.state();
        if state.cut {
            return Err(Cut);
        }
        let Some(unsent) = &mut state.unsent else { return Ok(None) };
        let rest = unsent.text.as_bytes().get(unsent.taken..).unwrap_or_default();
        let piece = rest.get(..PIECE).unwrap_or(rest);
        let (bytes, is_last) = (Bytes::copy_from_slice(piece), piece.len() == rest.len());
        unsent.taken += bytes.len();
        if is_last {
            state.unsent = None;
        }
        Ok(Some(bytes))
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.signal.disconnect(self.id);
    }
}
