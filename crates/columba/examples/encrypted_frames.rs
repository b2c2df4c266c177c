//! Frames that are encrypted end to end, so that a server between the peers could forward them and
//! not see them: the caller encrypts pictures, the callee decrypts them, and a frame that is
//! changed on the way is not shown.
//!
//! The first bytes of a VP8 frame stay in the clear, since packets are made by them; they are
//! authenticated. The key is exchanged in a way of the application's own, here not at all.

use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use columba::{
    Configuration, EncoderRequest, Error, Event, Events, OutgoingFrame, PeerConnection, TrackKind,
    TransceiverInit,
};

/// Bytes of a frame's beginning that stay in the clear: those of a key frame's header (RFC 6386
/// §9.1).
const CLEAR: usize = 10;

/// Bytes behind the frame: the frame's number, by which no two have the same nonce.
const NUMBER: usize = 8;

/// The time between two pictures.
const STEP: Duration = Duration::from_millis(20);

/// The key that both applications have.
struct FrameKey(LessSafeKey);

impl FrameKey {
    fn new(key: &[u8; 16]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).expect("16 bytes are a key")))
    }

    fn nonce(number: u64) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - NUMBER..].copy_from_slice(&number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Returns the frame with everything but its beginning encrypted.
    fn encrypt(&self, number: u64, frame: &[u8]) -> Vec<u8> {
        let (clear, secret) = frame.split_at(CLEAR.min(frame.len()));
        let mut secret = secret.to_vec();
        let seal = self.0.seal_in_place_append_tag(Self::nonce(number), Aad::from(clear), &mut secret);
        seal.expect("a frame is not too long");
        [clear, &secret, &number.to_be_bytes()].concat()
    }

    /// Returns the frame; `None` if it is not authentic.
    fn decrypt(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (rest, number) = frame.split_last_chunk::<NUMBER>()?;
        let (clear, secret) = rest.split_at_checked(CLEAR)?;
        let mut secret = secret.to_vec();
        let nonce = Self::nonce(u64::from_be_bytes(*number));
        let opened = self.0.open_in_place(nonce, Aad::from(clear), &mut secret).ok()?;
        Some([clear, opened].concat())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (caller, from_caller) = PeerConnection::new(Configuration::default())?;
    let (callee, from_callee) = PeerConnection::new(Configuration::default())?;
    let video = caller.add_transceiver(TrackKind::Video, TransceiverInit::default())?;
    callee.set_remote_description(caller.set_local_description(None).await?).await?;
    let receivers: Vec<_> = callee.transceivers().into_iter().map(|one| one.receiver()).collect();
    for transceiver in callee.transceivers() {
        transceiver.set_direction(columba::TransceiverDirection::RecvOnly)?;
    }
    caller.set_remote_description(callee.set_local_description(None).await?).await?;
    tokio::spawn(pass_candidates(from_caller, callee.clone()));
    tokio::spawn(pass_candidates(from_callee, caller.clone()));

    let sender = video.sender();
    // The first request comes when the connection is up: for a key frame.
    while let Some(request) = sender.next_request().await {
        if matches!(request, EncoderRequest::KeyFrame { .. }) {
            break;
        }
    }
    let key = FrameKey::new(b"sixteen letters!");
    let mut decrypted = 0;
    for number in 0..50_u8 {
        // In place of an encoder's: a key frame of VP8 each time.
        let mut picture = vec![number; 2000];
        picture[..CLEAR].copy_from_slice(&[0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x40, 0x01, 0xF0, 0x00]);
        let mut sealed = key.encrypt(u64::from(number), &picture);
        let is_forged = number % 10 == 9;
        if is_forged {
            sealed[100] ^= 1;
        }
        sender.send_frame(&OutgoingFrame::new(&sealed, STEP * u32::from(number)))?;
        let Some(frame) = receivers[0].recv_frame().await else { break };
        assert_ne!(frame.data, picture);
        match key.decrypt(&frame.data) {
            Some(opened) => {
                assert_eq!(opened, picture);
                decrypted += 1;
            }
            None => assert!(is_forged),
        }
    }
    println!("{decrypted} of 50 pictures were decrypted, the others are forged");
    caller.close().await;
    callee.close().await;
    Ok(())
}

/// Gives one side's candidates to the other.
async fn pass_candidates(mut events: Events, other: PeerConnection) -> Result<(), Error> {
    while let Some(event) = events.recv().await {
        if let Event::IceCandidate(Some(found)) = event {
            other.add_ice_candidate(found.init).await?;
        }
    }
    Ok(())
}
