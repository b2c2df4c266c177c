//! The routes of the web server.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;

use super::connection::Shared;
use super::{headers, health, static_files};
use crate::client::{Client, Connection, is_misaddressed};
use crate::config::ServeOptions;
use crate::signal::{self, Signal};
use crate::supervision::Supervisor;

/// The state that the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) options: ServeOptions,
    pub(crate) shared: Arc<Shared>,
    pub(crate) signal: Arc<Signal>,
    pub(crate) supervisor: Supervisor,
    /// True if browsers get `Strict-Transport-Security`: not with a certificate that they would
    /// have to be talked into.
    pub(crate) strict_transport: bool,
}

/// The whole web port.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/metrics", get(health::metrics))
        .merge(signal::router(app.signal.clone()))
        .fallback(static_files::serve)
        .layer(middleware::from_fn_with_state(app.clone(), headers::add))
        .layer(middleware::from_fn_with_state(app.clone(), identify))
        .with_state(app)
}

/// Finds out who asks, once for all that want to know.
async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if is_misaddressed(request.version(), request.headers(), request.uri()) {
        let sentence = "A request names the host that it is for, once: with one valid Host header.\n";
        return static_files::plain(StatusCode::BAD_REQUEST, sentence);
    }
    if let Some(connection) = request.extensions().get::<Connection>().copied() {
        let client = Client::new(connection, request.headers(), request.uri(), &app.options.web.trust_proxy);
        request.extensions_mut().insert(client);
    }
    next.run(request).await
}
