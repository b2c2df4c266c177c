//! The loudness of everybody in a session, as the packets tell it: nothing is decoded.
//!
//! ```text
//! cargo run --example audio_levels -- http://localhost:8080 a-session
//! ```

use std::error::Error;
use std::time::Duration;

use columba::RtpReceiver;
use columba::call::{Call, CallEvent, CallMedia, CallOptions};
use columba::signaling::{PeerId, SignalingOptions};
use tokio::time::{Instant, sleep_until};

/// The time between two lines of a peer.
const STEP: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://localhost:8080".to_owned());
    let session = arguments.next().unwrap_or_else(|| "a-session".to_owned());
    let media = CallMedia { tracks: Vec::new(), receives: true };
    let options = CallOptions { media, ..CallOptions::default() };
    let (_call, mut events) = Call::join(SignalingOptions::join(server, session.parse()?), options).await?;
    println!("joined {session}");
    while let Some(event) = events.recv().await {
        if let CallEvent::TrackAdded { peer, track } = event {
            tokio::spawn(listen(peer, track.transceiver.receiver()));
        }
    }
    Ok(())
}

/// Prints the loudest moment of each step, until the peer is gone.
async fn listen(peer: PeerId, receiver: RtpReceiver) {
    let (mut loudest, mut is_voice) = (None::<u8>, false);
    let mut end = Instant::now() + STEP;
    loop {
        tokio::select! {
            frame = receiver.recv_frame() => {
                let Some(frame) = frame else { return };
                // The level counts down from the loudest: 127 is silence (RFC 6464 §3).
                if let Some((level, voice)) = frame.info.audio_level {
                    loudest = Some(loudest.map_or(level, |loudest| loudest.min(level)));
                    is_voice |= voice;
                }
            }
            () = sleep_until(end) => {
                if let Some(level) = loudest.take() {
                    let voice = if std::mem::take(&mut is_voice) { "voice" } else { "no voice" };
                    println!("{peer}: -{level} dBov, {voice}");
                }
                end += STEP;
            }
        }
    }
}
