//! The HTTP transport: requests in, event streams and long polls out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use columba_signal::{Credential, ErrorCode, EventsKind, PeerId, Refusal};
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::attachment::{Attachment, Next};
use super::body::{json, read, refuse, with_type};
use super::ice_servers::IceServersOf;
use super::service::Signal;
use crate::client::Client;

/// The time between comments in a silent event stream, so that proxies leave it open.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// The time for which a poll waits if it names none, in seconds; and the longest.
const DEFAULT_WAIT: u64 = 25;
const MAX_WAIT: u64 = 30;

/// `POST /v1/signal`: enters a session.
pub(super) async fn enter(
    State(signal): State<Arc<Signal>>,
    Extension(client): Extension<Client>,
    body: Body,
) -> Response<Body> {
    let text = match text(&signal, body).await {
        Ok(text) => text,
        Err(response) => return response,
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
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let credential = match credential(&headers, query.as_deref()) {
        Ok(credential) => credential,
        Err(refusal) => return counted(&signal, &refusal),
    };
    let text = match text(&signal, body).await {
        Ok(text) => text,
        Err(response) => return response,
    };
    let ice_servers = signal.ice_servers.of(&client);
    let source = |peer: PeerId| ice_servers.for_peer(peer);
    match signal.with(|relay, now| relay.post(now, &credential, &text, &source)) {
        Ok(answers) => json(StatusCode::OK, answers),
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
    let ice_servers = signal.ice_servers.of(&client);
    match signal.open_events(&credential, after, kind) {
        Ok(attachment) if kind == EventsKind::Stream => event_stream(attachment, ice_servers),
        Ok(attachment) => poll(attachment, &ice_servers).await,
        Err(refusal) => refuse(&refusal),
    }
}

/// Runs until the relay or the client ends it; hyper drops the stream, and with it the attachment,
/// when the client goes.
fn event_stream(attachment: Attachment, ice_servers: IceServersOf) -> Response<Body> {
    let state = Some((attachment, ice_servers, true));
    let parts = stream::unfold(state, |state| async move {
        let (attachment, ice_servers, beginning) = state?;
        let part = if beginning {
            // At once, so that headers and all arrive through proxies that wait for a body.
            ": here you are\n\n".to_owned()
        } else {
            let source = |peer| ice_servers.for_peer(peer);
            match timeout_at(Instant::now() + COMMENT_EVERY, attachment.next(&source)).await {
                Ok(Next::Frame(frame)) => frame.server_sent_event(),
                Ok(Next::Closed(_)) => return None,
                Err(_) => ": still here\n\n".to_owned(),
            }
        };
        Some((Ok::<_, Infallible>(Bytes::from(part)), Some((attachment, ice_servers, false))))
    });
    let mut response = with_type(StatusCode::OK, "text/event-stream", Body::from_stream(parts));
    // nginx would otherwise collect events before it passes them on.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Answers with what there is as soon as there is something, or when the relay ends the poll.
async fn poll(attachment: Attachment, ice_servers: &IceServersOf) -> Response<Body> {
    let source = |peer| ice_servers.for_peer(peer);
    let mut frames = Vec::new();
    if let Next::Frame(frame) = attachment.next(&source).await {
        frames.push(frame.text);
        frames.extend(std::iter::from_fn(|| attachment.try_next(&source)).map(|frame| frame.text));
    }
    json(StatusCode::OK, format!("[{}]", frames.join(",")))
}

async fn text(signal: &Signal, body: Body) -> Result<String, Response<Body>> {
    read(body, signal.limits.request_bytes(), signal.request_timeout)
        .await
        .map_err(|refusal| counted(signal, &refusal))
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
