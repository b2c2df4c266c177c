//! Our own library.

use bytes::Bytes;
use columba::{Configuration, DataChannel, DataChannelInit, Event, Events, PeerConnection};
use tokio::sync::mpsc;

use crate::end::{End, Outcome, PINNED_MTU};

/// A connection of ours and its channel.
pub(crate) struct Columba<const PINNED: bool> {
    connection: PeerConnection,
    channel: DataChannel,
}

impl<const PINNED: bool> End for Columba<PINNED> {
    async fn connect() -> Outcome<(Self, Self)> {
        let mut configuration = Configuration::default();
        if PINNED {
            configuration.datagram_size = PINNED_MTU.into();
            configuration.max_datagram_size = PINNED_MTU.into();
        }
        let (caller, from_caller) = PeerConnection::new(configuration.clone())?;
        let (callee, from_callee) = PeerConnection::new(configuration)?;
        let channel = caller.create_data_channel("bench", DataChannelInit::default())?;
        callee.set_remote_description(caller.set_local_description(None).await?).await?;
        caller.set_remote_description(callee.set_local_description(None).await?).await?;
        let (announced, mut announcements) = mpsc::channel(1);
        tokio::spawn(attend(from_caller, callee.clone(), announced.clone()));
        tokio::spawn(attend(from_callee, caller.clone(), announced));
        channel.opened().await?;
        let announced = announcements.recv().await.ok_or("closed before the channel was open")?;
        Ok((Self { connection: caller, channel }, Self { connection: callee, channel: announced }))
    }

    async fn send(&self, message: Bytes) -> Outcome<()> {
        Ok(self.channel.send(message).await?)
    }

    async fn receive(&self) -> Outcome<usize> {
        Ok(self.channel.recv().await.ok_or("the channel was closed")?.len())
    }

    async fn close(&self) -> Outcome<()> {
        self.connection.close().await;
        Ok(())
    }
}

/// Gives one side's candidates to the other, and its channel to the measurement.
async fn attend(mut events: Events, other: PeerConnection, announced: mpsc::Sender<DataChannel>) {
    while let Some(event) = events.recv().await {
        match event {
            // One that comes after the end is not needed.
            Event::IceCandidate(Some(candidate)) => drop(other.add_ice_candidate(candidate.init).await),
            Event::DataChannel(channel) => drop(announced.send(channel).await),
            _ => {}
        }
    }
}
