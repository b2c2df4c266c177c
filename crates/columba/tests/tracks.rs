//! Tracks and streams as objects, over real sockets.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::time::Duration;

use columba::{
    Configuration, EncoderRequest, Event, Events, MediaStream, OutgoingFrame, PeerConnection,
    PeerConnectionState, StreamChange, TrackChange, TrackKind, TrackSource, TrackState, TransceiverDirection,
    TransceiverInit,
};
use common::soon;

/// Both sides with the events that have come.
struct Pair {
    sides: [(PeerConnection, Events); 2],
}

impl Pair {
    fn new() -> Self {
        let side = || PeerConnection::new(Configuration::default()).unwrap();
        Self { sides: [side(), side()] }
    }

    /// The first side offers, the second takes what is offered and answers.
    async fn negotiate(&mut self) {
        let [(caller, _), (callee, _)] = &self.sides;
        callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
        for transceiver in callee.transceivers() {
            if transceiver.current_direction().is_none() {
                transceiver.set_direction(TransceiverDirection::SendRecv).unwrap();
            }
        }
        caller.set_remote_description(callee.set_local_description(None).await.unwrap()).await.unwrap();
    }

    /// Carries candidates until an event comes to a side.
    async fn until<T>(&mut self, side: usize, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let [(caller, first), (callee, second)] = &mut self.sides;
        loop {
            let (from, to, event) = tokio::select! {
                event = first.recv() => (0, &*callee, event.unwrap()),
                event = second.recv() => (1, &*caller, event.unwrap()),
            };
            if let Event::IceCandidate(Some(candidate)) = &event {
                to.add_ice_candidate(candidate.init.clone()).await.unwrap();
            }
            if from == side
                && let Some(found) = wanted(&event)
            {
                return found;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tracks_arrive_play_rest_leave_and_end() {
    let mut pair = Pair::new();
    let microphone = TrackSource::new(TrackKind::Audio, "microphone");
    let track = microphone.track();
    let stream = MediaStream::new([track.clone()]);
    assert_eq!((track.label(), track.kind(), stream.is_active()), ("microphone", TrackKind::Audio, true));
    let sender = pair.sides[0].0.add_track(&track, [stream.id()]).unwrap();
    pair.negotiate().await;
    let added = pair
        .until(1, |event| match event {
            Event::Track(added) => Some(added.clone()),
            _ => None,
        })
        .await;
    let (theirs, streams) = (added.media_track.clone(), added.media_streams.clone());
    assert!(theirs.is_muted() && theirs.is_enabled() && theirs.ready_state() == TrackState::Live);
    assert_eq!(added.transceiver.receiver().media_track(), Some(theirs.clone()));
    assert_eq!((streams.len(), streams[0].id()), (1, stream.id()));
    assert_eq!(streams[0].track_by_id(theirs.id()), Some(theirs.clone()));
    assert_eq!(streams[0].try_next_change(), Some(StreamChange::Added(theirs.clone())));

    let connected = |event: &Event| match event {
        Event::ConnectionState(PeerConnectionState::Connected) => Some(()),
        _ => None,
    };
    soon("a connection", pair.until(0, connected)).await;
    let frame = |index: u32| OutgoingFrame::new(&[7; 60], Duration::from_millis(20) * index);
    sender.sender().send_frame(&frame(0)).unwrap();
    assert_eq!(soon("unmute", theirs.next_change()).await, TrackChange::Unmute);
    assert!(!theirs.is_muted() && soon("a frame", added.transceiver.receiver().recv_frame()).await.is_some());

    // The sender takes its track away: muted first, then gone from its stream.
    sender.remove_track().unwrap();
    pair.negotiate().await;
    assert_eq!(soon("mute", theirs.next_change()).await, TrackChange::Mute);
    assert_eq!(soon("removal", streams[0].next_change()).await, StreamChange::Removed(theirs.clone()));
    assert!(theirs.is_muted() && streams[0].tracks().is_empty() && !streams[0].is_active());
    assert_eq!(theirs.ready_state(), TrackState::Live);

    // And stops for good.
    sender.stop().unwrap();
    pair.negotiate().await;
    assert_eq!(soon("the end", theirs.next_change()).await, TrackChange::Ended);
    assert_eq!((theirs.try_next_change(), theirs.ready_state()), (None, TrackState::Ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn encoders_are_told_of_parameters_and_tones_of_their_beginning() {
    let mut pair = Pair::new();
    let (caller, _) = &pair.sides[0];
    let audio = caller.add_transceiver(TrackKind::Audio, TransceiverInit::default()).unwrap();
    let video = caller.add_transceiver(TrackKind::Video, TransceiverInit::default()).unwrap().sender();
    let dtmf = audio.sender().dtmf().unwrap();
    assert!(!dtmf.can_insert() && dtmf.insert("1").is_err() && video.dtmf().is_none());
    pair.negotiate().await;
    let connected = |event: &Event| match event {
        Event::ConnectionState(PeerConnectionState::Connected) => Some(()),
        _ => None,
    };
    soon("a connection", pair.until(0, connected)).await;

    let mut parameters = video.parameters().unwrap();
    parameters.encodings[0].max_framerate = Some(15.0);
    parameters.encodings[0].scale_resolution_down_by = Some(2.0);
    video.set_parameters(parameters).unwrap();
    let told = soon("the parameters", async {
        loop {
            let request = video.next_request().await.unwrap();
            if let EncoderRequest::Encoding { active, max_framerate, scale_resolution_down_by, .. } = request
            {
                return (active, max_framerate, scale_resolution_down_by);
            }
        }
    })
    .await;
    assert_eq!(told, (true, Some(15.0), Some(2.0)));
    // The same again says nothing new, and what is out of range is refused.
    video.set_parameters(video.parameters().unwrap()).unwrap();
    let mut parameters = video.parameters().unwrap();
    parameters.encodings[0].scale_resolution_down_by = Some(0.5);
    assert!(video.set_parameters(parameters).is_err());

    assert!(dtmf.can_insert() && dtmf.insert("x").is_err());
    let millis = Duration::from_millis;
    dtmf.insert_with("1#", millis(40), millis(30)).unwrap();
    let mut tones = Vec::new();
    while tones.last() != Some(&None) {
        tones.push(soon("a tone", dtmf.next_tone()).await.unwrap());
    }
    assert_eq!((tones, dtmf.tone_buffer().as_str()), (vec![Some('1'), Some('#'), None], ""));
    let receiver = pair.sides[1].0.transceivers()[0].receiver();
    receiver.set_jitter_buffer_target(Some(millis(200))).unwrap();
    assert_eq!(receiver.jitter_buffer_target(), Some(millis(200)));
    assert!(receiver.set_jitter_buffer_target(Some(millis(4001))).is_err());
}

#[test]
fn sources_know_whether_they_are_wanted() {
    let camera = TrackSource::new(TrackKind::Video, "camera");
    let (one, two) = (camera.track(), camera.track());
    let stream = MediaStream::new([one.clone(), two.clone(), one.clone()]);
    assert_eq!((stream.tracks().len(), stream.tracks_of(TrackKind::Audio).len()), (2, 0));
    let copy = stream.duplicate();
    assert_ne!(copy.id(), stream.id());
    assert!(copy.tracks().iter().all(|track| stream.track_by_id(track.id()).is_none()));
    camera.set_muted(true);
    camera.end();
    camera.end();
    assert_eq!(
        [(); 3].map(|()| one.try_next_change()),
        [Some(TrackChange::Mute), Some(TrackChange::Ended), None]
    );
    assert!(!camera.is_live() && !stream.is_active() && one.duplicate().ready_state() == TrackState::Ended);
    assert_eq!(stream.try_next_change(), None, "only the other side's doings are events");
}
