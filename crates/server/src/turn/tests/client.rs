//! A TURN client that does one thing after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use columba_stun::attributes::{
    Data, ErrorInfo, Lifetime, Nonce, Realm, RequestedTransport, Username, XorMappedAddress, XorPeerAddress,
    XorRelayedAddress,
};
use columba_stun::stream::{Frame, Reader};
use columba_stun::{
    BuildError, ChannelData, ChannelNumber, Class, IntegrityKey, Message, MessageBuilder, Method,
    TransactionId,
};
use columba_turn::server::Credentials;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{PATIENCE, Running, credentials};

/// Something that is both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// The client's transport.
pub(super) enum Wire {
    Udp(UdpSocket),
    Stream(Box<dyn Duplex>, Reader),
}

/// The client.
pub(super) struct Client {
    pub(super) wire: Wire,
    credentials: Credentials,
    challenge: Option<(Vec<u8>, Vec<u8>)>,
}

/// Makes each transaction another one.
static TRANSACTIONS: AtomicU64 = AtomicU64::new(1);

impl Client {
    pub(super) async fn udp(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).await.unwrap();
        socket.connect(server).await.unwrap();
        Self::over(Wire::Udp(socket))
    }

    pub(super) async fn tcp(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Wire::Stream(Box::new(stream), Reader::new()))
    }

    pub(super) async fn tls(running: &Running, alpn: &[&[u8]]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(running.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(running.tls).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "relay.test".try_into().unwrap();
        let stream = timeout(PATIENCE, connector.connect(name, stream)).await.unwrap().unwrap();
        Self::over(Wire::Stream(Box::new(stream), Reader::new()))
    }

    pub(super) fn over(wire: Wire) -> Self {
        Self { wire, credentials: credentials(), challenge: None }
    }

    /// Goes on over another wire, as the same user.
    pub(super) fn change_wire(&mut self, other: Self) {
        self.wire = other.wire;
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => assert_eq!(socket.send(bytes).await.unwrap(), bytes.len()),
            Wire::Stream(stream, _) => {
                stream.write_all(bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    }

    /// The next message; `None` when the stream has ended.
    pub(super) async fn receive(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.receive_patiently()).await.expect("an answer in time")
    }

    async fn receive_patiently(&mut self) -> Option<Vec<u8>> {
        match &mut self.wire {
            Wire::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer).await.unwrap();
                buffer.truncate(length);
                Some(buffer)
            }
            Wire::Stream(stream, reader) => loop {
                if let Some(Frame::Message(bytes) | Frame::ChannelData(bytes)) = reader.next_frame().unwrap()
                {
                    return Some(bytes.to_vec());
                }
                match stream.read(reader.space()).await {
                    Ok(0) | Err(_) => return None,
                    Ok(length) => reader.advance(length),
                }
            },
        }
    }

    /// The address that the server sees.
    pub(super) async fn binding(&mut self) -> SocketAddr {
        let request = binding_request();
        self.send(&request).await;
        let answer = self.receive().await.unwrap();
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.class(), Class::SuccessResponse);
        assert_eq!(answer.transaction_id(), Message::parse(&request).unwrap().transaction_id());
        answer.get::<XorMappedAddress>().unwrap().unwrap().0
    }

    /// An authenticated request; the success response, or the error's code. Other messages that
    /// come meanwhile are lost.
    pub(super) async fn request(
        &mut self,
        method: Method,
        fill: impl Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) -> Result<Vec<u8>, u16> {
        for _ in 0..3 {
            let mut buffer = [0; 1500];
            let transaction = transaction();
            let mut builder = MessageBuilder::new(&mut buffer, Class::Request, method, transaction).unwrap();
            fill(&mut builder).unwrap();
            if let Some((realm, nonce)) = &self.challenge {
                let Credentials { username, password } = &self.credentials;
                builder.push(&Username(username)).unwrap().push(&Realm(realm)).unwrap();
                builder.push(&Nonce(nonce)).unwrap();
                let key = IntegrityKey::long_term_md5(username, realm, password).unwrap();
                builder.integrity(&key).unwrap();
            }
            let request = builder.as_bytes().to_vec();
            self.send(&request).await;
            let answer = loop {
                let answer = self.receive().await.expect("a connection that is still there");
                if Message::parse(&answer).is_ok_and(|message| message.transaction_id() == transaction) {
                    break answer;
                }
            };
            let message = Message::parse(&answer).unwrap();
            if message.class() == Class::SuccessResponse {
                return Ok(answer);
            }
            let code = message.get::<ErrorInfo<'_>>().unwrap().unwrap().code.number();
            if !matches!(code, 401 | 438) {
                return Err(code);
            }
            let realm = message.get::<Realm<'_>>().unwrap().unwrap().0.to_owned();
            let nonce = message.get::<Nonce<'_>>().unwrap().unwrap().0.to_owned();
            self.challenge = Some((realm, nonce));
        }
        Err(401)
    }

    pub(super) async fn allocate_with(
        &mut self,
        fill: impl Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) -> Result<SocketAddr, u16> {
        let answer = self
            .request(Method::ALLOCATE, |builder| {
                builder.push(&RequestedTransport::UDP)?;
                fill(builder)
            })
            .await?;
        Ok(Message::parse(&answer).unwrap().get::<XorRelayedAddress>().unwrap().unwrap().0)
    }

    /// The relayed address.
    pub(super) async fn allocate(&mut self) -> Result<SocketAddr, u16> {
        self.allocate_with(|_| Ok(())).await
    }

    pub(super) async fn release(&mut self) {
        self.request(Method::REFRESH, |builder| builder.push(&Lifetime(0)).map(drop)).await.unwrap();
    }

    pub(super) async fn permit(&mut self, peer: SocketAddr) -> Result<(), u16> {
        self.request(Method::CREATE_PERMISSION, |builder| builder.push(&XorPeerAddress(peer)).map(drop))
            .await
            .map(drop)
    }

    pub(super) async fn bind_channel(&mut self, channel: u16, peer: SocketAddr) -> Result<(), u16> {
        let channel = ChannelNumber::new(channel).unwrap();
        self.request(Method::CHANNEL_BIND, |builder| {
            builder.push(&channel)?.push(&XorPeerAddress(peer)).map(drop)
        })
        .await
        .map(drop)
    }

    pub(super) async fn send_indication(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut buffer = vec![0; data.len() + 100];
        let mut builder =
            MessageBuilder::new(&mut buffer, Class::Indication, Method::SEND, transaction()).unwrap();
        builder.push(&XorPeerAddress(peer)).unwrap().push(&Data(data)).unwrap();
        let bytes = builder.as_bytes().to_vec();
        self.send(&bytes).await;
    }

    pub(super) async fn send_channel(&mut self, channel: u16, data: &[u8]) {
        let bytes = self.channel_bytes(channel, data);
        self.send(&bytes).await;
    }

    /// Channel data as it travels over this client's wire.
    pub(super) fn channel_bytes(&self, channel: u16, data: &[u8]) -> Vec<u8> {
        let header = ChannelData::header(ChannelNumber::new(channel).unwrap(), data.len()).unwrap();
        let mut bytes = [&header[..], data].concat();
        if matches!(self.wire, Wire::Stream(..)) {
            bytes.resize(bytes.len() + ChannelData::padding(data.len()), 0);
        }
        bytes
    }

    /// The next data that was relayed: by which channel, or from which peer.
    pub(super) async fn receive_data(&mut self) -> (Via, Vec<u8>) {
        let bytes = self.receive().await.expect("a connection that is still there");
        if let Ok(data) = ChannelData::parse(&bytes) {
            return (Via::Channel(data.channel.number()), data.data.to_vec());
        }
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        let peer = message.get::<XorPeerAddress>().unwrap().unwrap().0;
        (Via::Peer(peer), message.get::<Data<'_>>().unwrap().unwrap().0.to_vec())
    }
}

/// The forms in which relayed data arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Via {
    Channel(u16),
    Peer(SocketAddr),
}

pub(super) fn binding_request() -> Vec<u8> {
    let mut buffer = [0; 100];
    let builder = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, transaction()).unwrap();
    builder.as_bytes().to_vec()
}

fn transaction() -> TransactionId {
    let number = TRANSACTIONS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut id = [7; 12];
    id[..8].copy_from_slice(&number);
    TransactionId(id)
}
