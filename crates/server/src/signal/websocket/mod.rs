//! The WebSocket transport.

mod conversation;
mod frame;
mod handshake;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use columba_signal::{ErrorCode, Refusal};
use hyper_util::rt::TokioIo;
use tracing::debug;

use self::conversation::Conversation;
use super::body::refuse;
use super::service::Signal;
use crate::client::Client;
use crate::memory::{Account, Holder};
use crate::places::Place;

/// The bytes that an idle WebSocket counts for: its task, socket and membership.
const IDLE_BYTES: usize = 4 * 1024;

/// `GET /v1/signal`.
pub(super) async fn websocket(
    State(signal): State<Arc<Signal>>,
    Extension(client): Extension<Client>,
    Extension(account): Extension<Account>,
    Extension(place): Extension<Place>,
    mut request: Request,
) -> Response<Body> {
    let answer = match handshake::answer(&request) {
        Ok(answer) => answer,
        Err(response) => return *response,
    };
    // A client that does not know the protocol's version would not understand anything else either.
    if !handshake::offers_protocol(request.headers()) {
        signal.count(ErrorCode::SubprotocolRequired);
        let sentence = "Offer the WebSocket subprotocol columba.v1.";
        return refuse(&Refusal::new(ErrorCode::SubprotocolRequired, sentence));
    }
    let Ok(held) = account.hold(Holder::WebSockets, IDLE_BYTES) else {
        return refuse(&Refusal::new(ErrorCode::ServerFull, "The server has no memory to spare."));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return debug!(%error, "a connection ended before it was a WebSocket"),
        };
        let attachment = signal.connect(client);
        let conversation = Box::pin(Conversation::new(upgraded, attachment, held, place));
        tokio::select! {
            () = conversation => {}
            () = account.evicted() => debug!("a WebSocket ended because it held too much"),
        }
    });
    answer
}
