//! DTLS: the transport of a peer connection, over one trait, so that the implementation can be
//! exchanged.
//!
//! The trait's shape is in place: a packet that was built with room around it is
//! [sealed](Dtls::seal) where it stands, and the contents of a datagram are [read](Dtls::read) into
//! the datagram's own bytes.

mod attempt;
mod choice;
mod config;
mod dimpl;
mod record;
mod srtp;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

pub(crate) use choice::Choice;
pub use config::DtlsCache;
pub use srtp::SrtpProfile;
pub(crate) use srtp::{MasterKey, SrtpKeys};
pub(crate) use transport::{DtlsTransport, DtlsTransportConfig, DtlsTransportEvent};

use crate::certificate::Certificate;
use crate::configuration::DtlsVersions;

/// Bytes that a record has in front of its plaintext at most: header (13) and explicit nonce (8) of
/// DTLS 1.2 (RFC 6347 §4.1, RFC 5288 §3).
pub(crate) const FRONT: usize = 21;

/// Bytes that a record has behind its plaintext at most: the inner content type of DTLS 1.3 (1) and
/// the tag (16) (RFC 9147 §4).
pub(crate) const BACK: usize = 17;

/// One DTLS association.
pub(crate) trait Dtls: fmt::Debug + Send {
    /// Handles a datagram. Its contents are to be [read](Self::read) at once.
    fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError>;

    /// Writes the next packet of data that has arrived to the front of `buf`.
    fn read(&mut self, buf: &mut [u8]) -> Option<Range<usize>>;

    /// Makes one record, in one datagram, of the plaintext in `range`. There must be [`FRONT`] free
    /// bytes before it and [`BACK`] behind it. Returns the range of the record; `None` if it cannot
    /// be sent.
    fn seal(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) -> Option<Range<usize>>;

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout).
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError>;

    /// Writes the next datagram of the association's own to the front of `buf`. Returns its length.
    fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize>;

    /// Returns the next event.
    fn poll_event(&mut self) -> Option<DtlsEvent>;

    /// Returns the next deadline.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Sends a close notification, if the association is connected.
    fn close(&mut self, now: Instant);

    /// Returns the keys of SRTP, once connected and if `use_srtp` was negotiated (RFC 5764). Only
    /// once.
    fn take_srtp_keys(&mut self) -> Option<SrtpKeys>;

    /// Returns the negotiated version.
    fn version(&self) -> Option<&'static str>;

    /// Returns the server's choices, as far as they are known.
    fn choice(&self) -> Choice;

    /// Returns the number of datagrams that were dropped unread.
    fn dropped(&self) -> u64;
}

/// The parameters of an association.
#[derive(Debug)]
pub(crate) struct DtlsConfig<'a> {
    pub(crate) certificate: &'a Certificate,
    pub(crate) role: DtlsRole,
    pub(crate) versions: DtlsVersions,
    /// Bytes of the largest datagram of a handshake.
    pub(crate) datagram_size: usize,
    /// The first retransmission timeout of a flight.
    pub(crate) first_timeout: Duration,
    /// For simulations only: makes the handshake repeatable as far as possible.
    pub(crate) seed: Option<u64>,
    pub(crate) cache: DtlsCache,
}

/// The side in the DTLS handshake: the W3C's `RTCDtlsRole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DtlsRole {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}

/// A change in an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DtlsEvent {
    /// The other side has shown this certificate (DER) and proven that it has the key.
    PeerCertificate(Vec<u8>),
    /// Data can be sent and received.
    Connected,
    /// The other side has closed.
    Closed,
}

/// The reason why an association has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DtlsError(pub(crate) String);
