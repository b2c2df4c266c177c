//! The exchange of offers and answers (RFC 8829), for data: sections of audio and video are answered as
//! rejected.

mod remote;
mod section;
mod write;

#[cfg(test)]
mod tests;

use columba_sdp::attributes::{Origin, Setup};

pub(crate) use remote::{Remote, RemoteData};
use section::{Section, answered, free_mid};
pub(crate) use write::LocalParameters;

use crate::description::{SdpType, SessionDescription};
use crate::error::Error;
use crate::states::SignalingState;

/// Where the exchange stands, and what was agreed.
#[derive(Debug)]
pub(crate) struct Jsep {
    state: SignalingState,
    session_id: u64,
    /// The version of the next description.
    version: u64,
    created_offer: Option<Created>,
    created_answer: Option<Created>,
    current: Agreement,
    pending: Agreement,
}

/// Both sides' descriptions of one exchange.
#[derive(Clone, Debug, Default)]
struct Agreement {
    local: Option<Local>,
    remote: Option<Remote>,
    sections: Vec<Section>,
}

/// An own description that was created, and maybe never set.
#[derive(Clone, Debug)]
struct Created {
    text: String,
    local: Local,
    sections: Vec<Section>,
}

/// An own description.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) kind: SdpType,
    pub(crate) description: columba_sdp::SessionDescription,
    /// Index and name of the data section, and what it says about who begins DTLS.
    pub(crate) data: Option<LocalData>,
}

/// What an own description says about the data section.
#[derive(Clone, Debug)]
pub(crate) struct LocalData {
    pub(crate) index: usize,
    pub(crate) mid: String,
    pub(crate) setup: Setup,
}

impl Jsep {
    pub(crate) fn new(session_id: u64) -> Self {
        Self {
            state: SignalingState::Stable,
            // RFC 8829 §5.2.1: 63 random bits.
            session_id: session_id >> 1,
            version: 1,
            created_offer: None,
            created_answer: None,
            current: Agreement::default(),
            pending: Agreement::default(),
        }
    }

    pub(crate) fn state(&self) -> SignalingState {
        self.state
    }

    /// The own description that counts: the pending one, else the current one.
    pub(crate) fn local(&self) -> Option<&Local> {
        self.pending.local.as_ref().or(self.current.local.as_ref())
    }

    /// The other side's.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.pending.remote.as_ref().or(self.current.remote.as_ref())
    }

    pub(crate) fn remote_mut(&mut self) -> Option<&mut Remote> {
        self.pending.remote.as_mut().or(self.current.remote.as_mut())
    }

    /// Whether both sides have agreed on a data section.
    pub(crate) fn has_data(&self) -> bool {
        self.current.sections.iter().any(Section::is_data)
    }

    /// Whether anything was agreed yet.
    pub(crate) fn is_initial(&self) -> bool {
        self.current.local.is_none()
    }

    pub(crate) fn close(&mut self) {
        self.state = SignalingState::Closed;
    }

    /// RFC 8829 §5.2. Without anything to negotiate the offer has no section.
    pub(crate) fn create_offer(
        &mut self,
        local: &LocalParameters,
        data: bool,
    ) -> Result<SessionDescription, Error> {
        use SignalingState as State;
        self.require("create_offer", &[State::Stable, State::HaveLocalOffer, State::HaveRemotePrAnswer])?;
        let mut sections = self.current.sections.clone();
        if data && !sections.iter().any(Section::is_data) {
            let section = Section::own_data(free_mid(&sections));
            // All others were rejected, and one of them is used again (RFC 8829 §5.2.2).
            match sections.first_mut() {
                Some(rejected) => *rejected = section,
                None => sections.push(section),
            }
        }
        let created = self.create(SdpType::Offer, sections, local, Setup::ActPass, true)?;
        let text = created.text.clone();
        self.created_offer = Some(created);
        Ok(SessionDescription::offer(text))
    }

    /// RFC 8829 §5.3. `client`: whether this side is already the DTLS client or server.
    pub(crate) fn create_answer(
        &mut self,
        local: &LocalParameters,
        client: Option<bool>,
    ) -> Result<SessionDescription, Error> {
        use SignalingState as State;
        let state = self.state;
        self.require("create_answer", &[State::HaveRemoteOffer, State::HaveLocalPrAnswer])?;
        let remote = self.pending.remote.as_ref();
        let remote = remote.ok_or(Error::InvalidState { operation: "create_answer", state })?;
        let data = remote.data.as_ref();
        // Where it may choose, the answerer begins DTLS: its ClientHello then travels together with the
        // answer (RFC 8842 §5.3).
        let setup = match (client, data.and_then(|data| data.setup)) {
            (Some(true), _) => Setup::Active,
            (Some(false), _) | (None, Some(Setup::Active)) => Setup::Passive,
            (None, _) => Setup::Active,
        };
        let bundle = data.is_some_and(|data| data.bundled);
        let sections = answered(remote);
        let created = self.create(SdpType::Answer, sections, local, setup, bundle)?;
        let text = created.text.clone();
        self.created_answer = Some(created);
        Ok(SessionDescription::answer(text))
    }

    fn create(
        &self,
        kind: SdpType,
        sections: Vec<Section>,
        local: &LocalParameters,
        setup: Setup,
        bundle: bool,
    ) -> Result<Created, Error> {
        let origin = Origin::new(self.session_id, self.version);
        let description = write::write(origin, &sections, local, setup, bundle).map_err(|error| {
            // Only a name of the other side's could do that, and those were parsed.
            Error::InvalidDescription { kind, line: None, mid: None, reason: error.to_string() }
        })?;
        let index = sections.iter().position(Section::is_data);
        let data = index.map(|index| LocalData { index, mid: sections[index].mid.clone(), setup });
        let text = description.to_string();
        Ok(Created { text, local: Local { kind, description, data }, sections })
    }

    /// Sets an own description that was created before (RFC 8829 §5.9).
    pub(crate) fn set_local(&mut self, description: &SessionDescription) -> Result<(), Error> {
        use SignalingState as State;
        let kind = description.kind;
        let operation = "set_local_description";
        match kind {
            SdpType::Offer => self.require(operation, &[State::Stable, State::HaveLocalOffer])?,
            SdpType::Answer | SdpType::PrAnswer => {
                self.require(operation, &[State::HaveRemoteOffer, State::HaveLocalPrAnswer])?;
            }
            SdpType::Rollback => {
                self.require(operation, &[State::HaveLocalOffer])?;
                self.roll_back();
                return Ok(());
            }
        }
        let created = if kind == SdpType::Offer { &self.created_offer } else { &self.created_answer };
        let Some(created) = created.as_ref().filter(|created| created.text == description.sdp).cloned()
        else {
            return Err(Error::InvalidModification { kind });
        };
        self.version += 1;
        self.pending.local = Some(Local { kind, ..created.local });
        self.pending.sections = created.sections;
        match kind {
            SdpType::Offer => self.state = State::HaveLocalOffer,
            SdpType::PrAnswer => self.state = State::HaveLocalPrAnswer,
            SdpType::Answer | SdpType::Rollback => self.settle(),
        }
        Ok(())
    }

    /// Checks whether a description of the other side's can be set now, and tells whether the own offer is to
    /// be rolled back for it.
    pub(crate) fn check_remote(&self, remote: &Remote) -> Result<bool, Error> {
        use SignalingState as State;
        let operation = "set_remote_description";
        let rolls_back = match remote.kind {
            SdpType::Offer => {
                self.require(operation, &[State::Stable, State::HaveRemoteOffer, State::HaveLocalOffer])?;
                self.check_order(remote, &self.current.sections, false)?;
                self.state == State::HaveLocalOffer
            }
            _ => {
                self.require(operation, &[State::HaveLocalOffer, State::HaveRemotePrAnswer])?;
                self.check_order(remote, &self.pending.sections, true)?;
                false
            }
        };
        Ok(rolls_back)
    }

    /// Sets a description that was checked (RFC 8829 §5.10).
    pub(crate) fn set_remote(&mut self, remote: Remote) {
        match remote.kind {
            SdpType::Offer => {
                self.roll_back();
                self.pending.sections = answered(&remote);
                self.pending.remote = Some(remote);
                self.state = SignalingState::HaveRemoteOffer;
            }
            kind => {
                if remote.data.is_none() {
                    self.pending.sections.iter_mut().for_each(|section| section.data = None);
                }
                self.pending.remote = Some(remote);
                if kind == SdpType::PrAnswer {
                    self.state = SignalingState::HaveRemotePrAnswer;
                } else {
                    self.settle();
                }
            }
        }
    }

    /// Takes back the other side's offer.
    pub(crate) fn roll_back_remote(&mut self) -> Result<(), Error> {
        self.require("set_remote_description", &[SignalingState::HaveRemoteOffer])?;
        self.roll_back();
        Ok(())
    }

    fn roll_back(&mut self) {
        self.pending = Agreement::default();
        self.created_offer = None;
        self.created_answer = None;
        self.state = SignalingState::Stable;
    }

    fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.roll_back();
        self.current = pending;
    }

    /// Sections keep their place (RFC 3264 §8): none goes missing, and only one that was rejected may become
    /// another.
    fn check_order(&self, remote: &Remote, sections: &[Section], answer: bool) -> Result<(), Error> {
        let wrong = |mid: Option<&str>, reason: String| Error::InvalidDescription {
            kind: remote.kind,
            line: None,
            mid: mid.map(str::to_owned),
            reason,
        };
        let (found, expected) = (remote.sections.len(), sections.len());
        if found < expected || answer && found > expected {
            return Err(wrong(None, format!("{found} media sections, where {expected} are known")));
        }
        for (section, known) in remote.sections.iter().zip(sections) {
            let same = section.mid == known.mid && section.head.kind == known.head.kind;
            if !same && (answer || known.is_data()) {
                let reason = format!("it stands where {:?} was", known.mid);
                return Err(wrong(Some(&section.mid), reason));
            }
        }
        if answer
            && let Some(data) = &remote.data
            && !sections[data.index].is_data()
        {
            return Err(wrong(Some(&data.mid), "it accepts what was not offered".to_owned()));
        }
        Ok(())
    }

    fn require(&self, operation: &'static str, states: &[SignalingState]) -> Result<(), Error> {
        if self.state == SignalingState::Closed {
            return Err(Error::Closed);
        }
        if states.contains(&self.state) {
            Ok(())
        } else {
            Err(Error::InvalidState { operation, state: self.state })
        }
    }
}
