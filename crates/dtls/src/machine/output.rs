//! The way of the machine's own datagrams out, and its timers.

use std::time::{Duration, Instant};

use super::{MAX_REPETITIONS, Machine};
use crate::config::Version;
use crate::handshake::EPOCH_DATA;
use crate::message::write_ack;
use crate::record::{ACK, ALERT, BACK, FRONT};

/// Bytes of the longest acknowledgment.
const MAX_ACK: usize = 2 + 16 * crate::message::MAX_ACKS;

impl Machine {
    /// Writes the next datagram of the handshake's to the front of `buf`. Returns its length.
    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        if self.io.flight.is_pending() {
            let size = self.config.datagram_size();
            let length = self.io.flight.poll_transmit(now, &mut self.io.records, buf, size);
            if length.is_some() {
                return length;
            }
        }
        if self.ack_is_due || self.ack_at.is_some_and(|at| at <= now) {
            (self.ack_is_due, self.ack_at) = (false, None);
            let acks = std::mem::take(&mut self.acks);
            if !acks.is_empty() && self.version() == Some(Version::Dtls13) {
                let length = self.write_record(ACK, &write_ack(&acks), buf);
                if length.is_some() {
                    return length;
                }
            }
        }
        let (level, description) = self.alert.take()?;
        self.write_record(ALERT, &[level, description.0], buf)
    }

    fn write_record(&mut self, content_type: u8, body: &[u8], buf: &mut [u8]) -> Option<usize> {
        let epoch = self.io.records.newest_epoch();
        if content_type == ACK && epoch == 0 {
            return None;
        }
        let mut record = [0; FRONT + MAX_ACK + BACK];
        let (front, _) = self.io.records.overhead(epoch);
        let range = front..front + body.len();
        record.get_mut(range.clone())?.copy_from_slice(body);
        let (range, _) = self.io.records.seal(epoch, content_type, &mut record, range).ok()?;
        buf.get_mut(..range.len())?.copy_from_slice(&record[range.clone()]);
        Some(range.len())
    }

    /// Sets the first timeout of flights, from now on also of the one under way.
    pub(crate) fn set_first_timeout(&mut self, now: Instant, first_timeout: Duration) {
        self.io.flight.set_first_timeout(now, first_timeout);
    }

    /// Returns the next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.io.flight.poll_timeout(), self.ack_at, self.linger].into_iter().flatten().min()
    }

    /// Handles the deadline.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.io.flight.handle_timeout(now);
        // It may not go out at once: a deadline in the past would be no deadline.
        if self.ack_at.take_if(|at| *at <= now).is_some() {
            self.ack_is_due = true;
        }
        if self.is_connected() && self.io.flight.repetitions() > MAX_REPETITIONS {
            self.io.flight.end();
        }
        if self.linger.is_some_and(|at| at <= now) {
            self.linger = None;
            self.io.records.forget_before(EPOCH_DATA, EPOCH_DATA);
        }
    }
}
