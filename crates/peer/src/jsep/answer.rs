//! The sections of answers (RFC 9429 §5.3).

use columba_sdp::attributes::Setup;

use super::remote::RemoteDescription;
use super::rtp;
use super::section::{Kind, Section};
use super::write::{LocalParameters, Tag};
use crate::transport::dtls::DtlsRole;

/// Returns the sections of the answer to an offer.
pub(super) fn sections(offer: &RemoteDescription, max_message_size: u64) -> Vec<Section> {
    let answer = |section: &Section| {
        let kind = match &section.kind {
            Kind::Application(data) => Kind::Application(data.answer(max_message_size)),
            Kind::Rtp(media) => Kind::Rtp(media.answer(rtp::WANTED)),
            Kind::Rejected(_) => section.kind.clone(),
        };
        Section { kind, ..section.clone() }
    };
    offer.sections.iter().map(answer).collect()
}

/// Returns the tagged sections of the answer: those of the offer (RFC 9143 §7.3.1). Their
/// credentials are new.
pub(super) fn tags(offer: &RemoteDescription, local: &LocalParameters) -> Vec<Tag> {
    let transports = offer.transports.iter();
    transports
        .filter_map(|transport| {
            let own = local.transport(transport.id)?;
            Some(Tag {
                transport: transport.id,
                index: transport.tag,
                setup: setup(own.role, transport.description.setup),
                credentials: own.description.ice.credentials.clone(),
                is_bundle: transport.is_bundle,
            })
        })
        .collect()
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
