//! A client of DTLS 1.2 (RFC 6347, RFC 5246, RFC 8422).

use super::identity::check_finished;
use super::{Exporter, Handshake, Io, Message, Session, Step, expect};
use crate::config::{Role, Version};
use crate::crypto::group::{self, Group};
use crate::crypto::prf::Master;
use crate::error::Fault;
use crate::message::{
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, FINISHED, SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE, ServerHello, ServerKeyExchange, read_certificate_request_12, write_certificate,
    write_client_key_exchange, write_signed,
};
use crate::record::{Opener, Sealer};

impl Handshake {
    pub(super) fn on_server_hello_12(
        &mut self,
        message: &Message,
        hello: &ServerHello<'_>,
    ) -> Result<(), Fault> {
        if hello.is_retry() || hello.key_share.is_some() || hello.cookie.is_some() {
            return Err(Fault::illegal("the server mixes two versions"));
        }
        self.transcript.set_version(Version::Dtls12);
        self.transcript.push(message);
        self.server_random = hello.random;
        self.extended_master_secret = hello.extended_master_secret;
        self.take_choices(hello.choices.clone())?;
        self.step = Step::Certificate12;
        Ok(())
    }

    /// Handles the other side's Certificate, of either role.
    pub(super) fn on_certificate_12(&mut self, message: &Message) -> Result<(), Fault> {
        self.take_certificate(Version::Dtls12, message)?;
        self.transcript.push(message);
        let kind = self.peer.as_ref().map(|peer| peer.key.kind).ok_or(Fault::crypto())?;
        if self.role == Role::Server {
            self.step = Step::ClientKeyExchange;
            return Ok(());
        }
        if Some(kind.authentication()) != self.negotiated_suite()?.authentication() {
            return Err(Fault::illegal("the server's certificate does not fit the cipher suite"));
        }
        self.step = Step::ServerKeyExchange;
        Ok(())
    }

    pub(super) fn on_server_key_exchange(&mut self, message: &Message) -> Result<(), Fault> {
        expect(message, SERVER_KEY_EXCHANGE)?;
        let exchange = ServerKeyExchange::read(&message.body)?;
        let group = Group::from_number(exchange.group)
            .filter(|group| self.config.groups_of(Version::Dtls12).any(|offered| offered == *group))
            .ok_or(Fault::illegal("the server has chosen a group that was not offered"))?;
        let content = [&self.client_random[..], &self.server_random, exchange.parameters].concat();
        self.verify(Version::Dtls12, exchange.scheme, &content, exchange.signature)?;
        let (share, secret) = group::answer(group, exchange.share, &mut self.rng)?;
        self.group = Some(group);
        self.shared = Some(secret);
        self.own_share = share;
        self.transcript.push(message);
        self.step = Step::CertificateRequest12;
        Ok(())
    }

    /// RFC 5763 §5 and RFC 8827 §6.5 want both sides to show their certificates.
    pub(super) fn on_certificate_request_12(&mut self, message: &Message) -> Result<(), Fault> {
        if message.kind == SERVER_HELLO_DONE {
            return Err(Fault::incompatible("the server does not ask for a certificate"));
        }
        expect(message, CERTIFICATE_REQUEST)?;
        self.peer_schemes = read_certificate_request_12(&message.body)?.iter().collect();
        self.transcript.push(message);
        self.step = Step::ServerHelloDone;
        Ok(())
    }

    pub(super) fn on_server_hello_done(&mut self, io: &mut Io, message: &Message) -> Result<(), Fault> {
        expect(message, SERVER_HELLO_DONE)?;
        if !message.body.is_empty() {
            return Err(Fault::decode("a message that is empty is not"));
        }
        self.transcript.push(message);
        let scheme = self.own_scheme(Version::Dtls12)?;
        io.flight.begin();
        let certificate = write_certificate(Version::Dtls12, self.config.certificate.der());
        self.send(io, CERTIFICATE, 0, certificate);
        let exchange = write_client_key_exchange(&self.own_share);
        self.send(io, CLIENT_KEY_EXCHANGE, 0, exchange);
        self.derive_12(io)?;
        let signature = self.config.certificate.key().sign(scheme, self.transcript.messages())?;
        let mut verify = Vec::with_capacity(signature.len() + 4);
        write_signed(&mut verify, scheme, &signature);
        self.send(io, CERTIFICATE_VERIFY, 0, verify);
        self.send_finished_12(io)?;
        self.step = Step::ServerFinished12;
        Ok(())
    }

    /// Derives the keys, when the messages up to ClientKeyExchange are in the transcript (RFC 7627
    /// §4), and takes them.
    pub(super) fn derive_12(&mut self, io: &mut Io) -> Result<(), Fault> {
        let suite = self.negotiated_suite()?;
        let shared = self.shared.take().ok_or(Fault::crypto())?;
        let hash = suite.hash();
        let session = self.extended_master_secret.then(|| self.transcript.hash(hash));
        let session = session.as_ref().map(AsRef::as_ref);
        let master = Master::new(hash, &shared, self.client_random, self.server_random, session)?;
        self.log("CLIENT_RANDOM", master.secret());
        let block = master.key_block(suite)?;
        let (key, iv) = block.keys_of(self.role);
        io.records.add_sealer(Sealer::new_12(suite, key, iv)?);
        let (key, iv) = block.keys_of(self.role.other());
        io.records.add_opener(Opener::new_12(suite, key, iv)?);
        self.master = Some(master);
        Ok(())
    }

    /// Sends ChangeCipherSpec and Finished.
    pub(super) fn send_finished_12(&mut self, io: &mut Io) -> Result<(), Fault> {
        let transcript = self.transcript.hash(self.negotiated_suite()?.hash());
        let master = self.master.as_ref().ok_or(Fault::crypto())?;
        let data = master.verify_data(self.role, transcript.as_ref())?;
        io.flight.push_change_cipher_spec();
        self.send(io, FINISHED, 1, data.to_vec());
        Ok(())
    }

    /// Checks the other side's Finished.
    pub(super) fn check_finished_12(&mut self, message: &Message) -> Result<(), Fault> {
        expect(message, FINISHED)?;
        let transcript = self.transcript.hash(self.negotiated_suite()?.hash());
        let master = self.master.as_ref().ok_or(Fault::crypto())?;
        let expected = master.verify_data(self.role.other(), transcript.as_ref())?;
        check_finished(&expected, &message.body)?;
        self.transcript.push(message);
        Ok(())
    }

    pub(super) fn on_server_finished_12(
        &mut self,
        io: &mut Io,
        message: &Message,
    ) -> Result<Option<Box<Session>>, Fault> {
        self.check_finished_12(message)?;
        io.flight.end();
        self.session_12(io).map(Some)
    }

    /// The outcome of a handshake of DTLS 1.2.
    pub(super) fn session_12(&mut self, io: &mut Io) -> Result<Box<Session>, Fault> {
        if let Some(limit) = self.choices.record_size_limit {
            io.records.set_limit(limit.into());
        }
        let master = self.master.take().ok_or(Fault::crypto())?;
        Ok(Box::new(Session {
            version: Version::Dtls12,
            suite: self.negotiated_suite()?,
            group: self.group.ok_or(Fault::crypto())?,
            peer_certificate: self.peer.take().ok_or(Fault::crypto())?.der,
            srtp: self.choices.srtp,
            alpn: self.choices.alpn.take(),
            extended_master_secret: self.extended_master_secret,
            exporter: Exporter::Dtls12(master),
            traffic: None,
        }))
    }
}
