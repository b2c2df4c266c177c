//! A caller and a callee in one process: descriptions and candidates are passed from one to the
//! other directly.

use columba::{Configuration, DataChannelInit, Error, Event, Events, PeerConnection};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (caller, from_caller) = PeerConnection::new(Configuration::default())?;
    let (callee, from_callee) = PeerConnection::new(Configuration::default())?;
    let channel = caller.create_data_channel("echo", DataChannelInit::default())?;
    callee.set_remote_description(caller.set_local_description(None).await?).await?;
    caller.set_remote_description(callee.set_local_description(None).await?).await?;
    tokio::spawn(attend(from_caller, callee.clone()));
    tokio::spawn(attend(from_callee, caller.clone()));

    channel.send("hello").await?;
    println!("the callee answers {:?}", channel.recv().await);
    caller.close().await;
    callee.close().await;
    Ok(())
}

/// Gives one side's candidates to the other, and echoes all messages.
async fn attend(mut events: Events, other: PeerConnection) -> Result<(), Error> {
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(Some(found)) => other.add_ice_candidate(found.init).await?,
            Event::DataChannel(channel) => {
                while let Some(message) = channel.recv().await {
                    channel.send(message).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
