//! Sections of audio and video: codecs, header extensions, directions.

use columba_sdp::attributes::{Direction, ExtMap, RtcpMux, RtcpRsize, RtpMap};
use columba_sdp::{Codec, Lines, MediaKind, MediaLine, Protocol};

use super::remote::Reader;
use crate::error::Error;

/// The header extensions that are negotiated: the name of the section, which every bundled section
/// needs (RFC 9143 §15).
const HEADER_EXTENSIONS: [&str; 1] = ["urn:ietf:params:rtp-hdrext:sdes:mid"];

/// The largest number of a header extension in an answer: larger ones stand for "any" in offers
/// (RFC 8285 §6).
const MAX_EXTENSION: u16 = 255;

/// The direction that the local side wants of each section: an application cannot ask for media
/// yet. The section is negotiated nevertheless, so that the other side keeps it and sends nothing.
pub(super) const WANTED: Direction = Direction::Inactive;

/// A section of audio or video.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RtpSection {
    kind: MediaKind,
    protocol: Protocol,
    /// As the side that describes it sends and receives.
    direction: Direction,
    /// In order of preference, with the payload types of the first offer.
    codecs: Vec<Codec>,
    extensions: Vec<ExtMap>,
    /// RTCP packets may be of reduced size (RFC 5506).
    reduced_size: bool,
}

impl RtpSection {
    pub(super) fn read(reader: &Reader<'_>, index: usize) -> Result<Self, Error> {
        let section = &reader.description.media[index];
        Ok(Self {
            kind: section.head().kind.clone(),
            protocol: section.head().protocol.clone(),
            direction: reader.description.direction(section),
            codecs: section.codecs().map_err(|error| reader.malformed(&error, index))?,
            extensions: reader.description.effective_all::<ExtMap>(section).flatten().collect(),
            reduced_size: section.lines.has::<RtcpRsize>(),
        })
    }

    /// Returns the local section that answers this one, if the local side wants to send and receive
    /// so. The payload types are those of the offer (RFC 9429 §5.3.1).
    pub(super) fn answer(&self, wanted: Direction) -> Self {
        let accepts = |extension: &&ExtMap| {
            extension.id <= MAX_EXTENSION && HEADER_EXTENSIONS.contains(&extension.uri.as_str())
        };
        let extensions = self.extensions.iter().filter(accepts).map(|extension| ExtMap {
            direction: extension.direction.map(Direction::reversed),
            ..extension.clone()
        });
        Self {
            direction: wanted.intersect(self.direction.reversed()),
            extensions: extensions.collect(),
            ..self.clone()
        }
    }

    /// Returns this local section as it is offered again.
    pub(super) fn offer_again(&self, wanted: Direction) -> Self {
        Self { direction: wanted, ..self.clone() }
    }

    pub(super) fn media_kind(&self) -> &MediaKind {
        &self.kind
    }

    pub(super) fn first_map(&self) -> Option<&RtpMap> {
        self.codecs.first().map(|codec| &codec.map)
    }

    pub(super) fn head(&self) -> MediaLine {
        let formats: Vec<_> = self.codecs.iter().map(|codec| codec.payload_type().to_string()).collect();
        MediaLine::new(self.kind.clone(), self.protocol.clone(), formats.iter().map(String::as_str))
    }

    pub(super) fn write(&self, lines: &mut Lines) -> Result<(), columba_sdp::Error> {
        for extension in &self.extensions {
            lines.add(extension)?;
        }
        lines.add(&self.direction)?;
        lines.add(&RtcpMux)?;
        if self.reduced_size {
            lines.add(&RtcpRsize)?;
        }
        for codec in &self.codecs {
            lines.add(&codec.map)?;
            for feedback in &codec.feedback {
                lines.add(feedback)?;
            }
            if let Some(parameters) = &codec.parameters {
                lines.add(parameters)?;
            }
        }
        Ok(())
    }
}
