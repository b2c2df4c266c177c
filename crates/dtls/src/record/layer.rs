//! The epochs of an association.

use std::ops::Range;

use super::header::write_plain;
use super::{
    ALERT, CHANGE_CIPHER_SPEC, Form, HANDSHAKE, HEADER, MAX_PLAINTEXT, Opener, Raw, RecordNumber,
    SEQUENCE_BITS, Sealer,
};
use crate::config::Version;
use crate::error::SealError;

/// Epochs whose records are opened at once: those of the handshake and of the data, and the next
/// one and the last one of a key update.
const MAX_OPENERS: usize = 4;

/// The state of the record layer.
#[derive(Debug)]
pub(crate) struct RecordLayer {
    version: Option<Version>,
    /// The sequence number of the next unprotected record.
    next_plain: u64,
    /// At most the one of the handshake and the newest one.
    sealers: Vec<Sealer>,
    /// At most [`MAX_OPENERS`]; the oldest goes.
    openers: Vec<Opener>,
    /// Bytes of plaintext that the other side takes in a record.
    limit: usize,
}

/// A record that was read.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Authentic if its epoch is above 0.
    Content { content_type: u8, number: RecordNumber, range: Range<usize> },
    /// Of an epoch whose keys may come yet.
    Early,
    /// Forged, a replay, or without meaning.
    Noise,
}

impl RecordLayer {
    pub(crate) fn new() -> Self {
        Self { version: None, next_plain: 0, sealers: Vec::new(), openers: Vec::new(), limit: MAX_PLAINTEXT }
    }

    pub(crate) fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Goes on behind the sequence number of a record of the other side's, which was answered
    /// without state (RFC 6347 §4.2.1).
    pub(crate) fn skip_plain(&mut self, sequence: u64) {
        self.next_plain = self.next_plain.max(sequence);
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MAX_PLAINTEXT);
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Adds keys, for the newest epoch. Of the older ones that of the handshake may be needed.
    pub(crate) fn add_sealer(&mut self, sealer: Sealer) {
        if self.sealers.len() > 1 {
            self.sealers.remove(1);
        }
        self.sealers.push(sealer);
    }

    pub(crate) fn add_opener(&mut self, opener: Opener) {
        if self.openers.len() == MAX_OPENERS {
            self.openers.remove(0);
        }
        self.openers.push(opener);
    }

    /// Forgets the keys for records of earlier epochs than these.
    pub(crate) fn forget_before(&mut self, sealed: u64, opened: u64) {
        self.sealers.retain(|sealer| sealer.epoch() >= sealed);
        self.openers.retain(|opener| opener.epoch() >= opened);
        self.sealers.shrink_to_fit();
        self.openers.shrink_to_fit();
    }

    pub(crate) fn newest(&mut self) -> Option<&mut Sealer> {
        self.sealers.last_mut()
    }

    pub(crate) fn newest_epoch(&self) -> u64 {
        self.sealers.last().map_or(0, Sealer::epoch)
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.openers.iter().any(Opener::is_spent)
    }

    /// Bytes in front of and behind the plaintext of a record of this epoch.
    pub(crate) fn overhead(&self, epoch: u64) -> (usize, usize) {
        match self.sealers.iter().find(|sealer| sealer.epoch() == epoch) {
            Some(sealer) => (sealer.front(), sealer.back()),
            None => (HEADER, 0),
        }
    }

    /// Makes a record of the plaintext in `range`, where it stands.
    pub(crate) fn seal(
        &mut self,
        epoch: u64,
        content_type: u8,
        buf: &mut [u8],
        range: Range<usize>,
    ) -> Result<(Range<usize>, RecordNumber), SealError> {
        if epoch > 0 {
            let sealer = self.sealers.iter_mut().find(|sealer| sealer.epoch() == epoch);
            let sealer = sealer.ok_or(SealError::NotConnected)?;
            let number = RecordNumber { epoch, sequence: sealer.next() };
            return Ok((sealer.seal(content_type, buf, range)?, number));
        }
        let start = range.start.checked_sub(HEADER).ok_or(SealError::NoRoom)?;
        let record = buf.get_mut(start..range.end).ok_or(SealError::NoRoom)?;
        let header = record.first_chunk_mut::<HEADER>().ok_or(SealError::NoRoom)?;
        let number = RecordNumber { epoch, sequence: self.next_plain };
        if number.sequence >> SEQUENCE_BITS != 0 {
            return Err(SealError::KeysUsedUp);
        }
        write_plain(header, content_type, 0, number.sequence, range.len() as u16);
        self.next_plain += 1;
        Ok((start..range.end, number))
    }

    /// Opens a record where it stands.
    pub(crate) fn open(&mut self, raw: Raw, record: &mut [u8]) -> Opened {
        let index = match raw.form {
            Form::Plain { content_type, epoch: 0, sequence } => {
                return plain(content_type, sequence, raw);
            }
            Form::Plain { epoch, .. } => match self.version {
                Some(Version::Dtls13) => return Opened::Noise,
                _ => self.openers.iter().position(|opener| opener.epoch() == u64::from(epoch)),
            },
            Form::Unified { epoch_bits } => match self.version {
                Some(Version::Dtls12) => return Opened::Noise,
                _ => self.openers.iter().rposition(|opener| opener.epoch() & 3 == u64::from(epoch_bits)),
            },
        };
        let Some(opener) = index.and_then(|index| self.openers.get_mut(index)) else { return Opened::Early };
        match opener.open(raw, record) {
            Some(content) => Opened::Content {
                content_type: content.content_type,
                number: RecordNumber { epoch: opener.epoch(), sequence: content.sequence },
                range: content.range,
            },
            None => Opened::Noise,
        }
    }
}

/// In the clear there are handshake messages, alerts, and the ChangeCipherSpec of DTLS 1.2.
fn plain(content_type: u8, sequence: u64, raw: Raw) -> Opened {
    let length = raw.length - raw.header;
    if !matches!(content_type, HANDSHAKE | ALERT | CHANGE_CIPHER_SPEC) || length > MAX_PLAINTEXT {
        return Opened::Noise;
    }
    let number = RecordNumber { epoch: 0, sequence };
    Opened::Content { content_type, number, range: raw.header..raw.length }
}
