//! Two programs without any server: people carry the two descriptions, by whatever they have.
//!
//! ```text
//! cargo run --example copy_and_paste -- offer     prints an offer, and reads the answer
//! cargo run --example copy_and_paste -- answer    reads an offer, and prints the answer
//! ```
//!
//! Each description is one line of JSON, as browsers write it. All candidates are in it, so that
//! nothing has to be sent later.

use std::error::Error;

use columba::{
    Configuration, DataChannelInit, Event, Events, IceGatheringState, Message, PeerConnection,
    SessionDescription,
};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let role = std::env::args().nth(1).unwrap_or_default();
    let (connection, mut events) = PeerConnection::new(Configuration::default())?;
    // Both sides make the channel, so that it needs no announcement.
    let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
    let channel = connection.create_data_channel("talk", init)?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    match role.as_str() {
        "offer" => {
            connection.set_local_description(None).await?;
            println!("{}", complete(&connection, &mut events).await?);
            connection.set_remote_description(description(&mut lines).await?).await?;
        }
        "answer" => {
            connection.set_remote_description(description(&mut lines).await?).await?;
            connection.set_local_description(None).await?;
            println!("{}", complete(&connection, &mut events).await?);
        }
        _ => return Err("say offer or answer".into()),
    }
    channel.opened().await?;
    channel.send(format!("hello from the side of the {role}")).await?;
    if let Some(Message::Text(text)) = channel.recv().await {
        println!("{text}");
    }
    // The other side may still be reading.
    channel.close();
    channel.closed().await?;
    connection.close().await;
    Ok(())
}

/// The own description with all of its candidates, as a line.
async fn complete(connection: &PeerConnection, events: &mut Events) -> Result<String, Box<dyn Error>> {
    while connection.ice_gathering_state() != IceGatheringState::Complete {
        match events.recv().await {
            Some(Event::IceGatheringState(IceGatheringState::Complete)) => break,
            Some(_) => {}
            None => return Err("the connection was closed".into()),
        }
    }
    let description = connection.local_description().ok_or("there is no description")?;
    Ok(serde_json::to_string(&description)?)
}

/// The other side's description, from a line.
async fn description(lines: &mut Lines<BufReader<Stdin>>) -> Result<SessionDescription, Box<dyn Error>> {
    let line = lines.next_line().await?.ok_or("the input has ended")?;
    Ok(serde_json::from_str(&line)?)
}
