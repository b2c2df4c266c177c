//! The events of a connection and of its data channels: one order, and none is lost.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use columba::{
    Configuration, DataChannel, DataChannelInit, DataChannelState, ErrorKind, Event, Events, IceConfig,
    IceTimings, Message, PeerConnection, PeerConnectionState, RtcErrorDetail,
};
use common::soon;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Channels that are more than may wait.
const MANY: usize = 4000;

/// Two connections whose descriptions have all candidates, and a channel of the caller's.
async fn pair(
    configuration: Configuration,
) -> ((PeerConnection, Events), (PeerConnection, Events), DataChannel) {
    let (caller, mut from_caller) = PeerConnection::new(configuration.clone()).unwrap();
    let (callee, mut from_callee) = PeerConnection::new(configuration).unwrap();
    let channel = caller.create_data_channel("first", DataChannelInit::default()).unwrap();
    drop(caller.set_local_description(None));
    gathered(&mut from_caller).await;
    callee.set_remote_description(caller.local_description().unwrap()).await.unwrap();
    drop(callee.set_local_description(None));
    gathered(&mut from_callee).await;
    caller.set_remote_description(callee.local_description().unwrap()).await.unwrap();
    ((caller, from_caller), (callee, from_callee), channel)
}

async fn gathered(events: &mut Events) {
    while !matches!(soon("all candidates", events.recv()).await, Some(Event::IceCandidate(None))) {}
}

/// The next event of a data channel.
async fn next(events: &mut Events) -> Event {
    loop {
        let event = soon("an event", events.recv()).await.expect("the events ended");
        let is_of_channel = matches!(
            event,
            Event::DataChannel(_)
                | Event::ChannelOpen(_)
                | Event::ChannelReadable(_)
                | Event::BufferedAmountLow(..)
                | Event::ChannelClosing(_)
                | Event::ChannelError(..)
                | Event::ChannelClosed(_)
        );
        if is_of_channel {
            return event;
        }
    }
}

/// Asserts that the next event is this one, and returns its channel.
macro_rules! next {
    ($events:expr, $kind:ident) => {
        match next($events).await {
            Event::$kind(channel, ..) => channel,
            other => panic!("{other:?} came instead of {}", stringify!($kind)),
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_channel_comes_in_the_stream_of_its_connection() {
    let ((caller, mut ours), (callee, mut theirs), channel) = pair(Configuration::default()).await;
    assert_eq!(next!(&mut ours, ChannelOpen), channel);
    let other = next!(&mut theirs, DataChannel);
    assert_eq!((other.label(), other.state()), ("first", DataChannelState::Open));

    channel.send("one").await.unwrap();
    assert_eq!(next!(&mut theirs, ChannelReadable), other);
    assert_eq!(other.try_recv(), Some(Message::from("one")));
    assert_eq!(other.try_recv(), None);

    // The W3C's `send` is followed by `bufferedamountlow`, at first with the threshold 0.
    channel.try_send(vec![0; 100_000]).unwrap();
    assert_eq!(next!(&mut ours, BufferedAmountLow), channel);
    assert_eq!(channel.buffered_amount(), 0);
    assert_eq!(next!(&mut theirs, ChannelReadable), other);
    assert!(soon("a message", other.recv()).await.is_some());

    channel.close();
    assert_eq!(next!(&mut theirs, ChannelClosing), other);
    assert_eq!(next!(&mut theirs, ChannelClosed), other);
    assert_eq!(next!(&mut ours, ChannelClosed), channel);
    assert_eq!((channel.state(), other.state()), (DataChannelState::Closed, DataChannelState::Closed));

    // A connection that is closed by the other side: `error` before `close`.
    let second = caller.create_data_channel("second", DataChannelInit::default()).unwrap();
    assert_eq!(next!(&mut ours, ChannelOpen), second);
    next!(&mut theirs, DataChannel);
    soon("closing", callee.close()).await;
    match next(&mut ours).await {
        Event::ChannelError(channel, error) => {
            assert_eq!(channel, second);
            assert_eq!(error.kind(), ErrorKind::RtcError(RtcErrorDetail::SctpFailure));
            assert!(matches!(error.sctp_cause_code(), None | Some(12)), "{error:?}");
        }
        other => panic!("{other:?} came instead of the error"),
    }
    assert_eq!(next!(&mut ours, ChannelClosed), second);
    // Its own close fires nothing.
    while let Some(event) = soon("the end", theirs.recv()).await {
        assert!(!matches!(event, Event::ChannelClosed(_) | Event::ChannelError(..)), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buffered_amount_low_comes_at_the_threshold_that_was_set() {
    let mut configuration = Configuration::default();
    configuration.data.receive_buffer = 1 << 19;
    let ((_caller, mut ours), (_callee, mut theirs), channel) = pair(configuration).await;
    next!(&mut ours, ChannelOpen);
    let other = next!(&mut theirs, DataChannel);
    channel.set_buffered_amount_low_threshold(1_000_000);
    assert_eq!(channel.buffered_amount_low_threshold(), 1_000_000);
    for _ in 0..2 {
        for _ in 0..20 {
            channel.try_send(vec![0; 100_000]).unwrap();
        }
        // A task that waits for another threshold does not take the event away.
        let low = {
            let channel = channel.clone();
            tokio::spawn(async move { channel.buffered_amount_low(0).await })
        };
        for _ in 0..20 {
            assert!(soon("a message", other.recv()).await.is_some());
        }
        soon("nothing waits", low).await.unwrap().unwrap();
        assert_eq!(next!(&mut ours, BufferedAmountLow), channel);
    }
    // `send` waits for room by itself; with a threshold there is an event all the same.
    let sending = {
        let channel = channel.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                channel.send(vec![0; 100_000]).await.unwrap();
            }
        })
    };
    for _ in 0..20 {
        assert!(soon("a message", other.recv()).await.is_some());
    }
    soon("sending", sending).await.unwrap();
    assert_eq!(next!(&mut ours, BufferedAmountLow), channel);
}

/// Consent is asked for so often that a test can wait for many rounds of it.
fn impatient() -> Configuration {
    let timings = IceTimings {
        consent_interval: Duration::from_millis(50),
        consent_timeout: Duration::from_secs(3),
        ..IceTimings::default()
    };
    Configuration { ice: IceConfig { timings, ..IceConfig::default() }, ..Configuration::default() }
}

fn consent_requests(connection: &PeerConnection) -> u64 {
    let stats = connection.stats();
    stats.transports[0].ice.pairs.iter().map(|pair| pair.counters.consent_requests_sent).sum()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_stops_the_input_of_data_and_nothing_else_and_can_read_late() {
    let ((caller, _unread), (callee, mut late), channel) = pair(impatient()).await;
    soon("opening", channel.opened()).await.unwrap();
    let many: Vec<_> = (0..MANY)
        .map(|number| {
            let channel =
                caller.create_data_channel(&number.to_string(), DataChannelInit::default()).unwrap();
            let (sender, label) = (channel.clone(), number.to_string());
            tokio::spawn(async move { sender.send(label).await });
            channel
        })
        .collect();
    // The other side takes as many as its queue holds. Those are not all, however long this takes.
    until("a full queue", || callee.stats().data_channels_opened >= 500).await;
    let before = consent_requests(&callee);
    until("consent", || consent_requests(&callee) >= before + 100).await;
    // More than 1,024 by what one turn of the driver receives.
    let opened = callee.stats().data_channels_opened;
    assert!(opened < 3000, "{opened} channels wait");
    assert_eq!(callee.connection_state(), PeerConnectionState::Connected);
    assert_eq!(caller.connection_state(), PeerConnectionState::Connected);

    let mut heard = 0;
    let mut labels = Vec::new();
    while heard < MANY {
        match next(&mut late).await {
            Event::DataChannel(channel) => labels.push(channel.label().to_owned()),
            Event::ChannelReadable(channel) => {
                while let Some(message) = channel.try_recv() {
                    assert_eq!(message, Message::from(channel.label()));
                    heard += 1;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    // Each once; streams overtake each other where packets are repeated.
    let unique: BTreeSet<_> = labels.iter().collect();
    assert_eq!((labels.len(), unique.len()), (MANY + 1, MANY + 1));
    drop(many);
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_that_is_closed_before_its_event_is_read_is_told_with_all_that_it_said() {
    let ((caller, _unread), (callee, mut late), _channel) = pair(Configuration::default()).await;
    for number in 0..40 {
        let short = caller.create_data_channel("short", DataChannelInit::default()).unwrap();
        soon("sending", short.send(number.to_string())).await.unwrap();
        short.close();
        soon("closing", short.closed()).await.unwrap();
    }
    until("all are closed", || callee.stats().data_channels_closed == 40).await;
    next!(&mut late, DataChannel);
    for number in 0..40 {
        let short = next!(&mut late, DataChannel);
        assert_eq!((short.label(), short.state()), ("short", DataChannelState::Closed));
        assert_eq!(next!(&mut late, ChannelReadable), short);
        assert_eq!(short.try_recv(), Some(Message::from(number.to_string())));
        assert_eq!(next!(&mut late, ChannelClosing), short);
        assert_eq!(next!(&mut late, ChannelClosed), short);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_read_each_event_once_and_in_order() {
    let ((caller, _unread), (_callee, theirs), _channel) = pair(Configuration::default()).await;
    let (theirs, told) = (Arc::new(Mutex::new(theirs)), Arc::new(Mutex::new(Vec::new())));
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (theirs, told) = (theirs.clone(), told.clone());
        readers.spawn(async move {
            loop {
                let mut events = theirs.lock().await;
                let Some(event) = events.recv().await else { return };
                // Before another one is read.
                told.lock().await.push(event);
            }
        });
    }
    let mut talks = JoinSet::new();
    for number in 0..200 {
        let channel = caller.create_data_channel(&number.to_string(), DataChannelInit::default()).unwrap();
        talks.spawn(async move {
            channel.send("hello").await.unwrap();
            channel.close();
            channel.closed().await.unwrap();
        });
    }
    while let Some(talk) = soon("a talk", talks.join_next()).await {
        talk.unwrap();
    }
    soon("closing", caller.close()).await;
    drop(caller);
    soon("the end", async {
        while told.lock().await.iter().filter(|event| matches!(event, Event::ChannelClosed(_))).count() < 201
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    readers.shutdown().await;
    let mut of_channels: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let told = told.lock().await;
    for event in told.iter() {
        let (channel, word) = match event {
            Event::DataChannel(channel) => (channel, "datachannel"),
            Event::ChannelReadable(channel) => (channel, "message"),
            Event::ChannelClosing(channel) => (channel, "closing"),
            Event::ChannelClosed(channel) => (channel, "close"),
            _ => continue,
        };
        of_channels.entry(channel.label().to_owned()).or_default().push(word);
    }
    of_channels.remove("first");
    assert_eq!(of_channels.len(), 200);
    for (label, words) in of_channels {
        assert_eq!(words, ["datachannel", "message", "closing", "close"], "{label}");
    }
}
