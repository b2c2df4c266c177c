//! The sections that share a transport (RFC 9143).

use std::collections::BTreeMap;

use columba_sdp::SessionDescription;
use columba_sdp::attributes::{BundleOnly, Group, GroupSemantics};

/// Sections that share a transport. The first is the tagged one: the attributes of its transport
/// count.
#[derive(Debug, PartialEq)]
pub(super) struct Bundle {
    /// The indices of the sections; at least one.
    pub(super) members: Vec<usize>,
    /// True if the description has an `a=group` for it.
    pub(super) is_group: bool,
}

/// Returns the transports of a description: its bundles, and each section that is in none. Sections
/// that are not usable are left out.
pub(super) fn partition(description: &SessionDescription, mids: &[String], usable: &[bool]) -> Vec<Bundle> {
    let places: BTreeMap<&str, usize> =
        mids.iter().enumerate().map(|(index, mid)| (mid.as_str(), index)).collect();
    let mut free = usable.to_vec();
    let mut bundles = Vec::new();
    for group in description.lines.all::<Group>().flatten() {
        if group.semantics != GroupSemantics::Bundle {
            continue;
        }
        let mut members = Vec::new();
        for mid in &group.mids {
            if let Some(index) = places.get(mid.as_str()).copied().filter(|index| free[*index]) {
                free[index] = false;
                members.push(index);
            }
        }
        // The tagged section has a port of its own (RFC 9143 §7.3.1).
        let is_own = |index: &usize| !description.media[*index].lines.has::<BundleOnly>();
        if let Some(tag) = members.iter().position(is_own) {
            members[..=tag].rotate_right(1);
        }
        if !members.is_empty() {
            bundles.push(Bundle { members, is_group: true });
        }
    }
    for index in (0..mids.len()).filter(|index| free[*index]) {
        // With port 0 it is meant in a bundle or not at all.
        if description.media[index].head().port != 0 {
            bundles.push(Bundle { members: vec![index], is_group: false });
        }
    }
    bundles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(groups: &[&str], heads: &[&str]) -> SessionDescription {
        let mut text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned();
        groups.iter().for_each(|group| text += &format!("a=group:BUNDLE {group}\r\n"));
        for (index, head) in heads.iter().enumerate() {
            text += &format!("m={head} UDP/TLS/RTP/SAVPF 0\r\na=mid:{index}\r\n");
            text += if head.ends_with(" 0") { "a=bundle-only\r\n" } else { "" };
        }
        text.parse().unwrap()
    }

    fn parts(groups: &[&str], heads: &[&str], usable: &[bool]) -> Vec<(Vec<usize>, bool)> {
        let mids: Vec<_> = (0..heads.len()).map(|index| index.to_string()).collect();
        let parts = partition(&described(groups, heads), &mids, usable);
        parts.into_iter().map(|bundle| (bundle.members, bundle.is_group)).collect()
    }

    #[test]
    fn sections_are_in_one_bundle_or_alone() {
        let heads = ["audio 9", "video 9", "video 9"];
        assert_eq!(parts(&["0 1", "1 2 7"], &heads, &[true; 3]), [(vec![0, 1], true), (vec![2], true)]);
        assert_eq!(parts(&["2 0"], &heads, &[true; 3]), [(vec![2, 0], true), (vec![1], false)]);
        assert_eq!(parts(&["0 1 2"], &heads, &[false, true, true]), [(vec![1, 2], true)]);
        assert_eq!(parts(&[], &heads, &[true, false, true]), [(vec![0], false), (vec![2], false)]);
    }

    #[test]
    fn bundle_only_sections_are_not_tagged_and_not_alone() {
        let heads = ["audio 0", "video 9"];
        assert_eq!(parts(&["0 1"], &heads, &[true; 2]), [(vec![1, 0], true)]);
        assert_eq!(parts(&[], &heads, &[true; 2]), [(vec![1], false)]);
    }
}
