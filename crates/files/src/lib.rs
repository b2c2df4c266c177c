//! Files from one program to another, as state machines without I/O: the protocol of Columba's
//! `send` and `receive` and of its call page, described in `docs/files.md`.
//!
//! A file of two pieces, from a sender to a receiver in the same program:
//!
//! ```
//! use columba_files::{Entry, EntryKind, Offer, PIECE, PIECE_HEADER, Receiving, Sending};
//! use columba_files::{SendingEvent, Step, System, Tree, VERSION};
//!
//! let content = vec![7; PIECE + 1];
//! let offer = Offer {
//!     version: VERSION,
//!     transfer: "0123456789abcdef".to_owned(),
//!     bytes: Some(content.len() as u64),
//!     ..Offer::default()
//! };
//! let (mut sender, mut receiver) = (Sending::new(offer), Receiving::new(System::own()));
//! let Ok(Some(Step::Offered(_))) = receiver.handle_text(&sender.offer()) else { panic!() };
//! sender.handle_text(&receiver.accept(None)).unwrap();
//! assert_eq!(sender.poll_event(), Some(SendingEvent::Accepted(None)));
//!
//! receiver.handle_text(&sender.start(0, columba_files::Chain::EMPTY, 0, 0)).unwrap();
//! let entry = Entry::file("report.pdf", content.len() as u64);
//! receiver.handle_text(&sender.entry(entry, Tree::default())).unwrap();
//! for piece in content.chunks(PIECE) {
//!     let mut message = vec![0; PIECE_HEADER];
//!     message.extend_from_slice(piece);
//!     sender.piece(&mut message);
//!     // What arrives is checked before it may be written.
//!     let Ok(Step::Write { content, .. }) = receiver.handle_binary(&message) else { panic!() };
//!     assert_eq!(content, piece);
//! }
//! let Ok(Some(Step::End { .. })) = receiver.handle_text(&sender.end()) else { panic!() };
//! assert_eq!(receiver.handle_text(&sender.done()), Ok(Some(Step::Done)));
//! sender.handle_text(&receiver.finished()).unwrap();
//! assert_eq!(sender.poll_event(), Some(SendingEvent::Finished));
//! ```
//!
//! - [`Code`], [`Exchange`] and [`Secret`]: how both sides come to know that they are the ones that
//!   were meant, although a stranger's server carries their messages.
//! - [`Sending`] and [`Receiving`]: the two sides of a transfer. They hold no content and no list
//!   of files.
//! - [`Paste`]: a session description as a text that people carry, where there is no server at all.
//! - [`Tree`]: verified streaming by BLAKE3. [`safe_names`]: paths that may be used.

mod chain;
mod code;
mod message;
mod names;
mod pake;
mod paste;
mod receiving;
mod secret;
mod sending;
mod tree;
mod words;

pub use chain::Chain;
pub use code::{Code, CodeError, MAX_NUMBER, session_of};
pub use message::{
    CancelCode, Entry, EntryKind, LABEL, MAX_BYTES, MAX_ENTRIES, MAX_EXTENTS, MAX_TEXT, MAX_TOP, Message,
    Offer, PIECE_HEADER, PROTOCOL, Piece, Position, ReadError, TopName, VERSION, WINDOW,
};
pub use names::{
    MAX_DEPTH, MAX_NAME, MAX_PATH, PathFault, System, escape, is_escaped, link_stays_inside, safe_names,
    unescape,
};
pub use pake::{Exchange, ExchangeError, PROOF_LEN, Role, SHARE_LEN, Unproven};
pub use paste::{MAX_PASTE, MAX_UNPACKED, Paste, PasteError, PasteKind, Purpose};
pub use receiving::{Receiving, ReceivingFault, Step};
pub use secret::{NotSealed, SECRET_LEN, Sealer, Secret, SecretError};
pub use sending::{Sending, SendingEvent, SendingFault, cancel, wait};
pub use tree::{Hash, PIECE, Tree, piece_hash};
