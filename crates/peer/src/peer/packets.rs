//! The way of a packet through the peer: one way in, one way out.

use std::ops::Range;
use std::time::Instant;

use columba_ice::{
    CandidateKind, Ecn, HEADROOM, Path, Received, SelectedPair, TAILROOM, Transmit, Transport,
};

use super::Peer;
use crate::demux::{Protocol, protocol_of};
use crate::dtls::{BACK, FRONT};

impl Peer {
    /// ICE takes its own, the first byte tells the rest apart.
    pub(super) fn take_datagram(&mut self, now: Instant, path: Path, ecn: Ecn, datagram: &mut [u8]) {
        let Received::Data { range } = self.agent.handle_datagram(now, path, ecn, datagram) else {
            return;
        };
        let datagram = &mut datagram[range];
        match protocol_of(datagram) {
            Protocol::Dtls => {
                if let Err(error) = self.link.open(now, datagram) {
                    self.fail(now, error);
                }
                self.take_link_events(now);
                while let Some(range) = self.link.read(datagram) {
                    self.data.handle_packet(now, ecn, &datagram[range]);
                }
            }
            Protocol::Media => self.dropped.media += 1,
            Protocol::Unknown => self.dropped.unknown += 1,
        }
    }

    pub(super) fn next_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.farewells.pop_front() {
            buf.get_mut(..bytes.len())?.copy_from_slice(&bytes);
            return Some(transmit);
        }
        if let Some(transmit) = self.agent.poll_transmit(now, buf) {
            return Some(transmit);
        }
        while let Some(range) = self.next_flight(buf) {
            match self.agent.prepare(now, buf, range, None) {
                Some(transmit) => return Some(transmit),
                None => self.dropped.no_path += 1,
            }
        }
        // What a connection does not take yet stays with SCTP, which knows best what is to go next.
        while !self.agent.is_clogged()
            && let Some((range, segment_size)) = self.next_batch(now, buf)
        {
            match self.agent.prepare(now, buf, range, segment_size) {
                Some(transmit) => return Some(Transmit { ecn: self.data.ecn(), ..transmit }),
                None => self.dropped.no_path += 1,
            }
        }
        None
    }

    /// A datagram of the DTLS handshake. It waits for a path: a server may have its flight before it has a
    /// valid pair.
    fn next_flight(&mut self, buf: &mut [u8]) -> Option<Range<usize>> {
        if !self.states.writable {
            return None;
        }
        let length = self.link.poll_transmit(buf.get_mut(HEADROOM..)?)?;
        Some(HEADROOM..HEADROOM + length)
    }

    /// SCTP packets, each written once at its place and sealed there; several of one size one behind the
    /// other, if the path takes that.
    fn next_batch(&mut self, now: Instant, buf: &mut [u8]) -> Option<(Range<usize>, Option<usize>)> {
        let borne = self.data.packet_size();
        let (plain, first) = self.next_record(now, buf, HEADROOM, MAX_RECORD)?;
        let size = first.len();
        let mut end = first.end;
        // A small packet is not made the measure for the large ones that may follow; and what may be too large to arrive goes
        // alone, because the kernel refuses a batch as a whole.
        if size * 2 < borne || plain > borne || !self.agent.takes_batches() {
            return Some((first, None));
        }
        for _ in 1..MAX_BATCH {
            if end + FRONT + plain + BACK + TAILROOM > buf.len() || end + size - first.start > MAX_BATCH_BYTES
            {
                break;
            }
            let Some((_, record)) = self.next_record(now, buf, end, plain) else { break };
            if record.len() > size {
                // DTLS had something of its own to say along with it (a key update): it has to go alone.
                self.link.postpone(&buf[record]);
                break;
            }
            end = record.end;
            if record.len() < size {
                break;
            }
        }
        Some((first.start..end, Some(size)))
    }

    /// One packet of at most `size` bytes, sealed, whose record begins at `at`; tells the packet's length,
    /// too.
    fn next_record(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        at: usize,
        size: usize,
    ) -> Option<(usize, Range<usize>)> {
        let start = at + FRONT;
        let size = size.min(buf.len().checked_sub(start + BACK + TAILROOM)?);
        loop {
            let length = self.data.poll_transmit(now, buf.get_mut(start..start + size)?)?;
            if let Some(record) = self.link.seal(now, buf, start..start + length) {
                return Some((length, record));
            }
            self.dropped.no_path += 1;
        }
    }

    /// Bytes of the largest SCTP packet to try on this path. Only between the two hosts themselves are packets kept from being
    /// fragmented: what a relay does with larger ones, nobody knows.
    pub(super) fn largest_packet(&self, pair: &SelectedPair) -> usize {
        if !is_direct(pair) {
            return self.packet_size();
        }
        packet_size(self.configuration.max_datagram_size).clamp(self.packet_size(), MAX_RECORD)
    }

    /// Bytes of the largest SCTP packet that every path bears. A TURN header comes on top; what the default leaves for it stays
    /// below IPv6's 1,280 bytes.
    pub(super) fn packet_size(&self) -> usize {
        packet_size(self.configuration.datagram_size)
    }

    /// Makes the last datagrams: what the congestion window lets go now of what waits, then SCTP's and DTLS's
    /// goodbyes. They have to be made before ICE lets go of the path.
    pub(super) fn say_farewell(&mut self, now: Instant) {
        let mut buf = vec![0; HEADROOM + FRONT + self.configuration.datagram_size + BACK + TAILROOM];
        self.bid_records(now, &mut buf, LAST_WORDS);
        self.data.close(now);
        self.bid_records(now, &mut buf, FAREWELLS);
        self.link.close(now);
        while let Some(flight) = self.next_flight(&mut buf) {
            self.bid(now, &mut buf, flight);
        }
    }

    fn bid_records(&mut self, now: Instant, buf: &mut [u8], most: usize) {
        while self.farewells.len() < most
            && let Some((_, record)) = self.next_record(now, buf, HEADROOM, self.packet_size())
        {
            self.bid(now, buf, record);
        }
    }

    fn bid(&mut self, now: Instant, buf: &mut [u8], range: Range<usize>) {
        if self.farewells.len() < FAREWELLS
            && let Some(transmit) = self.agent.prepare(now, buf, range, None)
        {
            let bytes = buf[transmit.range.clone()].to_vec();
            let range = 0..bytes.len();
            self.farewells.push_back((Transmit { range, ..transmit }, bytes));
        }
    }
}

/// Whether datagrams go from host to host as they are.
pub(super) fn is_direct(pair: &SelectedPair) -> bool {
    let relayed = [&pair.local, &pair.remote].iter().any(|end| end.kind == CandidateKind::Relayed);
    !relayed && pair.path.transport == Transport::Udp
}

pub(super) fn packet_size(datagram_size: usize) -> usize {
    // SCTP pads to four bytes; a whole number of them is what it can fill.
    datagram_size.saturating_sub(FRONT + BACK) & !3
}

/// Bytes of plaintext that one DTLS record holds are 16,384 (RFC 6347 section 4.1, RFC 9147 section 4), of which DTLS 1.3 may
/// take one for the type; SCTP packets are whole words.
const MAX_RECORD: usize = (1 << 14) - 4;

/// Datagrams in one batch at most: what Linux takes at once (UDP_MAX_SEGMENTS was 64 before it became 128).
const MAX_BATCH: usize = 64;

/// Bytes in one batch at most: what a UDP length can say, less headers.
const MAX_BATCH_BYTES: usize = 65_000;

/// Datagrams of what waits that still go when the connection is closed, at most: more than the window of a
/// path that was not measured yet.
const LAST_WORDS: usize = 64;

/// Last datagrams at most, goodbyes included.
pub(super) const FAREWELLS: usize = LAST_WORDS + 8;
