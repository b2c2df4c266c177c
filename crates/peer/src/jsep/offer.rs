//! The sections of offers (RFC 9429 §5.2).

use std::collections::{BTreeMap, BTreeSet};

use columba_sdp::MediaKind;
use columba_sdp::attributes::Setup;

use super::application::ApplicationSection;
use super::rtp::{self, Numbers};
use super::section::{Kind, Section, free_mid};
use super::session::Wanted;
use super::transports::TransportIds;
use super::write::{LocalParameters, Tag};
use crate::configuration::BundlePolicy;
use crate::media::{Transceiver, Transceivers};
use crate::transport::TransportId;

/// The descriptions that an offer continues.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The sections that were agreed.
    pub(super) current: &'a [Section],
    /// Those of an offer that waits for its answer.
    pub(super) pending: &'a [Section],
    /// The names of further transports.
    pub(super) transport_ids: &'a TransportIds,
}

/// Returns the sections of an offer: those that were agreed in their order, and what is wanted
/// besides. A new section takes the place of a rejected one, if there is one (RFC 9429 §5.2.2).
pub(super) fn sections(
    known: Known<'_>,
    wanted: Wanted,
    max_message_size: u64,
    policy: BundlePolicy,
    media: &Transceivers,
    numbers: &mut Numbers,
) -> Vec<Section> {
    let current = known.current;
    let known_media = media.by_section();
    let mut sections: Vec<Section> =
        current.iter().map(|section| offered_again(section, media, &known_media, numbers)).collect();
    let mut taken: BTreeSet<String> = current.iter().map(|section| section.mid.clone()).collect();
    let is_new =
        |one: &&Transceiver| !one.is_stopping && one.mid.as_ref().is_none_or(|mid| !taken.contains(mid));
    let new: Vec<&Transceiver> = media.iter().filter(is_new).collect();
    // One that has stopped keeps its name until the negotiation settles.
    taken.extend(media.iter().filter_map(|one| one.mid.clone()));
    // All numbers below are taken.
    let mut next = 0;
    let mut name = |mid: Option<String>| {
        let mid = mid.unwrap_or_else(|| {
            let (mid, number) = free_mid(next, |mid| taken.contains(mid));
            next = number;
            mid
        });
        taken.insert(mid.clone());
        mid
    };
    let mut added: Vec<(String, Kind)> = Vec::new();
    for transceiver in new {
        let section = rtp::offer(transceiver, &media.configuration, numbers, None);
        added.push((name(transceiver.mid.clone()), Kind::Rtp(Box::new(section))));
    }
    if wanted.data && !current.iter().any(|section| section.application().is_some()) {
        added.push((name(None), Kind::Application(ApplicationSection::offer(max_message_size))));
    }
    let mut added: Vec<Section> = added.into_iter().map(|(mid, kind)| Section::new(mid, kind)).collect();
    give_transports(known, policy, &mut added);
    // Only what is rejected already can become another section.
    let mut free = (0..current.len()).filter(|index| current[*index].is_rejected());
    for section in added {
        match free.next() {
            Some(index) => sections[index] = section,
            None => sections.push(section),
        }
    }
    sections
}

fn offered_again(
    section: &Section,
    media: &Transceivers,
    known_media: &BTreeMap<&str, &Transceiver>,
    numbers: &mut Numbers,
) -> Section {
    let Kind::Rtp(known) = &section.kind else { return section.clone() };
    let kind = match known_media.get(section.mid.as_str()) {
        Some(transceiver) if transceiver.is_stopping => return section.rejected(),
        Some(transceiver) if transceiver.is_wanted => {
            rtp::offer(transceiver, &media.configuration, numbers, Some(known))
        }
        _ => known.offer_inactive(),
    };
    Section { kind: Kind::Rtp(Box::new(kind)), ..section.clone() }
}

/// Gives new sections their transports. Those of a bundle that both sides have agreed on join it,
/// with its address, as browsers have it. Else the policy decides which have one of their own (RFC
/// 9429 §5.2.1); an offer that waits for its answer has named them.
fn give_transports(known: Known<'_>, policy: BundlePolicy, added: &mut [Section]) {
    let is_bundled = |section: &&Section| section.bundle.is_some() && section.transport.is_some();
    if let Some(agreed) = known.current.iter().find(is_bundled) {
        for section in added {
            (section.transport, section.bundle) = (agreed.transport, agreed.bundle);
        }
        return;
    }
    let mut kinds: Vec<MediaKind> = Vec::new();
    let running = known.current.iter().filter(|section| section.transport.is_some());
    kinds.extend(running.clone().map(|section| section.media_kind().clone()));
    let named = |section: &Section| {
        let mut pending = known.pending.iter();
        let same = pending.find(|one| one.mid == section.mid && one.media_kind() == section.media_kind());
        same.filter(|one| !one.is_bundle_only)?.transport
    };
    let used = running.map(|section| section.transport).chain(added.iter().map(named));
    let mut ids = known.transport_ids.without(used);
    // The transport of sections that have none of their own.
    let mut shared: Option<TransportId> = None;
    let mut given: Vec<TransportId> = Vec::new();
    for section in added {
        let has_own = match policy {
            BundlePolicy::MaxCompat => true,
            BundlePolicy::Balanced => !kinds.contains(section.media_kind()),
            BundlePolicy::MaxBundle | BundlePolicy::MustBundle => false,
        };
        kinds.push(section.media_kind().clone());
        section.bundle = Some(0);
        if let Some(shared) = shared.filter(|_| !has_own) {
            section.transport = Some(shared);
            section.is_bundle_only = policy != BundlePolicy::MaxBundle;
            continue;
        }
        let id = named(section).filter(|id| !given.contains(id)).unwrap_or_else(|| ids.take());
        given.push(id);
        section.transport = Some(id);
        shared.get_or_insert(id);
    }
}

/// Returns the tagged sections of an offer: that of each transport stays as it is in `current`, if
/// the section is still in use, else it is the first one. Their credentials and `a=tls-id` are
/// those of `used`, with new credentials if it `restarts` ICE.
pub(super) fn tags<'a>(
    sections: &[Section],
    current: &[Tag],
    used: impl Fn(TransportId) -> Option<&'a Tag>,
    restarts: bool,
    local: &mut LocalParameters<'_>,
) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let Some(transport) = section.transport.filter(|_| !section.is_bundle_only) else { continue };
        if tags.iter().any(|tag| tag.transport == transport) {
            continue;
        }
        let is_in_use = |tag: &&Tag| {
            tag.transport == transport
                && sections.get(tag.index).is_some_and(|section| section.transport == Some(transport))
        };
        let index = current.iter().find(is_in_use).map_or(index, |tag| tag.index);
        let (mut credentials, mut tls_id) = (local.draw)();
        if let Some(used) = used(transport) {
            tls_id = used.tls_id.clone();
            if !restarts {
                credentials = used.credentials.clone();
            }
        }
        tags.push(Tag { transport, index, setup: Setup::ActPass, credentials, tls_id });
    }
    tags
}
