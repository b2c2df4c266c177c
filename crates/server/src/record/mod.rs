//! `columba record LINK`: what others say and show in a session of the call page, in files.

mod codec;
mod file;
mod participant;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use columba::RtpReceiver;
use columba::call::{Call, CallEvent, CallEvents, CallMedia};
use columba::signaling::{PeerId, SignalingError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::participant::{Arrived, MAX_FRAMES, Participant, take_frames};
use crate::chat::message::DataMessage;
use crate::chat::{failure, interrupted, screen};
use crate::failure::Failure;
use crate::play::session::{Entrance, runtime};

/// The time in which the files must be complete after the end.
const ENDING: Duration = Duration::from_secs(10);

/// The command's options.
#[derive(Clone, Debug, Args)]
#[command(about = "Record everybody in a session of the call page, each into a file, until interrupted")]
pub(crate) struct RecordOptions {
    /// The link to the session, as the call page shows it; without the part behind # a new session
    /// is made
    #[arg(value_name = "LINK")]
    link: String,
    /// The directory for the files: WebM, or MP4 for H.264, under the names of the participants
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,
    /// The name that the others see
    #[arg(long, value_name = "NAME", default_value = "Recorder")]
    name: String,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Wait for others if the session is empty
    #[arg(long)]
    wait: bool,
    /// The key that the server asks for, if it does; a link may have it too, as #TOKEN&key=KEY
    #[arg(long, value_name = "KEY", env = "COLUMBA_JOIN_KEY", hide_env_values = true)]
    join_key: Option<String>,
}

/// Records until the program is interrupted, or the time is over.
pub(crate) fn run(options: &RecordOptions) -> Result<(), Failure> {
    if !options.directory.is_dir() {
        let directory = options.directory.display();
        return Err(Failure::new(format!("{directory} is not a directory; make it, or name another one.")));
    }
    let runtime = runtime()?;
    let result = runtime.block_on(record(options));
    runtime.shutdown_background();
    result
}

async fn record(options: &RecordOptions) -> Result<(), Failure> {
    let entrance = Entrance {
        link: &options.link,
        join_key: options.join_key.as_deref(),
        waits: options.wait,
        media: CallMedia { tracks: Vec::new(), receives: true },
    };
    let (call, events) = entrance.enter().await?;
    let studio = Studio {
        call,
        directory: options.directory.clone(),
        name: options.name.trim().to_owned(),
        guests: 0,
        participants: BTreeMap::new(),
        files: JoinSet::new(),
    };
    studio.record(events, options.seconds.map(Duration::from_secs)).await
}

/// The recordings of all participants.
struct Studio {
    call: Call,
    directory: PathBuf,
    name: String,
    /// The number of peers so far, to name those without a name.
    guests: u32,
    participants: BTreeMap<PeerId, Guest>,
    files: JoinSet<()>,
}

/// A participant.
struct Guest {
    name: watch::Sender<String>,
    frames: mpsc::Sender<Arrived>,
}

impl Studio {
    async fn record(mut self, mut events: CallEvents, limit: Option<Duration>) -> Result<(), Failure> {
        let mut interrupt = std::pin::pin!(interrupted());
        let mut end = std::pin::pin!(tokio::time::sleep(limit.unwrap_or_default()));
        let mut end_of_signaling = SignalingError::Closed;
        let result = loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(CallEvent::SignalingClosed(error)) => end_of_signaling = error,
                    Some(event) => self.handle_event(event),
                    None => break Err(failure(&end_of_signaling)),
                },
                Some(_) = self.files.join_next() => {}
                () = &mut end, if limit.is_some() => break Ok(()),
                () = &mut interrupt => break Ok(()),
            }
        };
        self.call.leave(Duration::ZERO).await;
        // The receivers are gone with the connections: each file ends.
        self.participants.clear();
        let ending = async { while self.files.join_next().await.is_some() {} };
        if tokio::time::timeout(ENDING, ending).await.is_err() {
            screen::note("The disk is too slow: the last seconds may be missing.");
        }
        result
    }

    fn handle_event(&mut self, event: CallEvent) {
        match event {
            CallEvent::PeerJoined { peer, .. } => self.joined(peer),
            CallEvent::PeerConnected { peer, .. } => self.announce(peer),
            CallEvent::TrackAdded { peer, track } => {
                self.joined(peer);
                self.listen(peer, track.transceiver.receiver());
            }
            CallEvent::Message { peer, text } => {
                if let Some(DataMessage::Status { name, .. }) = DataMessage::read(&text)
                    && let Some(guest) = self.participants.get(&peer).filter(|_| !name.is_empty())
                {
                    guest.name.send_replace(name);
                }
            }
            CallEvent::PeerLeft { peer, .. } => {
                self.participants.remove(&peer);
            }
            CallEvent::SignalingRefused(refusal) => screen::note(&refusal.message),
            CallEvent::PeerFailed { error, .. } => {
                screen::note(&format!("A connection has failed: {error}."));
            }
            _ => {}
        }
    }

    fn joined(&mut self, peer: PeerId) {
        if self.participants.contains_key(&peer) {
            return;
        }
        self.guests += 1;
        let (name, named) = watch::channel(format!("guest-{}", self.guests));
        let (sender, frames) = mpsc::channel(MAX_FRAMES);
        self.participants.insert(peer, Guest { name, frames: sender });
        self.files.spawn(Participant::new(self.directory.clone(), named).run(frames));
    }

    /// Tells a participant that it is recorded: everybody sees it in the page.
    fn announce(&self, peer: PeerId) {
        let status = DataMessage::Status {
            name: self.name.clone(),
            microphone: false,
            camera: false,
            recording: true,
        };
        // It waits for the channel; a call that is over has no participants.
        let _ = self.call.send(peer, status.to_json());
    }

    fn listen(&self, peer: PeerId, receiver: RtpReceiver) {
        if let Some(guest) = self.participants.get(&peer) {
            tokio::spawn(take_frames(receiver, guest.frames.clone()));
        }
    }
}
