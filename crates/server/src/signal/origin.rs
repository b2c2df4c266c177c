//! Pages of other origins stay out, unless the operator lets them in.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use columba_signal::{ErrorCode, Refusal};

use super::body::refuse;
use super::service::Signal;
use crate::client::Client;

/// Checks `Origin`, answers preflight requests, and adds the headers by which a browser lets a page
/// read the answer.
pub(super) async fn guard_origin(
    State(signal): State<Arc<Signal>>,
    Extension(client): Extension<Client>,
    request: Request,
    next: Next,
) -> Response<Body> {
    // No page can leave the header out of a request that could do anything here.
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let known = origin.to_str().is_ok_and(|text| client.allows_origin(text, &signal.allow_origin));
    if !known {
        signal.count(ErrorCode::OriginNotAllowed);
        let sentence =
            "Pages of this origin may not use this server. Its operator can allow it with --allow-origin.";
        let mut response = refuse(&Refusal::new(ErrorCode::OriginNotAllowed, sentence));
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        return response;
    }
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, last-event-id, cache-control"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}
