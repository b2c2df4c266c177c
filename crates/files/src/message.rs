//! The messages of a transfer: JSON texts, and pieces of content as binary messages.

use serde::{Deserialize, Serialize};

use crate::tree::{Hash, MAX_STACK, PIECE};

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// The label of the data channel of a transfer; the sender of the files opens it.
pub const LABEL: &str = "files";

/// The subprotocol of the data channel of a transfer.
pub const PROTOCOL: &str = "columba-files.1";

/// The longest text message in bytes.
pub const MAX_TEXT: usize = 128 * 1024;

/// The most entries of a transfer: files, folders and links.
pub const MAX_ENTRIES: u64 = 1_000_000;

/// The most bytes of a file: what a signed 64-bit offset takes, and exact in JavaScript.
pub const MAX_BYTES: u64 = 1 << 53;

/// The most extents of a sparse file; a file with more is sent with its smallest holes filled.
pub const MAX_EXTENTS: usize = 2048;

/// The names at the top that an offer lists.
pub const MAX_TOP: usize = 32;

/// The bytes that a sender may be ahead of what the receiver has written: a browser cannot stop
/// what arrives.
pub const WINDOW: u64 = 64 * 1024 * 1024;

/// The bytes before the content of a piece.
pub const PIECE_HEADER: usize = 48;

/// The kind of a binary message that carries a piece.
const KIND_PIECE: u8 = 1;

/// A text message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Message {
    /// Sender: another receiver is served now; the offer follows when it is this one's turn.
    Wait,
    /// Sender: the content of the transfer. First on every channel, but for `Wait`.
    Offer(Offer),
    /// Receiver: the files are wanted, from this position on if it has begun before.
    Accept {
        /// The end of what is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Position>,
    },
    /// Sender: here the content begins, at the position asked for or before it.
    Start {
        /// The number of the entry that comes first.
        entry: u64,
        /// The offset in its content.
        offset: u64,
    },
    /// Sender: a file, folder or link; the content of a file follows.
    Entry(Entry),
    /// Sender: the file is complete.
    End {
        /// The number of its entry.
        n: u64,
        /// The bytes of its content.
        bytes: u64,
        /// The root of its hash tree, in hexadecimal.
        #[serde(with = "hex")]
        hash: Hash,
    },
    /// Receiver: everything before this position is written.
    Have {
        /// The number of the entry.
        entry: u64,
        /// The offset in its content.
        offset: u64,
        /// The bytes of all files before it.
        bytes: u64,
    },
    /// Sender: that was all.
    Done {
        /// The number of entries.
        entries: u64,
        /// The bytes of all files.
        bytes: u64,
    },
    /// Receiver: everything is in its place.
    Finished,
    /// Either: the transfer ends.
    Cancel {
        /// The reason for the program.
        code: CancelCode,
        /// The reason for the person, one sentence.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
    },
}

/// The reasons for which a transfer ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelCode {
    /// The receiver does not want the files.
    Declined,
    /// A person has stopped it.
    Stopped,
    /// There is no room for the files.
    NoSpace,
    /// A file is there already.
    Exists,
    /// Sender: another receiver has the files now, and there is no more to come.
    Taken,
    /// A file could not be read or written.
    Failed,
    /// The other side broke the protocol, or content is damaged.
    Violation,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

/// The content of a transfer, as far as it is known before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The version of the protocol.
    pub version: u32,
    /// An identifier that stays the same when the transfer is resumed: 16 hexadecimal digits.
    pub transfer: String,
    /// The sender's name for itself, or empty.
    #[serde(default)]
    pub from: String,
    /// The number of entries, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// The number of regular files.
    #[serde(default)]
    pub files: u64,
    /// The bytes of all contents; absent if a stream is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The first names at the top.
    #[serde(default)]
    pub top: Vec<TopName>,
    /// The number of further names at the top.
    #[serde(default)]
    pub more: u64,
}

/// A file or folder at the top of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopName {
    /// The name.
    pub name: String,
    /// True for a folder.
    #[serde(default)]
    pub folder: bool,
    /// The bytes in it, if they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A file, folder or symbolic link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 0.
    pub n: u64,
    /// Its path with `/` between the names, relative to the folder of the transfer.
    pub path: String,
    /// Its kind.
    pub kind: EntryKind,
    /// True if the path, or a link's target, stands for bytes that are no UTF-8: see
    /// [`escape`](crate::escape).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escaped: bool,
    /// File: the bytes of its content, without holes; absent if a stream is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Sparse file: its size with holes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Sparse file: the offset and length of each part that is no hole, in order. The content is
    /// these parts, one behind the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extents: Option<Vec<(u64, u64)>>,
    /// The permission bits (`rwxrwxrwx`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// The time of the last change: seconds since 1970, and nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<(i64, u32)>,
    /// Link: its target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Entry {
    /// A file of so many bytes, with nothing else known.
    #[must_use]
    pub fn file(path: impl Into<String>, bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..Self::new(path, EntryKind::File) }
    }

    /// A folder.
    #[must_use]
    pub fn folder(path: impl Into<String>) -> Self {
        Self::new(path, EntryKind::Folder)
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..Self::new(path, EntryKind::Link) }
    }

    fn new(path: impl Into<String>, kind: EntryKind) -> Self {
        Self {
            n: 0,
            path: path.into(),
            kind,
            escaped: false,
            bytes: None,
            size: None,
            extents: None,
            mode: None,
            modified: None,
            target: None,
        }
    }
}

/// The kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

/// A place in a transfer up to which everything is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The number of the entry.
    pub entry: u64,
    /// The offset in its content: a multiple of the piece's length.
    pub offset: u64,
    /// The chain of the entries before it, in hexadecimal (see [`Chain`](crate::Chain)).
    #[serde(with = "hex")]
    pub before: Hash,
    /// The chain with it, if it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_option")]
    pub with: Option<Hash>,
    /// The hash tree of its content before the offset, in hexadecimal, from the left.
    #[serde(default, with = "hex_list")]
    pub stack: Vec<Hash>,
}

/// A text that is no message of this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is too long.
    #[error("a message of {0} bytes")]
    TooLong(usize),
    /// It is no message.
    #[error("a message that cannot be read: {0}")]
    Malformed(String),
}

impl Message {
    /// Reads a text message.
    ///
    /// # Errors
    /// It is none, or longer than [`MAX_TEXT`].
    pub fn read(text: &str) -> Result<Self, ReadError> {
        if text.len() > MAX_TEXT {
            return Err(ReadError::TooLong(text.len()));
        }
        serde_json::from_str(text).map_err(|error| ReadError::Malformed(error.to_string()))
    }

    /// The text of the message. The same message always has the same text.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A piece of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The number of its entry.
    pub entry: u32,
    /// Its offset in the content: a multiple of [`PIECE`].
    pub offset: u64,
    /// Its hash: [`piece_hash`](crate::piece_hash).
    pub hash: Hash,
    /// The content: [`PIECE`] bytes, or fewer if it is the last, but not none.
    pub content: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Reads a binary message. The hash is not checked yet.
    #[must_use]
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (header, content) = message.split_at_checked(PIECE_HEADER)?;
        if header[..4] != [KIND_PIECE, 0, 0, 0] || content.is_empty() || content.len() > PIECE {
            return None;
        }
        let offset = u64::from_be_bytes(header[8..16].try_into().ok()?);
        if offset > MAX_BYTES || !offset.is_multiple_of(PIECE as u64) {
            return None;
        }
        Some(Self {
            entry: u32::from_be_bytes(header[4..8].try_into().ok()?),
            offset,
            hash: header[16..48].try_into().ok()?,
            content,
        })
    }

    /// Writes the header of a message; the content comes behind it.
    #[must_use]
    pub fn header(entry: u32, offset: u64, hash: &Hash) -> [u8; PIECE_HEADER] {
        let mut header = [0; PIECE_HEADER];
        header[0] = KIND_PIECE;
        header[4..8].copy_from_slice(&entry.to_be_bytes());
        header[8..16].copy_from_slice(&offset.to_be_bytes());
        header[16..48].copy_from_slice(hash);
        header
    }
}

/// Hashes as hexadecimal digits.
mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Hash;

    pub(super) fn text(hash: &Hash) -> String {
        let mut text = String::with_capacity(64);
        for byte in hash {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        text
    }

    pub(super) fn read(text: &str) -> Option<Hash> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(hash)
    }

    pub(super) fn serialize<S: Serializer>(hash: &Hash, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        read(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("a hash has 64 hexadecimal digits"))
    }
}

mod hex_option {
    use serde::{Deserializer, Serializer};

    use super::{Hash, hex};

    pub(super) fn serialize<S: Serializer>(hash: &Option<Hash>, to: S) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => hex::serialize(hash, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Hash>, D::Error> {
        hex::deserialize(from).map(Some)
    }
}

mod hex_list {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Hash, MAX_STACK, hex};

    pub(super) fn serialize<S: Serializer>(hashes: &[Hash], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(hashes.iter().map(hex::text))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Hash>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let hashes: Option<Vec<Hash>> = texts.iter().map(|text| hex::read(text)).collect();
        let fitting = hashes.filter(|hashes| hashes.len() <= MAX_STACK);
        fitting.ok_or_else(|| D::Error::custom("hashes have 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Message {
        let message = Message::read(text).unwrap();
        assert_eq!(Message::read(&message.to_text()), Ok(message.clone()));
        message
    }

    #[test]
    fn messages_are_as_documented() {
        read(
            r#"{"type":"offer","version":1,"transfer":"00","from":"Ann","entries":1,"files":1,"bytes":5,"top":[{"name":"a"}]}"#,
        );
        assert_eq!(read(r#"{"type":"accept","more":1}"#), Message::Accept { at: None });
        let zero = "00".repeat(32);
        read(&format!(
            r#"{{"type":"accept","at":{{"entry":1,"offset":65536,"before":"{zero}","stack":["{zero}"]}}}}"#
        ));
        read(r#"{"type":"entry","n":0,"path":"a","kind":"file","bytes":5,"mode":420,"modified":[1,2]}"#);
        read(&format!(r#"{{"type":"end","n":0,"bytes":5,"hash":"{zero}"}}"#));
        assert_eq!(read(r#"{"type":"finished"}"#), Message::Finished);
        let odd = read(r#"{"type":"cancel","code":"of-the-future"}"#);
        assert_eq!(odd, Message::Cancel { code: CancelCode::Other, text: String::new() });
    }

    #[test]
    fn other_texts_are_refused() {
        let long = format!(r#"{{"type":"cancel","code":"stopped","text":"{}"}}"#, "x".repeat(MAX_TEXT));
        for text in
            ["", "{}", "[]", r#"{"type":"x"}"#, r#"{"type":"entry","n":-1,"path":"","kind":"file"}"#, &long]
        {
            assert!(Message::read(text).is_err(), "{text:.40}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_read_back(entry: u32, n in 0_u64..1 << 37, hash: Hash, content in prop::collection::vec(any::<u8>(), 1..100)) {
            let offset = n * PIECE as u64;
            let mut message = Piece::header(entry, offset, &hash).to_vec();
            message.extend_from_slice(&content);
            prop_assert_eq!(Piece::read(&message), Some(Piece { entry, offset, hash, content: &content }));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Piece::read(&bytes);
            let _ = Message::read(&String::from_utf8_lossy(&bytes));
        }
    }
}
