//! The receiving half of a transceiver, at the level of encoded frames.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_peer::report::StatsReport;
use columba_peer::{
    Peer, ReceiveLevel, ReceivedFrame, RtpReceiveParameters, RtpSource, StatsSelector, Track, TrackKind,
    TransceiverId,
};

use crate::error::Error;
use crate::handle::Handle;
use crate::track::MediaStreamTrack;

/// A receiver: the W3C's `RTCRtpReceiver`. Cheap to clone; all clones are handles to the same one.
///
/// It gives out encoded frames by [`recv_frame`](Self::recv_frame), whole and in order.
#[derive(Clone, Debug)]
pub struct RtpReceiver {
    connection: Arc<Handle>,
    id: TransceiverId,
    kind: TrackKind,
}

/// A frame that was received.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EncodedFrame {
    /// The data: for H.264 with start codes, for AV1 a temporal unit of OBUs with sizes.
    pub data: Bytes,
    /// The properties of the frame.
    pub info: ReceivedFrame,
}

impl RtpReceiver {
    pub(crate) fn new(connection: Arc<Handle>, id: TransceiverId, kind: TrackKind) -> Self {
        Self { connection, id, kind }
    }

    fn with_peer<T>(
        &self,
        change: impl FnOnce(&mut Peer, Instant) -> Result<T, columba_peer::Error>,
    ) -> Result<T, Error> {
        Ok(self.connection.shared.with_peer(change)?)
    }

    /// Returns the identifier of its transceiver.
    #[must_use]
    pub fn transceiver_id(&self) -> TransceiverId {
        self.id
    }

    /// Returns the kind of its track.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        self.kind
    }

    /// `track`; `None` once the transceiver is gone.
    #[must_use]
    pub fn track(&self) -> Option<Track> {
        Some(self.connection.shared.lock().peer.transceiver(self.id)?.receiver.track)
    }

    /// `track`, as an object; `None` once the transceiver is gone.
    #[must_use]
    pub fn media_track(&self) -> Option<MediaStreamTrack> {
        let mut state = self.connection.shared.lock();
        let receiver = state.peer.transceiver(self.id)?.receiver;
        Some(state.remote.track(self.id, &receiver.track, receiver.muted))
    }

    /// `jitterBufferTarget`: the time that what is received is to wait before it is played; `None`
    /// leaves it to the one who plays.
    #[must_use]
    pub fn jitter_buffer_target(&self) -> Option<Duration> {
        self.connection.shared.lock().peer.transceiver(self.id)?.receiver.jitter_buffer_target
    }

    /// Sets `jitterBufferTarget`.
    ///
    /// # Errors
    /// It is above 4 s, or the transceiver is gone.
    pub fn set_jitter_buffer_target(&self, target: Option<Duration>) -> Result<(), Error> {
        self.with_peer(|peer, _| peer.set_jitter_buffer_target(self.id, target))
    }

    /// Limits the bitrate that the other side sends, by TMMBR or REMB, as it is agreed; `None` for
    /// no limit.
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn set_max_bitrate(&self, bits_per_second: Option<u64>) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.set_receive_limit(now, self.id, bits_per_second))
    }

    /// `track.muted`: true while the other side sends nothing.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.connection.shared.lock().peer.transceiver(self.id).is_none_or(|info| info.receiver.muted)
    }

    /// Waits for the next frame; `None` once the connection or the transceiver is gone. Of more
    /// than 256 frames, or 8 MiB, that wait, the later ones are dropped up to a key frame.
    /// Cancelling loses nothing.
    pub async fn recv_frame(&self) -> Option<EncodedFrame> {
        let shared = &self.connection.shared;
        let signals = shared.lock().media(self.id)?;
        loop {
            let mut readable = pin!(signals.readable.notified());
            readable.as_mut().enable();
            {
                let mut state = shared.lock();
                if let Some(frame) = take(&mut state.peer, self.id) {
                    return Some(frame);
                }
                state.media(self.id)?;
            }
            readable.await;
        }
    }

    /// Returns the next frame, if one waits.
    #[must_use]
    pub fn try_recv_frame(&self) -> Option<EncodedFrame> {
        take(&mut self.connection.shared.lock().peer, self.id)
    }

    /// Asks the other side for a key frame, within limits: PLI or FIR.
    pub fn request_key_frame(&self) {
        self.connection.shared.with_peer(|peer, now| peer.request_key_frame(now, self.id));
    }

    /// Sets whether what arrives is given out as frames, which is the default, or as RTP packets by
    /// [`PeerConnection::recv_packet`](crate::PeerConnection::recv_packet).
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn set_level(&self, level: ReceiveLevel) -> Result<(), Error> {
        self.with_peer(|peer, _| peer.set_receive_level(self.id, level))
    }

    /// `getSynchronizationSources`: the streams of the last 10 s, with their loudness.
    #[must_use]
    pub fn synchronization_sources(&self) -> Vec<RtpSource> {
        self.connection.shared.lock().peer.synchronization_sources(Instant::now(), self.id)
    }

    /// `getContributingSources`: the sources that were mixed in the last 10 s.
    #[must_use]
    pub fn contributing_sources(&self) -> Vec<RtpSource> {
        self.connection.shared.lock().peer.contributing_sources(Instant::now(), self.id)
    }

    /// `getParameters`.
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn parameters(&self) -> Result<RtpReceiveParameters, Error> {
        self.with_peer(|peer, _| peer.receive_parameters(self.id))
    }

    /// `getStats`, as the W3C's report.
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn stats(&self) -> Result<StatsReport, Error> {
        self.with_peer(|peer, now| peer.stats_report_of(now, &StatsSelector::Receiver(self.id)))
    }
}

fn take(peer: &mut Peer, id: TransceiverId) -> Option<EncodedFrame> {
    let mut data = Vec::new();
    let info = peer.receive_frame(id, &mut data)?;
    Some(EncodedFrame { data: data.into(), info })
}
