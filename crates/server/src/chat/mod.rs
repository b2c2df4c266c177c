//! `columba chat LINK`: a terminal in a session with the call page's chat.

mod companion;
mod link;
mod message;
mod negotiation;
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

use self::companion::{Companion, Gone, Word};
use self::link::Link;
use self::message::CallMessage;
use crate::failure::Failure;

/// Words that wait for a companion, at most; what comes then is dropped, and said again by whoever needs it.
const MAX_WORDS: usize = 256;

/// Lines that are read ahead.
const MAX_LINES: usize = 16;

/// How long what was said may take to be heard once the input has ended.
const LAST_LINES: Duration = Duration::from_secs(15);

/// The command's options.
#[derive(Clone, Debug, Args)]
#[command(about = "Chat with everybody in a session, terminal or browser, directly")]
pub(crate) struct ChatOptions {
    /// The link to the session, as the call page shows it; without the part behind # a new session is made
    link: String,
    /// What the others are to call you
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// Wait for others if nobody is in the session
    #[arg(long)]
    wait: bool,
}

/// Chats until the input ends or somebody interrupts.
pub(crate) fn run(options: &ChatOptions) -> Result<(), Failure> {
    let link = Link::parse(&options.link)?;
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

async fn chat(options: &ChatOptions, link: Link) -> Result<(), Failure> {
    let url = link.signaling();
    let signaling = match &link.session {
        Some(session) => SignalingOptions::join(url, session.clone()),
        None => SignalingOptions::create(url),
    };
    let (channel, events) = SignalingChannel::open(signaling).await.map_err(|error| failure(&error))?;
    match channel.session() {
        Some(session) if link.session.is_none() => {
            screen::note(&format!("This is a new session: {}", link.to(&session)));
        }
        _ if channel.peers().is_empty() && !options.wait => {
            channel.close().await;
            let hint = "check the link, or wait for others with --wait";
            return Err(Failure::new(format!("There is no such session, because nobody is in it; {hint}.")));
        }
        _ => {}
    }
    if channel.peers().is_empty() {
        screen::note("Nobody else is here yet.");
    }
    let name = options.name.trim().to_owned();
    Conversation { channel, events, name, guests: 0, companions: BTreeMap::new(), tasks: JoinSet::new() }
        .hold()
        .await
}

/// The error as a sentence.
fn failure(error: &SignalingError) -> Failure {
    if let SignalingError::Refused(refusal) = error {
        return match refusal.code {
            ErrorCode::SessionFull => Failure::new("The session is full."),
            _ => Failure::new(refusal.message.clone()),
        };
    }
    let sentence = error.to_string();
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    Failure::new(format!("{first}{}.", letters.as_str()))
}

/// Everybody in the session.
struct Conversation {
    channel: SignalingChannel,
    events: SignalingEvents,
    name: String,
    /// How many have come, to name those who do not say their name.
    guests: u32,
    companions: BTreeMap<PeerId, mpsc::Sender<Word>>,
    tasks: JoinSet<(PeerId, Gone)>,
}

impl Conversation {
    async fn hold(mut self) -> Result<(), Failure> {
        let mut lines = read_lines();
        let mut interrupt = std::pin::pin!(interrupted());
        let mut end_of_signaling = None;
        loop {
            if let Some(end) = end_of_signaling.take_if(|_| self.companions.is_empty()) {
                return Err(end);
            }
            // What is said before anybody has come waits in the input.
            let has_company = self.guests > 0;
            tokio::select! {
                event = self.events.recv(), if end_of_signaling.is_none() => match event {
                    Some(SignalingEvent::Closed(error)) => end_of_signaling = Some(failure(&error)),
                    Some(event) => self.hear(event),
                    None => end_of_signaling = Some(failure(&SignalingError::Closed)),
                },
                line = lines.recv(), if has_company => match line {
                    Some(line) => self.say(&line),
                    None => return self.leave(LAST_LINES).await,
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Ok((peer, _)) = ended {
                        self.companions.remove(&peer);
                    }
                }
                () = &mut interrupt => return self.leave(Duration::ZERO).await,
            }
        }
    }

    fn hear(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::PeerJoined { peer, .. } => {
                if self.companions.contains_key(&peer) {
                    // It is the same peer as before, whatever happened to the server meanwhile.
                    self.tell(peer, Word::Reachable { anew: true });
                } else {
                    self.add(peer);
                }
            }
            SignalingEvent::PeerLeft { peer, reason } => self.tell(peer, Word::Unreachable(reason)),
            SignalingEvent::Message { from, data } => {
                let Some(message) = CallMessage::read(&data) else { return };
                // One that has said goodbye on this channel may be calling again.
                let is_here = self.companions.contains_key(&from);
                if !is_here && message.bye != Some(true) && self.channel.is_reachable(from) {
                    self.add(from);
                }
                self.tell(from, Word::Signal(message));
            }
            SignalingEvent::Open { rejoined } => {
                let companions: Vec<PeerId> = self.companions.keys().copied().collect();
                for peer in companions.into_iter().filter(|peer| self.channel.is_reachable(*peer)) {
                    self.tell(peer, Word::Reachable { anew: rejoined });
                }
            }
            SignalingEvent::Refused(refusal) if refusal.code != ErrorCode::NoSuchPeer => {
                screen::note(&refusal.message);
            }
            _ => {}
        }
    }

    fn add(&mut self, peer: PeerId) {
        self.guests += 1;
        let (sender, words) = mpsc::channel(MAX_WORDS);
        let guest = format!("Guest {}", self.guests);
        let companion = Companion::new(self.channel.clone(), peer, &self.name, guest);
        self.tasks.spawn(companion.run(words));
        self.companions.insert(peer, sender);
    }

    fn tell(&self, peer: PeerId, word: Word) {
        if let Some(companion) = self.companions.get(&peer) {
            // One that is too busy to hear will ask again.
            let _ = companion.try_send(word);
        }
    }

    fn say(&self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.companions.is_empty() {
            screen::note("Nobody is here to hear it.");
        }
        for companion in self.companions.values() {
            if companion.try_send(Word::Chat(line.to_owned())).is_err() {
                screen::note("Somebody does not keep up, and misses what you say.");
            }
        }
    }

    /// Says goodbye to everybody, after what waits has been heard, for which there is so much time.
    async fn leave(mut self, patience: Duration) -> Result<(), Failure> {
        for companion in self.companions.values() {
            let _ = companion.send(Word::Leave(patience)).await;
        }
        let mut unheard_lines = 0;
        while !self.tasks.is_empty() {
            tokio::select! {
                // What was said may still need a connection.
                Some(event) = self.events.recv() => if let SignalingEvent::Message { from, data } = event {
                    CallMessage::read(&data).into_iter().for_each(|message| self.tell(from, Word::Signal(message)));
                },
                Some(ended) = self.tasks.join_next() => if let Ok((_, Gone::Parted { unheard })) = ended {
                    unheard_lines += unheard;
                },
            }
        }
        // For those to whom no connection was made.
        let _ = self.channel.send(None, &CallMessage::bye().envelope());
        self.channel.close().await;
        if unheard_lines > 0 && !patience.is_zero() {
            return Err(Failure::new(
                "Not everybody has heard what was said: no connection came up in time.",
            ));
        }
        Ok(())
    }
}

/// The lines of the input, until it ends. They are read on a thread of their own, which may wait for ever.
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
