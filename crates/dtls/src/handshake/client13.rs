//! A client of DTLS 1.3 (RFC 9147, RFC 8446).

use super::identity::check_finished;
use super::{
    EPOCH_DATA, EPOCH_HANDSHAKE, Exporter, Handshake, Io, Message, Schedule, Session, Step, Traffic, expect,
};
use crate::config::{Role, Version};
use crate::crypto::group::{Group, KeyExchange};
use crate::crypto::schedule::{self, Stage};
use crate::error::Fault;
use crate::message::{
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, Choices, ENCRYPTED_EXTENSIONS, FINISHED,
    ServerHello, read_certificate_request_13, read_encrypted_extensions, write_certificate,
};
use crate::record::{Direction, Opener, Sealer};

impl Handshake {
    pub(super) fn on_hello_retry_request(
        &mut self,
        io: &mut Io,
        message: &Message,
        hello: &ServerHello<'_>,
    ) -> Result<(), Fault> {
        if self.is_second_hello {
            return Err(Fault::unexpected("the server asks for a third ClientHello"));
        }
        self.check_plain_13(hello)?;
        if let Some((group, _)) = hello.key_share {
            let group = Group::from_number(group)
                .filter(|group| self.config.groups.contains(group))
                .filter(|group| self.keys.iter().all(|key| key.group() != *group))
                .ok_or(Fault::illegal("the server asks for a group that it has or cannot have"))?;
            self.keys = vec![KeyExchange::new(group, &mut self.rng)?];
        } else if hello.cookie.is_none() {
            return Err(Fault::illegal("the server asks for the same ClientHello again"));
        }
        self.is_second_hello = true;
        self.transcript.set_version(Version::Dtls13);
        self.transcript.replace_by_hash(self.negotiated_suite()?.hash());
        self.transcript.push(message);
        io.flight.begin();
        self.send_client_hello(io, &[], hello.cookie);
        Ok(())
    }

    /// Checks the fields that a ServerHello of DTLS 1.3 does not use (RFC 9147 §5.3, RFC 8446
    /// §4.1.3).
    fn check_plain_13(&self, hello: &ServerHello<'_>) -> Result<(), Fault> {
        let is_plain = hello.session_id.is_empty()
            && !hello.extended_master_secret
            && !hello.secure_renegotiation
            && hello.choices == Choices::default();
        if is_plain { Ok(()) } else { Err(Fault::illegal("the server mixes two versions")) }
    }

    pub(super) fn on_server_hello_13(
        &mut self,
        io: &mut Io,
        message: &Message,
        hello: &ServerHello<'_>,
    ) -> Result<(), Fault> {
        self.check_plain_13(hello)?;
        if hello.cookie.is_some() {
            return Err(Fault::illegal("a cookie comes where none has its place"));
        }
        let (number, share) =
            hello.key_share.ok_or(Fault::illegal("the server has no key for the key exchange"))?;
        let key = self.keys.iter().find(|key| key.group().number() == number);
        let key = key.ok_or(Fault::illegal("the server has chosen a group that was not offered"))?;
        let secret = key.agree(share)?;
        self.group = Some(key.group());
        self.keys.clear();
        self.server_random = hello.random;
        self.transcript.set_version(Version::Dtls13);
        self.transcript.push(message);
        self.derive_handshake_13(io, &secret)?;
        self.step = Step::EncryptedExtensions;
        Ok(())
    }

    /// Derives the keys of the handshake, when both hellos are in the transcript.
    pub(super) fn derive_handshake_13(&mut self, io: &mut Io, secret: &[u8]) -> Result<(), Fault> {
        let suite = self.negotiated_suite()?;
        let hash = suite.hash();
        let stage = Stage::early(hash)?.next(Some(secret))?;
        let transcript = self.transcript.hash(hash);
        let client_handshake = stage.derive(b"c hs traffic", transcript.as_ref())?;
        let server_handshake = stage.derive(b"s hs traffic", transcript.as_ref())?;
        self.log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client_handshake.as_bytes());
        self.log("SERVER_HANDSHAKE_TRAFFIC_SECRET", server_handshake.as_bytes());
        let (local, remote) = match self.role {
            Role::Client => (&client_handshake, &server_handshake),
            Role::Server => (&server_handshake, &client_handshake),
        };
        let direction = Direction { suite, epoch: EPOCH_HANDSHAKE };
        io.records.add_sealer(Sealer::new_13(direction, local)?);
        io.records.add_opener(Opener::new_13(direction, remote)?);
        self.schedule = Some(Schedule { stage, client_handshake, server_handshake, data: None });
        Ok(())
    }

    /// Derives the secrets of the data, when the server's Finished is in the transcript.
    pub(super) fn derive_data_13(&mut self) -> Result<(), Fault> {
        let hash = self.negotiated_suite()?.hash();
        let transcript = self.transcript.hash(hash);
        let schedule = self.schedule.as_ref().ok_or(Fault::crypto())?;
        let master = schedule.stage.next(None)?;
        let client = master.derive(b"c ap traffic", transcript.as_ref())?;
        let server = master.derive(b"s ap traffic", transcript.as_ref())?;
        let exporter = master.derive(b"exp master", transcript.as_ref())?;
        self.log("CLIENT_TRAFFIC_SECRET_0", client.as_bytes());
        self.log("SERVER_TRAFFIC_SECRET_0", server.as_bytes());
        self.log("EXPORTER_SECRET", exporter.as_bytes());
        if let Some(schedule) = &mut self.schedule {
            schedule.data = Some([client, server, exporter]);
        }
        Ok(())
    }

    pub(super) fn on_encrypted_extensions(&mut self, message: &Message) -> Result<(), Fault> {
        expect(message, ENCRYPTED_EXTENSIONS)?;
        let choices = read_encrypted_extensions(&message.body)?;
        self.take_choices(choices)?;
        self.transcript.push(message);
        self.step = Step::CertificateRequest13;
        Ok(())
    }

    /// RFC 5763 §5 and RFC 8827 §6.5 want both sides to show their certificates.
    pub(super) fn on_certificate_request_13(&mut self, message: &Message) -> Result<(), Fault> {
        if message.kind == CERTIFICATE {
            return Err(Fault::incompatible("the server does not ask for a certificate"));
        }
        expect(message, CERTIFICATE_REQUEST)?;
        self.peer_schemes = read_certificate_request_13(&message.body)?.iter().collect();
        self.transcript.push(message);
        self.step = Step::ServerCertificate13;
        Ok(())
    }

    pub(super) fn on_server_finished_13(
        &mut self,
        io: &mut Io,
        message: &Message,
    ) -> Result<Option<Box<Session>>, Fault> {
        self.check_finished_13(message)?;
        self.derive_data_13()?;
        io.flight.begin();
        let certificate = write_certificate(Version::Dtls13, self.config.certificate.der());
        self.send(io, CERTIFICATE, EPOCH_HANDSHAKE, certificate);
        let verify = self.certificate_verify_13()?;
        self.send(io, CERTIFICATE_VERIFY, EPOCH_HANDSHAKE, verify);
        self.send_finished_13(io)?;
        self.session_13(io).map(Some)
    }

    /// Checks the other side's Finished.
    pub(super) fn check_finished_13(&mut self, message: &Message) -> Result<(), Fault> {
        expect(message, FINISHED)?;
        let hash = self.negotiated_suite()?.hash();
        let schedule = self.schedule.as_ref().ok_or(Fault::crypto())?;
        let secret = match self.role {
            Role::Client => &schedule.server_handshake,
            Role::Server => &schedule.client_handshake,
        };
        let expected = schedule::verify_data(hash, secret, self.transcript.hash(hash).as_ref())?;
        check_finished(expected.as_bytes(), &message.body)?;
        self.transcript.push(message);
        Ok(())
    }

    pub(super) fn send_finished_13(&mut self, io: &mut Io) -> Result<(), Fault> {
        let hash = self.negotiated_suite()?.hash();
        let schedule = self.schedule.as_ref().ok_or(Fault::crypto())?;
        let secret = match self.role {
            Role::Client => &schedule.client_handshake,
            Role::Server => &schedule.server_handshake,
        };
        let data = schedule::verify_data(hash, secret, self.transcript.hash(hash).as_ref())?;
        self.send(io, FINISHED, EPOCH_HANDSHAKE, data.as_bytes().to_vec());
        Ok(())
    }

    /// Takes the keys of the data. Returns the outcome of a handshake of DTLS 1.3.
    pub(super) fn session_13(&mut self, io: &mut Io) -> Result<Box<Session>, Fault> {
        let suite = self.negotiated_suite()?;
        let schedule = self.schedule.take().ok_or(Fault::crypto())?;
        let [client, server, exporter] = schedule.data.ok_or(Fault::crypto())?;
        let (local, remote) = match self.role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        let direction = Direction { suite, epoch: EPOCH_DATA };
        io.records.add_sealer(Sealer::new_13(direction, &local)?);
        io.records.add_opener(Opener::new_13(direction, &remote)?);
        if self.role == Role::Server {
            // The client has all of the handshake, but may repeat the end of its own.
            io.records.forget_before(EPOCH_DATA, EPOCH_HANDSHAKE);
            io.records.rest(suite, EPOCH_HANDSHAKE, &schedule.client_handshake);
        }
        if let Some(limit) = self.choices.record_size_limit {
            // The content type counts (RFC 8449 §4).
            io.records.set_limit(usize::from(limit) - 1);
        }
        let traffic = Traffic { local, local_epoch: EPOCH_DATA, remote, remote_epoch: EPOCH_DATA };
        Ok(Box::new(Session {
            version: Version::Dtls13,
            suite,
            group: self.group.ok_or(Fault::crypto())?,
            peer_certificate: self.peer.take().ok_or(Fault::crypto())?.der,
            srtp: self.choices.srtp,
            alpn: self.choices.alpn.take(),
            extended_master_secret: true,
            exporter: Exporter::Dtls13 { hash: suite.hash(), secret: exporter },
            traffic: Some(traffic),
        }))
    }
}
