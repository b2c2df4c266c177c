//! DTLS behind one trait, so that the implementation can be exchanged.
//!
//! Its shape is in place: a packet that was built with room around it is [sealed](Dtls::seal) where it
//! stands, and what a datagram holds is [read](Dtls::read) into the datagram's own bytes.

mod attempt;
mod dimpl;
mod record;
mod terms;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

pub(crate) use self::dimpl::Dimpl;
use crate::certificate::Certificate;
use crate::configuration::DtlsVersions;

/// One DTLS association.
pub(crate) trait Dtls: fmt::Debug + Send {
    /// A datagram has arrived. What it holds is to be [read](Self::read) at once.
    fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError>;

    /// The next packet of data that has arrived, written to the front of `buf`.
    fn read(&mut self, buf: &mut [u8]) -> Option<Range<usize>>;

    /// Makes one record, in one datagram, of the plaintext in `range`. There must be [`FRONT`] free bytes
    /// before it and [`BACK`] behind it; tells where the record is. `None` if it cannot be sent.
    fn seal(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) -> Option<Range<usize>>;

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError>;

    /// The next datagram of the association's own, written to the front of `buf`; its length.
    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize>;

    /// What has happened.
    fn poll_event(&mut self) -> Option<DtlsEvent>;

    /// When to call [`handle_timeout`](Self::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant>;

    /// Says goodbye, if there is somebody to say it to.
    fn close(&mut self, now: Instant);

    /// The version that was negotiated.
    fn version(&self) -> Option<&'static str>;

    /// Datagrams that were dropped unread.
    fn dropped(&self) -> u64;
}

/// What an association is made of.
#[derive(Debug)]
pub(crate) struct DtlsConfig<'a> {
    pub(crate) certificate: &'a Certificate,
    pub(crate) client: bool,
    pub(crate) versions: DtlsVersions,
    /// Bytes of the largest datagram of a handshake.
    pub(crate) datagram_size: usize,
    /// When a flight is sent again for the first time.
    pub(crate) first_timeout: Duration,
    /// For simulations only: makes what can be made repeatable repeatable.
    pub(crate) seed: Option<u64>,
}

/// What happens to an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DtlsEvent {
    /// The other side has shown this certificate (DER), and that it has the key.
    PeerCertificate(Vec<u8>),
    /// Data can go both ways.
    Connected,
    /// The other side has closed.
    Closed,
}

/// Why an association has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DtlsError(pub(crate) String);

/// Bytes that a record has in front of its plaintext at most: header (13) and explicit nonce (8) of DTLS 1.2
/// (RFC 6347 §4.1, RFC 5288 §3).
pub(crate) const FRONT: usize = 21;

/// Bytes that a record has behind it at most: the type inside of DTLS 1.3 (1) and the tag (16) (RFC 9147 §4).
pub(crate) const BACK: usize = 17;
