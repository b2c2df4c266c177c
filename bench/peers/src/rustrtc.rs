//! `rustrtc`, as configured by default but for its addresses.

use std::sync::Arc;

use bytes::Bytes;
use rustrtc::transports::sctp::{DataChannel, DataChannelConfig};
use rustrtc::{DataChannelEvent, PeerConnection, PeerConnectionEvent, RtcConfiguration, SessionDescription};

use crate::end::{End, Outcome};

/// A connection of `rustrtc`'s and its channel.
pub(crate) struct Rustrtc {
    connection: PeerConnection,
    channel: Arc<DataChannel>,
}

impl End for Rustrtc {
    async fn connect() -> Outcome<(Self, Self)> {
        let configuration = RtcConfiguration {
            bind_ip: Some("127.0.0.1".to_owned()),
            ice_include_loopback_candidates: true,
            disable_ipv6: true,
            ..RtcConfiguration::default()
        };
        let caller = PeerConnection::new(configuration.clone());
        let callee = PeerConnection::new(configuration);
        let ordered = DataChannelConfig { ordered: true, ..DataChannelConfig::default() };
        let channel = caller.create_data_channel("bench", Some(ordered))?;
        let offer = described(&caller, caller.create_offer().await?).await?;
        callee.set_remote_description(offer).await?;
        let answer = described(&callee, callee.create_answer().await?).await?;
        caller.set_remote_description(answer).await?;

        let announced = loop {
            match callee.recv().await.ok_or("closed before the channel was open")? {
                PeerConnectionEvent::DataChannel(channel) => break channel,
                PeerConnectionEvent::Track(_) => {}
            }
        };
        while !matches!(channel.recv().await.ok_or("closed before it was open")?, DataChannelEvent::Open) {}
        Ok((Self { connection: caller, channel }, Self { connection: callee, channel: announced }))
    }

    async fn send(&self, message: Bytes) -> Outcome<()> {
        Ok(self.connection.send_data(self.channel.id, &message).await?)
    }

    async fn receive(&self) -> Outcome<usize> {
        loop {
            match self.channel.recv().await {
                Some(DataChannelEvent::Message(message)) => return Ok(message.len()),
                Some(DataChannelEvent::Close) | None => return Err("the channel was closed".into()),
                Some(_) => {}
            }
        }
    }

    async fn close(&self) -> Outcome<()> {
        self.connection.close();
        Ok(())
    }
}

/// Sets a description; the answer is the same with all candidates.
async fn described(
    connection: &PeerConnection,
    description: SessionDescription,
) -> Outcome<SessionDescription> {
    connection.set_local_description(description)?;
    connection.wait_for_gathering_complete().await;
    Ok(connection.local_description().ok_or("there is no local description")?)
}
