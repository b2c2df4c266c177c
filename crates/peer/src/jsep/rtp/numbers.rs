//! Payload types and numbers of header extensions: kept as long as the session lasts, unique in a
//! bundle (RFC 3264 §8.3.2, RFC 9143 §10.1, RFC 8285 §7).

use columba_sdp::Codec;
use columba_sdp::attributes::{ExtMap, Fmtp, RtpMap};

use super::{MID_EXTENSION, RtpSection};
use crate::description::SdpType;
use crate::error::Error;
use crate::jsep::remote;
use crate::jsep::section::{Kind, Section};
use crate::media::{RtpCodec, TrackKind};

/// Payload types for codecs without an assigned one: the dynamic ones first, then those that no
/// profile assigns. 64 to 95 are not told from RTCP (RFC 5761 §4).
const DYNAMIC: [std::ops::RangeInclusive<u8>; 2] = [96..=127, 35..=63];

/// Numbers of header extensions: those of the one-byte form first (RFC 8285 §4.2), then those that
/// need two bytes.
const EXTENSIONS: [std::ops::RangeInclusive<u16>; 2] = [1..=14, 16..=255];

/// The numbers that Chromium gives to extensions of audio and of video, where they are free; where
/// not, it takes the highest that is. It refuses an offer in which a number means something else
/// than in the offer of its own that it has just taken back, so that other numbers would end a
/// negotiation in which both sides have added a section at once.
const CUSTOMARY: [(&str, u16, u16); 8] = [
    ("urn:ietf:params:rtp-hdrext:ssrc-audio-level", 1, 1),
    ("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", 2, 2),
    ("http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 3, 4),
    ("urn:ietf:params:rtp-hdrext:sdes:mid", 4, 9),
    ("urn:ietf:params:rtp-hdrext:toffset", 1, 1),
    ("urn:3gpp:video-orientation", 3, 3),
    ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", 10, 10),
    ("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", 11, 11),
];

/// Payload types that RFC 3551 §6 gives to codecs for good.
const ASSIGNED: [(&str, u32, u8); 3] = [("PCMU", 8000, 0), ("PCMA", 8000, 8), ("G722", 8000, 9)];

/// The numbers that descriptions of this session have used.
#[derive(Clone, Debug, Default)]
pub(in crate::jsep) struct Numbers {
    codecs: Vec<NumberedCodec>,
    extensions: Vec<(u16, String)>,
}

/// A codec that has a payload type.
#[derive(Clone, Debug)]
struct NumberedCodec {
    kind: TrackKind,
    map: RtpMap,
    parameters: Option<Fmtp>,
    /// The number was another codec's before, and may still be in another section.
    is_reused: bool,
}

impl Numbers {
    /// Learns the numbers of a section that was agreed. A number has the latest of its meanings.
    pub(in crate::jsep) fn learn(&mut self, section: &RtpSection) {
        for codec in &section.codecs {
            let number = codec.payload_type();
            let known = self.codecs.iter_mut().find(|one| one.map.payload_type == number);
            let learned = NumberedCodec {
                kind: section.track_kind(),
                map: codec.map.clone(),
                parameters: codec.parameters.clone(),
                is_reused: known
                    .as_ref()
                    .is_some_and(|known| known.is_reused || !is_same_map(&known.map, &codec.map)),
            };
            match known {
                Some(known) => *known = learned,
                None => self.codecs.push(learned),
            }
        }
        for extension in section.extensions.iter().filter(|one| one.id <= super::MAX_EXTENSION) {
            match self.extensions.iter_mut().find(|(id, _)| *id == extension.id) {
                Some(known) => known.1.clone_from(&extension.uri),
                None => self.extensions.push((extension.id, extension.uri.clone())),
            }
        }
    }

    /// Returns the payload type of a codec: that of the section `known`, else that of another
    /// section, else a free one, else one that was another codec's. `None` if there is none.
    pub(super) fn payload_type(
        &mut self,
        codec: &RtpCodec,
        use_of: Use<'_>,
        parameters: impl Fn(u8) -> Option<Fmtp>,
    ) -> Option<u8> {
        let Use { kind, repaired, known } = use_of;
        let is_it = |map: &RtpMap, fmtp: Option<&Fmtp>| {
            codec.matches(map, fmtp) && repaired.is_none_or(|repaired| repairs(fmtp) == Some(repaired))
        };
        let mut own = known.into_iter().flat_map(|known| &known.codecs);
        if let Some(codec) = own.find(|one| is_it(&one.map, one.parameters.as_ref())) {
            return Some(codec.payload_type());
        }
        let others = || {
            let same = |one: &&NumberedCodec| one.kind == kind && is_it(&one.map, one.parameters.as_ref());
            self.codecs.iter().filter(same)
        };
        if let Some(other) = others().find(|other| !other.is_reused) {
            return Some(other.map.payload_type);
        }
        let is_free = |number: &u8| !self.codecs.iter().any(|one| one.map.payload_type == *number);
        let assigned = ASSIGNED.iter().find(|(name, rate, _)| {
            codec.name().eq_ignore_ascii_case(name) && codec.clock_rate == *rate && codec.channels.is_none()
        });
        let assigned = assigned.map(|(_, _, number)| *number).filter(is_free);
        let Some(number) = assigned.or_else(|| DYNAMIC.into_iter().flatten().find(is_free)) else {
            return others().next().map(|other| other.map.payload_type);
        };
        let map = codec.rtpmap(number);
        self.codecs.push(NumberedCodec { kind, map, parameters: parameters(number), is_reused: false });
        Some(number)
    }

    /// Returns the number of a header extension: that of the section `known`, else that of another
    /// section, else a free one.
    pub(super) fn extension(
        &mut self,
        uri: &str,
        kind: TrackKind,
        allow_mixed: bool,
        known: Option<&RtpSection>,
    ) -> Option<u16> {
        let mut own = known.into_iter().flat_map(|known| &known.extensions);
        if let Some(extension) = own.find(|one| one.uri == uri) {
            return Some(extension.id);
        }
        if let Some((id, _)) = self.extensions.iter().find(|(_, known)| known == uri) {
            return Some(*id);
        }
        let is_free = |id: &u16| !self.extensions.iter().any(|(known, _)| known == id);
        let customary = CUSTOMARY.into_iter().find(|(known, ..)| *known == uri);
        let customary =
            customary.map(|(_, audio, video)| if kind == TrackKind::Audio { audio } else { video });
        let [short, long] = EXTENSIONS;
        let any = short.rev().chain(long.filter(|_| allow_mixed));
        let id = customary.into_iter().chain(any).find(is_free)?;
        self.extensions.push((id, uri.to_owned()));
        Some(id)
    }
}

/// The use of a codec for which a payload type is sought.
#[derive(Clone, Copy)]
pub(super) struct Use<'a> {
    pub(super) kind: TrackKind,
    /// The payload type that a retransmission or redundancy belongs to.
    pub(super) repaired: Option<u8>,
    /// The section as it was agreed.
    pub(super) known: Option<&'a RtpSection>,
}

/// Returns the payload type that a format repairs: that of `apt`, or the primary one of `red`.
pub(super) fn repairs(fmtp: Option<&Fmtp>) -> Option<u8> {
    let fmtp = fmtp?;
    let primary = || fmtp.parameters.trim_ascii().split('/').next()?.parse().ok();
    fmtp.retransmits().or_else(primary)
}

/// Refuses a description in which a number has two meanings in one bundle (RFC 9143 §10.1.2,
/// RFC 8285 §7).
///
/// Deviation: payload types may have two, where the packets of both sections tell which one is
/// theirs. Firefox writes such offers after it has taken one of its own back, and Chromium answers
/// them.
pub(in crate::jsep) fn check_bundle<'a>(
    kind: SdpType,
    sections: impl Iterator<Item = &'a Section>,
) -> Result<(), Error> {
    let mut codecs: [Option<(&Codec, &Section)>; 128] = [None; 128];
    let mut extensions: [Option<(&ExtMap, &str)>; 256] = [None; 256];
    for section in sections {
        let Kind::Rtp(media) = &section.kind else { continue };
        let mid = section.mid.as_str();
        let wrong = |reason: String| Err(remote::wrong(kind, Some(mid), &reason));
        for codec in &media.codecs {
            let number = codec.payload_type();
            let Some(known) = codecs.get_mut(usize::from(number)) else { continue };
            let (first, other) = *known.get_or_insert((codec, section));
            let is_told_apart = names_its_packets(other) && names_its_packets(section);
            if !is_same(first, codec) && !is_told_apart {
                let other = &other.mid;
                return wrong(format!(
                    "payload type {number} is another codec in section {other:?}, and packets do not tell \
                     their section"
                ));
            }
        }
        for extension in &media.extensions {
            let Some(known) = extensions.get_mut(usize::from(extension.id)) else { continue };
            let (first, other) = *known.get_or_insert((extension, mid));
            if first.uri != extension.uri {
                let id = extension.id;
                return wrong(format!("header extension {id} is another one in section {other:?}"));
            }
        }
    }
    Ok(())
}

/// Returns whether packets of a section are told from others by more than their payload type: by
/// its name in a header extension, or by their SSRCs (RFC 9143 §9.2).
fn names_its_packets(section: &Section) -> bool {
    let Kind::Rtp(media) = &section.kind else { return false };
    media.extensions.iter().any(|one| one.uri == MID_EXTENSION) || !media.ssrcs.all.is_empty()
}

fn is_same(one: &Codec, other: &Codec) -> bool {
    is_same_map(&one.map, &other.map)
}

fn is_same_map(one: &RtpMap, other: &RtpMap) -> bool {
    one.is(&other.encoding)
        && one.clock_rate == other.clock_rate
        && one.channels.unwrap_or(1) == other.channels.unwrap_or(1)
}
