//! DTLS: the transport of a peer connection, over one trait, so that the implementation can be
//! exchanged. The one in use is the crate `columba-dtls`.
//!
//! A packet that was built with room around it is [sealed](Dtls::seal) where it stands, and a
//! datagram's packets are [read](Dtls::read) where they were opened.

mod association;
mod srtp;
mod transport;

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

pub(crate) use columba_dtls::{BACK, FRONT};
use columba_dtls::{CipherSuite, Event, Group, Version};
pub use srtp::SrtpProfile;
pub(crate) use srtp::{MasterKey, SrtpKeys};
pub(crate) use transport::{DtlsTransport, DtlsTransportConfig, DtlsTransportEvent, HANDSHAKE_DATAGRAM};

/// One DTLS association.
pub(crate) trait Dtls: fmt::Debug + Send {
    /// Handles a datagram. Its packets are to be [read](Self::read) at once.
    fn open(&mut self, now: Instant, datagram: &mut [u8]);

    /// Returns the next packet of the datagram that was opened last, which is given again.
    fn read<'a>(&'a mut self, datagram: &'a [u8]) -> Option<&'a [u8]>;

    /// Bytes of a record in front of and behind its packet: at most [`FRONT`] and [`BACK`].
    fn overhead(&self) -> (usize, usize);

    /// Makes one record, in one datagram, of each of several packets, where they stand. The first
    /// record begins at `at`, each of the others behind the one before it. Returns their range;
    /// `None` if they cannot be sent.
    fn seal(&mut self, buf: &mut [u8], at: usize, lengths: &[usize]) -> Option<Range<usize>>;

    /// There is no path yet for a handshake that begins: it may take any time.
    fn begin_without_path(&mut self);

    /// There is a path now for a handshake that began without one.
    fn handle_path(&mut self, now: Instant, first_timeout: Duration);

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout).
    fn handle_timeout(&mut self, now: Instant);

    /// Writes the next datagram of the association's own to the front of `buf`. Returns its length.
    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize>;

    /// Returns the next event.
    fn poll_event(&mut self) -> Option<Event>;

    /// Returns the next deadline.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Sends a close notification, if the association is connected.
    fn close(&mut self);

    /// Replaces the fingerprints of the other side's certificate, until it was shown.
    fn set_fingerprints(&mut self, fingerprints: Vec<columba_dtls::Fingerprint>);

    /// Returns the other side's certificate (DER), once connected.
    fn peer_certificate(&self) -> Option<&[u8]>;

    /// Returns the keys of SRTP, once connected and if `use_srtp` was negotiated (RFC 5764).
    fn srtp_keys(&self) -> Option<SrtpKeys>;

    /// Returns the version, cipher suite and group, as far as they are settled.
    fn choices(&self) -> (Option<Version>, Option<CipherSuite>, Option<Group>);

    /// Bytes of the longest packet that the other side takes, once connected (RFC 8449).
    fn packet_limit(&self) -> usize;

    /// Returns the application protocol, once connected and if one was negotiated (RFC 8833).
    fn application_protocol(&self) -> Option<Vec<u8>>;

    /// Returns the number of records that were dropped unread.
    fn dropped(&self) -> u64;
}

/// The side in the DTLS handshake: the W3C's `RTCDtlsRole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DtlsRole {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}
