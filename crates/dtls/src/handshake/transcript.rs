//! The messages of a handshake, as signatures and Finished messages cover them.

use aws_lc_rs::digest::{self, Digest};

use super::reassembly::Message;
use crate::config::Version;
use crate::crypto::suite::SuiteHash;
use crate::wire::{put_u16, put_u24};

/// `message_hash`, which stands for a first ClientHello (RFC 8446 §4.4.1).
const MESSAGE_HASH: u8 = 254;

/// Bytes of a message's header without the fields of fragments.
const SHORT_HEADER: usize = 4;

/// Bytes of the header of a whole message in DTLS 1.2.
const LONG_HEADER: usize = 12;

/// The messages so far, in the form of DTLS 1.2 (RFC 6347 §4.2.6): signatures there may need them
/// as they are. DTLS 1.3 hashes them without the fields of fragments (RFC 9147 §5.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    version: Option<Version>,
    /// Messages until the version is known.
    messages: Vec<u8>,
}

impl Transcript {
    pub(crate) fn push(&mut self, message: &Message) {
        self.push_parts(message.kind, message.number, &message.body);
    }

    pub(crate) fn push_parts(&mut self, kind: u8, number: u16, body: &[u8]) {
        self.messages.push(kind);
        put_u24(&mut self.messages, body.len());
        if self.version != Some(Version::Dtls13) {
            put_u16(&mut self.messages, number);
            put_u24(&mut self.messages, 0);
            put_u24(&mut self.messages, body.len());
        }
        self.messages.extend_from_slice(body);
    }

    /// Settles the form of messages, those that were pushed before included.
    pub(crate) fn set_version(&mut self, version: Version) {
        if self.version.replace(version).is_some() || version == Version::Dtls12 {
            return;
        }
        let long = std::mem::take(&mut self.messages);
        let mut rest = &long[..];
        while let Some((header, after)) = rest.split_first_chunk::<LONG_HEADER>() {
            let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
            let (body, after) = after.split_at(length.min(after.len()));
            self.messages.extend_from_slice(&header[..SHORT_HEADER]);
            self.messages.extend_from_slice(body);
            rest = after;
        }
    }

    /// Puts its hash in the place of the first ClientHello (RFC 8446 §4.4.1).
    pub(crate) fn replace_by_hash(&mut self, hash: SuiteHash) {
        let digest = self.hash(hash);
        self.begin_with_hash(digest.as_ref());
    }

    /// Begins with the hash of a first ClientHello that was answered without state.
    pub(crate) fn begin_with_hash(&mut self, digest: &[u8]) {
        self.version = Some(Version::Dtls13);
        self.messages.clear();
        self.push_parts(MESSAGE_HASH, 0, digest);
    }

    pub(crate) fn hash(&self, hash: SuiteHash) -> Digest {
        digest::digest(hash.digest(), &self.messages)
    }

    /// The messages themselves.
    pub(crate) fn messages(&self) -> &[u8] {
        &self.messages
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_hashed_in_the_form_of_their_version() {
        let hello = Message { kind: 1, number: 0, epoch: 0, body: vec![7, 8] };
        let answer = Message { kind: 2, number: 1, epoch: 0, body: vec![9] };
        let mut transcript = Transcript::default();
        transcript.push(&hello);
        let mut other = transcript.clone();
        transcript.set_version(Version::Dtls12);
        transcript.push(&answer);
        let long = [1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 7, 8, 2, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 9];
        assert_eq!(transcript.messages(), long);
        other.set_version(Version::Dtls13);
        other.push(&answer);
        assert_eq!(other.messages(), [1, 0, 0, 2, 7, 8, 2, 0, 0, 1, 9]);
        let digest = other.hash(SuiteHash::Sha256);
        other.replace_by_hash(SuiteHash::Sha256);
        assert_eq!(other.messages()[..4], [254, 0, 0, 32]);
        assert_eq!(other.messages()[4..], *digest.as_ref());
    }
}
