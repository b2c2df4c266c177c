//! A TURN client over UDP or TCP.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use columba_stun::attributes::{
    ErrorInfo, Lifetime, Nonce, Realm, RequestedAddressFamily, RequestedTransport, Username, XorPeerAddress,
    XorRelayedAddress,
};
use columba_stun::{
    AddressFamily, BuildError, ChannelNumber, Class, IntegrityKey, Message, MessageBuilder, Method,
    TransactionId,
};
use columba_turn::server::{Credentials, UnixTime};

use super::http::connect_from;

/// The time to the first retransmission, and the number of them (RFC 8489 §6.2.1).
const RETRANSMIT: Duration = Duration::from_millis(500);
const TRIES: u32 = 6;

/// The client's transport.
#[derive(Debug)]
pub(crate) enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A client with the credentials of a user.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) wire: Wire,
    credentials: Credentials,
    challenge: Option<(Vec<u8>, Vec<u8>)>,
    transactions: u32,
    /// The most transmissions that any request has taken.
    pub(crate) transmissions: u32,
}

impl Turn {
    pub(crate) fn udp(source: IpAddr, server: SocketAddr, user: &str) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(source, 0))?;
        socket.connect(server)?;
        Ok(Self::over(Wire::Udp(socket), mint(user)))
    }

    pub(crate) fn tcp(source: IpAddr, server: SocketAddr, user: &str) -> io::Result<Self> {
        Ok(Self::over(Wire::Tcp(connect_from(source, server)?), mint(user)))
    }

    /// With credentials that the server has made.
    pub(crate) fn with(
        source: IpAddr,
        server: SocketAddr,
        username: &str,
        password: &str,
    ) -> io::Result<Self> {
        let client = Self::udp(source, server, "")?;
        let credentials = Credentials { username: username.to_owned(), password: password.to_owned() };
        Ok(Self { credentials, ..client })
    }

    fn over(wire: Wire, credentials: Credentials) -> Self {
        Self { wire, credentials, challenge: None, transactions: 0, transmissions: 0 }
    }

    /// The relayed address, or the code of the error.
    pub(crate) fn allocate(&mut self) -> io::Result<Result<SocketAddr, u16>> {
        let answer =
            self.request(Method::ALLOCATE, |builder| builder.push(&RequestedTransport::UDP).map(drop))?;
        let relayed = |bytes: Vec<u8>| {
            Message::parse(&bytes).ok()?.get::<XorRelayedAddress>().ok()?.map(|relayed| relayed.0)
        };
        answer
            .map(|bytes| relayed(bytes).ok_or_else(|| io::Error::other("no relayed address")))
            .transpose_io()
    }

    /// The same of an IPv6 relay.
    pub(crate) fn allocate_ipv6(&mut self) -> io::Result<Result<(), u16>> {
        let answer = self.request(Method::ALLOCATE, |builder| {
            let family = RequestedAddressFamily(AddressFamily::Ipv6.number());
            builder.push(&RequestedTransport::UDP)?.push(&family).map(drop)
        })?;
        Ok(answer.map(drop))
    }

    /// Asks for another lifetime.
    pub(crate) fn refresh(&mut self, lifetime: Duration) -> io::Result<Result<(), u16>> {
        let seconds = lifetime.as_secs() as u32;
        let answer = self.request(Method::REFRESH, |builder| builder.push(&Lifetime(seconds)).map(drop))?;
        Ok(answer.map(drop))
    }

    /// Permissions for these peers, or the code of the error.
    pub(crate) fn permit(&mut self, peers: &[SocketAddr]) -> io::Result<Result<(), u16>> {
        let answer = self.request(Method::CREATE_PERMISSION, |builder| {
            peers.iter().try_for_each(|peer| builder.push(&XorPeerAddress(*peer)).map(drop))
        })?;
        Ok(answer.map(drop))
    }

    /// Success, or the code of the error.
    pub(crate) fn bind_channel(&mut self, channel: u16, peer: SocketAddr) -> io::Result<Result<(), u16>> {
        let channel = ChannelNumber::new(channel).ok_or(io::ErrorKind::InvalidInput)?;
        let answer = self.request(Method::CHANNEL_BIND, |builder| {
            builder.push(&channel)?.push(&XorPeerAddress(peer)).map(drop)
        })?;
        Ok(answer.map(drop))
    }

    /// Sends data on a channel; over UDP it may be lost.
    pub(crate) fn send_channel(&self, channel: u16, data: &[u8]) {
        if let Wire::Udp(socket) = &self.wire {
            let length = (data.len() as u16).to_be_bytes();
            let _ = socket.send(&[&channel.to_be_bytes()[..], &length, data].concat());
        }
    }

    /// Ends the allocation.
    pub(crate) fn release(&mut self) -> io::Result<Result<(), u16>> {
        self.refresh(Duration::ZERO)
    }

    fn request(
        &mut self,
        method: Method,
        fill: impl Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) -> io::Result<Result<Vec<u8>, u16>> {
        for _ in 0..3 {
            self.transactions += 1;
            let mut id = [0x5a; 12];
            id[..4].copy_from_slice(&self.transactions.to_be_bytes());
            let id = TransactionId(id);
            let request = self.build(method, id, &fill).map_err(|_| io::ErrorKind::InvalidInput)?;
            let answer = self.exchange(&request, id)?;
            let message = Message::parse(&answer).map_err(|_| io::ErrorKind::InvalidData)?;
            if message.class() == Class::SuccessResponse {
                return Ok(Ok(answer));
            }
            let code = message.get::<ErrorInfo<'_>>().ok().flatten().map_or(0, |error| error.code.number());
            let realm = message.get::<Realm<'_>>().ok().flatten();
            let nonce = message.get::<Nonce<'_>>().ok().flatten();
            match (code, realm, nonce) {
                (401, ..) if self.challenge.is_some() => return Ok(Err(code)),
                (401 | 438, Some(realm), Some(nonce)) => {
                    self.challenge = Some((realm.0.to_owned(), nonce.0.to_owned()));
                }
                _ => return Ok(Err(code)),
            }
        }
        Ok(Err(438))
    }

    fn build(
        &self,
        method: Method,
        id: TransactionId,
        fill: &impl Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) -> Result<Vec<u8>, BuildError> {
        let mut buffer = [0; 1000];
        let mut builder = MessageBuilder::new(&mut buffer, Class::Request, method, id)?;
        fill(&mut builder)?;
        if let Some((realm, nonce)) = &self.challenge {
            let Credentials { username, password } = &self.credentials;
            builder.push(&Username(username))?.push(&Realm(realm))?.push(&Nonce(nonce))?;
            if let Ok(key) = IntegrityKey::long_term_md5(username, realm, password) {
                builder.integrity(&key)?;
            }
        }
        Ok(builder.as_bytes().to_vec())
    }

    /// Sends a request, again and again over UDP, until there is an answer.
    fn exchange(&mut self, request: &[u8], id: TransactionId) -> io::Result<Vec<u8>> {
        match &mut self.wire {
            Wire::Tcp(stream) => {
                stream.write_all(request)?;
                let mut head = [0; 20];
                stream.read_exact(&mut head)?;
                let mut answer = head.to_vec();
                answer.resize(20 + usize::from(u16::from_be_bytes([head[2], head[3]])), 0);
                stream.read_exact(&mut answer[20..])?;
                Ok(answer)
            }
            Wire::Udp(socket) => {
                let mut wait = RETRANSMIT;
                for transmission in 1..=TRIES {
                    self.transmissions = self.transmissions.max(transmission);
                    socket.send(request)?;
                    socket.set_read_timeout(Some(wait))?;
                    let mut buffer = [0; 1500];
                    while let Ok(length) = socket.recv(&mut buffer) {
                        let answer = &buffer[..length];
                        if Message::parse(answer).is_ok_and(|answer| answer.transaction_id() == id) {
                            return Ok(answer.to_vec());
                        }
                    }
                    wait *= 2;
                }
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

/// Turns an outcome with an error inside inside out.
trait TransposeIo<T> {
    fn transpose_io(self) -> io::Result<Result<T, u16>>;
}

impl<T> TransposeIo<T> for Result<io::Result<T>, u16> {
    fn transpose_io(self) -> io::Result<Result<T, u16>> {
        match self {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) => Err(error),
            Err(code) => Ok(Err(code)),
        }
    }
}

/// Credentials by the secret that the server of the arena has.
fn mint(user: &str) -> Credentials {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Credentials::mint(crate::arena::SECRET.as_bytes(), UnixTime(now), Duration::from_secs(3600), user)
}

/// A Binding request, or an Allocate request without credentials, with this number in its id.
pub(crate) fn unauthenticated(method: Method, number: u64) -> Vec<u8> {
    let mut id = [0; 12];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut buffer = [0; 100];
    let message = MessageBuilder::new(&mut buffer, Class::Request, method, TransactionId(id));
    let Ok(mut builder) = message else { return Vec::new() };
    if method == Method::ALLOCATE {
        // A request of ours fits into a hundred bytes.
        let _ = builder.push(&RequestedTransport::UDP);
    }
    builder.as_bytes().to_vec()
}
