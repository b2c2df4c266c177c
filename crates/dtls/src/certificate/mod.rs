//! Certificates: the identity of each side (RFC 8827 §6.5), proven by the fingerprints of the
//! descriptions and by nothing else.

mod der;
mod fingerprint;
mod key;
mod own;
mod pem;
mod writer;
mod x509;

pub use fingerprint::{Fingerprint, HashFunction};
pub use key::KeyAlgorithm;
pub(crate) use key::KeyKind;
pub use own::Certificate;
pub(crate) use x509::{PublicKey, public_key};
