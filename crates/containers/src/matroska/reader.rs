//! Reads WebM and Matroska front to back.

use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;

use super::{CODECS, ebml, id};
use crate::bytes_at::be16;
use crate::codec::read_opus_head;
use crate::h264::Configuration;
use crate::ivf::is_key_frame;
use crate::reader::Source;
use crate::{Codec, Error, Frame, Track};

/// Frames in one block at most.
const MAX_LACES: usize = 256;

#[derive(Debug)]
pub(crate) struct MatroskaReader<R> {
    source: Source<R>,
    pub(crate) tracks: Vec<Track>,
    /// For each track its number in the file.
    entries: Vec<Entry>,
    /// Nanoseconds of a tick.
    scale: u64,
    cluster: u64,
    /// Frames of the last block that are not given out.
    frames: VecDeque<Frame>,
}

struct Entry {
    number: u64,
    configuration: Option<Configuration>,
    default_duration: u64,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<R: Read> MatroskaReader<R> {
    pub(crate) fn open(source: Source<R>) -> Result<Self, Error> {
        let mut reader = Self {
            source,
            tracks: Vec::new(),
            entries: Vec::new(),
            scale: 1_000_000,
            cluster: 0,
            frames: VecDeque::new(),
        };
        while reader.tracks.is_empty() && reader.element()? {}
        Ok(reader)
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        while self.frames.is_empty() {
            if !self.element()? {
                return Ok(None);
            }
        }
        Ok(self.frames.pop_front())
    }

    /// Reads one element; returns false at the end of the file. The contents of a segment, a
    /// cluster and a group of blocks are read one by one, wherever they end.
    fn element(&mut self) -> Result<bool, Error> {
        let at = self.source.position();
        let Some(head) = ebml::head(&mut self.source)? else { return Ok(false) };
        if matches!(head.id, id::SEGMENT | id::CLUSTER | id::BLOCK_GROUP) {
            return Ok(true);
        }
        let size = head.size.ok_or_else(|| Error::malformed("element without a size", at))?;
        let wanted = [id::INFO, id::TRACKS, id::TIMESTAMP, id::SIMPLE_BLOCK, id::BLOCK].contains(&head.id);
        if !wanted {
            self.source.skip(size)?;
            return Ok(true);
        }
        let len = usize::try_from(size).map_err(|_| Error::malformed("size of an element", at))?;
        let Some(contents) = self.source.bytes_or_end(len)? else { return Ok(false) };
        match head.id {
            id::INFO => self.read_info(&contents),
            id::TRACKS => self.read_tracks(&contents),
            id::TIMESTAMP => self.cluster = ebml::unsigned(&contents),
            _ => self.read_block(&contents, at)?,
        }
        Ok(true)
    }

    fn read_info(&mut self, info: &[u8]) {
        let scale = ebml::children(info).find(|(id, _)| *id == id::TIMESTAMP_SCALE);
        if let Some(scale) = scale.map(|(_, value)| ebml::unsigned(value)).filter(|scale| *scale > 0) {
            self.scale = scale;
        }
    }

    fn read_tracks(&mut self, tracks: &[u8]) {
        for (_, entry) in ebml::children(tracks).filter(|(id, _)| *id == id::TRACK_ENTRY) {
            if let Some((track, entry)) = read_track(entry) {
                self.tracks.push(track);
                self.entries.push(entry);
            }
        }
    }

    fn read_block(&mut self, block: &Bytes, at: u64) -> Result<(), Error> {
        let damaged = || Error::malformed("block", at);
        let (number, len) = ebml::vint(block).ok_or_else(damaged)?;
        let Some(index) = self.entries.iter().position(|entry| entry.number == number) else { return Ok(()) };
        let head = block.get(len..len + 3).ok_or_else(damaged)?;
        let offset = i64::from(be16(head, 0).cast_signed());
        let ticks = u128::from(self.cluster.saturating_add_signed(offset));
        let nanos = u64::try_from(ticks * u128::from(self.scale)).map_err(|_| damaged())?;
        let parts = laces(block.slice(len + 3..), head[2] >> 1 & 3).ok_or_else(damaged)?;
        let (track, entry) = (&self.tracks[index], &self.entries[index]);
        for (lace, data) in parts.into_iter().enumerate() {
            let timestamp = Duration::from_nanos(nanos.saturating_add(entry.default_duration * lace as u64));
            let data = match &entry.configuration {
                Some(configuration) => configuration.to_stream(&data).ok_or_else(damaged)?,
                None => data,
            };
            let key = is_key_frame(track.codec, &data);
            self.frames.push_back(Frame { track: index, timestamp, key, data });
        }
        Ok(())
    }
}

fn read_track(entry: &[u8]) -> Option<(Track, Entry)> {
    let find = |wanted| ebml::children(entry).find(|(id, _)| *id == wanted).map(|(_, value)| value);
    // What is compressed or encrypted is of no use.
    if find(id::CONTENT_ENCODINGS).is_some() {
        return None;
    }
    let name = find(id::CODEC_ID)?;
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    let (codec, _) = CODECS.iter().find(|(_, other)| other.as_bytes() == name)?;
    let private = find(id::CODEC_PRIVATE).unwrap_or_default();
    let mut track = Track::new(*codec);
    let mut configuration = None;
    match codec {
        Codec::Opus => track = read_opus_head(private)?,
        Codec::H264 => {
            let read = Configuration::read(private)?;
            track.private = read.sets.clone();
            configuration = Some(read);
        }
        Codec::Av1 => track.private = Bytes::copy_from_slice(private.get(4..).unwrap_or_default()),
        _ => {}
    }
    if let Some(video) = find(id::VIDEO) {
        let size = |wanted| ebml::children(video).find(|(id, _)| *id == wanted);
        let size = |wanted| size(wanted).map_or(0, |(_, value)| ebml::unsigned(value) as u32);
        (track.width, track.height) = (size(id::PIXEL_WIDTH), size(id::PIXEL_HEIGHT));
    }
    let number = ebml::unsigned(find(id::TRACK_NUMBER)?);
    let default_duration = find(id::DEFAULT_DURATION).map_or(0, ebml::unsigned).min(1_000_000_000);
    Some((track, Entry { number, configuration, default_duration }))
}

/// Cuts a block into its frames (RFC 9559 §10.3).
fn laces(data: Bytes, lacing: u8) -> Option<Vec<Bytes>> {
    if lacing == 0 {
        return Some(vec![data]);
    }
    let count = usize::from(*data.first()?) + 1;
    let mut at = 1;
    let mut sizes: Vec<usize> = Vec::with_capacity(MAX_LACES);
    match lacing {
        // Xiph: sums of bytes, each up to 255.
        1 => {
            for _ in 1..count {
                let mut size = 0;
                loop {
                    let byte = *data.get(at)?;
                    at += 1;
                    size += usize::from(byte);
                    if byte < 255 {
                        break;
                    }
                }
                sizes.push(size);
            }
        }
        // EBML: the first size, and differences.
        3 => {
            for index in 1..count {
                let (value, len) = ebml::vint(&data[at..])?;
                at += len;
                let size = match index {
                    1 => i64::try_from(value).ok()?,
                    _ => {
                        let bias = (1_i64 << (7 * len - 1)) - 1;
                        i64::try_from(*sizes.last()?).ok()? + value.cast_signed() - bias
                    }
                };
                sizes.push(usize::try_from(size).ok()?);
            }
        }
        // All of one size.
        _ => {
            let size = (data.len() - at) / count;
            sizes.extend(std::iter::repeat_n(size, count - 1));
        }
    }
    let mut parts = Vec::with_capacity(count);
    for size in sizes {
        let end = at.checked_add(size).filter(|end| *end <= data.len())?;
        parts.push(data.slice(at..end));
        at = end;
    }
    parts.push(data.slice(at..));
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(data: &'static [u8], lacing: u8) -> Option<Vec<usize>> {
        laces(Bytes::from_static(data), lacing).map(|parts| parts.iter().map(Bytes::len).collect())
    }

    #[test]
    fn blocks_are_cut_by_all_kinds_of_lacing() {
        assert_eq!(sizes(&[1, 2, 3], 0), Some(vec![3]));
        assert_eq!(sizes(&[2, 1, 2, 7, 8, 8, 9], 1), Some(vec![1, 2, 1]));
        assert_eq!(sizes(&[2, 0x81, 0xC0, 7, 8, 8, 9], 3), Some(vec![1, 2, 1]));
        assert_eq!(sizes(&[1, 7, 7, 8, 8], 2), Some(vec![2, 2]));
        assert_eq!(sizes(&[1, 9, 7], 1), None);
        assert_eq!(sizes(&[2, 0x81, 0x80], 3), None);
        assert_eq!(sizes(&[], 1), None);
    }
}
