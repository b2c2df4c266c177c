//! The media section of a packet, where several share a transport (RFC 9143 §9.2).

use std::collections::VecDeque;

use crate::extension::{Mid, RepairedRid, Rid};
use crate::numbers::{PayloadType, Ssrc};
use crate::packet::Header;

/// Streams whose section is remembered; of more the oldest are forgotten, and found anew by their
/// names or payload types.
const MAX_STREAMS: usize = 1024;

/// The longest name that is kept. The one-byte form of header extensions holds no longer one.
const MAX_NAME: usize = 16;

/// One media section, as the receiving side has agreed on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemuxSection {
    /// The name of the section.
    pub mid: String,
    /// The numbers of the header extensions for the section's name, the encoding's name, and the
    /// name of the encoding that is repaired; `None` if they are not negotiated.
    pub mid_extension: Option<u8>,
    /// The number of the extension with the encoding's name.
    pub rid_extension: Option<u8>,
    /// The number of the extension with the name of the encoding that is repaired.
    pub repaired_rid_extension: Option<u8>,
    /// The payload types that are received.
    pub payload_types: Vec<PayloadType>,
    /// The streams that the other side's description names.
    pub ssrcs: Vec<Ssrc>,
}

/// A name without memory of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Name {
    bytes: [u8; MAX_NAME],
    len: u8,
}

impl Name {
    fn new(text: &str) -> Option<Self> {
        let mut name = Self { bytes: [0; MAX_NAME], len: u8::try_from(text.len()).ok()? };
        name.bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(name)
    }

    fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).ok()
    }
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: Ssrc,
    section: usize,
    rid: Option<Name>,
    is_repair: bool,
}

/// The place of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The index of the section.
    pub section: usize,
    /// The name of the encoding, if the stream has told one.
    pub rid: Option<&'a str>,
    /// The stream repairs the encoding, by retransmissions.
    pub is_repair: bool,
}

/// Finds the section of each packet of a transport.
#[derive(Debug, Default)]
pub struct Demultiplexer {
    sections: Vec<DemuxSection>,
    /// The section of each payload type that only one section has.
    by_payload_type: Vec<Option<usize>>,
    /// The newest last.
    streams: VecDeque<Stream>,
    unknown: u64,
}

impl Demultiplexer {
    /// Returns a demultiplexer without sections: all packets are unknown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the sections. Streams stay with sections whose names are still there.
    pub fn set_sections(&mut self, sections: Vec<DemuxSection>) {
        let former = std::mem::replace(&mut self.sections, sections);
        let sections = &self.sections;
        let place = |mid: &str| sections.iter().position(|section| section.mid == mid);
        self.streams.retain_mut(|stream| match place(&former[stream.section].mid) {
            Some(section) => {
                stream.section = section;
                true
            }
            None => false,
        });
        self.by_payload_type = (0..128)
            .map(|number| {
                let mut with = sections
                    .iter()
                    .enumerate()
                    .filter(|(_, section)| section.payload_types.iter().any(|one| one.get() == number));
                let first = with.next().map(|(index, _)| index);
                first.filter(|_| with.next().is_none())
            })
            .collect();
        for index in 0..self.sections.len() {
            for at in 0..self.sections[index].ssrcs.len() {
                let ssrc = self.sections[index].ssrcs[at];
                self.learn(ssrc, index);
            }
        }
    }

    /// Returns the sections.
    #[must_use]
    pub fn sections(&self) -> &[DemuxSection] {
        &self.sections
    }

    /// Returns the number of packets whose section was not found.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Returns the section of an authentic packet; `None` if it belongs to none: then it is to be
    /// dropped.
    pub fn route(&mut self, header: &Header<'_>) -> Option<Route<'_>> {
        let (ssrc, payload_type) = (header.ssrc(), header.payload_type());
        let place = self.position(ssrc);
        let section = match self.section_by_name(header) {
            Some(named) => named,
            None => {
                let known = place.map(|at| self.streams[at].section);
                let by_type = || self.by_payload_type.get(usize::from(payload_type.get()))?.as_ref().copied();
                known.or_else(by_type)
            }
        };
        // A stream that the section's codecs do not know is another application's.
        let fits = section.filter(|section| self.sections[*section].payload_types.contains(&payload_type));
        let Some(section) = fits else {
            self.unknown += 1;
            return None;
        };
        let at = self.learn_at(place, ssrc, section);
        let (rid, repaired) =
            (self.sections[section].rid_extension, self.sections[section].repaired_rid_extension);
        let stream = &mut self.streams[at];
        if let Some(Rid(rid)) = rid.and_then(|id| header.get(id)) {
            (stream.rid, stream.is_repair) = (Name::new(rid), false);
        }
        if let Some(RepairedRid(rid)) = repaired.and_then(|id| header.get(id)) {
            (stream.rid, stream.is_repair) = (Name::new(rid), true);
        }
        let stream = &self.streams[at];
        Some(Route { section, rid: stream.rid.as_ref().and_then(Name::as_str), is_repair: stream.is_repair })
    }

    /// Returns the section of a stream that a packet has come of, or that a description names.
    #[must_use]
    pub fn section_of(&self, ssrc: Ssrc) -> Option<usize> {
        self.position(ssrc).map(|at| self.streams[at].section)
    }

    /// Returns the section that the packet names: `Some(None)` if it names one that is not there.
    fn section_by_name(&self, header: &Header<'_>) -> Option<Option<usize>> {
        let mut named = None;
        for (index, section) in self.sections.iter().enumerate() {
            // Bundled sections have the same number for it.
            let Some(Mid(mid)) = section.mid_extension.and_then(|id| header.get(id)) else { continue };
            if mid == section.mid {
                return Some(Some(index));
            }
            named = Some(None);
        }
        named
    }

    fn position(&self, ssrc: Ssrc) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ssrc == ssrc)
    }

    fn learn(&mut self, ssrc: Ssrc, section: usize) {
        let place = self.position(ssrc);
        self.learn_at(place, ssrc, section);
    }

    /// Remembers the section of a stream, which has this place among them, if it is known. Returns
    /// its place.
    fn learn_at(&mut self, place: Option<usize>, ssrc: Ssrc, section: usize) -> usize {
        if let Some(at) = place {
            self.streams[at].section = section;
            return at;
        }
        if self.streams.len() == MAX_STREAMS {
            self.streams.pop_front();
        }
        self.streams.push_back(Stream { ssrc, section, rid: None, is_repair: false });
        self.streams.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::ExtensionForm;
    use crate::{FixedHeader, PacketWriter};

    const OPUS: u8 = 111;
    const VP8: u8 = 96;
    const RTX: u8 = 97;

    fn types(numbers: &[u8]) -> Vec<PayloadType> {
        numbers.iter().map(|number| PayloadType::new(*number).unwrap()).collect()
    }

    fn section(mid: &str, numbers: &[u8]) -> DemuxSection {
        DemuxSection {
            mid: mid.to_owned(),
            mid_extension: Some(4),
            rid_extension: Some(10),
            repaired_rid_extension: Some(11),
            payload_types: types(numbers),
            ssrcs: Vec::new(),
        }
    }

    fn packet(ssrc: u32, payload_type: u8, names: &[(u8, &str)]) -> Vec<u8> {
        let header = FixedHeader {
            ssrc: Ssrc(ssrc),
            payload_type: PayloadType::new(payload_type).unwrap(),
            ..FixedHeader::default()
        };
        let mut buffer = vec![0; 100];
        let mut writer = PacketWriter::new(&mut buffer, &header, ExtensionForm::OneByte).unwrap();
        for (id, name) in names {
            writer = writer.extension(*id, &Mid(name)).unwrap();
        }
        let len = writer.payload(b"payload", 0).unwrap();
        buffer.truncate(len);
        buffer
    }

    fn route(demux: &mut Demultiplexer, packet: &[u8]) -> Option<(usize, Option<String>, bool)> {
        let route = demux.route(&Header::parse(packet).unwrap())?;
        Some((route.section, route.rid.map(str::to_owned), route.is_repair))
    }

    fn demux() -> Demultiplexer {
        let mut demux = Demultiplexer::new();
        let named = DemuxSection { ssrcs: vec![Ssrc(77)], ..section("2", &[VP8, RTX]) };
        demux.set_sections(vec![section("0", &[OPUS]), section("1", &[VP8, RTX]), named]);
        demux
    }

    #[test]
    fn names_come_before_streams_and_those_before_payload_types() {
        let mut demux = demux();
        assert_eq!(route(&mut demux, &packet(1, OPUS, &[])), Some((0, None, false)));
        // Two sections have the payload type.
        assert_eq!(route(&mut demux, &packet(2, VP8, &[])), None);
        assert_eq!(route(&mut demux, &packet(2, VP8, &[(4, "1")])), Some((1, None, false)));
        assert_eq!(route(&mut demux, &packet(2, VP8, &[])), Some((1, None, false)));
        assert_eq!(route(&mut demux, &packet(77, VP8, &[])), Some((2, None, false)));
        // A stream that moves says so.
        assert_eq!(route(&mut demux, &packet(2, VP8, &[(4, "2")])), Some((2, None, false)));
        assert_eq!(demux.section_of(Ssrc(2)), Some(2));
        assert_eq!(route(&mut demux, &packet(1, OPUS, &[(4, "9")])), None);
        assert_eq!(route(&mut demux, &packet(1, VP8, &[])), None);
        assert_eq!(demux.unknown(), 3);
    }

    #[test]
    fn encodings_are_told_once() {
        let mut demux = demux();
        let high = Some((1, Some("hi".to_owned()), false));
        assert_eq!(route(&mut demux, &packet(5, VP8, &[(4, "1"), (10, "hi")])), high);
        assert_eq!(route(&mut demux, &packet(5, VP8, &[])), high);
        let repair = Some((1, Some("hi".to_owned()), true));
        assert_eq!(route(&mut demux, &packet(6, RTX, &[(4, "1"), (11, "hi")])), repair);
        assert_eq!(route(&mut demux, &packet(6, RTX, &[])), repair);
    }

    #[test]
    fn sections_that_go_take_their_streams_along() {
        let mut demux = demux();
        route(&mut demux, &packet(1, OPUS, &[])).unwrap();
        route(&mut demux, &packet(2, VP8, &[(4, "1")])).unwrap();
        demux.set_sections(vec![section("1", &[VP8, RTX])]);
        assert_eq!((demux.section_of(Ssrc(1)), demux.section_of(Ssrc(2))), (None, Some(0)));
        assert_eq!(route(&mut demux, &packet(3, VP8, &[])), Some((0, None, false)));
    }

    #[test]
    fn floods_of_streams_are_bounded() {
        let mut demux = demux();
        for ssrc in 1000..100_000 {
            route(&mut demux, &packet(ssrc, OPUS, &[])).unwrap();
        }
        assert_eq!(demux.streams.len(), MAX_STREAMS);
        assert_eq!(route(&mut demux, &packet(0, OPUS, &[])), Some((0, None, false)));
    }
}
