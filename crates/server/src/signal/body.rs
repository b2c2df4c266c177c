//! Bodies of requests and answers of the HTTP transport.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use columba_signal::{ErrorCode, Refusal};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

/// Reads a request's text, of bounded length, in bounded time.
pub(super) async fn read(body: Body, limit: usize, patience: Duration) -> Result<String, Refusal> {
    let too_large = || {
        let sentence = format!("The request has more than {limit} bytes; send less at a time.");
        Refusal::new(ErrorCode::MessageTooLarge, sentence)
    };
    let collected = timeout(patience, Limited::new(body, limit).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Refusal::new(ErrorCode::BadJson, "The request broke off.")),
        Err(_) => return Err(Refusal::new(ErrorCode::BadJson, "The request took too long.")),
    };
    String::from_utf8(bytes.into())
        .map_err(|_| Refusal::new(ErrorCode::BadJson, "The request is not text in UTF-8."))
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, text: String) -> Response<Body> {
    with_type(status, "application/json", Body::from(text))
}

/// An answer that may not be cached.
pub(super) fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a request that is refused.
pub(super) fn refuse(refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, refusal.to_json());
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
