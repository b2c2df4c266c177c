//! Offer, answer and candidates, each as soon as it is there.

use columba::signaling::{SignalingChannel, SignalingEvent, SignalingEvents};
use columba::{DataChannel, Event, Events, PeerConnection, PeerConnectionState, SessionDescription};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::wire::Word;
use crate::{Failure, Role, tell};

pub(crate) struct Negotiation {
    pub(crate) connection: PeerConnection,
    pub(crate) signaling: SignalingChannel,
    /// Channels that the other side has opened.
    pub(crate) opened: mpsc::Sender<DataChannel>,
    /// Becomes true with the first path that needs no relay.
    pub(crate) direct: watch::Sender<bool>,
}

impl Negotiation {
    /// Goes on until something fails, or the connection ends: what comes after that, a late candidate for example, is nobody's.
    pub(crate) async fn hold(self, role: Role, mut words: SignalingEvents, mut events: Events) -> Failure {
        match self.try_hold(role, &mut words, &mut events).await {
            Err(failure) if self.connection.connection_state() != PeerConnectionState::Closed => failure,
            _ => std::future::pending().await,
        }
    }

    async fn try_hold(
        &self,
        role: Role,
        words: &mut SignalingEvents,
        events: &mut Events,
    ) -> Result<(), Failure> {
        if role == Role::Offer {
            self.describe().await?;
        }
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.attend(event).await?,
                    None => return Ok(()),
                },
                word = words.recv() => match word {
                    Some(SignalingEvent::Message { data, .. }) => self.hear(serde_json::from_str(data.get())?).await?,
                    Some(SignalingEvent::Closed(error)) => return Err(error.into()),
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }

    async fn describe(&self) -> Result<(), Failure> {
        let description = self.connection.set_local_description(None).await?;
        self.signaling.send(None, &Word::from(description))?;
        Ok(())
    }

    async fn hear(&self, word: Word) -> Result<(), Failure> {
        if let Some(offer) = word.offer {
            self.connection.set_remote_description(SessionDescription::offer(offer.sdp())).await?;
            self.describe().await?;
        }
        if let Some(answer) = word.answer {
            self.connection.set_remote_description(SessionDescription::answer(answer.sdp())).await?;
        }
        if let Some(candidate) = word.ice_candidate {
            self.connection.add_ice_candidate(Some(candidate.into())).await?;
        }
        Ok(())
    }

    async fn attend(&self, event: Event) -> Result<(), Failure> {
        match event {
            Event::IceCandidate(Some(candidate)) => {
                self.signaling.send(None, &Word::from(candidate.init))?;
            }
            Event::DataChannel(channel) => self.opened.send(channel).await?,
            Event::ConnectionState(state) => {
                tell(&json!({ "event": "state", "state": format!("{state:?}") }));
            }
            Event::SelectedCandidatePair(pair) => {
                let kinds = [pair.local.kind, pair.remote.kind].map(|kind| format!("{kind:?}"));
                let protocol = if pair.local.transport.is_tcp() { "tcp" } else { "udp" };
                let to = pair.path.remote;
                tell(
                    &json!({ "event": "pair", "local": kinds[0], "remote": kinds[1], "protocol": protocol, "to": to }),
                );
                self.direct.send_if_modified(|is_direct| {
                    let found = !kinds.iter().any(|kind| kind == "Relayed");
                    found && !std::mem::replace(is_direct, true)
                });
            }
            Event::Error(error) => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }
}
