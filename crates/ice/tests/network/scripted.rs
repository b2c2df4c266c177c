//! An agent whose other side is scripted: each request and answer is written by the test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_ice::{
    Agent, Candidate, Config, Ecn, Event, Input, LocalAddress, Path, Received, RemoteParameters, Request,
};
use columba_netsim::Network;
use columba_stun::attributes::{
    IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress,
};
use columba_stun::{
    AttributeType, Class, ErrorCode, IntegrityKey, Message, MessageBuilder, Method, TransactionId,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

use crate::hostile::stranger;
use crate::lab::{Software, ip};

/// A message that the agent has sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) path: Path,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn nominates(&self) -> bool {
        self.message().get::<UseCandidate>().unwrap().is_some()
    }

    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }

    pub(crate) fn is_request(&self) -> bool {
        self.message().class() == Class::Request
    }
}

/// The attributes of a check beside its user name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Check {
    pub(crate) nominates: bool,
    /// It is sent by the controlling side.
    pub(crate) controls: bool,
    /// More attributes, with their values.
    pub(crate) more: Vec<(u16, Vec<u8>)>,
}

/// The agent, the time, and what has gone out.
pub(crate) struct ScriptedPeer {
    pub(crate) agent: Agent,
    pub(crate) now: Instant,
    pub(crate) locals: Vec<SocketAddr>,
    pub(crate) events: Vec<Event>,
    pub(crate) requests: Vec<Request>,
    pub(crate) sent: Vec<Sent>,
    next_transaction: u8,
}

impl ScriptedPeer {
    /// An agent on these addresses that has gathered, and does not know the other side yet.
    pub(crate) fn new(config: Config, addresses: &[LocalAddress]) -> Self {
        let now = Network::<Software>::new(1).now();
        let mut agent = Agent::new(config, &mut ChaCha12Rng::seed_from_u64(1));
        agent.handle_network_change(now, addresses);
        agent.gather(now);
        let mut stranger = Self {
            agent,
            now,
            locals: Vec::new(),
            events: Vec::new(),
            requests: Vec::new(),
            sent: Vec::new(),
            next_transaction: 0,
        };
        stranger.drain();
        stranger
    }

    /// On one address, and the other side is known.
    pub(crate) fn with_remote(config: Config) -> Self {
        let mut stranger = Self::new(config, &[ip("192.0.2.1").into()]);
        stranger.set_remote(crate::hostile::stranger());
        stranger
    }

    pub(crate) fn set_remote(&mut self, remote: RemoteParameters) {
        self.agent.set_remote(self.now, remote);
        self.drain();
    }

    pub(crate) fn add(&mut self, candidate: Candidate) {
        self.agent.add_remote_candidate(self.now, candidate);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        let mut buf = [0; 2000];
        loop {
            while let Some(transmit) = self.agent.poll_transmit(self.now, &mut buf) {
                let bytes = buf[transmit.range].to_vec();
                self.sent.push(Sent { at: self.now, path: transmit.path, bytes });
            }
            if let Some(request) = self.agent.poll_request() {
                if let Request::BindUdp { id, address } = request {
                    let port = 5000 + u16::try_from(self.locals.len()).unwrap();
                    let local = SocketAddr::new(address, port);
                    self.locals.push(local);
                    self.agent.handle_input(self.now, Input::Bound { id, local });
                }
                self.requests.push(request);
                continue;
            }
            let Some(event) = self.agent.poll_event() else { return };
            self.events.push(event);
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.agent.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.agent.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Takes the messages that were sent since the last call.
    pub(crate) fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// Delivers bytes to the agent, over the first socket.
    pub(crate) fn deliver(&mut self, from: SocketAddr, mut bytes: Vec<u8>) -> Received {
        let path = Path::udp(self.locals[0], from);
        let received = self.agent.handle_datagram(self.now, path, Ecn::NotEct, &mut bytes);
        self.drain();
        received
    }

    /// The stranger's check; its length in bytes.
    pub(crate) fn check(&mut self, from: SocketAddr, check: &Check) -> usize {
        self.next_transaction += 1;
        let credentials = self.agent.local_credentials().clone();
        let mut buffer = [0; 1500];
        let id = TransactionId([self.next_transaction; 12]);
        let mut builder = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, id).unwrap();
        let username = format!("{}:{}", credentials.ufrag, stranger().credentials.ufrag);
        builder.push(&Username(&username)).unwrap().push(&Priority(5)).unwrap();
        if check.controls {
            builder.push(&IceControlling(1)).unwrap();
        } else {
            builder.push(&IceControlled(1)).unwrap();
        }
        if check.nominates {
            builder.push(&UseCandidate).unwrap();
        }
        for (kind, value) in &check.more {
            builder.push_raw(AttributeType::new(*kind), value).unwrap();
        }
        builder.integrity(&IntegrityKey::short_term(&credentials.pwd)).unwrap().fingerprint().unwrap();
        let bytes = builder.as_bytes().to_vec();
        let length = bytes.len();
        self.deliver(from, bytes);
        length
    }

    /// A Binding indication of the stranger's that carries this value.
    pub(crate) fn indication(&mut self, embedded: &[u8]) -> Vec<u8> {
        self.next_transaction += 1;
        let credentials = self.agent.local_credentials().clone();
        let mut buffer = [0; 1500];
        let id = TransactionId([self.next_transaction; 12]);
        let mut builder = MessageBuilder::new(&mut buffer, Class::Indication, Method::BINDING, id).unwrap();
        let username = format!("{}:{}", credentials.ufrag, stranger().credentials.ufrag);
        builder.push(&Username(&username)).unwrap().push_raw(columba_ice::EMBEDDED, embedded).unwrap();
        builder.integrity(&IntegrityKey::short_term(&credentials.pwd)).unwrap().fingerprint().unwrap();
        builder.as_bytes().to_vec()
    }

    /// The stranger's answer to a request, which it saw come from `mapped`.
    pub(crate) fn answer(&mut self, request: &Sent, mapped: SocketAddr) {
        let mut buffer = [0; 200];
        let mut builder = MessageBuilder::success(&mut buffer, &request.message()).unwrap();
        builder.push(&XorMappedAddress(mapped)).unwrap();
        self.reply(request, builder);
    }

    pub(crate) fn refuse(&mut self, request: &Sent, code: ErrorCode) {
        let mut buffer = [0; 200];
        let builder = MessageBuilder::error(&mut buffer, &request.message(), code).unwrap();
        self.reply(request, builder);
    }

    /// As [`refuse`](Self::refuse), with this value of ERROR-CODE.
    pub(crate) fn refuse_raw(&mut self, request: &Sent, error: &[u8]) {
        let mut buffer = [0; 200];
        let id = request.message().transaction_id();
        let mut builder =
            MessageBuilder::new(&mut buffer, Class::ErrorResponse, Method::BINDING, id).unwrap();
        builder.push_raw(AttributeType::ERROR_CODE, error).unwrap();
        self.reply(request, builder);
    }

    fn reply(&mut self, request: &Sent, mut builder: MessageBuilder<'_>) {
        builder.integrity(&IntegrityKey::short_term(&stranger().credentials.pwd)).unwrap();
        builder.fingerprint().unwrap();
        let mut bytes = builder.as_bytes().to_vec();
        self.agent.handle_datagram(self.now, request.path, Ecn::NotEct, &mut bytes);
        self.drain();
    }

    /// Answers all requests to an address that have gone out since it was asked last.
    pub(crate) fn answer_all(&mut self, remote: SocketAddr) {
        for sent in self.take() {
            if sent.is_request() && sent.path.remote == remote {
                self.answer(&sent, sent.path.local);
            }
        }
    }

    /// The address that data goes to now.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        let stats = self.agent.stats();
        let pair = stats.pairs.iter().find(|pair| Some(pair.id) == stats.transport.selected_pair)?;
        pair.path.map(|path| path.remote)
    }
}
