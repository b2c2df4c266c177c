//! The sending half of a transceiver, at the level of encoded frames and of RTP packets.

use std::sync::Arc;
use std::time::Instant;

use columba_peer::report::StatsReport;
use columba_peer::{
    OutgoingFrame, Peer, RtpSendParameters, StatsSelector, Track, TrackKind, TransceiverDirection,
    TransceiverId,
};

use crate::dtmf::DtmfSender;
use crate::error::Error;
use crate::handle::Handle;
use crate::media_signals::MediaSignals;

/// A sender: the W3C's `RTCRtpSender`. Cheap to clone; all clones are handles to the same one.
///
/// It takes encoded frames by [`send_frame`](Self::send_frame), and tells what the encoder is to do
/// by [`next_request`](Self::next_request).
#[derive(Clone, Debug)]
pub struct RtpSender {
    connection: Arc<Handle>,
    id: TransceiverId,
    kind: TrackKind,
}

/// A request to the encoder behind a sender.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EncoderRequest {
    /// The next frame is to be a key frame: the other side asks for it, or begins to receive.
    KeyFrame {
        /// The name of the encoding; `None` if there is only one.
        rid: Option<Arc<str>>,
    },
    /// The bitrate to aim at: what the path carries, within the parameters of the sender.
    Bitrate {
        /// The name of the encoding; `None` if there is only one.
        rid: Option<Arc<str>>,
        /// Bits per second.
        bits_per_second: u64,
    },
    /// The parameters of an encoding have changed, by
    /// [`set_parameters`](RtpSender::set_parameters): the encoder is the one to scale and to leave
    /// frames out.
    Encoding {
        /// The name of the encoding; `None` if there is only one.
        rid: Option<Arc<str>>,
        /// `active`: false if nothing is to be sent.
        active: bool,
        /// `maxFramerate`: frames per second at most.
        max_framerate: Option<f64>,
        /// `scaleResolutionDownBy`: the factor by which width and height are divided.
        scale_resolution_down_by: Option<f64>,
    },
}

impl RtpSender {
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

    /// Returns the kind of its tracks.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        self.kind
    }

    /// `track`: the one that is sent, if there is one.
    #[must_use]
    pub fn track(&self) -> Option<Track> {
        self.connection.shared.lock().peer.transceiver(self.id)?.sender.track
    }

    /// Returns true if it is agreed that this side sends.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        let direction =
            self.connection.shared.lock().peer.transceiver(self.id).and_then(|info| info.current_direction);
        matches!(direction, Some(TransceiverDirection::SendRecv | TransceiverDirection::SendOnly))
    }

    /// Sends an encoded frame: it is cut into packets, which leave at the pace of the path, and are
    /// sent again if the other side misses them. Never waits.
    ///
    /// # Errors
    /// The connection is not up, or it is not agreed that this side sends
    /// ([`PeerError::NotSending`](crate::PeerError::NotSending)); the frame is not of its codec;
    /// or the path carries less than is sent
    /// ([`PeerError::BufferFull`](crate::PeerError::BufferFull)): drop frames up to a key frame.
    pub fn send_frame(&self, frame: &OutgoingFrame<'_>) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.send_frame(now, self.id, frame))
    }

    /// Sends an RTP packet, in the clear, whose streams, numbers and extensions are the caller's.
    ///
    /// # Errors
    /// As [`send_frame`](Self::send_frame); the packet is malformed, or its payload type is not
    /// agreed.
    pub fn send_packet(&self, packet: &[u8]) -> Result<(), Error> {
        self.with_peer(|peer, _| peer.send_rtp(self.id, packet))
    }

    /// Sends an RTP packet as [`send_packet`](Self::send_packet) does, without a copy: its memory
    /// is taken, and other memory given for it, so that `packet` is empty afterwards and can take
    /// the next one ([`recv_packet`](crate::PeerConnection::recv_packet)). Of those who get the
    /// same packet it is for the last.
    ///
    /// # Errors
    /// As `send_packet`; then `packet` is as it was.
    pub fn forward_packet(&self, packet: &mut Vec<u8>) -> Result<(), Error> {
        self.with_peer(|peer, _| peer.forward_rtp(self.id, packet))
    }

    /// Waits for the next request to the encoder; `None` once the connection or the transceiver is
    /// gone. Of each kind and encoding only the last one waits. Cancelling loses nothing.
    pub async fn next_request(&self) -> Option<EncoderRequest> {
        self.connection.next_requested(self.id, MediaSignals::next_request).await
    }

    /// `replaceTrack`: needs no negotiation.
    ///
    /// # Errors
    /// The track is of another kind, the transceiver has stopped, or the connection is closed.
    pub fn replace_track(&self, track: Option<Track>) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.replace_track(now, self.id, track))
    }

    /// `setStreams`.
    ///
    /// # Errors
    /// The connection is closed, or the transceiver is gone.
    pub fn set_streams(&self, streams: impl IntoIterator<Item = impl Into<String>>) -> Result<(), Error> {
        let streams = streams.into_iter().map(Into::into).collect();
        self.with_peer(|peer, now| peer.set_streams(now, self.id, streams))
    }

    /// `getParameters`.
    ///
    /// # Errors
    /// The connection is closed, or the transceiver is gone.
    pub fn parameters(&self) -> Result<RtpSendParameters, Error> {
        self.with_peer(|peer, now| peer.send_parameters(now, self.id))
    }

    /// `setParameters`, with what [`parameters`](Self::parameters) returned last.
    ///
    /// # Errors
    /// Something else than the values of encodings has changed, or a value is out of range.
    pub fn set_parameters(&self, parameters: RtpSendParameters) -> Result<(), Error> {
        let wanted = parameters.encodings.clone();
        let signals = self.connection.shared.with_state(|state, now| {
            let before = state.peer.transceiver(self.id).map(|info| info.sender.encodings);
            state.peer.set_send_parameters(now, self.id, parameters)?;
            let after = state.peer.transceiver(self.id).map_or(wanted, |info| info.sender.encodings);
            let signals = state.media(self.id);
            for (index, encoding) in after.iter().enumerate() {
                if before.as_ref().and_then(|before| before.get(index)) != Some(encoding)
                    && let Some(signals) = &signals
                {
                    signals.add_request(EncoderRequest::Encoding {
                        rid: encoding.rid.as_deref().map(Arc::from),
                        active: encoding.active,
                        max_framerate: encoding.max_framerate,
                        scale_resolution_down_by: encoding.scale_resolution_down_by,
                    });
                }
            }
            Ok::<_, columba_peer::Error>(signals)
        })?;
        signals.iter().for_each(MediaSignals::wake);
        Ok(())
    }

    /// `dtmf`: the sender of tones; `None` for a sender of pictures.
    #[must_use]
    pub fn dtmf(&self) -> Option<DtmfSender> {
        (self.kind == TrackKind::Audio).then(|| DtmfSender::new(self.connection.clone(), self.id))
    }

    /// `getStats`, as the W3C's report.
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn stats(&self) -> Result<StatsReport, Error> {
        self.with_peer(|peer, now| peer.stats_report_of(now, &StatsSelector::Sender(self.id)))
    }
}
