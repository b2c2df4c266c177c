//! Reads MP4: the tables of samples, wherever they are, and then sample by sample.

use std::io::{Read, Seek};
use std::time::Duration;

use bytes::Bytes;

use crate::bytes_at::{be16, be32, be64};
use crate::h264::{self, Configuration};
use crate::ivf::is_key_frame;
use crate::reader::Source;
use crate::{Codec, Error, Frame, Track};

/// Samples of a file at most: 18 hours of 60 a second with sound.
const MAX_SAMPLES: usize = 8_000_000;

#[derive(Clone, Copy, Debug)]
struct Sample {
    stream: u32,
    /// When it is decoded, in nanoseconds, and the difference to when it is shown.
    time: i64,
    offset_to_shown: i64,
    position: u64,
    size: u32,
}

/// A track with what is needed to find its samples.
struct Stream {
    id: u32,
    rate: u64,
    configuration: Option<Configuration>,
    /// Nanoseconds by which the edit list shifts the track.
    shift: i64,
    /// The defaults of fragments (`trex`): duration and size.
    defaults: (u32, u32),
    /// Where the next fragment without a time begins, in ticks.
    next: u64,
}

pub(crate) struct Mp4Reader<R> {
    source: Source<R>,
    pub(crate) tracks: Vec<Track>,
    streams: Vec<Stream>,
    samples: Vec<Sample>,
    next: usize,
}

impl<R> std::fmt::Debug for Mp4Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mp4Reader").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}

/// The boxes in some bytes; damage ends them.
fn boxes(mut data: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        if data.len() < 8 {
            return None;
        }
        let (mut len, mut head) = (u64::from(be32(data, 0)), 8);
        if len == 1 && data.len() >= 16 {
            (len, head) = (be64(data, 8), 16);
        } else if len == 0 {
            len = data.len() as u64;
        }
        let len = usize::try_from(len).ok().filter(|len| (head..=data.len()).contains(len))?;
        let (one, rest) = data.split_at(len);
        data = rest;
        Some((&one[4..8], &one[head..]))
    })
}

/// Returns the contents of the box at the end of a path.
fn find<'a>(data: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(data, |data, kind| {
        boxes(data).find(|(other, _)| other == kind).map(|(_, contents)| contents)
    })
}

/// Returns the entries of a table: after version, flags and a count, so many words each.
fn table(contents: &[u8], words: usize) -> impl Iterator<Item = &[u8]> {
    let count = if contents.len() >= 8 { be32(contents, 4) as usize } else { 0 };
    contents.get(8..).unwrap_or_default().chunks_exact(4 * words).take(count)
}

impl<R: Read + Seek> Mp4Reader<R> {
    pub(crate) fn open(source: Source<R>) -> Result<Self, Error> {
        let mut reader =
            Self { source, tracks: Vec::new(), streams: Vec::new(), samples: Vec::new(), next: 0 };
        let mut at = 0;
        loop {
            reader.source.seek(at)?;
            let Some(head) = reader.source.array_or_end::<8>()? else { break };
            let (mut len, mut start) = (u64::from(be32(&head, 0)), at + 8);
            if len == 1 {
                let Some(long) = reader.source.array_or_end::<8>()? else { break };
                (len, start) = (be64(&long, 0), at + 16);
            }
            let kind = &head[4..8];
            // A box up to the end of the file has no length; nothing is behind it.
            if len == 0 || len < start - at {
                break;
            }
            if kind == b"moov" || kind == b"moof" {
                let body = usize::try_from(len - (start - at)).unwrap_or(usize::MAX);
                let Some(contents) = reader.source.bytes_or_end(body)? else { break };
                let read =
                    if kind == b"moov" { reader.movie(&contents) } else { reader.fragment(&contents, at) };
                read.ok_or_else(|| Error::malformed("table of samples", at))?;
            }
            at = at.checked_add(len).ok_or_else(|| Error::malformed("length of a box", at))?;
        }
        reader.samples.sort_by_key(|sample| (sample.time, sample.position));
        Ok(reader)
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let Some(sample) = self.samples.get(self.next).copied() else { return Ok(None) };
        self.next += 1;
        self.source.seek(sample.position)?;
        let Some(mut data) = self.source.bytes_or_end(sample.size as usize)? else { return Ok(None) };
        let track = sample.stream as usize;
        if let Some(configuration) = &self.streams[track].configuration {
            let stream = configuration.to_stream(&data);
            data = stream.ok_or_else(|| Error::malformed("sample of H.264", sample.position))?;
        }
        let shown = sample.time.saturating_add(sample.offset_to_shown).max(0);
        let key = is_key_frame(self.tracks[track].codec, &data);
        Ok(Some(Frame { track, timestamp: Duration::from_nanos(shown.cast_unsigned()), key, data }))
    }

    fn movie(&mut self, movie: &[u8]) -> Option<()> {
        let movie_rate = find(movie, &[b"mvhd"]).and_then(rate_of).unwrap_or(1000);
        for (_, track) in boxes(movie).filter(|(kind, _)| kind == b"trak") {
            // A track of another codec is left out.
            let Some((described, mut stream)) = describe(track) else { continue };
            if let Some(list) = find(track, &[b"edts", b"elst"]) {
                stream.shift = shift_of(list, movie_rate, stream.rate);
            }
            let defaults = find(movie, &[b"mvex"]).into_iter().flat_map(boxes).find(|(kind, contents)| {
                kind == b"trex" && contents.len() >= 24 && be32(contents, 4) == stream.id
            });
            if let Some((_, trex)) = defaults {
                stream.defaults = (be32(trex, 12), be32(trex, 16));
            }
            self.tracks.push(described);
            self.streams.push(stream);
            self.sample_table(find(track, &[b"mdia", b"minf", b"stbl"])?)?;
        }
        Some(())
    }

    /// Enters the samples of the last track.
    fn sample_table(&mut self, table_box: &[u8]) -> Option<()> {
        let index = self.streams.len() - 1;
        let (rate, shift) = (self.streams[index].rate, self.streams[index].shift);
        let sizes = find(table_box, &[b"stsz"]).filter(|sizes| sizes.len() >= 12)?;
        let (fixed, count) = (be32(sizes, 4), be32(sizes, 8) as usize);
        if count == 0 {
            return Some(());
        }
        if self.samples.len() + count > MAX_SAMPLES || (fixed == 0 && sizes.len() < 12 + 4 * count) {
            return None;
        }
        let runs = |kind| {
            find(table_box, &[kind]).into_iter().flat_map(|contents| {
                table(contents, 2).flat_map(|run| std::iter::repeat_n(be32(run, 4), be32(run, 0) as usize))
            })
        };
        let (mut durations, mut offsets) = (runs(b"stts"), runs(b"ctts"));
        let long = find(table_box, &[b"co64"]);
        let chunks: Vec<u64> = match long {
            Some(chunks) => table(chunks, 2).map(|chunk| be64(chunk, 0)).collect(),
            None => table(find(table_box, &[b"stco"])?, 1).map(|chunk| u64::from(be32(chunk, 0))).collect(),
        };
        let per_chunk: Vec<_> =
            table(find(table_box, &[b"stsc"])?, 3).map(|entry| (be32(entry, 0), be32(entry, 4))).collect();
        let (mut sample, mut ticks, mut entry) = (0, 0_u64, 0);
        for (number, chunk) in (1_u32..).zip(&chunks) {
            while per_chunk.get(entry + 1).is_some_and(|(first, _)| *first <= number) {
                entry += 1;
            }
            let mut position = *chunk;
            for _ in 0..per_chunk.get(entry)?.1 {
                if sample == count {
                    return Some(());
                }
                let size = if fixed == 0 { be32(sizes, 12 + 4 * sample) } else { fixed };
                let offset = i64::from(offsets.next().unwrap_or(0).cast_signed());
                self.samples.push(Sample {
                    stream: index as u32,
                    time: nanos(ticks.cast_signed(), rate).saturating_add(shift),
                    offset_to_shown: nanos(offset, rate),
                    position,
                    size,
                });
                position = position.checked_add(u64::from(size))?;
                ticks = ticks.checked_add(u64::from(durations.next().unwrap_or(0)))?;
                sample += 1;
            }
        }
        Some(())
    }

    /// Enters the samples of a fragment that begins at a position of the file.
    fn fragment(&mut self, fragment: &[u8], at: u64) -> Option<()> {
        let mut behind = at;
        for (_, part) in boxes(fragment).filter(|(kind, _)| kind == b"traf") {
            let head = find(part, &[b"tfhd"]).filter(|head| head.len() >= 8)?;
            let flags = be32(head, 0) & 0x00FF_FFFF;
            let Some(index) = self.streams.iter().position(|stream| stream.id == be32(head, 4)) else {
                continue;
            };
            let mut fields = Fields { data: head, at: 8 };
            let base = if flags & 1 != 0 {
                fields.long()?
            } else if flags & 0x02_0000 != 0 {
                at
            } else {
                behind
            };
            if flags & 2 != 0 {
                fields.word()?;
            }
            let (mut duration, mut size) = self.streams[index].defaults;
            if flags & 8 != 0 {
                duration = fields.word()?;
            }
            if flags & 0x10 != 0 {
                size = fields.word()?;
            }
            if let Some(time) = find(part, &[b"tfdt"]) {
                let mut fields = Fields { data: time, at: 4 };
                let long = *time.first()? == 1;
                self.streams[index].next = if long { fields.long()? } else { u64::from(fields.word()?) };
            }
            behind = base;
            for (_, run) in boxes(part).filter(|(kind, _)| kind == b"trun") {
                behind = self.run(run, index, base, behind, (duration, size))?;
            }
        }
        Some(())
    }

    /// Enters a run of samples; returns where the data behind it begins.
    fn run(&mut self, run: &[u8], index: usize, base: u64, behind: u64, defaults: (u32, u32)) -> Option<u64> {
        let mut fields = Fields { data: run, at: 0 };
        let flags = fields.word()? & 0x00FF_FFFF;
        let count = fields.word()? as usize;
        let mut position = behind;
        if flags & 1 != 0 {
            position = base.checked_add_signed(i64::from(fields.word()?.cast_signed()))?;
        }
        if flags & 4 != 0 {
            fields.word()?;
        }
        if self.samples.len() + count > MAX_SAMPLES {
            return None;
        }
        for _ in 0..count {
            let stream = &mut self.streams[index];
            let mut field = |flag, default| if flags & flag != 0 { fields.word() } else { Some(default) };
            let duration = field(0x100, defaults.0)?;
            let size = field(0x200, defaults.1)?;
            field(0x400, 0)?;
            let offset = i64::from(field(0x800, 0)?.cast_signed());
            self.samples.push(Sample {
                stream: index as u32,
                time: nanos(stream.next.cast_signed(), stream.rate).saturating_add(stream.shift),
                offset_to_shown: nanos(offset, stream.rate),
                position,
                size,
            });
            position = position.checked_add(u64::from(size))?;
            stream.next = stream.next.checked_add(u64::from(duration))?;
        }
        Some(position)
    }
}

/// Fields of a box, front to back.
struct Fields<'a> {
    data: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn word(&mut self) -> Option<u32> {
        self.data.get(self.at..self.at + 4)?;
        self.at += 4;
        Some(be32(self.data, self.at - 4))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from(self.word()?) << 32 | u64::from(self.word()?))
    }
}

fn nanos(ticks: i64, rate: u64) -> i64 {
    let nanos = i128::from(ticks) * 1_000_000_000 / i128::from(rate.max(1));
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// Returns the ticks per second in `mvhd` or `mdhd`.
fn rate_of(header: &[u8]) -> Option<u64> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    header.get(at..at + 4)?;
    Some(u64::from(be32(header, at))).filter(|rate| *rate > 0)
}

/// Returns the nanoseconds by which an edit list shifts a track: an empty edit delays it, the first
/// other one leaves out its beginning.
fn shift_of(list: &[u8], movie_rate: u64, rate: u64) -> i64 {
    let long = list.first() == Some(&1);
    let mut shift = 0_i64;
    for entry in table(list, if long { 5 } else { 3 }).take(2) {
        let (duration, begin) = match long {
            true => (be64(entry, 0), be64(entry, 8).cast_signed()),
            false => (u64::from(be32(entry, 0)), i64::from(be32(entry, 4).cast_signed())),
        };
        if begin >= 0 {
            return shift.saturating_sub(nanos(begin, rate));
        }
        shift = shift.saturating_add(nanos(duration.min(i64::MAX as u64).cast_signed(), movie_rate));
    }
    shift
}

/// Returns the track of a `trak` box; `None` if its codec is not known.
fn describe(track: &[u8]) -> Option<(Track, Stream)> {
    let header = find(track, &[b"tkhd"])?;
    let id_at = if *header.first()? == 1 { 20 } else { 12 };
    header.get(id_at..id_at + 4)?;
    let id = be32(header, id_at);
    let rate = rate_of(find(track, &[b"mdia", b"mdhd"])?)?;
    let description = find(track, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
    let (kind, entry) = boxes(description.get(8..)?).next()?;
    let size = |entry: &[u8]| (u32::from(be16(entry, 24)), u32::from(be16(entry, 26)));
    let mut configuration = None;
    let described = match kind {
        b"avc1" | b"avc3" => {
            let read = Configuration::read(find(entry.get(78..)?, &[b"avcC"])?)?;
            let (width, height) = h264::dimensions(&read.sets).unwrap_or_else(|| size(entry));
            let private = read.sets.clone();
            configuration = Some(read);
            Track { width, height, private, ..Track::new(Codec::H264) }
        }
        b"vp08" | b"vp09" | b"av01" => {
            let inner = entry.get(78..)?;
            let codec = match kind {
                b"vp08" => Codec::Vp8,
                b"vp09" => Codec::Vp9,
                _ => Codec::Av1,
            };
            let av1 = find(inner, &[b"av1C"]).and_then(|av1| av1.get(4..)).unwrap_or_default();
            let private = Bytes::copy_from_slice(av1);
            Track { width: size(entry).0, height: size(entry).1, private, ..Track::new(codec) }
        }
        b"Opus" => {
            let head = find(entry.get(28..)?, &[b"dOps"]).filter(|head| head.len() >= 11)?;
            let channels = u16::from(head[1]);
            let pre_skip = be16(head, 2);
            (1..=2).contains(&channels).then(|| Track { channels, pre_skip, ..Track::new(Codec::Opus) })?
        }
        _ => return None,
    };
    Some((described, Stream { id, rate, configuration, shift: 0, defaults: (0, 0), next: 0 }))
}
