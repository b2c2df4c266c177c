//! A peer that executes commands from its standard input, a JSON object a line. The tests of our
//! SCTP against other implementations (`e2e/scenarios/data-channels.js`) give the same commands to
//! all.

mod messages;

use std::collections::HashMap;
use std::sync::Arc;

use columba::{
    Configuration, DataChannel, DataChannelInit, DataConfiguration, DtlsRole, Event, PeerConnection,
    Priority, SdpType, SessionDescription, TrackKind, TransceiverInit,
};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

use self::messages::{Inbox, Order};
use crate::{Failure, from_json, report};

/// A command.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Command {
    /// Offer, with all candidates.
    Offer,
    /// Set the other side's description; an offer is answered.
    SetRemote(SessionDescription),
    /// Create a channel.
    Open(Open),
    /// Send messages on an open channel.
    Send {
        label: String,
        #[serde(flatten)]
        order: Order,
    },
    /// Report the messages of a channel, as soon as so many were received.
    Expect { label: String, messages: u64 },
    /// Close a channel.
    Close { label: String },
    /// Add transceivers of these kinds.
    Media { kinds: Vec<Kind> },
    /// Report the states of DTLS of all transports.
    Transports,
    /// Report the statistics of the association.
    Stats,
    /// Close the connection.
    End,
}

/// A channel to be created: its label, and `RTCDataChannelInit`.
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

/// The kind of a track.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Audio,
    Video,
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

/// A channel, and the queues of its tasks.
struct Channel {
    channel: DataChannel,
    orders: mpsc::Sender<Order>,
    inbox: Arc<Inbox>,
}

/// The peer.
struct Commanded {
    connection: PeerConnection,
    /// By their labels, which are different.
    channels: HashMap<String, Channel>,
}

/// Bytes of the longest message that it takes: as long as any that is sent.
const LONGEST: u32 = 4 << 20;

/// Orders for one channel that may wait for each other.
const ORDERS: usize = 64;

/// Runs until its input ends.
pub(crate) async fn run() -> Result<(), Failure> {
    let data = DataConfiguration { max_message_size: LONGEST, ..DataConfiguration::default() };
    let (connection, mut events) = PeerConnection::new(Configuration { data, ..Configuration::default() })?;
    let mut peer = Commanded { connection, channels: HashMap::new() };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => peer.execute(from_json(&line)?).await?,
                None => return Ok(()),
            },
            Some(event) = events.recv() => peer.handle_event(event),
        }
    }
}

impl Commanded {
    async fn execute(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Offer => drop(self.connection.set_local_description(None).await?),
            Command::SetRemote(description) => {
                let is_offer = description.kind == SdpType::Offer;
                self.connection.set_remote_description(description).await?;
                if is_offer {
                    self.connection.set_local_description(None).await?;
                }
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
                self.add_channel(channel);
            }
            Command::Send { label, order } => self.channel(&label)?.orders.send(order).await?,
            Command::Expect { label, messages } => self.channel(&label)?.inbox.expect(messages),
            Command::Close { label } => self.channel(&label)?.channel.close(),
            Command::Media { kinds } => {
                for kind in kinds {
                    let kind = match kind {
                        Kind::Audio => TrackKind::Audio,
                        Kind::Video => TrackKind::Video,
                    };
                    self.connection.add_transceiver(kind, TransceiverInit::default())?;
                }
            }
            Command::Transports => self.report_transports(),
            Command::Stats => self.report_stats(),
            Command::End => self.connection.close().await,
        }
        Ok(())
    }

    fn channel(&self, label: &str) -> Result<&Channel, Failure> {
        self.channels.get(label).ok_or_else(|| format!("there is no channel {label}").into())
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::IceCandidate(None) => {
                if let Some(SessionDescription { kind, sdp }) = self.connection.local_description() {
                    report(&json!({ "event": "description", "type": kind.to_string(), "sdp": sdp }));
                }
            }
            Event::ConnectionState(state) => {
                let state = format!("{state:?}").to_lowercase();
                report(&json!({ "event": "state", "state": state }));
            }
            Event::DataChannel(channel) => self.add_channel(channel),
            Event::Error(error) => report(&json!({ "event": "error", "message": error.to_string() })),
            _ => {}
        }
    }

    fn add_channel(&mut self, channel: DataChannel) {
        let label = channel.label().to_owned();
        let (orders, given) = mpsc::channel(ORDERS);
        let inbox = Arc::new(Inbox::new(&channel));
        tokio::spawn(messages::send(channel.clone(), given));
        tokio::spawn(messages::receive(channel.clone(), inbox.clone()));
        self.channels.insert(label, Channel { channel, orders, inbox });
    }

    fn report_transports(&self) {
        let transports = self.connection.transports().into_iter();
        let states = transports.filter_map(|id| self.connection.dtls_transport(id));
        let states: Vec<_> = states.map(|one| format!("{:?}", one.state).to_lowercase()).collect();
        report(&json!({ "event": "transports", "states": states }));
    }

    fn report_stats(&self) {
        let stats = self.connection.stats();
        let association = stats.sctp.association;
        report(&json!({
            "event": "stats",
            "dtlsClient": stats.transports[0].dtls.role.map(|role| role == DtlsRole::Client),
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
