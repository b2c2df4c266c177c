//! Thousands of connections on one port: here all of them in one process.
//!
//! ```text
//! cargo run --release --example one_port -- 1000
//! ```

use std::error::Error;
use std::time::Instant;

use columba::{DataChannel, DataChannelInit, Endpoint, Event, Events, PeerConnection};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(20), |count| count.parse())?;
    let server = Endpoint::bind("127.0.0.1:0".parse()?)?;
    let client = Endpoint::bind("127.0.0.1:0".parse()?)?;
    let begin = Instant::now();
    let (mut connections, mut tasks) = (Vec::new(), JoinSet::new());
    for _ in 0..count {
        // Some at a time: each has a handshake to do.
        if tasks.len() >= 32 {
            connections.extend(tasks.join_next().await.transpose()?);
        }
        tasks.spawn(connect(client.clone(), server.clone()));
    }
    while let Some(connected) = tasks.join_next().await {
        connections.push(connected?);
    }
    println!(
        "{} connections on port {} in {:?}",
        server.connections(),
        server.local_address().port(),
        begin.elapsed()
    );
    Ok(())
}

/// A connection between two endpoints, over which a message has gone.
async fn connect(client: Endpoint, server: Endpoint) -> [PeerConnection; 2] {
    let (caller, from_caller, here) = side(client);
    let (callee, from_callee, there) = side(server);
    let offer = caller.set_local_description(None).await.expect("an offer");
    callee.set_remote_description(offer).await.expect("it fits");
    let answer = callee.set_local_description(None).await.expect("an answer");
    caller.set_remote_description(answer).await.expect("it fits");
    tokio::spawn(forward(from_caller, callee.clone()));
    tokio::spawn(forward(from_callee, caller.clone()));
    here.send("hello").await.expect("the channel opens");
    there.recv().await.expect("it arrives");
    [caller, callee]
}

fn side(endpoint: Endpoint) -> (PeerConnection, Events, DataChannel) {
    let (connection, events) = PeerConnection::builder().endpoint(endpoint).build().expect("a runtime");
    let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
    let channel = connection.create_data_channel("hello", init).expect("a channel");
    (connection, events, channel)
}

/// Gives the candidates of one side to the other.
async fn forward(mut events: Events, other: PeerConnection) {
    while let Some(event) = events.recv().await {
        if let Event::IceCandidate(Some(candidate)) = event {
            // The other side may be closed by now.
            let _ = other.add_ice_candidate(candidate.init).await;
        }
    }
}
