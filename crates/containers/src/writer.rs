//! Files of any kind, written.

use std::io::Write;

use crate::ivf::IvfWriter;
use crate::matroska::MatroskaWriter;
use crate::mp4::Mp4Writer;
use crate::ogg::OggWriter;
use crate::{Error, Frame, Track};

/// A file that is written front to back. It is playable whenever it is cut off: at most the last
/// second is missing.
#[derive(Debug)]
pub struct Writer<W>(Kind<W>);

#[derive(Debug)]
enum Kind<W> {
    Matroska(MatroskaWriter<W>),
    Mp4(Mp4Writer<W>),
    Ogg(OggWriter<W>),
    Ivf(IvfWriter<W>),
}

impl<W: Write> Writer<W> {
    /// Begins a file of WebM: VP8, VP9, AV1, Opus.
    ///
    /// # Errors
    ///
    /// It cannot be written, or a track does not go into WebM.
    pub fn webm(sink: W, tracks: &[Track]) -> Result<Self, Error> {
        MatroskaWriter::new(sink, tracks, true).map(Kind::Matroska).map(Self)
    }

    /// Begins a file of Matroska: all codecs.
    ///
    /// # Errors
    ///
    /// It cannot be written, or the private data of a track is missing.
    pub fn matroska(sink: W, tracks: &[Track]) -> Result<Self, Error> {
        MatroskaWriter::new(sink, tracks, false).map(Kind::Matroska).map(Self)
    }

    /// Begins a file of MP4 in fragments: H.264, Opus.
    ///
    /// # Errors
    ///
    /// It cannot be written, a track does not go into it, or its private data is missing.
    pub fn mp4(sink: W, tracks: &[Track]) -> Result<Self, Error> {
        Mp4Writer::new(sink, tracks).map(Kind::Mp4).map(Self)
    }

    /// Begins a file of Ogg with one track of Opus.
    ///
    /// # Errors
    ///
    /// It cannot be written, or there is another track.
    pub fn ogg(sink: W, tracks: &[Track]) -> Result<Self, Error> {
        OggWriter::new(sink, tracks).map(Kind::Ogg).map(Self)
    }

    /// Begins a file of IVF with one track of video.
    ///
    /// # Errors
    ///
    /// It cannot be written, or there is another track.
    pub fn ivf(sink: W, tracks: &[Track]) -> Result<Self, Error> {
        IvfWriter::new(sink, tracks).map(Kind::Ivf).map(Self)
    }

    /// Writes a frame. Frames of one track come in order; those of several tracks nearly so.
    ///
    /// # Errors
    ///
    /// It cannot be written, there is no such track, or the frame is larger than 16 MiB.
    pub fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        match &mut self.0 {
            Kind::Matroska(writer) => writer.write(frame),
            Kind::Mp4(writer) => writer.write(frame),
            Kind::Ogg(writer) => writer.write(frame),
            Kind::Ivf(writer) => writer.write(frame),
        }
    }

    /// Writes what is waiting, and gives the sink back.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finish(self) -> Result<W, Error> {
        match self.0 {
            Kind::Matroska(writer) => writer.finish(),
            Kind::Mp4(writer) => writer.finish(),
            Kind::Ogg(writer) => writer.finish(),
            Kind::Ivf(writer) => writer.finish(),
        }
    }
}
