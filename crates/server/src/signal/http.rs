//! The HTTP transport: requests in, event streams and long polls out.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::{BoxError, Extension};
use columba_signal::{Credential, ErrorCode, EventsKind, PeerId, Refusal};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::attachment::{Attachment, Next};
use super::body::{JSON, held_json, json, no_memory, read, refuse, with_type};
use super::service::Signal;
use crate::client::Client;
use crate::memory::Account;

/// The time between comments in a silent event stream, so that proxies leave it open.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// The time for which a poll waits if it names none, in seconds; and the longest.
const DEFAULT_WAIT: u64 = 25;
const MAX_WAIT: u64 = 30;

/// The bytes below which the answer to a poll is given whole, with its length.
const WHOLE_ANSWER: usize = 16 * 1024;

/// The bytes after which the answer to a poll ends, though there are more events: those come with
/// the next poll.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// `POST /v1/signal`: enters a session.
pub(super) async fn enter(
    State(signal): State<Arc<Signal>>,
    Extension(client): Extension<Client>,
    Extension(account): Extension<Account>,
    body: Body,
) -> Response<Body> {
    let limit = signal.limits.entry_bytes();
    let (text, _held) = match read(body, limit, signal.request_timeout, &account).await {
        Ok(read) => read,
        Err(refusal) => return counted(&signal, &refusal),
    };
    let ice_servers = signal.ice_servers.of(&client);
    let source = |peer: PeerId| ice_servers.for_peer(peer);
    match signal.with(|relay, now| relay.join(now, client.ip, &text, &source)) {
        Ok(joined) => json(StatusCode::CREATED, joined),
        Err(refusal) => refuse(&refusal),
    }
}

/// `POST /v1/signal/messages`: one message or several.
pub(super) async fn messages(
    State(signal): State<Arc<Signal>>,
    Extension(client): Extension<Client>,
    Extension(account): Extension<Account>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let credential = match credential(&headers, query.as_deref()) {
        Ok(credential) => credential,
        Err(refusal) => return counted(&signal, &refusal),
    };
    // A stranger's body is not read.
    if let Err(refusal) = signal.with(|relay, now| relay.admit_request(now, &credential)) {
        return refuse(&refusal);
    }
    let limit = signal.limits.request_bytes();
    let (text, _held) = match read(body, limit, signal.request_timeout, &account).await {
        Ok(read) => read,
        Err(refusal) => return counted(&signal, &refusal),
    };
    let ice_servers = signal.ice_servers.of(&client);
    let source = |peer: PeerId| ice_servers.for_peer(peer);
    match signal.with(|relay, now| relay.post(now, &credential, &text, &source)) {
        Ok(answers) => held_json(answers, &account),
        Err(refusal) => refuse(&refusal),
    }
}

/// `DELETE /v1/signal`: leaves for good.
pub(super) async fn leave(
    State(signal): State<Arc<Signal>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let credential = match credential(&headers, query.as_deref()) {
        Ok(credential) => credential,
        Err(refusal) => return counted(&signal, &refusal),
    };
    match signal.with(|relay, now| relay.leave(now, &credential)) {
        Ok(()) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// `GET /v1/signal/events`: a stream of Server-Sent Events for those who accept it, otherwise a
/// long poll.
pub(super) async fn events(
    State(signal): State<Arc<Signal>>,
    Extension(client): Extension<Client>,
    Extension(account): Extension<Account>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let query = query.as_deref();
    let opened = credential(&headers, query).and_then(|credential| {
        let streaming = headers
            .get_all(header::ACCEPT)
            .iter()
            .any(|value| value.to_str().is_ok_and(|accept| accept.contains("text/event-stream")));
        // A browser's EventSource that reconnects repeats the query of its first request, so the
        // header goes first.
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let last = last.filter(|text| !text.is_empty()).or_else(|| parameter(query, "after"));
        let after = last.map(|text| number("after", text)).transpose()?;
        let kind = if streaming {
            EventsKind::Stream
        } else {
            let wait = parameter(query, "wait").map(|text| number("wait", text)).transpose()?;
            EventsKind::Poll(Duration::from_secs(wait.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT)))
        };
        Ok((credential, after, kind))
    });
    let (credential, after, kind) = match opened {
        Ok(opened) => opened,
        Err(refusal) => return counted(&signal, &refusal),
    };
    match signal.open_events(&credential, after, kind, client) {
        Ok(attachment) if kind == EventsKind::Stream => event_stream(attachment, account),
        Ok(attachment) => poll(attachment, account).await,
        Err(refusal) => refuse(&refusal),
    }
}

/// Runs until the relay or the client ends it; hyper drops the stream, and with it the attachment,
/// when the client goes.
fn event_stream(attachment: Attachment, account: Account) -> Response<Body> {
    // At once, so that headers and all arrive through proxies that wait for a body.
    let beginning = stream::iter([Ok(Bytes::from_static(b": here you are\n\n"))]);
    let parts = stream::unfold(Some((attachment, account)), |state| async move {
        let (attachment, account) = state?;
        let part = next_part(&attachment, &account).await.transpose()?;
        // An error is the end.
        let state = part.is_ok().then_some((attachment, account));
        Some((part, state))
    });
    let body = Body::from_stream(beginning.chain(parts));
    let mut response = with_type(StatusCode::OK, "text/event-stream", body);
    // nginx would otherwise collect events before it passes them on.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// The next part of an event stream; none at its end.
async fn next_part(attachment: &Attachment, account: &Account) -> Result<Option<Bytes>, BoxError> {
    loop {
        if let Some(piece) = attachment.piece()? {
            return Ok(Some(piece));
        }
        match timeout_at(Instant::now() + COMMENT_EVERY, attachment.next()).await {
            Ok(Next::Frame(frame)) => attachment.put_event(frame.server_sent_event(), account)?,
            Ok(Next::Closed) => return Ok(None),
            Err(_) => return Ok(Some(Bytes::from_static(b": still here\n\n"))),
        }
    }
}

/// Answers with what there is as soon as there is something, or when the relay ends the poll.
///
/// A short answer is given whole. Of a long one only the message is made that the client is taking.
async fn poll(attachment: Attachment, account: Account) -> Response<Body> {
    let mut text = "[".to_owned();
    if let Next::Frame(frame) = attachment.next().await {
        text.push_str(&frame.text);
        while text.len() < WHOLE_ANSWER {
            let Some(frame) = attachment.try_next() else { break };
            text.push(',');
            text.push_str(&frame.text);
        }
    }
    if text.len() < WHOLE_ANSWER {
        text.push(']');
        return json(StatusCode::OK, text);
    }
    let mut left = LONGEST_ANSWER.saturating_sub(text.len());
    if attachment.put_answer(text, &account).is_err() {
        return refuse(&no_memory());
    }
    let mut attachment = Some(attachment);
    let mut next = move || -> Result<Option<Bytes>, BoxError> {
        let Some(present) = &attachment else { return Ok(None) };
        if let Some(piece) = present.piece()? {
            return Ok(Some(piece));
        }
        if left > 0
            && let Some(frame) = present.try_next()
        {
            left = left.saturating_sub(frame.text.len());
            present.put_answer(format!(",{}", frame.text), &account)?;
            return Ok(present.piece()?);
        }
        attachment = None;
        Ok(Some(Bytes::from_static(b"]")))
    };
    let pieces = stream::poll_fn(move |_| Poll::Ready(next().transpose()));
    with_type(StatusCode::OK, JSON, Body::from_stream(pieces))
}

/// A refusal that did not come from the relay.
fn counted(signal: &Signal, refusal: &Refusal) -> Response<Body> {
    signal.count(refusal.code);
    refuse(refusal)
}

/// `Authorization: Bearer PEER.SECRET`, or `access_token=PEER.SECRET` (RFC 6750 §2.3).
fn credential(headers: &HeaderMap, query: Option<&str>) -> Result<Credential, Refusal> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let Some(token) = bearer.or_else(|| parameter(query, "access_token")) else {
        let sentence =
            "Say who you are: Authorization: Bearer PEER.SECRET, as the answer to joining gave them.";
        return Err(Refusal::new(ErrorCode::NotJoined, sentence));
    };
    token.parse().map_err(|_| Refusal::new(ErrorCode::WrongSecret, "A credential has the form PEER.SECRET."))
}

/// A parameter of the query. The values that are looked for need no percent-encoding.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn number(name: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(ErrorCode::BadMessage, format!("The parameter \"{name}\" must be a whole number."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_in_a_header_or_in_the_query() {
        let text = "0123456789abcdef.hush";
        let mut headers = HeaderMap::new();
        assert_eq!(credential(&headers, None).unwrap_err().code, ErrorCode::NotJoined);
        let query = format!("after=3&access_token={text}");
        assert_eq!(credential(&headers, Some(&query)).unwrap().to_string(), text);
        headers.insert(header::AUTHORIZATION, format!("bearer {text}").parse().unwrap());
        assert_eq!(credential(&headers, None).unwrap().to_string(), text);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer nonsense"));
        assert_eq!(credential(&headers, None).unwrap_err().code, ErrorCode::WrongSecret);
    }

    #[test]
    fn query_parameters_are_read() {
        assert_eq!(parameter(Some("a=1&after=2&wait="), "after"), Some("2"));
        assert_eq!(parameter(Some("a=1&after=2&wait="), "wait"), Some(""));
        assert_eq!(parameter(Some("afterwards=2"), "after"), None);
        assert_eq!(parameter(None, "after"), None);
        assert!(number("wait", "-1").is_err());
    }
}
