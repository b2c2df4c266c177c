//! The certificate: from files, or made here and kept, so that browsers recognize it after a
//! restart.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::config::{ServeOptions, TlsMode};
use crate::failure::Failure;

/// Some systems take no certificate that is good for longer than this.
const SELF_SIGNED_LIFETIME: Duration = Duration::from_secs(825 * 86_400);

/// The part of that time that lies in the past: whichever way the clock is set right afterwards,
/// the certificate is good for more than a year.
const SELF_SIGNED_BACKDATED: Duration = Duration::from_secs(400 * 86_400);

/// Before it ends, it is made anew.
const SELF_SIGNED_RENEWAL: Duration = Duration::from_secs(30 * 86_400);

/// The server's identity towards TLS clients.
#[derive(Debug)]
pub(crate) struct Tls {
    /// The configuration of new connections; exchanged when the files have changed.
    config: RwLock<Arc<ServerConfig>>,
    provider: Arc<CryptoProvider>,
    /// The certificate's SHA-256 as browsers show it, if it was made here.
    fingerprint: Option<String>,
}

impl Tls {
    /// The identity that the options describe; None for plain HTTP. `warnings` gets a line when it
    /// will not be kept.
    pub(crate) fn from_options(
        options: &ServeOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, Failure> {
        let tls = &options.tls;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (key, fingerprint) = match (&tls.tls_cert, &tls.tls_key) {
            (Some(cert), Some(key)) => (read(cert, key, &provider)?, None),
            _ if tls.tls == TlsMode::SelfSigned => {
                let key = self_signed(options, &provider, warnings)?;
                let fingerprint = fingerprint(&key);
                (key, Some(fingerprint))
            }
            _ => return Ok(None),
        };
        let config = RwLock::new(server_config(key, &provider)?);
        Ok(Some(Self { config, provider, fingerprint }))
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of a self-signed certificate.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Reads the files again, if there are files. New connections get what is there now; if that is
    /// no good, what was there before. Says whether there was something to read.
    pub(crate) fn reload(&self, options: &ServeOptions) -> Result<bool, Failure> {
        let (Some(cert), Some(key)) = (&options.tls.tls_cert, &options.tls.tls_key) else {
            return Ok(false);
        };
        let config = server_config(read(cert, key, &self.provider)?, &self.provider)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(true)
    }
}

fn server_config(key: CertifiedKey, provider: &Arc<CryptoProvider>) -> Result<Arc<ServerConfig>, Failure> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(format!("TLS cannot be set up ({error}).")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    // The last is TURN's name (RFC 7443): the web port serves it too.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"stun.turn".to_vec()];
    Ok(Arc::new(config))
}

fn fingerprint(key: &CertifiedKey) -> String {
    let hash = digest::digest(&digest::SHA256, key.cert.first().map_or(&[], |cert| cert.as_ref()));
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// A certificate chain and its key from PEM files.
fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Failure> {
    let cert_text = fs::read(cert).map_err(|error| unreadable("certificate", cert, &error))?;
    let key_text = fs::read(key).map_err(|error| unreadable("private key", key, &error))?;
    certified(&cert_text, &key_text, cert, key, provider)
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> Failure {
    let advice = if error.kind() == io::ErrorKind::PermissionDenied {
        "let this user read it"
    } else {
        "check the path"
    };
    Failure::new(format!("The {what} {} cannot be read ({error}): {advice}.", path.display()))
}

fn certified(
    cert_text: &[u8],
    key_text: &[u8],
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Failure> {
    let (cert, key) = (cert.display(), key.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert_text)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(format!("{cert} is not a certificate in PEM form ({error}).")))?;
    if chain.is_empty() {
        return Err(Failure::new(format!(
            "{cert} holds no certificate: it must have a part that begins with -----BEGIN CERTIFICATE-----."
        )));
    }
    let private = PrivateKeyDer::from_pem_slice(key_text).map_err(|_| {
        Failure::new(format!(
            "{key} holds no private key: it must have a part that begins with -----BEGIN PRIVATE KEY-----."
        ))
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Failure::new(format!(
            "The private key {key} does not belong to the certificate {cert}: give the two that were made together."
        )),
        error => Failure::new(format!("The certificate {cert} with the key {key} cannot be used ({error}).")),
    })
}

/// The self-signed certificate of an earlier run, or a new one, which is kept if the state
/// directory allows it.
fn self_signed(
    options: &ServeOptions,
    provider: &CryptoProvider,
    warnings: &mut Vec<String>,
) -> Result<CertifiedKey, Failure> {
    let files =
        options.tls.state_dir.as_ref().map(|d| (d.join("self-signed.crt"), d.join("self-signed.key")));
    if let Some((cert, key)) = &files
        && is_fresh(cert)
        && let Ok(kept) = read(cert, key, provider)
    {
        return Ok(kept);
    }
    let (cert_pem, key_pem) = make(options)
        .map_err(|error| Failure::new(format!("A self-signed certificate cannot be made ({error}).")))?;
    let kept = match &files {
        Some((cert, key)) => keep(key, &key_pem).and_then(|()| keep(cert, &cert_pem)),
        None => Err(io::Error::other("there is no home directory")),
    };
    if let Err(error) = kept {
        let place = options.tls.state_dir.as_ref().map(|d| d.display().to_string()).unwrap_or_default();
        warnings.push(format!(
            "The self-signed certificate cannot be kept in {place:?} ({error}): browsers will ask again after a restart; set --state-dir."
        ));
    }
    let name = Path::new("the new self-signed certificate");
    certified(cert_pem.as_bytes(), key_pem.as_bytes(), name, name, provider)
}

fn is_fresh(cert: &Path) -> bool {
    let age = fs::metadata(cert).and_then(|meta| meta.modified()).ok().and_then(|made| made.elapsed().ok());
    age.is_some_and(|age| age < SELF_SIGNED_LIFETIME - SELF_SIGNED_BACKDATED - SELF_SIGNED_RENEWAL)
}

fn make(options: &ServeOptions) -> Result<(String, String), rcgen::Error> {
    let mut names = vec!["localhost".to_owned()];
    if let Some(host) = &options.relay.public_host {
        names.push(host.for_url().trim_matches(['[', ']']).to_owned());
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    addresses.extend(&options.relay.public_address);
    names.extend(addresses.iter().map(IpAddr::to_string));
    names.sort();
    names.dedup();

    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Columba, self-signed");
    let (begin, end) = validity(SystemTime::now());
    (params.not_before, params.not_after) = (begin.into(), end.into());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// The time for which a certificate is good that is made now, by a clock that may be wrong.
fn validity(now: SystemTime) -> (SystemTime, SystemTime) {
    let begin = now - SELF_SIGNED_BACKDATED;
    (begin, begin + SELF_SIGNED_LIFETIME)
}

/// Writes a file that only this user can read, whole or not at all.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // A full disk would keep what there was room for.
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_outlives_a_clock_that_is_set_right() {
        let year = Duration::from_secs(365 * 86_400);
        // As shown when the certificate is made; the epoch is where machines without a clock begin.
        for shown in [SystemTime::UNIX_EPOCH, SystemTime::now()] {
            let (begin, end) = validity(shown);
            assert!(begin <= shown - year && end >= shown + year);
            assert!(end.duration_since(begin).unwrap() <= SELF_SIGNED_LIFETIME);
        }
    }

    #[test]
    fn file_that_cannot_be_put_in_place_is_removed() {
        let folder = std::env::temp_dir().join(format!("columba-keep-{}", std::process::id()));
        // A folder stands where the file should be, so that it can be written but not moved there.
        let taken = folder.join("self-signed.key");
        fs::create_dir_all(taken.join("something")).unwrap();
        assert!(keep(&taken, "text").is_err());
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["self-signed.key"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
