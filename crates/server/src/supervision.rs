//! Supervision: a task that must not end is started again when it panics or returns, and when that
//! happens too often, the process ends and says so, for its service manager to start it anew.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

/// The most failures of all tasks together within [`WINDOW`] that are mended by starting again.
const MAX_FAILURES: usize = 20;

/// The time for which a failure counts.
const WINDOW: Duration = Duration::from_secs(60);

/// The pause before a task is started again, so that one that fails at once does not keep a core
/// busy.
const PAUSE: Duration = Duration::from_millis(20);

/// Watches over the tasks that the program cannot do without. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    failures: Mutex<Failures>,
    /// The name of the task that has failed once too often.
    given_up: watch::Sender<Option<&'static str>>,
}

#[derive(Debug, Default)]
struct Failures {
    total: u64,
    /// At most [`MAX_FAILURES`] and one.
    recent: VecDeque<Instant>,
}

impl Supervisor {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Watched { failures: Mutex::default(), given_up: watch::Sender::new(None) }))
    }

    /// Runs a task for ever: makes it anew whenever it panics or returns.
    pub(crate) async fn keep<F>(self, name: &'static str, make: impl Fn() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            // Dropped with this future, the set takes its task along.
            let mut task = JoinSet::new();
            task.spawn(make());
            let _ = task.join_next().await;
            self.note_failure(name);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Does something once; `None` if it panicked.
    pub(crate) fn attempt<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(work));
        result.inspect_err(|_| self.note_failure(name)).ok()
    }

    /// The times that a task has had to be started again, or something of it was lost.
    pub(crate) fn failures(&self) -> u64 {
        self.lock().total
    }

    /// Returns when starting again does not help any more, with the name of the task.
    pub(crate) async fn given_up(&self) -> &'static str {
        let mut given_up = self.0.given_up.subscribe();
        // An error would mean that the sender is gone, which is here.
        match given_up.wait_for(Option::is_some).await.map(|name| *name) {
            Ok(Some(name)) => name,
            _ => "a task",
        }
    }

    fn note_failure(&self, name: &'static str) {
        error!(task = name, "failed and goes on anew; please report the panic above");
        let now = Instant::now();
        let mut failures = self.lock();
        failures.total += 1;
        failures.recent.retain(|at| now.duration_since(*at) < WINDOW);
        failures.recent.push_back(now);
        if failures.recent.len() > MAX_FAILURES {
            failures.recent.pop_front();
            self.0.given_up.send_replace(Some(name));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// More than anything here should ever take.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn task_that_panics_or_returns_is_started_again() {
        let supervisor = Supervisor::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let (third, is_third) = tokio::sync::oneshot::channel();
        let third = Arc::new(Mutex::new(Some(third)));
        let keeping = tokio::spawn(supervisor.clone().keep("test", move || {
            let (run, third) = (counted.fetch_add(1, Ordering::Relaxed), Arc::clone(&third));
            async move {
                match run {
                    0 => panic!("as a fault would"),
                    1 => {}
                    _ => {
                        let _ = third.lock().unwrap().take().unwrap().send(());
                        std::future::pending::<()>().await;
                    }
                }
            }
        }));
        tokio::time::timeout(PATIENCE, is_third).await.expect("started again").unwrap();
        assert_eq!((supervisor.failures(), runs.load(Ordering::Relaxed)), (2, 3));
        keeping.abort();
    }

    #[tokio::test]
    async fn too_many_failures_end_it() {
        let supervisor = Supervisor::new();
        for _ in 0..MAX_FAILURES {
            assert_eq!(supervisor.attempt("test", || -> u8 { panic!("as a fault would") }), None);
        }
        assert_eq!(supervisor.attempt("test", || 7), Some(7));
        assert!(supervisor.0.given_up.borrow().is_none());
        supervisor.attempt("test", || panic!("once more"));
        let name = tokio::time::timeout(PATIENCE, supervisor.given_up()).await.expect("it is seen");
        assert_eq!(name, "test");
    }
}
