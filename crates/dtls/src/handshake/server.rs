//! A server until the version is known.

use super::{Handshake, Io, Message, expect};
use crate::alert::AlertDescription;
use crate::config::{Role, Version};
use crate::cookie;
use crate::error::{Fault, NO_PROTOCOL};
use crate::message::{CLIENT_HELLO, Choices, ClientHello, HELLO_VERIFY_REQUEST, write_hello_verify_request};

impl Handshake {
    pub(super) fn on_client_hello(&mut self, io: &mut Io, message: &Message) -> Result<(), Fault> {
        debug_assert_eq!(self.role, Role::Server);
        expect(message, CLIENT_HELLO)?;
        let hello = ClientHello::read(&message.body)?;
        let version = [Version::Dtls13, Version::Dtls12]
            .into_iter()
            .find(|version| self.config.has(*version) && hello.offers(*version));
        let version = version
            .ok_or(Fault::new(AlertDescription::PROTOCOL_VERSION, "both sides have no version in common"))?;
        if self.version.is_some_and(|known| known != version)
            || self.is_second_hello && self.client_random != hello.random
        {
            return Err(Fault::illegal("the client's second hello is of another client"));
        }
        self.client_random = hello.random;
        if version == Version::Dtls12 && !self.is_proven_12(&hello) {
            return self.ask_for_cookie_12(io, &hello);
        }
        io.flight.begin();
        match version {
            Version::Dtls12 => self.answer_12(io, message, &hello)?,
            Version::Dtls13 => self.answer_13(io, message, &hello)?,
        }
        if self.suite.is_some() {
            self.version = Some(version);
            io.records.set_version(version);
        }
        Ok(())
    }

    fn is_proven_12(&self, hello: &ClientHello<'_>) -> bool {
        let Some(key) = &self.cookie else { return true };
        cookie::is_right_12(key, &hello.random, hello.cookie)
    }

    /// Sends a HelloVerifyRequest, and keeps nothing of the ClientHello.
    fn ask_for_cookie_12(&mut self, io: &mut Io, hello: &ClientHello<'_>) -> Result<(), Fault> {
        let key = self.cookie.as_ref().ok_or(Fault::crypto())?;
        let body = write_hello_verify_request(&cookie::make_12(key, &hello.random));
        io.flight.begin();
        io.flight.push(HELLO_VERIFY_REQUEST, 0, body);
        io.flight.expect_no_answer();
        Ok(())
    }

    /// Chooses among the extensions that a client offers. The limit is the other side's.
    pub(super) fn choose(&mut self, hello: &ClientHello<'_>, version: Version) -> Result<(), Fault> {
        let srtp = hello.srtp.and_then(|offered| {
            let mut profiles = self.config.srtp_profiles.iter().copied();
            profiles.find(|profile| offered.contains(profile.number()))
        });
        let alpn = match hello.protocols()? {
            Some(offered) if !self.config.alpn.is_empty() => {
                let chosen = self.config.alpn.iter().find(|name| offered.contains(&&name[..]));
                Some(chosen.ok_or(NO_PROTOCOL)?.clone())
            }
            _ if self.config.alpn_is_required => return Err(NO_PROTOCOL),
            _ => None,
        };
        debug_assert!(self.config.has(version));
        self.choices = Choices { srtp, alpn, record_size_limit: hello.record_size_limit };
        Ok(())
    }

    /// The choices as they are sent: the limit is the own one (RFC 8449 §4).
    pub(super) fn own_choices(&self, hello: &ClientHello<'_>, version: Version) -> Choices {
        let limit = self.config.record_limit(version);
        Choices { record_size_limit: hello.record_size_limit.map(|_| limit), ..self.choices.clone() }
    }
}
