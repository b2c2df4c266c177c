//! `columba play FILE LINK`: a film for everybody in a session of the call page.

mod film;
pub(crate) mod session;
mod watcher;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use columba::call::{Call, CallEvent, CallEvents, CallMedia};
use columba::signaling::{PeerId, SignalingError};
use columba::{EncoderRequest, PeerConnection, RtpSender, Track};
use columba_containers::{Codec, Error, Frame};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use self::film::Film;
use self::session::Entrance;
use self::watcher::{Group, Shown, Watcher};
use crate::chat::message::DataMessage;
use crate::chat::{failure, interrupted, screen};
use crate::failure::Failure;

/// Requests that wait to be looked at.
const MAX_REQUESTS: usize = 64;

/// The time for which the last packets may be under way.
const LAST_PACKETS: Duration = Duration::from_secs(1);

/// The command's options.
#[derive(Clone, Debug, Args)]
#[command(about = "Play a film to everybody in a session of the call page, as it is encoded")]
pub(crate) struct PlayOptions {
    /// The file: WebM, Matroska or IVF with VP8, VP9 or AV1, MP4 with H.264, Ogg with Opus
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The link to the session, as the call page shows it; without the part behind # a new session
    /// is made
    #[arg(value_name = "LINK")]
    link: String,
    /// The name that the others see; the file's name by default
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Begin again at the end, until interrupted
    #[arg(long = "loop")]
    repeats: bool,
    /// Wait for others if the session is empty
    #[arg(long)]
    wait: bool,
    /// The key that the server asks for, if it does; a link may have it too, as #TOKEN&key=KEY
    #[arg(long, value_name = "KEY", env = "COLUMBA_JOIN_KEY", hide_env_values = true)]
    join_key: Option<String>,
}

/// Plays until the film ends or the program is interrupted.
pub(crate) fn run(options: &PlayOptions) -> Result<(), Failure> {
    let film = Film::open(&options.file)?;
    let runtime = session::runtime()?;
    let result = runtime.block_on(play(options, film));
    runtime.shutdown_background();
    result
}

async fn play(options: &PlayOptions, film: Film) -> Result<(), Failure> {
    let tracks = [film.video.map(|_| Track::video("picture")), film.audio.map(|_| Track::audio("sound"))];
    let entrance = Entrance {
        link: &options.link,
        join_key: options.join_key.as_deref(),
        waits: options.wait,
        media: CallMedia { tracks: tracks.into_iter().flatten().collect(), receives: false },
    };
    let (call, events) = entrance.enter().await?;
    let stem = options.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = options.name.clone().or(stem).unwrap_or_default();
    let (sender, requests) = mpsc::channel(MAX_REQUESTS);
    let theater = Theater {
        call,
        name: name.trim().to_owned(),
        video: film.video,
        audio: film.audio,
        watchers: BTreeMap::new(),
        group: Group::default(),
        begin: None,
        requests: sender,
    };
    theater.show(events, film, options.repeats, requests).await
}

/// The film, and those who watch it.
struct Theater {
    call: Call,
    name: String,
    video: Option<(usize, Codec)>,
    audio: Option<(usize, Codec)>,
    watchers: BTreeMap<PeerId, Watcher>,
    group: Group,
    /// The time of the first frame, from the first watcher on.
    begin: Option<Instant>,
    requests: mpsc::Sender<PeerId>,
}

impl Theater {
    async fn show(
        mut self,
        mut events: CallEvents,
        film: Film,
        repeats: bool,
        mut requests: mpsc::Receiver<PeerId>,
    ) -> Result<(), Failure> {
        let mut frames = film.read(repeats);
        let mut next: Option<Frame> = None;
        let mut interrupt = std::pin::pin!(interrupted());
        let mut end_of_signaling = SignalingError::Closed;
        loop {
            let due = next.as_ref().zip(self.begin).map(|(frame, begin)| begin + frame.timestamp);
            tokio::select! {
                event = events.recv() => match event {
                    Some(CallEvent::SignalingClosed(error)) => end_of_signaling = error,
                    Some(event) => self.handle_event(event),
                    None => return Err(failure(&end_of_signaling)),
                },
                Some(peer) = requests.recv() => {
                    if let Some(watcher) = self.watchers.get_mut(&peer) {
                        watcher.needs_key = true;
                    }
                },
                frame = frames.recv(), if next.is_none() && self.begin.is_some() => match frame {
                    Some(Ok(frame)) => next = Some(frame),
                    Some(Err(error)) => return self.end(Some(error)).await,
                    None => return self.end(None).await,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    if let Some(frame) = next.take() {
                        self.show_frame(&frame);
                    }
                },
                () = &mut interrupt => {
                    self.call.leave(Duration::ZERO).await;
                    return Ok(());
                },
            }
        }
    }

    /// The film has ended.
    async fn end(self, error: Option<Error>) -> Result<(), Failure> {
        tokio::time::sleep(LAST_PACKETS).await;
        self.call.leave(LAST_PACKETS).await;
        match error {
            Some(error) => Err(Failure::new(format!("The file is damaged: {error}."))),
            None => Ok(()),
        }
    }

    fn handle_event(&mut self, event: CallEvent) {
        match event {
            CallEvent::PeerConnected { peer, connection } => self.seat(peer, connection),
            CallEvent::PeerLeft { peer, .. } => {
                self.watchers.remove(&peer);
            }
            CallEvent::SignalingRefused(refusal) => screen::note(&refusal.message),
            CallEvent::PeerFailed { error, .. } => {
                screen::note(&format!("A connection has failed: {error}."));
            }
            _ => {}
        }
    }

    /// Lets a participant watch.
    fn seat(&mut self, peer: PeerId, connection: PeerConnection) {
        let status = DataMessage::Status {
            name: self.name.clone(),
            microphone: self.audio.is_some(),
            camera: self.video.is_some(),
            recording: false,
        };
        // It waits for the channel; a call that is over has no participants.
        let _ = self.call.send(peer, status.to_json());
        let watcher = Watcher::new(connection);
        if let Some(sender) = watcher.video() {
            tokio::spawn(pass_on(sender.clone(), peer, self.requests.clone()));
        }
        self.watchers.insert(peer, watcher);
        self.begin.get_or_insert_with(Instant::now);
    }

    fn show_frame(&mut self, frame: &Frame) {
        let Some(begin) = self.begin else { return };
        let codec_of = |track: Option<(usize, Codec)>| {
            track.filter(|(index, _)| *index == frame.track).map(|(_, codec)| codec)
        };
        if let Some(codec) = codec_of(self.video) {
            self.group.add(frame);
            for watcher in self.watchers.values_mut() {
                let shown = watcher.see(codec, frame, &self.group, begin);
                if shown == Shown::NoCodec && !std::mem::replace(&mut watcher.was_told, true) {
                    screen::note(
                        "A participant's browser cannot show the picture: it has not got the codec.",
                    );
                }
            }
        } else if let Some(codec) = codec_of(self.audio) {
            for watcher in self.watchers.values_mut() {
                watcher.hear(codec, frame, begin);
            }
        }
    }
}

/// Passes the requests for key frames on, until the sender is gone.
async fn pass_on(sender: RtpSender, peer: PeerId, requests: mpsc::Sender<PeerId>) {
    while let Some(request) = sender.next_request().await {
        // The file is as it is: a bitrate changes nothing.
        if matches!(request, EncoderRequest::KeyFrame { .. }) && requests.send(peer).await.is_err() {
            return;
        }
    }
}
