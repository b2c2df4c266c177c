//! RTCP packets as views over bytes (RFC 3550 §6), and a writer for compound packets.

mod congestion;
mod extended;
mod feedback;
mod reports;
mod transport;
mod writer;

pub use congestion::{CongestionControlFeedback, CongestionStatus, StreamStatuses};
pub use extended::{DelaySinceReceiverReport, ExtendedBlock, ExtendedReport};
pub use feedback::{FullIntraRequests, Nack, PictureLossIndication, RateRequest, RateRequests, Remb};
pub use reports::{
    ApplicationDefined, Goodbye, ReceiverReport, ReportBlock, SdesItem, SenderInfo, SenderReport,
    SourceDescription,
};
pub use transport::{MAX_TRANSPORT_STATUSES, TransportFeedback, TransportStatus};
pub use writer::CompoundWriter;

use crate::bytes_at::{be16, be32};
use crate::error::ParseError;
use crate::numbers::Ssrc;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const APPLICATION: u8 = 204;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

/// One RTCP packet of a compound packet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RtcpPacket<'a> {
    /// A sender report (RFC 3550 §6.4.1).
    SenderReport(SenderReport<'a>),
    /// A receiver report (RFC 3550 §6.4.2).
    ReceiverReport(ReceiverReport<'a>),
    /// Descriptions of sources (RFC 3550 §6.5).
    SourceDescription(SourceDescription<'a>),
    /// Sources that end (RFC 3550 §6.6).
    Goodbye(Goodbye<'a>),
    /// A packet defined by an application (RFC 3550 §6.7).
    Application(ApplicationDefined<'a>),
    /// Packets that are missing (RFC 4585 §6.2.1).
    Nack(Nack<'a>),
    /// The picture cannot be decoded (RFC 4585 §6.3.1).
    PictureLoss(PictureLossIndication),
    /// Requests for key frames (RFC 5104 §4.3.1).
    FullIntra(FullIntraRequests<'a>),
    /// Requests for a lower bitrate (RFC 5104 §4.2.1).
    Tmmbr(RateRequests<'a>),
    /// The bitrates that hold (RFC 5104 §4.2.2).
    Tmmbn(RateRequests<'a>),
    /// The receiver's estimate of the bitrate (draft-alvestrand-rmcat-remb-03).
    Remb(Remb<'a>),
    /// Arrival times of a transport's packets (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    Transport(TransportFeedback<'a>),
    /// Arrival times and marks of streams' packets (RFC 8888).
    CongestionControl(CongestionControlFeedback<'a>),
    /// Extended reports (RFC 3611).
    Extended(ExtendedReport<'a>),
    /// A packet of another type.
    Unknown {
        /// The packet type.
        packet_type: u8,
        /// The five bits of the header that are a count or a format.
        format: u8,
        /// The bytes behind the header, without padding.
        body: &'a [u8],
    },
}

/// The packets of a compound packet, or of a lone one of reduced size (RFC 5506). The first fault
/// ends them.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Compound<'a> {
    /// Returns the packets of a datagram in the clear.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    fn read(&mut self) -> Result<RtcpPacket<'a>, ParseError> {
        let at = self.at;
        let data = &self.data[at..];
        if data.len() < 4 {
            return Err(ParseError::truncated("RTCP header", at));
        }
        if data[0] >> 6 != 2 {
            return Err(ParseError::invalid("RTCP version", at));
        }
        let len = 4 + 4 * usize::from(be16(data, 2));
        let packet = data.get(..len).ok_or_else(|| ParseError::truncated("RTCP packet", at))?;
        self.at += len;
        let mut body = &packet[4..];
        if packet[0] & 0x20 != 0 {
            let padding = usize::from(packet[len - 1]);
            if padding == 0 || padding > body.len() {
                return Err(ParseError::invalid("RTCP padding", at + len - 1));
            }
            body = &body[..body.len() - padding];
        }
        let (format, packet_type) = (packet[0] & 0x1F, packet[1]);
        packet_of(packet_type, format, body).ok_or_else(|| ParseError::invalid("RTCP packet", at))
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<RtcpPacket<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.data.len() {
            return None;
        }
        let packet = self.read();
        if packet.is_err() {
            self.at = self.data.len();
        }
        Some(packet)
    }
}

fn packet_of(packet_type: u8, format: u8, body: &[u8]) -> Option<RtcpPacket<'_>> {
    let unknown = RtcpPacket::Unknown { packet_type, format, body };
    Some(match (packet_type, format) {
        (SENDER_REPORT, _) => RtcpPacket::SenderReport(SenderReport::read(format, body)?),
        (RECEIVER_REPORT, _) => RtcpPacket::ReceiverReport(ReceiverReport::read(format, body)?),
        (SOURCE_DESCRIPTION, _) => RtcpPacket::SourceDescription(SourceDescription::read(format, body)?),
        (GOODBYE, _) => RtcpPacket::Goodbye(Goodbye::read(format, body)?),
        (APPLICATION, _) => RtcpPacket::Application(ApplicationDefined::read(format, body)?),
        (TRANSPORT_FEEDBACK, 1) => RtcpPacket::Nack(Nack::read(body)?),
        (TRANSPORT_FEEDBACK, 3) => RtcpPacket::Tmmbr(RateRequests::read(body)?),
        (TRANSPORT_FEEDBACK, 4) => RtcpPacket::Tmmbn(RateRequests::read(body)?),
        (TRANSPORT_FEEDBACK, 11) => RtcpPacket::CongestionControl(CongestionControlFeedback::read(body)?),
        (TRANSPORT_FEEDBACK, 15) => RtcpPacket::Transport(TransportFeedback::read(body)?),
        (PAYLOAD_FEEDBACK, 1) => RtcpPacket::PictureLoss(PictureLossIndication::read(body)?),
        (PAYLOAD_FEEDBACK, 4) => RtcpPacket::FullIntra(FullIntraRequests::read(body)?),
        (PAYLOAD_FEEDBACK, 15) if body.get(8..12) == Some(b"REMB") => RtcpPacket::Remb(Remb::read(body)?),
        (EXTENDED_REPORT, _) => RtcpPacket::Extended(ExtendedReport::read(body)?),
        _ => unknown,
    })
}

/// Returns the SSRC at the beginning of a body, and the one of the media behind it.
fn sender_and_media(body: &[u8]) -> Option<(Ssrc, Ssrc)> {
    (body.len() >= 8).then(|| (Ssrc(be32(body, 0)), Ssrc(be32(body, 4))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_packets_end_at_the_first_fault() {
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let twice = [pli, pli].concat();
        assert_eq!(Compound::new(&twice).filter(Result::is_ok).count(), 2);
        let cut = &twice[..20];
        let results: Vec<_> = Compound::new(cut).map(|packet| packet.is_ok()).collect();
        assert_eq!(results, [true, false]);
        let mut wrong = twice.clone();
        wrong[0] = 0x41;
        assert_eq!(Compound::new(&wrong).map(|packet| packet.is_ok()).collect::<Vec<_>>(), [false]);
    }

    #[test]
    fn padding_is_cut_off() {
        let packet = [0xA0, 210, 0, 2, 1, 2, 3, 4, 0, 0, 0, 4];
        let first = Compound::new(&packet).next().unwrap().unwrap();
        assert!(matches!(first, RtcpPacket::Unknown { packet_type: 210, format: 0, body: [1, 2, 3, 4] }));
        let padding = [0xA0, 210, 0, 1, 0, 0, 0, 9];
        assert!(Compound::new(&padding).next().unwrap().is_err());
    }
}
