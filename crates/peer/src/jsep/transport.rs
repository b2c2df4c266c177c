//! The attributes of a transport in a description: ICE, DTLS, candidates.

use std::time::Duration;

use columba_ice::{Credentials, RemoteParameters};
use columba_sdp::attributes::{
    DtlsGroups, EndOfCandidates, Fingerprint, IceLite, IceOptions, IcePacing, IcePwd, IceUfrag, Setup, TlsId,
};
use columba_sdp::{Candidate, Field, Lines};

use super::candidates::MAX_CANDIDATES;
use super::remote::Reader;
use crate::certificate;
use crate::description::SdpType;
use crate::error::Error;

/// The pace of checks that a description without `a=ice-pacing` means (RFC 8839 §5.5).
const DEFAULT_PACING: Duration = Duration::from_millis(50);

/// Lines about fingerprints that are read of one transport.
const MAX_FINGERPRINTS: usize = 64;

/// Extensions that are in use only if both sides' descriptions name them: an answer names those of
/// the offer that its side has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// X25519MLKEM768 in DTLS's key exchange.
    pub(crate) post_quantum: bool,
    /// DTLS's handshake in checks of ICE (draft-hancke-webrtc-sped).
    pub(crate) embedding: bool,
}

impl Extensions {
    /// Those that both sides have.
    pub(crate) fn common(self, other: Self) -> Self {
        Self {
            post_quantum: self.post_quantum && other.post_quantum,
            embedding: self.embedding && other.embedding,
        }
    }
}

/// One side's description of a transport.
#[derive(Clone, Debug)]
pub(crate) struct TransportDescription {
    pub(crate) ice: RemoteParameters,
    pub(crate) extensions: Extensions,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) setup: Option<Setup>,
    /// The name of the DTLS association (RFC 8842 §4).
    pub(crate) tls_id: Option<TlsId>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) end_of_candidates: bool,
}

impl TransportDescription {
    /// Reads the description of a transport. The first of its sections is the tagged one;
    /// attributes that it lacks are those of another, then those of the session.
    pub(super) fn read(reader: &Reader<'_>, sections: &[usize]) -> Result<Self, Error> {
        let source = Source { reader, sections };
        let options = source.get::<IceOptions>()?.unwrap_or_default();
        // A pace and a tls-id that cannot be read say nothing; they are no reason to refuse the
        // description, of which browsers read neither.
        let pacing = source.get::<IcePacing>().ok().flatten();
        let ice = RemoteParameters {
            credentials: source.credentials()?,
            lite: reader.description.lines.has::<IceLite>(),
            trickle: options.contains(IceOptions::TRICKLE),
            renomination: options.contains(IceOptions::RENOMINATION),
            pacing: pacing.map(|pacing| Duration::from_millis(pacing.0.into())),
        };
        let groups = source.get::<DtlsGroups>()?.unwrap_or_default();
        let extensions = Extensions {
            post_quantum: groups.contains(DtlsGroups::X25519_MLKEM768),
            embedding: options.contains(IceOptions::SPED),
        };
        let (candidates, end_of_candidates) = source.candidates();
        let (fingerprints, setup) = (source.fingerprints()?, source.setup()?);
        let tls_id = source.get::<TlsId>().ok().flatten();
        Ok(Self { ice, extensions, fingerprints, setup, tls_id, candidates, end_of_candidates })
    }

    /// Writes the lines of the section that carries the transport.
    pub(super) fn write(&self, lines: &mut Lines) -> Result<(), columba_sdp::Error> {
        lines.add(&IceUfrag(self.ice.credentials.ufrag.to_string()))?;
        lines.add(&IcePwd(self.ice.credentials.pwd.to_string()))?;
        for fingerprint in &self.fingerprints {
            lines.add(fingerprint)?;
        }
        if let Some(setup) = &self.setup {
            lines.add(setup)?;
        }
        if let Some(tls_id) = &self.tls_id {
            lines.add(tls_id)?;
        }
        Ok(())
    }

    /// Writes the lines that hold for the whole session.
    pub(super) fn write_session(&self, lines: &mut Lines) -> Result<(), columba_sdp::Error> {
        if self.ice.lite {
            lines.set(&IceLite)?;
        }
        let trickle = self.ice.trickle.then_some(IceOptions::TRICKLE);
        let renomination = self.ice.renomination.then_some(IceOptions::RENOMINATION);
        let embedding = self.extensions.embedding.then_some(IceOptions::SPED);
        let options = trickle.into_iter().chain([IceOptions::ICE2]).chain(renomination).chain(embedding);
        lines.set(&IceOptions::new(options))?;
        if self.extensions.post_quantum {
            lines.set(&DtlsGroups(vec![DtlsGroups::X25519_MLKEM768.to_owned()]))?;
        }
        if let Some(pacing) = self.ice.pacing.filter(|pacing| *pacing != DEFAULT_PACING) {
            lines.set(&IcePacing(pacing.as_millis().try_into().unwrap_or(u32::MAX)))?;
        }
        Ok(())
    }
}

/// The sections of a transport, the tagged one first.
struct Source<'a> {
    reader: &'a Reader<'a>,
    sections: &'a [usize],
}

impl Source<'_> {
    /// Returns the section whose value counts: the tagged one, unless neither it nor the session
    /// has the attribute, and another one has.
    fn carrier<T: Field>(&self) -> usize {
        let description = self.reader.description;
        let has = |index: &&usize| description.media[**index].lines.has::<T>();
        let others = if description.lines.has::<T>() { None } else { self.sections.iter().find(has) };
        let tag = self.sections.first();
        tag.filter(has).or(others).or(tag).copied().unwrap_or_default()
    }

    fn get<T: Field>(&self) -> Result<Option<T>, Error> {
        self.reader.get(self.carrier::<T>())
    }

    fn wrong(&self, reason: &str) -> Error {
        self.reader.wrong(self.sections.first().copied().unwrap_or_default(), reason)
    }

    /// Fragment and password of one section.
    fn credentials(&self) -> Result<Credentials, Error> {
        let index = self.carrier::<IceUfrag>();
        let missing = |reason| self.reader.wrong(index, reason);
        let ufrag = self.reader.get::<IceUfrag>(index)?;
        let ufrag = ufrag.ok_or_else(|| missing("a=ice-ufrag is missing"))?;
        let pwd = self.reader.get::<IcePwd>(index)?.ok_or_else(|| missing("a=ice-pwd is missing"))?;
        Ok(Credentials { ufrag: ufrag.0.into(), pwd: pwd.0.into() })
    }

    /// All fingerprints; lines that do not follow the grammar are skipped as long as there is one
    /// whose hash function is trusted.
    fn fingerprints(&self) -> Result<Vec<Fingerprint>, Error> {
        let index = self.carrier::<Fingerprint>();
        let description = self.reader.description;
        let mut malformed = None;
        let mut fingerprints = Vec::new();
        let lines = description.effective_all::<Fingerprint>(&description.media[index]);
        for fingerprint in lines.take(MAX_FINGERPRINTS) {
            match fingerprint {
                Ok(fingerprint) => fingerprints.push(fingerprint),
                Err(error) => malformed = Some(error),
            }
        }
        if fingerprints.iter().any(|fingerprint| certificate::hash_function(&fingerprint.hash).is_some()) {
            return Ok(fingerprints);
        }
        Err(match malformed {
            Some(error) => self.reader.malformed(&error, index),
            None if fingerprints.is_empty() => self.wrong("a=fingerprint is missing"),
            None => self.wrong("no fingerprint has a hash function that is trusted"),
        })
    }

    fn setup(&self) -> Result<Option<Setup>, Error> {
        let setup = self.get::<Setup>()?;
        match (setup, self.reader.kind) {
            (Some(Setup::HoldConn), _) => Err(self.wrong("a=setup:holdconn is not supported")),
            (Some(Setup::ActPass), SdpType::Answer | SdpType::PrAnswer) => {
                Err(self.wrong("an answer must choose between active and passive"))
            }
            _ => Ok(setup),
        }
    }

    /// The candidates of the tagged section, else those of the others, else those of the session,
    /// where some implementations write them; and true if no more follow. Lines that cannot be read
    /// are skipped (RFC 8839 §5.1).
    fn candidates(&self) -> (Vec<Candidate>, bool) {
        let description = self.reader.description;
        let (tag, others) = self.sections.split_at(self.sections.len().min(1));
        let session_ended = description.lines.has::<EndOfCandidates>();
        for sections in [tag, others] {
            let sections = sections.iter().map(|index| &description.media[*index].lines);
            let ended = sections.clone().any(Lines::has::<EndOfCandidates>);
            let lines = sections.flat_map(|lines| lines.all());
            let candidates: Vec<_> = lines.take(MAX_CANDIDATES).flatten().collect();
            if !candidates.is_empty() || ended {
                return (candidates, ended || session_ended);
            }
        }
        (description.lines.all().take(MAX_CANDIDATES).flatten().collect(), session_ended)
    }
}
