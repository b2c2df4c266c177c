//! The sections of offers (RFC 9429 §5.2).

use std::collections::BTreeSet;

use columba_sdp::attributes::Setup;

use super::application::ApplicationSection;
use super::rtp::{self, Numbers};
use super::section::{Kind, Section, free_mid};
use super::session::Wanted;
use super::write::{LocalParameters, Tag};
use crate::media::{Transceiver, Transceivers};
use crate::transport::TransportId;

/// Returns the sections of an offer: those of `current` in their order, and what is wanted besides.
/// A new section takes the place of a rejected one, if there is one (RFC 9429 §5.2.2).
pub(super) fn sections(
    current: &[Section],
    wanted: Wanted,
    max_message_size: u64,
    media: &Transceivers,
    numbers: &mut Numbers,
) -> Vec<Section> {
    let mut sections: Vec<Section> =
        current.iter().map(|section| offered_again(section, media, numbers)).collect();
    let mut taken: BTreeSet<String> = current.iter().map(|section| section.mid.clone()).collect();
    let is_new =
        |one: &&Transceiver| !one.is_stopping && one.mid.as_ref().is_none_or(|mid| !taken.contains(mid));
    let new: Vec<&Transceiver> = media.iter().filter(is_new).collect();
    taken.extend(new.iter().filter_map(|one| one.mid.clone()));
    // Only what is rejected already can become another section.
    let mut free = (0..current.len()).filter(|index| current[*index].is_rejected());
    let mut place = |section: Section| match free.next() {
        Some(index) => sections[index] = section,
        None => sections.push(section),
    };
    let mut name = |mid: Option<String>| {
        let mid = mid.unwrap_or_else(|| free_mid(0, |mid| taken.contains(mid)));
        taken.insert(mid.clone());
        mid
    };
    for transceiver in new {
        let section = rtp::offer(transceiver, &media.configuration, numbers, None);
        let mid = name(transceiver.mid.clone());
        place(Section { mid, kind: Kind::Rtp(section), transport: Some(TransportId::FIRST) });
    }
    if wanted.data && !current.iter().any(|section| section.application().is_some()) {
        let kind = Kind::Application(ApplicationSection::offer(max_message_size));
        place(Section { mid: name(None), kind, transport: Some(TransportId::FIRST) });
    }
    sections
}

fn offered_again(section: &Section, media: &Transceivers, numbers: &mut Numbers) -> Section {
    let Kind::Rtp(known) = &section.kind else { return section.clone() };
    let kind = match media.of_section(&section.mid) {
        Some(transceiver) if transceiver.is_stopping => return section.rejected(),
        Some(transceiver) if transceiver.is_wanted => {
            rtp::offer(transceiver, &media.configuration, numbers, Some(known))
        }
        _ => known.offer_inactive(),
    };
    Section { kind: Kind::Rtp(kind), ..section.clone() }
}

/// Returns the tagged sections of an offer: that of each transport stays as it is in `current`, if
/// the section is still in use, else it is the first one. Their credentials and `a=tls-id` are
/// new.
pub(super) fn tags(sections: &[Section], current: &[Tag], local: &LocalParameters) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let Some(transport) = section.transport else { continue };
        let Some(description) = local.transport(transport).map(|one| &one.description) else { continue };
        if tags.iter().any(|tag| tag.transport == transport) {
            continue;
        }
        let is_in_use = |tag: &&Tag| {
            tag.transport == transport
                && sections.get(tag.index).is_some_and(|section| section.transport == Some(transport))
        };
        let index = current.iter().find(is_in_use).map_or(index, |tag| tag.index);
        tags.push(Tag {
            transport,
            index,
            setup: Setup::ActPass,
            credentials: description.ice.credentials.clone(),
            tls_id: description.tls_id.clone(),
            is_bundle: true,
        });
    }
    tags
}
