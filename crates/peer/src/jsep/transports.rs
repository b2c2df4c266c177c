//! The names of the transports that sections use: kept as long as a transport is, and never given
//! to another one.

use super::bundle::Bundle;
use super::remote;
use super::section::Section;
use crate::description::SdpType;
use crate::error::Error;
use crate::transport::TransportId;

/// The source of names.
#[derive(Clone, Debug)]
pub(super) struct TransportIds {
    next: u32,
    /// The first transport, which is there from the beginning, waits for its section.
    has_first: bool,
}

impl TransportIds {
    pub(super) fn new() -> Self {
        Self { next: 1, has_first: true }
    }

    /// Returns the same without the names that sections have.
    pub(super) fn without(&self, used: impl IntoIterator<Item = Option<TransportId>>) -> Self {
        let is_free = used.into_iter().all(|id| id != Some(TransportId::FIRST));
        Self { next: self.next, has_first: self.has_first && is_free }
    }

    /// A transport has this name: the next ones are others.
    pub(super) fn given(&mut self, id: TransportId) {
        self.next = self.next.max(id.0.wrapping_add(1));
    }

    /// A transport has ended.
    pub(super) fn ended(&mut self, id: TransportId) {
        self.has_first &= id != TransportId::FIRST;
    }

    /// Returns a name that no section has.
    pub(super) fn take(&mut self) -> TransportId {
        if std::mem::replace(&mut self.has_first, false) {
            return TransportId::FIRST;
        }
        let id = TransportId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }
}

/// Returns the transports of an offer's bundles. One that continues a known section has its
/// transport; so has a bundle all of whose sections are new, if the known ones of another bundle
/// are all gone.
pub(super) fn of_offer(bundles: &[Bundle], known: &[Section], mut ids: TransportIds) -> Vec<TransportId> {
    let mut found: Vec<Option<TransportId>> = Vec::with_capacity(bundles.len());
    for bundle in bundles {
        let mut continued = bundle.members.iter().filter_map(|index| known.get(*index)?.transport);
        let free = continued.find(|id| !found.contains(&Some(*id)));
        found.push(free);
    }
    for (index, bundle) in bundles.iter().enumerate() {
        if found[index].is_none() {
            let of_bundles = known.iter().filter(|section| section.bundle.is_some());
            let left = of_bundles.filter_map(|section| section.transport);
            let left = left.filter(|_| bundle.is_group).find(|id| !found.contains(&Some(*id)));
            found[index] = Some(left.unwrap_or_else(|| ids.take()));
        }
    }
    found.into_iter().flatten().collect()
}

/// Returns the transports of an answer's bundles: those that the tagged sections were offered with
/// (RFC 9143 §7.3.2).
///
/// # Errors
/// [`Error::InvalidDescription`] if sections that were offered with one transport are in several
/// bundles or in none, or if sections are bundled that were not offered so.
pub(super) fn of_answer(
    kind: SdpType,
    bundles: &[Bundle],
    offered: &[Section],
    mids: &[String],
    mut ids: TransportIds,
) -> Result<Vec<TransportId>, Error> {
    let mut found: Vec<TransportId> = Vec::with_capacity(bundles.len());
    let wrong = |index: usize, reason| Err(remote::wrong(kind, mids.get(index).map(String::as_str), reason));
    for bundle in bundles {
        let tag = bundle.members[0];
        let offered_in = |index: usize| offered.get(index).and_then(|section| section.bundle);
        let mut strangers = bundle
            .members
            .iter()
            .filter(|index| offered_in(**index).is_none() || offered_in(**index) != offered_in(tag));
        if let Some(stranger) = strangers.find(|_| bundle.is_group && bundle.members.len() > 1) {
            return wrong(*stranger, "it is in a bundle that was not offered");
        }
        let section = offered.get(tag);
        let id = section.and_then(|section| section.transport).unwrap_or_else(|| ids.take());
        let is_taken = found.contains(&id);
        if is_taken || !bundle.is_group && section.is_some_and(|section| section.is_bundle_only) {
            let reason = "it is accepted outside of the bundle whose transport it was offered with";
            return wrong(tag, reason);
        }
        found.push(id);
    }
    Ok(found)
}
