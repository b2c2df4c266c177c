//! A chat of everybody in a session, in the terminal: lines that are typed go to all others,
//! directly.
//!
//! ```text
//! cargo run --example chat -- http://localhost:8080 a-session
//! ```

use std::error::Error;
use std::time::Duration;

use columba::call::{Call, CallEvent, CallOptions};
use columba::signaling::SignalingOptions;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://localhost:8080".to_owned());
    let session = arguments.next().unwrap_or_else(|| "a-session".to_owned());
    let server = SignalingOptions::join(server, session.parse()?);
    let (call, mut events) = Call::join(server, CallOptions::default()).await?;
    println!("joined {session}");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(CallEvent::PeerConnected { peer, .. }) => println!("{peer} is here"),
                Some(CallEvent::Message { peer, text }) => println!("{peer}: {text}"),
                Some(CallEvent::PeerLeft { peer, .. }) => println!("{peer} has left"),
                Some(_) => {}
                None => return Ok(()),
            },
            line = lines.next_line() => match line? {
                Some(line) => {
                    for peer in call.peers() {
                        call.send(peer, line.as_str())?;
                    }
                }
                None => break,
            },
        }
    }
    // What was typed last still goes out.
    call.leave(Duration::from_secs(10)).await;
    Ok(())
}
