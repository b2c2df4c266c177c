//! TLS 1.3 of rustls in memory, with the certificates of both sides: they are taken as they are,
//! and the signatures of the handshake are verified, as WebRTC has it.

use std::sync::Arc;

use columba_dtls::Certificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme,
};

/// The configurations of both sides.
pub(crate) struct Peers {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Peers {
    pub(crate) fn new(own: &[Certificate; 2], group: &'static dyn SupportedKxGroup) -> Self {
        let provider = Arc::new(CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() });
        let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let [of_client, of_server] = [0, 1].map(|side| {
            let key = PrivateKeyDer::Pkcs8(own[side].private_key_der().to_vec().into());
            (vec![CertificateDer::from(own[side].der().to_vec())], key)
        });
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(any.clone())
            .with_client_auth_cert(of_client.0, of_client.1)
            .unwrap();
        client.resumption = rustls::client::Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(any)
            .with_single_cert(of_server.0, of_server.1)
            .unwrap();
        server.send_tls13_tickets = 0;
        Self { client: Arc::new(client), server: Arc::new(server) }
    }

    /// A whole handshake.
    pub(crate) fn connect(&self) {
        let name = ServerName::try_from("peer.invalid").unwrap();
        let mut client = ClientConnection::new(self.client.clone(), name).unwrap();
        let mut server = ServerConnection::new(self.server.clone()).unwrap();
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            give(&mut wire, |bytes| server.read_tls(bytes).map(drop));
            server.process_new_packets().unwrap();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            give(&mut wire, |bytes| client.read_tls(bytes).map(drop));
            client.process_new_packets().unwrap();
        }
    }
}

/// Gives all of the bytes away.
fn give(wire: &mut Vec<u8>, mut read: impl FnMut(&mut &[u8]) -> std::io::Result<()>) {
    let mut bytes = &wire[..];
    while !bytes.is_empty() {
        read(&mut bytes).unwrap();
    }
    wire.clear();
}

/// Takes every certificate, whose fingerprint an application would compare.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

/// The methods by which both verifiers check signatures: those of TLS 1.3, as always.
macro_rules! signatures_of_tls13 {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("only TLS 1.3 is spoken".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures_of_tls13!();
}

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    signatures_of_tls13!();
}
