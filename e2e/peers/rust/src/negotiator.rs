//! Perfect negotiation as the W3C's example writes it, by commands from the standard input: the
//! same program as `e2e/peers/negotiator.js`.

use columba::{
    BundlePolicy, Configuration, DataChannel, DataChannelInit, Event, Events, IceCandidateInit, Message,
    PeerConnection, SdpType, SessionDescription, SignalingState, TrackKind, TransceiverDirection,
    TransceiverInit,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Failure, from_json, report};

/// Transceivers that exist at once, at most: beyond it the first is stopped instead.
const MAX_TRANSCEIVERS: usize = 4;

/// The options of a negotiator.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Options {
    polite: bool,
    /// True to offer to others that do not bundle.
    #[serde(default)]
    unbundled: bool,
}

/// A command.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Command {
    /// A message of the other side's.
    Signal {
        description: Option<SessionDescription>,
        #[serde(default, deserialize_with = "present")]
        candidate: Option<Option<IceCandidateInit>>,
    },
    /// Does something that makes a negotiation needed.
    Act { what: Act },
    /// Says this on the channel.
    Say { text: String },
    /// Reports the state, and this number.
    Status { number: u64 },
}

/// Something that makes a negotiation needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Act {
    Restart,
    AddAudio,
    AddVideo,
    Turn,
    Stop,
    Rollback,
}

/// One side.
struct Negotiator {
    connection: PeerConnection,
    channel: DataChannel,
    polite: bool,
    ignores_offer: bool,
    is_setting_answer: bool,
    /// The next offer is taken back before it is sent.
    takes_back: bool,
}

/// Runs until its input ends.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let bundle_policy = if options.unbundled { BundlePolicy::MaxCompat } else { BundlePolicy::default() };
    let (connection, events) =
        PeerConnection::new(Configuration { bundle_policy, ..Configuration::default() })?;
    let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
    let channel = connection.create_data_channel("echo", init)?;
    let negotiator = Negotiator {
        connection,
        channel,
        polite: options.polite,
        ignores_offer: false,
        is_setting_answer: false,
        takes_back: false,
    };
    negotiator.attend(events).await
}

impl Negotiator {
    async fn attend(mut self, mut events: Events) -> Result<(), Failure> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        loop {
            tokio::select! {
                // Events first: what a command has led to comes before the next one.
                biased;
                Some(event) = events.recv() => self.handle_event(event).await?,
                line = lines.next_line() => match line? {
                    Some(line) => self.execute(from_json(&line)?).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn handle_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::NegotiationNeeded => self.offer().await?,
            Event::IceCandidate(candidate) => {
                report(&json!({ "event": "signal", "candidate": candidate.map(|one| one.init) }));
            }
            Event::ConnectionState(state) => {
                report(&json!({ "event": "state", "state": format!("{state:?}").to_lowercase() }));
            }
            Event::ChannelReadable(channel) => {
                while let Some(message) = channel.try_recv() {
                    if let Message::Text(text) = message {
                        report(&json!({ "event": "heard", "text": text }));
                    }
                }
            }
            Event::ChannelOpen(_) => report(&json!({ "event": "open" })),
            Event::ChannelClosed(_) => report(&json!({ "event": "error", "message": "the channel closed" })),
            Event::Error(error) => report(&json!({ "event": "error", "message": error.to_string() })),
            _ => {}
        }
        Ok(())
    }

    /// `onnegotiationneeded`.
    async fn offer(&mut self) -> Result<(), Failure> {
        let offer = self.connection.set_local_description(None).await?;
        if std::mem::take(&mut self.takes_back) {
            report(&json!({ "event": "tookBack" }));
            self.connection.set_local_description(SessionDescription::rollback()).await?;
            return Ok(());
        }
        report(&json!({ "event": "signal", "description": offer }));
        Ok(())
    }

    async fn execute(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Signal { description: Some(description), .. } => self.take(description).await,
            Command::Signal { candidate: Some(candidate), .. } => {
                match self.connection.add_ice_candidate(candidate).await {
                    // Of an offer that was ignored or replaced meanwhile, perhaps.
                    Err(error) if !self.ignores_offer => {
                        report(&json!({ "event": "refused", "message": error.to_string() }));
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            Command::Signal { .. } => Ok(()),
            Command::Act { what } => self.act(&what),
            Command::Say { text } => Ok(self.channel.send(text).await?),
            Command::Status { number } => {
                report(&self.status(number));
                Ok(())
            }
        }
    }

    /// `onmessage`, with a description.
    async fn take(&mut self, description: SessionDescription) -> Result<(), Failure> {
        let is_offer = description.kind == SdpType::Offer;
        // An offer is made in one call, so that none is under way here.
        let is_ready = self.connection.signaling_state() == SignalingState::Stable || self.is_setting_answer;
        self.ignores_offer = !self.polite && is_offer && !is_ready;
        if is_offer && !is_ready {
            report(&json!({ "event": "collision" }));
        }
        if self.ignores_offer {
            return Ok(());
        }
        self.is_setting_answer = description.kind == SdpType::Answer;
        let set = self.connection.set_remote_description(description).await;
        self.is_setting_answer = false;
        set?;
        if is_offer {
            let answer = self.connection.set_local_description(None).await?;
            report(&json!({ "event": "signal", "description": answer }));
        }
        Ok(())
    }

    fn act(&mut self, what: &Act) -> Result<(), Failure> {
        let live: Vec<_> = self
            .connection
            .transceivers()
            .into_iter()
            .filter(|one| one.direction() != TransceiverDirection::Stopped)
            .collect();
        let add = |kind| match live.first().filter(|_| live.len() >= MAX_TRANSCEIVERS) {
            Some(first) => first.stop(),
            None => self.connection.add_transceiver(kind, TransceiverInit::default()).map(drop),
        };
        match (what, live.last()) {
            (Act::Restart, _) => self.connection.restart_ice(),
            (Act::Rollback, _) => {
                self.takes_back = true;
                self.connection.restart_ice();
            }
            (Act::AddAudio, _) => add(TrackKind::Audio)?,
            (Act::AddVideo, _) | (Act::Turn | Act::Stop, None) => add(TrackKind::Video)?,
            (Act::Turn, Some(last)) => last.set_direction(match last.direction() {
                TransceiverDirection::Inactive => TransceiverDirection::SendRecv,
                _ => TransceiverDirection::Inactive,
            })?,
            (Act::Stop, Some(last)) => last.stop()?,
        }
        Ok(())
    }

    fn status(&self, number: u64) -> Value {
        let sections = self.connection.transceivers().into_iter().filter_map(|one| {
            let direction = one.current_direction().filter(|way| *way != TransceiverDirection::Stopped)?;
            let direction = format!("{direction:?}").to_lowercase();
            Some(json!({ "mid": one.mid(), "kind": one.kind().as_str(), "direction": direction }))
        });
        json!({
            "event": "status",
            "number": number,
            "signaling": format!("{:?}", self.connection.signaling_state()).to_lowercase(),
            "connection": format!("{:?}", self.connection.connection_state()).to_lowercase(),
            "sections": sections.collect::<Vec<_>>(),
        })
    }
}

/// Tells `null` from an absent member.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<IceCandidateInit>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
