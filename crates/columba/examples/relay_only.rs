//! A call in which no participant learns another's address: everything goes over the TURN server
//! that the signaling server offers.
//!
//! ```text
//! cargo run --example relay_only -- http://localhost:8080 a-session
//! ```

use std::error::Error;

use columba::call::{Call, CallEvent, CallOptions};
use columba::signaling::SignalingOptions;
use columba::{Configuration, TransportPolicy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://localhost:8080".to_owned());
    let session = arguments.next().unwrap_or_else(|| "a-session".to_owned());
    talk(&server, &session).await
}

/// Greets everybody in a session, and prints what they say.
pub(crate) async fn talk(server: &str, session: &str) -> Result<(), Box<dyn Error>> {
    let configuration =
        Configuration { ice_transport_policy: TransportPolicy::Relay, ..Configuration::default() };
    let options = CallOptions { configuration, ..CallOptions::default() };
    let (call, mut events) = Call::join(SignalingOptions::join(server, session.parse()?), options).await?;
    println!("joined {session}");
    while let Some(event) = events.recv().await {
        match event {
            CallEvent::PeerConnected { peer, connection } => {
                let stats = connection.stats();
                let pairs = stats.transports.iter().flat_map(|transport| &transport.ice.pairs);
                println!("{peer} is connected by way of a relay, {} pairs tried", pairs.count());
                call.send(peer, "hello over a relay")?;
            }
            CallEvent::Message { peer, text } => println!("{peer}: {text}"),
            _ => {}
        }
    }
    Ok(())
}
