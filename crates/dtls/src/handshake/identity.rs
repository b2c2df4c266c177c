//! Proofs of who the sides are: certificates, signatures, Finished messages.

use subtle::ConstantTimeEq;

use super::{Handshake, Message, Peer, Step, expect};
use crate::alert::AlertDescription;
use crate::certificate::{Fingerprint, public_key};
use crate::config::{Role, Version};
use crate::crypto::signature::{self, Scheme};
use crate::error::{FINGERPRINT_MISMATCH, Fault, NO_PROTOCOL};
use crate::message::{
    CERTIFICATE, CERTIFICATE_VERIFY, Choices, read_certificate, read_signed, signed_content, write_signed,
};
use crate::wire::Reader;

impl Handshake {
    /// Takes the other side's certificate: it must have one of the fingerprints of the description.
    pub(super) fn take_certificate(&mut self, version: Version, message: &Message) -> Result<(), Fault> {
        expect(message, CERTIFICATE)?;
        let der = read_certificate(version, &message.body)?;
        if der.is_empty() {
            // RFC 8446 §4.4.2.4, RFC 5246 §7.4.6.
            let alert = match version {
                Version::Dtls12 => AlertDescription::HANDSHAKE_FAILURE,
                Version::Dtls13 => AlertDescription::CERTIFICATE_REQUIRED,
            };
            return Err(Fault::new(alert, "the other side shows no certificate"));
        }
        if !Fingerprint::prove(&self.fingerprints, der) {
            return Err(FINGERPRINT_MISMATCH);
        }
        let key = public_key(der).ok_or(Fault::new(
            AlertDescription::UNSUPPORTED_CERTIFICATE,
            "the other side's certificate is malformed or has a key of an unknown kind",
        ))?;
        self.peer = Some(Peer { der: der.to_vec(), key });
        Ok(())
    }

    /// Returns the scheme of an own signature.
    pub(super) fn own_scheme(&self, version: Version) -> Result<Scheme, Fault> {
        let kind = self.config.certificate.key().kind();
        let schemes = Scheme::of_key(kind, version).iter().copied();
        schemes
            .into_iter()
            .find(|scheme| self.peer_schemes.contains(&scheme.0))
            .ok_or(Fault::incompatible("the other side takes no signature of the own certificate's kind"))
    }

    /// The other side may only sign with a scheme that it was offered (RFC 8446 §4.4.3).
    pub(super) fn verify(
        &self,
        version: Version,
        scheme: Scheme,
        content: &[u8],
        signature: &[u8],
    ) -> Result<(), Fault> {
        let peer = self.peer.as_ref().ok_or(Fault::crypto())?;
        signature::verify(&peer.key, scheme, version, content, signature)
    }

    /// Handles the other side's Certificate in DTLS 1.3.
    pub(super) fn on_certificate_13(&mut self, message: &Message) -> Result<(), Fault> {
        self.take_certificate(Version::Dtls13, message)?;
        self.transcript.push(message);
        self.step = match self.role {
            Role::Client => Step::ServerCertificateVerify13,
            Role::Server => Step::ClientCertificateVerify13,
        };
        Ok(())
    }

    /// Handles the other side's CertificateVerify in DTLS 1.3.
    pub(super) fn on_certificate_verify_13(&mut self, message: &Message) -> Result<(), Fault> {
        expect(message, CERTIFICATE_VERIFY)?;
        let mut reader = Reader::new(&message.body);
        let (scheme, signature) = read_signed(&mut reader)?;
        reader.finish()?;
        let hash = self.transcript.hash(self.negotiated_suite()?.hash());
        let content = signed_content(self.role.other(), hash.as_ref());
        self.verify(Version::Dtls13, scheme, &content, signature)?;
        self.transcript.push(message);
        self.step = match self.role {
            Role::Client => Step::ServerFinished13,
            Role::Server => Step::ClientFinished13,
        };
        Ok(())
    }

    /// The body of the own CertificateVerify in DTLS 1.3.
    pub(super) fn certificate_verify_13(&self) -> Result<Vec<u8>, Fault> {
        let scheme = self.own_scheme(Version::Dtls13)?;
        let hash = self.transcript.hash(self.negotiated_suite()?.hash());
        let content = signed_content(self.role, hash.as_ref());
        let mut body = Vec::with_capacity(128);
        write_signed(&mut body, scheme, &self.config.certificate.key().sign(scheme, &content)?);
        Ok(body)
    }

    /// Checks that a server has chosen from what was offered.
    pub(super) fn take_choices(&mut self, choices: Choices) -> Result<(), Fault> {
        let config = &self.config;
        let is_offered = choices.srtp.is_none_or(|profile| config.srtp_profiles.contains(&profile))
            && choices.alpn.as_ref().is_none_or(|name| config.alpn.contains(name))
            && (choices.record_size_limit.is_none() || config.record_size_limit.is_some());
        if !is_offered {
            return Err(Fault::illegal("the server has chosen what was not offered"));
        }
        if config.alpn_is_required && choices.alpn.is_none() {
            return Err(NO_PROTOCOL);
        }
        self.choices = choices;
        Ok(())
    }
}

/// Compares the data of a Finished message, in a time that does not depend on it.
pub(super) fn check_finished(expected: &[u8], received: &[u8]) -> Result<(), Fault> {
    if bool::from(expected.ct_eq(received)) {
        Ok(())
    } else {
        Err(Fault::new(AlertDescription::DECRYPT_ERROR, "the two sides have not seen the same handshake"))
    }
}
