//! Sections of audio and video: codecs, header extensions, directions, streams, encodings.

mod answer;
mod extended;
mod numbers;
mod offer;
mod simulcast;

use columba_sdp::attributes::{
    Bandwidth, CodecTarget, Direction, ExtMap, ExtMapAllowMixed, MaxPtime, Msid, Ptime, Rid, RtcpFb, RtcpMux,
    RtcpMuxOnly, RtcpRsize, RtpMap, Simulcast, Ssrc, SsrcGroup, SsrcGroupSemantics,
};
use columba_sdp::{Codec, Lines, MediaKind, MediaLine, Protocol};

pub(super) use answer::{answer, check_answer};
pub(super) use numbers::{Numbers, check_bundle};
pub(super) use offer::offer;

use self::extended::ExtendedReports;
use super::remote::Reader;
use crate::error::Error;
use crate::media::{SendLimits, TrackKind, Transceiver, TransceiverId};

/// The header extension of sections that an application has not asked for: the name of the section,
/// which every bundled section needs (RFC 9143 §15).
const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The largest number of a header extension in an answer: larger ones stand for "any" in offers
/// (RFC 8285 §6).
const MAX_EXTENSION: u16 = 255;

/// Milliseconds of audio in a packet at most.
const LONGEST_PACKET: u32 = 120;

/// Streams that a section names at most; a track is seldom in more than one.
const MAX_STREAMS: usize = 16;

/// SSRCs of a section that are read at most: three encodings, with repair and correction.
const MAX_SSRCS: usize = 16;

/// The SSRCs that a section names (RFC 5576).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ssrcs {
    pub(crate) all: Vec<u32>,
    /// Those of streams, each with that of its retransmissions.
    pub(crate) repaired: Vec<(u32, u32)>,
}

/// A section of audio or video.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RtpSection {
    pub(super) kind: MediaKind,
    protocol: Protocol,
    /// As the side that describes it sends and receives.
    pub(super) direction: Direction,
    /// In order of preference, with the payload types of the first offer.
    pub(super) codecs: Vec<Codec>,
    pub(super) extensions: Vec<ExtMap>,
    /// Header extensions of both forms may be mixed (RFC 8285 §6).
    allow_mixed: bool,
    /// It is offered without a port of its own for RTCP (RFC 8858).
    mux_only: bool,
    /// RTCP packets may be of reduced size (RFC 5506).
    pub(super) reduced_size: bool,
    /// Receivers measure the round trip (RFC 3611 §4.4).
    pub(super) receiver_round_trip: bool,
    /// The streams of the sender's track (RFC 8830).
    pub(super) msids: Vec<Msid>,
    rids: Vec<Rid>,
    simulcast: Option<Simulcast>,
    /// The limits of the side that describes it.
    pub(super) limits: SendLimits,
    /// The canonical name of the side that describes it, if it has written it (RFC 5576 §6.1).
    pub(super) cname: Option<String>,
    pub(super) ssrcs: Ssrcs,
    /// The transceiver from which a local section was made.
    pub(super) transceiver: Option<TransceiverId>,
}

impl RtpSection {
    pub(super) fn read(reader: &Reader<'_>, index: usize) -> Result<Self, Error> {
        let section = &reader.description.media[index];
        let lines = &section.lines;
        let all = |error: columba_sdp::Error| reader.malformed(&error, index);
        Ok(Self {
            kind: section.head().kind.clone(),
            protocol: section.head().protocol.clone(),
            direction: reader.description.direction(section),
            codecs: section.codecs().map_err(all)?,
            extensions: reader.description.effective_all::<ExtMap>(section).flatten().collect(),
            allow_mixed: lines.has::<ExtMapAllowMixed>()
                || reader.description.lines.has::<ExtMapAllowMixed>(),
            mux_only: lines.has::<RtcpMuxOnly>(),
            reduced_size: lines.has::<RtcpRsize>(),
            receiver_round_trip: reader
                .description
                .effective_all::<ExtendedReports>(section)
                .flatten()
                .any(|reports| reports.receiver_round_trip),
            msids: msids(lines),
            rids: lines.all::<Rid>().flatten().collect(),
            simulcast: lines.get::<Simulcast>().map_err(all)?,
            limits: limits(lines).map_err(all)?,
            cname: lines
                .all::<Ssrc>()
                .flatten()
                .find(|ssrc| ssrc.attribute == "cname")
                .and_then(|ssrc| ssrc.value),
            ssrcs: Ssrcs::read(lines),
            transceiver: None,
        })
    }

    /// Returns the local section that answers this one, if the application has not asked for it:
    /// everything is accepted, and nothing is sent.
    pub(super) fn answer_inactive(&self) -> Self {
        let accepts = |extension: &&ExtMap| extension.id <= MAX_EXTENSION && extension.uri == MID_EXTENSION;
        Self {
            direction: Direction::Inactive,
            extensions: self.extensions.iter().filter(accepts).map(reversed).collect(),
            allow_mixed: false,
            mux_only: false,
            msids: Vec::new(),
            rids: Vec::new(),
            simulcast: None,
            limits: SendLimits::default(),
            cname: None,
            ssrcs: Ssrcs::default(),
            ..self.clone()
        }
    }

    /// Returns this local section as it is offered again, if the application has not asked for it.
    pub(super) fn offer_inactive(&self) -> Self {
        Self { direction: Direction::Inactive, mux_only: true, ..self.clone() }
    }

    pub(super) fn media_kind(&self) -> &MediaKind {
        &self.kind
    }

    pub(super) fn track_kind(&self) -> TrackKind {
        TrackKind::of(&self.kind).unwrap_or(TrackKind::Audio)
    }

    pub(super) fn first_map(&self) -> Option<&RtpMap> {
        self.codecs.first().map(|codec| &codec.map)
    }

    /// Returns the identifiers of the streams; `None` if there is not one line about them.
    pub(super) fn streams(&self) -> Option<Vec<String>> {
        let streams = self.msids.iter().filter_map(|msid| msid.stream_id().map(str::to_owned));
        (!self.msids.is_empty()).then(|| streams.collect())
    }

    pub(super) fn head(&self) -> MediaLine {
        let formats: Vec<_> = self.codecs.iter().map(|codec| codec.payload_type().to_string()).collect();
        MediaLine::new(self.kind.clone(), self.protocol.clone(), formats.iter().map(String::as_str))
    }

    pub(super) fn write(&self, lines: &mut Lines) -> Result<(), columba_sdp::Error> {
        if self.allow_mixed {
            lines.add(&ExtMapAllowMixed)?;
        }
        for extension in &self.extensions {
            lines.add(extension)?;
        }
        lines.add(&self.direction)?;
        for msid in &self.msids {
            lines.add(msid)?;
        }
        lines.add(&RtcpMux)?;
        if self.mux_only {
            lines.add(&RtcpMuxOnly)?;
        }
        if self.reduced_size {
            lines.add(&RtcpRsize)?;
        }
        if self.receiver_round_trip {
            lines.add(&ExtendedReports { receiver_round_trip: true })?;
        }
        // Feedback on the packets of all payload types has one line (RFC 8888 §6).
        let is_of_all = |feedback: &&RtcpFb| feedback.is("ack", Some("ccfb"));
        if self.codecs.iter().flat_map(|codec| &codec.feedback).any(|one| is_of_all(&one)) {
            lines.add(&RtcpFb::with_parameter(CodecTarget::All, "ack", "ccfb"))?;
        }
        for codec in &self.codecs {
            lines.add(&codec.map)?;
            for feedback in codec.feedback.iter().filter(|one| !is_of_all(one)) {
                lines.add(feedback)?;
            }
            if let Some(parameters) = &codec.parameters {
                lines.add(parameters)?;
            }
        }
        if let Some(time) = self.limits.max_packet_time {
            lines.add(&MaxPtime(time))?;
        }
        self.ssrcs.write(self.cname.as_deref(), lines)?;
        for rid in &self.rids {
            lines.add(rid)?;
        }
        self.simulcast.as_ref().map_or(Ok(()), |simulcast| lines.add(simulcast))
    }
}

impl Ssrcs {
    fn read(lines: &Lines) -> Self {
        let mut all: Vec<u32> = Vec::new();
        for ssrc in lines.all::<Ssrc>().flatten().map(|line| line.ssrc) {
            if all.len() < MAX_SSRCS && !all.contains(&ssrc) {
                all.push(ssrc);
            }
        }
        let pairs = lines.all::<SsrcGroup>().flatten().filter_map(|group| match *group.ssrcs {
            [one, two] if group.semantics == SsrcGroupSemantics::Fid => Some((one, two)),
            _ => None,
        });
        Self { repaired: pairs.take(MAX_SSRCS).collect(), all }
    }

    /// Returns those of a sender with one encoding. Encodings with names are told apart by these.
    fn of_sender(transceiver: &Transceiver, codecs: &[Codec]) -> Self {
        let sender = &transceiver.sender;
        if sender.encodings.iter().any(|encoding| encoding.rid.is_some()) {
            return Self::default();
        }
        let [main, repair] = sender.ssrcs[0];
        match codecs.iter().any(|codec| codec.map.is("rtx")) {
            true => Self { all: vec![main, repair], repaired: vec![(main, repair)] },
            false => Self { all: vec![main], repaired: Vec::new() },
        }
    }

    fn write(&self, cname: Option<&str>, lines: &mut Lines) -> Result<(), columba_sdp::Error> {
        for (main, repair) in &self.repaired {
            lines.add(&SsrcGroup { semantics: SsrcGroupSemantics::Fid, ssrcs: vec![*main, *repair] })?;
        }
        for ssrc in &self.all {
            lines.add(&Ssrc::cname(*ssrc, cname.unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// Returns the limits of a section (RFC 9429 §5.11): of the bandwidth types `TIAS` counts before
/// `AS`, from which an estimate of headers is subtracted.
fn limits(lines: &Lines) -> Result<SendLimits, columba_sdp::Error> {
    let bandwidths = lines.all::<Bandwidth>().collect::<Result<Vec<_>, _>>()?;
    let value = |kind: &str| bandwidths.iter().find(|one| one.kind == kind).map(|one| one.value);
    // 5 % are RTCP's; 50 packets a second have headers of 40 bytes.
    let of_session = |kilobits: u64| kilobits.saturating_mul(950).saturating_sub(50 * 40 * 8);
    Ok(SendLimits {
        max_bitrate: value("TIAS").or_else(|| value("AS").map(of_session)),
        packet_time: lines.get::<Ptime>()?.map(|time| time.0),
        max_packet_time: lines.get::<MaxPtime>()?.map(|time| time.0),
    })
}

/// Returns the limits of a local section: packets of audio are as long as Opus can have them (RFC
/// 6716 §2.1.4).
fn own_limits(kind: TrackKind) -> SendLimits {
    let max_packet_time = (kind == TrackKind::Audio).then_some(LONGEST_PACKET);
    SendLimits { max_packet_time, ..SendLimits::default() }
}

/// Returns the streams that a section names. Descriptions older than RFC 8830 name them with their
/// SSRCs.
fn msids(lines: &Lines) -> Vec<Msid> {
    let mut msids: Vec<Msid> = Vec::new();
    let named = lines.all::<Msid>().flatten();
    let by_ssrc = lines.all::<Ssrc>().flatten().filter(|ssrc| ssrc.attribute == "msid");
    let by_ssrc = by_ssrc.filter_map(|ssrc| {
        let value = ssrc.value?;
        let mut words = value.split_ascii_whitespace();
        Some(Msid { stream: words.next()?.to_owned(), track: words.next().map(str::to_owned) })
    });
    let mut add = |msid: Msid| {
        if msids.len() < MAX_STREAMS && !msids.iter().any(|one| one.stream == msid.stream) {
            msids.push(msid);
        }
    };
    if lines.has::<Msid>() {
        named.for_each(&mut add)
    } else {
        by_ssrc.for_each(&mut add)
    }
    msids
}

/// Returns a header extension as the other side sees it.
fn reversed(extension: &ExtMap) -> ExtMap {
    ExtMap { direction: extension.direction.map(Direction::reversed), ..extension.clone() }
}
