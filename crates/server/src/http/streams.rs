//! The tasks of HTTP/2 streams: a stream whose client takes nothing of its answer is reset, and the
//! connection goes on.
//!
//! hyper runs each stream as a task of the executor that it is given, and asks a body for nothing
//! while the client has no window for it, so that the body cannot end the stream. The task can:
//! when it is dropped, h2 resets the stream (CANCEL) and forgets what was to be sent on it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use tracing::debug;

use super::answer::Watch;

tokio::task_local! {
    /// The watch over the stream whose task runs.
    static STREAM: Arc<Watch>;
}

/// Runs the streams of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// The time for which a client may take nothing of an answer.
    patience: Duration,
}

impl Streams {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (patience, watch) = (self.patience, Arc::<Watch>::default());
        let watched = watch.clone();
        tokio::spawn(STREAM.scope(watch, async move {
            tokio::select! {
                () = stream => {}
                () = watched.stalled(patience) => debug!("a stream is reset: its client takes nothing"),
            }
        }));
    }
}

/// The watch over the stream that the caller serves; none on a connection without streams.
pub(super) fn current() -> Option<Arc<Watch>> {
    STREAM.try_with(Arc::clone).ok()
}
