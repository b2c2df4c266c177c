//! Files of any kind, read.

use std::io::{Read, Seek, SeekFrom};

use bytes::Bytes;

use crate::ivf::IvfReader;
use crate::matroska::MatroskaReader;
use crate::mp4::Mp4Reader;
use crate::ogg::OggReader;
use crate::{Error, Frame, MAX_FRAME_LEN, Track};

/// Bytes from a file, and how many there were.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: R,
    position: u64,
}

impl<R: Read> Source<R> {
    pub(crate) const fn new(inner: R) -> Self {
        Self { inner, position: 0 }
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Reads just so many bytes; `None` if the file ends before.
    pub(crate) fn array_or_end<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Error> {
        let mut bytes = [0; N];
        Ok(self.fill(&mut bytes)?.then_some(bytes))
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let at = self.position;
        self.array_or_end()?.ok_or_else(|| Error::malformed(what, at))
    }

    /// Reads just so many bytes; `None` if the file ends before. A length that the file does not
    /// have allocates no more than what is there.
    pub(crate) fn bytes_or_end(&mut self, len: usize) -> Result<Option<Bytes>, Error> {
        if len > MAX_FRAME_LEN {
            return Err(Error::malformed("a length of more than 16 MiB", self.position));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.inner).take(len as u64).read_to_end(&mut bytes)?;
        self.position += read as u64;
        Ok((read == len).then(|| bytes.into()))
    }

    /// Passes over bytes; the end of the file comes to light with the next read.
    pub(crate) fn skip(&mut self, len: u64) -> Result<(), Error> {
        let skipped = std::io::copy(&mut (&mut self.inner).take(len), &mut std::io::sink())?;
        self.position += skipped;
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool, Error> {
        let mut done = 0;
        while done < bytes.len() {
            match self.inner.read(&mut bytes[done..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    done += count;
                    self.position += count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

impl<R: Seek> Source<R> {
    pub(crate) fn seek(&mut self, position: u64) -> Result<(), Error> {
        self.position = self.inner.seek(SeekFrom::Start(position))?;
        Ok(())
    }
}

/// A file of any kind that is known, told apart by its first bytes.
#[derive(Debug)]
pub struct Reader<R>(Kind<R>);

#[derive(Debug)]
enum Kind<R> {
    Matroska(MatroskaReader<R>),
    Mp4(Mp4Reader<R>),
    Ogg(OggReader<R>),
    Ivf(IvfReader<R>),
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a file from its beginning. A buffered reader saves system calls.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is of no known kind, is damaged at its beginning, or has no track
    /// of a codec that is known. Other tracks are left out.
    pub fn open(mut file: R) -> Result<Self, Error> {
        file.seek(SeekFrom::Start(0))?;
        let mut source = Source::new(file);
        let head: [u8; 12] = source.array_or_end()?.ok_or(Error::UnknownKind)?;
        source.seek(0)?;
        let kind = match &head {
            [0x1A, 0x45, 0xDF, 0xA3, ..] => Kind::Matroska(MatroskaReader::open(source)?),
            [b'O', b'g', b'g', b'S', ..] => Kind::Ogg(OggReader::open(source)?),
            [b'D', b'K', b'I', b'F', ..] => Kind::Ivf(IvfReader::open(source)?),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Kind::Mp4(Mp4Reader::open(source)?),
            _ => return Err(Error::UnknownKind),
        };
        let reader = Self(kind);
        if reader.tracks().is_empty() { Err(Error::NoTracks) } else { Ok(reader) }
    }

    /// Returns the tracks.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        match &self.0 {
            Kind::Matroska(reader) => &reader.tracks,
            Kind::Mp4(reader) => &reader.tracks,
            Kind::Ogg(reader) => &reader.tracks,
            Kind::Ivf(reader) => &reader.tracks,
        }
    }

    /// Returns the next frame in the order of the file; `None` at its end, which may be in the
    /// middle of a frame if the writer was cut off.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        match &mut self.0 {
            Kind::Matroska(reader) => reader.next_frame(),
            Kind::Mp4(reader) => reader.next_frame(),
            Kind::Ogg(reader) => reader.next_frame(),
            Kind::Ivf(reader) => reader.next_frame(),
        }
    }
}
