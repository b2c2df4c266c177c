//! The codecs of a media section, gathered from its lines.

use crate::attributes::{CodecTarget, Fmtp, RtcpFb, RtpMap};
use crate::error::Error;
use crate::media::MediaSection;

/// The number of kinds of feedback that are kept for one codec; more are ignored. Browsers write
/// five.
const MOST_FEEDBACK: usize = 32;

/// A payload type of a media section, with everything that its lines say about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Codec {
    /// The payload type and the codec's name, clock rate and channels.
    pub map: RtpMap,
    /// The parameters, if there are any; those of several lines are joined.
    pub parameters: Option<Fmtp>,
    /// The kinds of feedback, each for this payload type, also where the line was for all.
    pub feedback: Vec<RtcpFb>,
}

impl Codec {
    /// A codec without parameters and feedback.
    pub fn new(map: RtpMap) -> Self {
        Self { map, parameters: None, feedback: Vec::new() }
    }

    /// The payload type.
    pub fn payload_type(&self) -> u8 {
        self.map.payload_type
    }

    /// The value of a parameter, by name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.as_ref().and_then(|parameters| parameters.get(name))
    }

    /// Returns whether the codec has this kind of feedback.
    pub fn has_feedback(&self, kind: &str, parameter: Option<&str>) -> bool {
        self.feedback.iter().any(|feedback| feedback.is(kind, parameter))
    }

    fn add_feedback(&mut self, feedback: &RtcpFb) {
        let target = CodecTarget::One(self.payload_type());
        if self.feedback.len() < MOST_FEEDBACK
            && !self.has_feedback(&feedback.kind, feedback.parameter.as_deref())
        {
            self.feedback.push(RtcpFb { target, ..feedback.clone() });
        }
    }
}

impl MediaSection {
    /// The codecs in the order of the `m=` line. A payload type is passed over if nothing says what
    /// it stands for, neither `a=rtpmap` nor RFC 3551; lines about payload types that are not in
    /// the `m=` line mean nothing.
    ///
    /// # Errors
    /// [`Error::Malformed`] if one of the lines `rtpmap`, `fmtp` or `rtcp-fb` does not follow its
    /// grammar.
    pub fn codecs(&self) -> Result<Vec<Codec>, Error> {
        let mut maps: [Option<RtpMap>; 128] = [const { None }; 128];
        for map in self.lines.all::<RtpMap>() {
            let map = map?;
            if let Some(place) = maps.get_mut(usize::from(map.payload_type)) {
                place.get_or_insert(map);
            }
        }
        let mut codecs: Vec<Codec> = Vec::new();
        let mut index = [None; 128];
        for payload_type in self.head().payload_types() {
            let Some(place) = index.get_mut(usize::from(payload_type)).filter(|place| place.is_none()) else {
                continue;
            };
            let written = maps.get_mut(usize::from(payload_type)).and_then(Option::take);
            if let Some(map) = written.or_else(|| assigned(payload_type)) {
                *place = Some(codecs.len());
                codecs.push(Codec { map, parameters: None, feedback: Vec::new() });
            }
        }
        let find = |payload_type: u8| index.get(usize::from(payload_type)).copied().flatten();
        for fmtp in self.lines.all::<Fmtp>() {
            let fmtp = fmtp?;
            let Some(codec) = fmtp.payload_type().and_then(find).and_then(|at| codecs.get_mut(at)) else {
                continue;
            };
            match &mut codec.parameters {
                Some(known) => {
                    known.parameters.push(';');
                    known.parameters.push_str(&fmtp.parameters);
                }
                None => codec.parameters = Some(fmtp),
            }
        }
        for feedback in self.lines.all::<RtcpFb>() {
            let feedback = feedback?;
            match feedback.target {
                CodecTarget::All => codecs.iter_mut().for_each(|codec| codec.add_feedback(&feedback)),
                CodecTarget::One(one) => {
                    if let Some(codec) = find(one).and_then(|at| codecs.get_mut(at)) {
                        codec.add_feedback(&feedback);
                    }
                }
            }
        }
        Ok(codecs)
    }
}

/// The codec to which RFC 3551 §6 gives this payload type for good.
fn assigned(payload_type: u8) -> Option<RtpMap> {
    let (encoding, clock_rate) = match payload_type {
        0 => ("PCMU", 8000),
        3 => ("GSM", 8000),
        4 => ("G723", 8000),
        5 => ("DVI4", 8000),
        6 => ("DVI4", 16000),
        7 => ("LPC", 8000),
        8 => ("PCMA", 8000),
        9 => ("G722", 8000),
        10 | 11 => ("L16", 44100),
        12 => ("QCELP", 8000),
        13 => ("CN", 8000),
        14 => ("MPA", 90000),
        15 => ("G728", 8000),
        16 => ("DVI4", 11025),
        17 => ("DVI4", 22050),
        18 => ("G729", 8000),
        25 => ("CelB", 90000),
        26 => ("JPEG", 90000),
        28 => ("nv", 90000),
        31 => ("H261", 90000),
        32 => ("MPV", 90000),
        33 => ("MP2T", 90000),
        34 => ("H263", 90000),
        _ => return None,
    };
    let map = RtpMap::new(payload_type, encoding, clock_rate);
    Some(if payload_type == 10 { map.with_channels(2) } else { map })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionDescription;

    fn section(head: &str, lines: &str) -> MediaSection {
        let text = format!("v=0\no=- 1 1 IN IP4 ::\ns=-\nt=0 0\nm={head}\n{lines}");
        text.parse::<SessionDescription>().unwrap().media.remove(0)
    }

    #[test]
    fn gathers_what_belongs_together() {
        let lines = "a=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=rtpmap:98 unused/1\na=fmtp:97 apt=96\n\
                     a=fmtp:96 max-fr=30\na=fmtp:96 max-fs=99\na=rtcp-fb:96 nack\na=rtcp-fb:* nack\na=rtcp-fb:* transport-cc\n";
        let codecs = section("video 9 UDP/TLS/RTP/SAVPF 97 96 96 99 0", lines).codecs().unwrap();
        let types: Vec<_> = codecs.iter().map(Codec::payload_type).collect();
        assert_eq!(types, [97, 96, 0]);
        assert_eq!(codecs[0].parameters.as_ref().unwrap().retransmits(), Some(96));
        let vp8 = &codecs[1];
        assert_eq!((vp8.parameter("max-fr"), vp8.parameter("max-fs")), (Some("30"), Some("99")));
        assert_eq!(vp8.feedback.len(), 2);
        assert!(vp8.has_feedback("transport-cc", None) && !vp8.has_feedback("nack", Some("pli")));
        assert!(codecs[2].map.is("pcmu"));
    }

    #[test]
    fn broken_lines_are_errors() {
        for line in ["a=rtpmap:200 x/1", "a=rtpmap:96 x", "a=rtcp-fb:x nack", "a=fmtp:"] {
            let error = section("audio 9 RTP/AVP 0", line).codecs().unwrap_err();
            assert!(matches!(error, Error::Malformed { line: 6, .. }), "{error}");
        }
    }

    #[test]
    fn wildcards_do_not_multiply_without_end() {
        let formats: Vec<_> = (0..128).map(|number| number.to_string()).collect();
        let maps: String = (0..128).map(|number| format!("a=rtpmap:{number} x/1\n")).collect();
        let lines: String = (0..10_000).map(|number| format!("a=rtcp-fb:* k{number}\n")).collect();
        let codecs =
            section(&format!("video 9 RTP/AVPF {}", formats.join(" ")), &(maps + &lines)).codecs().unwrap();
        assert_eq!(codecs.len(), 128);
        assert!(codecs.iter().all(|codec| codec.feedback.len() == MOST_FEEDBACK));
    }
}
