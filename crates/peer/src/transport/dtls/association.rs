//! Associations of the crate `columba-dtls`.

use std::ops::Range;
use std::time::{Duration, Instant};

use columba_dtls::{Association, CipherSuite, Event, Fingerprint, Group, Version};

use super::{Dtls, SrtpKeys};

impl Dtls for Association {
    fn open(&mut self, now: Instant, datagram: &mut [u8]) {
        self.handle_input(now, datagram);
    }

    fn read<'a>(&'a mut self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        Self::read(self, datagram)
    }

    fn overhead(&self) -> (usize, usize) {
        Self::overhead(self)
    }

    fn seal(&mut self, buf: &mut [u8], at: usize, lengths: &[usize]) -> Option<Range<usize>> {
        self.seal_batch(buf, at, lengths.iter().copied())
            .inspect_err(|error| tracing::debug!(%error, "packets could not be sealed"))
            .ok()
    }

    fn begin_without_path(&mut self) {
        Self::begin_without_path(self);
    }

    fn handle_path(&mut self, now: Instant, first_timeout: Duration) {
        Self::handle_path(self, now, first_timeout);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        Self::poll_transmit(self, now, buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn close(&mut self) {
        Self::close(self);
    }

    fn set_fingerprints(&mut self, fingerprints: Vec<Fingerprint>) {
        Self::set_fingerprints(self, fingerprints);
    }

    fn peer_certificate(&self) -> Option<&[u8]> {
        Self::peer_certificate(self)
    }

    fn srtp_keys(&self) -> Option<SrtpKeys> {
        SrtpKeys::new(&Self::srtp_keys(self)?)
    }

    fn choices(&self) -> (Option<Version>, Option<CipherSuite>, Option<Group>) {
        Self::choices(self)
    }

    fn packet_limit(&self) -> usize {
        Self::packet_limit(self)
    }

    fn application_protocol(&self) -> Option<Vec<u8>> {
        self.negotiated()?.alpn
    }

    fn dropped(&self) -> u64 {
        Self::dropped(self)
    }
}
