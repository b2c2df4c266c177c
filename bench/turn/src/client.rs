//! The smallest TURN client that can make a load: one thing after the other, over UDP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use columba_stun::attributes::{
    Nonce, Realm, RequestedTransport, Username, XorPeerAddress, XorRelayedAddress,
};
use columba_stun::{
    BuildError, ChannelData, ChannelNumber, Class, IntegrityKey, Message, MessageBuilder, Method,
    TransactionId,
};
use columba_turn::server::{Credentials, UnixTime};

/// The secret behind the credentials.
pub(crate) const SECRET: &str = "north";

/// The channel that every client binds.
const CHANNEL: u16 = 0x4000;

/// The time for which an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The times that a request is sent.
const TRIES: usize = 10;

/// One allocation.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    pub(crate) relayed: SocketAddr,
    credentials: Credentials,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    transactions: u64,
}

impl Client {
    /// Makes an allocation at a server.
    pub(crate) fn allocate(server: SocketAddr) -> Result<Self, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
        socket.connect(server).map_err(text)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let hour = Duration::from_secs(3600);
        let credentials = Credentials::mint(SECRET.as_bytes(), UnixTime(now), hour, "bench");
        let mut client = Self {
            socket,
            relayed: server,
            credentials,
            realm: Vec::new(),
            nonce: Vec::new(),
            transactions: 0,
        };
        let answer =
            client.request(Method::ALLOCATE, |builder| builder.push(&RequestedTransport::UDP).map(drop))?;
        let relayed = Message::parse(&answer).ok().and_then(|m| m.get::<XorRelayedAddress>().ok().flatten());
        client.relayed = relayed.ok_or("no relayed address")?.0;
        Ok(client)
    }

    /// Binds the channel to a peer.
    pub(crate) fn bind(&mut self, peer: SocketAddr) -> Result<(), String> {
        let channel = ChannelNumber::new(CHANNEL).ok_or("a channel")?;
        self.request(Method::CHANNEL_BIND, |builder| {
            builder.push(&channel)?.push(&XorPeerAddress(peer)).map(drop)
        })
        .map(drop)
    }

    /// A payload as it goes to the server.
    pub(crate) fn channel_data(payload: usize) -> Vec<u8> {
        let header = ChannelNumber::new(CHANNEL).and_then(|number| ChannelData::header(number, payload));
        [header.unwrap_or_default().as_slice(), &vec![7; payload]].concat()
    }

    fn request(
        &mut self,
        method: Method,
        fill: impl Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) -> Result<Vec<u8>, String> {
        for _ in 0..TRIES {
            self.transactions += 1;
            let mut id = [0; 12];
            id[..8].copy_from_slice(&self.transactions.to_be_bytes());
            let request = self.build(method, TransactionId(id), &fill).map_err(|error| error.to_string())?;
            self.socket.send(&request).map_err(text)?;
            let Some(answer) = receive(&self.socket, TransactionId(id)) else { continue };
            let message = Message::parse(&answer).map_err(|error| error.to_string())?;
            if message.class() == Class::SuccessResponse {
                return Ok(answer);
            }
            let (realm, nonce) = (message.get::<Realm<'_>>(), message.get::<Nonce<'_>>());
            let (Ok(Some(Realm(realm))), Ok(Some(Nonce(nonce)))) = (realm, nonce) else {
                return Err("refused".to_owned());
            };
            (self.realm, self.nonce) = (realm.to_vec(), nonce.to_vec());
        }
        Err("no answer".to_owned())
    }

    fn build(
        &self,
        method: Method,
        id: TransactionId,
        fill: &impl Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) -> Result<Vec<u8>, BuildError> {
        let mut buffer = [0; 600];
        let mut builder = MessageBuilder::new(&mut buffer, Class::Request, method, id)?;
        fill(&mut builder)?;
        if !self.nonce.is_empty() {
            let Credentials { username, password } = &self.credentials;
            builder.push(&Username(username))?.push(&Realm(&self.realm))?.push(&Nonce(&self.nonce))?;
            if let Ok(key) = IntegrityKey::long_term_md5(username, &self.realm, password) {
                builder.integrity(&key)?;
            }
        }
        Ok(builder.as_bytes().to_vec())
    }
}

/// A Binding request.
pub(crate) fn binding() -> Vec<u8> {
    let mut buffer = [0; 40];
    let built = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([9; 12]));
    built.map(|builder| builder.as_bytes().to_vec()).unwrap_or_default()
}

/// Returns whether a server answers a Binding request soon.
pub(crate) fn is_answered(server: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(server)?;
        socket.send(&binding())?;
        Ok(receive(&socket, TransactionId([9; 12])).is_some())
    };
    ask().unwrap_or(false)
}

fn receive(socket: &UdpSocket, id: TransactionId) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    for _ in 0..1000 {
        let length = socket.recv(&mut buffer).ok()?;
        let bytes = buffer.get(..length)?;
        if Message::parse(bytes).is_ok_and(|message| message.transaction_id() == id) {
            return Some(bytes.to_vec());
        }
    }
    None
}

fn text(error: io::Error) -> String {
    error.to_string()
}
