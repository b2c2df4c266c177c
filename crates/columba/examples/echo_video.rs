//! A mirror: every peer in a session gets its own picture back, without a codec in between.
//!
//! ```text
//! cargo run --example echo_video -- http://localhost:8080 a-session
//! ```

use std::error::Error;
use std::time::Duration;

use columba::call::{Call, CallEvent, CallMedia, CallOptions};
use columba::signaling::SignalingOptions;
use columba::{EncoderRequest, OutgoingFrame, RtpReceiver, RtpSender, Track, TrackKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://localhost:8080".to_owned());
    let session = arguments.next().unwrap_or_else(|| "a-session".to_owned());
    let media = CallMedia { tracks: vec![Track::video("mirror")], receives: true };
    let options = CallOptions { media, ..CallOptions::default() };
    let (_call, mut events) = Call::join(SignalingOptions::join(server, session.parse()?), options).await?;
    println!("joined {session}");
    while let Some(event) = events.recv().await {
        let CallEvent::PeerConnected { peer, connection } = event else { continue };
        println!("{peer} looks into the mirror");
        let senders = connection.transceivers().into_iter().map(|transceiver| transceiver.sender());
        let mirror = senders.into_iter().find(|one| one.kind() == TrackKind::Video && one.track().is_some());
        let Some(sender) = mirror else { continue };
        for transceiver in connection.transceivers() {
            if transceiver.kind() == TrackKind::Video {
                tokio::spawn(echo(transceiver.receiver(), sender.clone()));
            }
        }
    }
    Ok(())
}

/// Sends each frame back, and asks for a key frame whenever the peer does.
async fn echo(receiver: RtpReceiver, sender: RtpSender) {
    let mut waits_for_key = true;
    loop {
        tokio::select! {
            frame = receiver.recv_frame() => {
                let Some(frame) = frame else { return };
                if waits_for_key && !frame.info.key {
                    receiver.request_key_frame();
                    continue;
                }
                let ticks = frame.info.timestamp as f64;
                let at = Duration::from_secs_f64(ticks / f64::from(frame.info.clock_rate));
                // Both directions of a media section number codecs alike.
                let payload_type = Some(frame.info.payload_type);
                let outgoing = OutgoingFrame { payload_type, ..OutgoingFrame::new(&frame.data, at) };
                // What builds on a picture that does not go is of no use.
                waits_for_key = sender.send_frame(&outgoing).is_err();
            }
            request = sender.next_request() => match request {
                Some(EncoderRequest::KeyFrame { .. }) => receiver.request_key_frame(),
                Some(_) => {}
                None => return,
            },
        }
    }
}
