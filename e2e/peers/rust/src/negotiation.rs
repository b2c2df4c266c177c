//! The exchange of offer, answer and candidates, each as soon as it exists.

use columba::signaling::{SignalingChannel, SignalingEvent, SignalingEvents};
use columba::{DataChannel, Event, Events, PeerConnection, PeerConnectionState};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::wire::SignalingMessage;
use crate::{Failure, Role, report};

pub(crate) struct Negotiation {
    pub(crate) connection: PeerConnection,
    pub(crate) signaling: SignalingChannel,
    /// Channels that the other side has opened.
    pub(crate) opened: mpsc::Sender<DataChannel>,
    /// Becomes true with the first path that needs no relay.
    pub(crate) direct: watch::Sender<bool>,
}

impl Negotiation {
    /// Runs until something fails. After the end of the connection nothing fails any more: a late
    /// candidate, for example, is ignored.
    pub(crate) async fn run(self, role: Role, mut messages: SignalingEvents, mut events: Events) -> Failure {
        match self.try_run(role, &mut messages, &mut events).await {
            Err(failure) if self.connection.connection_state() != PeerConnectionState::Closed => failure,
            _ => std::future::pending().await,
        }
    }

    async fn try_run(
        &self,
        role: Role,
        messages: &mut SignalingEvents,
        events: &mut Events,
    ) -> Result<(), Failure> {
        if role == Role::Offer {
            self.describe().await?;
        }
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle_event(event).await?,
                    None => return Ok(()),
                },
                message = messages.recv() => match message {
                    Some(SignalingEvent::Message { data, .. }) => self.handle_message(serde_json::from_str(data.get())?).await?,
                    Some(SignalingEvent::Closed(error)) => return Err(error.into()),
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }

    async fn describe(&self) -> Result<(), Failure> {
        let description = self.connection.set_local_description(None).await?;
        self.signaling.send(None, &SignalingMessage::from(description))?;
        Ok(())
    }

    async fn handle_message(&self, message: SignalingMessage) -> Result<(), Failure> {
        if let Some(offer) = message.offer {
            self.connection.set_remote_description(offer).await?;
            self.describe().await?;
        }
        if let Some(answer) = message.answer {
            self.connection.set_remote_description(answer).await?;
        }
        if let Some(candidate) = message.ice_candidate {
            self.connection.add_ice_candidate(candidate).await?;
        }
        Ok(())
    }

    async fn handle_event(&self, event: Event) -> Result<(), Failure> {
        match event {
            Event::IceCandidate(Some(candidate)) => {
                self.signaling.send(None, &SignalingMessage::from(candidate.init))?;
            }
            Event::DataChannel(channel) => self.opened.send(channel).await?,
            Event::ConnectionState(state) => {
                report(&json!({ "event": "state", "state": format!("{state:?}") }));
            }
            Event::SelectedCandidatePair(_, pair) => {
                let kinds = [pair.local.kind, pair.remote.kind].map(|kind| format!("{kind:?}"));
                let protocol = if pair.local.transport.is_tcp() { "tcp" } else { "udp" };
                let to = pair.path.remote;
                report(
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
