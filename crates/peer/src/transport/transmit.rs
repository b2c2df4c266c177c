//! The way of a packet out of a transport: one buffer, written once, sealed where it stands.

use std::ops::Range;
use std::time::Instant;

use columba_ice::{CandidateKind, HEADROOM, SelectedPair, TAILROOM, Transmit};
use columba_sctp::{Budget, Unlimited};

use super::Transport;
use super::dtls::{BACK, FRONT};
use crate::data::Data;

/// The largest SCTP packet in bytes. A DTLS record holds 16,384 bytes of plaintext (RFC 6347 §4.1,
/// RFC 9147 §4), of which DTLS 1.3 may take one for the content type; SCTP packets are whole words.
const MAX_PACKET: usize = (1 << 14) - 4;

/// Datagrams in one batch at most: the limit of Linux (UDP_MAX_SEGMENTS was 64 before it became
/// 128).
const MAX_BATCH: usize = 64;

/// Bytes in one batch at most: the largest UDP length, less headers.
const MAX_BATCH_BYTES: usize = 65_000;

/// Datagrams of waiting data that still go out when the connection is closed, at most: more than
/// the initial congestion window.
const MAX_FINAL_DATA: usize = 64;

/// Last datagrams of a closed transport at most, close notifications included.
pub(super) const MAX_FINAL: usize = MAX_FINAL_DATA + 8;

/// The source of SCTP packets, and the allowance of the path, which it asks before each packet with
/// user data, and whose next opening it keeps among its own deadlines.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) data: &'a mut Data,
    pub(crate) budget: &'a mut dyn Budget,
}

impl Transport {
    /// Writes the next datagram, or a batch of equally long ones, into `buf`. `data` is the source
    /// of SCTP packets, if data runs over this transport.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        data: Option<Source<'_>>,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.closing.pop_front() {
            buf.get_mut(..bytes.len())?.copy_from_slice(&bytes);
            return Some(transmit);
        }
        if let Some(transmit) = self.agent.poll_transmit(now, buf) {
            return Some(transmit);
        }
        while let Some(range) = self.next_flight(now, buf) {
            match self.agent.prepare(now, buf, range, None) {
                Some(transmit) => return Some(transmit),
                None => self.counters.no_path += 1,
            }
        }
        // Checks may have carried a handshake to its end before there is a path.
        let mut source = data.filter(|_| self.is_writable)?;
        // A stream that takes no more leaves the data with SCTP, which decides what goes next.
        while !self.agent.is_clogged()
            && let Some((range, segment_size)) = self.next_batch(now, &mut source, buf)
        {
            match self.agent.prepare(now, buf, range, segment_size) {
                Some(transmit) => return Some(Transmit { ecn: source.data.ecn(), ..transmit }),
                None => self.counters.no_path += 1,
            }
        }
        None
    }

    /// Writes the next packet, or a batch of equally long ones, that `write` writes protected: it
    /// gets the room and the longest length, and returns the length.
    pub(crate) fn transmit_packets(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        mut write: impl FnMut(&mut [u8], usize) -> Option<usize>,
    ) -> Option<Transmit> {
        let room = buf.len().checked_sub(TAILROOM).filter(|room| *room > HEADROOM)?;
        let most = if self.agent.takes_batches() { MAX_BATCH } else { 1 };
        while !self.agent.is_clogged() {
            let size = write(&mut buf[HEADROOM..room], usize::MAX)?;
            let (mut end, mut count) = (HEADROOM + size, 1);
            while count < most {
                if end + size > room || end + size - HEADROOM > MAX_BATCH_BYTES {
                    break;
                }
                let Some(length) = write(&mut buf[end..room], size) else { break };
                (end, count) = (end + length, count + 1);
                if length < size {
                    break;
                }
            }
            match self.agent.prepare(now, buf, HEADROOM..end, (count > 1).then_some(size)) {
                Some(transmit) => return Some(transmit),
                None => self.counters.no_path += count as u64,
            }
        }
        None
    }

    /// Writes a datagram of DTLS's own. It waits for a path: a server may have its flight before it
    /// has a valid pair.
    fn next_flight(&mut self, now: Instant, buf: &mut [u8]) -> Option<Range<usize>> {
        if !self.is_writable {
            return None;
        }
        let room = buf.get_mut(HEADROOM..)?;
        let length = match self.next_undelivered(room) {
            Some(length) => length,
            None => self.dtls.poll_transmit(now, room)?,
        };
        Some(HEADROOM..HEADROOM + length)
    }

    /// Writes SCTP packets, each at its final place, and seals them there with one call; several of
    /// one size one behind the other, if the path takes batches.
    fn next_batch(
        &mut self,
        now: Instant,
        source: &mut Source<'_>,
        buf: &mut [u8],
    ) -> Option<(Range<usize>, Option<usize>)> {
        let known = source.data.packet_size();
        let (front, back) = self.dtls.overhead();
        let mut lengths = [0; MAX_BATCH];
        let plain = self.next_packet(now, source, buf, HEADROOM, MAX_PACKET)?;
        let size = front + plain + back;
        lengths[0] = plain;
        let mut count = 1;
        // A small packet must not set the size for the large ones that may follow. A packet larger
        // than the known MTU goes alone, because the kernel refuses a batch as a whole.
        let is_batch = size * 2 >= known && plain <= known && self.agent.takes_batches();
        while is_batch && count < MAX_BATCH && lengths[count - 1] == plain {
            let at = HEADROOM + count * size;
            if at + size + TAILROOM > buf.len() || (count + 1) * size > MAX_BATCH_BYTES {
                break;
            }
            let Some(length) = self.next_packet(now, source, buf, at, plain) else { break };
            lengths[count] = length;
            count += 1;
        }
        let Some(records) = self.dtls.seal(buf, HEADROOM, &lengths[..count]) else {
            self.counters.no_path += count as u64;
            return None;
        };
        Some((records, is_batch.then_some(size)))
    }

    /// Writes one packet of at most `size` bytes, whose record begins at `at`. Returns its length.
    fn next_packet(
        &mut self,
        now: Instant,
        source: &mut Source<'_>,
        buf: &mut [u8],
        at: usize,
        size: usize,
    ) -> Option<usize> {
        let (front, back) = self.dtls.overhead();
        let start = at + front;
        let size = size.min(buf.len().checked_sub(start + back + TAILROOM)?);
        source.data.channels.poll_transmit(now, &mut *source.budget, buf.get_mut(start..start + size)?)
    }

    /// Returns the size of the largest SCTP packet to try on this pair, in bytes. Only between two
    /// hosts without a relay are datagrams kept from being fragmented.
    pub(crate) fn largest_packet(&self, pair: &SelectedPair) -> usize {
        let safe = packet_size(self.sizes.safe);
        if is_direct(pair) { packet_size(self.sizes.probed).clamp(safe, MAX_PACKET) } else { safe }
    }

    /// Makes the last datagrams, then closes. They have to be made before ICE gives up the path:
    /// waiting data that the congestion window lets go, SCTP's abort, and the close notification of
    /// DTLS.
    pub(crate) fn close(&mut self, now: Instant, data: Option<&mut Data>) {
        let mut buf = vec![0; HEADROOM + FRONT + self.sizes.safe + BACK + TAILROOM];
        if let Some(data) = data {
            self.queue_final_data(now, data, &mut buf, MAX_FINAL_DATA);
            data.close(now);
            self.queue_final_data(now, data, &mut buf, MAX_FINAL);
        }
        self.dtls.close();
        while let Some(flight) = self.next_flight(now, &mut buf) {
            self.queue_final(now, &mut buf, flight);
        }
        self.agent.close(now);
    }

    fn queue_final_data(&mut self, now: Instant, data: &mut Data, buf: &mut [u8], most: usize) {
        let mut source = Source { data, budget: &mut Unlimited };
        let largest = packet_size(self.sizes.safe);
        while self.closing.len() < most
            && let Some(length) = self.next_packet(now, &mut source, buf, HEADROOM, largest)
        {
            if let Some(record) = self.dtls.seal(buf, HEADROOM, &[length]) {
                self.queue_final(now, buf, record);
            }
        }
    }

    fn queue_final(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) {
        if self.closing.len() < MAX_FINAL
            && let Some(transmit) = self.agent.prepare(now, buf, range, None)
        {
            let bytes = buf[transmit.range.clone()].to_vec();
            let range = 0..bytes.len();
            self.closing.push_back((Transmit { range, ..transmit }, bytes));
        }
    }
}

/// Returns true if datagrams go from host to host as they are.
pub(crate) fn is_direct(pair: &SelectedPair) -> bool {
    let relayed = [&pair.local, &pair.remote].iter().any(|end| end.kind == CandidateKind::Relayed);
    !relayed && pair.path.transport == columba_ice::Transport::Udp
}

/// Returns the size of the SCTP packet that fits into a datagram of this size, in bytes.
pub(crate) fn packet_size(datagram_size: usize) -> usize {
    // SCTP pads to four bytes; a whole number of words can be filled.
    datagram_size.saturating_sub(FRONT + BACK) & !3
}
