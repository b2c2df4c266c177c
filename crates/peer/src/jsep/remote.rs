//! The other side's description, read (RFC 9429 §5.8).

use std::collections::BTreeSet;

use columba_ice::Credentials;
use columba_sdp::attributes::{Fingerprint, IceUfrag, RtcpMux};
use columba_sdp::{Candidate, Field, MediaKind, SessionDescription};

use super::application::ApplicationSection;
use super::bundle::{self, Bundle};
use super::candidates::MAX_CANDIDATES;
use super::rtp::RtpSection;
use super::section::{Kind, RejectedSection, Section, free_mid};
use super::transport::TransportDescription;
use super::transports::{self, TransportIds};
use crate::description::SdpType;
use crate::error::Error;
use crate::transport::TransportId;

/// A description of the other side's that can be used.
#[derive(Clone, Debug)]
pub(super) struct RemoteDescription {
    pub(super) kind: SdpType,
    /// The whole, to which candidates that come later are added.
    pub(super) description: SessionDescription,
    pub(super) sections: Vec<Section>,
    /// The transports that are used.
    pub(super) transports: Vec<RemoteTransport>,
}

/// A transport of the other side's description.
#[derive(Clone, Debug)]
pub(super) struct RemoteTransport {
    pub(super) id: TransportId,
    /// The index of the tagged section (RFC 9143 §7.2), whose attributes and candidates count for
    /// all.
    pub(super) tag: usize,
    /// True if both sides have agreed on the bundle: it is an answer's, or it continues one.
    pub(super) is_agreed: bool,
    /// True if it needs a new DTLS association: the other side is another one, or has begun anew.
    pub(super) is_renewed: bool,
    /// True if the transport below has its candidates. Until then they are kept here.
    pub(super) is_applied: bool,
    pub(super) description: TransportDescription,
}

impl RemoteDescription {
    /// Reads a description. `known` are the sections that it continues or answers: their names
    /// count for sections without `a=mid`, and their transports are kept. Other transports have
    /// names of `ids`.
    pub(super) fn read(
        kind: SdpType,
        text: &str,
        known: &[Section],
        ids: TransportIds,
    ) -> Result<Self, Error> {
        let description: SessionDescription = text.parse().map_err(|error| malformed(kind, &error, None))?;
        let mids = names(kind, &description, known)?;
        let reader = Reader { kind, description: &description, mids: &mids };
        let usable = reader.usable_sections();
        let mut bundles = bundle::partition(&description, &mids, &usable);
        if kind == SdpType::Offer {
            reader.pass_over_stopped(&mut bundles);
        }
        reader.require_rtcp_mux(&usable, &bundles)?;
        let ids = match kind {
            SdpType::Offer => transports::of_offer(&bundles, known, ids),
            _ => transports::of_answer(kind, &bundles, known, &mids, ids)?,
        };
        let mut places = vec![None; mids.len()];
        let mut transports = Vec::with_capacity(bundles.len());
        for (number, (bundle, id)) in bundles.iter().zip(ids).enumerate() {
            for index in &bundle.members {
                places[*index] = Some((id, bundle.is_group.then_some(number)));
            }
            transports.push(RemoteTransport {
                id,
                tag: bundle.members[0],
                is_agreed: kind != SdpType::Offer || runs(known, bundle.members[0]),
                is_renewed: false,
                is_applied: false,
                description: TransportDescription::read(&reader, &bundle.members)?,
            });
        }
        let mut sections = Vec::with_capacity(places.len());
        for (index, place) in places.into_iter().enumerate() {
            sections.push(reader.section(index, place)?);
        }
        Ok(Self { kind, description, sections, transports })
    }

    pub(super) fn transport(&self, id: TransportId) -> Option<&RemoteTransport> {
        self.transports.iter().find(|transport| transport.id == id)
    }

    /// Returns the candidates of a transport that came with the description and since.
    pub(super) fn candidates(&self, id: TransportId) -> Vec<Candidate> {
        let sections = self.description.media.iter().enumerate();
        let is_its = |index: usize| self.sections[index].transport == Some(id);
        let carried = sections.filter(|(index, _)| is_its(*index) && self.transport_of(*index) == Some(id));
        let lines = carried.map(|(_, media)| &media.lines).chain([&self.description.lines]);
        lines.flat_map(|lines| lines.all()).take(2 * MAX_CANDIDATES).flatten().collect()
    }

    pub(super) fn credentials(&self, id: TransportId) -> Option<&Credentials> {
        self.transport(id).map(|transport| &transport.description.ice.credentials)
    }

    /// Returns the section for data and its transport.
    pub(super) fn application(&self) -> Option<(&ApplicationSection, TransportId)> {
        self.sections.iter().find_map(Section::application)
    }
}

/// Returns true if a known section has a transport.
fn runs(known: &[Section], index: usize) -> bool {
    known.get(index).is_some_and(|section| section.transport.is_some())
}

/// Returns the names of all sections. A section without a name has that of the section that it
/// continues, else a new one (RFC 9429 §5.10).
fn names(kind: SdpType, description: &SessionDescription, known: &[Section]) -> Result<Vec<String>, Error> {
    let written = description.media.iter().map(|section| section.mid().map(str::to_owned));
    let mut mids: Vec<Option<String>> = written.collect();
    let mut taken = BTreeSet::new();
    for mid in mids.iter().flatten() {
        if !taken.insert(mid.clone()) {
            return Err(wrong(kind, Some(mid), "two media sections have this name"));
        }
    }
    for (index, mid) in mids.iter_mut().enumerate().filter(|(_, mid)| mid.is_none()) {
        let continued = known.get(index).map(|section| section.mid.clone());
        let name = continued.filter(|name| !taken.contains(name));
        let name = name.unwrap_or_else(|| free_mid(index, |name| taken.contains(name)).0);
        taken.insert(name.clone());
        *mid = Some(name);
    }
    Ok(mids.into_iter().flatten().collect())
}

/// Reads the sections of one description. Its errors say to what the description claims to be, and
/// where it is wrong.
pub(super) struct Reader<'a> {
    pub(super) kind: SdpType,
    pub(super) description: &'a SessionDescription,
    /// The names of the sections.
    pub(super) mids: &'a [String],
}

impl Reader<'_> {
    /// Returns the value that holds for a section: its own, else the session's.
    pub(super) fn get<T: Field>(&self, index: usize) -> Result<Option<T>, Error> {
        let section = &self.description.media[index];
        self.description.effective(section).map_err(|error| self.malformed(&error, index))
    }

    pub(super) fn malformed(&self, error: &columba_sdp::Error, index: usize) -> Error {
        malformed(self.kind, error, self.mids.get(index).map(String::as_str))
    }

    pub(super) fn wrong(&self, index: usize, reason: &str) -> Error {
        wrong(self.kind, self.mids.get(index).map(String::as_str), reason)
    }

    /// Tells for each section whether it is of a kind that can be used, and not rejected. Of
    /// several sections for data only the first can be used: there is one association.
    fn usable_sections(&self) -> Vec<bool> {
        let mut has_data = false;
        let sections = self.description.media.iter();
        sections
            .map(|section| {
                let head = section.head();
                let usable = match head.kind {
                    MediaKind::Application => head.is_data_channel() && !has_data,
                    // Malformed codecs are an error of the description, not a reason to reject the
                    // section.
                    MediaKind::Audio | MediaKind::Video => {
                        head.protocol.is_rtp() && section.codecs().map_or(true, |codecs| !codecs.is_empty())
                    }
                    _ => false,
                };
                let usable = usable && !section.is_rejected();
                has_data |= usable && head.kind == MediaKind::Application;
                usable
            })
            .collect()
    }

    /// Leaves out sections on their own that say nothing of a transport, beside others that do.
    ///
    /// Deviation: only port 0 rejects a section (RFC 3264 §6). Firefox writes its default address
    /// into a section that it has stopped (`docs/known-failures.md`).
    fn pass_over_stopped(&self, bundles: &mut Vec<Bundle>) {
        let has_transport = |index: &usize| {
            let lines = &self.description.media[*index].lines;
            lines.has::<IceUfrag>() || lines.has::<Fingerprint>()
        };
        let is_of_session = self.description.lines.has::<IceUfrag>();
        if !is_of_session && bundles.iter().any(|bundle| bundle.members.iter().any(has_transport)) {
            bundles.retain(|bundle| bundle.is_group || bundle.members.iter().any(has_transport));
        }
    }

    /// Refuses RTP whose RTCP has a transport of its own (RFC 9429 §4.1.1: policy "require"). In a
    /// bundle it is enough that one section has the attribute: it is the same for all (RFC 8859:
    /// category IDENTICAL).
    fn require_rtcp_mux(&self, usable: &[bool], bundles: &[Bundle]) -> Result<(), Error> {
        let has = |index: usize| self.description.media[index].lines.has::<RtcpMux>();
        for (index, section) in self.description.media.iter().enumerate() {
            let is_rtp = section.head().kind != MediaKind::Application;
            if !usable[index] || !is_rtp || has(index) || self.description.lines.has::<RtcpMux>() {
                continue;
            }
            let bundle = bundles.iter().find(|bundle| bundle.members.contains(&index));
            if !bundle.is_none_or(|bundle| bundle.members.iter().any(|member| has(*member))) {
                return Err(
                    self.wrong(index, "a=rtcp-mux is missing: RTCP on a port of its own is not supported")
                );
            }
        }
        Ok(())
    }

    /// Reads a section. `place` is its transport and its bundle, if it is not rejected.
    fn section(&self, index: usize, place: Option<(TransportId, Option<usize>)>) -> Result<Section, Error> {
        let section = &self.description.media[index];
        let mid = self.mids[index].clone();
        let kind = match section.head().kind {
            _ if place.is_none() => Kind::Rejected(RejectedSection::of(section)),
            MediaKind::Application => Kind::Application(ApplicationSection::read(self, index)?),
            _ => Kind::Rtp(Box::new(RtpSection::read(self, index)?)),
        };
        let (transport, bundle) = place.unzip();
        Ok(Section { mid, kind, transport, bundle: bundle.flatten(), is_bundle_only: false })
    }
}

/// Returns the error of a description with a line that does not follow its grammar.
fn malformed(kind: SdpType, error: &columba_sdp::Error, mid: Option<&str>) -> Error {
    let text = error.to_string();
    let line = line_of(error);
    // The line is reported apart.
    let reason = match line.and_then(|line| text.strip_prefix(&format!("line {line}: "))) {
        Some(reason) => reason.to_owned(),
        None => text,
    };
    Error::InvalidDescription { kind, line, mid: mid.map(str::to_owned), reason }
}

pub(super) fn wrong(kind: SdpType, mid: Option<&str>, reason: &str) -> Error {
    Error::InvalidDescription { kind, line: None, mid: mid.map(str::to_owned), reason: reason.to_owned() }
}

fn line_of(error: &columba_sdp::Error) -> Option<u32> {
    use columba_sdp::Error as Sdp;
    match error {
        Sdp::TooManyLines { limit } => u32::try_from(*limit).ok()?.checked_add(1),
        Sdp::LineTooLong { line, .. }
        | Sdp::TooManyMedia { line, .. }
        | Sdp::NotALine { line, .. }
        | Sdp::ForbiddenCharacter { line, .. }
        | Sdp::Misplaced { line, .. }
        | Sdp::Malformed { line, .. } => Some(*line),
        _ => None,
    }
}
