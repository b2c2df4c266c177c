//! Media sections: their order is their identity on the wire, their names are in the API.

use std::collections::BTreeMap;
use std::ops::Deref;

use columba_sdp::attributes::{BundleOnly, Direction, Mid, RtpMap};
use columba_sdp::{Lines, MediaKind, MediaLine, MediaSection};

use super::application::ApplicationSection;
use super::rtp::RtpSection;
use crate::transport::TransportId;

/// One section of the session, as one side describes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    pub(super) mid: String,
    pub(super) kind: Kind,
    /// The transport that carries it; `None` if it is rejected.
    pub(super) transport: Option<TransportId>,
    /// The bundle of the description that it is in: sections of one bundle have the same number.
    pub(super) bundle: Option<usize>,
    /// It is offered for the case that the other side bundles, and has no transport of its own
    /// (RFC 9143 §6).
    pub(super) is_bundle_only: bool,
}

/// The content of a section.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Application(ApplicationSection),
    /// Boxed: a connection may have data alone.
    Rtp(Box<RtpSection>),
    Rejected(RejectedSection),
}

/// A section with port 0 (RFC 3264 §6).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RejectedSection {
    /// The `m=` line with only the first format, because there must be one.
    head: MediaLine,
    /// The meaning of that format, if it is a dynamic payload type.
    rtpmap: Option<RtpMap>,
}

/// The sections of a description, which are found by index and by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections {
    list: Vec<Section>,
    /// The index of each name, which stays as it is.
    places: BTreeMap<String, usize>,
}

impl Sections {
    pub(super) fn new(list: Vec<Section>) -> Self {
        let places = list.iter().enumerate().map(|(index, section)| (section.mid.clone(), index));
        Self { places: places.collect(), list }
    }

    /// Returns the index of the section with this name.
    pub(super) fn place(&self, mid: &str) -> Option<usize> {
        self.places.get(mid).copied()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Section> {
        self.list.iter_mut()
    }
}

impl Deref for Sections {
    type Target = [Section];

    fn deref(&self) -> &[Section] {
        &self.list
    }
}

impl Section {
    /// A section without a transport.
    pub(super) fn new(mid: String, kind: Kind) -> Self {
        Self { mid, kind, transport: None, bundle: None, is_bundle_only: false }
    }

    /// Returns the section for data and its transport, if this is it.
    pub(super) fn application(&self) -> Option<(&ApplicationSection, TransportId)> {
        match (&self.kind, self.transport) {
            (Kind::Application(section), Some(transport)) => Some((section, transport)),
            _ => None,
        }
    }

    /// Returns the canonical name that a section of audio or video names.
    pub(super) fn cname(&self) -> Option<String> {
        match &self.kind {
            Kind::Rtp(section) => section.cname.clone(),
            Kind::Application(_) | Kind::Rejected(_) => None,
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.kind, Kind::Rejected(_))
    }

    pub(super) fn media_kind(&self) -> &MediaKind {
        match &self.kind {
            Kind::Application(_) => &MediaKind::Application,
            Kind::Rtp(section) => section.media_kind(),
            Kind::Rejected(section) => &section.head.kind,
        }
    }

    /// Returns the section as it is when it is rejected.
    pub(super) fn rejected(&self) -> Self {
        let head = match &self.kind {
            Kind::Application(section) => section.head(),
            Kind::Rtp(section) => section.head(),
            Kind::Rejected(_) => return self.clone(),
        };
        let rtpmap = match &self.kind {
            Kind::Rtp(section) => section.first_map().cloned(),
            Kind::Application(_) | Kind::Rejected(_) => None,
        };
        let kind = Kind::Rejected(RejectedSection::new(head, rtpmap));
        Self::new(self.mid.clone(), kind)
    }

    /// Writes the `m=` line and the lines of the section but for those of its transport, which
    /// `write_transport` adds at their place.
    pub(super) fn write(
        &self,
        write_transport: impl FnOnce(&mut Lines) -> Result<(), columba_sdp::Error>,
    ) -> Result<MediaSection, columba_sdp::Error> {
        let head = match &self.kind {
            Kind::Application(section) => section.head(),
            Kind::Rtp(section) => section.head(),
            Kind::Rejected(section) => section.head.clone(),
        };
        let mut written = MediaSection::new(head)?;
        if self.is_bundle_only {
            written.set_port(0);
        }
        let lines = &mut written.lines;
        lines.add(&columba_sdp::attributes::Connection::UNSPECIFIED)?;
        if let Kind::Rejected(section) = &self.kind {
            if let Some(rtpmap) = &section.rtpmap {
                lines.add(rtpmap)?;
            }
            lines.add(&Direction::Inactive)?;
        }
        lines.add(&Mid(self.mid.clone()))?;
        if self.is_bundle_only {
            lines.add(&BundleOnly)?;
        }
        write_transport(lines)?;
        match &self.kind {
            Kind::Application(section) => section.write(lines)?,
            Kind::Rtp(section) => section.write(lines)?,
            Kind::Rejected(_) => {}
        }
        Ok(written)
    }
}

impl RejectedSection {
    fn new(head: MediaLine, rtpmap: Option<RtpMap>) -> Self {
        let first = head.formats.first().cloned().unwrap_or_default();
        Self { head: MediaLine { port: 0, port_count: None, formats: vec![first], ..head }, rtpmap }
    }

    /// Returns the rejection of a section of the other side's.
    pub(super) fn of(section: &MediaSection) -> Self {
        let first = section.head().formats.first().and_then(|format| format.parse().ok());
        let rtpmap = first.and_then(|payload_type: u8| {
            let is_its = |map: &RtpMap| map.payload_type == payload_type;
            section.lines.all::<RtpMap>().flatten().find(is_its)
        });
        Self::new(section.head().clone(), rtpmap)
    }
}

/// Returns a name that is not taken, and its number: the first one from `first` on.
pub(super) fn free_mid(first: usize, taken: impl Fn(&str) -> bool) -> (String, usize) {
    let mut number = first;
    loop {
        let mid = number.to_string();
        if !taken(&mid) {
            return (mid, number);
        }
        number += 1;
    }
}
