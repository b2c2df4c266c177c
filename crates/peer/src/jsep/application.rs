//! The section for data channels (RFC 8841).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use columba_sdp::attributes::{MaxMessageSize, SctpInit, SctpMap, SctpPort};
use columba_sdp::{Lines, MediaKind, MediaLine, Protocol};

use super::remote::Reader;
use crate::error::Error;

/// The SCTP port of descriptions that do not say it, and the local one: that of all
/// implementations.
const SCTP_PORT: u16 = 5000;

/// The format of the `m=` line, and the name of the protocol in `a=sctpmap`.
const DATA_CHANNEL: &str = "webrtc-datachannel";

/// Streams that `a=sctpmap` announces; the handshake of SCTP is what counts.
const SCTP_MAP_STREAMS: u16 = 1024;

/// Characters of the longest `a=sctp-init` that is read; the chunk of no implementation has more
/// than a hundred.
const LONGEST_INIT: usize = 1024;

/// A section for data channels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ApplicationSection {
    /// The notation of the `m=` line: of RFC 8841, or older.
    protocol: Protocol,
    /// The port of the side that describes it (RFC 8841 §5).
    pub(super) sctp_port: u16,
    /// Bytes of the longest message that this side takes; 0 for any length.
    pub(super) max_message_size: u64,
    /// The INIT chunk of SCTP: with both sides' there is no handshake (draft-hancke-tsvwg-snap).
    pub(super) init: Option<Vec<u8>>,
}

impl ApplicationSection {
    /// A local section, offered first.
    pub(super) fn offer(max_message_size: u64) -> Self {
        Self { protocol: Protocol::UdpDtlsSctp, sctp_port: SCTP_PORT, max_message_size, init: None }
    }

    /// The local section that answers this one.
    pub(super) fn answer(&self, max_message_size: u64, init: Option<&Vec<u8>>) -> Self {
        let init = init.filter(|_| self.init.is_some()).cloned();
        Self { protocol: self.protocol.clone(), sctp_port: SCTP_PORT, max_message_size, init }
    }

    pub(super) fn read(reader: &Reader<'_>, index: usize) -> Result<Self, Error> {
        let head = reader.description.media[index].head();
        // Descriptions older than RFC 8841 have the port in place of the format.
        let format = || head.formats.first().and_then(|format| format.parse().ok());
        let written = reader.get::<SctpPort>(index)?.map(|port| port.0);
        let sctp_port = written.or_else(format).unwrap_or(SCTP_PORT);
        if sctp_port == 0 {
            return Err(reader.wrong(index, "SCTP port 0 means that there is no association"));
        }
        let max_message_size = reader.get::<MaxMessageSize>(index)?.unwrap_or(MaxMessageSize::DEFAULT).0;
        // Deviation: draft-hancke-tsvwg-snap makes one that cannot be read an error of the
        // description. SCTP's own handshake does without it.
        let init = reader.get::<SctpInit>(index).ok().flatten().and_then(|text| decode(&text.0));
        Ok(Self { protocol: head.protocol.clone(), sctp_port, max_message_size, init })
    }

    pub(super) fn head(&self) -> MediaLine {
        let port = self.sctp_port.to_string();
        let format = if self.is_old() { port.as_str() } else { DATA_CHANNEL };
        MediaLine::new(MediaKind::Application, self.protocol.clone(), [format])
    }

    pub(super) fn write(&self, lines: &mut Lines) -> Result<(), columba_sdp::Error> {
        if self.is_old() {
            lines.add(&SctpMap {
                port: self.sctp_port,
                protocol: DATA_CHANNEL.to_owned(),
                streams: Some(SCTP_MAP_STREAMS),
            })?;
        } else {
            lines.add(&SctpPort(self.sctp_port))?;
        }
        lines.add(&MaxMessageSize(self.max_message_size))?;
        match &self.init {
            Some(init) => lines.add(&SctpInit(BASE64_STANDARD.encode(init))),
            None => Ok(()),
        }
    }

    fn is_old(&self) -> bool {
        self.protocol == Protocol::DtlsSctp
    }
}

/// Returns the INIT chunk of an `a=sctp-init`; `None` if it is not one.
fn decode(text: &str) -> Option<Vec<u8>> {
    let chunk = BASE64_STANDARD.decode(Some(text).filter(|text| text.len() <= LONGEST_INIT)?).ok()?;
    columba_sctp::is_init(&chunk).then_some(chunk)
}
