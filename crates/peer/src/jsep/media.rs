//! Transceivers and the sections of descriptions: the steps of the W3C's "set the session
//! description" and "check if negotiation is needed" that are about audio and video.

use columba_sdp::Codec;
use columba_sdp::attributes::{Direction, ExtMap, RtcpFb};

use super::Change;
use super::remote;
use super::rtp::{self, Numbers, RtpSection, Ssrcs};
use super::section::{Kind, Section, Sections};
use crate::description::SdpType;
use crate::error::Error;
use crate::event::Event;
use crate::media::{
    LocalSection, RemoteSection, RtpCodec, RtpCodecParameters, RtpHeaderExtension, SendLimits, TrackKind,
    Transceiver, Transceivers,
};

/// Associates transceivers with the sections of a local description.
pub(super) fn set_local(media: &mut Transceivers, kind: SdpType, sections: &[Section]) -> Vec<Change> {
    let mut events = Vec::new();
    for section in sections {
        let (transceiver, direction, sent) = match &section.kind {
            Kind::Application(_) => continue,
            Kind::Rtp(media) => (media.transceiver, Some(media.direction), media.sent_encodings()),
            Kind::Rejected(_) => (None, None, Vec::new()),
        };
        let local = LocalSection { mid: &section.mid, transceiver, direction, sent };
        media.set_local(local, kind != SdpType::Offer, &mut events);
    }
    in_order(events)
}

/// Associates transceivers with the sections of the other side's description, and creates those
/// that are missing. `own` are the sections that an answer is for.
pub(super) fn set_remote(
    media: &mut Transceivers,
    kind: SdpType,
    sections: &[Section],
    own: &[Section],
) -> Vec<Change> {
    let mut events = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let Some(track_kind) = TrackKind::of(section.media_kind()) else { continue };
        let remote = remote_section(section, track_kind, own.get(index));
        match kind {
            SdpType::Offer => media.set_remote_offer(remote, &mut events),
            _ => media.set_remote_answer(remote, &mut events),
        }
    }
    in_order(events)
}

fn remote_section<'a>(section: &'a Section, kind: TrackKind, own: Option<&Section>) -> RemoteSection<'a> {
    let mid = &section.mid;
    let Kind::Rtp(media) = &section.kind else {
        return RemoteSection { mid, kind, direction: None, streams: None, requested: Vec::new() };
    };
    // An answer cannot have more than was offered (RFC 3264 §6.1); one that does is read as if it
    // had not.
    let allowed = match own.map(|own| &own.kind) {
        Some(Kind::Rtp(own)) => own.direction,
        _ => Direction::SendRecv,
    };
    RemoteSection {
        mid,
        kind,
        direction: Some(media.direction.reversed().intersect(allowed)),
        streams: media.streams(),
        requested: media.received_encodings(),
    }
}

/// Ends a negotiation with these sections of both sides.
pub(super) fn settle(
    media: &mut Transceivers,
    numbers: &mut Numbers,
    local: &Sections,
    remote: &[Section],
) -> Vec<Change> {
    let mut events = Vec::new();
    let is_rejected = |mid: &str| {
        let index = local.place(mid);
        // One whose section another one has taken in an offer that was replaced is gone, too.
        index.is_none_or(|index| {
            local[index].is_rejected() || remote.get(index).is_some_and(Section::is_rejected)
        })
    };
    media.settle(is_rejected, &mut events);
    for section in local.iter().chain(remote) {
        if let Kind::Rtp(media) = &section.kind {
            numbers.learn(media);
        }
    }
    in_order(events)
}

/// Takes the pending description back; `of_remote` is true if it is the other side's.
pub(super) fn roll_back(media: &mut Transceivers, of_remote: bool) -> Vec<Change> {
    let mut events = Vec::new();
    media.roll_back(of_remote, &mut events);
    in_order(events)
}

/// Brings events into the order of the W3C's steps: tracks are muted, leave streams, arrive.
fn in_order(mut events: Vec<Event>) -> Vec<Change> {
    events.sort_by_key(|event| match event {
        Event::TrackMuted(..) => 0,
        Event::TrackRemoved(..) => 1,
        Event::Track { .. } => 2,
        _ => 3,
    });
    events.into_iter().map(Change::Media).collect()
}

/// Refuses an answer with a section that has no codec of the offer.
pub(super) fn check_answer(kind: SdpType, offered: &[Section], answered: &[Section]) -> Result<(), Error> {
    for (offer, answer) in offered.iter().zip(answered) {
        if let (Kind::Rtp(offer), Kind::Rtp(media)) = (&offer.kind, &answer.kind)
            && let Err(reason) = rtp::check_answer(offer, media)
        {
            return Err(remote::wrong(kind, Some(&answer.mid), reason));
        }
    }
    Ok(())
}

/// The part of "check if negotiation is needed" that is about transceivers. `kind` is that of the
/// current local description.
pub(super) fn needs_negotiation(
    media: &Transceivers,
    kind: Option<SdpType>,
    local: &Sections,
    remote: &[Section],
) -> bool {
    media.iter().any(|transceiver| {
        let mid = transceiver.mid.as_deref();
        let index = mid.and_then(|mid| local.place(mid));
        match index {
            // Stopped before it was described: there is nothing to tell the other side.
            None => !transceiver.is_stopping,
            Some(_) if transceiver.is_stopping => true,
            Some(index) => has_changed(transceiver, kind, &local[index], remote.get(index)),
        }
    })
}

/// Returns true if a section is not as the transceiver wants it.
fn has_changed(
    transceiver: &Transceiver,
    kind: Option<SdpType>,
    local: &Section,
    remote: Option<&Section>,
) -> bool {
    let Kind::Rtp(own) = &local.kind else { return false };
    let offered = match remote.map(|remote| &remote.kind) {
        Some(Kind::Rtp(remote)) => remote.direction.reversed(),
        _ => Direction::Inactive,
    };
    let wanted = transceiver.direction;
    if wanted.sends() && !names_streams(own, &transceiver.sender.streams) {
        // A sender that the other side does not take has no line about streams in an answer.
        let is_answer = kind != Some(SdpType::Offer);
        if !is_answer || offered.sends() {
            return true;
        }
    }
    match kind {
        Some(SdpType::Offer) => own.direction != wanted && offered != wanted,
        _ => own.direction != wanted.intersect(offered),
    }
}

fn names_streams(section: &RtpSection, streams: &[String]) -> bool {
    let named = section.streams();
    named.is_some_and(|named| {
        named.len() == streams.len() && streams.iter().all(|stream| named.contains(stream))
    })
}

/// The agreement of two sections for one direction.
#[derive(Debug, Default)]
pub(crate) struct Negotiated {
    pub(crate) codecs: Vec<RtpCodecParameters>,
    pub(crate) header_extensions: Vec<RtpHeaderExtension>,
    pub(crate) reduced_size: bool,
    /// Receivers measure the round trip (RFC 3611 §4.4).
    pub(crate) receiver_round_trip: bool,
    /// The limits of the first section.
    pub(crate) limits: SendLimits,
    /// The canonical name of the other side.
    pub(crate) cname: Option<String>,
    /// The kinds of feedback, each with its payload type.
    pub(crate) feedback: Vec<(u8, String, Option<String>)>,
    /// The streams that the other section names.
    pub(crate) other_ssrcs: Ssrcs,
}

/// Returns the codec of the other section that is one of `own`. Where the two sides use the same
/// payload types, configurations of one codec are told apart.
fn counterpart<'a>(codec: &Codec, own: &[Codec], other: &'a [Codec]) -> Option<&'a Codec> {
    let is_same = |one: &Codec, other: &Codec| {
        one.payload_type() == other.payload_type() && one.map.is(&other.map.encoding)
    };
    let is_known = |one: &Codec| own.iter().any(|own| is_same(own, one));
    let same = other.iter().find(|one| is_same(one, codec));
    same.or_else(|| other.iter().find(|one| one.map.is(&codec.map.encoding) && !is_known(one)))
}

/// Returns what the sections of both sides agree on for what `first` receives: it has the numbers
/// and the order, and `other`, if it is known, has to have each codec, each kind of feedback and
/// each header extension, too (RFC 4585 §4.2, RFC 8285 §7).
pub(super) fn negotiated(first: &Section, other: Option<&Section>, cname: Option<String>) -> Negotiated {
    let Kind::Rtp(media) = &first.kind else { return Negotiated::default() };
    let other = match other.map(|other| &other.kind) {
        Some(Kind::Rtp(other)) => Some(other),
        _ => None,
    };
    let kind = media.track_kind();
    let (mut codecs, mut feedback) = (Vec::new(), Vec::new());
    for codec in &media.codecs {
        let known = other.map(|other| counterpart(codec, &media.codecs, &other.codecs));
        if known == Some(None) {
            continue;
        }
        let (payload_type, known) = (codec.payload_type(), known.flatten());
        codecs.push(RtpCodecParameters { payload_type, codec: RtpCodec::described(kind, codec) });
        let both =
            |one: &&RtcpFb| known.is_none_or(|other| other.has_feedback(&one.kind, one.parameter.as_deref()));
        let kinds = codec.feedback.iter().filter(both);
        feedback.extend(kinds.map(|one| (payload_type, one.kind.clone(), one.parameter.clone())));
    }
    let both = |one: &&ExtMap| {
        let sends = |other: &ExtMap| other.uri == one.uri && other.direction.is_none_or(Direction::sends);
        one.direction.is_none_or(Direction::receives)
            && other.is_none_or(|other| other.extensions.iter().any(sends))
    };
    let extension = |one: &ExtMap| RtpHeaderExtension { uri: one.uri.clone(), id: one.id };
    Negotiated {
        codecs,
        feedback,
        other_ssrcs: other.map(|other| other.ssrcs.clone()).unwrap_or_default(),
        header_extensions: media.extensions.iter().filter(both).map(extension).collect(),
        limits: media.limits,
        reduced_size: media.reduced_size && other.is_none_or(|other| other.reduced_size),
        receiver_round_trip: media.receiver_round_trip && other.is_none_or(|other| other.receiver_round_trip),
        cname,
    }
}
