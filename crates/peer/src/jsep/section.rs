//! Media sections as both sides count them: their order is their identity on the wire, their names in the
//! API.

use columba_sdp::attributes::RtpMap;
use columba_sdp::{MediaKind, MediaLine, Protocol};

use super::remote::{Remote, RemoteSection};

/// One section of the session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Section {
    pub(crate) mid: String,
    /// How it is written if it is rejected.
    pub(super) head: MediaLine,
    pub(super) rtpmap: Option<RtpMap>,
    /// The data section, and how its `m=` line names its protocol. All others are rejected.
    pub(super) data: Option<Protocol>,
}

impl Section {
    /// A new data section of one's own.
    pub(super) fn own_data(mid: String) -> Self {
        let mut head = MediaLine::new(MediaKind::Application, Protocol::UdpDtlsSctp, ["webrtc-datachannel"]);
        head.port = 0;
        Self { mid, head, rtpmap: None, data: Some(Protocol::UdpDtlsSctp) }
    }

    fn of_remote(section: &RemoteSection) -> Self {
        let RemoteSection { mid, head, rtpmap, .. } = section.clone();
        Self { mid, head, rtpmap, data: None }
    }

    pub(crate) fn is_data(&self) -> bool {
        self.data.is_some()
    }
}

/// The sections of the other side's offer, as they are answered.
pub(super) fn answered(remote: &Remote) -> Vec<Section> {
    let mut sections: Vec<_> = remote.sections.iter().map(Section::of_remote).collect();
    if let Some(data) = &remote.data {
        sections[data.index].data = Some(data.protocol.clone());
    }
    sections
}

/// A name that no section has.
pub(super) fn free_mid(sections: &[Section]) -> String {
    let taken = |mid: &String| sections.iter().any(|section| section.mid == *mid);
    // One of the first `len + 1` numbers is free.
    (0..=sections.len()).map(|number| number.to_string()).find(|mid| !taken(mid)).unwrap_or_default()
}
