//! Uses that no documentation recommends: calls after the end, futures that are dropped, everything
//! at once, messages that are too long. Nothing hangs, nothing panics, and errors say why.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::time::Duration;

use columba::{
    Configuration, DataChannelInit, DataChannelState, DtlsTransportState, Error, ErrorKind, Event, Events,
    IceCandidateInit, IceConnectionState, Message, OfferOptions, PeerConnection, PeerConnectionState,
    RtcErrorDetail, SessionDescription, SignalingState, StatsSelector, Track, TrackKind,
    TransceiverDirection, TransceiverInit,
};
use common::peers::pair;
use common::soon;
use tokio::task::JoinSet;

fn new() -> (PeerConnection, Events) {
    PeerConnection::new(Configuration::default()).unwrap()
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_after_close_are_refused_and_answers_about_the_past_are_given() {
    const CLOSED: Option<ErrorKind> = Some(ErrorKind::InvalidStateError);
    let (mut caller, callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    caller.reaches(PeerConnectionState::Connected).await;
    let one = &caller.connection;
    let audio = one.add_transceiver(TrackKind::Audio, TransceiverInit::default()).unwrap();
    let local = one.local_description().unwrap();
    soon("closing", one.close()).await;
    soon("closing again", one.close()).await;

    // Everything has changed.
    assert_eq!(one.signaling_state(), SignalingState::Closed);
    assert_eq!(one.ice_connection_state(), IceConnectionState::Closed);
    assert_eq!(one.connection_state(), PeerConnectionState::Closed);
    assert_eq!(channel.state(), DataChannelState::Closed);
    assert_eq!(audio.direction(), TransceiverDirection::Stopped);
    assert_eq!(audio.current_direction(), Some(TransceiverDirection::Stopped));
    assert!(!one.is_negotiation_needed());

    assert_eq!(kind(one.create_offer(OfferOptions::default()).await), CLOSED);
    assert_eq!(kind(one.create_answer().await), CLOSED);
    assert_eq!(kind(one.set_local_description(None).await), CLOSED);
    assert_eq!(kind(one.set_local_description(SessionDescription::rollback()).await), CLOSED);
    assert_eq!(kind(one.set_remote_description(local).await), CLOSED);
    assert_eq!(kind(one.add_ice_candidate(None).await), CLOSED);
    assert_eq!(kind(one.add_ice_candidate(IceCandidateInit::default()).await), CLOSED);
    assert_eq!(kind(one.create_data_channel("late", DataChannelInit::default())), CLOSED);
    assert_eq!(kind(one.add_transceiver(TrackKind::Video, TransceiverInit::default())), CLOSED);
    assert_eq!(kind(one.add_track(Track::video("late"), ["stream"])), CLOSED);
    assert_eq!(kind(one.set_configuration(Configuration::default())), CLOSED);
    assert_eq!(kind(audio.set_direction(TransceiverDirection::SendOnly)), CLOSED);
    assert_eq!(kind(audio.stop()), CLOSED);
    assert_eq!(kind(audio.replace_track(Some(Track::audio("late")))), CLOSED);
    assert_eq!(kind(audio.remove_track()), CLOSED);
    assert_eq!(kind(audio.set_streams(["late"])), CLOSED);
    assert_eq!(kind(channel.try_send("late")), CLOSED);
    assert_eq!(kind(channel.send("late").await), CLOSED);
    assert_eq!(kind(channel.opened().await), CLOSED);
    one.restart_ice();
    channel.close();

    // What was agreed can still be asked for, and nothing waits.
    assert!(one.local_description().is_some() && one.remote_description().is_some());
    assert!(one.stats().data_channels_closed > 0 && !one.stats_report().entries.is_empty());
    assert_eq!(soon("the end of a channel", channel.closed()).await, Ok(()));
    assert_eq!(soon("the last message", channel.recv()).await, None);
    assert!(soon("low", channel.buffered_amount_low(0)).await.is_ok());
    while soon("the end", caller.events.recv()).await.is_some() {}
    soon("closing", callee.connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_after_close_not_even_what_waited() {
    let (connection, mut events) = new();
    let channel = connection.create_data_channel("chat", DataChannelInit::default()).unwrap();
    drop(connection.set_local_description(None));
    connection.close().await;
    assert!(events.try_recv().is_none() && events.try_recv_task().is_none());
    assert!(soon("the end", events.recv()).await.is_none());
    assert!(soon("the end", events.recv_task()).await.is_none());
    assert_eq!(channel.state(), DataChannelState::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn futures_that_are_dropped_lose_and_hold_nothing() {
    /// Polls once, and drops.
    async fn begin<T>(future: impl Future<Output = T>) {
        let _ = tokio::time::timeout(Duration::ZERO, future).await;
    }
    let (mut caller, mut callee, channel) = pair().await;
    for _ in 0..50 {
        begin(channel.opened()).await;
        begin(channel.recv()).await;
        begin(channel.closed()).await;
        begin(channel.buffered_amount_low(0)).await;
    }
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    for number in 0..200 {
        // It is sent, or it is not: what is dropped before it was sent is not sent later.
        let sent = tokio::time::timeout(Duration::ZERO, channel.send(number.to_string())).await;
        if sent.is_ok() {
            assert_eq!(soon("a message", other.recv()).await, Some(Message::from(number.to_string())));
        }
    }
    // A close that is not waited for takes place.
    begin(caller.connection.close()).await;
    assert_eq!(caller.connection.signaling_state(), SignalingState::Closed);
    while soon("the end", caller.events.recv()).await.is_some() {}
    assert_eq!(soon("the end of the channel", other.recv()).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once_ends() {
    for round in 0..20_u64 {
        let (mut caller, callee, channel) = pair().await;
        let mut tasks = JoinSet::new();
        for number in 0..8_u64 {
            let (one, channel) = (caller.connection.clone(), channel.clone());
            let other = callee.connection.clone();
            tasks.spawn(async move {
                for step in 0..30 {
                    match (number + step + round) % 10 {
                        0 => drop(one.create_offer(OfferOptions::default()).await),
                        1 => drop(one.set_local_description(None).await),
                        2 => drop(one.set_local_description(SessionDescription::rollback()).await),
                        3 => drop(one.add_transceiver(TrackKind::Video, TransceiverInit::default())),
                        4 => drop(one.transceivers().last().map(columba::Transceiver::stop)),
                        5 => one.restart_ice(),
                        6 => drop(channel.try_send(vec![0; 1000])),
                        7 => drop((one.stats_report(), one.sctp(), one.transports())),
                        8 => drop(other.set_remote_description(SessionDescription::offer("garbage")).await),
                        _ => drop(one.create_data_channel("more", DataChannelInit::default())),
                    }
                    if number == 7 && step == 25 {
                        one.close().await;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(task) = soon("a task", tasks.join_next()).await {
            task.unwrap();
        }
        assert_eq!(caller.connection.signaling_state(), SignalingState::Closed);
        while soon("the end", caller.events.recv()).await.is_some() {}
        soon("closing", callee.connection.close()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_long_are_refused_and_the_channel_goes_on() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let limit = caller.connection.sctp().unwrap().max_message_size;
    let long = vec![0; usize::try_from(limit).unwrap() + 1];
    for result in [channel.try_send(long.clone()), channel.send(long).await] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeError, "{error}");
        assert!(error.to_string().contains(&limit.to_string()), "{error}");
    }
    channel.send("short").await.unwrap();
    let other = callee.channel().await;
    assert_eq!(soon("a message", other.recv()).await, Some(Message::from("short")));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fingerprint_fails_and_says_so_on_both_sides() {
    let ((caller, mut ours), (callee, mut theirs)) = (new(), new());
    let channel = caller.create_data_channel("chat", DataChannelInit::default()).unwrap();
    let offer = caller.set_local_description(None).await.unwrap();
    callee.set_remote_description(offer).await.unwrap();
    let answer = callee.set_local_description(None).await.unwrap();
    let (before, rest) = answer.sdp.split_once("a=fingerprint:sha-256 ").unwrap();
    let (_, after) = rest.split_once("\r\n").unwrap();
    let wrong = ["00"; 32].join(":");
    let sdp = format!("{before}a=fingerprint:sha-256 {wrong}\r\n{after}");
    caller.set_remote_description(SessionDescription::answer(sdp)).await.unwrap();
    let connect = |events: &mut Events, to: PeerConnection| {
        let task = events.try_recv_task();
        for event in task.iter().flatten() {
            if let Event::IceCandidate(Some(candidate)) = event {
                drop(to.add_ice_candidate(candidate.init.clone()));
            }
        }
        task
    };
    let (mut failures, mut states) = ([None, None], [None, None]);
    soon("both failures", async {
        while failures.iter().any(Option::is_none) || states.iter().any(Option::is_none) {
            for (index, (events, to)) in
                [(&mut ours, &callee), (&mut theirs, &caller)].into_iter().enumerate()
            {
                let task = connect(events, to.clone()).unwrap_or_default();
                if let [Event::Error(error), Event::DtlsState(_, DtlsTransportState::Failed)] = &task[..] {
                    failures[index] = Some(error.clone());
                }
                if let [Event::ConnectionState(PeerConnectionState::Failed)] = &task[..] {
                    states[index] = Some(());
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let [ours, theirs] = failures.map(Option::unwrap);
    assert_eq!(ours.kind(), ErrorKind::RtcError(RtcErrorDetail::FingerprintFailure), "{ours}");
    assert!(ours.to_string().contains("fingerprint"), "{ours}");
    assert_eq!(theirs.kind(), ErrorKind::RtcError(RtcErrorDetail::DtlsFailure), "{theirs}");
    // bad_certificate
    assert_eq!((theirs.received_alert(), theirs.sent_alert()), (Some(42), None));
    let error = soon("the failure", channel.closed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RtcError(RtcErrorDetail::FingerprintFailure), "{error}");
}

#[tokio::test]
async fn selector_of_what_is_not_there_is_refused() {
    let (connection, _events) = new();
    let audio = connection.add_track(Track::audio("a"), ["stream"]).unwrap();
    assert!(connection.stats_report_of(&StatsSelector::Track("b".to_owned())).is_err());
    assert!(connection.stats_report_of(&StatsSelector::Track("a".to_owned())).is_ok());
    assert!(audio.sender_stats().is_ok() && audio.receiver_stats().is_ok());
    audio.stop().unwrap();
    drop(connection.set_local_description(None));
    let _ = (audio.sender_stats(), audio.receiver_stats());
}
