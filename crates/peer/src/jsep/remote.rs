//! What the other side's description says (RFC 8829 §5.8).

use std::time::Duration;

use columba_ice::{Credentials, RemoteParameters};
use columba_sdp::attributes::{
    BundleOnly, EndOfCandidates, Fingerprint, Group, GroupSemantics, IceLite, IceOptions, IcePacing, IcePwd,
    IceUfrag, MaxMessageSize, RtpMap, SctpPort, Setup,
};
use columba_sdp::{Candidate, Field, MediaLine, MediaSection, Protocol, SessionDescription};

use crate::certificate;
use crate::description::SdpType;
use crate::error::Error;

/// A description of the other side's that can be used.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) kind: SdpType,
    /// The whole, to which candidates that come later are added.
    pub(crate) description: SessionDescription,
    pub(crate) sections: Vec<RemoteSection>,
    /// The data section, if there is one that is not rejected.
    pub(crate) data: Option<RemoteData>,
}

/// What is to be remembered of any section.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RemoteSection {
    pub(crate) mid: String,
    pub(crate) rejected: bool,
    /// The `m=` line with only the first format: as it is repeated to reject the section.
    pub(crate) head: MediaLine,
    /// What the first format means, if it is a dynamic payload type.
    pub(crate) rtpmap: Option<RtpMap>,
}

/// The data section and its transport.
#[derive(Clone, Debug)]
pub(crate) struct RemoteData {
    pub(crate) index: usize,
    pub(crate) mid: String,
    /// The sections that share the transport, this one included.
    pub(crate) bundle: Vec<String>,
    /// Whether the description has a bundle to which this section belongs.
    pub(crate) bundled: bool,
    /// The format of the `m=` line: new or old.
    pub(crate) protocol: Protocol,
    pub(crate) ice: RemoteParameters,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) setup: Option<Setup>,
    /// Where its SCTP packets come from, and ours go to (RFC 8841 §5).
    pub(crate) sctp_port: u16,
    /// Bytes of the longest message that it takes; 0 for any length.
    pub(crate) max_message_size: u64,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) end_of_candidates: bool,
}

impl Remote {
    pub(crate) fn parse(kind: SdpType, text: &str) -> Result<Self, Error> {
        let reader = Reader { kind };
        let description: SessionDescription = text.parse().map_err(|error| reader.malformed(&error, None))?;
        let mut sections = Vec::with_capacity(description.media.len());
        for (index, section) in description.media.iter().enumerate() {
            let section = reader.section(index, section);
            if sections.iter().any(|other: &RemoteSection| other.mid == section.mid) {
                return Err(reader.wrong(Some(&section.mid), "two media sections have this name"));
            }
            sections.push(section);
        }
        let index = description
            .media
            .iter()
            .position(|section| section.head().is_data_channel() && !section.is_rejected());
        let data = index.map(|index| reader.data(&description, &sections, index)).transpose()?;
        Ok(Self { kind, description, sections, data })
    }
}

/// Reads one description; errors say of which kind it claims to be.
struct Reader {
    kind: SdpType,
}

impl Reader {
    fn section(&self, index: usize, section: &MediaSection) -> RemoteSection {
        let head = section.head();
        let first = head.formats.first().cloned().unwrap_or_default();
        let rtpmap = first.parse().ok().and_then(|payload_type: u8| {
            let meaning = |map: &RtpMap| map.payload_type == payload_type;
            section.lines.all::<RtpMap>().flatten().find(meaning)
        });
        RemoteSection {
            // A section without a name is told by its index (RFC 8829 §5.8 lets the reader choose).
            mid: section.mid().map_or_else(|| index.to_string(), str::to_owned),
            rejected: section.is_rejected(),
            head: MediaLine { port: 0, port_count: None, formats: vec![first], ..head.clone() },
            rtpmap,
        }
    }

    fn data(
        &self,
        description: &SessionDescription,
        sections: &[RemoteSection],
        index: usize,
    ) -> Result<RemoteData, Error> {
        let mid = sections[index].mid.clone();
        let section = &description.media[index];
        let bundle = bundle_of(description, &mid);
        let bundled = bundle.is_some();
        let bundle = bundle.unwrap_or_else(|| vec![mid.clone()]);
        // A section that is bundled only may leave what belongs to the transport to the first one of the
        // bundle (RFC 9143 §7.1.3).
        let tagged = bundle.first().and_then(|tag| description.media_by_mid(tag)).unwrap_or(section);
        let carrier = if section.lines.has::<BundleOnly>() && !section.lines.has::<IceUfrag>() {
            tagged
        } else {
            section
        };
        let read = Transport { reader: self, description, section: carrier, mid: &mid };
        let options = read.get::<IceOptions>()?.unwrap_or_default();
        let ice = RemoteParameters {
            credentials: read.credentials()?,
            lite: description.lines.has::<IceLite>(),
            trickle: options.contains(IceOptions::TRICKLE),
            renomination: options.contains(IceOptions::RENOMINATION),
            pacing: read.get::<IcePacing>()?.map(|pacing| Duration::from_millis(pacing.0.into())),
        };
        let own = Transport { section, ..read };
        // Descriptions older than RFC 8841 have it in place of the format.
        let format = || section.head().formats.first().and_then(|format| format.parse().ok());
        let sctp_port =
            own.get::<SctpPort>()?.map(|port| port.0).or_else(format).unwrap_or(DEFAULT_SCTP_PORT);
        if sctp_port == 0 {
            return Err(self.wrong(Some(&mid), "SCTP port 0 means that there is no association"));
        }
        Ok(RemoteData {
            index,
            bundled,
            protocol: section.head().protocol.clone(),
            ice,
            fingerprints: read.fingerprints()?,
            setup: read.setup()?,
            sctp_port,
            max_message_size: own.get::<MaxMessageSize>()?.unwrap_or(MaxMessageSize::DEFAULT).0,
            candidates: candidates(description, &bundle, &mid),
            end_of_candidates: own.section.lines.has::<EndOfCandidates>()
                || carrier.lines.has::<EndOfCandidates>()
                || description.lines.has::<EndOfCandidates>(),
            mid,
            bundle,
        })
    }

    fn malformed(&self, error: &columba_sdp::Error, mid: Option<&str>) -> Error {
        Error::InvalidDescription {
            kind: self.kind,
            line: line_of(error),
            mid: mid.map(str::to_owned),
            reason: reason_of(error),
        }
    }

    fn wrong(&self, mid: Option<&str>, reason: &str) -> Error {
        Error::InvalidDescription {
            kind: self.kind,
            line: None,
            mid: mid.map(str::to_owned),
            reason: reason.to_owned(),
        }
    }
}

/// Reads what a section says about its transport.
#[derive(Clone, Copy)]
struct Transport<'a> {
    reader: &'a Reader,
    description: &'a SessionDescription,
    section: &'a MediaSection,
    mid: &'a str,
}

impl Transport<'_> {
    fn get<T: Field>(&self) -> Result<Option<T>, Error> {
        self.description
            .effective(self.section)
            .map_err(|error| self.reader.malformed(&error, Some(self.mid)))
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        let missing = |what| self.reader.wrong(Some(self.mid), what);
        let ufrag = self.get::<IceUfrag>()?.ok_or_else(|| missing("a=ice-ufrag is missing"))?;
        let pwd = self.get::<IcePwd>()?.ok_or_else(|| missing("a=ice-pwd is missing"))?;
        Ok(Credentials { ufrag: ufrag.0.into(), pwd: pwd.0.into() })
    }

    /// All fingerprints; lines that do not follow the grammar are passed over as long as there is one that
    /// proves something.
    fn fingerprints(&self) -> Result<Vec<Fingerprint>, Error> {
        let read: Vec<_> = self.description.effective_all::<Fingerprint>(self.section).collect();
        let mut malformed = None;
        let mut fingerprints = Vec::new();
        for fingerprint in read {
            match fingerprint {
                Ok(fingerprint) => fingerprints.push(fingerprint),
                Err(error) => malformed = Some(error),
            }
        }
        if fingerprints.iter().any(|fingerprint| certificate::algorithm(&fingerprint.hash).is_some()) {
            return Ok(fingerprints);
        }
        Err(match malformed {
            Some(error) => self.reader.malformed(&error, Some(self.mid)),
            None if fingerprints.is_empty() => self.reader.wrong(Some(self.mid), "a=fingerprint is missing"),
            None => self.reader.wrong(Some(self.mid), "no fingerprint has a hash function that is trusted"),
        })
    }

    fn setup(&self) -> Result<Option<Setup>, Error> {
        let setup = self.get::<Setup>()?;
        match (setup, self.reader.kind) {
            (Some(Setup::HoldConn), _) => {
                Err(self.reader.wrong(Some(self.mid), "a=setup:holdconn is not supported"))
            }
            (Some(Setup::ActPass), SdpType::Answer | SdpType::PrAnswer) => {
                Err(self.reader.wrong(Some(self.mid), "an answer must choose between active and passive"))
            }
            _ => Ok(setup),
        }
    }
}

/// The names of the bundle to which a section belongs.
fn bundle_of(description: &SessionDescription, mid: &str) -> Option<Vec<String>> {
    let groups = description.lines.all::<Group>().flatten();
    let mut bundles = groups.filter(|group| group.semantics == GroupSemantics::Bundle);
    bundles.find(|group| group.mids.iter().any(|name| name == mid)).map(|group| group.mids)
}

/// The candidates of a section, or, if it has none of its own, those of the others in its bundle. Those that
/// cannot be read are passed over (RFC 8839 §5.1).
fn candidates(description: &SessionDescription, bundle: &[String], mid: &str) -> Vec<Candidate> {
    let of = |mid: &str| -> Vec<Candidate> {
        let section = description.media_by_mid(mid);
        section.map(|section| section.lines.all().flatten().collect()).unwrap_or_default()
    };
    let own = of(mid);
    if own.is_empty() { bundle.iter().flat_map(|other| of(other)).collect() } else { own }
}

fn line_of(error: &columba_sdp::Error) -> Option<u32> {
    use columba_sdp::Error as Sdp;
    match error {
        Sdp::LineTooLong { line, .. }
        | Sdp::TooManyMedia { line, .. }
        | Sdp::NotALine { line, .. }
        | Sdp::ForbiddenCharacter { line, .. }
        | Sdp::Misplaced { line, .. }
        | Sdp::Malformed { line, .. } => Some(*line),
        _ => None,
    }
}

/// The message without the line, which is told apart.
fn reason_of(error: &columba_sdp::Error) -> String {
    let text = error.to_string();
    match line_of(error).and_then(|line| text.strip_prefix(&format!("line {line}: "))) {
        Some(reason) => reason.to_owned(),
        None => text,
    }
}

/// What everybody uses, for descriptions that do not say it.
const DEFAULT_SCTP_PORT: u16 = 5000;
