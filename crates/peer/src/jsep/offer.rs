//! The sections of offers (RFC 9429 §5.2).

use columba_sdp::attributes::Setup;

use super::application::ApplicationSection;
use super::rtp;
use super::section::{Kind, Section, free_mid};
use super::session::Wanted;
use super::write::{LocalParameters, Tag};
use crate::transport::TransportId;

/// Returns the sections of an offer: those of `current` in their order, and what is wanted besides.
/// A new section takes the place of a rejected one, if there is one (RFC 9429 §5.2.2).
pub(super) fn sections(current: &[Section], wanted: Wanted, max_message_size: u64) -> Vec<Section> {
    let mut sections: Vec<Section> = current.iter().map(offered_again).collect();
    let has_data = sections.iter().any(|section| section.application().is_some());
    if wanted.data && !has_data {
        let section = Section {
            mid: free_mid(0, |mid| sections.iter().any(|section| section.mid == mid)),
            kind: Kind::Application(ApplicationSection::offer(max_message_size)),
            transport: Some(TransportId::FIRST),
        };
        match sections.iter_mut().find(|section| section.is_rejected()) {
            Some(rejected) => *rejected = section,
            None => sections.push(section),
        }
    }
    sections
}

fn offered_again(section: &Section) -> Section {
    match &section.kind {
        Kind::Rtp(media) => {
            let kind = Kind::Rtp(media.offer_again(rtp::WANTED));
            Section { kind, ..section.clone() }
        }
        Kind::Application(_) | Kind::Rejected(_) => section.clone(),
    }
}

/// Returns the tagged sections of an offer: that of each transport stays as it is in `current`, if
/// the section is still in use, else it is the first one. Their credentials are new.
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
        let credentials = description.ice.credentials.clone();
        tags.push(Tag { transport, index, setup: Setup::ActPass, credentials, is_bundle: true });
    }
    tags
}
