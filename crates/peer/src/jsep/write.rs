//! Writing of local descriptions (RFC 9429 §5.2, §5.3).

use columba_ice::Credentials;
use columba_sdp::SessionDescription;
use columba_sdp::attributes::{Group, Origin, Setup, TlsId};

use super::section::Section;
use super::transport::TransportDescription;
use crate::configuration::BundlePolicy;
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

/// The local parameters that descriptions are made of.
pub(crate) struct LocalParameters<'a> {
    /// The description of every transport, but for what it has alone: credentials, `a=setup` and
    /// `a=tls-id`.
    pub(crate) transport: TransportDescription,
    /// Returns new credentials and a new `a=tls-id`, which are used if a transport is new, ICE
    /// restarts or DTLS is new.
    pub(crate) draw: Box<dyn FnMut() -> (Credentials, TlsId) + 'a>,
    /// The roles in DTLS that are settled.
    pub(crate) roles: Vec<(TransportId, DtlsRole)>,
    /// Bytes of the longest message that is taken.
    pub(crate) max_message_size: u64,
    /// The INIT chunk of SCTP, as long as its association has not begun.
    ///
    /// Deviation: draft-hancke-tsvwg-snap repeats it in later descriptions. A peer that takes the
    /// place of the one that has answered first would take it for that of a new association.
    pub(crate) sctp_init: Option<Vec<u8>>,
    pub(crate) bundle_policy: BundlePolicy,
}

/// The section of a description that carries the candidates of a transport (RFC 9143 §7.2), and the
/// attributes of the transport that belong to the description.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub(super) transport: TransportId,
    pub(super) index: usize,
    pub(super) setup: Setup,
    pub(super) credentials: Credentials,
    pub(super) tls_id: TlsId,
}

/// Writes a description of these sections.
pub(super) fn write(
    origin: Origin,
    sections: &[Section],
    tags: &[Tag],
    local: &LocalParameters<'_>,
) -> Result<SessionDescription, columba_sdp::Error> {
    let mut description = SessionDescription::new(origin)?;
    for bundle in bundles(sections, tags) {
        let mids = bundle.iter().map(|index| sections[*index].mid.as_str());
        description.lines.add(&Group::bundle(mids))?;
    }
    local.transport.write_session(&mut description.lines)?;
    for section in sections {
        let tag = tags.iter().find(|tag| Some(tag.transport) == section.transport);
        // Deviation: RFC 9143 §7.1.3 wants the attributes of the transport in the tagged section
        // only. Browsers write them in all, and Firefox (153 ESR) crashes without those of DTLS.
        description.media.push(section.write(|lines| match tag {
            Some(tag) => local.describe(tag).write(lines),
            None => Ok(()),
        })?);
    }
    Ok(description)
}

/// Returns the sections of each bundle, the tagged one first (RFC 9143 §7.2.1): of several
/// transports the first one's.
fn bundles(sections: &[Section], tags: &[Tag]) -> Vec<Vec<usize>> {
    let mut numbers: Vec<usize> = sections.iter().filter_map(|section| section.bundle).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let of = |number| {
        let all = 0..sections.len();
        let mut members: Vec<usize> = all.filter(|index| sections[*index].bundle == Some(number)).collect();
        let first = members.iter().find(|index| !sections[**index].is_bundle_only);
        let carrier = first.and_then(|index| sections[*index].transport);
        let tag = tags.iter().find(|tag| Some(tag.transport) == carrier).map(|tag| tag.index);
        members.sort_by_key(|index| Some(*index) != tag);
        members
    };
    numbers.into_iter().map(of).collect()
}

impl LocalParameters<'_> {
    pub(super) fn role(&self, id: TransportId) -> Option<DtlsRole> {
        self.roles.iter().find(|(known, _)| *known == id).map(|(_, role)| *role)
    }

    fn describe(&self, tag: &Tag) -> TransportDescription {
        let mut description = self.transport.clone();
        description.ice.credentials = tag.credentials.clone();
        (description.setup, description.tls_id) = (Some(tag.setup), Some(tag.tls_id.clone()));
        description
    }
}
