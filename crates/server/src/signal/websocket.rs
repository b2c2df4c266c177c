//! The WebSocket transport.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::ExtensionRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse as _, Response};
use columba_signal::{ErrorCode, Input, Refusal};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;

use super::attachment::{Attachment, Closing, Next};
use super::body::refuse;
use super::ice_servers::IceServersOf;
use super::service::Signal;
use crate::client::Client;

const SUBPROTOCOL: &str = "columba.v1";

/// The time in which a client must take the last frames and send its own close.
const FAREWELL: Duration = Duration::from_secs(2);

/// `GET /v1/signal`.
pub(super) async fn websocket(
    State(signal): State<Arc<Signal>>,
    client: Result<Extension<Client>, ExtensionRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (Extension(client), upgrade) = match (client, upgrade) {
        (Ok(client), Ok(upgrade)) => (client, upgrade),
        (Err(rejection), _) => return rejection.into_response(),
        (_, Err(rejection)) => return rejection.into_response(),
    };
    let signal = signal.clone();
    let limit = signal.limits.frame_bytes();
    // A client that does not know the protocol's version would not understand anything else either.
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(limit).max_frame_size(limit);
    if upgrade.selected_protocol().is_none() {
        signal.count(ErrorCode::SubprotocolRequired);
        let sentence = "Offer the WebSocket subprotocol columba.v1.";
        return refuse(&Refusal::new(ErrorCode::SubprotocolRequired, sentence));
    }
    upgrade.on_upgrade(move |socket| async move {
        let ice_servers = signal.ice_servers.of(&client);
        let attachment = signal.connect(client.ip);
        converse(socket, attachment, ice_servers).await;
    })
}

/// Carries frames both ways until one side ends it.
async fn converse(socket: WebSocket, attachment: Attachment, ice_servers: IceServersOf) {
    let (mut sink, mut stream) = socket.split();
    let ended_by_relay = tokio::select! {
        () = listen(&mut stream, &attachment) => false,
        ended = send_all(&mut sink, &attachment, &ice_servers) => ended,
    };
    if ended_by_relay {
        // Bytes unread at the close would make the kernel take back what was just sent.
        let rest = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = timeout(FAREWELL, rest).await;
    } else {
        // Sends the answer to the client's close.
        let _ = timeout(FAREWELL, sink.close()).await;
    }
}

/// Takes what the client sends. Ends when the client does.
async fn listen(stream: &mut SplitStream<WebSocket>, attachment: &Attachment) {
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Text(text)) => attachment.input(Input::Text(&text)),
            Ok(Message::Binary(_)) => attachment.input(Input::Binary),
            Ok(Message::Ping(_) | Message::Pong(_)) => attachment.input(Input::Activity),
            Ok(Message::Close(_)) => return,
            Err(error) if is_too_large(&error) => {
                attachment.input(Input::TooLarge);
                // The relay closes the connection; nothing after the unread frame can be read.
                return std::future::pending().await;
            }
            Err(_) => return,
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    matches!(source.and_then(|source| source.downcast_ref()), Some(tungstenite::Error::Capacity(_)))
}

/// Sends what the relay has. True if it was the relay that ended the connection.
async fn send_all(
    sink: &mut SplitSink<WebSocket, Message>,
    attachment: &Attachment,
    ice_servers: &IceServersOf,
) -> bool {
    let source = |peer| ice_servers.for_peer(peer);
    loop {
        match attachment.next(&source).await {
            Next::Frame(frame) => {
                let ping = frame.ping;
                let send = async {
                    sink.send(Message::Text(frame.text.into())).await?;
                    if ping { sink.send(Message::Ping(Default::default())).await } else { Ok(()) }
                };
                if !patiently(attachment, send).await {
                    return false;
                }
            }
            Next::Closed(Closing { code, error }) => {
                let reason = error.map(ErrorCode::as_str).unwrap_or_default().into();
                let close = Message::Close(Some(CloseFrame { code, reason }));
                return matches!(timeout(FAREWELL, sink.send(close)).await, Ok(Ok(())));
            }
        }
    }
}

/// Sends for as long as it takes, but once the relay has given the client up, for a moment only.
async fn patiently(attachment: &Attachment, send: impl Future<Output = Result<(), axum::Error>>) -> bool {
    let mut send = std::pin::pin!(send);
    tokio::select! {
        sent = send.as_mut() => sent.is_ok(),
        () = attachment.closing() => matches!(timeout(FAREWELL, send).await, Ok(Ok(()))),
    }
}
