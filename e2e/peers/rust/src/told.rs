//! A peer that does what it is told on its standard input, a JSON object a line: the tests that set our SCTP against others'
//! (`e2e/scenarios/data-channels.js`) say the same words to ours as to theirs.

mod speech;

use std::collections::HashMap;
use std::sync::Arc;

use columba::{
    Configuration, DataChannel, DataChannelInit, DataConfiguration, Event, PeerConnection, Priority,
    SessionDescription,
};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

use self::speech::{Inbox, Order};
use crate::{Failure, from_json, tell};

/// What it can be told.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Command {
    /// To describe itself, with all its candidates.
    Offer,
    /// The other side's description; an offer is answered.
    Hear {
        #[serde(rename = "type")]
        kind: String,
        sdp: String,
    },
    Open(Open),
    /// To do with a channel that is open.
    Send {
        label: String,
        #[serde(flatten)]
        order: Order,
    },
    /// To tell what has come on a channel, as soon as it is so many messages.
    Expect {
        label: String,
        messages: u64,
    },
    Close {
        label: String,
    },
    /// To tell what it knows of the association.
    Stats,
    /// To close the connection.
    End,
}

/// A channel to be opened: its label, and `RTCDataChannelInit`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    label: String,
    ordered: Option<bool>,
    max_packet_life_time: Option<u16>,
    max_retransmits: Option<u16>,
    #[serde(default)]
    protocol: String,
    /// Set if both sides open it.
    id: Option<u16>,
    priority: Option<Level>,
}

/// `RTCPriorityType`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    VeryLow,
    Low,
    Medium,
    High,
}

impl From<Level> for Priority {
    fn from(level: Level) -> Self {
        match level {
            Level::VeryLow => Self::VeryLow,
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::High => Self::High,
        }
    }
}

/// A channel, and who speaks and listens on it.
struct Attended {
    channel: DataChannel,
    orders: mpsc::Sender<Order>,
    inbox: Arc<Inbox>,
}

struct Told {
    connection: PeerConnection,
    /// By their labels, which are different.
    channels: HashMap<String, Attended>,
}

/// Bytes of the longest message that it takes: as long as any that is sent.
const LONGEST: u32 = 4 << 20;

/// Orders for one channel that may wait for each other.
const ORDERS: usize = 64;

/// Goes on until its input ends.
pub(crate) async fn obey() -> Result<(), Failure> {
    let data = DataConfiguration { max_message_size: LONGEST, ..DataConfiguration::default() };
    let (connection, mut events) = PeerConnection::new(Configuration { data, ..Configuration::default() })?;
    let mut told = Told { connection, channels: HashMap::new() };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => told.obey(from_json(&line)?).await?,
                None => return Ok(()),
            },
            Some(event) = events.recv() => told.attend(event),
        }
    }
}

impl Told {
    async fn obey(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Offer => drop(self.connection.set_local_description(None).await?),
            Command::Hear { kind, sdp } if kind == "offer" => {
                self.connection.set_remote_description(SessionDescription::offer(sdp)).await?;
                self.connection.set_local_description(None).await?;
            }
            Command::Hear { sdp, .. } => {
                self.connection.set_remote_description(SessionDescription::answer(sdp)).await?;
            }
            Command::Open(open) => {
                let Open { label, ordered, max_packet_life_time, max_retransmits, protocol, id, priority } =
                    open;
                let priority = priority.map_or_else(Priority::default, Priority::from);
                let ordered = ordered.unwrap_or(true);
                let init = DataChannelInit {
                    ordered,
                    max_packet_life_time,
                    max_retransmits,
                    protocol,
                    negotiated: id,
                    priority,
                };
                let channel = self.connection.create_data_channel(&label, init)?;
                self.attend_channel(channel);
            }
            Command::Send { label, order } => self.channel(&label)?.orders.send(order).await?,
            Command::Expect { label, messages } => self.channel(&label)?.inbox.expect(messages),
            Command::Close { label } => self.channel(&label)?.channel.close(),
            Command::Stats => self.tell_stats(),
            Command::End => self.connection.close().await,
        }
        Ok(())
    }

    fn channel(&self, label: &str) -> Result<&Attended, Failure> {
        self.channels.get(label).ok_or_else(|| format!("there is no channel {label}").into())
    }

    fn attend(&mut self, event: Event) {
        match event {
            Event::IceCandidate(None) => {
                if let Some(SessionDescription { kind, sdp }) = self.connection.local_description() {
                    tell(&json!({ "event": "description", "type": kind.to_string(), "sdp": sdp }));
                }
            }
            Event::ConnectionState(state) => {
                let state = format!("{state:?}").to_lowercase();
                tell(&json!({ "event": "state", "state": state }));
            }
            Event::DataChannel(channel) => self.attend_channel(channel),
            Event::Error(error) => tell(&json!({ "event": "error", "message": error.to_string() })),
            _ => {}
        }
    }

    fn attend_channel(&mut self, channel: DataChannel) {
        let label = channel.label().to_owned();
        let (orders, given) = mpsc::channel(ORDERS);
        let inbox = Arc::new(Inbox::new(&channel));
        tokio::spawn(speech::speak(channel.clone(), given));
        tokio::spawn(speech::listen(channel.clone(), inbox.clone()));
        self.channels.insert(label, Attended { channel, orders, inbox });
    }

    fn tell_stats(&self) {
        let stats = self.connection.stats();
        let association = stats.sctp.association;
        tell(&json!({
            "event": "stats",
            "dtlsClient": stats.transports[0].dtls.role.map(|role| role == columba::DtlsRole::Client),
            "maxMessageSize": stats.sctp.max_message_size,
            "retransmitted": association.retransmitted_chunks,
            "packetsSent": association.packets_sent,
            "mtu": association.mtu,
            "peerWindow": association.peer_window,
            "inFlight": association.in_flight,
            "dropped": association.packets_dropped,
            "packetsReceived": association.packets_received,
            "roundTripMs": association.smoothed_round_trip.map(|time| time.as_secs_f64() * 1e3),
            "congestionWindow": association.congestion_window,
            "channels": stats.channels.len(),
        }));
    }
}
