//! The sections of answers (RFC 9429 §5.3).

use columba_sdp::MediaKind;
use columba_sdp::attributes::Setup;

use super::remote::{RemoteDescription, RemoteTransport};
use super::rtp::{self, Numbers, RtpSection};
use super::section::{Kind, Section};
use super::write::{LocalParameters, Tag};
use crate::configuration::BundlePolicy;
use crate::media::{Transceiver, Transceivers};
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

/// Returns the sections of the answer to an offer.
pub(super) fn sections(
    offer: &RemoteDescription,
    max_message_size: u64,
    init: Option<&Vec<u8>>,
    policy: BundlePolicy,
    media: &Transceivers,
    numbers: &mut Numbers,
) -> Vec<Section> {
    let mut bundling = Bundling { policy, first: Vec::new() };
    let known_media = media.by_section();
    let mut answer = |section: &Section| {
        if !bundling.allows(section) {
            return section.rejected();
        }
        let kind = match &section.kind {
            Kind::Application(data) => Kind::Application(data.answer(max_message_size, init)),
            Kind::Rtp(offered) => {
                let Some(answer) =
                    media_section(offered, known_media.get(section.mid.as_str()).copied(), media, numbers)
                else {
                    return section.rejected();
                };
                Kind::Rtp(Box::new(answer))
            }
            Kind::Rejected(_) => section.kind.clone(),
        };
        Section { kind, ..section.clone() }
    };
    let mut sections: Vec<Section> = offer.sections.iter().map(&mut answer).collect();
    offer.transports.iter().for_each(|transport| keep_tagged(offer, transport, &mut sections));
    sections
}

/// The tagged section of a bundle that runs cannot be rejected alone (RFC 9143 §7.3.3): it is
/// accepted without media, and an offer of this side's takes it out afterwards.
fn keep_tagged(offer: &RemoteDescription, transport: &RemoteTransport, sections: &mut [Section]) {
    let RemoteTransport { id, tag, is_agreed: true, .. } = *transport else { return };
    let Some(Section { kind: Kind::Rtp(offered), .. }) = offer.sections.get(tag) else { return };
    let is_left = sections.iter().any(|section| section.transport == Some(id));
    if is_left && sections[tag].is_rejected() {
        let kind = Kind::Rtp(Box::new(offered.answer_inactive()));
        sections[tag] = Section { kind, ..offer.sections[tag].clone() };
    }
}

/// The transports that the policy allows (RFC 9429 §5.3.1).
struct Bundling {
    policy: BundlePolicy,
    /// The transport of the first section, or of the first of each kind.
    first: Vec<(MediaKind, TransportId)>,
}

impl Bundling {
    /// Returns true if a section may be accepted: its transport is that of the first section, or of
    /// the first one of its kind.
    fn allows(&mut self, section: &Section) -> bool {
        let Some(transport) = section.transport else { return true };
        let kind = section.media_kind();
        let first = match self.policy {
            BundlePolicy::MaxCompat => return true,
            BundlePolicy::Balanced => self.first.iter().find(|(of, _)| of == kind),
            BundlePolicy::MaxBundle | BundlePolicy::MustBundle => self.first.first(),
        };
        let is_allowed = first.is_none_or(|(_, first)| *first == transport);
        if first.is_none() {
            self.first.push((kind.clone(), transport));
        }
        is_allowed
    }
}

/// Returns the answer to a section of audio or video; `None` to reject it.
fn media_section(
    offered: &RtpSection,
    transceiver: Option<&Transceiver>,
    media: &Transceivers,
    numbers: &mut Numbers,
) -> Option<RtpSection> {
    match transceiver {
        Some(transceiver) if transceiver.is_stopping => None,
        Some(transceiver) if transceiver.is_wanted => {
            rtp::answer(offered, transceiver, &media.configuration, numbers)
        }
        _ => Some(offered.answer_inactive()),
    }
}

/// Returns the tagged sections of the answer: those of the offer, if they are accepted, else the
/// first one that is (RFC 9143 §7.3.1). Their credentials and `a=tls-id` are new.
pub(super) fn tags(
    offer: &RemoteDescription,
    sections: &[Section],
    local: &mut LocalParameters<'_>,
) -> Vec<Tag> {
    let carries = |index: usize, id| sections.get(index).is_some_and(|one| one.transport == Some(id));
    let mut tag = |transport: &RemoteTransport| {
        let id = transport.id;
        let first = || (0..sections.len()).find(|index| carries(*index, id));
        let index = Some(transport.tag).filter(|index| carries(*index, id)).or_else(first)?;
        let (credentials, tls_id) = (local.draw)();
        let setup = setup(local.role(id).filter(|_| !transport.is_renewed), transport.description.setup);
        Some(Tag { transport: id, index, setup, credentials, tls_id })
    };
    offer.transports.iter().filter_map(&mut tag).collect()
}

/// Returns `a=setup` of an answer. If it may choose, the answerer is the client: its ClientHello
/// then travels together with the answer (RFC 8842 §5.3).
fn setup(role: Option<DtlsRole>, offered: Option<Setup>) -> Setup {
    match (role, offered) {
        (Some(DtlsRole::Client), _) => Setup::Active,
        (Some(DtlsRole::Server), _) | (None, Some(Setup::Active)) => Setup::Passive,
        (None, _) => Setup::Active,
    }
}
