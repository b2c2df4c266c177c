//! A server of DTLS 1.3 (RFC 9147, RFC 8446).

use super::{EPOCH_HANDSHAKE, Handshake, Io, Message, Session, Step};
use crate::alert::AlertDescription;
use crate::config::Version;
use crate::cookie::RetryCookie;
use crate::crypto::group::{self, Group};
use crate::crypto::suite::CipherSuite;
use crate::error::Fault;
use crate::message::{
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, Choices, ClientHello, ENCRYPTED_EXTENSIONS,
    RETRY_RANDOM, SERVER_HELLO, ServerHelloParts, write_certificate, write_certificate_request_13,
    write_encrypted_extensions,
};

/// An extension that DTLS 1.3 cannot do without (RFC 8446 §9.2).
const MISSING: Fault =
    Fault::new(AlertDescription::MISSING_EXTENSION, "the client leaves out what DTLS 1.3 needs");

impl Handshake {
    pub(super) fn answer_13(
        &mut self,
        io: &mut Io,
        message: &Message,
        hello: &ClientHello<'_>,
    ) -> Result<(), Fault> {
        if !hello.cookie.is_empty() {
            return Err(Fault::illegal("the client mixes two versions"));
        }
        let suite = self
            .config
            .suites()
            .find(|suite| suite.version() == Version::Dtls13 && hello.suites.contains(suite.number()));
        let suite = suite.ok_or(Fault::incompatible("both sides have no cipher suite in common"))?;
        let groups = hello.groups.ok_or(MISSING)?;
        self.peer_schemes = hello.schemes.ok_or(MISSING)?.iter().collect();
        hello.key_shares.ok_or(MISSING)?;
        self.own_scheme(Version::Dtls13)?;
        let shares = hello.shares()?;
        let offered =
            || self.config.groups_of(Version::Dtls13).filter(|group| groups.contains(group.number()));
        let share = |group: Group| shares.iter().find(|(number, _)| *number == group.number());
        // A key that is there spares a round trip, and is nearly as good as the preferred one.
        let chosen = offered().find_map(|group| share(group).map(|(_, share)| (group, *share)));
        let wanted = offered().next().ok_or(Fault::incompatible("both sides have no group in common"))?;
        let proven = self.take_retry_cookie(hello)?;
        if self.suite.is_some_and(|known| known != suite) {
            return Err(Fault::illegal("the client has changed its mind about the cipher suites"));
        }
        match chosen {
            Some((group, share)) if proven || self.cookie.is_none() => {
                self.suite = Some(suite);
                self.group = Some(group);
                self.choose(hello, Version::Dtls13)?;
                self.transcript.set_version(Version::Dtls13);
                self.transcript.push(message);
                self.send_flight_13(io, hello, suite, share)
            }
            _ if self.is_second_hello => {
                Err(Fault::illegal("the client answers with another key than it was asked for"))
            }
            _ => self.ask_again(io, message, suite, chosen.is_none().then_some(wanted)),
        }
    }

    /// Checks the cookie of a second ClientHello, and takes up the handshake where it was left
    /// without state. Returns whether there was a right one.
    fn take_retry_cookie(&mut self, hello: &ClientHello<'_>) -> Result<bool, Fault> {
        let (Some(key), Some(cookie)) = (&self.cookie, hello.retry_cookie) else { return Ok(false) };
        let retry = RetryCookie::read(key, cookie)
            .ok_or(Fault::illegal("the client's cookie is not the server's"))?;
        let suite = CipherSuite::from_number(retry.suite).ok_or(Fault::crypto())?;
        self.suite = Some(suite);
        self.is_second_hello = true;
        self.transcript.begin_with_hash(&retry.first_hello);
        let group = Group::from_number(retry.group);
        let body = retry_request(suite, group, Some(cookie));
        self.transcript.push_parts(SERVER_HELLO, 0, &body);
        Ok(true)
    }

    /// Sends a HelloRetryRequest. With cookies nothing of the first ClientHello is kept.
    fn ask_again(
        &mut self,
        io: &mut Io,
        message: &Message,
        suite: CipherSuite,
        group: Option<Group>,
    ) -> Result<(), Fault> {
        self.transcript.set_version(Version::Dtls13);
        self.transcript.push(message);
        self.transcript.replace_by_hash(suite.hash());
        io.flight.begin();
        if let Some(key) = &self.cookie {
            let first_hello = self.transcript.messages()[4..].to_vec();
            let number = group.map_or(0, Group::number);
            let cookie = RetryCookie { suite: suite.number(), group: number, first_hello }.write(key);
            self.transcript = super::Transcript::default();
            let body = retry_request(suite, group, Some(&cookie));
            // An answer longer than the question would make amplifiers of servers. ClientHellos
            // that can be answered at all are longer but for those made for it.
            if body.len() <= message.body.len() {
                io.flight.push(SERVER_HELLO, 0, body);
            }
            io.flight.expect_no_answer();
            return Ok(());
        }
        self.suite = Some(suite);
        self.version = Some(Version::Dtls13);
        self.is_second_hello = true;
        self.send(io, SERVER_HELLO, 0, retry_request(suite, group, None));
        Ok(())
    }

    fn send_flight_13(
        &mut self,
        io: &mut Io,
        hello: &ClientHello<'_>,
        suite: CipherSuite,
        client_share: &[u8],
    ) -> Result<(), Fault> {
        let group = self.group.ok_or(Fault::crypto())?;
        let (share, secret) = group::answer(group, client_share, &mut self.rng)?;
        let parts = ServerHelloParts {
            random: &self.server_random,
            suite: suite.number(),
            version: Version::Dtls13,
            key_share: Some((group, &share)),
            cookie: None,
            extended_master_secret: false,
            secure_renegotiation: false,
            choices: &Choices::default(),
        };
        let body = parts.write();
        self.send(io, SERVER_HELLO, 0, body);
        self.derive_handshake_13(io, &secret)?;
        let extensions = write_encrypted_extensions(&self.own_choices(hello, Version::Dtls13));
        self.send(io, ENCRYPTED_EXTENSIONS, EPOCH_HANDSHAKE, extensions);
        self.send(io, CERTIFICATE_REQUEST, EPOCH_HANDSHAKE, write_certificate_request_13());
        let certificate = write_certificate(Version::Dtls13, self.config.certificate.der());
        self.send(io, CERTIFICATE, EPOCH_HANDSHAKE, certificate);
        let verify = self.certificate_verify_13()?;
        self.send(io, CERTIFICATE_VERIFY, EPOCH_HANDSHAKE, verify);
        self.send_finished_13(io)?;
        self.derive_data_13()?;
        self.step = Step::ClientCertificate13;
        Ok(())
    }

    pub(super) fn on_client_finished_13(
        &mut self,
        io: &mut Io,
        message: &Message,
    ) -> Result<Option<Box<Session>>, Fault> {
        self.check_finished_13(message)?;
        io.flight.end();
        self.session_13(io).map(Some)
    }
}

/// The body of a HelloRetryRequest.
fn retry_request(suite: CipherSuite, group: Option<Group>, cookie: Option<&[u8]>) -> Vec<u8> {
    ServerHelloParts {
        random: &RETRY_RANDOM,
        suite: suite.number(),
        version: Version::Dtls13,
        key_share: group.map(|group| (group, &[][..])),
        cookie,
        extended_master_secret: false,
        secure_renegotiation: false,
        choices: &Choices::default(),
    }
    .write()
}
