//! Writing offers and answers (RFC 8829 §5.2, §5.3).

use columba_ice::Credentials;
use columba_sdp::attributes::{
    Connection, Direction, Fingerprint, Group, IceLite, IceOptions, IcePacing, IcePwd, IceUfrag,
    MaxMessageSize, Mid, Origin, SctpMap, SctpPort, Setup,
};
use columba_sdp::{Error, MediaKind, MediaLine, MediaSection, Protocol, SessionDescription};

use super::section::Section;

/// What an own description says about this side.
#[derive(Clone, Debug)]
pub(crate) struct LocalParameters {
    pub(crate) credentials: Credentials,
    pub(crate) lite: bool,
    pub(crate) renomination: bool,
    /// Ta, where it is not what everybody has who does not say so.
    pub(crate) pacing: Option<IcePacing>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) max_message_size: u64,
}

/// A description of these sections. `bundle`: whether the data section is the only one of a bundle.
pub(super) fn write(
    origin: Origin,
    sections: &[Section],
    local: &LocalParameters,
    setup: Setup,
    bundle: bool,
) -> Result<SessionDescription, Error> {
    let mut description = SessionDescription::new(origin)?;
    if bundle && let Some(data) = sections.iter().find(|section| section.is_data()) {
        description.lines.add(&Group::bundle([data.mid.as_str()]))?;
    }
    if local.lite {
        description.lines.add(&IceLite)?;
    }
    if let Some(pacing) = &local.pacing {
        description.lines.add(pacing)?;
    }
    for section in sections {
        let written = match &section.data {
            Some(protocol) => data_section(section, protocol, local, setup)?,
            None => rejected_section(section)?,
        };
        description.media.push(written);
    }
    Ok(description)
}

fn data_section(
    section: &Section,
    protocol: &Protocol,
    local: &LocalParameters,
    setup: Setup,
) -> Result<MediaSection, Error> {
    // Descriptions older than RFC 8841 have the port where the format is now.
    let old = *protocol == Protocol::DtlsSctp;
    let format = if old { "5000" } else { "webrtc-datachannel" };
    let mut written = MediaSection::new(MediaLine::new(MediaKind::Application, protocol.clone(), [format]))?;
    let lines = &mut written.lines;
    lines.add(&Connection::UNSPECIFIED)?;
    lines.add(&Mid(section.mid.clone()))?;
    lines.add(&IceUfrag(local.credentials.ufrag.to_string()))?;
    lines.add(&IcePwd(local.credentials.pwd.to_string()))?;
    let renomination = local.renomination.then_some(IceOptions::RENOMINATION);
    let options = [IceOptions::TRICKLE, IceOptions::ICE2].into_iter().chain(renomination);
    lines.add(&IceOptions::new(options))?;
    lines.add(&local.fingerprint)?;
    lines.add(&setup)?;
    if old {
        lines.add(&SctpMap {
            port: SCTP_PORT,
            protocol: "webrtc-datachannel".to_owned(),
            streams: Some(1024),
        })?;
    } else {
        lines.add(&SctpPort(SCTP_PORT))?;
    }
    lines.add(&MaxMessageSize(local.max_message_size))?;
    Ok(written)
}

/// A section with port 0 (RFC 3264 §6): it has a format, because there must be one, and its name.
fn rejected_section(section: &Section) -> Result<MediaSection, Error> {
    let mut written = MediaSection::new(section.head.clone())?;
    let lines = &mut written.lines;
    lines.add(&Connection::UNSPECIFIED)?;
    if let Some(rtpmap) = &section.rtpmap {
        lines.add(rtpmap)?;
    }
    lines.add(&Direction::Inactive)?;
    lines.add(&Mid(section.mid.clone()))?;
    Ok(written)
}

/// The own SCTP port, as everybody's.
const SCTP_PORT: u16 = 5000;
