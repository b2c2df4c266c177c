//! Handshakes: which message is expected next, and what follows from it. One file for each role and
//! version; the table of states is in `docs/dtls-states.md`.

mod client;
mod client12;
mod client13;
mod flight;
mod identity;
mod reassembly;
mod server;
mod server12;
mod server13;
mod session;
mod transcript;

use std::sync::Arc;

use aws_lc_rs::hmac;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng, SeedableRng};

pub(crate) use flight::Flight;
pub(crate) use reassembly::{Fragment, Inserted, Message, Reassembly};
pub(crate) use session::{Exporter, Session, Traffic};
use transcript::Transcript;

use crate::certificate::{Fingerprint, PublicKey};
use crate::config::{Config, Role, Version};
use crate::crypto::group::{Group, KeyExchange, SharedSecret};
use crate::crypto::prf::Master;
use crate::crypto::schedule::Stage;
use crate::crypto::secret::Secret;
use crate::crypto::suite::CipherSuite;
use crate::error::Fault;
use crate::message::{Choices, FINISHED};
use crate::record::RecordLayer;

/// Epochs of DTLS 1.3: of the handshake, and of the first data (RFC 9147 §6.1).
pub(crate) const EPOCH_HANDSHAKE: u64 = 2;
pub(crate) const EPOCH_DATA: u64 = 3;

/// The end of the random number of a server that has DTLS 1.3 but negotiates 1.2 (RFC 8446 §4.1.3).
const DOWNGRADE: [u8; 8] = *b"DOWNGRD\x01";

/// The message that a side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A client: ServerHello, HelloRetryRequest or HelloVerifyRequest.
    ServerHello,
    /// A client of DTLS 1.2.
    Certificate12,
    ServerKeyExchange,
    CertificateRequest12,
    ServerHelloDone,
    ServerFinished12,
    /// A client of DTLS 1.3.
    EncryptedExtensions,
    CertificateRequest13,
    ServerCertificate13,
    ServerCertificateVerify13,
    ServerFinished13,
    /// A server.
    ClientHello,
    /// A server of DTLS 1.2.
    ClientCertificate12,
    ClientKeyExchange,
    ClientCertificateVerify12,
    ClientFinished12,
    /// A server of DTLS 1.3.
    ClientCertificate13,
    ClientCertificateVerify13,
    ClientFinished13,
}

/// The layers below a handshake.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) records: RecordLayer,
    pub(crate) flight: Flight,
}

/// A handshake that is going on. It is dropped when it is complete.
pub(crate) struct Handshake {
    role: Role,
    config: Arc<Config>,
    fingerprints: Vec<Fingerprint>,
    rng: ChaCha20Rng,
    step: Step,
    transcript: Transcript,
    client_random: [u8; 32],
    server_random: [u8; 32],
    version: Option<Version>,
    suite: Option<CipherSuite>,
    group: Option<Group>,
    /// The key that proves the client's address, if that is asked for.
    cookie: Option<hmac::Key>,
    /// A client's cookie was right, or a second ClientHello was asked for.
    is_second_hello: bool,
    /// The own keys of the key exchange.
    keys: Vec<KeyExchange>,
    shared: Option<SharedSecret>,
    /// A client's public key in DTLS 1.2.
    own_share: Vec<u8>,
    peer: Option<Peer>,
    /// The signature schemes that the other side takes.
    peer_schemes: Vec<u16>,
    extended_master_secret: bool,
    choices: Choices,
    master: Option<Master>,
    schedule: Option<Schedule>,
}

/// The other side's certificate.
#[derive(Debug)]
struct Peer {
    der: Vec<u8>,
    key: PublicKey,
}

/// The secrets of DTLS 1.3.
#[derive(Debug)]
struct Schedule {
    stage: Stage,
    client_handshake: Secret,
    server_handshake: Secret,
    /// Those of the data, once the server's Finished is known: the client's, the server's, and the
    /// exporter's.
    data: Option<[Secret; 3]>,
}

impl Handshake {
    pub(crate) fn new(
        role: Role,
        config: Arc<Config>,
        fingerprints: Vec<Fingerprint>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut rng = ChaCha20Rng::from_rng(rng);
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        let step = match role {
            Role::Client => Step::ServerHello,
            Role::Server => Step::ClientHello,
        };
        Self {
            role,
            config,
            fingerprints,
            rng,
            step,
            transcript: Transcript::default(),
            client_random: random,
            server_random: random,
            version: None,
            suite: None,
            group: None,
            cookie: None,
            is_second_hello: false,
            keys: Vec::new(),
            shared: None,
            own_share: Vec::new(),
            peer: None,
            peer_schemes: Vec::new(),
            extended_master_secret: false,
            choices: Choices::default(),
            master: None,
            schedule: None,
        }
    }

    pub(crate) fn set_cookie_key(&mut self, key: hmac::Key) {
        self.cookie = Some(key);
    }

    pub(crate) fn set_fingerprints(&mut self, fingerprints: Vec<Fingerprint>) {
        self.fingerprints = fingerprints;
    }

    pub(crate) fn step(&self) -> Step {
        self.step
    }

    pub(crate) fn version(&self) -> Option<Version> {
        self.version
    }

    pub(crate) fn suite(&self) -> Option<CipherSuite> {
        self.suite
    }

    pub(crate) fn group(&self) -> Option<Group> {
        self.group
    }

    /// Returns true if a message of this kind may come in a record of this epoch: only Finished is
    /// protected in DTLS 1.2, everything behind the hellos in DTLS 1.3.
    pub(crate) fn accepts(&self, epoch: u64, kind: u8) -> bool {
        match (self.step, self.version) {
            (Step::ServerHello | Step::ClientHello, _) | (_, None) => epoch == 0,
            (Step::ServerFinished12 | Step::ClientFinished12, _) => epoch == 1,
            (_, Some(Version::Dtls12)) => epoch == u64::from(kind == FINISHED),
            (_, Some(Version::Dtls13)) => epoch == EPOCH_HANDSHAKE,
        }
    }

    /// Handles the next message. Returns the session when the handshake is complete.
    pub(crate) fn handle(&mut self, io: &mut Io, message: &Message) -> Result<Option<Box<Session>>, Fault> {
        if message.epoch > 0 && !self.accepts(message.epoch, message.kind) {
            return Err(Fault::unexpected("a message came with the keys of another one"));
        }
        match self.step {
            Step::ServerHello => self.on_hello_of_server(io, message)?,
            Step::Certificate12 => self.on_certificate_12(message)?,
            Step::ServerKeyExchange => self.on_server_key_exchange(message)?,
            Step::CertificateRequest12 => self.on_certificate_request_12(message)?,
            Step::ServerHelloDone => self.on_server_hello_done(io, message)?,
            Step::ServerFinished12 => return self.on_server_finished_12(io, message),
            Step::EncryptedExtensions => self.on_encrypted_extensions(message)?,
            Step::CertificateRequest13 => self.on_certificate_request_13(message)?,
            Step::ServerCertificate13 | Step::ClientCertificate13 => self.on_certificate_13(message)?,
            Step::ServerCertificateVerify13 | Step::ClientCertificateVerify13 => {
                self.on_certificate_verify_13(message)?;
            }
            Step::ServerFinished13 => return self.on_server_finished_13(io, message),
            Step::ClientHello => self.on_client_hello(io, message)?,
            Step::ClientCertificate12 => self.on_certificate_12(message)?,
            Step::ClientKeyExchange => self.on_client_key_exchange(io, message)?,
            Step::ClientCertificateVerify12 => self.on_certificate_verify_12(message)?,
            Step::ClientFinished12 => return self.on_client_finished_12(io, message),
            Step::ClientFinished13 => return self.on_client_finished_13(io, message),
        }
        Ok(None)
    }

    /// Adds an own message to the flight and to the transcript.
    fn send(&mut self, io: &mut Io, kind: u8, epoch: u64, body: Vec<u8>) {
        let number = io.flight.push(kind, epoch, body);
        self.transcript.push_parts(kind, number, io.flight.body(number));
    }

    /// Writes down a secret, if that is asked for.
    fn log(&self, label: &str, secret: &[u8]) {
        if let Some(log) = &self.config.key_log {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            log.log(&format!("{label} {} {}", hex(&self.client_random), hex(secret)));
        }
    }

    fn negotiated_suite(&self) -> Result<CipherSuite, Fault> {
        self.suite.ok_or(Fault::crypto())
    }
}

/// Debug output must not give secrets away.
impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("step", &self.step)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Checks that a message is of the expected kind.
fn expect(message: &Message, kind: u8) -> Result<(), Fault> {
    if message.kind == kind {
        Ok(())
    } else {
        Err(Fault::unexpected("a message came that is not the next one of the handshake"))
    }
}
