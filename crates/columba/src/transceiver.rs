//! The handle to a transceiver.

use std::sync::Arc;
use std::time::Instant;

use columba_peer::report::StatsReport;
use columba_peer::{
    Peer, RtpCodec, RtpReceiveParameters, RtpSendParameters, StatsSelector, Track, TrackKind,
    TransceiverDirection, TransceiverId, TransceiverInfo,
};

use crate::error::Error;
use crate::handle::Handle;
use crate::receiver::RtpReceiver;
use crate::sender::RtpSender;
use crate::track::{MediaStream, MediaStreamTrack};

/// A transceiver: the W3C's `RTCRtpTransceiver` with its `RTCRtpSender` and `RTCRtpReceiver`. Cheap
/// to clone; all clones are handles to the same one.
///
/// [`sender`](Self::sender) takes encoded frames, [`receiver`](Self::receiver) gives them out.
///
/// ```
/// use columba::{
///     Configuration, Error, Event, PeerConnection, Track, TrackKind, TransceiverDirection,
///     TransceiverInit,
/// };
///
/// #[tokio::main]
/// async fn main() -> Result<(), Error> {
///     let (caller, _events) = PeerConnection::new(Configuration::default())?;
///     let (callee, mut events) = PeerConnection::new(Configuration::default())?;
///     let camera = caller.add_track(Track::video("camera"), ["stream"])?;
///     caller.add_transceiver(TrackKind::Audio, TransceiverInit::default())?;
///     callee.set_remote_description(caller.set_local_description(None).await?).await?;
///
///     // The callee chooses among the tracks that are offered: the rest stays inactive.
///     while let Some(event) = events.recv().await {
///         if let Event::Track(added) = event {
///             if added.track.kind == TrackKind::Video {
///                 assert_eq!(added.streams, ["stream"]);
///                 added.transceiver.set_direction(TransceiverDirection::RecvOnly)?;
///                 break;
///             }
///         }
///     }
///     caller.set_remote_description(callee.set_local_description(None).await?).await?;
///
///     assert_eq!(camera.current_direction(), Some(TransceiverDirection::SendOnly));
///     println!("sends {}", camera.send_parameters()?.codecs[0].codec.mime_type);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Transceiver {
    connection: Arc<Handle>,
    id: TransceiverId,
    kind: TrackKind,
}

/// A track that the other side sends: the W3C's `RTCTrackEvent`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrackEvent {
    /// The transceiver whose receiver has the track.
    pub transceiver: Transceiver,
    /// The track.
    pub track: Track,
    /// The identifiers of the streams to which it belongs.
    pub streams: Vec<String>,
    /// The track as an object: the same for each event of its transceiver.
    pub media_track: MediaStreamTrack,
    /// The streams as objects, which have the track already, and their `addtrack` before this
    /// event.
    pub media_streams: Vec<MediaStream>,
}

impl Transceiver {
    pub(crate) fn new(connection: Arc<Handle>, id: TransceiverId, kind: TrackKind) -> Self {
        Self { connection, id, kind }
    }

    fn with_peer<T>(
        &self,
        change: impl FnOnce(&mut Peer, Instant) -> Result<T, columba_peer::Error>,
    ) -> Result<T, Error> {
        Ok(self.connection.shared.with_peer(change)?)
    }

    /// Its identifier in the connection.
    #[must_use]
    pub fn id(&self) -> TransceiverId {
        self.id
    }

    /// The kind of its tracks.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        self.kind
    }

    /// `sender`.
    #[must_use]
    pub fn sender(&self) -> RtpSender {
        RtpSender::new(self.connection.clone(), self.id, self.kind)
    }

    /// `receiver`.
    #[must_use]
    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver::new(self.connection.clone(), self.id, self.kind)
    }

    /// A snapshot of all that it has; `None` once it has stopped and its section is rejected.
    #[must_use]
    pub fn info(&self) -> Option<TransceiverInfo> {
        self.connection.shared.lock().peer.transceiver(self.id)
    }

    /// `mid`: the name of its media section.
    #[must_use]
    pub fn mid(&self) -> Option<String> {
        self.info()?.mid
    }

    /// `direction`: the one that this side wants.
    #[must_use]
    pub fn direction(&self) -> TransceiverDirection {
        self.info().map_or(TransceiverDirection::Stopped, |info| info.direction)
    }

    /// `currentDirection`: the one that was negotiated.
    #[must_use]
    pub fn current_direction(&self) -> Option<TransceiverDirection> {
        self.info().map_or(Some(TransceiverDirection::Stopped), |info| info.current_direction)
    }

    /// Sets `direction`; takes effect with the next negotiation.
    ///
    /// # Errors
    /// The connection is closed, or the transceiver has stopped.
    pub fn set_direction(&self, direction: TransceiverDirection) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.set_direction(now, self.id, direction))
    }

    /// `stop`: for good; the next negotiation tells the other side.
    ///
    /// # Errors
    /// The connection is closed, or the transceiver is gone.
    pub fn stop(&self) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.stop_transceiver(now, self.id))
    }

    /// `RTCRtpSender.getStats`, as the W3C's report.
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn sender_stats(&self) -> Result<StatsReport, Error> {
        self.with_peer(|peer, now| peer.stats_report_of(now, &StatsSelector::Sender(self.id)))
    }

    /// `RTCRtpReceiver.getStats`, as the W3C's report.
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn receiver_stats(&self) -> Result<StatsReport, Error> {
        self.with_peer(|peer, now| peer.stats_report_of(now, &StatsSelector::Receiver(self.id)))
    }

    /// `setCodecPreferences`: only these codecs, in this order; all with none. One codec forces its
    /// use.
    ///
    /// # Errors
    /// A codec is not one of the configuration's, or none carries media of its own.
    pub fn set_codec_preferences(&self, codecs: Vec<RtpCodec>) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.set_codec_preferences(now, self.id, codecs))
    }

    /// `RTCRtpSender.setStreams`.
    ///
    /// # Errors
    /// The connection is closed, or the transceiver is gone.
    pub fn set_streams(&self, streams: impl IntoIterator<Item = impl Into<String>>) -> Result<(), Error> {
        let streams = streams.into_iter().map(Into::into).collect();
        self.with_peer(|peer, now| peer.set_streams(now, self.id, streams))
    }

    /// `RTCRtpSender.replaceTrack`: needs no negotiation.
    ///
    /// # Errors
    /// The track is of another kind, the transceiver has stopped, or the connection is closed.
    pub fn replace_track(&self, track: Option<Track>) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.replace_track(now, self.id, track))
    }

    /// `removeTrack` of its sender.
    ///
    /// # Errors
    /// The connection is closed, or the transceiver is gone.
    pub fn remove_track(&self) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.remove_track(now, self.id))
    }

    /// `RTCRtpSender.getParameters`.
    ///
    /// # Errors
    /// The connection is closed, or the transceiver is gone.
    pub fn send_parameters(&self) -> Result<RtpSendParameters, Error> {
        self.with_peer(|peer, now| peer.send_parameters(now, self.id))
    }

    /// `RTCRtpSender.setParameters`, with what [`send_parameters`](Self::send_parameters) returned
    /// last.
    ///
    /// # Errors
    /// Something else than the values of encodings has changed, or a value is out of range.
    pub fn set_send_parameters(&self, parameters: RtpSendParameters) -> Result<(), Error> {
        self.with_peer(|peer, now| peer.set_send_parameters(now, self.id, parameters))
    }

    /// `RTCRtpReceiver.getParameters`.
    ///
    /// # Errors
    /// The transceiver is gone.
    pub fn receive_parameters(&self) -> Result<RtpReceiveParameters, Error> {
        self.with_peer(|peer, _| peer.receive_parameters(self.id))
    }
}
