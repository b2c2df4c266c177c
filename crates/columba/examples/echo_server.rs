//! An echo server for browsers: a program in a session, with one port for all of its peers.
//!
//! ```text
//! cargo run --example echo_server -- http://localhost:8080 a-session
//! ```
//!
//! A page joins the same session with `new Call('a-session')`, opens a channel with
//! `peer.openChannel('echo')` in its event `connected`, and hears what it says.

use std::error::Error;

use columba::call::{Call, CallEvent, CallOptions};
use columba::signaling::SignalingOptions;
use columba::{DataChannel, Endpoint};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://localhost:8080".to_owned());
    let session = arguments.next().unwrap_or_else(|| "a-session".to_owned());
    let endpoint = Endpoint::bind("0.0.0.0:0".parse()?)?;
    println!("one UDP port for everybody: {}", endpoint.local_address().port());
    let options = CallOptions { endpoint: Some(endpoint), ..CallOptions::default() };
    let (_call, mut events) = Call::join(SignalingOptions::join(server, session.parse()?), options).await?;
    println!("joined {session}");
    while let Some(event) = events.recv().await {
        match event {
            CallEvent::PeerConnected { peer, .. } => println!("{peer} is connected"),
            CallEvent::ChannelOpened { channel, .. } => {
                tokio::spawn(echo(channel));
            }
            CallEvent::PeerLeft { peer, .. } => println!("{peer} has left"),
            _ => {}
        }
    }
    Ok(())
}

/// Sends back whatever comes.
async fn echo(channel: DataChannel) {
    while let Some(message) = channel.recv().await {
        if channel.send(message).await.is_err() {
            return;
        }
    }
}
