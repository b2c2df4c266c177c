//! Our own library, at the level of RTP packets, as a forwarder has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use columba::{
    Configuration, EncoderRequest, Event, Events, OutgoingFrame, PacketSource, PeerConnection, ReceiveLevel,
    RtpSender, TrackKind, TransceiverDirection, TransceiverInit,
};

use super::{FRAME, Outcome, Progress, STEP, Stack};

/// A connection of ours.
pub(crate) struct Columba {
    packets: Arc<AtomicU64>,
    _connections: [PeerConnection; 2],
}

impl Stack for Columba {
    async fn connect() -> Outcome<Self> {
        let (caller, from_caller) = PeerConnection::new(Configuration::default())?;
        let (callee, from_callee) = PeerConnection::new(Configuration::default())?;
        let video =
            caller.add_transceiver(TrackKind::Video, TransceiverInit::new(TransceiverDirection::SendOnly))?;
        callee.set_remote_description(caller.set_local_description(None).await?).await?;
        for transceiver in callee.transceivers() {
            transceiver.set_direction(TransceiverDirection::RecvOnly)?;
            transceiver.receiver().set_level(ReceiveLevel::Packets)?;
        }
        caller.set_remote_description(callee.set_local_description(None).await?).await?;
        tokio::spawn(pass_candidates(from_caller, callee.clone()));
        tokio::spawn(pass_candidates(from_callee, caller.clone()));
        let packets = Arc::new(AtomicU64::new(0));
        let (receiver, counted) = (callee.clone(), packets.clone());
        tokio::spawn(async move {
            let mut packet = Vec::new();
            while let Some(about) = receiver.recv_packet(&mut packet).await {
                if matches!(about.source, PacketSource::Rtp { .. }) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let sender = video.sender();
        while !matches!(sender.next_request().await, Some(EncoderRequest::KeyFrame { .. })) {}
        tokio::spawn(send(sender));
        Ok(Self { packets, _connections: [caller, callee] })
    }

    fn progress(&self) -> Progress {
        Progress { packets: self.packets.load(Ordering::Relaxed) }
    }
}

/// Sends as many frames as the path takes.
async fn send(sender: RtpSender) {
    let frame = vec![0; FRAME];
    let mut pace = tokio::time::interval(STEP);
    for number in 0_u32.. {
        pace.tick().await;
        // What does not go is not sent at all.
        let _ = sender.send_frame(&OutgoingFrame::new(&frame, STEP * number));
    }
}

/// Gives one side's candidates to the other.
async fn pass_candidates(mut events: Events, other: PeerConnection) {
    while let Some(event) = events.recv().await {
        if let Event::IceCandidate(Some(found)) = event {
            drop(other.add_ice_candidate(found.init).await);
        }
    }
}
