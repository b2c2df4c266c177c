//! Writes MP4 fragment by fragment.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::opus_samples;
use crate::{Codec, Error, Frame, MAX_FRAME_LEN, Track, h264};

/// The duration of a fragment: what may be lost when the writer is cut off.
const FRAGMENT: Duration = Duration::from_secs(1);
/// The bytes after which a fragment is written, however short it is.
const FRAGMENT_LEN: usize = 4 << 20;

const VIDEO_RATE: u32 = 90_000;
const AUDIO_RATE: u32 = 48_000;
/// The ticks of a frame of which no next one is known: of 25 a second.
const VIDEO_DURATION: u32 = VIDEO_RATE / 25;

/// Flags of samples: others do not depend on it, or it depends on others.
const KEY: u32 = 0x0200_0000;
const DEPENDS: u32 = 0x0101_0000;

#[derive(Debug)]
struct Sample {
    time: u64,
    key: bool,
    data: Bytes,
}

#[derive(Debug)]
struct Stream {
    codec: Codec,
    rate: u32,
    /// Samples that wait; the last one waits for the next to know its duration.
    samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Mp4Writer<W> {
    sink: W,
    streams: Vec<Stream>,
    fragment: u32,
    begin: Option<Duration>,
    waiting: usize,
}

fn boxed(out: &mut Vec<u8>, kind: &[u8; 4], contents: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    contents(out);
    let len = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// A box with a version and flags.
fn full(out: &mut Vec<u8>, kind: &[u8; 4], version: u8, flags: u32, contents: impl FnOnce(&mut Vec<u8>)) {
    boxed(out, kind, |out| {
        put32(out, u32::from(version) << 24 | flags);
        contents(out);
    });
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn zeros(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, 0);
}

/// The transformation that leaves pictures as they are.
fn matrix(out: &mut Vec<u8>) {
    for value in [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000] {
        put32(out, value);
    }
}

impl<W: Write> Mp4Writer<W> {
    pub(crate) fn new(mut sink: W, tracks: &[Track]) -> Result<Self, Error> {
        if tracks.is_empty() {
            return Err(Error::unsupported("a file has at least one track"));
        }
        let mut entries = Vec::new();
        for track in tracks {
            entries.push(sample_entry(track)?);
        }
        let mut out = Vec::new();
        boxed(&mut out, b"ftyp", |out| {
            out.extend_from_slice(b"iso5\0\0\x02\0iso5iso6mp41");
        });
        boxed(&mut out, b"moov", |out| {
            full(out, b"mvhd", 0, 0, |out| {
                zeros(out, 8);
                put32(out, 1000);
                put32(out, 0);
                put32(out, 0x1_0000);
                put16(out, 0x100);
                zeros(out, 10);
                matrix(out);
                zeros(out, 24);
                put32(out, tracks.len() as u32 + 1);
            });
            for (index, (track, entry)) in tracks.iter().zip(&entries).enumerate() {
                write_track(out, index as u32 + 1, track, entry);
            }
            boxed(out, b"mvex", |out| {
                for index in 0..tracks.len() as u32 {
                    full(out, b"trex", 0, 0, |out| {
                        [index + 1, 1, 0, 0, 0].into_iter().for_each(|value| put32(out, value));
                    });
                }
            });
        });
        sink.write_all(&out)?;
        let stream = |track: &Track| {
            let rate = if track.codec.is_video() { VIDEO_RATE } else { AUDIO_RATE };
            Stream { codec: track.codec, rate, samples: Vec::new() }
        };
        let streams = tracks.iter().map(stream).collect();
        Ok(Self { sink, streams, fragment: 0, begin: None, waiting: 0 })
    }

    pub(crate) fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        if frame.track >= self.streams.len() || frame.data.len() > MAX_FRAME_LEN {
            return Err(Error::unsupported("the file has no such track, or the frame more than 16 MiB"));
        }
        let begin = *self.begin.get_or_insert(frame.timestamp);
        if frame.timestamp.saturating_sub(begin) >= FRAGMENT || self.waiting > FRAGMENT_LEN {
            self.write_fragment(false)?;
            self.begin = Some(frame.timestamp);
        }
        let stream = &mut self.streams[frame.track];
        let data = match stream.codec {
            Codec::H264 => h264::to_lengths(&frame.data),
            _ => frame.data.clone(),
        };
        let time = frame.timestamp.as_nanos() * u128::from(stream.rate) / 1_000_000_000;
        let time = u64::try_from(time).unwrap_or(u64::MAX);
        // Times of a track only go up.
        let time = time.max(stream.samples.last().map_or(0, |last| last.time + 1));
        self.waiting += data.len();
        stream.samples.push(Sample { time, key: frame.key, data });
        Ok(())
    }

    /// Writes the samples that wait, but for the last one of each track, unless all are to be.
    fn write_fragment(&mut self, all: bool) -> Result<(), Error> {
        let kept = usize::from(!all);
        let counts: Vec<_> = self.streams.iter().map(|one| one.samples.len().saturating_sub(kept)).collect();
        if counts.iter().all(|count| *count == 0) {
            return Ok(());
        }
        self.fragment += 1;
        let mut out = Vec::new();
        // The offsets of data are known when the length of the head is.
        let mut offsets = Vec::new();
        boxed(&mut out, b"moof", |out| {
            full(out, b"mfhd", 0, 0, |out| put32(out, self.fragment));
            for (index, (stream, count)) in self.streams.iter().zip(&counts).enumerate() {
                if *count > 0 {
                    offsets.push(write_run(out, index as u32 + 1, stream, *count));
                }
            }
        });
        let mut at = out.len() + 8;
        let mut offsets = offsets.into_iter();
        let mut data = Vec::new();
        for (stream, count) in self.streams.iter_mut().zip(&counts).filter(|(_, count)| **count > 0) {
            if let Some(offset) = offsets.next() {
                out[offset..offset + 4].copy_from_slice(&(at as u32).to_be_bytes());
            }
            for sample in stream.samples.drain(..count) {
                at += sample.data.len();
                data.extend_from_slice(&sample.data);
            }
        }
        put32(&mut out, data.len() as u32 + 8);
        out.extend_from_slice(b"mdat");
        self.sink.write_all(&out)?;
        self.sink.write_all(&data)?;
        self.sink.flush()?;
        self.waiting = self.streams.iter().flat_map(|one| &one.samples).map(|one| one.data.len()).sum();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<W, Error> {
        self.write_fragment(true)?;
        Ok(self.sink)
    }
}

/// Writes the head of a track's samples; returns where the offset of their data is to be written.
fn write_run(out: &mut Vec<u8>, id: u32, stream: &Stream, count: usize) -> usize {
    let mut offset = 0;
    boxed(out, b"traf", |out| {
        full(out, b"tfhd", 0, 0x02_0000, |out| put32(out, id));
        let first = stream.samples[0].time;
        full(out, b"tfdt", 1, 0, |out| out.extend_from_slice(&first.to_be_bytes()));
        full(out, b"trun", 0, 0x701, |out| {
            put32(out, count as u32);
            offset = out.len();
            put32(out, 0);
            let mut last = if stream.codec.is_video() { VIDEO_DURATION } else { 0 };
            for (index, sample) in stream.samples[..count].iter().enumerate() {
                let next = stream.samples.get(index + 1).map(|next| next.time - sample.time);
                last = match next.and_then(|next| u32::try_from(next).ok()) {
                    Some(duration) => duration,
                    None if stream.codec.is_video() => last,
                    None => opus_samples(&sample.data),
                };
                put32(out, last);
                put32(out, sample.data.len() as u32);
                put32(out, if sample.key { KEY } else { DEPENDS });
            }
        });
    });
    offset
}

fn write_track(out: &mut Vec<u8>, id: u32, track: &Track, entry: &[u8]) {
    let video = track.codec.is_video();
    boxed(out, b"trak", |out| {
        full(out, b"tkhd", 0, 3, |out| {
            zeros(out, 8);
            put32(out, id);
            zeros(out, 16);
            put16(out, 0);
            put16(out, 0);
            put16(out, if video { 0 } else { 0x100 });
            put16(out, 0);
            matrix(out);
            put32(out, track.width << 16);
            put32(out, track.height << 16);
        });
        boxed(out, b"mdia", |out| {
            full(out, b"mdhd", 0, 0, |out| {
                zeros(out, 8);
                put32(out, if video { VIDEO_RATE } else { AUDIO_RATE });
                put32(out, 0);
                // The language "und".
                put16(out, 0x55C4);
                put16(out, 0);
            });
            full(out, b"hdlr", 0, 0, |out| {
                put32(out, 0);
                out.extend_from_slice(if video { b"vide" } else { b"soun" });
                zeros(out, 12);
                out.extend_from_slice(b"columba\0");
            });
            boxed(out, b"minf", |out| {
                match video {
                    true => full(out, b"vmhd", 0, 1, |out| zeros(out, 8)),
                    false => full(out, b"smhd", 0, 0, |out| zeros(out, 4)),
                }
                boxed(out, b"dinf", |out| {
                    full(out, b"dref", 0, 0, |out| {
                        put32(out, 1);
                        full(out, b"url ", 0, 1, |_| {});
                    });
                });
                boxed(out, b"stbl", |out| {
                    full(out, b"stsd", 0, 0, |out| {
                        put32(out, 1);
                        out.extend_from_slice(entry);
                    });
                    for kind in [b"stts", b"stsc", b"stco"] {
                        full(out, kind, 0, 0, |out| put32(out, 0));
                    }
                    full(out, b"stsz", 0, 0, |out| zeros(out, 8));
                });
            });
        });
    });
}

/// Returns the entry that describes a track's samples.
fn sample_entry(track: &Track) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    match track.codec {
        Codec::H264 => {
            let configuration = h264::configuration(&track.private)
                .ok_or(Error::unsupported("the parameter sets of the H.264 track are missing"))?;
            let size = h264::dimensions(&track.private).unwrap_or((track.width, track.height));
            boxed(&mut out, b"avc1", |out| {
                zeros(out, 6);
                put16(out, 1);
                zeros(out, 16);
                put16(out, size.0 as u16);
                put16(out, size.1 as u16);
                put32(out, 0x48_0000);
                put32(out, 0x48_0000);
                put32(out, 0);
                put16(out, 1);
                zeros(out, 32);
                put16(out, 0x18);
                put16(out, 0xFFFF);
                boxed(out, b"avcC", |out| out.extend_from_slice(&configuration));
            });
        }
        Codec::Opus => boxed(&mut out, b"Opus", |out| {
            zeros(out, 6);
            put16(out, 1);
            zeros(out, 8);
            put16(out, track.channels.clamp(1, 2));
            put16(out, 16);
            put32(out, 0);
            put32(out, AUDIO_RATE << 16);
            boxed(out, b"dOps", |out| {
                out.extend_from_slice(&[0, track.channels.clamp(1, 2) as u8]);
                put16(out, track.pre_skip);
                put32(out, AUDIO_RATE);
                zeros(out, 3);
            });
        }),
        _ => return Err(Error::unsupported("an MP4 file has H.264 and Opus; WebM has VP8, VP9 and AV1")),
    }
    Ok(out)
}
