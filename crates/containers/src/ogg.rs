//! Ogg with one stream of Opus (RFC 3533, RFC 7845).

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::bytes_at::{le32, le64};
use crate::codec::{opus_head, opus_samples, read_opus_head};
use crate::reader::Source;
use crate::{Codec, Error, Frame, MAX_FRAME_LEN, Track};

const HEADER: usize = 27;
/// Flags of a page.
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// Samples of what is kept back in a page at most: half a second.
const PAGE_SAMPLES: u64 = 24_000;

/// The check sum of pages: the polynomial 0x04C11DB7, not reflected, from 0 on.
fn checksum(parts: &[&[u8]]) -> u32 {
    let mut sum = 0_u32;
    for byte in parts.iter().copied().flatten() {
        sum ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            sum = if sum >> 31 == 1 { (sum << 1) ^ 0x04C1_1DB7 } else { sum << 1 };
        }
    }
    sum
}

#[derive(Debug)]
pub(crate) struct OggReader<R> {
    source: Source<R>,
    pub(crate) tracks: Vec<Track>,
    serial: u32,
    /// Packets that are whole.
    packets: VecDeque<Bytes>,
    partial: BytesMut,
    /// Samples given out, and those at the end of the last page.
    samples: u64,
}

impl<R: Read> OggReader<R> {
    pub(crate) fn open(source: Source<R>) -> Result<Self, Error> {
        let mut reader = Self {
            source,
            tracks: Vec::new(),
            serial: 0,
            packets: VecDeque::new(),
            partial: BytesMut::new(),
            samples: 0,
        };
        // Streams of other kinds begin beside it.
        while reader.tracks.is_empty() {
            reader.partial.clear();
            reader.packets.clear();
            let Some((flags, serial)) = reader.page(None)? else { return Err(Error::NoTracks) };
            if flags & FIRST == 0 {
                return Err(Error::NoTracks);
            }
            if let Some(track) = reader.packets.pop_front().and_then(|head| read_opus_head(&head)) {
                reader.tracks.push(track);
                reader.serial = serial;
            }
        }
        let Some(tags) = reader.packet()? else { return Ok(reader) };
        if !tags.starts_with(b"OpusTags") {
            return Err(Error::malformed("OpusTags", reader.source.position()));
        }
        Ok(reader)
    }

    fn packet(&mut self) -> Result<Option<Bytes>, Error> {
        while self.packets.is_empty() {
            if self.page(Some(self.serial))?.is_none() {
                return Ok(None);
            }
        }
        Ok(self.packets.pop_front())
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let Some(data) = self.packet()? else { return Ok(None) };
        let timestamp = Duration::from_nanos(self.samples * 1_000_000_000 / 48_000);
        self.samples += u64::from(opus_samples(&data));
        Ok(Some(Frame { track: 0, timestamp, key: true, data }))
    }

    /// Reads a page; its packets are entered if it is of the stream. Returns flags and stream.
    fn page(&mut self, wanted: Option<u32>) -> Result<Option<(u8, u32)>, Error> {
        let at = self.source.position();
        let Some(mut header) = self.source.array_or_end::<HEADER>()? else { return Ok(None) };
        if !header.starts_with(b"OggS\0") {
            return Err(Error::malformed("Ogg page", at));
        }
        let Some(lacing) = self.source.bytes_or_end(usize::from(header[26]))? else { return Ok(None) };
        let len = lacing.iter().map(|len| usize::from(*len)).sum();
        let Some(body) = self.source.bytes_or_end(len)? else { return Ok(None) };
        let (sum, serial, flags) = (le32(&header, 22), le32(&header, 14), header[5]);
        header[22..26].fill(0);
        if checksum(&[&header, &lacing, &body]) != sum {
            return Err(Error::malformed("check sum of an Ogg page", at));
        }
        if wanted.is_some_and(|wanted| wanted != serial) {
            return Ok(Some((flags, serial)));
        }
        if flags & CONTINUED == 0 {
            self.partial.clear();
        }
        let mut start = 0;
        for segment in &lacing {
            let end = start + usize::from(*segment);
            if self.partial.len() + end - start > MAX_FRAME_LEN {
                return Err(Error::malformed("a packet of more than 16 MiB", at));
            }
            self.partial.extend_from_slice(&body[start..end]);
            start = end;
            if *segment < 255 {
                self.packets.push_back(self.partial.split().freeze());
            }
        }
        let _granule = le64(&header, 6);
        Ok(Some((flags, serial)))
    }
}

#[derive(Debug)]
pub(crate) struct OggWriter<W> {
    sink: W,
    pre_skip: u64,
    page: u32,
    lacing: Vec<u8>,
    body: Vec<u8>,
    /// Samples in pages that are written, and in the one that waits.
    samples: u64,
    waiting: u64,
    started: Option<Duration>,
}

impl<W: Write> OggWriter<W> {
    const SERIAL: u32 = 0x636F_6C75;

    pub(crate) fn new(sink: W, tracks: &[Track]) -> Result<Self, Error> {
        let [track] = tracks else { return Err(Error::unsupported("an Ogg file has one track of Opus")) };
        if track.codec != Codec::Opus {
            return Err(Error::unsupported("an Ogg file has one track of Opus"));
        }
        let mut writer = Self {
            sink,
            pre_skip: u64::from(track.pre_skip),
            page: 0,
            lacing: Vec::new(),
            body: Vec::new(),
            samples: 0,
            waiting: 0,
            started: None,
        };
        writer.push(&opus_head(track));
        writer.write_page(FIRST)?;
        let vendor = b"columba";
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
        tags.extend_from_slice(vendor);
        tags.extend_from_slice(&0_u32.to_le_bytes());
        writer.push(&tags);
        writer.write_page(0)?;
        Ok(writer)
    }

    pub(crate) fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        if frame.data.len() > 60_000 {
            return Err(Error::unsupported("the packet of Opus is larger than a page"));
        }
        let samples = u64::from(opus_samples(&frame.data));
        // A pause moves the position of the next page: a gap that players fill with silence.
        let started = *self.started.get_or_insert(frame.timestamp);
        let passed = frame.timestamp.saturating_sub(started).as_nanos() * 48_000 / 1_000_000_000;
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let gap = passed.saturating_sub(self.samples + self.waiting);
        let full = self.lacing.len() + frame.data.len() / 255 + 1 > 255;
        if full || self.waiting >= PAGE_SAMPLES || gap > PAGE_SAMPLES {
            self.write_page(0)?;
        }
        if gap > PAGE_SAMPLES {
            self.samples += gap;
        }
        self.push(&frame.data);
        self.waiting += samples;
        Ok(())
    }

    fn push(&mut self, packet: &[u8]) {
        self.lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
        self.lacing.push((packet.len() % 255) as u8);
        self.body.extend_from_slice(packet);
    }

    fn write_page(&mut self, flags: u8) -> Result<(), Error> {
        if self.lacing.is_empty() && flags != LAST {
            return Ok(());
        }
        self.samples += self.waiting;
        self.waiting = 0;
        let position = if self.page < 2 { 0 } else { self.samples + self.pre_skip };
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(b"OggS");
        header[5] = flags;
        header[6..14].copy_from_slice(&position.to_le_bytes());
        header[14..18].copy_from_slice(&Self::SERIAL.to_le_bytes());
        header[18..22].copy_from_slice(&self.page.to_le_bytes());
        header[26] = self.lacing.len() as u8;
        let sum = checksum(&[&header, &self.lacing, &self.body]);
        header[22..26].copy_from_slice(&sum.to_le_bytes());
        self.sink.write_all(&header)?;
        self.sink.write_all(&self.lacing)?;
        self.sink.write_all(&self.body)?;
        self.sink.flush()?;
        self.page += 1;
        self.lacing.clear();
        self.body.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<W, Error> {
        self.write_page(LAST)?;
        Ok(self.sink)
    }
}
