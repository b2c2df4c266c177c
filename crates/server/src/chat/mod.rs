//! `columba chat LINK`: a terminal in a session with the call page's chat.

mod link;
mod message;
mod negotiation;
mod remote_peer;
mod screen;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::time::Duration;

use clap::Args;
use columba::signaling::{
    ErrorCode, PeerId, SignalingChannel, SignalingError, SignalingEvent, SignalingEvents, SignalingOptions,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::link::SessionLink;
use self::message::CallMessage;
use self::remote_peer::{Gone, PeerCommand, RemotePeer};
use crate::failure::Failure;

/// The most commands that wait for a remote peer; more are dropped, and a sender that needs an
/// answer repeats itself.
const MAX_COMMANDS: usize = 256;

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
    Conversation { channel, events, name, guests: 0, peers: BTreeMap::new(), tasks: JoinSet::new() }
        .hold()
        .await
}

/// The error as a sentence.
fn failure(error: &SignalingError) -> Failure {
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
    channel: SignalingChannel,
    events: SignalingEvents,
    name: String,
    /// The number of peers so far, to name those without a name.
    guests: u32,
    peers: BTreeMap<PeerId, mpsc::Sender<PeerCommand>>,
    tasks: JoinSet<(PeerId, Gone)>,
}

impl Conversation {
    async fn hold(mut self) -> Result<(), Failure> {
        let mut lines = read_lines();
        let mut interrupt = std::pin::pin!(interrupted());
        let mut end_of_signaling = None;
        loop {
            if let Some(end) = end_of_signaling.take_if(|_| self.peers.is_empty()) {
                return Err(end);
            }
            // Lines that are typed before a peer has come wait in the input.
            let has_company = self.guests > 0;
            tokio::select! {
                event = self.events.recv(), if end_of_signaling.is_none() => match event {
                    Some(SignalingEvent::Closed(error)) => end_of_signaling = Some(failure(&error)),
                    Some(event) => self.handle_event(event),
                    None => end_of_signaling = Some(failure(&SignalingError::Closed)),
                },
                line = lines.recv(), if has_company => match line {
                    Some(line) => self.send_line(&line),
                    None => return self.leave(LAST_LINES).await,
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Ok((peer, _)) = ended {
                        self.peers.remove(&peer);
                    }
                }
                () = &mut interrupt => return self.leave(Duration::ZERO).await,
            }
        }
    }

    fn handle_event(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::PeerJoined { peer, .. } => {
                if self.peers.contains_key(&peer) {
                    // It is the same peer as before, whatever happened to the server meanwhile.
                    self.command(peer, PeerCommand::Reachable { anew: true });
                } else {
                    self.add(peer);
                }
            }
            SignalingEvent::PeerLeft { peer, reason } => self.command(peer, PeerCommand::Unreachable(reason)),
            SignalingEvent::Message { from, data } => {
                let Some(message) = CallMessage::read(&data) else { return };
                // One that has left on this channel may be calling again.
                let is_here = self.peers.contains_key(&from);
                if !is_here && message.bye != Some(true) && self.channel.is_reachable(from) {
                    self.add(from);
                }
                self.command(from, PeerCommand::Signal(message));
            }
            SignalingEvent::IceServers => self.share_ice_servers(),
            SignalingEvent::Open { rejoined } => {
                self.share_ice_servers();
                let peers: Vec<PeerId> = self.peers.keys().copied().collect();
                for peer in peers.into_iter().filter(|peer| self.channel.is_reachable(*peer)) {
                    self.command(peer, PeerCommand::Reachable { anew: rejoined });
                }
            }
            SignalingEvent::Refused(refusal) if refusal.code != ErrorCode::NoSuchPeer => {
                screen::note(&refusal.message);
            }
            _ => {}
        }
    }

    /// Gives every connection the credentials that the server has sent.
    fn share_ice_servers(&self) {
        for peer in self.peers.keys() {
            self.command(*peer, PeerCommand::IceServers);
        }
    }

    fn add(&mut self, peer: PeerId) {
        self.guests += 1;
        let (sender, commands) = mpsc::channel(MAX_COMMANDS);
        let guest = format!("Guest {}", self.guests);
        let remote = RemotePeer::new(self.channel.clone(), peer, &self.name, guest);
        self.tasks.spawn(remote.run(commands));
        self.peers.insert(peer, sender);
    }

    fn command(&self, peer: PeerId, command: PeerCommand) {
        if let Some(remote) = self.peers.get(&peer) {
            // A peer that missed a message asks again.
            let _ = remote.try_send(command);
        }
    }

    fn send_line(&self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.peers.is_empty() {
            screen::note("There is no one here to read it.");
        }
        for remote in self.peers.values() {
            if remote.try_send(PeerCommand::Chat(line.to_owned())).is_err() {
                screen::note("A participant does not keep up, and misses this line.");
            }
        }
    }

    /// Leaves, after the waiting lines have been sent, for which there is so much time.
    async fn leave(mut self, patience: Duration) -> Result<(), Failure> {
        for remote in self.peers.values() {
            let _ = remote.send(PeerCommand::Leave(patience)).await;
        }
        let mut unsent_lines = 0;
        while !self.tasks.is_empty() {
            tokio::select! {
                // The last lines may still need a connection.
                Some(event) = self.events.recv() => if let SignalingEvent::Message { from, data } = event {
                    CallMessage::read(&data).into_iter().for_each(|message| self.command(from, PeerCommand::Signal(message)));
                },
                Some(ended) = self.tasks.join_next() => if let Ok((_, Gone::Parted { unsent })) = ended {
                    unsent_lines += unsent;
                },
            }
        }
        // For those to whom no connection was made.
        let _ = self.channel.send(None, &CallMessage::bye().envelope());
        self.channel.close().await;
        if unsent_lines > 0 && !patience.is_zero() {
            return Err(Failure::new(
                "Not every participant got your last lines: no connection came up in time.",
            ));
        }
        Ok(())
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
async fn interrupted() {
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
