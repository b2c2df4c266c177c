//! `rustrtc`, as configured by default but for its addresses.

use std::sync::Arc;

use bytes::Bytes;
use rustrtc::transports::sctp::{DataChannel, DataChannelConfig};
use rustrtc::{DataChannelEvent, PeerConnection, PeerConnectionEvent, RtcConfiguration, SessionDescription};

use crate::end::{End, Outcome};
use crate::path::{Path, Side};

/// A connection of `rustrtc`'s and its channel.
pub(crate) struct Rustrtc {
    connection: PeerConnection,
    channel: Arc<DataChannel>,
}

impl End for Rustrtc {
    async fn connect(path: &Path) -> Outcome<(Self, Self)> {
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
        callee.set_remote_description(over(path, Side::Caller, &offer)?).await?;
        let answer = described(&callee, callee.create_answer().await?).await?;
        caller.set_remote_description(over(path, Side::Callee, &answer)?).await?;

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

/// A description as the other side shall know it.
fn over(path: &Path, side: Side, description: &SessionDescription) -> Outcome<SessionDescription> {
    let text = path.candidates(side, &description.to_sdp_string())?;
    Ok(SessionDescription::parse(description.sdp_type, &text)?)
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
