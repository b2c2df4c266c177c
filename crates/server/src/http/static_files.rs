//! The call page and the modules, embedded in the program.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

include!(concat!(env!("OUT_DIR"), "/static_files.rs"));

static BY_PATH: LazyLock<BTreeMap<&'static str, File>> = LazyLock::new(|| {
    let file = |content: &'static [u8], path: &str| {
        let hash = digest::digest(&digest::SHA256, content);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]));
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
        File { content, content_type: content_type(path), etag }
    };
    FILES.iter().map(|&(path, content)| (path, file(content, path))).collect()
});

struct File {
    content: &'static [u8],
    content_type: &'static str,
    /// Of the content, so that a new version of the program is noticed at once.
    etag: HeaderValue,
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("html", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        "json" => "application/json",
        "woff2" => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

/// Answers for everything that is not signaling.
pub(super) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let Some(file) = BY_PATH.get(uri.path()) else {
        return plain(StatusCode::NOT_FOUND, "There is nothing at this address. The call page is at /.\n");
    };
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This address can only be read: use GET.\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let known =
        headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|tags| {
            tags.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || file.etag == tag)
        });
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = Response::new(Body::from(file.content));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        response
    };
    response.headers_mut().insert(header::ETAG, file.etag.clone());
    // Kept, but asked about each time: what changes with the program must not be mixed with what
    // was there before.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if uri.path().starts_with("/columba/") {
        // Modules may be used by pages of other origins; signaling decides what they may connect
        // to.
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

/// An answer of one sentence.
pub(super) fn plain(status: StatusCode, sentence: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(sentence.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
