//! The epochs of an association.

use std::ops::Range;

use super::header::write_plain;
use super::{
    ALERT, CHANGE_CIPHER_SPEC, Form, HANDSHAKE, HEADER, MAX_PLAINTEXT, Opener, Raw, RecordNumber, Resting,
    SEQUENCE_BITS, Sealer,
};
use crate::config::Version;
use crate::crypto::secret::Secret;
use crate::crypto::suite::CipherSuite;
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
    /// The keys of the other side's handshake, which are needed only if its end is repeated.
    resting: Option<Box<Resting>>,
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
        Self {
            version: None,
            next_plain: 0,
            sealers: Vec::new(),
            openers: Vec::new(),
            resting: None,
            limit: MAX_PLAINTEXT,
        }
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
        self.resting.take_if(|resting| resting.epoch() < opened);
        self.sealers.shrink_to_fit();
        self.openers.shrink_to_fit();
    }

    /// Keeps of the keys that open this epoch only what they are made of, until one of its records
    /// comes.
    pub(crate) fn rest(&mut self, suite: CipherSuite, epoch: u64, secret: &Secret) {
        let Some(index) = self.openers.iter().position(|opener| opener.epoch() == epoch) else { return };
        let opener = self.openers.remove(index);
        self.resting = Some(Box::new(opener.into_resting(suite, secret.clone())));
        self.openers.shrink_to_fit();
    }

    /// Makes the keys that rest again if a record is of their epoch.
    fn wake(&mut self, epoch_bits: u8) {
        if let Some(resting) = self.resting.take_if(|resting| resting.epoch() & 3 == u64::from(epoch_bits))
            && let Ok(opener) = resting.into_opener()
        {
            // The oldest goes first.
            self.openers.insert(0, opener);
        }
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

    /// The place of the newest keys of DTLS 1.3 whose epoch ends in these bits.
    fn newest_of(&mut self, epoch_bits: u8) -> Option<usize> {
        let find = |openers: &[Opener]| {
            openers.iter().rposition(|opener| opener.epoch() & 3 == u64::from(epoch_bits))
        };
        find(&self.openers).or_else(|| {
            self.wake(epoch_bits);
            find(&self.openers)
        })
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
                _ => self.newest_of(epoch_bits),
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

#[cfg(test)]
mod tests {
    use super::super::{Direction, first};
    use super::*;

    #[test]
    fn keys_that_rest_open_what_comes_again_but_no_replay() {
        let (suite, secret) = (CipherSuite::Aes128GcmSha256, Secret::new(&[5; 32]));
        let mut own = RecordLayer::new();
        let mut other = RecordLayer::new();
        for epoch in [2, 3] {
            let direction = Direction { suite, epoch };
            own.add_opener(Opener::new_13(direction, &secret).unwrap());
            other.add_sealer(Sealer::new_13(direction, &secret).unwrap());
        }
        let mut sealed = |epoch| {
            let mut record = vec![1; 64];
            let (front, back) = other.overhead(epoch);
            let (range, _) = other.seal(epoch, HANDSHAKE, &mut record, front..64 - back).unwrap();
            record[range].to_vec()
        };
        let opens = |own: &mut RecordLayer, record: &[u8]| {
            let mut record = record.to_vec();
            matches!(own.open(first(&record).unwrap(), &mut record), Opened::Content { .. })
        };
        let [before, late] = [sealed(2), sealed(2)];
        assert!(opens(&mut own, &before));
        own.rest(suite, 2, &secret);
        assert_eq!((own.openers.len(), own.openers.capacity()), (1, 1));
        assert!(opens(&mut own, &sealed(3)));
        assert_eq!(own.openers.len(), 1, "another epoch wakes none");
        assert!(!opens(&mut own, &before), "a replay");
        assert!(opens(&mut own, &late));
        assert!(!opens(&mut own, &late), "a replay");

        own.rest(suite, 2, &secret);
        own.forget_before(3, 3);
        assert!(!opens(&mut own, &sealed(2)));
    }
}
