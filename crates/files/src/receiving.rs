//! The receiver's side of a transfer: everything that arrives is checked before it is acted on.

use crate::chain::Chain;
use crate::message::{
    CancelCode, Entry, EntryKind, MAX_BYTES, MAX_ENTRIES, MAX_EXTENTS, Message, Offer, Piece, Position,
    VERSION,
};
use crate::names::{PathFault, System, link_stays_inside, safe_names};
use crate::sending::offer_fault;
use crate::tree::{Hash, PIECE, Tree, piece_hash};

/// The bytes after which the sender is told how far everything is written.
const HAVE_EACH: u64 = 1024 * 1024;

/// One side's view of a transfer that it receives, on one data channel.
///
/// It holds no list of files: of what has arrived, only a hash stays.
#[derive(Debug)]
pub struct Receiving {
    state: State,
    system: System,
    offer: Offer,
    /// The position that was asked for.
    asked: Option<Position>,
    chain: Chain,
    /// The chain without the present entry.
    before: Chain,
    /// The number of the next entry.
    next: u64,
    /// The bytes of all files so far.
    bytes: u64,
    /// The bytes until the next [`Message::Have`].
    until_have: u64,
    file: Option<File>,
    /// The tree with which the first file goes on.
    resumed: Option<Tree>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Offered,
    Accepted,
    Receiving,
    Done,
    Over,
}

#[derive(Debug)]
struct File {
    n: u64,
    /// The bytes of the content, if they were announced.
    bytes: Option<u64>,
    offset: u64,
    tree: Tree,
}

/// The next step for the program that receives, in the order in which they come.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The sender serves another receiver now, and offers later.
    Waiting,
    /// Ask the person; then [`accept`](Receiving::accept) or cancel.
    Offered(Offer),
    /// The content begins at this entry; everything behind it that was there is void.
    Started {
        /// The number of the entry.
        entry: u64,
        /// The offset in its content.
        offset: u64,
    },
    /// A new entry begins.
    Begin {
        /// The entry as the sender has announced it; its path must not be used.
        entry: Entry,
        /// The path below the target folder, name by name.
        names: Vec<String>,
        /// The offset at which the content goes on.
        offset: u64,
        /// True for a link that leads out of its folder, which must not be made.
        leads_out: bool,
    },
    /// Content to be written at this offset of the content.
    Write {
        /// The offset.
        offset: u64,
        /// The content.
        content: &'a [u8],
        /// True if [`have`](Receiving::have) should be sent once it is written.
        acknowledge: bool,
    },
    /// The file is complete, and is what the sender has.
    End {
        /// The bytes of its content.
        bytes: u64,
        /// Its hash.
        hash: Hash,
    },
    /// Everything has arrived: put it in its place, then send [`finished`](Receiving::finished).
    Done,
    /// The sender ends the transfer.
    Cancelled {
        /// The reason for the program.
        code: CancelCode,
        /// The reason for the person; text of the other side's.
        text: String,
    },
}

/// The sender broke the protocol, or content is damaged. The transfer cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceivingFault {
    /// A message that cannot be read.
    #[error("the sender sends {0}")]
    Unreadable(String),
    /// A message that does not belong here.
    #[error("the sender sends {0} out of order")]
    OutOfOrder(&'static str),
    /// The sender speaks another version.
    #[error(
        "the sender speaks version {0} of the protocol, this program version {VERSION}; update the older one"
    )]
    Version(u32),
    /// The offer is beyond the limits.
    #[error("the offer is refused: {0}")]
    Offer(&'static str),
    /// A path that leads elsewhere.
    #[error("the path {path:?} {fault}")]
    Path {
        /// The path, at most 80 characters of it.
        path: String,
        /// The rule that it breaks.
        fault: PathFault,
    },
    /// An entry that contradicts itself.
    #[error("the entry {path:?} is refused: {fault}")]
    Entry {
        /// The path, at most 80 characters of it.
        path: String,
        /// The contradiction.
        fault: &'static str,
    },
    /// More arrives than was offered.
    #[error("the sender sends more than it has offered")]
    MoreThanOffered,
    /// A piece is not what its hash says.
    #[error("a piece of a file arrived damaged")]
    Damaged,
    /// The file is not what its hash says.
    #[error("a file is not what its hash says")]
    WrongHash,
}

impl Receiving {
    /// A receiver whose files go to a file system with these rules.
    #[must_use]
    pub fn new(system: System) -> Self {
        Self {
            state: State::New,
            system,
            offer: Offer::default(),
            asked: None,
            chain: Chain::EMPTY,
            before: Chain::EMPTY,
            next: 0,
            bytes: 0,
            until_have: HAVE_EACH,
            file: None,
            resumed: None,
        }
    }

    /// The message by which the offer is accepted, from this position on.
    #[must_use]
    pub fn accept(&mut self, at: Option<Position>) -> String {
        self.state = State::Accepted;
        self.asked.clone_from(&at);
        Message::Accept { at }.to_text()
    }

    /// The message that says how far everything is written: call it when it is.
    #[must_use]
    pub fn have(&self) -> String {
        let (entry, offset) = match &self.file {
            Some(file) => (file.n, file.offset),
            None => (self.next, 0),
        };
        Message::Have { entry, offset, bytes: self.bytes }.to_text()
    }

    /// The message that everything is in its place.
    #[must_use]
    pub fn finished(&mut self) -> String {
        self.state = State::Over;
        Message::Finished.to_text()
    }

    /// The place up to which everything has arrived, to ask for the rest later.
    #[must_use]
    pub fn position(&self) -> Position {
        match &self.file {
            Some(file) => {
                // One piece alone has no joint: it is sent again.
                let is_worth_it = file.tree.pieces() > 1 && file.offset.is_multiple_of(PIECE as u64);
                Position {
                    entry: file.n,
                    offset: if is_worth_it { file.offset } else { 0 },
                    before: self.before.hash(),
                    with: Some(self.chain.hash()),
                    stack: if is_worth_it { file.tree.stack().to_vec() } else { Vec::new() },
                }
            }
            None => {
                let before = self.chain.hash();
                Position { entry: self.next, offset: 0, before, with: None, stack: Vec::new() }
            }
        }
    }

    /// The bytes of all files so far, those included that were there before.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes of all files before the [`position`](Self::position).
    #[must_use]
    pub fn position_bytes(&self) -> u64 {
        let behind = self.file.as_ref().map_or(0, |file| file.offset - self.position().offset);
        self.bytes - behind
    }

    /// Sets the bytes of the files that were there before the transfer was resumed.
    pub const fn set_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// The number of entries that have begun.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.next
    }

    /// Takes a text message. `None`: nothing is to be done.
    ///
    /// # Errors
    /// The sender breaks the protocol; the transfer is over.
    pub fn handle_text(&mut self, text: &str) -> Result<Option<Step<'static>>, ReceivingFault> {
        let message = Message::read(text).map_err(|error| ReceivingFault::Unreadable(error.to_string()))?;
        let step = match (message, self.state) {
            (Message::Wait, State::New) => Step::Waiting,
            (Message::Offer(offer), State::New) => return self.offered(offer).map(Some),
            (Message::Start { entry, offset }, State::Accepted) => self.started(entry, offset)?,
            (Message::Entry(entry), State::Receiving) => self.begin(entry, text)?,
            (Message::End { n, bytes, hash }, State::Receiving) => self.end(n, bytes, hash)?,
            (Message::Done { entries, bytes }, State::Receiving) => self.done(entries, bytes)?,
            (Message::Cancel { code, text }, _) => {
                self.state = State::Over;
                Step::Cancelled { code, text }
            }
            (other, _) => return Err(ReceivingFault::OutOfOrder(name_of(&other))),
        };
        Ok(Some(step))
    }

    /// Takes a binary message.
    ///
    /// # Errors
    /// The sender breaks the protocol, or the piece is damaged; the transfer is over.
    pub fn handle_binary<'a>(&mut self, message: &'a [u8]) -> Result<Step<'a>, ReceivingFault> {
        let piece =
            Piece::read(message).ok_or_else(|| ReceivingFault::Unreadable("a malformed piece".to_owned()))?;
        let file = self.file.as_mut().ok_or(ReceivingFault::OutOfOrder("a piece"))?;
        if u64::from(piece.entry) != file.n || piece.offset != file.offset {
            return Err(ReceivingFault::OutOfOrder("a piece"));
        }
        let length = piece.content.len() as u64;
        let end = file.offset + length;
        if end > file.bytes.unwrap_or(MAX_BYTES) {
            return Err(ReceivingFault::MoreThanOffered);
        }
        let bytes = self.bytes + length;
        if bytes > self.offer.bytes.unwrap_or(MAX_BYTES) {
            return Err(ReceivingFault::MoreThanOffered);
        }
        if piece_hash(piece.offset, piece.content) != piece.hash {
            return Err(ReceivingFault::Damaged);
        }
        file.tree.push(piece.content, piece.hash);
        file.offset = end;
        self.bytes = bytes;
        self.until_have = self.until_have.saturating_sub(length);
        let acknowledge = self.until_have == 0;
        if acknowledge {
            self.until_have = HAVE_EACH;
        }
        Ok(Step::Write { offset: piece.offset, content: piece.content, acknowledge })
    }

    fn offered(&mut self, offer: Offer) -> Result<Step<'static>, ReceivingFault> {
        if offer.version != VERSION {
            return Err(ReceivingFault::Version(offer.version));
        }
        if let Some(fault) = offer_fault(&offer) {
            return Err(ReceivingFault::Offer(fault));
        }
        self.offer = offer.clone();
        self.state = State::Offered;
        Ok(Step::Offered(offer))
    }

    fn started(&mut self, entry: u64, offset: u64) -> Result<Step<'static>, ReceivingFault> {
        let asked = self.asked.take();
        match asked {
            Some(position) if (entry, offset) == (position.entry, position.offset) => {
                self.chain = Chain::from_hash(position.before);
                self.resumed = Tree::resume(offset / PIECE as u64, position.stack);
            }
            Some(position) if (entry, offset) == (position.entry, 0) => {
                self.chain = Chain::from_hash(position.before);
            }
            _ if (entry, offset) == (0, 0) => {}
            _ => return Err(ReceivingFault::OutOfOrder("the beginning")),
        }
        self.state = State::Receiving;
        self.next = entry;
        Ok(Step::Started { entry, offset })
    }

    fn begin(&mut self, entry: Entry, text: &str) -> Result<Step<'static>, ReceivingFault> {
        if self.file.is_some() || entry.n != self.next {
            return Err(ReceivingFault::OutOfOrder("an entry"));
        }
        let limit = self.offer.entries.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
        if entry.n >= limit {
            return Err(ReceivingFault::MoreThanOffered);
        }
        let shown = || entry.path.chars().take(80).collect::<String>();
        let names = safe_names(&entry.path, self.system)
            .map_err(|fault| ReceivingFault::Path { path: shown(), fault })?;
        if let Some(fault) = entry_fault(&entry) {
            return Err(ReceivingFault::Entry { path: shown(), fault });
        }
        self.before = self.chain;
        self.chain = self.chain.with(text);
        self.next += 1;
        let tree = self.resumed.take().unwrap_or_default();
        let offset = tree.pieces() * PIECE as u64;
        if entry.kind == EntryKind::File {
            if entry.bytes.is_some_and(|bytes| bytes < offset) {
                return Err(ReceivingFault::Entry { path: shown(), fault: "it is shorter than before" });
            }
            self.file = Some(File { n: entry.n, bytes: entry.bytes, offset, tree });
        }
        let target = entry.target.as_deref().unwrap_or_default();
        let leads_out = entry.kind == EntryKind::Link && !link_stays_inside(&entry.path, target);
        Ok(Step::Begin { entry, names, offset, leads_out })
    }

    fn end(&mut self, n: u64, bytes: u64, hash: Hash) -> Result<Step<'static>, ReceivingFault> {
        let file = self.file.take().filter(|file| file.n == n).ok_or(ReceivingFault::OutOfOrder("an end"))?;
        if file.offset != bytes || file.bytes.is_some_and(|announced| announced != bytes) {
            return Err(ReceivingFault::OutOfOrder("an end"));
        }
        if file.tree.root() != Some(hash) {
            return Err(ReceivingFault::WrongHash);
        }
        Ok(Step::End { bytes, hash })
    }

    fn done(&mut self, entries: u64, bytes: u64) -> Result<Step<'static>, ReceivingFault> {
        let offered = self.offer.entries.is_none_or(|offered| offered == entries);
        if self.file.is_some() || entries != self.next || bytes != self.bytes || !offered {
            return Err(ReceivingFault::OutOfOrder("the end of all"));
        }
        self.state = State::Done;
        Ok(Step::Done)
    }
}

fn entry_fault(entry: &Entry) -> Option<&'static str> {
    let is_file = entry.kind == EntryKind::File;
    if !is_file && (entry.bytes.is_some() || entry.size.is_some() || entry.extents.is_some()) {
        return Some("only files have content");
    }
    if (entry.kind == EntryKind::Link) != entry.target.is_some() {
        return Some("only links have a target, and each has one");
    }
    if entry.bytes.is_some_and(|bytes| bytes > MAX_BYTES) || entry.size.is_some_and(|size| size > MAX_BYTES) {
        return Some("no file is so large");
    }
    if entry.extents.is_some() != entry.size.is_some() {
        return Some("a sparse file has a size and a list of extents");
    }
    let extents = entry.extents.as_deref()?;
    if extents.len() > MAX_EXTENTS {
        return Some("it has too many extents");
    }
    let (mut end, mut sum) = (0_u64, 0_u64);
    for &(offset, length) in extents {
        if offset < end || length == 0 || length > MAX_BYTES || offset > MAX_BYTES {
            return Some("its extents are not in order");
        }
        end = offset + length;
        sum += length;
    }
    if entry.size.is_none_or(|size| end > size) || entry.bytes != Some(sum) {
        return Some("its extents contradict its size");
    }
    None
}

const fn name_of(message: &Message) -> &'static str {
    match message {
        Message::Wait => "a wait",
        Message::Offer(_) => "an offer",
        Message::Accept { .. } => "an acceptance",
        Message::Start { .. } => "the beginning",
        Message::Entry(_) => "an entry",
        Message::End { .. } => "an end",
        Message::Have { .. } => "a confirmation",
        Message::Done { .. } => "the end of all",
        Message::Finished => "the end of the transfer",
        Message::Cancel { .. } => "a cancellation",
    }
}
