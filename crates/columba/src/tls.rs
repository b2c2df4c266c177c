//! TLS to servers: the certificates that are trusted.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// Returns a configuration that trusts these certificates (PEM) in addition to the system's roots:
/// an authority of one's own, or the self-signed certificate of a server. For
/// [`PeerConnectionBuilder::tls`](crate::PeerConnectionBuilder::tls) and the signaling channel's
/// options.
///
/// # Errors
/// [`Error::InvalidCertificates`] if there is none in the text, or one cannot be read.
pub fn trusting(certificates: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    let wrong = |reason: String| Error::InvalidCertificates { reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificates) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    add_system_roots(&mut roots);
    make(roots).map_err(wrong)
}

/// Returns the configuration that trusts the system's roots, which are read once. `SSL_CERT_FILE`
/// and `SSL_CERT_DIR` name others.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let system = || {
        let mut roots = RootCertStore::empty();
        if add_system_roots(&mut roots) == 0 {
            return Err("the system has no trusted certificates".to_owned());
        }
        make(roots)
    };
    CONFIG.get_or_init(system).clone()
}

/// Returns how many were added.
fn add_system_roots(roots: &mut RootCertStore) -> usize {
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs).0
}

fn make(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_certificate_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
        for text in ["", "coo", broken] {
            assert!(matches!(trusting(text.as_bytes()), Err(Error::InvalidCertificates { .. })), "{text}");
        }
    }
}
