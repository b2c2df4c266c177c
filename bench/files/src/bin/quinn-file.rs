//! `quinn-file serve ADDRESS FILE` and `quinn-file fetch ADDRESS FILE`: a file over one stream of
//! QUIC, with BBR and windows of 64 MiB, as fast as a program that does nothing else can be.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::congestion::BbrConfig;
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes of the windows of streams and connections.
const WINDOW: u32 = 64 << 20;

/// Bytes of one read.
const CHUNK: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, address, file] = &arguments[..] else {
        return Err("usage: quinn-file serve|fetch ADDRESS FILE".into());
    };
    let address: SocketAddr = address.parse()?;
    match command.as_str() {
        "serve" => serve(address, file).await,
        "fetch" => fetch(address, file).await,
        _ => Err("the commands are serve and fetch".into()),
    }
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(WINDOW));
    transport.receive_window(VarInt::from_u32(WINDOW));
    transport.send_window(u64::from(WINDOW));
    transport.congestion_controller_factory(Arc::new(BbrConfig::default()));
    Arc::new(transport)
}

async fn serve(address: SocketAddr, path: &str) -> Result<(), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["columba".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key.into())?;
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, address)?;
    println!("open");
    let connection = endpoint.accept().await.ok_or("closed")?.await?;
    let mut stream = connection.open_uni().await?;
    let mut file = File::open(path).await?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = file.read(&mut buffer).await?;
        if length == 0 {
            break;
        }
        stream.write_all(&buffer[..length]).await?;
    }
    stream.finish()?;
    stream.stopped().await?;
    // The other side closes when it has written everything.
    connection.closed().await;
    Ok(())
}

async fn fetch(address: SocketAddr, path: &str) -> Result<(), Box<dyn Error>> {
    let mut tls = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    tls.alpn_protocols = Vec::new();
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    let endpoint = Endpoint::client(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    let connection = endpoint.connect_with(config, address, "columba")?.await?;
    let mut stream = connection.accept_uni().await?;
    let mut file = File::create(path).await?;
    while let Some(chunk) = stream.read_chunk(CHUNK, true).await? {
        file.write_all(&chunk.bytes).await?;
    }
    file.flush().await?;
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    Ok(())
}

/// The speed is measured, not the identity.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
