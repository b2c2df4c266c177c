//! A WebSocket to the server, over TCP or TLS.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::dial::dial;
use super::error::SignalingError;
use super::options::SignalingOptions;
use crate::tls;

const SUBPROTOCOL: &str = "columba.v1";

/// Bytes of the largest message that is read: several times what the protocol's server forwards.
const MAX_MESSAGE: usize = 4 << 20;

/// Where a signaling service is.
#[derive(Clone, Debug)]
pub(super) struct Address {
    uri: Uri,
    host: String,
    port: u16,
    is_secure: bool,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, SignalingError> {
        let invalid = |reason| SignalingError::InvalidUrl { url: url.to_owned(), reason };
        // A fragment is the page's business.
        let uri: Uri =
            url.split('#').next().unwrap_or_default().parse().map_err(|_| invalid("it is not a URL"))?;
        let (scheme, is_secure, default_port) = match uri.scheme_str() {
            Some("http" | "ws") => ("ws", false, 80),
            Some("https" | "wss") => ("wss", true, 443),
            _ => return Err(invalid("it must begin with http://, https://, ws:// or wss://")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(invalid("it names no host"));
        }
        let port = authority.port_u16().unwrap_or(default_port);
        let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
            "" | "/" => "/v1/signal",
            path => path,
        };
        let uri = format!("{scheme}://{authority}{path}").parse().map_err(|_| invalid("it is not a URL"))?;
        Ok(Self { uri, host, port, is_secure })
    }

    /// Host and port, for people.
    pub(super) fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Anything that carries bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    home: Option<IpAddr>,
}

/// Received from a socket.
pub(super) enum Received {
    /// A text message.
    Text(String),
    /// Something that only shows that the other end lives.
    Activity,
}

impl Socket {
    /// Connects within the time that the options give.
    pub(super) async fn open(address: &Address, options: &SignalingOptions) -> Result<Self, SignalingError> {
        match timeout(options.timing.open, Self::connect(address, options)).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(address, "it does not answer")),
        }
    }

    async fn connect(address: &Address, options: &SignalingOptions) -> Result<Self, SignalingError> {
        let stream = dial(&address.host, address.port)
            .await
            .map_err(|error| unreachable(address, &error.to_string()))?;
        let home = stream.local_addr().ok().map(|local| local.ip().to_canonical());
        // Small messages must not wait for each other.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = if address.is_secure {
            let config = options.tls.clone().map_or_else(tls::client_config, Ok);
            let config: Arc<rustls::ClientConfig> = config.map_err(|reason| unreachable(address, &reason))?;
            let name = ServerName::try_from(address.host.clone())
                .map_err(|_| unreachable(address, "its name cannot be in a certificate"))?;
            let secured = TlsConnector::from(config).connect(name, stream).await;
            Box::new(secured.map_err(|error| unreachable(address, &format!("TLS failed: {error}")))?)
        } else {
            Box::new(stream)
        };
        let not_signaling =
            |reason: String| SignalingError::NotASignalingServer { server: address.server(), reason };
        let mut request =
            address.uri.clone().into_client_request().map_err(|error| not_signaling(error.to_string()))?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, _)) => Ok(Self { stream, home }),
            Err(WsError::Http(response)) => {
                Err(not_signaling(format!("it answers with HTTP status {}", response.status().as_u16())))
            }
            Err(WsError::Io(error)) => Err(unreachable(address, &error.to_string())),
            Err(error) => Err(not_signaling(error.to_string())),
        }
    }

    /// The host's own address that the connection was made from.
    pub(super) fn home(&self) -> Option<IpAddr> {
        self.home
    }

    /// Receives; `None` once the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Received> {
        match self.stream.next().await? {
            Ok(Message::Text(text)) => Some(Received::Text(text.to_string())),
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(_) => Some(Received::Activity),
        }
    }

    /// Takes a message for sending.
    pub(super) async fn feed(&mut self, text: String) -> Result<(), ()> {
        self.stream.feed(Message::Text(text.into())).await.map_err(|_| ())
    }

    /// Sends what was taken.
    pub(super) async fn flush(&mut self) -> Result<(), ()> {
        self.stream.flush().await.map_err(|_| ())
    }

    /// Closes politely.
    pub(super) async fn close(mut self) {
        let _ = self.stream.close(None).await;
        while let Some(Ok(_)) = self.stream.next().await {}
    }
}

fn unreachable(address: &Address, reason: &str) -> SignalingError {
    SignalingError::Unreachable { server: address.server(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_all_common_forms_are_read() {
        for (url, uri, server) in [
            ("https://example.org", "wss://example.org/v1/signal", "example.org:443"),
            ("http://localhost:8080/#token", "ws://localhost:8080/v1/signal", "localhost:8080"),
            ("ws://[::1]:9/other?x=1", "ws://[::1]:9/other?x=1", "[::1]:9"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.uri.to_string().as_str(), address.server().as_str()), (uri, server));
        }
        for bad in ["", "example.org", "ftp://example.org", "https://", "http:///path"] {
            assert!(matches!(Address::parse(bad), Err(SignalingError::InvalidUrl { .. })), "{bad:?}");
        }
    }
}
