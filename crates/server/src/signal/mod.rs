//! The transports of signaling around the relay of `columba-signal`. `docs/signaling.md` is the
//! contract.

mod attachment;
mod body;
mod http;
mod ice_servers;
mod members;
mod metrics;
mod origin;
mod service;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

pub(crate) use self::ice_servers::{Endpoint, IceServerSource};
pub(crate) use self::members::Members;
pub(crate) use self::service::{Settings, Signal};

/// The routes of signaling. Requests carry the [`Client`](crate::client::Client) and the
/// [`Account`](crate::memory::Account) of their connection as extensions.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(signal: Arc<Signal>) -> Router<S> {
    Router::new()
        .route("/v1/signal", get(websocket::websocket).post(http::enter).delete(http::leave))
        .route("/v1/signal/messages", post(http::messages))
        .route("/v1/signal/events", get(http::events))
        .layer(middleware::from_fn_with_state(signal.clone(), origin::guard_origin))
        .with_state(signal)
}
