//! The sender's side of a transfer.

use std::collections::VecDeque;

use crate::chain::Chain;
use crate::message::{
    CancelCode, Entry, MAX_BYTES, MAX_ENTRIES, Message, Offer, PIECE_HEADER, Piece, Position, WINDOW,
};
use crate::tree::{Hash, PIECE, Tree, piece_hash};

/// The messages of the receiver's that wait to be looked at; more break the protocol.
const MAX_EVENTS: usize = 1024;

/// One side's view of a transfer that it sends, on one data channel.
///
/// The order of calls: [`new`](Self::new), whose [`offer`](Self::offer) is sent; after
/// [`SendingEvent::Accepted`] [`start`](Self::start); then for each entry [`entry`](Self::entry),
/// for a file [`piece`](Self::piece) until its end, [`end`](Self::end); at last
/// [`done`](Self::done), and [`SendingEvent::Finished`] comes.
#[derive(Debug)]
pub struct Sending {
    offer: Offer,
    state: State,
    chain: Chain,
    /// The number of the next entry.
    next: u64,
    /// The bytes of all files so far, those that were not sent again included.
    bytes: u64,
    /// Those that the receiver has written.
    written: u64,
    file: Option<File>,
    events: VecDeque<SendingEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Offered,
    Accepted,
    Sending,
    Done,
    Over,
}

#[derive(Debug)]
struct File {
    n: u32,
    offset: u64,
    tree: Tree,
}

/// News for the program that sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendingEvent {
    /// The receiver wants the files, from there on.
    Accepted(Option<Position>),
    /// Everything before this offset of this entry is written.
    Have {
        /// The number of the entry.
        entry: u64,
        /// The offset in its content.
        offset: u64,
    },
    /// The receiver has everything.
    Finished,
    /// The receiver ends the transfer.
    Cancelled {
        /// The reason for the program.
        code: CancelCode,
        /// The reason for the person; text of the other side's.
        text: String,
    },
}

/// The other side broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver broke the protocol: {0}")]
pub struct SendingFault(pub String);

impl Sending {
    /// A transfer of this content.
    #[must_use]
    pub const fn new(offer: Offer) -> Self {
        Self {
            offer,
            state: State::Offered,
            chain: Chain::EMPTY,
            next: 0,
            bytes: 0,
            written: 0,
            file: None,
            events: VecDeque::new(),
        }
    }

    /// The first message of the channel.
    #[must_use]
    pub fn offer(&self) -> String {
        Message::Offer(self.offer.clone()).to_text()
    }

    /// Takes a text message of the receiver's.
    ///
    /// # Errors
    /// It breaks the protocol; the transfer is over.
    pub fn handle_text(&mut self, text: &str) -> Result<(), SendingFault> {
        let message = Message::read(text).map_err(|error| SendingFault(error.to_string()))?;
        let event = match (message, self.state) {
            (Message::Accept { at }, State::Offered) => {
                self.state = State::Accepted;
                SendingEvent::Accepted(at)
            }
            (Message::Have { entry, offset, bytes }, State::Sending | State::Done) => {
                self.written = self.written.max(bytes.min(self.bytes));
                SendingEvent::Have { entry, offset }
            }
            (Message::Finished, State::Done) => {
                self.state = State::Over;
                SendingEvent::Finished
            }
            (Message::Cancel { code, text }, _) => {
                self.state = State::Over;
                SendingEvent::Cancelled { code, text }
            }
            (other, state) => {
                return Err(SendingFault(format!("{:.60} comes while {state:?}", format!("{other:?}"))));
            }
        };
        if self.events.len() == MAX_EVENTS {
            return Err(SendingFault("too many messages at once".to_owned()));
        }
        self.events.push_back(event);
        Ok(())
    }

    /// The next news.
    pub fn poll_event(&mut self) -> Option<SendingEvent> {
        self.events.pop_front()
    }

    /// Begins at an entry, before which this chain of entries lies. `offset` is where its content
    /// goes on, `skipped` the bytes of all files before that.
    #[must_use]
    pub fn start(&mut self, entry: u64, before: Chain, offset: u64, skipped: u64) -> String {
        self.state = State::Sending;
        (self.next, self.chain) = (entry, before);
        (self.bytes, self.written) = (skipped, skipped);
        Message::Start { entry, offset }.to_text()
    }

    /// Announces the next entry, which gets its number. If it is a file, its content goes on behind
    /// `tree`.
    ///
    /// # Panics
    /// If the file before has not ended.
    #[must_use]
    pub fn entry(&mut self, mut entry: Entry, tree: Tree) -> String {
        assert!(self.file.is_none(), "the file before has not ended");
        entry.n = self.next;
        self.next += 1;
        let is_file = entry.kind == crate::EntryKind::File;
        let n = u32::try_from(entry.n).unwrap_or(u32::MAX);
        self.file = is_file.then(|| File { n, offset: tree.pieces() * PIECE as u64, tree });
        let text = Message::Entry(entry).to_text();
        self.chain = self.chain.with(&text);
        text
    }

    /// Makes the message that carries the next piece of the file, in `message`, in which the
    /// content begins at [`PIECE_HEADER`].
    ///
    /// # Panics
    /// If no file is being sent, or the piece is empty or too long.
    pub fn piece(&mut self, message: &mut [u8]) -> Hash {
        let file = self.file.as_mut().expect("a file is being sent");
        let (header, content) = message.split_at_mut(PIECE_HEADER);
        assert!((1..=PIECE).contains(&content.len()), "a piece has 1 to {PIECE} bytes");
        let hash = piece_hash(file.offset, content);
        header.copy_from_slice(&Piece::header(file.n, file.offset, &hash));
        file.tree.push(content, hash);
        file.offset += content.len() as u64;
        self.bytes += content.len() as u64;
        hash
    }

    /// Ends the file.
    ///
    /// # Panics
    /// If no file is being sent.
    #[must_use]
    pub fn end(&mut self) -> String {
        let file = self.file.take().expect("a file is being sent");
        // A resumed tree begins with two pieces or more, or none.
        let hash = file.tree.root().unwrap_or_default();
        Message::End { n: u64::from(file.n), bytes: file.offset, hash }.to_text()
    }

    /// Ends the content.
    #[must_use]
    pub fn done(&mut self) -> String {
        self.state = State::Done;
        Message::Done { entries: self.next, bytes: self.bytes }.to_text()
    }

    /// The bytes so far, those that the receiver had before included.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns whether another piece may be sent: the receiver is not too far behind.
    #[must_use]
    pub const fn may_send(&self) -> bool {
        self.bytes - self.written < WINDOW
    }

    /// The chain of the entries so far.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }
}

/// The message that ends a transfer from either side.
#[must_use]
pub fn cancel(code: CancelCode, text: impl Into<String>) -> String {
    Message::Cancel { code, text: text.into() }.to_text()
}

/// The message to a receiver whose turn has not come, before the offer.
#[must_use]
pub fn wait() -> String {
    Message::Wait.to_text()
}

/// Returns whether an offer keeps to the limits of the protocol.
pub(crate) fn offer_fault(offer: &Offer) -> Option<&'static str> {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if offer.transfer.len() != 16 || !offer.transfer.chars().all(is_hex) {
        Some("the identifier has not 16 hexadecimal digits")
    } else if offer.entries.is_some_and(|entries| entries > MAX_ENTRIES) || offer.files > MAX_ENTRIES {
        Some("more than a million files are offered at once")
    } else if offer.bytes.is_some_and(|bytes| bytes > MAX_BYTES) {
        Some("more bytes are offered than there can be")
    } else if offer.top.len() > crate::message::MAX_TOP {
        Some("too many names at the top are listed")
    } else {
        None
    }
}
