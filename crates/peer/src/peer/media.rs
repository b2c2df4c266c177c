//! Transceivers, senders and receivers.

use std::time::Instant;

use super::Peer;
use crate::error::Error;
use crate::event::Event;
use crate::media::{
    RtpCodec, RtpReceiveParameters, RtpSendParameters, SendLimits, Track, TrackKind, TransceiverDirection,
    TransceiverId, TransceiverInfo, TransceiverInit, Transceivers,
};

impl Peer {
    /// `addTransceiver`, with a kind.
    ///
    /// # Errors
    /// [`Error::InvalidParameters`] if the encodings contradict each other or the direction is
    /// stopped; [`Error::UnsupportedEncoding`], [`Error::OutOfRange`], [`Error::Closed`].
    pub fn add_transceiver(
        &mut self,
        now: Instant,
        kind: TrackKind,
        init: TransceiverInit,
    ) -> Result<TransceiverId, Error> {
        self.change_media(now, |media| media.add_transceiver(kind, None, init))
    }

    /// `addTransceiver`, with a track that is sent.
    ///
    /// # Errors
    /// As [`add_transceiver`](Self::add_transceiver).
    pub fn add_transceiver_with_track(
        &mut self,
        now: Instant,
        track: Track,
        init: TransceiverInit,
    ) -> Result<TransceiverId, Error> {
        self.change_media(now, |media| media.add_transceiver(track.kind, Some(track), init))
    }

    /// `addTrack`: sends a track in these streams. Uses a transceiver of the same kind that never
    /// sent, if there is one.
    ///
    /// # Errors
    /// [`Error::TrackInUse`] if it is sent already; [`Error::Closed`].
    pub fn add_track(
        &mut self,
        now: Instant,
        track: Track,
        streams: Vec<String>,
    ) -> Result<TransceiverId, Error> {
        self.change_media(now, |media| media.add_track(track, streams))
    }

    /// The options `offerToReceiveAudio` and `offerToReceiveVideo` of `createOffer` in older
    /// programs, to be called before it: adds a transceiver that receives, if there is none of the
    /// kind, or lets all of the kind receive no longer.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn offer_to_receive(&mut self, now: Instant, kind: TrackKind, receives: bool) -> Result<(), Error> {
        self.change_media(now, |media| media.offer_to_receive(kind, receives))
    }

    /// `removeTrack`: the transceiver sends no longer, and may go on to receive.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`], [`Error::Closed`].
    pub fn remove_track(&mut self, now: Instant, id: TransceiverId) -> Result<(), Error> {
        self.change_media(now, |media| media.remove_track(id))
    }

    /// Sets `RTCRtpTransceiver.direction`. It takes effect with the next negotiation.
    ///
    /// # Errors
    /// [`Error::TransceiverStopped`], [`Error::NoSuchTransceiver`], [`Error::Closed`];
    /// [`Error::InvalidParameters`] if the direction is stopped.
    pub fn set_direction(
        &mut self,
        now: Instant,
        id: TransceiverId,
        direction: TransceiverDirection,
    ) -> Result<(), Error> {
        self.change_media(now, |media| media.set_direction(id, direction))
    }

    /// `RTCRtpTransceiver.stop`: for good. The receiver's track ends at once. The next negotiation
    /// rejects the section, and the transceiver is gone after it; to stop it again does nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`], [`Error::Closed`].
    pub fn stop_transceiver(&mut self, now: Instant, id: TransceiverId) -> Result<(), Error> {
        let ended = self.change_media(now, |media| media.stop(id))?;
        self.events.extend(ended.map(|kind| Event::TrackEnded(id, kind)));
        Ok(())
    }

    /// `setCodecPreferences`: offers and answers only these codecs, in this order. With none, all
    /// in the order of the configuration or of the offer. A single codec forces its use; name `rtx`
    /// too to keep retransmissions.
    ///
    /// # Errors
    /// [`Error::UnsupportedCodec`] for one that is not configured;
    /// [`Error::InvalidModificationOfMedia`] if none carries media of its own;
    /// [`Error::NoSuchTransceiver`], [`Error::Closed`].
    pub fn set_codec_preferences(
        &mut self,
        now: Instant,
        id: TransceiverId,
        codecs: Vec<RtpCodec>,
    ) -> Result<(), Error> {
        self.change_media(now, |media| media.set_codec_preferences(id, codecs))
    }

    /// `RTCRtpSender.setStreams`.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`], [`Error::Closed`].
    pub fn set_streams(
        &mut self,
        now: Instant,
        id: TransceiverId,
        streams: Vec<String>,
    ) -> Result<(), Error> {
        self.change_media(now, |media| media.set_streams(id, streams))
    }

    /// `RTCRtpSender.replaceTrack`: sends another track, or none, without a negotiation.
    ///
    /// # Errors
    /// [`Error::InvalidParameters`] if it is of another kind; [`Error::TransceiverStopped`],
    /// [`Error::NoSuchTransceiver`], [`Error::Closed`].
    pub fn replace_track(
        &mut self,
        now: Instant,
        id: TransceiverId,
        track: Option<Track>,
    ) -> Result<(), Error> {
        self.change_media(now, |media| media.replace_track(id, track))
    }

    /// `RTCRtpSender.getParameters`.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`], [`Error::Closed`].
    pub fn send_parameters(&mut self, now: Instant, id: TransceiverId) -> Result<RtpSendParameters, Error> {
        let mid = self.jsep.media().find(id)?.mid.clone();
        let negotiated = mid.map(|mid| self.jsep.negotiated(&mid, true)).unwrap_or_default();
        let (codecs, header_extensions) = (negotiated.codecs, negotiated.header_extensions);
        let mut parameters = RtpSendParameters { codecs, header_extensions, ..Default::default() };
        parameters.rtcp.reduced_size = negotiated.reduced_size;
        self.change_media(now, |media| media.send_parameters(id, parameters))
    }

    /// Returns what the other side allows a sender in bitrate and length of packets; nothing as
    /// long as its section is not negotiated.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`].
    pub fn send_limits(&self, id: TransceiverId) -> Result<SendLimits, Error> {
        let mid = self.jsep.media().find(id)?.mid.as_deref();
        Ok(mid.map(|mid| self.jsep.negotiated(mid, true).limits).unwrap_or_default())
    }

    /// `RTCRtpSender.setParameters`: changes the encodings of
    /// [`send_parameters`](Self::send_parameters), which must have been called before, and after
    /// the last answer.
    ///
    /// # Errors
    /// [`Error::InvalidModificationOfMedia`] if encodings have come, gone or changed their names,
    /// if one has a codec that was not negotiated, or if something else was changed;
    /// [`Error::ParametersNotRead`], [`Error::OutOfRange`], [`Error::TransceiverStopped`],
    /// [`Error::NoSuchTransceiver`], [`Error::Closed`].
    pub fn set_send_parameters(
        &mut self,
        now: Instant,
        id: TransceiverId,
        parameters: RtpSendParameters,
    ) -> Result<(), Error> {
        self.change_media(now, |media| media.set_parameters(id, parameters))?;
        self.agree_on_media(now);
        Ok(())
    }

    /// `RTCRtpReceiver.getParameters`.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`].
    pub fn receive_parameters(&self, id: TransceiverId) -> Result<RtpReceiveParameters, Error> {
        let transceiver = self.jsep.media().find(id)?;
        let mid = transceiver.mid.as_deref();
        let negotiated = mid.map(|mid| self.jsep.negotiated(mid, false)).unwrap_or_default();
        let mut parameters = RtpReceiveParameters::default();
        parameters.rtcp.reduced_size = negotiated.reduced_size;
        parameters.rtcp.cname = negotiated.cname;
        (parameters.codecs, parameters.header_extensions) = (negotiated.codecs, negotiated.header_extensions);
        Ok(parameters)
    }

    /// `getTransceivers`, in the order in which they were added.
    #[must_use]
    pub fn transceivers(&self) -> Vec<TransceiverInfo> {
        self.jsep.media().infos(|mid| self.jsep.section_transport(mid))
    }

    /// Returns a transceiver; `None` once it has stopped and its section is rejected.
    #[must_use]
    pub fn transceiver(&self, id: TransceiverId) -> Option<TransceiverInfo> {
        self.jsep.media().info(id, |mid| self.jsep.section_transport(mid))
    }

    fn change_media<R>(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut Transceivers) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.require_open()?;
        let result = self.jsep.change_media(change)?;
        self.progress(now);
        Ok(result)
    }
}
