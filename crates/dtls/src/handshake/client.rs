//! A client until the version is known.

use super::{DOWNGRADE, Handshake, Io, Message, Step, expect};
use crate::alert::AlertDescription;
use crate::config::{Role, Version};
use crate::crypto::group::{Group, KeyExchange};
use crate::crypto::suite::CipherSuite;
use crate::error::Fault;
use crate::message::{
    CLIENT_HELLO, ClientHelloParts, HELLO_VERIFY_REQUEST, SERVER_HELLO, ServerHello,
    read_hello_verify_request,
};

impl Handshake {
    /// Sends the ClientHello.
    pub(crate) fn begin(&mut self, io: &mut Io) -> Result<(), Fault> {
        if self.config.has(Version::Dtls13) {
            let preferred = self.config.groups_of(Version::Dtls13).next();
            let preferred = preferred.ok_or(Fault::incompatible("no group is configured"))?;
            self.keys.push(KeyExchange::new(preferred, &mut self.rng)?);
            // A server without the new group need not ask for the old one.
            if preferred == Group::X25519MlKem768 && self.config.groups.contains(&Group::X25519) {
                self.keys.push(KeyExchange::new(Group::X25519, &mut self.rng)?);
            }
        }
        io.flight.begin();
        self.send_client_hello(io, &[], None);
        Ok(())
    }

    pub(super) fn send_client_hello(&mut self, io: &mut Io, cookie: &[u8], retry_cookie: Option<&[u8]>) {
        let parts = ClientHelloParts {
            config: &self.config,
            random: &self.client_random,
            cookie,
            retry_cookie,
            keys: &self.keys,
        };
        let body = parts.write();
        self.send(io, CLIENT_HELLO, 0, body);
    }

    pub(super) fn on_hello_of_server(&mut self, io: &mut Io, message: &Message) -> Result<(), Fault> {
        if message.kind == HELLO_VERIFY_REQUEST && self.version.is_none() && !self.is_second_hello {
            return self.on_hello_verify_request(io, message);
        }
        expect(message, SERVER_HELLO)?;
        let hello = ServerHello::read(&message.body)?;
        let version = self.version_of(&hello)?;
        let suite = CipherSuite::from_number(hello.suite).filter(|suite| {
            suite.version() == version && self.config.suites().any(|offered| offered == *suite)
        });
        let suite =
            suite.ok_or(Fault::illegal("the server has chosen a cipher suite that was not offered"))?;
        if self.suite.is_some_and(|known| known != suite) {
            return Err(Fault::illegal("the server has changed its mind about the cipher suite"));
        }
        self.suite = Some(suite);
        self.version = Some(version);
        io.records.set_version(version);
        match version {
            Version::Dtls12 => self.on_server_hello_12(message, &hello),
            Version::Dtls13 if hello.is_retry() => self.on_hello_retry_request(io, message, &hello),
            Version::Dtls13 => self.on_server_hello_13(io, message, &hello),
        }
    }

    fn version_of(&self, hello: &ServerHello<'_>) -> Result<Version, Fault> {
        let unsupported = Fault::new(
            AlertDescription::PROTOCOL_VERSION,
            "the server has chosen a version that was not offered",
        );
        if hello.version != Version::Dtls12.number() {
            return Err(unsupported);
        }
        let version = match hello.selected_version {
            None => Version::Dtls12,
            Some(number) if number == Version::Dtls13.number() => Version::Dtls13,
            Some(_) => return Err(Fault::illegal("the server has chosen a version that is not one")),
        };
        if !self.config.has(version) {
            return Err(unsupported);
        }
        // After a HelloRetryRequest there is no way back (RFC 8446 §4.1.4).
        if self.version.is_some_and(|known| known != version) {
            return Err(Fault::illegal("the server has changed its mind about the version"));
        }
        // The last byte says to which version (RFC 8446 §4.1.3).
        let is_downgraded = version == Version::Dtls12
            && self.config.has(Version::Dtls13)
            && hello.random[24..31] == DOWNGRADE[..7];
        if is_downgraded {
            return Err(Fault::illegal("an attacker keeps both sides from using DTLS 1.3"));
        }
        Ok(version)
    }

    /// The first ClientHello and the request are not in the transcript (RFC 6347 §4.2.1).
    fn on_hello_verify_request(&mut self, io: &mut Io, message: &Message) -> Result<(), Fault> {
        debug_assert_eq!(self.role, Role::Client);
        if !self.config.has(Version::Dtls12) {
            return Err(Fault::unexpected("the server asks for a cookie as DTLS 1.2 does"));
        }
        let cookie = read_hello_verify_request(&message.body)?;
        self.is_second_hello = true;
        self.transcript.clear();
        io.flight.begin();
        self.send_client_hello(io, cookie, None);
        self.step = Step::ServerHello;
        Ok(())
    }
}
