//! The content of a transfer, read on a thread of its own.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use columba_files::{Chain, Entry, Hash, Message, PIECE, PIECE_HEADER, Position, Tree, piece_hash};
use tokio::sync::mpsc;

use super::exclude::Excludes;
use super::walk::{Item, Walk};
use crate::transfer::end::Stop;

/// The pieces that are read ahead.
const AHEAD: usize = 8;

/// The files and folders that are sent.
#[derive(Clone, Debug)]
pub(super) struct Tar {
    pub(super) paths: Vec<PathBuf>,
    pub(super) excludes: Excludes,
    /// The bytes that were offered.
    pub(super) bytes: u64,
}

/// The parts of the content, in order.
#[derive(Debug)]
pub(super) enum Part {
    /// Here it begins.
    Start { entry: u64, before: Chain, offset: u64, skipped: u64 },
    /// A file, folder or link; the tree is that of what the receiver has.
    Entry(Box<Entry>, Tree),
    /// Content behind room for the header.
    Piece(Vec<u8>),
    /// The end of a file.
    End,
    /// The end of all.
    Done,
    /// Something cannot be read.
    Failed(Stop),
}

/// The receiver is gone, or something cannot be read.
enum Halt {
    Gone,
    Failed(Stop),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Failed(stop)
    }
}

/// Reads everything from the position on that the receiver has.
pub(super) fn read(tar: Tar, at: Option<Position>) -> mpsc::Receiver<Part> {
    let (parts, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut reader = Reader { parts, bytes: 0, limit: tar.bytes };
        if let Err(Halt::Failed(stop)) = reader.run(&tar, at) {
            // The receiver may be gone.
            let _ = reader.parts.blocking_send(Part::Failed(stop));
        }
    });
    receiver
}

struct Reader {
    parts: mpsc::Sender<Part>,
    bytes: u64,
    limit: u64,
}

impl Reader {
    fn give(&self, part: Part) -> Result<(), Halt> {
        self.parts.blocking_send(part).map_err(|_| Halt::Gone)
    }

    fn run(&mut self, tar: &Tar, at: Option<Position>) -> Result<(), Halt> {
        let mut walk = Walk::new(&tar.paths, &tar.excludes)?;
        let mut first = None;
        match at {
            Some(position) if position.entry > 0 || position.offset > 0 => {
                match self.find(&mut walk, &position)? {
                    Some((item, start, tree)) => {
                        self.give(start)?;
                        first = item.map(|item| (item, tree));
                    }
                    None => {
                        // Something has changed before it: everything anew.
                        walk = Walk::new(&tar.paths, &tar.excludes)?;
                        self.bytes = 0;
                        self.give(Part::Start { entry: 0, before: Chain::EMPTY, offset: 0, skipped: 0 })?;
                    }
                }
            }
            _ => self.give(Part::Start { entry: 0, before: Chain::EMPTY, offset: 0, skipped: 0 })?,
        }
        if let Some((item, tree)) = first {
            self.send(&item, tree)?;
        }
        while let Some(item) = walk.next()? {
            self.send(&item, Tree::default())?;
        }
        self.give(Part::Done)
    }

    /// Finds the item at a position, if everything before it is still as it was.
    #[allow(clippy::type_complexity, reason = "used in one place")]
    fn find(
        &mut self,
        walk: &mut Walk<'_>,
        at: &Position,
    ) -> Result<Option<(Option<Item>, Part, Tree)>, Halt> {
        let mut chain = Chain::EMPTY;
        let mut n = 0;
        loop {
            let item = walk.next()?;
            if n == at.entry {
                if chain.hash() != at.before {
                    return Ok(None);
                }
                let mut tree = Tree::default();
                if let Some(item) = item.as_ref().filter(|item| at.offset > 0 && item.is_file()) {
                    let entry = Entry { n, ..item.entry()? };
                    if at.with == Some(chain.with(&Message::Entry(entry.clone()).to_text()).hash()) {
                        tree = had(item, &entry, at).unwrap_or_default();
                    }
                }
                let offset = tree.pieces() * PIECE as u64;
                self.bytes += offset;
                let start = Part::Start { entry: n, before: chain, offset, skipped: self.bytes };
                return Ok(Some((item, start, tree)));
            }
            let Some(item) = item else { return Ok(None) };
            let entry = Entry { n, ..item.entry()? };
            self.bytes += entry.bytes.unwrap_or(0);
            chain = chain.with(&Message::Entry(entry).to_text());
            n += 1;
        }
    }

    fn send(&mut self, item: &Item, tree: Tree) -> Result<(), Halt> {
        let entry = item.entry()?;
        let offset = tree.pieces() * PIECE as u64;
        self.give(Part::Entry(Box::new(entry.clone()), tree))?;
        if !item.is_file() {
            return Ok(());
        }
        let unreadable =
            |error: io::Error| Stop::refused(format!("{} cannot be read: {error}.", item.full.display()));
        let file = File::open(&item.full).map_err(unreadable)?;
        let mut content = Content::new(&entry, offset);
        while let Some(length) = content.next_length() {
            self.bytes += length as u64;
            if self.bytes > self.limit {
                return Err(
                    Stop::refused("The files have grown since they were offered; send them again.").into()
                );
            }
            let mut piece = vec![0; PIECE_HEADER + length];
            content.read(&file, &mut piece[PIECE_HEADER..]).map_err(|error| {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    Stop::refused(format!(
                        "{} became shorter while it was sent; send it again.",
                        item.full.display()
                    ))
                } else {
                    unreadable(error)
                }
            })?;
            self.give(Part::Piece(piece))?;
        }
        self.give(Part::End)
    }
}

/// The hash tree of the part that the receiver has, if it is the same as here.
fn had(item: &Item, entry: &Entry, at: &Position) -> Option<Tree> {
    let pieces = at.offset / PIECE as u64;
    if at.offset > entry.bytes? {
        return None;
    }
    let file = File::open(&item.full).ok()?;
    let mut content = Content::new(entry, 0);
    let mut tree = Tree::default();
    let mut piece = vec![0; PIECE];
    for n in 0..pieces {
        let length = content.next_length()?;
        content.read(&file, &mut piece[..length]).ok()?;
        let hash: Hash = piece_hash(n * PIECE as u64, &piece[..length]);
        tree.push(&piece[..length], hash);
    }
    (tree.stack() == at.stack).then_some(tree)
}

/// The content of a file without its holes, piece by piece.
struct Content {
    extents: Vec<(u64, u64)>,
    /// The extent, and the offset in it.
    at: (usize, u64),
    left: u64,
}

impl Content {
    fn new(entry: &Entry, offset: u64) -> Self {
        let bytes = entry.bytes.unwrap_or(0);
        let extents = entry.extents.clone().unwrap_or_else(|| vec![(0, bytes)]);
        let (mut extent, mut skip) = (0, offset);
        while extent < extents.len() && skip >= extents[extent].1 {
            skip -= extents[extent].1;
            extent += 1;
        }
        Self { extents, at: (extent, skip), left: bytes.saturating_sub(offset) }
    }

    fn next_length(&self) -> Option<usize> {
        let length = self.left.min(PIECE as u64);
        (length > 0).then_some(usize::try_from(length).unwrap_or(PIECE))
    }

    fn read(&mut self, file: &File, mut into: &mut [u8]) -> io::Result<()> {
        self.left -= into.len() as u64;
        while !into.is_empty() {
            let (extent, skip) = self.at;
            let Some(&(offset, length)) = self.extents.get(extent) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let part = usize::try_from(length - skip).unwrap_or(usize::MAX).min(into.len());
            let (now, later) = into.split_at_mut(part);
            file.read_exact_at(now, offset + skip)?;
            into = later;
            let skip = skip + part as u64;
            self.at = if skip == length { (extent + 1, 0) } else { (extent, skip) };
        }
        Ok(())
    }
}

/// Reads a stream, such as standard input, on a thread of its own; `None` is its end.
pub(super) fn read_stream() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (pieces, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut piece = vec![0; PIECE_HEADER + PIECE];
            let mut length = PIECE_HEADER;
            // Only the last piece may be shorter.
            while length < piece.len() {
                match input.read(&mut piece[length..]) {
                    Ok(0) => break,
                    Ok(read) => length += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        let _ = pieces.blocking_send(Err(error));
                        return;
                    }
                }
            }
            let is_last = length < piece.len();
            piece.truncate(length);
            if length > PIECE_HEADER && pieces.blocking_send(Ok(piece)).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}
