//! Files are read as they were written, also if they are cut off; and no input panics.

use std::io::Cursor;
use std::time::Duration;

use columba_containers::{Codec, Error, Frame, Reader, Track, Writer};
use proptest::prelude::*;

/// A baseline stream of 640 by 360.
const SETS: [u8; 33] = [
    0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xBF, 0xE5, 0xC0, 0x44, 0, 0, 3, 0, 4, 0, 0, 3, 0,
    0xF0, 0, 0, 0, 1, 0x68, 0xCE, 0x3C, 0x80,
];
const SEQUENCE: [u8; 5] = [0x0A, 3, 0, 0x11, 0x22];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Webm,
    Matroska,
    Mp4,
    Ogg,
    Ivf,
}

fn track(codec: Codec) -> Track {
    let private = match codec {
        Codec::H264 => SETS.to_vec(),
        Codec::Av1 => SEQUENCE.to_vec(),
        _ => Vec::new(),
    };
    let (width, height) = if codec.is_video() { (640, 360) } else { (0, 0) };
    let pre_skip = if codec == Codec::Opus { 312 } else { 0 };
    Track { width, height, pre_skip, private: private.into(), ..Track::new(codec) }
}

/// A frame that its codec's first bytes are right in.
fn data(codec: Codec, key: bool, fill: u8, len: usize) -> Vec<u8> {
    let body = vec![fill | 1; len];
    let head: &[u8] = match (codec, key) {
        (Codec::Vp8, true) => &[0x10, 2, 0, 0x9D, 1, 0x2A],
        (Codec::Vp8, false) => &[0x11],
        (Codec::Vp9, true) => &[0x82, 0x49, 0x83, 0x42],
        (Codec::Vp9, false) => &[0x86],
        (Codec::Av1, true) => &SEQUENCE,
        (Codec::Av1, false) => &[0x32, 1, 5],
        (Codec::H264, true) => return [&SETS[..], &[0, 0, 0, 1, 0x65], &body].concat(),
        (Codec::H264, false) => &[0, 0, 0, 1, 0x41],
        // 20 ms.
        _ => &[0x78],
    };
    [head, &body].concat()
}

fn frames(codecs: &[Codec], count: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    for index in 0..count {
        for (track, codec) in codecs.iter().enumerate() {
            let key = !codec.is_video() || index % 10 == 0;
            let data = data(*codec, key, index as u8, 5 + (index as usize * 37) % 400);
            frames.push(Frame::new(track, Duration::from_millis(20 * index), key, data));
        }
    }
    frames
}

fn write(kind: Kind, tracks: &[Track], frames: &[Frame]) -> Vec<u8> {
    let mut file = Vec::new();
    let sink = &mut file;
    let mut writer = match kind {
        Kind::Webm => Writer::webm(sink, tracks),
        Kind::Matroska => Writer::matroska(sink, tracks),
        Kind::Mp4 => Writer::mp4(sink, tracks),
        Kind::Ogg => Writer::ogg(sink, tracks),
        Kind::Ivf => Writer::ivf(sink, tracks),
    }
    .unwrap();
    for frame in frames {
        writer.write(frame).unwrap();
    }
    writer.finish().unwrap();
    file
}

fn read(file: &[u8]) -> Result<(Vec<Track>, Vec<Frame>), Error> {
    let mut reader = Reader::open(Cursor::new(file))?;
    let tracks = reader.tracks().to_vec();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    Ok((tracks, frames))
}

const FILES: &[(Kind, &[Codec])] = &[
    (Kind::Webm, &[Codec::Vp8, Codec::Opus]),
    (Kind::Webm, &[Codec::Vp9]),
    (Kind::Webm, &[Codec::Opus, Codec::Av1]),
    (Kind::Matroska, &[Codec::H264, Codec::Opus]),
    (Kind::Mp4, &[Codec::H264, Codec::Opus]),
    (Kind::Mp4, &[Codec::H264]),
    (Kind::Ogg, &[Codec::Opus]),
    (Kind::Ivf, &[Codec::Vp8]),
    (Kind::Ivf, &[Codec::Vp9]),
    (Kind::Ivf, &[Codec::Av1]),
];

/// Files keep milliseconds, or ticks of 48 or 90 kHz.
fn near(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) < Duration::from_micros(30)
}

#[test]
fn files_are_read_as_they_were_written() {
    for (kind, codecs) in FILES {
        let tracks: Vec<_> = codecs.iter().map(|codec| track(*codec)).collect();
        let frames = frames(codecs, 250);
        let (read_tracks, mut read) = read(&write(*kind, &tracks, &frames)).unwrap();
        for (read, track) in read_tracks.iter().zip(&tracks) {
            assert_eq!((read.codec, read.width, read.height), (track.codec, track.width, track.height));
            assert_eq!((read.channels, read.pre_skip), (track.channels, track.pre_skip), "{kind:?}");
            // IVF has no private data.
            assert!(read.private == track.private || matches!(kind, Kind::Ivf), "{kind:?}");
        }
        assert_eq!(read.len(), frames.len(), "{kind:?} {codecs:?}");
        // Several tracks come in fragments.
        read.sort_by_key(|frame| (frame.timestamp.as_millis(), frame.track));
        for (read, frame) in read.iter().zip(&frames) {
            assert_eq!((read.track, read.key), (frame.track, frame.key), "{kind:?} {codecs:?}");
            assert_eq!(read.data, frame.data, "{kind:?} {codecs:?}");
            assert!(near(read.timestamp, frame.timestamp), "{kind:?} {:?}", read.timestamp);
        }
    }
}

/// A writer that is cut off anywhere loses the last second, and nothing before it.
#[test]
fn files_that_are_cut_off_lose_the_last_second() {
    for (kind, codecs) in FILES {
        let tracks: Vec<_> = codecs.iter().map(|codec| track(*codec)).collect();
        let mut file = Vec::new();
        let mut lengths = Vec::new();
        let all = frames(codecs, 250);
        // The lengths of the file after each frame, as a crash would leave it.
        for count in (1..=all.len()).step_by(23) {
            let sink = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
            let mut writer = match kind {
                Kind::Webm => Writer::webm(Shared(sink.clone()), &tracks),
                Kind::Matroska => Writer::matroska(Shared(sink.clone()), &tracks),
                Kind::Mp4 => Writer::mp4(Shared(sink.clone()), &tracks),
                Kind::Ogg => Writer::ogg(Shared(sink.clone()), &tracks),
                Kind::Ivf => Writer::ivf(Shared(sink.clone()), &tracks),
            }
            .unwrap();
            all[..count].iter().for_each(|frame| writer.write(frame).unwrap());
            drop(writer);
            file = sink.borrow().clone();
            lengths.push((count, file.len()));
            let (_, read) = read(&file).unwrap();
            let written = all[count - 1].timestamp;
            let last = read.iter().map(|frame| frame.timestamp).max().unwrap_or_default();
            assert!(
                written.saturating_sub(last) <= Duration::from_millis(1100),
                "{kind:?} {written:?} {last:?}"
            );
        }
        // In the middle of a write.
        for cut in (0..file.len()).step_by(1 + file.len() / 300) {
            if let Ok((_, read)) = read(&file[..cut]) {
                assert!(read.len() <= all.len());
            }
        }
    }
}

struct Shared(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn tracks_that_do_not_fit_are_errors_that_say_it() {
    let refuse =
        |result: Result<Writer<Vec<u8>>, Error>| assert!(matches!(result, Err(Error::Unsupported { .. })));
    refuse(Writer::webm(Vec::new(), &[track(Codec::H264)]));
    refuse(Writer::mp4(Vec::new(), &[track(Codec::Vp8)]));
    refuse(Writer::mp4(Vec::new(), &[Track::new(Codec::H264)]));
    refuse(Writer::ogg(Vec::new(), &[track(Codec::Vp8)]));
    refuse(Writer::ogg(Vec::new(), &[track(Codec::Opus), track(Codec::Opus)]));
    refuse(Writer::ivf(Vec::new(), &[track(Codec::Opus)]));
    refuse(Writer::webm(Vec::new(), &[]));
    let mut writer = Writer::webm(Vec::new(), &[track(Codec::Vp8)]).unwrap();
    assert!(writer.write(&Frame::new(1, Duration::ZERO, true, vec![0])).is_err());
    assert!(matches!(read(b"RIFF............"), Err(Error::UnknownKind)));
    assert!(matches!(read(b""), Err(Error::UnknownKind)));
}

#[path = "../../../fuzz/bodies/containers.rs"]
mod bodies;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn damaged_files_pass(
        file in prop::sample::select(FILES),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (kind, codecs) = file;
        let tracks: Vec<_> = codecs.iter().map(|codec| track(*codec)).collect();
        let mut file = write(kind, &tracks, &frames(codecs, 60));
        for (index, byte) in edits {
            // Heads and tables are at the beginning.
            let at = index.index(file.len());
            let at = if byte % 2 == 0 { at } else { at % 700 };
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        bodies::read(&file);
    }

    #[test]
    fn nonsense_passes(kind in 0_usize..4, rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let head: &[u8] = [b"\x1A\x45\xDF\xA3", b"OggS", b"DKIF", b"\0\0\0\x08ftyp".as_slice()][kind];
        bodies::read(&[head, &rest].concat());
    }
}
