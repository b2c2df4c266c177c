//! Writing of local descriptions (RFC 9429 §5.2, §5.3).

use columba_ice::{Credentials, RemoteParameters};
use columba_sdp::SessionDescription;
use columba_sdp::attributes::{Group, Origin, Setup, TlsId};

use super::section::Section;
use super::transport::TransportDescription;
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

/// The local parameters that descriptions are made of.
#[derive(Clone, Debug)]
pub(crate) struct LocalParameters {
    pub(crate) transports: Vec<LocalTransport>,
    /// Bytes of the longest message that is taken.
    pub(crate) max_message_size: u64,
}

/// A local transport.
#[derive(Clone, Debug)]
pub(crate) struct LocalTransport {
    pub(crate) id: TransportId,
    /// With new credentials and a new `a=tls-id`, which are used if ICE restarts or DTLS is new,
    /// and without `a=setup`, which depends on the kind of the description.
    pub(crate) description: TransportDescription,
    /// The role in DTLS, if it is settled.
    pub(crate) role: Option<DtlsRole>,
}

/// The section of a description that carries the candidates of a transport (RFC 9143 §7.2), and the
/// attributes of the transport that belong to the description.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub(super) transport: TransportId,
    pub(super) index: usize,
    pub(super) setup: Setup,
    pub(super) credentials: Credentials,
    pub(super) tls_id: Option<TlsId>,
    /// True if there is an `a=group` for the sections of the transport.
    pub(super) is_bundle: bool,
}

/// Writes a description of these sections.
pub(super) fn write(
    origin: Origin,
    sections: &[Section],
    tags: &[Tag],
    local: &LocalParameters,
) -> Result<SessionDescription, columba_sdp::Error> {
    let mut description = SessionDescription::new(origin)?;
    for tag in tags.iter().filter(|tag| tag.is_bundle) {
        // The tagged section comes first (RFC 9143 §7.2.1).
        let is_other = |(index, section): &(usize, &Section)| {
            *index != tag.index && section.transport == Some(tag.transport)
        };
        let others = sections.iter().enumerate().filter(is_other).map(|(_, section)| section.mid.as_str());
        let tagged = sections.get(tag.index).map(|section| section.mid.as_str());
        description.lines.add(&Group::bundle(tagged.into_iter().chain(others)))?;
    }
    for transport in &local.transports {
        transport.description.write_session(&mut description.lines)?;
    }
    for section in sections {
        let tag = tags.iter().find(|tag| Some(tag.transport) == section.transport);
        // RFC 9143 wants the attributes of the transport in the tagged section only. Browsers write
        // them in all, and Firefox (153 ESR) crashes without those of DTLS in the section for data.
        description.media.push(section.write(|lines| {
            let transport = tag.and_then(|tag| {
                let transport = local.transport(tag.transport)?;
                let description = transport.description.clone();
                let ice = RemoteParameters { credentials: tag.credentials.clone(), ..description.ice };
                let (setup, tls_id) = (Some(tag.setup), tag.tls_id.clone());
                Some(TransportDescription { ice, setup, tls_id, ..description })
            });
            transport.map_or(Ok(()), |transport| transport.write(lines))
        })?);
    }
    Ok(description)
}

impl LocalParameters {
    pub(super) fn transport(&self, id: TransportId) -> Option<&LocalTransport> {
        self.transports.iter().find(|transport| transport.id == id)
    }
}
