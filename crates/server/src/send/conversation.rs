//! A transfer over one data channel, from the sender's side.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use columba::{DataChannel, Message};
use columba_files::{
    CancelCode, Chain, Entry, Offer, PIECE, PIECE_HEADER, Position, Sending, SendingEvent, Tree, cancel,
    piece_hash,
};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};

use super::content::{self, Part, Tar};
use crate::terminal::one_line;
use crate::transfer::end::{Stop, StopKind};
use crate::transfer::show::Show;

/// The pieces of a stream that are kept until the receiver has them: 16 MiB.
const KEPT: usize = 256;

/// The time in which the receiver closes the channel after its last message.
const LAST: Duration = Duration::from_secs(3);

/// The source of the content.
pub(super) enum Source {
    Files(Tar),
    Stream(Box<Stream>),
}

/// A stream, which cannot be read twice.
pub(super) struct Stream {
    name: String,
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// The pieces that were read and are not yet written by the receiver, with room for headers.
    kept: VecDeque<Vec<u8>>,
    /// The tree before that.
    before: Tree,
    has_ended: bool,
}

/// The way in which a conversation has ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The receiver has everything.
    Finished,
    /// The channel broke; the transfer goes on over the next.
    Broken,
}

/// A conversation.
pub(super) struct Conversation<'a> {
    pub(super) channel: DataChannel,
    pub(super) offer: Offer,
    pub(super) show: &'a RefCell<Show>,
    /// Bytes per second, at most.
    pub(super) limit: Option<u64>,
}

impl Stream {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            pieces: content::read_stream(),
            kept: VecDeque::new(),
            before: Tree::default(),
            has_ended: false,
        }
    }

    fn before_offset(&self) -> u64 {
        self.before.pieces() * PIECE as u64
    }

    /// Drops what the receiver has written.
    fn written(&mut self, offset: u64) {
        while self.before_offset() + (PIECE as u64) <= offset && self.kept.len() > 1 {
            let Some(piece) = self.kept.pop_front() else { return };
            let content = &piece[PIECE_HEADER..];
            self.before.push(content, piece_hash(self.before_offset(), content));
        }
    }

    /// The tree of the part that the receiver has, and the number of kept pieces in it.
    fn resume(&self, at: Option<&Position>) -> Option<(Tree, usize)> {
        let offset = at.map_or(0, |at| at.offset);
        let mut tree = self.before.clone();
        let mut kept = 0;
        while tree.pieces() * (PIECE as u64) < offset {
            let content = &self.kept.get(kept)?[PIECE_HEADER..];
            let hash = piece_hash(tree.pieces() * PIECE as u64, content);
            tree.push(content, hash);
            kept += 1;
        }
        let is_same = at.is_none_or(|at| at.offset == 0 || tree.stack() == at.stack);
        (tree.pieces() * PIECE as u64 == offset && is_same).then_some((tree, kept))
    }
}

impl Conversation<'_> {
    /// Talks until the end. The source is locked meanwhile, and free again when this is dropped.
    pub(super) async fn hold(self, source: Arc<Mutex<Source>>) -> Result<Outcome, Stop> {
        let result = self.talk(&mut *source.lock().await).await;
        self.show.borrow_mut().pause();
        if let Err(stop) = &result {
            let code = match stop.kind {
                StopKind::Interrupted => CancelCode::Stopped,
                _ => CancelCode::Failed,
            };
            if stop.kind != StopKind::Declined {
                let _ = self.channel.try_send(cancel(code, stop.to_string()));
            }
        }
        if !matches!(result, Ok(Outcome::Broken)) {
            self.channel.close();
            let _ = tokio::time::timeout(LAST, self.channel.closed()).await;
        }
        result
    }

    async fn talk(&self, source: &mut Source) -> Result<Outcome, Stop> {
        let mut sending = Sending::new(self.offer.clone());
        if self.channel.send(sending.offer()).await.is_err() {
            return Ok(Outcome::Broken);
        }
        let at = loop {
            match self.hear(&mut sending).await? {
                Some(SendingEvent::Accepted(at)) => break at,
                Some(_) => {}
                None => return Ok(Outcome::Broken),
            }
        };
        let is_sent = match source {
            Source::Files(tar) => self.send_files(&mut sending, tar.clone(), at).await?,
            Source::Stream(stream) => self.send_stream(&mut sending, stream, at).await?,
        };
        if !is_sent {
            return Ok(Outcome::Broken);
        }
        loop {
            match self.hear(&mut sending).await? {
                Some(SendingEvent::Finished) => {
                    self.show.borrow_mut().end();
                    return Ok(Outcome::Finished);
                }
                Some(_) => {}
                None => return Ok(Outcome::Broken),
            }
        }
    }

    /// False: the channel broke.
    async fn send_files(&self, sending: &mut Sending, tar: Tar, at: Option<Position>) -> Result<bool, Stop> {
        let mut parts = content::read(tar, at);
        let mut pace = Pace::new(self.limit);
        while let Some(part) = parts.recv().await {
            let message: Message = match part {
                Part::Start { entry, before, offset, skipped } => {
                    self.show.borrow_mut().begin(self.offer.bytes, skipped);
                    sending.start(entry, before, offset, skipped).into()
                }
                Part::Entry(entry, tree) => sending.entry(*entry, tree).into(),
                Part::Piece(mut piece) => {
                    while !sending.may_send() {
                        if self.hear(sending).await?.is_none() {
                            return Ok(false);
                        }
                    }
                    pace.wait(piece.len()).await;
                    sending.piece(&mut piece);
                    Bytes::from(piece).into()
                }
                Part::End => sending.end().into(),
                Part::Done => sending.done().into(),
                Part::Failed(stop) => return Err(stop),
            };
            if !self.say(sending, message).await? {
                return Ok(false);
            }
            self.show.borrow_mut().advance(sending.bytes());
        }
        Ok(true)
    }

    /// False: the channel broke.
    async fn send_stream(
        &self,
        sending: &mut Sending,
        stream: &mut Stream,
        at: Option<Position>,
    ) -> Result<bool, Stop> {
        let at = at.filter(|at| at.offset > 0);
        let Some((tree, mut next)) = stream.resume(at.as_ref()) else {
            return Err(Stop::new(
                StopKind::Lost,
                "The other side has lost what it had of the stream, which cannot be read again; begin anew.",
            ));
        };
        let skipped = tree.pieces() * PIECE as u64;
        self.show.borrow_mut().begin(None, skipped);
        let mut pace = Pace::new(self.limit);
        let entry = Entry { bytes: None, ..Entry::file(stream.name.clone(), 0) };
        let start = sending.start(0, Chain::EMPTY, skipped, skipped);
        let entry = sending.entry(entry, tree);
        for message in [start, entry] {
            if !self.say(sending, message.into()).await? {
                return Ok(false);
            }
        }
        let mut written = None;
        loop {
            if let Some(piece) = stream.kept.get_mut(next) {
                pace.wait(piece.len()).await;
                sending.piece(piece);
                let message = Bytes::copy_from_slice(piece);
                if !self.say(sending, message.into()).await? {
                    return Ok(false);
                }
                next += 1;
                self.show.borrow_mut().advance(sending.bytes());
            } else if stream.has_ended {
                break;
            }
            while let Some(event) = sending.poll_event() {
                self.react(&event)?;
                if let SendingEvent::Have { offset, .. } = event {
                    written = Some(offset);
                }
            }
            if let Some(offset) = written.take() {
                let kept = stream.kept.len();
                stream.written(offset.min(stream.before_offset() + (next * PIECE) as u64));
                next -= kept - stream.kept.len();
            }
            if next < stream.kept.len() || stream.has_ended {
                continue;
            }
            tokio::select! {
                piece = stream.pieces.recv(), if stream.kept.len() < KEPT => match piece {
                    Some(Ok(piece)) => stream.kept.push_back(piece),
                    Some(Err(error)) => return Err(Stop::refused(format!("Standard input cannot be read: {error}."))),
                    None => stream.has_ended = true,
                },
                event = self.hear(sending) => match event? {
                    Some(SendingEvent::Have { offset, .. }) => written = Some(offset),
                    Some(_) => {}
                    None => return Ok(false),
                },
            }
            if let Some(offset) = written.take() {
                let kept = stream.kept.len();
                stream.written(offset.min(stream.before_offset() + (next * PIECE) as u64));
                next -= kept - stream.kept.len();
            }
        }
        let (end, done) = (sending.end(), sending.done());
        Ok(self.say(sending, end.into()).await? && self.say(sending, done.into()).await?)
    }

    /// Sends a message, and listens meanwhile; false if the channel broke.
    async fn say(&self, sending: &mut Sending, message: Message) -> Result<bool, Stop> {
        loop {
            tokio::select! {
                biased;
                sent = self.channel.send(message.clone()) => return Ok(sent.is_ok()),
                received = self.channel.recv() => {
                    let Some(received) = received else { return Ok(false) };
                    self.take(sending, &received)?;
                    while let Some(event) = sending.poll_event() {
                        self.react(&event)?;
                    }
                }
            }
        }
    }

    /// The next event; `None` if the channel broke.
    async fn hear(&self, sending: &mut Sending) -> Result<Option<SendingEvent>, Stop> {
        loop {
            if let Some(event) = sending.poll_event() {
                self.react(&event)?;
                return Ok(Some(event));
            }
            let Some(received) = self.channel.recv().await else { return Ok(None) };
            self.take(sending, &received)?;
        }
    }

    fn take(&self, sending: &mut Sending, message: &Message) -> Result<(), Stop> {
        let Message::Text(text) = message else { return Ok(()) };
        sending.handle_text(text).map_err(|fault| {
            let _ = self.channel.try_send(cancel(CancelCode::Violation, fault.to_string()));
            Stop::new(StopKind::Untrusted, format!("{}.", capitalized(&fault.to_string())))
        })
    }

    fn react(&self, event: &SendingEvent) -> Result<(), Stop> {
        let SendingEvent::Cancelled { code, text } = event else { return Ok(()) };
        let reason = if text.is_empty() { String::new() } else { format!(": {}", one_line(text)) };
        Err(Stop::new(
            StopKind::Declined,
            match code {
                CancelCode::Declined => "The other side does not want the files.".to_owned(),
                CancelCode::Stopped => "The other side has stopped the transfer.".to_owned(),
                CancelCode::NoSpace => "The other side has no room for the files.".to_owned(),
                _ => format!(
                    "The other side cannot go on{}",
                    if reason.is_empty() { ".".to_owned() } else { reason }
                ),
            },
        ))
    }
}

fn capitalized(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

/// Keeps to a rate.
struct Pace {
    limit: Option<u64>,
    next: Instant,
}

impl Pace {
    fn new(limit: Option<u64>) -> Self {
        Self { limit, next: Instant::now() }
    }

    async fn wait(&mut self, bytes: usize) {
        let Some(limit) = self.limit else { return };
        let now = Instant::now();
        if self.next > now {
            sleep_until(self.next).await;
        }
        self.next = self.next.max(now) + Duration::from_secs_f64(bytes as f64 / limit as f64);
    }
}
