//! Our own library.

use bytes::Bytes;
use columba::{
    Configuration, DataChannel, DataChannelInit, Event, Events, IceCandidate, IceCandidateInit,
    PeerConnection,
};
use tokio::sync::mpsc;

use crate::end::{End, Outcome, PINNED_MTU};
use crate::path::{Path, Side};

/// A connection of ours and its channel.
pub(crate) struct Columba<const PINNED: bool> {
    connection: PeerConnection,
    channel: DataChannel,
}

impl<const PINNED: bool> End for Columba<PINNED> {
    async fn connect(path: &Path) -> Outcome<(Self, Self)> {
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
        let ends = [(from_caller, &callee, Side::Caller), (from_callee, &caller, Side::Callee)];
        for (events, other, side) in ends {
            tokio::spawn(attend(events, other.clone(), (path.clone(), side), announced.clone()));
        }
        drop(announced);
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
async fn attend(
    mut events: Events,
    other: PeerConnection,
    (path, side): (Path, Side),
    announced: mpsc::Sender<DataChannel>,
) {
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(Some(IceCandidate { init, .. })) => {
                let candidate = path.candidates(side, &init.candidate).unwrap_or_default();
                if !candidate.is_empty() {
                    // One that comes after the end is not needed.
                    drop(other.add_ice_candidate(IceCandidateInit { candidate, ..init }).await);
                }
            }
            Event::DataChannel(channel) => drop(announced.send(channel).await),
            _ => {}
        }
    }
}
