//! The sessions in which one side of a transfer can be reached at the same time.

use std::time::Duration;

use columba::call::{Call, CallEvent};
use columba_files::Secret;
use tokio::sync::mpsc;

use super::end::Stop;
use super::link::Place;
use super::session::{self, RouteOptions};

/// The events of all sessions that wait; each session keeps 256 more.
const MAX_EVENTS: usize = 16;

/// Sessions, each with a call of its own.
pub(crate) struct Lines {
    calls: Vec<Option<Call>>,
    events: mpsc::Receiver<(usize, CallEvent)>,
    sender: mpsc::Sender<(usize, CallEvent)>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        Self { calls: Vec::new(), events, sender }
    }

    /// Enters the session of a secret; its number comes back.
    pub(crate) async fn join(
        &mut self,
        place: &Place,
        secret: &Secret,
        route: &RouteOptions,
    ) -> Result<usize, Stop> {
        let (call, mut events) = session::join(place, secret, route).await?;
        let (line, sender) = (self.calls.len(), self.sender.clone());
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if sender.send((line, event)).await.is_err() {
                    return;
                }
            }
        });
        self.calls.push(Some(call));
        Ok(line)
    }

    /// The next event, with the number of its session. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> (usize, CallEvent) {
        match self.events.recv().await {
            Some(event) => event,
            // This end holds a sender.
            None => std::future::pending().await,
        }
    }

    pub(crate) fn call(&self, line: usize) -> Option<&Call> {
        self.calls.get(line)?.as_ref()
    }

    /// Leaves all sessions but one.
    pub(crate) fn keep(&mut self, line: usize) {
        for (other, call) in self.calls.iter_mut().enumerate() {
            if other != line {
                // The call is left when it is dropped.
                drop(call.take());
            }
        }
    }

    /// Leaves all sessions, after what was sent has gone out.
    pub(crate) async fn leave(self) {
        for call in self.calls.into_iter().flatten() {
            call.leave(Duration::from_secs(2)).await;
        }
    }
}
