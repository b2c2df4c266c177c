//! `columba offer` and `columba answer`: a connection without any server. People carry two texts,
//! by whatever they have.

mod input;
mod talk;

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use columba::{
    Configuration, DataChannel, DataChannelInit, Event, Events, IceGatheringState, IceServer, PeerConnection,
    PeerConnectionState, SdpType, SessionDescription,
};
use columba_files::{Paste, PasteKind, Purpose};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use self::input::Source;
use crate::transfer;
use crate::transfer::end::{EXIT_CODES, Stop, StopKind};
use crate::transfer::session::way;
use crate::transfer::show::{self, Show};

/// The label and the id of the channel that both sides have from the beginning, which carries chat
/// and goodbyes as in a call (`docs/call.md`).
const LABEL: &str = "columba";
const ID: u16 = 0;

/// Channels of the other side's that wait.
const MAX_CHANNELS: usize = 4;

/// The time for gathering, if a STUN server does not answer.
const GATHERING: Duration = Duration::from_secs(10);

/// The time in which the connection comes up once both sides have both texts.
const CONNECTING: Duration = Duration::from_secs(40);

/// The time for which an answer waits to be carried back.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The options of both commands.
#[derive(Clone, Debug, Args)]
pub(crate) struct PasteOptions {
    /// Send this file or folder; may be given several times. Without it, both sides chat
    #[arg(long, value_name = "PATH", conflicts_with = "pipe")]
    send: Vec<PathBuf>,
    /// Connect standard input and output of both sides (said by the side that offers)
    #[arg(long)]
    pipe: bool,
    /// The folder to which files of the other side go
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    /// Take files without asking
    #[arg(long, short)]
    yes: bool,
    /// Replace files that are there already
    #[arg(long)]
    overwrite: bool,
    /// Learn the public address from this STUN server, such as stun.example.org
    #[arg(long, value_name = "HOST[:PORT]")]
    stun: Option<String>,
    /// Read the other side's text from this file or named pipe in place of the terminal
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Print no QR code
    #[arg(long)]
    no_qr: bool,
}

/// The options of `columba offer`.
#[derive(Clone, Debug, Args)]
#[command(about = "Begin a chat, a transfer or a pipe without any server, by copy and paste", after_help = EXIT_CODES)]
pub(crate) struct OfferOptions {
    #[command(flatten)]
    paste: PasteOptions,
}

/// The options of `columba answer`.
#[derive(Clone, Debug, Args)]
#[command(about = "Answer the text of columba offer", after_help = EXIT_CODES)]
pub(crate) struct AnswerOptions {
    /// The text that the other side shows; without it, it is read from the terminal
    #[arg(value_name = "TEXT", conflicts_with = "text")]
    offer: Option<String>,
    #[command(flatten)]
    paste: PasteOptions,
}

/// Shows an offer, reads the answer, and connects.
pub(crate) fn run_offer(options: &OfferOptions) -> Result<(), Stop> {
    transfer::run(offer(&options.paste))
}

/// Reads an offer, shows the answer, and connects.
pub(crate) fn run_answer(options: &AnswerOptions) -> Result<(), Stop> {
    transfer::run(answer(options))
}

/// A connection that is being made.
struct Connecting {
    connection: PeerConnection,
    events: Events,
    /// The channel that both sides have.
    channel: DataChannel,
}

/// A connection that is up, and what both sides want of it.
struct Connected {
    connection: PeerConnection,
    /// The channels that the other side opens.
    channels: mpsc::Receiver<DataChannel>,
    /// True once the connection has failed.
    lost: watch::Receiver<bool>,
    /// The channel that both sides have.
    channel: DataChannel,
    is_offerer: bool,
    theirs: Purpose,
}

impl PasteOptions {
    fn purpose(&self) -> Purpose {
        match (self.pipe, self.send.is_empty()) {
            (true, _) => Purpose::Pipe,
            (_, false) => Purpose::Files,
            _ => Purpose::Chat,
        }
    }

    /// Files are taken by a person, or because the command line says so.
    fn can_ask(&self, theirs: Purpose) -> Result<(), Stop> {
        if theirs == Purpose::Files && !self.yes && !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            return Err(Stop::refused(
                "The other side sends files, and there is no terminal to ask at: say --yes to take them.",
            ));
        }
        Ok(())
    }

    /// Shows a text, with the word for what is to be done with it.
    fn show(&self, paste: &Paste, hint: &str) {
        let text = paste.to_string();
        eprintln!("{hint}\n\n{text}\n");
        if !self.no_qr && std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            // One that is too long for a QR code is shown as text only.
            if let Some(qr) = show::qr(&text) {
                eprintln!("{qr}");
            }
        }
    }
}

async fn offer(options: &PasteOptions) -> Result<(), Stop> {
    let show = RefCell::new(Show::new(false));
    let source = Source::new(options.text.as_deref(), options.pipe)?;
    let offer = talk::prepare(&options.send, &show)?;
    let mut connecting = Connecting::new(options)?;
    let description = set_local(&connecting.connection).await?;
    let own = Paste::offer(options.purpose(), connecting.gather(description).await?);
    options.show(&own, "Give the other side this text; it is for: columba answer");
    let answer = loop {
        source.prompt("Paste the text that columba answer shows, and press Enter:");
        let text = source.read().await?;
        match read(&text, PasteKind::Answer) {
            Ok(answer) if answer.belongs_to(&own) => break answer,
            Ok(_) => {
                source.complain("This is the answer to another offer; paste the one to the text above.")?
            }
            Err(sentence) => source.complain(&sentence)?,
        }
    };
    check(options.purpose(), answer.purpose)?;
    options.can_ask(answer.purpose)?;
    set_remote(&connecting.connection, SdpType::Answer, &answer).await?;
    let connected = connecting.wait(CONNECTING, true, answer.purpose).await?;
    talk::hold(connected, options, offer, &show).await
}

async fn answer(options: &AnswerOptions) -> Result<(), Stop> {
    let show = RefCell::new(Show::new(false));
    let (given, options) = (options.offer.as_deref(), &options.paste);
    if options.pipe {
        return Err(Stop::refused("--pipe is said by the side that offers; this side follows its text."));
    }
    let prepared = talk::prepare(&options.send, &show)?;
    let offer = match given {
        Some(text) => read(text, PasteKind::Offer).map_err(Stop::refused)?,
        None => {
            // What the offer is for is not known before it was read.
            let source = Source::new(options.text.as_deref(), false)?;
            loop {
                source.prompt("Paste the text that columba offer shows, and press Enter:");
                match read(&source.read().await?, PasteKind::Offer) {
                    Ok(offer) => break offer,
                    Err(sentence) => source.complain(&sentence)?,
                }
            }
        }
    };
    check(options.purpose(), offer.purpose)?;
    options.can_ask(offer.purpose)?;
    let mut connecting = Connecting::new(options)?;
    set_remote(&connecting.connection, SdpType::Offer, &offer).await?;
    let description = set_local(&connecting.connection).await?;
    let own = Paste::answer(&offer, options.purpose(), connecting.gather(description).await?);
    options.show(&own, "Give this text back to the other side, which pastes it:");
    let connected = connecting.wait(A_DAY, false, offer.purpose).await?;
    talk::hold(connected, options, prepared, &show).await
}

/// Reads a text that a person has carried.
fn read(text: &str, wanted: PasteKind) -> Result<Paste, String> {
    let paste: Paste = text
        .parse()
        .map_err(|error| format!("This text cannot be used, because {error}; copy all of it once more."))?;
    match (paste.kind(), wanted) {
        (PasteKind::Offer, PasteKind::Answer) => {
            Err("This is an offer, perhaps the own one; paste the text that columba answer shows.".to_owned())
        }
        (PasteKind::Answer, PasteKind::Offer) => {
            Err("This is an answer; it is for the side that has made the offer.".to_owned())
        }
        _ => Ok(paste),
    }
}

/// Refuses purposes that do not go together.
fn check(own: Purpose, theirs: Purpose) -> Result<(), Stop> {
    match (own, theirs) {
        (_, Purpose::Other) => {
            Err(Stop::refused("The other side wants something that this version does not know; update it."))
        }
        (Purpose::Files, Purpose::Pipe) | (Purpose::Pipe, Purpose::Files) => {
            Err(Stop::refused("One side wants a pipe and the other sends files; leave out --pipe or --send."))
        }
        _ => Ok(()),
    }
}

fn failed(what: &str, error: &columba::Error) -> Stop {
    Stop::refused(format!("{what}: {error}."))
}

async fn set_local(connection: &PeerConnection) -> Result<SessionDescription, Stop> {
    let set = connection.set_local_description(None).await;
    set.map_err(|error| failed("The connection cannot be described", &error))
}

async fn set_remote(connection: &PeerConnection, kind: SdpType, paste: &Paste) -> Result<(), Stop> {
    let description = SessionDescription { kind, sdp: paste.sdp.clone() };
    let set = connection.set_remote_description(description).await;
    set.map_err(|error| failed("The text does not describe a connection of this kind", &error))
}

impl Connecting {
    fn new(options: &PasteOptions) -> Result<Self, Stop> {
        let stun = options.stun.iter().map(|host| IceServer {
            urls: vec![format!("stun:{}", host.trim_start_matches("stun:"))],
            ..IceServer::default()
        });
        // A restart would need the people once more.
        let configuration = Configuration {
            ice_servers: stun.collect(),
            automatic_ice_restart: false,
            ..Configuration::default()
        };
        let made = PeerConnection::new(configuration).and_then(|(connection, events)| {
            let init = DataChannelInit { negotiated: Some(ID), ..DataChannelInit::default() };
            let channel = connection.create_data_channel(LABEL, init)?;
            Ok(Self { connection, events, channel })
        });
        made.map_err(|error| failed("No connection can be made", &error))
    }

    /// The description with all of its candidates.
    async fn gather(&mut self, first: SessionDescription) -> Result<String, Stop> {
        let deadline = Instant::now() + GATHERING;
        while self.connection.ice_gathering_state() != IceGatheringState::Complete {
            match timeout_at(deadline, self.events.recv()).await {
                Ok(Some(Event::IceCandidateError(error))) => {
                    eprintln!(
                        "* The STUN server gives no address: {}.",
                        crate::terminal::one_line(&error.text)
                    );
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(Stop::refused("The connection was closed.")),
                // What was found is enough to begin with.
                Err(_) => break,
            }
        }
        Ok(self.connection.local_description().unwrap_or(first).sdp)
    }

    /// Waits for the connection.
    async fn wait(
        mut self,
        patience: Duration,
        is_offerer: bool,
        theirs: Purpose,
    ) -> Result<Connected, Stop> {
        let opened = async {
            loop {
                tokio::select! {
                    opened = self.channel.opened() => return opened.is_ok(),
                    event = self.events.recv() => if is_end(event.as_ref()) { return false },
                }
            }
        };
        if !matches!(timeout(patience, opened).await, Ok(true)) {
            let sentence = "The other side cannot be reached: without a server both must be in one network or have public addresses (see --stun); where that is not so, use columba send with a server.";
            return Err(Stop::new(StopKind::Lost, sentence));
        }
        let Self { connection, events, channel } = self;
        eprintln!("* Connected, {}.", way(&connection));
        let (opened, channels) = mpsc::channel(MAX_CHANNELS);
        let (ended, lost) = watch::channel(false);
        tokio::spawn(watch_over(events, opened, ended));
        Ok(Connected { connection, channels, lost, channel, is_offerer, theirs })
    }
}

/// Passes on the channels that the other side opens, and says when the connection has failed.
async fn watch_over(mut events: Events, channels: mpsc::Sender<DataChannel>, ended: watch::Sender<bool>) {
    loop {
        let event = events.recv().await;
        if is_end(event.as_ref()) {
            ended.send_replace(true);
            return;
        }
        if let Some(Event::DataChannel(channel)) = event {
            // One too many is closed when it is dropped.
            let _ = channels.try_send(channel).inspect_err(|refused| {
                let (TrySendError::Full(channel) | TrySendError::Closed(channel)) = refused;
                channel.close();
            });
        }
    }
}

fn is_end(event: Option<&Event>) -> bool {
    use PeerConnectionState::{Closed, Failed};
    matches!(event, None | Some(Event::ConnectionState(Failed | Closed)))
}

impl Connected {
    /// Waits until the connection has failed.
    async fn failed(&self) {
        // The sender goes when the connection is over.
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_the_wrong_place_get_a_sentence() {
        let offer = Paste::offer(Purpose::Chat, "v=0\r\n".to_owned());
        let answer = Paste::answer(&offer, Purpose::Chat, "v=0\r\n".to_owned());
        assert_eq!(read(&offer.to_string(), PasteKind::Offer), Ok(offer.clone()));
        for (text, wanted) in [
            (offer.to_string(), PasteKind::Answer),
            (answer.to_string(), PasteKind::Offer),
            ("hello".to_owned(), PasteKind::Offer),
        ] {
            let sentence = read(&text, wanted).unwrap_err();
            assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
        }
        assert!(check(Purpose::Chat, Purpose::Pipe).is_ok() && check(Purpose::Files, Purpose::Files).is_ok());
        assert!(
            check(Purpose::Files, Purpose::Pipe).is_err() && check(Purpose::Chat, Purpose::Other).is_err()
        );
    }
}
