//! The endpoints for load balancers and Prometheus.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, Version, header};

use super::App;
use super::static_files::plain;
use crate::client::{Client, contains};
use crate::memory::BudgetStats;
use crate::metrics::Exposition;
use crate::turn::TurnStats;

/// `/healthz`: 200 if new clients are welcome and get what the server is for, else 503 and why not.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Response<Body> {
    match health(&app).await {
        Ok(()) => plain(StatusCode::OK, "ok\n"),
        Err(fault) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    }
}

async fn health(app: &App) -> Result<(), String> {
    if app.shared.drain.has_begun() {
        return Err("draining".to_owned());
    }
    let memory = app.shared.budget.stats();
    let held: u64 = memory.held.iter().map(|(_, bytes)| bytes).sum();
    if held > memory.limit {
        return Err("clients hold more memory than they may".to_owned());
    }
    match &app.shared.relay {
        Some(service) => service.check().await.map_err(|fault| fault.to_string()),
        None => Ok(()),
    }
}

/// `/metrics` in Prometheus's text format, for those who may see it.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    version: Version,
) -> Response<Body> {
    // Behind a proxy that is not trusted, the address is that of the proxy, not of the reader.
    let public_host = app.options.relay.public_host.as_ref();
    // Neither is a request of a page in a browser nearby, whose name was made to lead here, nor one
    // of a proxy on this machine. Proxies of HTTP/1.0 often tell nothing of their client.
    let is_local_proxy = version < Version::HTTP_11 && client.ip.is_loopback();
    let is_direct = !client.through_stranger && !is_local_proxy && client.names_server(public_host);
    if !is_direct || !contains(&app.options.web.metrics_allow, client.ip) {
        return plain(
            StatusCode::FORBIDDEN,
            "The metrics are for those who ask this server by its address, from a network of --metrics-allow, and not \
             through a proxy that is not trusted.\n",
        );
    }
    let mut text = Exposition::default();
    text.gauge(
        "columba_http_connections",
        "Open connections to the web port.",
        app.shared.places.connections(),
    );
    text.counter(
        "columba_http_connections_total",
        "Connections to the web port.",
        app.shared.places.accepted(),
    );
    text.counter(
        "columba_http_connections_refused_total",
        "Connections refused because there were too many.",
        app.shared.places.refused(),
    );
    expose_memory(&app.shared.budget.stats(), &mut text);
    app.signal.expose(&mut text);
    if let Some(relay) = &app.shared.relay {
        expose_relay(&relay.stats(), &mut text);
    }
    text.counter(
        "columba_task_failures_total",
        "Times that a task failed and was started again.",
        app.supervisor.failures(),
    );
    text.gauge(
        "columba_draining",
        "1 while the server is stopping.",
        u64::from(app.shared.drain.has_begun()),
    );
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    text.gauges("columba_build_info", "The running version.", "version", &version);
    let mut response = Response::new(Body::from(text.into_text()));
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Adds what clients make the server hold.
fn expose_memory(stats: &BudgetStats, text: &mut Exposition) {
    text.gauge("columba_memory_limit_bytes", "Bytes that clients may make the server hold.", stats.limit);
    text.gauges("columba_memory_held_bytes", "Bytes held for clients.", "holder", &stats.held);
    text.counter(
        "columba_memory_evictions_total",
        "Connections closed because they held most when the memory was used up.",
        stats.evictions,
    );
}

/// Adds what STUN and TURN have counted.
fn expose_relay(stats: &TurnStats, text: &mut Exposition) {
    let server = &stats.server;
    text.gauge("columba_turn_allocations", "Allocations.", server.allocations_live);
    text.gauge("columba_turn_relay_ports", "Relay ports held.", server.relays_live);
    for (name, help, value) in [
        ("columba_turn_allocations_total", "Allocations made.", server.allocations_total),
        (
            "columba_turn_allocations_moved_total",
            "Times that an allocation followed its client to another address.",
            server.allocations_moved,
        ),
        ("columba_turn_successes_total", "Success responses.", server.successes),
        (
            "columba_turn_answers_withheld_total",
            "Requests whose source had been answered enough.",
            server.answers_withheld,
        ),
        (
            "columba_turn_control_bytes_in_total",
            "Bytes of STUN messages for the server.",
            server.control_bytes_in,
        ),
        (
            "columba_turn_control_bytes_out_total",
            "Bytes of STUN messages from the server.",
            server.control_bytes_out,
        ),
        (
            "columba_turn_datagrams_in_process_total",
            "Datagrams from relay to relay.",
            server.datagrams_in_process,
        ),
    ] {
        text.counter(name, help, value);
    }
    text.counters(
        "columba_turn_requests_total",
        "Requests.",
        "method",
        &[
            ("binding", server.binding_requests),
            ("allocate", server.allocate_requests),
            ("refresh", server.refresh_requests),
            ("create_permission", server.create_permission_requests),
            ("channel_bind", server.channel_bind_requests),
        ],
    );
    let relayed = [("to_peers", server.datagrams_to_peers), ("to_clients", server.datagrams_to_clients)];
    text.counters("columba_turn_relayed_datagrams_total", "Datagrams relayed.", "direction", &relayed);
    let relayed = [("to_peers", server.bytes_to_peers), ("to_clients", server.bytes_to_clients)];
    text.counters("columba_turn_relayed_bytes_total", "Payload bytes relayed.", "direction", &relayed);
    let codes: Vec<(String, u64)> = server.errors().map(|(code, count)| (code.to_string(), count)).collect();
    let codes: Vec<(&str, u64)> = codes.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    text.counters("columba_turn_errors_total", "Error responses.", "code", &codes);
    let drops: Vec<(&str, u64)> = server.drops().map(|(reason, count)| (reason.name(), count)).collect();
    text.counters("columba_turn_dropped_total", "What was neither answered nor relayed.", "reason", &drops);
    let (open, events): (Vec<_>, Vec<_>) = stats.sockets.all().partition(|(name, _)| name.ends_with("_open"));
    for (_, value) in open {
        text.gauge("columba_turn_streams", "TCP and TLS connections.", value);
    }
    text.counters("columba_turn_socket_events_total", "What happened at the sockets.", "event", &events);
}
