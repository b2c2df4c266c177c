//! The routes of the web server.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use tokio::time::sleep;

use super::connection::Shared;
use super::static_files::plain;
use super::{headers, health, static_files};
use crate::client::{Client, Connection, is_misaddressed};
use crate::config::ServeOptions;
use crate::places::Place;
use crate::signal::{self, Signal};
use crate::supervision::Supervisor;

/// When to try again for a client that has too much open.
const TOO_MANY_OPEN: Duration = Duration::from_secs(30);

/// The time by which a request of a client that asks too much is put off.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

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

/// Finds out who asks, once for all that want to know, and whether that client may ask now.
async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if is_misaddressed(request.version(), request.headers(), request.uri()) {
        let sentence = "A request names the host that it is for, once: with one valid Host header.\n";
        return plain(StatusCode::BAD_REQUEST, sentence);
    }
    let extensions = request.extensions();
    let known = extensions.get::<Connection>().copied().zip(extensions.get::<Place>().cloned());
    let Some((connection, own)) = known else { return next.run(request).await };
    let client = Client::new(connection, request.headers(), request.uri(), &app.options.web.trust_proxy);
    // The connection's place is the proxy's then.
    if client.proxied
        && let Some(turn) = &app.shared.relay
    {
        turn.note_client(client.ip);
    }
    let place = if client.proxied { app.shared.places.forward(client.ip) } else { Some(own) };
    let Some(place) = place else {
        return too_many("Too much is open for your network address; close something.\n", TOO_MANY_OPEN);
    };
    let wait = place.spend(columba_signal::Config::REQUEST_EFFORT);
    if wait > Duration::ZERO {
        sleep(wait.min(LONGEST_DELAY)).await;
        return too_many("Too many requests come from your network address; wait.\n", wait);
    }
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(place.clone());
    let mut response = next.run(request).await;
    // It is given back when the answer has been taken.
    response.extensions_mut().insert(place);
    response
}

fn too_many(sentence: &'static str, wait: Duration) -> Response {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, sentence);
    let seconds = wait.as_secs().saturating_add(1);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
