//! The opening handshake (RFC 6455 §4.2).

use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The name of the protocol and its version.
const SUBPROTOCOL: &str = "columba.v1";

/// The text that is appended to the key (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The answer that makes the connection a WebSocket.
///
/// # Errors
///
/// The answer to a request that is not a WebSocket's.
pub(super) fn answer(request: &Request) -> Result<Response<Body>, Box<Response<Body>>> {
    let headers = request.headers();
    let names = |name: HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !names(header::CONNECTION, "upgrade") || !names(header::UPGRADE, "websocket") {
        let mut response = refusal(StatusCode::UPGRADE_REQUIRED, "This address is for WebSockets.\n");
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        return Err(response);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        let mut response = refusal(StatusCode::BAD_REQUEST, "The WebSocket version must be 13.\n");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(response);
    }
    let accept = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| accept(key.as_bytes()));
    let Some(accept) = accept else {
        return Err(refusal(StatusCode::BAD_REQUEST, "The WebSocket key is missing or not one.\n"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

/// Returns whether the client offers the subprotocol.
pub(super) fn offers_protocol(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offers
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|protocol| protocol.trim() == SUBPROTOCOL))
}

/// The proof that the server has read the key; none if it is not 16 bytes in base64.
fn accept(key: &[u8]) -> Option<HeaderValue> {
    if STANDARD.decode(key).ok()?.len() != 16 {
        return None;
    }
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID.as_bytes());
    HeaderValue::try_from(STANDARD.encode(context.finish())).ok()
}

fn refusal(status: StatusCode, sentence: &'static str) -> Box<Response<Body>> {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Box::new(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    /// The key and answer of RFC 6455 §1.3.
    #[test]
    fn key_is_answered_as_in_the_rfc() {
        let response = answer(&request(&GOOD)).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    }

    #[test]
    fn other_requests_are_refused() {
        for (at, status) in [(0, 426), (1, 426), (2, 400), (3, 400)] {
            let mut headers = GOOD.to_vec();
            headers.remove(at);
            assert_eq!(answer(&request(&headers)).unwrap_err().status(), status, "without {:?}", GOOD[at]);
        }
        let mut headers = GOOD;
        headers[3].1 = "c2hvcnQ=";
        assert_eq!(answer(&request(&headers)).unwrap_err().status(), 400, "a short key");
    }

    #[test]
    fn subprotocol_is_found_among_others() {
        assert!(offers_protocol(request(&[("sec-websocket-protocol", "x, columba.v1")]).headers()));
        assert!(!offers_protocol(request(&[("sec-websocket-protocol", "columba.v0")]).headers()));
        assert!(!offers_protocol(&HeaderMap::new()));
    }
}
