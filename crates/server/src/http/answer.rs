//! The bodies of all answers, as the client takes them: in pieces, counted, and watched, so that a
//! client that takes nothing does not keep its answer for ever.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::memory::Account;
use crate::memory::{Held, Holder};
use crate::places::Place;

/// The most bytes that are handed to hyper at a time.
const PIECE: usize = 8 * 1024;

/// The bytes that hyper may have of one answer before it has written them.
pub(super) const IN_FLIGHT: usize = 16 * 1024;

/// The bytes that a request counts for while it is answered: its head, and the state of a stream.
pub(super) const REQUEST_BYTES: usize = 16 * 1024;

/// The answers of one connection, or of one HTTP/2 stream, that wait for the client to take more.
#[derive(Debug, Default)]
pub(super) struct Watch {
    waiting: Mutex<BTreeMap<u64, Instant>>,
    next: AtomicU64,
    /// An answer waits where none did.
    begun: Notify,
}

impl Watch {
    /// Returns when a client has taken nothing of an answer for so long.
    pub(super) async fn stalled(&self, patience: Duration) {
        loop {
            let begun = self.begun.notified();
            let oldest = self.waiting().values().min().copied();
            match oldest.map(|oldest| oldest + patience) {
                Some(end) if end <= Instant::now() => return,
                Some(end) => sleep_until(end).await,
                None => begun.await,
            }
        }
    }

    fn waits(&self, id: u64) {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        waiting.insert(id, Instant::now());
        drop(waiting);
        if first {
            self.begun.notify_waiters();
        }
    }

    fn moves(&self, id: u64) {
        self.waiting().remove(&id);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    watch: Arc<Watch>,
    id: u64,
    /// The rest of what the body gave last.
    rest: Bytes,
    sent: usize,
    held: Held,
    _request: Held,
    _place: Option<Place>,
}

impl Answer {
    /// Watches a body. `request` is what the request counts for, `place` that of its client.
    pub(super) fn new(
        body: Body,
        watch: &Arc<Watch>,
        request: Held,
        place: Option<Place>,
        held: Held,
    ) -> Self {
        let id = watch.next.fetch_add(1, Ordering::Relaxed);
        watch.waits(id);
        let (watch, rest) = (watch.clone(), Bytes::new());
        Self { body, watch, id, rest, sent: 0, held, _request: request, _place: place }
    }
}

/// Holds what a request and its answer count for.
pub(super) fn hold(account: &Account) -> Option<(Held, Held)> {
    let request = account.hold(Holder::Http, REQUEST_BYTES).ok()?;
    Some((request, account.hold(Holder::Answers, 0).ok()?))
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.watch.moves(self.id);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        // hyper asks for more when the client has taken what there was.
        this.watch.moves(this.id);
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.sent = this.sent.saturating_add(piece.len());
        if let Err(evicted) = this.held.resize(this.sent.min(IN_FLIGHT)) {
            return Poll::Ready(Some(Err(evicted.into())));
        }
        this.watch.waits(this.id);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// True for an empty answer only: that hyper asks once more after the last piece shows that the
    /// client has taken it.
    fn is_end_stream(&self) -> bool {
        self.sent == 0 && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::memory::Budget;

    fn answer(body: Body, watch: &Arc<Watch>, budget: &Budget) -> Answer {
        let (request, held) = hold(&budget.open(None)).unwrap();
        Answer::new(body, watch, request, None, held)
    }

    /// True if the watch notices a stall within several times its patience.
    async fn is_noticed(watch: &Watch) -> bool {
        let patience = Duration::from_millis(50);
        tokio::time::timeout(patience * 8, watch.stalled(patience)).await.is_ok()
    }

    #[tokio::test]
    async fn answer_that_is_not_taken_is_noticed() {
        let (watch, budget) = (Arc::new(Watch::default()), Budget::new(1 << 20));
        assert!(!is_noticed(&watch).await, "nothing waits");
        let mut stuck = answer(Body::from("x".repeat(20_000)), &watch, &budget);
        assert!(is_noticed(&watch).await);
        let began = Instant::now();
        assert_eq!(stuck.frame().await.unwrap().unwrap().into_data().unwrap().len(), PIECE);
        assert!(watch.waiting().values().all(|since| *since >= began), "a piece is progress");
        assert!(is_noticed(&watch).await);
        drop(stuck);
        assert!(!is_noticed(&watch).await);
    }

    #[tokio::test]
    async fn silent_stream_is_not_stalled() {
        let (watch, budget) = (Arc::new(Watch::default()), Budget::new(1 << 20));
        let source = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let mut silent = answer(Body::from_stream(source), &watch, &budget);
        let asked = tokio::time::timeout(Duration::from_millis(1), silent.frame());
        assert!(asked.await.is_err());
        assert!(!is_noticed(&watch).await, "the client takes all there is");
    }

    #[tokio::test]
    async fn answer_is_whole_and_counted_in_pieces() {
        let (watch, budget) = (Arc::new(Watch::default()), Budget::new(1 << 20));
        let held = |budget: &Budget| budget.stats().held.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let text = "y".repeat(50_000);
        let mut taken = answer(Body::from(text.clone()), &watch, &budget);
        assert_eq!(taken.size_hint().exact(), Some(50_000));
        let mut whole = Vec::new();
        while let Some(frame) = taken.frame().await {
            whole.extend_from_slice(&frame.unwrap().into_data().unwrap());
            assert!(held(&budget) <= (REQUEST_BYTES + IN_FLIGHT) as u64);
        }
        assert_eq!(whole, text.as_bytes());
        drop(taken);
        assert_eq!(held(&budget), 0);
        assert!(answer(Body::empty(), &watch, &budget).is_end_stream());
    }
}
