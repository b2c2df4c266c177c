//! The security headers of every answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::middleware::Next;

use super::App;
use crate::client::Client;

/// A year, as the preload lists want it at least.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

const FIXED: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), fullscreen=(self), \
             autoplay=(self), screen-wake-lock=(self), geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()",
        ),
    ),
];

/// Adds the headers to whatever the router answers.
pub(super) async fn add(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let client = request.extensions().get::<Client>().map(Client::authority).unwrap_or_default();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, value);
    }
    if let Ok(policy) = HeaderValue::try_from(content_security_policy(&client)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if app.strict_transport {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    response
}

/// Nothing but ourselves. `'self'` does not cover WebSockets in older browsers, so they are named.
fn content_security_policy(host: &str) -> String {
    format!(
        "default-src 'self'; connect-src 'self' ws://{host} wss://{host}; img-src 'self' data: blob:; media-src 'self' blob:; \
         object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
