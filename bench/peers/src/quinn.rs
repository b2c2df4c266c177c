//! `quinn`: QUIC instead of WebRTC, with each message behind its length on one stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use quinn::congestion::BbrConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::Mutex;

use crate::end::{End, Outcome, PINNED_MTU};
use crate::path::{Path, Side};

/// The name in the server's certificate.
const NAME: &str = "localhost";

/// Bytes of the length in front of a message.
const PREFIX: usize = 4;

/// Bytes of its windows over paths with delay.
const FAR_WINDOW: u32 = 64 << 20;

/// A connection of quinn's with a stream, as configured by default, but for datagrams of a pinned
/// size, or, for far paths, with BBR and large windows.
pub(crate) struct Quinn<const PINNED: bool, const FAR: bool> {
    /// Lives as long as the connection.
    endpoint: Endpoint,
    connection: Connection,
    outgoing: Mutex<SendStream>,
    incoming: Mutex<Incoming>,
}

/// The stream of the other side. A message that is received in part goes on with the next call.
struct Incoming {
    stream: RecvStream,
    prefix: Vec<u8>,
    /// Bytes of the message that were received.
    received: usize,
}

impl Incoming {
    async fn receive(&mut self) -> Outcome<usize> {
        loop {
            let length = match self.prefix[..] {
                [a, b, c, d] => u32::from_be_bytes([a, b, c, d]) as usize,
                _ => 0,
            };
            let is_whole = self.prefix.len() == PREFIX;
            if is_whole && self.received == length {
                self.prefix.clear();
                self.received = 0;
                return Ok(length);
            }
            let most = if is_whole { length - self.received } else { PREFIX - self.prefix.len() };
            let chunk = self.stream.read_chunk(most, true).await?.ok_or("the stream has ended")?;
            if is_whole {
                self.received += chunk.bytes.len();
            } else {
                self.prefix.extend_from_slice(&chunk.bytes);
            }
        }
    }
}

/// The cryptography of both sides. Made once: with a certificate for each connection, as WebRTC has
/// it, quinn's would take longer to open.
struct Identity {
    server: Arc<QuicServerConfig>,
    client: Arc<QuicClientConfig>,
}

static IDENTITY: LazyLock<Outcome<Identity>> = LazyLock::new(Identity::new);

impl Identity {
    fn new() -> Outcome<Self> {
        let own = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let certificate = own.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(default_provider());
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { server: Arc::new(server.try_into()?), client: Arc::new(client.try_into()?) })
    }
}

impl<const PINNED: bool, const FAR: bool> End for Quinn<PINNED, FAR> {
    async fn connect(path: &Path) -> Outcome<(Self, Self)> {
        let identity = IDENTITY.as_ref().map_err(ToString::to_string)?;
        let mut transport = TransportConfig::default();
        if PINNED {
            transport.initial_mtu(PINNED_MTU).mtu_discovery_config(None);
        }
        if FAR {
            transport
                .stream_receive_window(VarInt::from_u32(FAR_WINDOW))
                .receive_window(VarInt::from_u32(FAR_WINDOW))
                .send_window(FAR_WINDOW.into())
                .congestion_controller_factory(Arc::new(BbrConfig::default()));
        }
        let transport = Arc::new(transport);
        let mut server = ServerConfig::with_crypto(identity.server.clone());
        server.transport_config(Arc::clone(&transport));
        let mut client = ClientConfig::new(identity.client.clone());
        client.transport_config(transport);

        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listening = Endpoint::server(server, local)?;
        let calling = Endpoint::client(local)?;
        let target =
            path.address(Side::Callee, listening.local_addr()?)?.ok_or("the callee has two addresses")?;
        path.address(Side::Caller, calling.local_addr()?)?;
        let caller = calling.connect_with(client, target, NAME)?;
        let callee = listening.accept().await.ok_or("the endpoint was closed")?;
        let (caller, callee) = tokio::try_join!(caller, callee)?;
        // The other side hears of a stream with its first bytes.
        let (mut outgoing, incoming) = caller.open_bi().await?;
        outgoing.write_all(&[0; PREFIX]).await?;
        let (answering, asked) = callee.accept_bi().await?;
        let caller = Self::new(calling, caller, outgoing, incoming);
        let callee = Self::new(listening, callee, answering, asked);
        match callee.receive().await? {
            0 => Ok((caller, callee)),
            other => Err(format!("the stream began with a message of {other} bytes").into()),
        }
    }

    async fn send(&self, message: Bytes) -> Outcome<()> {
        let length = Bytes::copy_from_slice(&u32::try_from(message.len())?.to_be_bytes());
        Ok(self.outgoing.lock().await.write_all_chunks(&mut [length, message]).await?)
    }

    async fn receive(&self) -> Outcome<usize> {
        self.incoming.lock().await.receive().await
    }

    async fn close(&self) -> Outcome<()> {
        self.connection.close(0u32.into(), b"");
        self.endpoint.close(0u32.into(), b"");
        Ok(())
    }
}

impl<const PINNED: bool, const FAR: bool> Quinn<PINNED, FAR> {
    fn new(endpoint: Endpoint, connection: Connection, outgoing: SendStream, incoming: RecvStream) -> Self {
        let incoming = Incoming { stream: incoming, prefix: Vec::with_capacity(PREFIX), received: 0 };
        Self { endpoint, connection, outgoing: Mutex::new(outgoing), incoming: Mutex::new(incoming) }
    }
}
