//! The page, its headers, health and metrics.

mod common;

use std::io::Write as _;

use common::{Answer, Server, text};

#[test]
fn the_page_comes_with_a_strict_policy() {
    let server = Server::start(&[]);
    let page = server.request("GET /", "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>Columba</title>"));
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'self';",
        "connect-src 'self' ws://a.test:99 wss://a.test:99;",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "object-src 'none'",
    ] {
        assert!(policy.contains(part), "no {part} in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    assert!(page.header("permissions-policy").contains("camera=(self)"));
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(page.header("strict-transport-security"), "", "not without a real certificate");

    let again = server.request(&format!("GET /\nif-none-match: {}", page.header("etag")), "");
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let head = server.request("HEAD /", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let post = server.request("POST /", "x");
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
    let module = server.request("GET /columba/index.js", "");
    assert_eq!(module.status, 200);
    assert_eq!(module.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(module.header("access-control-allow-origin"), "*");
}

#[test]
fn invalid_host_header_does_not_get_into_the_policy() {
    let server = Server::start(&[]);
    let page = server.request("GET /\nhost: a;script-src *", "");
    assert!(!page.header("content-security-policy").contains("script-src"), "{page:?}");
}

#[test]
fn unknown_paths_get_404() {
    let server = Server::start(&[]);
    for path in
        ["/nothing", "/../Cargo.toml", "/columba/../../Cargo.toml", "/%2e%2e/Cargo.toml", "/v1", "/columba/"]
    {
        let answer = server.request(&format!("GET {path}"), "");
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("call page"), "{path}: {}", answer.body);
    }
}

#[test]
fn health_and_metrics() {
    let server = Server::start(&[]);
    let health = server.request("GET /healthz", "");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let (joined, _) = server.join(r#"{"type":"create"}"#);
    let metrics = server.request("GET /metrics\nhost: localhost", "");
    assert_eq!(metrics.status, 200);
    for line in
        ["columba_signal_joins_total 1\n", "columba_signal_sessions 1\n", "columba_turn_allocations 0\n"]
    {
        assert!(metrics.body.contains(line), "no {line} in {}", metrics.body);
    }
    assert!(!metrics.body.contains(text(&joined["session"])));
    for line in metrics.body.lines() {
        let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(line.starts_with("# ") || sample, "{line}");
    }
    // Every family is declared once, and its samples follow.
    let mut types: Vec<&str> = metrics.body.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let all = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), all);
    for header in ["x-forwarded-for: 127.0.0.1", "via: 1.1 proxy", "x-real-ip: 203.0.113.1"] {
        let forwarded = server.request(&format!("GET /metrics\nhost: localhost\n{header}"), "");
        assert_eq!(forwarded.status, 403, "a proxy on this machine: {header}");
    }
    let named = server.request("GET /metrics\nhost: rebound.test", "");
    assert_eq!(named.status, 403, "a page whose name leads here, or a proxy that passes the name on");
    assert_eq!(raw(&server, "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"), 403, "an old proxy");
}

/// The status of the answer to these bytes.
fn raw(server: &Server, request: &str) -> u16 {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    Answer::read(stream).status
}

#[test]
fn requests_without_one_clear_host_are_refused() {
    let server = Server::start(&[]);
    let status =
        |headers: &str| raw(&server, &format!("GET /healthz HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"));
    assert_eq!(status("Host: a.test\r\n"), 200);
    assert_eq!(status(""), 400);
    assert_eq!(status("Host: a.test\r\nHost: a.test\r\n"), 400);
    assert_eq!(status("Host: a/b\r\n"), 400);
    assert_eq!(raw(&server, "GET /healthz HTTP/1.0\r\n\r\n"), 200, "a load balancer");
}

#[test]
fn metrics_are_served_to_allowed_networks_alone() {
    let server = Server::start(&["--metrics-allow", "192.0.2.0/24", "--trust-proxy", "127.0.0.1/32"]);
    assert_eq!(server.request("GET /metrics\nhost: 127.0.0.1", "").status, 403);
    assert_eq!(server.request("GET /metrics\nhost: 127.0.0.1\nx-forwarded-for: 192.0.2.1", "").status, 200);
    let further =
        server.request("GET /metrics\nhost: 127.0.0.1\nx-forwarded-for: 192.0.2.1, 198.51.100.1", "");
    assert_eq!(further.status, 403);
}

#[test]
fn slow_request_head_times_out() {
    use std::io::{Read as _, Write as _};
    let server = Server::start(&["--request-timeout", "300ms"]);
    for start in [
        "",
        "GET / HTTP/1.1\r\nhost:",
        "P",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(start.as_bytes()).unwrap();
        let mut rest = Vec::new();
        // Ends by itself, or the read times out.
        stream.read_to_end(&mut rest).unwrap();
    }
    let mut stream = server.connect();
    stream
        .write_all(b"POST /v1/signal HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{")
        .unwrap();
    assert_eq!(Answer::read(stream).status, 400);
}

#[test]
fn one_client_cannot_take_all_connections() {
    use std::io::{Read as _, Write as _};
    let server = Server::start(&["--max-connections-per-client", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let mut refused = server.connect();
    let _ = refused.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let mut nothing = Vec::new();
    let _ = refused.read_to_end(&mut nothing);
    assert!(nothing.is_empty(), "{nothing:?}");
    let mut first = held.remove(0);
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(Answer::read(first).status, 200);
}
