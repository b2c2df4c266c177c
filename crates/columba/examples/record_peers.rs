//! A recorder: what each browser in a session says and shows, as it was encoded there, in a file of
//! WebM of its own.
//!
//! ```text
//! cargo run --example record_peers -- a-directory http://localhost:8080 a-session
//! ```
//!
//! It takes VP8 and Opus, which every browser sends, and ends with its input.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use columba::call::{Call, CallEvent, CallMedia, CallOptions};
use columba::signaling::SignalingOptions;
use columba::{EncodedFrame, RtpReceiver, TrackKind};
use columba_containers::{Codec, Frame, Track, Writer};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The tracks in each file.
const PICTURE: usize = 0;
const SOUND: usize = 1;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let server = arguments.next().unwrap_or_else(|| "http://localhost:8080".to_owned());
    let session = arguments.next().unwrap_or_else(|| "a-session".to_owned());
    let media = CallMedia { tracks: Vec::new(), receives: true };
    let options = CallOptions { media, ..CallOptions::default() };
    let (call, mut events) = Call::join(SignalingOptions::join(server, session.parse()?), options).await?;
    println!("joined {session}");
    let mut files = JoinSet::new();
    let mut frames_of = std::collections::HashMap::new();
    let (mut input, mut ignored) = (tokio::io::stdin(), [0; 64]);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(CallEvent::TrackAdded { peer, track }) => {
                    let frames = frames_of.entry(peer).or_insert_with(|| {
                        let (sender, frames) = mpsc::channel(64);
                        files.spawn(record(directory.join(format!("{peer}.webm")), frames));
                        sender
                    });
                    tokio::spawn(take_frames(track.transceiver.receiver(), frames.clone()));
                }
                Some(CallEvent::PeerLeft { peer, .. }) => drop(frames_of.remove(&peer)),
                Some(_) => {}
                None => break,
            },
            read = input.read(&mut ignored) => if read? == 0 { break },
        }
    }
    call.leave(Duration::ZERO).await;
    // The files end with the last frame of each peer.
    frames_of.clear();
    while files.join_next().await.is_some() {}
    Ok(())
}

/// Passes on the frames of a receiver, until it is gone.
async fn take_frames(receiver: RtpReceiver, frames: mpsc::Sender<(usize, EncodedFrame)>) {
    let (track, wanted) = match receiver.kind() {
        TrackKind::Video => (PICTURE, "VP8"),
        TrackKind::Audio => (SOUND, "opus"),
    };
    while let Some(frame) = receiver.recv_frame().await {
        let codecs = receiver.parameters().unwrap_or_default().codecs;
        let codec = codecs.iter().find(|one| one.payload_type == frame.info.payload_type);
        if codec.is_some_and(|one| one.codec.name().eq_ignore_ascii_case(wanted))
            && frames.send((track, frame)).await.is_err()
        {
            return;
        }
    }
}

/// Writes the frames of a peer into a file, which begins with its first key frame.
async fn record(path: PathBuf, mut frames: mpsc::Receiver<(usize, EncodedFrame)>) {
    match write(&path, &mut frames).await {
        Ok(count) => println!("{} has {count} frames", path.display()),
        Err(error) => println!("{}: {error}", path.display()),
    }
}

async fn write(
    path: &Path,
    frames: &mut mpsc::Receiver<(usize, EncodedFrame)>,
) -> Result<usize, columba_containers::Error> {
    let mut file = None;
    // Of each track: the first frame's ticks, and the time of its arrival.
    let mut begins = [None, None];
    let (mut count, mut pictures, mut last) = (0, 0_usize, Duration::ZERO);
    while let Some((track, frame)) = frames.recv().await {
        let file = match &mut file {
            Some(file) => file,
            None => {
                // The size of the picture stands in the key frame (RFC 6386 §9.1).
                let Some(head) = frame.data.get(..10).filter(|_| track == PICTURE && frame.info.key) else {
                    continue;
                };
                let size = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]) & 0x3FFF);
                let picture = Track { width: size(6), height: size(8), ..Track::new(Codec::Vp8) };
                let writer = Writer::webm(File::create(path)?, &[picture, Track::new(Codec::Opus)])?;
                file.insert((writer, Instant::now()))
            }
        };
        let (writer, start) = file;
        let ticks = frame.info.timestamp;
        let (first, arrival) = *begins[track].get_or_insert_with(|| (ticks, start.elapsed()));
        let seconds = ticks.saturating_sub(first) as f64 / f64::from(frame.info.clock_rate);
        // Frames of both tracks stand in the file in the order of their times.
        last = last.max(arrival + Duration::from_secs_f64(seconds));
        writer.write(&Frame::new(track, last, frame.info.key, frame.data))?;
        count += 1;
        pictures += usize::from(track == PICTURE);
        if track == PICTURE && pictures.is_multiple_of(10) {
            println!("{}: {pictures} pictures", path.display());
        }
    }
    if let Some((writer, _)) = file {
        writer.finish()?;
    }
    Ok(count)
}
