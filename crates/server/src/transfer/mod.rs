//! The parts that `send`, `receive` and `pipe` share: finding the server, proving the code, the
//! session, and the terminal.

pub(crate) mod end;
pub(crate) mod lines;
pub(crate) mod link;
pub(crate) mod meeting;
mod memory;
pub(crate) mod nearby;
pub(crate) mod saved;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod show;

use std::future::Future;

use self::end::{Stop, StopKind};
use crate::failure::Failure;

/// Runs a command on a runtime of its own until it is done or interrupted.
pub(crate) fn run(command: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    memory::keep_less();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("The system gives no threads ({error}).")))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = command => result,
            () = interrupted() => Err(Stop::new(StopKind::Interrupted, "Interrupted; the same command goes on later.")),
        }
    });
    // The thread that reads the input may still wait for it.
    runtime.shutdown_background();
    result
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
