//! Statistics: `getStats`.

use std::time::Instant;

use columba_ice::Path;

use super::Peer;
use crate::error::Error;
use crate::media::TransceiverInfo;
use crate::rtp::RtpStats;
use crate::stats::report::StatsReport;
use crate::stats::{Dropped, Stats, StatsSelector};
use crate::transport::{Transport, TransportId};

impl Peer {
    /// `getStats`, as plain structs.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Stats {
        let counters = self.transports.iter().map(|one| (one.counters(), one.dropped_records()));
        let dropped = counters.fold(self.dropped, |sum, (counters, records)| Dropped {
            unknown: sum.unknown + counters.unknown,
            no_path: sum.no_path + counters.no_path,
            dtls: sum.dtls + records,
            ..sum
        });
        Stats {
            timestamp: self.wall.at(now),
            data_channels_opened: self.data.opened(),
            data_channels_closed: self.data.closed(),
            transports: self.transports.iter().filter(|one| !one.has_ended()).map(Transport::stats).collect(),
            sctp: self.data.stats(),
            channels: self.data.channel_stats(),
            rtp: self.rtp_stats(now),
            dropped,
        }
    }

    /// The streams, with what the descriptions say of them.
    fn rtp_stats(&self, now: Instant) -> RtpStats {
        let mut stats = self.packets.stats(now);
        let codec = |mid: &str, sends, number: Option<u8>| {
            let codecs = self.jsep.negotiated(mid, sends).codecs;
            codecs.into_iter().find(|one| Some(one.payload_type) == number).map(|one| one.codec)
        };
        for one in &mut stats.outbound {
            let Ok(transceiver) = self.jsep.media().find(one.transceiver) else { continue };
            one.mid.clone_from(&transceiver.mid);
            one.track = transceiver.sender.track.as_ref().map(|track| track.id.clone());
            one.codec = one.mid.as_deref().and_then(|mid| codec(mid, true, one.payload_type));
        }
        for one in &mut stats.inbound {
            let Ok(transceiver) = self.jsep.media().find(one.transceiver) else { continue };
            one.mid.clone_from(&transceiver.mid);
            one.track = Some(transceiver.receiver.track.id.clone());
            one.codec = one.mid.as_deref().and_then(|mid| codec(mid, false, Some(one.payload_type)));
        }
        stats
    }

    /// `getStats`, as the W3C's report.
    #[must_use]
    pub fn stats_report(&self, now: Instant) -> StatsReport {
        StatsReport::new(&self.stats(now), &self.certificate, self.wall, now)
    }

    /// `getStats` of a sender, a receiver or a track, as the W3C's report: what its streams of RTP
    /// refer to. Empty as long as it has no transport.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`], [`Error::NoSuchTrack`].
    pub fn stats_report_of(&self, now: Instant, selector: &StatsSelector) -> Result<StatsReport, Error> {
        let all = self.transceivers();
        let selected = match selector {
            StatsSelector::Sender(id) | StatsSelector::Receiver(id) => {
                all.iter().find(|one| one.id == *id).ok_or(Error::NoSuchTransceiver)?
            }
            StatsSelector::Track(track) => only_with_track(&all, track)?,
        };
        let Some(transport) = selected.mid.as_deref().and_then(|mid| self.jsep.transport_of(mid)) else {
            return Ok(StatsReport::default());
        };
        let stats = self.stats(now);
        let sends = match selector {
            StatsSelector::Sender(_) => true,
            StatsSelector::Receiver(_) => false,
            StatsSelector::Track(track) => selected.receiver.track.id != *track,
        };
        let streams = if sends { stats.rtp.sent_by(selected.id) } else { stats.rtp.received_by(selected.id) };
        let report = StatsReport::new(&stats, &self.certificate, self.wall, now);
        Ok(report.of(transport, streams))
    }

    /// Counts packets that the owner's socket did not take because of an error, for
    /// `RTCIceCandidatePairStats.packetsDiscardedOnSend`.
    pub fn note_discarded(&mut self, transport: TransportId, path: Path, packets: u64, bytes: u64) {
        if let Some(transport) = self.transport_mut(transport) {
            transport.note_discarded(path, packets, bytes);
        }
    }
}

/// Returns the transceiver whose sender or receiver, and no other, has a track.
fn only_with_track<'a>(all: &'a [TransceiverInfo], track: &str) -> Result<&'a TransceiverInfo, Error> {
    let senders = all.iter().filter(|one| one.sender.track.as_ref().is_some_and(|own| own.id == track));
    let mut found = senders.chain(all.iter().filter(|one| one.receiver.track.id == track));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Error::NoSuchTrack { reason: "no sender and no receiver has it" }),
        (Some(_), Some(_)) => Err(Error::NoSuchTrack { reason: "several senders and receivers have it" }),
    }
}
