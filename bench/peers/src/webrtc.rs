//! `webrtc` of the webrtc-rs project: the newer one, over its sans-IO core.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCSessionDescription,
};

use crate::end::{End, Outcome, SEND_BUFFER};
use crate::path::{Path, Side};

/// A connection of `webrtc`'s and its channel.
pub(crate) struct Webrtc {
    connection: Arc<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
}

impl End for Webrtc {
    async fn connect(path: &Path) -> Outcome<(Self, Self)> {
        let (caller, mut from_caller) = connection().await?;
        let (callee, mut from_callee) = connection().await?;
        let channel = caller.create_data_channel("bench", None).await?;
        caller.set_local_description(caller.create_offer(None).await?).await?;
        let offer = described(&*caller, &mut from_caller).await?;
        let offer = RTCSessionDescription::offer(path.candidates(Side::Caller, &offer.sdp)?)?;
        callee.set_remote_description(offer).await?;
        callee.set_local_description(callee.create_answer(None).await?).await?;
        let answer = described(&*callee, &mut from_callee).await?;
        let answer = RTCSessionDescription::answer(path.candidates(Side::Callee, &answer.sdp)?)?;
        caller.set_remote_description(answer).await?;

        while !matches!(channel.poll().await.ok_or("closed before it was open")?, DataChannelEvent::OnOpen) {}
        let announced = from_callee.channels.recv().await.ok_or("closed before the channel was open")?;
        Ok((Self { connection: caller, channel }, Self { connection: callee, channel: announced }))
    }

    async fn send(&self, message: Bytes) -> Outcome<()> {
        Ok(self.channel.send(BytesMut::from(&message[..])).await?)
    }

    async fn receive(&self) -> Outcome<usize> {
        loop {
            match self.channel.poll().await {
                Some(DataChannelEvent::OnMessage(message)) => return Ok(message.data.len()),
                Some(DataChannelEvent::OnClose) | None => return Err("the channel was closed".into()),
                Some(_) => {}
            }
        }
    }

    async fn close(&self) -> Outcome<()> {
        Ok(self.connection.close().await?)
    }
}

/// The events of a connection.
struct Events {
    gathered: mpsc::Receiver<()>,
    channels: mpsc::Receiver<Arc<dyn DataChannel>>,
}

/// Forwards the events of a connection.
struct Forwarder {
    gathered: mpsc::Sender<()>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Forwarder {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            // Once is enough.
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        // There is one channel only.
        let _ = self.channels.try_send(channel);
    }
}

async fn connection() -> Outcome<(Arc<dyn PeerConnection>, Events)> {
    let (gathered_sender, gathered) = mpsc::channel(1);
    let (channels_sender, channels) = mpsc::channel(1);
    let connection = PeerConnectionBuilder::new()
        .with_handler(Arc::new(Forwarder { gathered: gathered_sender, channels: channels_sender }))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .with_data_channel_send_buffer_limit(SEND_BUFFER)
        .build()
        .await?;
    Ok((Arc::new(connection), Events { gathered, channels }))
}

/// The local description, with all candidates.
async fn described(connection: &dyn PeerConnection, events: &mut Events) -> Outcome<RTCSessionDescription> {
    events.gathered.recv().await.ok_or("closed while gathering")?;
    Ok(connection.local_description().await.ok_or("there is no local description")?)
}
