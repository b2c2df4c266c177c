//! The data that is exchanged: a greeting, many bytes in both directions at once with their digest,
//! and a channel of each side that the other side closes.

use aws_lc_rs::digest::{Context, SHA256};
use columba::{DataChannel, DataChannelInit, Message, PeerConnection};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::{Failure, Role, TalkOptions};

/// Bytes of one message.
const CHUNK: usize = 64 << 10;

pub(crate) struct Talk {
    connection: PeerConnection,
    role: Role,
    closes: bool,
    bytes: usize,
    /// The offerer's; the answerer's comes from the other side.
    channel: Option<DataChannel>,
}

/// The data of the other side.
struct Received {
    greeting: String,
    bytes: usize,
    sha256: String,
}

impl Talk {
    pub(crate) fn new(connection: PeerConnection, options: &TalkOptions) -> Result<Self, Failure> {
        let &TalkOptions { role, closes, bytes, .. } = options;
        let channel = match role {
            Role::Offer => Some(connection.create_data_channel("talk", DataChannelInit::default())?),
            Role::Answer => None,
        };
        Ok(Self { connection, role, closes, bytes, channel })
    }

    /// Runs the whole exchange; returns its report.
    pub(crate) async fn run(
        self,
        mut theirs: mpsc::Receiver<DataChannel>,
        mut is_direct: watch::Receiver<bool>,
    ) -> Result<Value, Failure> {
        let channel = match &self.channel {
            Some(channel) => channel.clone(),
            None => theirs.recv().await.ok_or("no channel came")?,
        };
        let (sent, received) = tokio::try_join!(self.send(&channel), receive(&channel))?;
        is_direct.wait_for(|is_direct| *is_direct).await?;
        channel.send("whole").await?;
        expect(&channel, "whole").await?;
        tokio::try_join!(self.open_goodbye(), close_goodbye(&mut theirs))?;
        let resolved = self.resolved_names();
        // The side that closes must know that the other side waits for nothing else: closing
        // discards what is not sent yet.
        if self.closes {
            expect(&channel, "ready").await?;
            self.connection.close().await;
        } else {
            channel.send("ready").await?;
            if let Some(message) = channel.recv().await {
                return Err(format!("{message:?} came instead of the end").into());
            }
        }
        let end = channel.closed().await;
        Ok(json!({
            "event": "done",
            "greeting": received.greeting,
            "sent": sent,
            "received": { "bytes": received.bytes, "sha256": received.sha256 },
            "resolved": resolved,
            "end": end.map_or_else(|error| error.to_string(), |()| "closed".to_owned()),
        }))
    }

    /// The candidates of the other side whose name was resolved.
    fn resolved_names(&self) -> Vec<String> {
        let candidates = self.connection.stats().transports.remove(0).ice.remote_candidates;
        let hosts = candidates.iter().map(|one| format!("{:?}", one.candidate.address));
        hosts.filter(|host| host.contains(".local")).collect()
    }

    async fn send(&self, channel: &DataChannel) -> Result<Value, Failure> {
        channel.send(format!("hello from {}", self.role.as_str())).await?;
        let mut digest = Context::new(&SHA256);
        // Different on both sides, so that an echo is not taken for the other side's data.
        let mut state: u32 = if self.role == Role::Offer { 1 } else { 2 };
        let mut left = self.bytes;
        while left > 0 {
            let chunk: Vec<u8> = (0..left.min(CHUNK))
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            left -= chunk.len();
            digest.update(&chunk);
            channel.send(Message::Binary(chunk.into())).await?;
        }
        let sha256 = hexadecimal(digest);
        channel.send(sha256.as_str()).await?;
        Ok(json!({ "bytes": self.bytes, "sha256": sha256 }))
    }

    /// Opens a channel that the other side closes.
    async fn open_goodbye(&self) -> Result<(), Failure> {
        let channel = self.connection.create_data_channel("goodbye", DataChannelInit::default())?;
        channel.send("goodbye").await?;
        Ok(channel.closed().await?)
    }
}

async fn receive(channel: &DataChannel) -> Result<Received, Failure> {
    let greeting = match channel.recv().await {
        Some(Message::Text(greeting)) => greeting,
        other => return Err(unexpected(channel, other).await),
    };
    let mut digest = Context::new(&SHA256);
    let mut bytes = 0;
    loop {
        match channel.recv().await {
            Some(Message::Binary(chunk)) => {
                bytes += chunk.len();
                digest.update(&chunk);
            }
            Some(Message::Text(sha256)) => {
                let found = hexadecimal(digest);
                if found != sha256 {
                    return Err(
                        format!("{bytes} bytes came with the digest {found} instead of {sha256}").into()
                    );
                }
                return Ok(Received { greeting, bytes, sha256 });
            }
            None => return Err(unexpected(channel, None).await),
        }
    }
}

/// Closes the channel that the other side opens.
async fn close_goodbye(theirs: &mut mpsc::Receiver<DataChannel>) -> Result<(), Failure> {
    let channel = theirs.recv().await.ok_or("no goodbye came")?;
    expect(&channel, "goodbye").await?;
    channel.close();
    Ok(channel.closed().await?)
}

async fn expect(channel: &DataChannel, text: &str) -> Result<(), Failure> {
    match channel.recv().await {
        Some(Message::Text(found)) if found == text => Ok(()),
        other => Err(unexpected(channel, other).await),
    }
}

/// Describes an unexpected message, or the unexpected end of the channel.
async fn unexpected(channel: &DataChannel, message: Option<Message>) -> Failure {
    match message {
        Some(Message::Text(text)) => format!("unexpected: {text:?}").into(),
        Some(Message::Binary(bytes)) => format!("unexpected: {} bytes", bytes.len()).into(),
        None => match channel.closed().await {
            Ok(()) => "the other side closed the channel".into(),
            Err(error) => error.into(),
        },
    }
}

fn hexadecimal(digest: Context) -> String {
    digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
