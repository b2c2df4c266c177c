//! Bodies of requests and answers of the HTTP transport.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Response, StatusCode, header};
use columba_signal::{ErrorCode, Refusal};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

use crate::memory::{Account, Held, Holder};

/// The media type of messages.
pub(super) const JSON: &str = "application/json";

/// When to try again at a server without memory to spare.
const RETRY: Duration = Duration::from_secs(5);

/// Reads a request's text, of bounded length, in bounded time; the memory is held meanwhile.
pub(super) async fn read(
    body: Body,
    limit: usize,
    patience: Duration,
    account: &Account,
) -> Result<(String, Held), Refusal> {
    let mut bytes = Vec::new();
    let mut held = account.hold(Holder::Bodies, 0).map_err(|_| no_memory())?;
    let collected = timeout(patience, collect(body, limit, &mut bytes, &mut held)).await;
    collected.map_err(|_| Refusal::new(ErrorCode::BadJson, "The request took too long."))??;
    let text = String::from_utf8(bytes)
        .map_err(|_| Refusal::new(ErrorCode::BadJson, "The request is not text in UTF-8."))?;
    Ok((text, held))
}

async fn collect(mut body: Body, limit: usize, bytes: &mut Vec<u8>, held: &mut Held) -> Result<(), Refusal> {
    let too_large = || {
        let sentence = format!("The request has more than {limit} bytes; send less at a time.");
        Refusal::new(ErrorCode::MessageTooLarge, sentence)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(ErrorCode::BadJson, "The request broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
        held.resize(bytes.capacity()).map_err(|_| no_memory())?;
    }
    Ok(())
}

/// The refusal of a request for which there is no memory.
pub(super) fn no_memory() -> Refusal {
    let sentence = "The server has no memory to spare, and this connection held most; try again.";
    Refusal::new(ErrorCode::ServerFull, sentence).with_retry_after(RETRY)
}

/// An answer that holds its memory until the client has taken it.
#[derive(Debug)]
struct Holding {
    body: Body,
    _held: Held,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer in JSON, whose memory is held.
pub(super) fn held_json(text: String, account: &Account) -> Response<Body> {
    match account.hold(Holder::Answers, text.capacity()) {
        Ok(held) => {
            let body = Body::new(Holding { body: Body::from(text), _held: held });
            with_type(StatusCode::OK, JSON, body)
        }
        Err(_) => refuse(&no_memory()),
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, text: String) -> Response<Body> {
    with_type(status, JSON, Body::from(text))
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
