//! The conversation over a connection that was made by copy and paste.

use std::cell::RefCell;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::Duration;

use columba::{DataChannel, DataChannelInit, Message};
use columba_files::{PROTOCOL, Purpose};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Connected, PasteOptions};
use crate::chat::message::DataMessage;
use crate::chat::screen;
use crate::pipe::{Outcome, Stream};
use crate::receive::{self, ReceiveOptions};
use crate::send::{self, Prepared};
use crate::transfer::end::{Stop, StopKind};
use crate::transfer::show::Show;

/// The label of the channel of a pipe.
const PIPE: &str = "pipe";

/// The time in which the last messages arrive and the other side closes.
const LAST: Duration = Duration::from_secs(10);

/// Lines that are read ahead.
const MAX_LINES: usize = 16;

/// The goodbye on the channel that both sides have.
const BYE: &str = r#"{"type":"bye"}"#;

/// Looks at what is to be sent, so that a fault is found before anything is carried.
pub(super) fn prepare(paths: &[PathBuf], show: &RefCell<Show>) -> Result<Option<Prepared>, Stop> {
    if paths.is_empty() { Ok(None) } else { send::prepare(paths, show).map(Some) }
}

/// Does what both sides want, until the end.
pub(super) async fn hold(
    mut connected: Connected,
    options: &PasteOptions,
    prepared: Option<Prepared>,
    show: &RefCell<Show>,
) -> Result<(), Stop> {
    let (own, theirs) = (options.purpose(), connected.theirs);
    let outcome = if own == Purpose::Pipe || theirs == Purpose::Pipe {
        pipe(&mut connected).await
    } else if own == Purpose::Files || theirs == Purpose::Files {
        files(&mut connected, options, prepared, show).await
    } else {
        chat(&mut connected).await
    };
    let _ = timeout(LAST, connected.connection.close()).await;
    outcome
}

fn gone() -> Stop {
    Stop::new(
        StopKind::Lost,
        "The connection is lost, and without a server it cannot be mended: run both commands again.",
    )
}

/// The next channel that the other side opens.
async fn incoming(channels: &mut mpsc::Receiver<DataChannel>, label: &str) -> Result<DataChannel, Stop> {
    loop {
        match channels.recv().await {
            Some(channel) if channel.label() == label => return Ok(channel),
            Some(other) => other.close(),
            None => return Err(gone()),
        }
    }
}

fn open(connected: &Connected, label: &str, init: DataChannelInit) -> Result<DataChannel, Stop> {
    connected.connection.create_data_channel(label, init).map_err(|_| gone())
}

async fn pipe(connected: &mut Connected) -> Result<(), Stop> {
    let channel = if connected.is_offerer {
        open(connected, PIPE, DataChannelInit::default())?
    } else {
        incoming(&mut connected.channels, PIPE).await?
    };
    let mut stream = Stream::new(tokio::io::stdin(), tokio::io::stdout());
    let outcome = tokio::select! {
        outcome = stream.carry(&channel) => outcome,
        () = connected.failed() => Outcome::Broken,
    };
    if outcome != Outcome::Done {
        return Err(gone());
    }
    // Both sides close; what was sent still goes out.
    let _ = timeout(LAST, channel.closed()).await;
    Ok(())
}

async fn files(
    connected: &mut Connected,
    options: &PasteOptions,
    prepared: Option<Prepared>,
    show: &RefCell<Show>,
) -> Result<(), Stop> {
    let takes = connected.theirs == Purpose::Files;
    let sending = match prepared {
        Some(prepared) => {
            let init = DataChannelInit { protocol: PROTOCOL.to_owned(), ..DataChannelInit::default() };
            Some(prepared.send(open(connected, columba_files::LABEL, init)?, show))
        }
        None => None,
    };
    let receive = ReceiveOptions::to_folder(options.out.clone(), options.yes, options.overwrite);
    let (channels, mut lost) = (&mut connected.channels, connected.lost.clone());
    let receiving = async {
        if !takes {
            return Ok(());
        }
        let channel = incoming(channels, columba_files::LABEL).await?;
        receive::over(channel, &receive, show).await
    };
    let sending = async {
        match sending {
            Some(sending) => sending.await,
            None => Ok(()),
        }
    };
    tokio::select! {
        (sent, received) = async { tokio::join!(sending, receiving) } => sent.and(received),
        _ = lost.wait_for(|lost| *lost) => Err(gone()),
    }
}

async fn chat(connected: &mut Connected) -> Result<(), Stop> {
    let channel = connected.channel.clone();
    let mut lines = read_lines();
    loop {
        tokio::select! {
            message = channel.recv() => match message {
                Some(Message::Text(text)) if text == BYE => {
                    screen::note("The other side has left.");
                    channel.close();
                    let _ = timeout(LAST, channel.closed()).await;
                    return Ok(());
                }
                Some(Message::Text(text)) => {
                    if let Some(DataMessage::Chat { text }) = DataMessage::read(&text) {
                        screen::chat("peer", &text);
                    }
                }
                Some(Message::Binary(_)) => {}
                None => return Err(gone()),
            },
            line = lines.recv() => match line {
                Some(line) if line.is_empty() => {}
                Some(line) => {
                    channel.send(DataMessage::chat(&line).to_json()).await.map_err(|_| gone())?;
                }
                None => {
                    channel.send(BYE.to_owned()).await.map_err(|_| gone())?;
                    // The other side closes when it has read everything; its last lines still come.
                    let _ = timeout(LAST, last_lines(&channel)).await;
                    return Ok(());
                }
            },
            () = connected.failed() => return Err(gone()),
        }
    }
}

/// Shows what comes until the other side closes the channel.
async fn last_lines(channel: &DataChannel) {
    while let Some(message) = channel.recv().await {
        if let Message::Text(text) = message
            && let Some(DataMessage::Chat { text }) = DataMessage::read(&text)
        {
            screen::chat("peer", &text);
        }
    }
}

/// The lines of the input behind the text that was pasted, until it ends.
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
