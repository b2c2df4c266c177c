//! A server of DTLS 1.2 (RFC 6347, RFC 5246, RFC 8422).

use super::{DOWNGRADE, Handshake, Io, Message, Session, Step, expect};
use crate::config::{Role, Version};
use crate::crypto::group::{Group, KeyExchange};
use crate::error::Fault;
use crate::message::{
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, ClientHello, SERVER_HELLO,
    SERVER_HELLO_DONE, SERVER_KEY_EXCHANGE, ServerHelloParts, read_client_key_exchange, read_signed,
    write_certificate, write_certificate_request_12, write_server_parameters, write_signed,
};
use crate::wire::Reader;

impl Handshake {
    pub(super) fn answer_12(
        &mut self,
        io: &mut Io,
        message: &Message,
        hello: &ClientHello<'_>,
    ) -> Result<(), Fault> {
        let kind = self.config.certificate.key().kind();
        let suite = self.config.suites().find(|suite| {
            suite.authentication() == Some(kind.authentication()) && hello.suites.contains(suite.number())
        });
        let suite = suite.ok_or(Fault::incompatible("both sides have no cipher suite in common"))?;
        // A client that says nothing takes all (RFC 8422 §4), but can be expected to have P-256.
        let group = match hello.groups {
            Some(groups) => {
                self.config.groups_of(Version::Dtls12).find(|group| groups.contains(group.number()))
            }
            None => self.config.groups_of(Version::Dtls12).find(|group| *group == Group::Secp256r1),
        };
        let group = group.ok_or(Fault::incompatible("both sides have no group in common"))?;
        self.peer_schemes = hello.schemes.map(|schemes| schemes.iter().collect()).unwrap_or_default();
        let scheme = self.own_scheme(Version::Dtls12)?;
        self.choose(hello, Version::Dtls12)?;
        self.suite = Some(suite);
        self.group = Some(group);
        self.extended_master_secret = hello.extended_master_secret;
        self.transcript.set_version(Version::Dtls12);
        self.transcript.push(message);
        if self.config.has(Version::Dtls13) {
            self.server_random[24..].copy_from_slice(&DOWNGRADE);
        }
        self.send_hello_12(io, hello, suite.number());
        let certificate = write_certificate(Version::Dtls12, self.config.certificate.der());
        self.send(io, CERTIFICATE, 0, certificate);
        let key = KeyExchange::new(group, &mut self.rng)?;
        let mut exchange = write_server_parameters(group, key.share());
        let content = [&self.client_random[..], &self.server_random, &exchange].concat();
        let signature = self.config.certificate.key().sign(scheme, &content)?;
        write_signed(&mut exchange, scheme, &signature);
        self.keys = vec![key];
        self.send(io, SERVER_KEY_EXCHANGE, 0, exchange);
        self.send(io, CERTIFICATE_REQUEST, 0, write_certificate_request_12());
        self.send(io, SERVER_HELLO_DONE, 0, Vec::new());
        self.step = Step::ClientCertificate12;
        Ok(())
    }

    fn send_hello_12(&mut self, io: &mut Io, hello: &ClientHello<'_>, suite: u16) {
        let parts = ServerHelloParts {
            random: &self.server_random,
            suite,
            version: Version::Dtls12,
            key_share: None,
            cookie: None,
            extended_master_secret: hello.extended_master_secret,
            secure_renegotiation: hello.secure_renegotiation,
            choices: &self.own_choices(hello, Version::Dtls12),
        };
        let body = parts.write();
        self.send(io, SERVER_HELLO, 0, body);
    }

    pub(super) fn on_client_key_exchange(&mut self, io: &mut Io, message: &Message) -> Result<(), Fault> {
        expect(message, CLIENT_KEY_EXCHANGE)?;
        let share = read_client_key_exchange(&message.body)?;
        let key = self.keys.pop().ok_or(Fault::crypto())?;
        self.shared = Some(key.agree(share)?);
        self.transcript.push(message);
        self.derive_12(io)?;
        self.step = Step::ClientCertificateVerify12;
        Ok(())
    }

    pub(super) fn on_certificate_verify_12(&mut self, message: &Message) -> Result<(), Fault> {
        expect(message, CERTIFICATE_VERIFY)?;
        let mut reader = Reader::new(&message.body);
        let (scheme, signature) = read_signed(&mut reader)?;
        reader.finish()?;
        self.verify(Version::Dtls12, scheme, self.transcript.messages(), signature)?;
        self.transcript.push(message);
        self.step = Step::ClientFinished12;
        Ok(())
    }

    pub(super) fn on_client_finished_12(
        &mut self,
        io: &mut Io,
        message: &Message,
    ) -> Result<Option<Box<Session>>, Fault> {
        debug_assert_eq!(self.role, Role::Server);
        self.check_finished_12(message)?;
        io.flight.begin();
        self.send_finished_12(io)?;
        io.flight.expect_no_answer();
        self.session_12(io).map(Some)
    }
}
