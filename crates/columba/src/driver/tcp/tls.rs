//! TLS towards TURN servers, and the trait of what carries a connection's bytes.

use std::io;
#[cfg(feature = "tls")]
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection's bytes, over TCP or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The way in which the certificates of TURN servers are checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerTls {
    /// `None`: against the system's roots.
    #[cfg(feature = "tls")]
    pub(crate) config: Option<Arc<rustls::ClientConfig>>,
}

impl ServerTls {
    /// Secures a connection to the server of this name.
    ///
    /// # Errors
    /// The handshake failed, or TLS is not built in.
    #[cfg(feature = "tls")]
    pub(super) async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        use rustls::pki_types::ServerName;

        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let config = self.config.clone().map_or_else(crate::tls::client_config, Ok);
        let config = config.map_err(io::Error::other)?;
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await?;
        Ok(Box::new(stream))
    }

    /// Refuses: TLS is not built in.
    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "as with TLS")]
    pub(super) async fn connect(&self, _name: &str, _stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
