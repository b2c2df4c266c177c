//! The recording of one participant: sound and picture of several streams on one time line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use columba::{EncodedFrame, RtpReceiver, TrackKind};
use columba_containers::{Codec, Frame, Track};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::codec;
use super::file::Recorded;
use crate::chat::screen;

/// The time in which sound and picture, and the reports that join their times, arrive: a report of
/// each comes within about a second.
const GATHERING: Duration = Duration::from_millis(2500);

/// Frames that wait meanwhile, at most.
const MAX_GATHERED: usize = 2048;

/// Frames between a receiver and the file, at most; the receiver holds more.
pub(super) const MAX_FRAMES: usize = 64;

/// The difference from the sender's clock at which a stream's times are set right.
const DRIFT: f64 = 0.02;

/// A frame of a participant.
pub(super) struct Arrived {
    kind: TrackKind,
    codec: Codec,
    frame: EncodedFrame,
}

/// The times of one stream: ticks, and where they lie on the common line, in seconds.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    ssrc: u32,
    ticks: u64,
    at: f64,
    is_captured: bool,
}

/// A stream in the file.
struct Stream {
    kind: TrackKind,
    codec: Codec,
    anchor: Anchor,
    last: Duration,
    /// A picture begins with a key frame.
    waits: bool,
}

/// A file, and its streams in the order of its tracks.
struct Open {
    file: Recorded,
    streams: Vec<Stream>,
    /// The beginning of the file on the common line.
    zero: f64,
    /// The seconds by which the common line is before arrivals.
    shift: f64,
}

/// The recording of one participant.
pub(super) struct Participant {
    directory: PathBuf,
    name: watch::Receiver<String>,
    begin: Instant,
    gathered: Vec<Arrived>,
    since: Option<Instant>,
    open: Option<Open>,
}

impl Participant {
    pub(super) fn new(directory: PathBuf, name: watch::Receiver<String>) -> Self {
        let begin = Instant::now();
        Self { directory, name, begin, gathered: Vec::new(), since: None, open: None }
    }

    /// Records until all receivers are gone.
    pub(super) async fn run(mut self, mut frames: mpsc::Receiver<Arrived>) {
        loop {
            let due = self.since.map(|since| since + GATHERING);
            tokio::select! {
                arrived = frames.recv() => match arrived {
                    Some(arrived) => self.handle(arrived),
                    None => break,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => self.begin_file(),
            }
        }
        if self.open.is_none() {
            self.begin_file();
        }
        self.end_file();
    }

    fn handle(&mut self, arrived: Arrived) {
        let Some(open) = &mut self.open else {
            self.since.get_or_insert_with(Instant::now);
            self.gathered.push(arrived);
            if self.is_gathered() || self.gathered.len() >= MAX_GATHERED {
                self.begin_file();
            }
            return;
        };
        let same = |stream: &Stream| stream.kind == arrived.kind && stream.codec == arrived.codec;
        if open.streams.iter().any(same) {
            if !open.write(&arrived, self.begin) {
                self.end_file();
            }
            return;
        }
        // The tracks of a file are told at its beginning: another one needs another file.
        self.end_file();
        self.handle(arrived);
    }

    /// Returns true if sound and picture are there, with the times of both.
    fn is_gathered(&self) -> bool {
        [TrackKind::Audio, TrackKind::Video].iter().all(|kind| {
            let mut frames = self.gathered.iter().filter(|one| one.kind == *kind);
            frames.any(|one| one.frame.info.captured_at.is_some())
        })
    }

    fn begin_file(&mut self) {
        self.since = None;
        let gathered = std::mem::take(&mut self.gathered);
        let mut tracks: Vec<(Track, TrackKind, Codec)> = Vec::new();
        for one in gathered.iter().filter(|one| one.frame.info.key) {
            if !tracks.iter().any(|(_, kind, _)| *kind == one.kind)
                && let Some(track) = codec::track(one.codec, &one.frame.data)
            {
                tracks.push((track, one.kind, one.codec));
            }
        }
        tracks.sort_by_key(|(_, kind, _)| *kind == TrackKind::Audio);
        if tracks.is_empty() {
            return;
        }
        // The senders' clock counts only if all streams have it.
        let of = |kind: TrackKind| gathered.iter().filter(move |one| one.kind == kind);
        let is_captured =
            tracks.iter().all(|(_, kind, _)| of(*kind).any(|one| one.frame.info.captured_at.is_some()));
        let (mut streams, mut shift) = (Vec::new(), 0.0);
        for (_, kind, codec) in &tracks {
            let known = of(*kind).find(|one| !is_captured || one.frame.info.captured_at.is_some());
            let Some(one) = known else { continue };
            let anchor = anchor(&one.frame, is_captured, self.begin);
            shift = anchor.at - self::anchor(&one.frame, false, self.begin).at;
            let (last, waits) = (Duration::ZERO, *kind == TrackKind::Video);
            streams.push(Stream { kind: *kind, codec: *codec, anchor, last, waits });
        }
        let times = gathered.iter().filter_map(|one| {
            let stream = streams.iter().find(|stream| stream.kind == one.kind)?;
            Some(stream.anchor.time(&one.frame))
        });
        let zero = times.fold(f64::INFINITY, f64::min);
        let name = self.name.borrow().clone();
        let tracks = tracks.into_iter().map(|(track, ..)| track).collect();
        let file = match Recorded::create(&self.directory, &name, tracks) {
            Ok(file) => file,
            Err(error) => {
                screen::note(&format!("A file for {name} cannot be written: {error}."));
                return;
            }
        };
        screen::note(&format!("Recording {name} to {}", file.path.display()));
        let mut open = Open { file, streams, zero, shift };
        let mut order: Vec<_> = gathered
            .iter()
            .filter_map(|one| {
                let stream = open.streams.iter().find(|stream| stream.kind == one.kind)?;
                Some((stream.anchor.time(&one.frame), one))
            })
            .collect();
        order.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        for (_, one) in order {
            open.write(one, self.begin);
        }
        self.open = Some(open);
    }

    fn end_file(&mut self) {
        if let Some(open) = self.open.take() {
            open.file.finish();
        }
    }
}

impl Open {
    /// Returns false once the file cannot be written any more.
    fn write(&mut self, arrived: &Arrived, begin: Instant) -> bool {
        let Self { file, streams, zero, shift } = self;
        let Some((index, stream)) =
            streams.iter_mut().enumerate().find(|(_, stream)| stream.kind == arrived.kind)
        else {
            return true;
        };
        let Arrived { frame, .. } = arrived;
        if stream.waits && !frame.info.key {
            return true;
        }
        stream.waits = false;
        // Another stream of the same track, or a clock that runs away.
        let is_same = stream.anchor.ssrc == frame.info.ssrc;
        let mut fresh = anchor(frame, stream.anchor.is_captured && frame.info.captured_at.is_some(), begin);
        if !fresh.is_captured {
            fresh.at += *shift;
        }
        let is_right = (fresh.at - stream.anchor.time(frame)).abs() < DRIFT;
        if !is_same || (fresh.is_captured && !is_right) {
            stream.anchor = Anchor { is_captured: stream.anchor.is_captured, ..fresh };
        }
        let at = Duration::from_secs_f64((stream.anchor.time(frame) - *zero).max(0.0));
        stream.last = at.max(stream.last);
        file.write(Frame::new(index, stream.last, frame.info.key, frame.data.clone()))
    }
}

impl Anchor {
    /// Returns the place of a frame on the common line.
    fn time(&self, frame: &EncodedFrame) -> f64 {
        let ticks = frame.info.timestamp.wrapping_sub(self.ticks).cast_signed();
        self.at + ticks as f64 / f64::from(frame.info.clock_rate.max(1))
    }
}

/// Returns where a frame lies by the sender's clock, or else by its arrival.
fn anchor(frame: &EncodedFrame, is_captured: bool, begin: Instant) -> Anchor {
    let captured = frame.info.captured_at.filter(|_| is_captured).map(|time| time.0.as_secs_f64());
    let arrived = || frame.info.received_at.saturating_duration_since(begin).as_secs_f64();
    Anchor {
        ssrc: frame.info.ssrc,
        ticks: frame.info.timestamp,
        at: captured.unwrap_or_else(arrived),
        is_captured,
    }
}

/// Takes the frames of a receiver, until it is gone.
pub(super) async fn take_frames(receiver: RtpReceiver, frames: mpsc::Sender<Arrived>) {
    let kind = receiver.kind();
    let mut known: Option<(u8, Option<Codec>)> = None;
    while let Some(frame) = receiver.recv_frame().await {
        let number = frame.info.payload_type;
        let codec = match known {
            Some((known, codec)) if known == number => codec,
            _ => {
                let parameters = receiver.parameters().unwrap_or_default();
                let name = parameters.codecs.iter().find(|one| one.payload_type == number);
                let codec = name.and_then(|one| codec::codec(one.codec.name()));
                if let Some(one) = name.filter(|_| codec.is_none()) {
                    screen::note(&format!("{} does not go into a file, and is left out.", one.codec.name()));
                }
                known = Some((number, codec));
                codec
            }
        };
        if let Some(codec) = codec
            && frames.send(Arrived { kind, codec, frame }).await.is_err()
        {
            return;
        }
    }
}
