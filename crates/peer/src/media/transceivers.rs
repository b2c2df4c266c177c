//! The set of transceivers, and the calls of an application.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use columba_sdp::attributes::Direction;

use super::codec::{RtpCodec, is_repair};
use super::configuration::MediaConfiguration;
use super::direction::TransceiverDirection;
use super::encodings::{self, RtpEncodingParameters};
use super::parameters::RtpSendParameters;
use super::track::{Track, TrackKind};
use super::transceiver::{SenderIdentity, Transceiver, TransceiverId, TransceiverInfo, TransceiverInit};
use crate::error::Error;
use crate::transport::TransportId;

/// The increment and the multipliers of SplitMix64.
const SPLIT_MIX: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// The connection's set of transceivers, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Transceivers {
    pub(crate) configuration: Arc<MediaConfiguration>,
    pub(super) list: Vec<Transceiver>,
    next: u32,
    /// Where a section's transceiver is sought first.
    pub(super) cursor: usize,
    transactions: u64,
    /// The source of identifiers, which need to be unique but not secret.
    ids: u64,
    /// The stream of tracks for which the other side names none (RFC 9429 §5.8.2).
    default_stream: Option<String>,
    /// The canonical name of this side, for all its streams (RFC 7022 §4.2).
    cname: Option<Arc<str>>,
}

impl Transceivers {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            configuration: MediaConfiguration::shared_default(),
            list: Vec::new(),
            next: 0,
            cursor: 0,
            transactions: 0,
            ids: seed,
            default_stream: None,
            cname: None,
        }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Transceiver> {
        self.list.iter()
    }

    /// Returns the transceivers that are associated with media sections, by the sections' names.
    pub(crate) fn by_section(&self) -> BTreeMap<&str, &Transceiver> {
        self.list.iter().filter_map(|one| Some((one.mid.as_deref()?, one))).collect()
    }

    /// Returns the place of the transceiver that is associated with a media section. Sections and
    /// transceivers are mostly in the same order, so that the one behind the last is the next.
    pub(super) fn place_of_section(&mut self, mid: &str) -> Option<usize> {
        let (before, behind) = self.list.split_at(self.cursor.min(self.list.len()));
        let is_it = |one: &Transceiver| one.mid.as_deref() == Some(mid);
        let behind = behind.iter().position(is_it).map(|index| before.len() + index);
        let found = behind.or_else(|| before.iter().position(is_it))?;
        self.cursor = found + 1;
        Some(found)
    }

    /// Returns the place of a transceiver: the list is in the order of the identifiers.
    pub(super) fn place(&self, id: TransceiverId) -> Option<usize> {
        self.list.binary_search_by_key(&id, |one| one.id).ok()
    }

    /// `getTransceivers`. `transport` returns that of a section.
    pub(crate) fn infos(&self, transport: impl Fn(&str) -> Option<TransportId>) -> Vec<TransceiverInfo> {
        let info = |one: &Transceiver| one.info(one.mid.as_deref().and_then(&transport));
        self.list.iter().map(info).collect()
    }

    pub(crate) fn info(
        &self,
        id: TransceiverId,
        transport: impl Fn(&str) -> Option<TransportId>,
    ) -> Option<TransceiverInfo> {
        self.find(id).ok().map(|one| one.info(one.mid.as_deref().and_then(transport)))
    }

    pub(crate) fn find(&self, id: TransceiverId) -> Result<&Transceiver, Error> {
        self.place(id).map(|place| &self.list[place]).ok_or_else(|| self.missing(id))
    }

    /// The error of a call on a transceiver that is not in the set.
    fn missing(&self, id: TransceiverId) -> Error {
        if id.0 < self.next { Error::TransceiverStopped } else { Error::NoSuchTransceiver }
    }

    fn find_mut(&mut self, id: TransceiverId) -> Result<&mut Transceiver, Error> {
        let place = self.place(id).ok_or_else(|| self.missing(id))?;
        Ok(&mut self.list[place])
    }

    /// Returns a new identifier in the form of a UUID.
    pub(super) fn random_id(&mut self) -> String {
        let (high, low) = (split_mix(&mut self.ids), split_mix(&mut self.ids));
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0xfff,
            low & 0xffff_ffff_ffff
        )
    }

    /// Returns the canonical name of this side.
    pub(crate) fn cname(&mut self) -> Arc<str> {
        if let Some(cname) = &self.cname {
            return Arc::clone(cname);
        }
        let cname: Arc<str> = self.random_id().into();
        self.cname = Some(Arc::clone(&cname));
        cname
    }

    /// Returns numbers for the streams of a sender that no other sender has.
    fn new_ssrcs(&mut self) -> [[u32; 2]; encodings::MAX_ENCODINGS] {
        let mut taken: Vec<u32> =
            self.list.iter().flat_map(|one| one.sender.ssrcs.as_flattened().iter().copied()).collect();
        let mut next = || loop {
            let ssrc = (split_mix(&mut self.ids) >> 32) as u32;
            if ssrc != 0 && !taken.contains(&ssrc) {
                taken.push(ssrc);
                return ssrc;
            }
        };
        std::array::from_fn(|_| [next(), next()])
    }

    /// Returns the stream of tracks for which the other side names none.
    pub(super) fn default_stream(&mut self) -> String {
        if self.default_stream.is_none() {
            self.default_stream = Some(self.random_id());
        }
        self.default_stream.clone().unwrap_or_default()
    }

    /// Adds a transceiver to the set.
    pub(super) fn create(
        &mut self,
        kind: TrackKind,
        direction: Direction,
        encodings: Vec<RtpEncodingParameters>,
    ) -> &mut Transceiver {
        let id = TransceiverId(self.next);
        self.next = self.next.saturating_add(1);
        let identity = SenderIdentity { ssrcs: self.new_ssrcs(), cname: self.cname() };
        let transceiver = Transceiver::new(id, kind, direction, encodings, identity, || self.random_id());
        self.list.push(transceiver);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// `addTransceiver`.
    pub(crate) fn add_transceiver(
        &mut self,
        kind: TrackKind,
        track: Option<Track>,
        init: TransceiverInit,
    ) -> Result<TransceiverId, Error> {
        let direction = described(init.direction)?;
        let codecs = self.configuration.codecs(kind);
        let encodings = encodings::of_new_sender(kind, init.send_encodings, codecs)?;
        let transceiver = self.create(kind, direction, encodings);
        transceiver.sender.track = track;
        transceiver.sender.streams = unique(init.streams);
        Ok(transceiver.id)
    }

    /// The W3C's legacy options `offerToReceiveAudio` and `offerToReceiveVideo`.
    pub(crate) fn offer_to_receive(&mut self, kind: TrackKind, receives: bool) -> Result<(), Error> {
        let receiving =
            |one: &&mut Transceiver| one.kind == kind && !one.is_stopping && one.direction.receives();
        let mut all = self.list.iter_mut().filter(receiving);
        if !receives {
            all.for_each(|one| one.direction = Direction::new(one.direction.sends(), false));
        } else if all.next().is_none() {
            drop(all);
            let encodings = encodings::of_new_sender(kind, Vec::new(), &[])?;
            self.create(kind, Direction::RecvOnly, encodings);
        }
        Ok(())
    }

    /// `addTrack`: a sender that never sent and has no track is used again.
    pub(crate) fn add_track(&mut self, track: Track, streams: Vec<String>) -> Result<TransceiverId, Error> {
        let is_sent = |one: &Transceiver| {
            !one.is_stopped && one.sender.track.as_ref().is_some_and(|own| own.id == track.id)
        };
        if self.list.iter().any(is_sent) {
            return Err(Error::TrackInUse);
        }
        let is_free = |one: &&mut Transceiver| {
            one.sender.track.is_none() && one.kind == track.kind && !one.is_stopping && !one.has_sent
        };
        let transceiver = match self.list.iter_mut().find(is_free) {
            Some(transceiver) => {
                transceiver.set_sends(true);
                transceiver
            }
            None => {
                let encodings = encodings::of_new_sender(track.kind, Vec::new(), &[])?;
                self.create(track.kind, Direction::SendRecv, encodings)
            }
        };
        transceiver.sender.track = Some(track);
        transceiver.sender.streams = unique(streams);
        (transceiver.has_added_track, transceiver.is_wanted) = (true, true);
        Ok(transceiver.id)
    }

    /// `removeTrack`: nothing to do for a transceiver that has stopped.
    pub(crate) fn remove_track(&mut self, id: TransceiverId) -> Result<(), Error> {
        let transceiver = match self.find_mut(id) {
            Err(Error::TransceiverStopped) => return Ok(()),
            result => result?,
        };
        if !transceiver.is_stopping && transceiver.sender.track.take().is_some() {
            transceiver.set_sends(false);
        }
        Ok(())
    }

    /// Sets `RTCRtpTransceiver.direction`.
    pub(crate) fn set_direction(
        &mut self,
        id: TransceiverId,
        direction: TransceiverDirection,
    ) -> Result<(), Error> {
        let transceiver = self.find_mut(id)?;
        if transceiver.is_stopping {
            return Err(Error::TransceiverStopped);
        }
        transceiver.direction = described(direction)?;
        transceiver.is_wanted = true;
        Ok(())
    }

    /// `RTCRtpTransceiver.stop`. Returns the kind of the receiver's track if it has ended by it.
    pub(crate) fn stop(&mut self, id: TransceiverId) -> Result<Option<TrackKind>, Error> {
        let transceiver = match self.find_mut(id) {
            Err(Error::TransceiverStopped) => return Ok(None),
            result => result?,
        };
        let ends = !transceiver.is_stopping;
        if ends {
            transceiver.stop_sending_and_receiving();
        }
        Ok(ends.then_some(transceiver.kind))
    }

    /// W3C "close the connection": all stop.
    pub(crate) fn close(&mut self) {
        for transceiver in &mut self.list {
            transceiver.stop();
        }
    }

    /// `setCodecPreferences`.
    pub(crate) fn set_codec_preferences(
        &mut self,
        id: TransceiverId,
        codecs: Vec<RtpCodec>,
    ) -> Result<(), Error> {
        let kind = self.find(id)?.kind;
        let mut preferred: Vec<RtpCodec> = Vec::new();
        for codec in codecs {
            let known = self.configuration.codecs(kind).iter().find(|one| one.codec.is_same(&codec));
            let known = known.ok_or(Error::UnsupportedCodec { mime_type: codec.mime_type })?;
            if !preferred.iter().any(|one| one.is_same(&known.codec)) {
                preferred.push(known.codec.clone());
            }
        }
        if !preferred.is_empty() && preferred.iter().all(|codec| is_repair(codec.name())) {
            return Err(Error::InvalidModificationOfMedia {
                reason: "the preferences need a codec that carries media of its own",
            });
        }
        let transceiver = self.find_mut(id)?;
        (transceiver.preferred, transceiver.is_wanted) = (preferred, true);
        Ok(())
    }

    /// Sets whether the track that is received is muted; false if it was so already.
    pub(crate) fn set_muted(&mut self, id: TransceiverId, muted: bool) -> bool {
        let receiver = self.find_mut(id).map(|one| &mut one.receiver);
        receiver.is_ok_and(|receiver| std::mem::replace(&mut receiver.muted, muted) != muted)
    }

    /// A stream of a sender has other numbers.
    pub(crate) fn renumber(&mut self, id: TransceiverId, old: u32, new: [u32; 2]) {
        let Ok(transceiver) = self.find_mut(id) else { return };
        if let Some(ssrcs) = transceiver.sender.ssrcs.iter_mut().find(|ssrcs| ssrcs[0] == old) {
            *ssrcs = new;
        }
    }

    /// Sets `RTCRtpReceiver.jitterBufferTarget`.
    pub(crate) fn set_jitter_buffer_target(
        &mut self,
        id: TransceiverId,
        target: Option<Duration>,
    ) -> Result<(), Error> {
        self.find_mut(id)?.receiver.jitter_buffer_target = target;
        Ok(())
    }

    /// `RTCRtpSender.setStreams`.
    pub(crate) fn set_streams(&mut self, id: TransceiverId, streams: Vec<String>) -> Result<(), Error> {
        self.find_mut(id)?.sender.streams = unique(streams);
        Ok(())
    }

    /// `RTCRtpSender.replaceTrack`: never needs a negotiation.
    pub(crate) fn replace_track(&mut self, id: TransceiverId, track: Option<Track>) -> Result<(), Error> {
        let transceiver = self.find_mut(id)?;
        if track.as_ref().is_some_and(|track| track.kind != transceiver.kind) {
            return Err(Error::InvalidParameters { reason: "the track is of another kind" });
        }
        if transceiver.is_stopping {
            return Err(Error::TransceiverStopped);
        }
        transceiver.sender.track = track;
        Ok(())
    }

    /// `RTCRtpSender.getParameters`: those that were returned last and still hold, else
    /// `negotiated`, with what does not depend on descriptions.
    pub(crate) fn send_parameters(
        &mut self,
        id: TransceiverId,
        negotiated: RtpSendParameters,
    ) -> Result<RtpSendParameters, Error> {
        self.transactions += 1;
        let (transaction_id, cname) = (self.transactions, self.cname());
        let sender = &mut self.find_mut(id)?.sender;
        if let Some(returned) = &sender.returned {
            return Ok(RtpSendParameters::clone(returned));
        }
        let mut parameters =
            RtpSendParameters { transaction_id, encodings: sender.encodings.clone(), ..negotiated };
        parameters.rtcp.cname = Some(cname.to_string());
        sender.returned = Some(Box::new(parameters.clone()));
        Ok(parameters)
    }

    /// `RTCRtpSender.setParameters`: only the encodings can change, and none comes or goes.
    pub(crate) fn set_parameters(
        &mut self,
        id: TransceiverId,
        parameters: RtpSendParameters,
    ) -> Result<(), Error> {
        let configuration = Arc::clone(&self.configuration);
        let transceiver = self.find_mut(id)?;
        if transceiver.is_stopping {
            return Err(Error::TransceiverStopped);
        }
        let (kind, sender) = (transceiver.kind, &mut transceiver.sender);
        let refuse = |reason| Err(Error::InvalidModificationOfMedia { reason });
        let Some(returned) = &sender.returned else { return Err(Error::ParametersNotRead) };
        if returned.transaction_id != parameters.transaction_id {
            return refuse("the parameters are not those that were returned last");
        }
        let rids = |encodings: &[RtpEncodingParameters]| {
            encodings.iter().map(|encoding| encoding.rid.clone()).collect::<Vec<_>>()
        };
        if rids(&sender.encodings) != rids(&parameters.encodings) {
            return refuse("encodings cannot be added, removed, renamed or put in another order");
        }
        let RtpSendParameters { mut encodings, header_extensions, rtcp, codecs, .. } = parameters;
        if (&header_extensions, &rtcp, &codecs)
            != (&returned.header_extensions, &returned.rtcp, &returned.codecs)
        {
            return refuse("codecs, header extensions and RTCP follow from descriptions, and are read-only");
        }
        let is_choosable = |codec: &RtpCodec| match codecs.as_slice() {
            [] => configuration.codecs(kind).iter().any(|one| one.codec.is_same(codec)),
            codecs => codecs.iter().any(|one| one.codec.is_same(codec)),
        };
        if !encodings.iter().filter_map(|encoding| encoding.codec.as_ref()).all(is_choosable) {
            return refuse("the codec of an encoding is none of those that were negotiated");
        }
        encodings::remove_those_of_video(kind, &mut encodings);
        if kind == TrackKind::Video {
            for encoding in &mut encodings {
                encoding.scale_resolution_down_by.get_or_insert(1.0);
            }
        }
        encodings::check_ranges(&encodings)?;
        (sender.encodings, sender.returned) = (encodings, None);
        Ok(())
    }
}

fn described(direction: TransceiverDirection) -> Result<Direction, Error> {
    let reason = "a transceiver is stopped by stop, not by its direction";
    direction.described().ok_or(Error::InvalidParameters { reason })
}

fn unique(streams: Vec<String>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::with_capacity(streams.len());
    for stream in streams {
        if !unique.contains(&stream) {
            unique.push(stream);
        }
    }
    unique
}

/// Returns the next number of SplitMix64.
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(SPLIT_MIX[0]);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(SPLIT_MIX[1]);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(SPLIT_MIX[2]);
    mixed ^ (mixed >> 31)
}
