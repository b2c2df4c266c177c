//! The chain of operations: concurrent calls of one application.
#![allow(missing_docs, reason = "a test")]

mod common;

use columba::{
    Configuration, DataChannelInit, Error, ErrorKind, Event, Events, OfferOptions, PeerConnection, SdpType,
    SessionDescription, SignalingState, TrackKind, TransceiverInit,
};
use common::soon;
use tokio::task::JoinSet;

fn new() -> (PeerConnection, Events) {
    PeerConnection::new(Configuration::default()).unwrap()
}

/// A connection that wants a channel.
fn caller() -> (PeerConnection, Events) {
    let (connection, events) = new();
    connection.create_data_channel("chat", DataChannelInit::default()).unwrap();
    (connection, events)
}

/// The events that are there now.
fn waiting(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv()).collect()
}

fn signaling(events: &[Event]) -> Vec<SignalingState> {
    let states = events.iter().filter_map(|event| match event {
        Event::SignalingState(state) => Some(*state),
        _ => None,
    });
    states.collect()
}

#[tokio::test]
async fn operations_are_executed_in_the_order_of_the_calls_and_not_of_the_awaits() {
    let ((caller, _events), (callee, _more)) = (caller(), new());
    let offer = caller.create_offer(OfferOptions::default());
    let set = caller.set_local_description(None);
    let remote = callee.set_remote_description(set.clone().await.unwrap());
    let answer = callee.create_answer();
    let local = callee.set_local_description(None);
    let back = caller.set_remote_description(local.await.unwrap());
    assert_eq!(answer.await.unwrap().kind, SdpType::Answer);
    back.await.unwrap();
    remote.await.unwrap();
    assert_eq!(set.await.unwrap().kind, SdpType::Offer);
    assert_eq!(offer.await.unwrap().kind, SdpType::Offer);
    assert_eq!(caller.signaling_state(), SignalingState::Stable);
    assert!(caller.remote_description().is_some());
}

#[tokio::test]
async fn operation_takes_place_without_being_awaited() {
    let ((caller, mut events), (callee, _more)) = (caller(), new());
    drop(caller.set_local_description(None));
    drop(callee.set_remote_description(caller.local_description().unwrap()));
    drop(callee.set_local_description(None));
    // One that fails does not stop those behind it.
    drop(caller.set_remote_description(SessionDescription::answer("garbage")));
    drop(caller.add_ice_candidate(None));
    drop(caller.set_remote_description(callee.local_description().unwrap()));
    assert_eq!(caller.signaling_state(), SignalingState::Stable);
    let states = signaling(&waiting(&mut events));
    assert_eq!(states, [SignalingState::HaveLocalOffer, SignalingState::Stable]);
}

#[tokio::test]
async fn events_of_an_operation_are_there_before_its_result() {
    let ((caller, _events), (callee, mut events)) = (new(), new());
    caller.add_transceiver(TrackKind::Audio, TransceiverInit::default()).unwrap();
    let offer = caller.set_local_description(None).await.unwrap();
    let set = callee.set_remote_description(offer);
    let told = waiting(&mut events);
    assert!(matches!(told[0], Event::SignalingState(SignalingState::HaveRemoteOffer)), "{told:?}");
    assert!(matches!(&told[1], Event::Track(track) if track.track.kind == TrackKind::Audio), "{told:?}");
    set.await.unwrap();
    callee.set_local_description(None).await.unwrap();
    assert_eq!(signaling(&waiting(&mut events)), [SignalingState::Stable]);
}

#[tokio::test]
async fn negotiation_is_needed_only_if_it_is_when_the_chain_is_empty() {
    let is_needed = |event: &Event| matches!(event, Event::NegotiationNeeded);
    let ((caller, mut events), (callee, _more)) = (caller(), new());
    // The offer is chained before the event is looked at.
    let offer = caller.set_local_description(None);
    caller.add_transceiver(TrackKind::Audio, TransceiverInit::default()).unwrap();
    assert!(!waiting(&mut events).iter().any(is_needed));
    callee.set_remote_description(offer.await.unwrap()).await.unwrap();
    let answer = callee.set_local_description(None).await.unwrap();
    let set = caller.set_remote_description(answer);
    let told = waiting(&mut events);
    assert_eq!(told.iter().filter(|event| is_needed(event)).count(), 1, "{told:?}");
    assert!(is_needed(told.last().unwrap()), "after the state: {told:?}");
    set.await.unwrap();

    // What is taken back in time was never needed; it may be needed again.
    let transceiver = caller.add_transceiver(TrackKind::Video, TransceiverInit::default()).unwrap();
    caller.set_local_description(None).await.unwrap();
    caller.set_local_description(SessionDescription::rollback()).await.unwrap();
    caller.transceivers()[0].stop().unwrap();
    transceiver.stop().unwrap();
    assert!(waiting(&mut events).iter().all(|event| !is_needed(event)), "nothing is left to negotiate");
    caller.add_transceiver(TrackKind::Video, TransceiverInit::default()).unwrap();
    assert_eq!(waiting(&mut events).iter().filter(|event| is_needed(event)).count(), 1);
    assert!(caller.is_negotiation_needed());
}

#[tokio::test]
async fn close_ends_the_chain() {
    let (connection, mut events) = caller();
    let before = connection.set_local_description(None);
    soon("closing", connection.close()).await;
    before.await.unwrap();
    let error = |result: Result<(), Error>| result.unwrap_err().kind();
    let description = SessionDescription::offer("");
    let kinds = [
        error(connection.create_offer(OfferOptions::default()).await.map(|_| ())),
        error(connection.create_answer().await.map(|_| ())),
        error(connection.set_local_description(None).await.map(|_| ())),
        error(connection.set_remote_description(description).await),
        error(connection.add_ice_candidate(None).await),
    ];
    assert_eq!(kinds, [ErrorKind::InvalidStateError; 5]);
    while soon("the last event", events.recv()).await.is_some() {}
}

/// The states that may follow a state (W3C, figure of `RTCSignalingState`).
fn may_follow(from: SignalingState, to: SignalingState) -> bool {
    use SignalingState as State;
    matches!(
        (from, to),
        (State::Stable, State::HaveLocalOffer | State::HaveRemoteOffer)
            | (State::HaveLocalOffer, State::Stable | State::HaveRemotePrAnswer)
            | (State::HaveRemoteOffer, State::Stable | State::HaveLocalPrAnswer)
            | (State::HaveLocalPrAnswer | State::HaveRemotePrAnswer, State::Stable)
    )
}

/// Many tasks call everything on one connection, against another one that answers what it gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operations_of_many_tasks_do_not_mix() {
    let ((caller, mut events), (callee, mut theirs)) = (caller(), new());
    let mut tasks = JoinSet::new();
    for task in 0..8_u32 {
        let (caller, callee) = (caller.clone(), callee.clone());
        tasks.spawn(async move {
            let mut counts = [0; 2];
            for round in 0..40 {
                let succeeded = match (task + round) % 8 {
                    0 => caller.create_offer(OfferOptions { ice_restart: round % 2 == 0 }).await.is_ok(),
                    1 | 2 => match caller.set_local_description(None).await {
                        Ok(offer) => callee.set_remote_description(offer).await.is_ok(),
                        Err(_) => false,
                    },
                    3 | 4 => match callee.set_local_description(None).await {
                        Ok(answer) => caller.set_remote_description(answer).await.is_ok(),
                        Err(_) => false,
                    },
                    5 => caller.set_local_description(SessionDescription::rollback()).await.is_ok(),
                    6 => {
                        drop(callee.create_answer());
                        caller.add_ice_candidate(None).await.is_ok()
                    }
                    _ => {
                        drop(callee.set_remote_description(SessionDescription::rollback()));
                        caller.create_answer().await.is_ok()
                    }
                };
                counts[usize::from(succeeded)] += 1;
                tokio::task::yield_now().await;
            }
            counts
        });
    }
    let mut counts = [0; 2];
    while let Some(one) = soon("a task", tasks.join_next()).await {
        let one = one.unwrap();
        counts = [counts[0] + one[0], counts[1] + one[1]];
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    // Both come back, and agree.
    for (connection, other) in [(&caller, &callee), (&callee, &caller)] {
        let _ = connection.set_local_description(SessionDescription::rollback()).await;
        let _ = other.set_remote_description(SessionDescription::rollback()).await;
    }
    for (connection, events) in [(&caller, &mut events), (&callee, &mut theirs)] {
        let states = signaling(&waiting(events));
        assert!(states.len() > 10, "{states:?}");
        // The queue keeps the last 64 changes.
        for two in states.windows(2) {
            assert!(may_follow(two[0], two[1]), "{two:?} in {states:?}");
        }
        assert_eq!(states.last(), Some(&connection.signaling_state()), "{states:?}");
    }
}
