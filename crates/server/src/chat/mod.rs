//! `columba chat LINK`: a terminal in a session with the call page's chat.

pub(crate) mod link;
pub(crate) mod message;
pub(crate) mod screen;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::time::Duration;

use clap::Args;
use columba::call::{Call, CallEvent, CallEvents, CallOptions, PeerEnd};
use columba::signaling::{ErrorCode, PeerId, SignalingChannel, SignalingError, SignalingOptions};
use tokio::sync::mpsc;

use self::link::SessionLink;
use self::message::DataMessage;
use crate::failure::Failure;

/// Lines that are read ahead.
const MAX_LINES: usize = 16;

/// The time in which the last lines must be sent once the input has ended.
const LAST_LINES: Duration = Duration::from_secs(15);

/// The command's options.
#[derive(Clone, Debug, Args)]
#[command(about = "Chat with everybody in a session, terminal or browser, directly")]
pub(crate) struct ChatOptions {
    /// The link to the session, as the call page shows it; without the part behind # a new session
    /// is made
    link: String,
    /// The name that the others see
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// Wait for others if the session is empty
    #[arg(long)]
    wait: bool,
    /// The key that the server asks for, if it does; a link may have it too, as #TOKEN&key=KEY
    #[arg(long, value_name = "KEY", env = "COLUMBA_JOIN_KEY", hide_env_values = true)]
    join_key: Option<String>,
}

/// Chats until the input ends or the program is interrupted.
pub(crate) fn run(options: &ChatOptions) -> Result<(), Failure> {
    let link = SessionLink::parse(&options.link)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("The system gives no threads ({error}).")))?;
    let result = runtime.block_on(chat(options, link));
    // The thread that reads the input may still wait for a line.
    runtime.shutdown_background();
    result
}

async fn chat(options: &ChatOptions, link: SessionLink) -> Result<(), Failure> {
    let url = link.signaling();
    let mut signaling = match &link.session {
        Some(session) => SignalingOptions::join(url, session.clone()),
        None => SignalingOptions::create(url),
    };
    signaling.join_key = match options.join_key.as_deref().filter(|key| !key.is_empty()) {
        Some(key) => Some(link::join_key(key)?),
        None => link.key.clone(),
    };
    let (channel, events) = SignalingChannel::open(signaling).await.map_err(|error| failure(&error))?;
    match channel.session() {
        Some(session) if link.session.is_none() => {
            screen::note(&format!("This is a new session: {}", link.to(&session)));
        }
        _ if channel.peers().is_empty() && !options.wait => {
            channel.close().await;
            let hint = "check the link, or wait for others with --wait";
            return Err(Failure::new(format!("There is no such session, because it is empty; {hint}.")));
        }
        _ => {}
    }
    if channel.peers().is_empty() {
        screen::note("You are the first one here.");
    }
    let name = options.name.trim().to_owned();
    let (call, events) =
        Call::over(channel, events, CallOptions::default()).map_err(|error| failure(&error))?;
    Conversation { call, events, name, guests: 0, peers: BTreeMap::new(), missed: 0 }.hold().await
}

/// The error as a sentence.
pub(crate) fn failure(error: &SignalingError) -> Failure {
    if let SignalingError::Refused(refusal) = error {
        return match refusal.code {
            ErrorCode::SessionFull => Failure::new("The session is full."),
            ErrorCode::KeyRequired => {
                Failure::new("The server asks for a join key: give it with --join-key.")
            }
            ErrorCode::WrongKey => Failure::new("This is not the server's join key: check --join-key."),
            _ => Failure::new(refusal.message.clone()),
        };
    }
    let sentence = error.to_string();
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    Failure::new(format!("{first}{}.", letters.as_str()))
}

/// The participants of the session.
struct Conversation {
    call: Call,
    events: CallEvents,
    name: String,
    /// The number of peers so far, to name those without a name.
    guests: u32,
    peers: BTreeMap<PeerId, Participant>,
    /// Participants that left before a connection to them was made: the status to each of them was
    /// never sent.
    missed: usize,
}

/// Another participant.
struct Participant {
    /// The name that is shown for it.
    name: String,
    /// A connection to it was made.
    was_connected: bool,
    /// It has said who it is.
    was_announced: bool,
}

impl Conversation {
    async fn hold(mut self) -> Result<(), Failure> {
        let mut lines = read_lines();
        let mut interrupt = std::pin::pin!(interrupted());
        let mut end_of_signaling = SignalingError::Closed;
        loop {
            // Lines that are typed before a peer has come wait in the input.
            let has_company = self.guests > 0;
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(CallEvent::SignalingClosed(error)) => end_of_signaling = error,
                    Some(event) => self.handle_event(event),
                    None => return Err(failure(&end_of_signaling)),
                },
                line = lines.recv(), if has_company => match line {
                    Some(line) => self.send_line(&line),
                    None => return self.leave(LAST_LINES).await,
                },
                () = &mut interrupt => return self.leave(Duration::ZERO).await,
            }
        }
    }

    fn handle_event(&mut self, event: CallEvent) {
        match event {
            CallEvent::PeerJoined { peer, .. } => self.joined(peer),
            CallEvent::SignalingRefused(refusal) => screen::note(&refusal.message),
            CallEvent::PeerLeft { peer, end } => {
                if let Some(participant) = self.peers.remove(&peer) {
                    self.missed += usize::from(!participant.was_connected);
                    participant.left(end);
                }
            }
            CallEvent::PeerConnected { peer, .. } => {
                if let Some(participant) = self.peers.get_mut(&peer)
                    && std::mem::replace(&mut participant.was_connected, true)
                {
                    if participant.was_announced {
                        screen::note(&format!("The connection to {} is back.", participant.name));
                    }
                    self.send(peer, &DataMessage::status(&self.name));
                }
            }
            CallEvent::PeerInterrupted { peer } => {
                self.note(peer, |name| format!("The connection to {name} is interrupted."))
            }
            CallEvent::PeerRestored { peer } => {
                self.note(peer, |name| format!("The connection to {name} is back."))
            }
            CallEvent::PeerFailed { peer, error } => {
                if let Some(participant) = self.peers.get(&peer) {
                    screen::note(&format!("The connection to {} has failed: {error}.", participant.name));
                }
            }
            CallEvent::Message { peer, text } => self.handle_message(peer, &text),
            _ => {}
        }
    }

    fn joined(&mut self, peer: PeerId) {
        self.guests += 1;
        let name = format!("Guest {}", self.guests);
        self.peers.insert(peer, Participant { name, was_connected: false, was_announced: false });
        // It goes first, so that the other side knows whose lines follow.
        self.send(peer, &DataMessage::status(&self.name));
    }

    /// Shows a note about a participant that is known.
    fn note(&self, peer: PeerId, sentence: impl Fn(&str) -> String) {
        if let Some(participant) = self.peers.get(&peer).filter(|participant| participant.was_announced) {
            screen::note(&sentence(&participant.name));
        }
    }

    fn handle_message(&mut self, peer: PeerId, text: &str) {
        let Some(participant) = self.peers.get_mut(&peer) else { return };
        match DataMessage::read(text) {
            Some(DataMessage::Chat { text }) => screen::chat(&participant.name, &text),
            Some(DataMessage::Status { name, .. }) => participant.status(name),
            None => {}
        }
    }

    fn send_line(&self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.peers.is_empty() {
            screen::note("There is no one here to read it.");
        }
        for peer in self.peers.keys() {
            if !self.send(*peer, &DataMessage::chat(line)) {
                screen::note("A participant does not keep up, and misses this line.");
            }
        }
    }

    /// Returns whether the call took the message.
    fn send(&self, peer: PeerId, message: &DataMessage) -> bool {
        self.call.send(peer, message.to_json()).is_ok()
    }

    /// Leaves, after the waiting lines have been sent, for which there is so much time.
    async fn leave(mut self, patience: Duration) -> Result<(), Failure> {
        let call = self.call.clone();
        let mut leaving = std::pin::pin!(call.leave(patience));
        let unsent = loop {
            tokio::select! {
                unsent = &mut leaving => break unsent,
                Some(event) = self.events.recv() => match event {
                    CallEvent::PeerConnected { .. } | CallEvent::Message { .. } => self.handle_event(event),
                    _ => {}
                },
            }
        };
        // For those to whom no connection was made, the status was not sent either, and is no line.
        let statuses = self.peers.values().filter(|participant| !participant.was_connected).count();
        if unsent > statuses + self.missed && !patience.is_zero() {
            return Err(Failure::new(
                "Not every participant got your last lines: no connection came up in time.",
            ));
        }
        Ok(())
    }
}

impl Participant {
    fn status(&mut self, name: String) {
        let is_new = !name.is_empty() && name != self.name;
        if !std::mem::replace(&mut self.was_announced, true) {
            if is_new {
                self.name = name;
            }
            screen::note(&format!("{} is here.", self.name));
        } else if is_new {
            screen::note(&format!("{} is now called {name}.", self.name));
            self.name = name;
        }
    }

    fn left(&self, end: PeerEnd) {
        let name = &self.name;
        match end {
            PeerEnd::Left if self.was_announced => screen::note(&format!("{name} has left.")),
            PeerEnd::Vanished if self.was_announced => {
                screen::note(&format!("{name} has vanished: neither the server nor a connection reaches it."))
            }
            PeerEnd::Vanished => screen::note(&format!("{name} went away before a connection was made.")),
            _ => {}
        }
    }
}

/// The lines of the input, until it ends. They are read on a thread of their own, which may wait
/// for ever.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(MAX_LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without signals the end of the input is the only end.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
