//! Shared by the tests.
#![allow(dead_code, missing_docs, unreachable_pub, missing_debug_implementations, reason = "shared by tests")]

pub mod peers;
#[cfg(feature = "signaling")]
pub mod server;

use std::time::Duration;

use tokio::time::timeout;

/// More than anything here should ever take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
pub async fn soon<T>(event: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {event}"))
}
