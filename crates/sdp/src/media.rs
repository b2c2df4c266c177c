//! A media section: its `m=` line and what follows it (RFC 8866 §5.14).

use std::fmt;
use std::str::FromStr;

use crate::attributes::{BundleOnly, PayloadType};
use crate::error::{Error, Expected, quote};
use crate::lines::Lines;
use crate::scan::{Words, is_token, is_word, number};
use crate::words::open_words;

/// A media section.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaSection {
    head: MediaLine,
    /// The lines after `m=`.
    pub lines: Lines,
}

impl MediaSection {
    /// A section without lines.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if the `m=` line would not come back from its own print.
    pub fn new(head: MediaLine) -> Result<Self, Error> {
        head.check()?;
        Ok(Self::from_checked(head))
    }

    pub(crate) fn from_checked(head: MediaLine) -> Self {
        Self { head, lines: Lines::new() }
    }

    /// The `m=` line.
    pub fn head(&self) -> &MediaLine {
        &self.head
    }

    /// Gives the section another `m=` line.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if it would not come back from its own print; nothing is changed
    /// then.
    pub fn set_head(&mut self, head: MediaLine) -> Result<(), Error> {
        head.check()?;
        self.head = head;
        Ok(())
    }

    /// Gives the section another port; 0 rejects it or stops it (RFC 3264 §6, §8.2).
    pub fn set_port(&mut self, port: u16) {
        self.head.port = port;
        self.head.port_count = None;
    }

    /// The name of the section; `None` if it has none or a broken one.
    pub fn mid(&self) -> Option<&str> {
        self.lines.attributes("mid").next().flatten().map(str::trim_ascii).filter(|mid| is_word(mid))
    }

    /// Returns whether the section is rejected or stopped: its port is 0, and no `a=bundle-only`
    /// says that it is meant nevertheless.
    pub fn is_rejected(&self) -> bool {
        self.head.port == 0 && !self.lines.has::<BundleOnly>()
    }
}

impl fmt::Display for MediaSection {
    /// The whole section, each line with its CRLF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={}\r\n{}", self.head, self.lines)
    }
}

/// The content of an `m=` line: `audio 9 UDP/TLS/RTP/SAVPF 111 0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaLine {
    /// The kind of medium.
    pub kind: MediaKind,
    /// The default candidate's port, 9 as long as none is known, 0 if the section is rejected or
    /// bundled only.
    pub port: u16,
    /// The number of ports, if it is written; WebRTC does not write it.
    pub port_count: Option<u16>,
    /// The protocols on the wire.
    pub protocol: Protocol,
    /// Payload types with RTP, `webrtc-datachannel` with SCTP, the SCTP port in older descriptions;
    /// at least one.
    pub formats: Vec<String>,
}

impl MediaLine {
    /// An `m=` line with port 9 (RFC 8829 §5.2.1).
    pub fn new<'a>(kind: MediaKind, protocol: Protocol, formats: impl IntoIterator<Item = &'a str>) -> Self {
        let formats = formats.into_iter().map(str::to_owned).collect();
        Self { kind, port: 9, port_count: None, protocol, formats }
    }

    /// The formats that are payload types, 0 to 127, in order of preference.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|format| PayloadType::parse(format)).map(PayloadType::get)
    }

    /// Returns whether this is data channels over SCTP, of the new or the old form.
    pub fn is_data_channel(&self) -> bool {
        self.kind == MediaKind::Application && self.protocol.is_sctp()
    }

    fn check(&self) -> Result<(), Error> {
        let printed = self.to_string();
        if self.formats.iter().all(|format| is_word(format))
            && printed.parse().is_ok_and(|same: Self| same == *self)
        {
            return Ok(());
        }
        let reason = "it would be read as something else";
        Err(Error::Unprintable { field: "m=".to_owned(), printed: quote(&printed), reason })
    }
}

impl FromStr for MediaLine {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let mut words = Words::new(text);
        let kind = words.word("a kind of media")?;
        if !is_token(kind) {
            return Err(Expected("a kind of media"));
        }
        let ports = words.word("a port")?;
        let (port, port_count) = match ports.split_once('/') {
            Some((port, count)) => (port, Some(number(count).ok_or(Expected("a number of ports"))?)),
            None => (ports, None),
        };
        let port = number(port).ok_or(Expected("a port from 0 to 65535"))?;
        let protocol = words.word("a protocol")?;
        if !protocol.split('/').all(is_token) {
            return Err(Expected("a protocol: tokens between slashes"));
        }
        let formats: Vec<_> = words.rest().map(str::to_owned).collect();
        if formats.is_empty() {
            return Err(Expected("at least one format"));
        }
        Ok(Self { kind: kind.into(), port, port_count, protocol: protocol.into(), formats })
    }
}

impl fmt::Display for MediaLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.port)?;
        if let Some(count) = self.port_count {
            write!(f, "/{count}")?;
        }
        write!(f, " {}", self.protocol)?;
        self.formats.iter().try_for_each(|format| write!(f, " {format}"))
    }
}

open_words! {
    /// A kind of medium (RFC 8866 §5.14).
    MediaKind {
        /// Sound.
        Audio = "audio",
        /// Pictures in motion.
        Video = "video",
        /// Data; in WebRTC data channels.
        Application = "application",
        /// Text in real time.
        Text = "text",
        /// Still pictures.
        Image = "image",
        /// Messages.
        Message = "message",
    }
}

open_words! {
    /// The protocols of a media section.
    Protocol {
        /// SRTP keyed by DTLS with early feedback (RFC 5764): the one that WebRTC writes.
        UdpTlsRtpSavpf = "UDP/TLS/RTP/SAVPF",
        /// The same without early feedback (RFC 5764).
        UdpTlsRtpSavp = "UDP/TLS/RTP/SAVP",
        /// The same when the default candidate is TCP (RFC 7850).
        TcpDtlsRtpSavpf = "TCP/DTLS/RTP/SAVPF",
        /// The same without early feedback (RFC 7850).
        TcpDtlsRtpSavp = "TCP/DTLS/RTP/SAVP",
        /// SRTP with early feedback (RFC 5124); some peers mean DTLS by it (RFC 8829 §5.1.2).
        RtpSavpf = "RTP/SAVPF",
        /// SRTP (RFC 3711); some peers mean DTLS by it (RFC 8829 §5.1.2).
        RtpSavp = "RTP/SAVP",
        /// Plain RTP with early feedback (RFC 4585); some peers mean DTLS by it (RFC 8829 §5.1.2).
        RtpAvpf = "RTP/AVPF",
        /// Plain RTP (RFC 3551); some peers mean DTLS by it (RFC 8829 §5.1.2).
        RtpAvp = "RTP/AVP",
        /// Data channels (RFC 8841): the one that WebRTC writes.
        UdpDtlsSctp = "UDP/DTLS/SCTP",
        /// Data channels when the default candidate is TCP (RFC 8841).
        TcpDtlsSctp = "TCP/DTLS/SCTP",
        /// Data channels in descriptions older than RFC 8841.
        DtlsSctp = "DTLS/SCTP",
    }
}

impl Protocol {
    /// Returns whether this is RTP of any kind.
    pub fn is_rtp(&self) -> bool {
        let above = self.as_str().rsplit_once('/').map_or("", |(above, _profile)| above);
        above.split('/').any(|layer| layer.eq_ignore_ascii_case("RTP"))
    }

    /// Returns whether this is SCTP over DTLS.
    pub fn is_sctp(&self) -> bool {
        matches!(self, Self::UdpDtlsSctp | Self::TcpDtlsSctp | Self::DtlsSctp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_lines_of_all_kinds() {
        for (text, rtp, sctp) in [
            ("audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0", true, false),
            ("video 49170/2 RTP/AVP 31", true, false),
            ("application 9 UDP/DTLS/SCTP webrtc-datachannel", false, true),
            ("application 9 DTLS/SCTP 5000", false, true),
            ("application 0 TCP/BFCP *", false, false),
            ("x-new 1 a/b c", false, false),
            ("audio 9 TLS/RTP/SAVPF 0", true, false),
            ("audio 9 rtp/new 0", true, false),
            ("audio 9 SRTP/AVP 0", false, false),
            ("audio 9 x/RTP 0", false, false),
        ] {
            let line: MediaLine = text.parse().unwrap();
            assert_eq!(line.to_string(), text);
            assert_eq!((line.protocol.is_rtp(), line.protocol.is_sctp()), (rtp, sctp), "{text}");
        }
        let line: MediaLine = "audio 9 RTP/SAVPF 127 128 x 0".parse().unwrap();
        assert_eq!(line.payload_types().collect::<Vec<_>>(), [127, 0]);
    }

    #[test]
    fn broken_media_lines() {
        for (text, what) in [
            ("", "a kind of media"),
            ("audio", "a port"),
            ("audio x RTP/AVP 0", "a port from 0 to 65535"),
            ("audio 65536 RTP/AVP 0", "a port from 0 to 65535"),
            ("audio 1/x RTP/AVP 0", "a number of ports"),
            ("audio 1", "a protocol"),
            ("audio 1 RTP//AVP 0", "a protocol: tokens between slashes"),
            ("audio 1 RTP/AVP", "at least one format"),
        ] {
            assert_eq!(text.parse::<MediaLine>(), Err(Expected(what)), "{text}");
        }
    }

    #[test]
    fn a_head_cannot_smuggle_lines() {
        let good = MediaLine::new(MediaKind::Audio, Protocol::UdpTlsRtpSavpf, ["0"]);
        assert!(MediaSection::new(good.clone()).is_ok());
        for bad in [
            MediaLine { formats: vec![], ..good.clone() },
            MediaLine { formats: vec!["0\r\na=x".to_owned()], ..good.clone() },
            MediaLine { kind: MediaKind::Other("audio".to_owned()), ..good.clone() },
            MediaLine { protocol: Protocol::Other("a b".to_owned()), ..good },
        ] {
            assert!(matches!(MediaSection::new(bad.clone()), Err(Error::Unprintable { .. })), "{bad:?}");
        }
    }

    #[test]
    fn port_zero_rejects_unless_bundled() {
        let mut section =
            MediaSection::new(MediaLine::new(MediaKind::Video, Protocol::UdpTlsRtpSavpf, ["96"])).unwrap();
        assert!(!section.is_rejected());
        section.set_port(0);
        assert!(section.is_rejected());
        section.lines.set(&BundleOnly).unwrap();
        assert!(!section.is_rejected());
    }
}
