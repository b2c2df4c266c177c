//! What load balancers and Prometheus ask.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};

use super::client::contains;
use super::static_files::plain;
use super::{App, Client};

/// `/healthz`: whether new clients are welcome.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Response<Body> {
    if app.shared.drain.has_begun() {
        plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        plain(StatusCode::OK, "ok\n")
    }
}

/// `/metrics` in Prometheus's text format, for those who may see it.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
) -> Response<Body> {
    // Behind a proxy that nobody vouches for, the address says where the proxy is, not where the reader is.
    if client.through_stranger || !contains(&app.options.web.metrics_allow, client.ip) {
        return plain(
            StatusCode::FORBIDDEN,
            "The metrics are not for this address. The operator can open them with --metrics-allow.\n",
        );
    }
    let mut text = Exposition::default();
    text.gauge("columba_http_connections", "Open connections to the web port.", app.shared.connections());
    text.counter("columba_http_connections_total", "Connections to the web port.", app.shared.accepted());
    text.counter(
        "columba_http_connections_refused_total",
        "Connections refused because there were too many.",
        app.shared.refused(),
    );
    app.signal.expose(&mut text);
    text.gauge(
        "columba_draining",
        "1 while the server is stopping.",
        u64::from(app.shared.drain.has_begun()),
    );
    let _ = writeln!(
        text.0,
        "# HELP columba_build_info The running version.\n# TYPE columba_build_info gauge\ncolumba_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    let mut response = Response::new(Body::from(text.0));
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Prometheus's text format. Names and labels come from the program, never from the network.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// A number that only grows.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, "", &[("", value)]);
    }

    /// A number that is what it is now.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help, "", &[("", value)]);
    }

    /// Several counters that differ in one label.
    pub(crate) fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "counter", help, label, values);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (of, value) in values {
            let _ = match label {
                "" => writeln!(self.0, "{name} {value}"),
                label => writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}"),
            };
        }
    }
}
