//! The sections of answers (RFC 9429 §5.3).

use columba_sdp::attributes::Setup;

use super::remote::{RemoteDescription, RemoteTransport};
use super::rtp::{self, Numbers, RtpSection};
use super::section::{Kind, Section};
use super::write::{LocalParameters, Tag};
use crate::media::Transceivers;
use crate::transport::dtls::DtlsRole;

/// Returns the sections of the answer to an offer.
pub(super) fn sections(
    offer: &RemoteDescription,
    max_message_size: u64,
    media: &Transceivers,
    numbers: &mut Numbers,
) -> Vec<Section> {
    let answer = |section: &Section| {
        let kind = match &section.kind {
            Kind::Application(data) => Kind::Application(data.answer(max_message_size)),
            Kind::Rtp(offered) => {
                let Some(answer) = media_section(offered, &section.mid, media, numbers) else {
                    return section.rejected();
                };
                Kind::Rtp(answer)
            }
            Kind::Rejected(_) => section.kind.clone(),
        };
        Section { kind, ..section.clone() }
    };
    offer.sections.iter().map(answer).collect()
}

/// Returns the answer to a section of audio or video; `None` to reject it.
fn media_section(
    offered: &RtpSection,
    mid: &str,
    media: &Transceivers,
    numbers: &mut Numbers,
) -> Option<RtpSection> {
    match media.of_section(mid) {
        Some(transceiver) if transceiver.is_stopping => None,
        Some(transceiver) if transceiver.is_wanted => {
            rtp::answer(offered, transceiver, &media.configuration, numbers)
        }
        _ => Some(offered.answer_inactive()),
    }
}

/// Returns the tagged sections of the answer: those of the offer, if they are accepted, else the
/// first one that is (RFC 9143 §7.3.1). Their credentials and `a=tls-id` are new.
pub(super) fn tags(offer: &RemoteDescription, sections: &[Section], local: &LocalParameters) -> Vec<Tag> {
    let carries = |index: usize, id| sections.get(index).is_some_and(|one| one.transport == Some(id));
    let tag = |transport: &RemoteTransport| {
        let id = transport.id;
        let own = local.transport(id)?;
        let first = || (0..sections.len()).find(|index| carries(*index, id));
        Some(Tag {
            transport: id,
            index: Some(transport.tag).filter(|index| carries(*index, id)).or_else(first)?,
            setup: setup(own.role.filter(|_| !transport.is_renewed), transport.description.setup),
            credentials: own.description.ice.credentials.clone(),
            tls_id: own.description.tls_id.clone(),
            is_bundle: transport.is_bundle,
        })
    };
    offer.transports.iter().filter_map(tag).collect()
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
