//! A file's frames, as they are, for everybody in a session: each peer sees the film from its
//! beginning.
//!
//! ```text
//! cargo run --example play_file -- film.webm http://localhost:8080 a-session
//! ```

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use columba::call::{Call, CallEvent, CallMedia, CallOptions};
use columba::signaling::SignalingOptions;
use columba::{EncoderRequest, OutgoingFrame, PeerConnection, RtpSender, Track, TrackKind};
use columba_containers::{Codec, Frame, Reader};
use tokio::time::{Instant, sleep_until};

/// The frames of a file, and the codec of each of its tracks.
struct Film {
    codecs: Vec<Codec>,
    frames: Vec<Frame>,
}

impl Film {
    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let mut reader = Reader::open(BufReader::new(File::open(path)?))?;
        let codecs = reader.tracks().iter().map(|track| track.codec).collect();
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            frames.push(frame);
        }
        Ok(Self { codecs, frames })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which file?")?;
    let server = arguments.next().unwrap_or_else(|| "http://localhost:8080".to_owned());
    let session = arguments.next().unwrap_or_else(|| "a-session".to_owned());
    let film = Arc::new(Film::read(&path)?);
    let mut tracks = Vec::new();
    if film.codecs.iter().any(|codec| codec.is_video()) {
        tracks.push(Track::video("picture"));
    }
    if film.codecs.iter().any(|codec| !codec.is_video()) {
        tracks.push(Track::audio("sound"));
    }
    let options = CallOptions { media: CallMedia { tracks, receives: false }, ..CallOptions::default() };
    let (_call, mut events) = Call::join(SignalingOptions::join(server, session.parse()?), options).await?;
    println!("joined {session}");
    while let Some(event) = events.recv().await {
        if let CallEvent::PeerConnected { peer, connection } = event {
            let film = Arc::clone(&film);
            tokio::spawn(async move {
                play(&film, &connection).await;
                println!("{peer} has got the film");
            });
        }
    }
    Ok(())
}

/// Plays the film to one peer.
async fn play(film: &Film, connection: &PeerConnection) {
    let sender_of = |kind| {
        let senders = connection.transceivers().into_iter().map(|transceiver| transceiver.sender());
        senders.into_iter().find(|sender| sender.kind() == kind && sender.track().is_some())
    };
    let (video, audio) = (sender_of(TrackKind::Video), sender_of(TrackKind::Audio));
    if let Some(video) = &video {
        wait_for_viewer(video).await;
    }
    let start = Instant::now();
    let mut waits_for_key = false;
    for frame in &film.frames {
        sleep_until(start + frame.timestamp).await;
        let codec = film.codecs[frame.track];
        let sender = if codec.is_video() { &video } else { &audio };
        let Some((sender, payload_type)) = sender.as_ref().zip(payload_type(sender.as_ref(), codec)) else {
            continue;
        };
        let outgoing = OutgoingFrame {
            payload_type: Some(payload_type),
            captured_at: Some((start + frame.timestamp).into()),
            ..OutgoingFrame::new(&frame.data, frame.timestamp)
        };
        if !codec.is_video() {
            // A packet of sound that does not go is late already.
            let _ = sender.send_frame(&outgoing);
        } else if frame.key || !waits_for_key {
            // A picture that does not go takes with it all that build on it.
            waits_for_key = sender.send_frame(&outgoing).is_err();
        }
    }
}

/// Waits until the peer asks for a first picture.
async fn wait_for_viewer(video: &RtpSender) {
    while let Some(request) = video.next_request().await {
        if matches!(request, EncoderRequest::KeyFrame { .. }) {
            return;
        }
    }
}

/// Returns the number of a codec in the packets to a peer, which has it only if the peer decodes
/// it.
fn payload_type(sender: Option<&RtpSender>, codec: Codec) -> Option<u8> {
    let name = match codec {
        Codec::Vp8 => "VP8",
        Codec::Vp9 => "VP9",
        Codec::Av1 => "AV1",
        Codec::H264 => "H264",
        Codec::Opus => "opus",
        _ => return None,
    };
    let codecs = sender?.parameters().ok()?.codecs;
    codecs.iter().find(|one| one.codec.name().eq_ignore_ascii_case(name)).map(|one| one.payload_type)
}
