//! Data channels between two peer connections in one process, over real sockets.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use allocation_counter::measure;
use columba::{
    Configuration, DataChannel, DataChannelInit, DataChannelState, Error, Message, PeerConnection,
    PeerConnectionState, PeerError,
};
use common::peers::{forward, pair, pair_of};
use common::soon;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn channel_close_from_either_side_keeps_the_connection() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    channel.send("last words").await.unwrap();
    channel.close();
    assert_eq!(soon("last words", other.recv()).await, Some(Message::from("last words")));
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("the end", other.closed()).await.unwrap();
    soon("the end", channel.closed()).await.unwrap();
    assert_eq!(channel.state(), DataChannelState::Closed);

    let second = callee.connection.create_data_channel("second", DataChannelInit::default()).unwrap();
    soon("opening", second.opened()).await.unwrap();
    second.close();
    soon("the end", second.closed()).await.unwrap();
    assert_eq!(caller.connection.connection_state(), PeerConnectionState::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_arrive_intact_in_both_directions() {
    const CHUNK: usize = 64 << 10;
    const CHUNKS: usize = 320;
    let (_caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let mut tasks = Vec::new();
    for (end, seed) in [(channel, 1), (other, 2)] {
        let sender = end.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..CHUNKS {
                sender.send(vec![(number + seed) as u8; CHUNK]).await.unwrap();
                assert!(sender.buffered_amount() <= 2 << 20);
            }
        }));
        tasks.push(tokio::spawn(async move {
            for number in 0..CHUNKS {
                let Some(Message::Binary(bytes)) = end.recv().await else { panic!("ended at {number}") };
                assert_eq!(bytes.len(), CHUNK);
                assert!(bytes.iter().all(|byte| *byte == (number + 3 - seed) as u8), "chunk {number}");
            }
        }));
    }
    for task in tasks {
        soon("the transfer", task).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_messages_hold_the_sender_back_and_none_is_lost() {
    let (_caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let sender = channel.clone();
    let sending = tokio::spawn(async move {
        for number in 0..400u32 {
            let mut message = vec![0; 64 << 10];
            message[..4].copy_from_slice(&number.to_be_bytes());
            sender.send(message).await.unwrap();
        }
    });
    let idle = tokio::time::sleep(Duration::from_millis(300));
    tokio::pin!(idle);
    idle.await;
    assert!(!sending.is_finished(), "25 MiB are more than may wait anywhere");
    for number in 0..400u32 {
        let Some(Message::Binary(bytes)) = soon("a message", other.recv()).await else { panic!("ended") };
        assert_eq!(bytes[..4], number.to_be_bytes());
    }
    soon("the sender", sending).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn negotiated_channels_need_no_announcement() {
    let (caller, caller_events) = PeerConnection::new(Configuration::default()).unwrap();
    let (callee, callee_events) = PeerConnection::new(Configuration::default()).unwrap();
    let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
    let ours = caller.create_data_channel("columba", init.clone()).unwrap();
    let theirs = callee.create_data_channel("columba", init).unwrap();
    callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
    caller.set_remote_description(callee.set_local_description(None).await.unwrap()).await.unwrap();
    let _told = (forward(caller_events, callee.clone()), forward(callee_events, caller.clone()));
    soon("sending", ours.send("from the caller")).await.unwrap();
    soon("sending", theirs.send("from the callee")).await.unwrap();
    assert_eq!(soon("a message", theirs.recv()).await, Some(Message::from("from the caller")));
    assert_eq!(soon("a message", ours.recv()).await, Some(Message::from("from the callee")));
    assert_eq!((ours.id(), ours.negotiated()), (Some(0), true));
}

#[tokio::test]
async fn invalid_channel_options_are_refused_with_the_reason() {
    let (connection, _events) = PeerConnection::new(Configuration::default()).unwrap();
    let refusal = |label: &str, init| match connection.create_data_channel(label, init) {
        Err(Error::Peer(PeerError::InvalidChannel { reason } | PeerError::NoStream { reason })) => reason,
        other => panic!("{other:?}"),
    };
    let negotiated = |stream| DataChannelInit { negotiated: Some(stream), ..DataChannelInit::default() };
    let long = "x".repeat(65_536);
    assert!(refusal(&long, DataChannelInit::default()).contains("65,535 bytes"));
    let protocol = DataChannelInit { protocol: long, ..DataChannelInit::default() };
    assert!(refusal("", protocol).contains("65,535 bytes"));
    let both = DataChannelInit {
        max_retransmits: Some(1),
        max_packet_life_time: Some(1),
        ..DataChannelInit::default()
    };
    assert!(refusal("", both).contains("exclude"));
    assert!(refusal("", negotiated(65_535)).contains("the highest is 65,534"));
    connection.create_data_channel("", negotiated(65_534)).unwrap();
    assert!(refusal("", negotiated(65_534)).contains("choose another"));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_messages_are_refused_and_the_longest_names_arrive() {
    // Not negotiated: the channel of a pair may be open as soon as the descriptions are exchanged.
    let (unconnected, _events) = PeerConnection::new(Configuration::default()).unwrap();
    let unopened = unconnected.create_data_channel("", DataChannelInit::default()).unwrap();
    assert_eq!(unopened.try_send("too early"), Err(Error::Peer(PeerError::ChannelNotOpen)));
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let _first = callee.channel().await;
    let longest = 262_144;
    let too_long = Err(Error::Peer(PeerError::MessageTooLarge { size: longest + 1, limit: longest as u64 }));
    assert_eq!(channel.try_send(vec![0; longest + 1]), too_long);
    assert_eq!(soon("a refusal", channel.send(vec![0; longest + 1])).await, too_long);
    assert_eq!(channel.buffered_amount(), 0);
    channel.try_send(vec![0; longest]).unwrap();

    let (label, protocol) = ("l".repeat(65_535), "p".repeat(65_535));
    let init = DataChannelInit { protocol: protocol.clone(), ..DataChannelInit::default() };
    let named = caller.connection.create_data_channel(&label, init).unwrap();
    soon("sending", named.send("by its name")).await.unwrap();
    let other = callee.channel().await;
    assert!(other.label() == label && other.protocol() == protocol);
    assert_eq!(soon("a message", other.recv()).await, Some(Message::from("by its name")));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_queued_before_channel_close_arrive() {
    let (_caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    for number in 0..40_u8 {
        channel.try_send(vec![number; 100_000]).unwrap();
    }
    assert!(channel.buffered_amount() > 0);
    channel.close();
    assert_eq!(channel.try_send("late"), Err(Error::Peer(PeerError::ChannelNotOpen)));
    for number in 0..40_u8 {
        assert_eq!(soon("a message", other.recv()).await, Some(Message::from(vec![number; 100_000])));
    }
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("the end", channel.closed()).await.unwrap();
    assert_eq!(channel.buffered_amount(), 0);
    soon("the last of it", channel.buffered_amount_low(0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unsent_messages_stay_in_the_buffered_amount_after_close() {
    let mut configuration = Configuration::default();
    configuration.data.receive_buffer = 1 << 19;
    let (caller, mut callee, channel) = pair_of(configuration).await;
    soon("opening", channel.opened()).await.unwrap();
    let _unread = callee.channel().await;
    for _ in 0..20 {
        channel.try_send(vec![0; 200_000]).unwrap();
    }
    let waiting = channel.clone();
    let waiting = tokio::spawn(async move { waiting.buffered_amount_low(0).await });
    soon("closing", caller.connection.close()).await;
    soon("the end", channel.closed()).await.unwrap();
    assert!(soon("an answer", waiting).await.unwrap().is_err());
    assert!(channel.buffered_amount() > 1_000_000, "it does not reset to zero");
    assert!(soon("an answer", channel.buffered_amount_low(0)).await.is_err());
}

/// Loopback carries whatever a DTLS record holds, and the sockets do not let it be fragmented.
#[tokio::test(flavor = "multi_thread")]
async fn path_mtu_discovery_reaches_the_mtu_of_loopback() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let mtu = || caller.connection.stats().sctp.association.mtu;
    assert!(mtu() < 1200, "nothing is tried before there is something to send");
    soon("the largest datagram", async {
        while mtu() < (1 << 14) - 4 {
            for _ in 0..16 {
                channel.send(vec![7; 64 << 10]).await.unwrap();
            }
            for _ in 0..16 {
                assert_eq!(other.recv().await.map(|message| message.len()), Some(64 << 10));
            }
        }
    })
    .await;
}

/// A receive buffer that is full after a few messages, so that the sender's queue fills.
fn small_receive_buffer() -> Configuration {
    let mut configuration = Configuration::default();
    configuration.data.receive_buffer = 1 << 19;
    configuration
}

/// Sends until the channel stays full; returns the number of messages sent.
async fn fill(channel: &DataChannel, message: &[u8]) -> usize {
    let mut sent = 0;
    loop {
        if timeout(Duration::from_millis(500), channel.send(message.to_vec())).await.is_ok() {
            sent += 1;
        } else if channel.buffered_amount() >= 1 << 20 {
            return sent;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_has_to_wait_is_not_copied() {
    let (_caller, mut callee, channel) = pair_of(small_receive_buffer()).await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let sent = fill(&channel, &[1; 100_000]).await;
    let text = "x".repeat(200_000);
    let mut sending = pin!(channel.send(text.clone()));
    let polled = measure(|| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sending.as_mut().poll(&mut cx).is_pending());
        assert!(sending.as_mut().poll(&mut cx).is_pending());
    });
    assert!(polled.bytes_total < 1000, "{polled:?}");
    let reading = tokio::spawn(async move {
        for _ in 0..sent {
            assert_eq!(other.recv().await.map(|message| message.len()), Some(100_000));
        }
        other.recv().await
    });
    soon("sending", sending).await.unwrap();
    assert_eq!(soon("the text", reading).await.unwrap(), Some(Message::from(text)));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tasks_that_wait_for_a_writable_channel_are_woken() {
    let (_caller, mut callee, channel) = pair_of(small_receive_buffer()).await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let senders: Vec<_> = (0..8u8)
        .map(|number| {
            let channel = channel.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    channel.send(vec![number; 100_000]).await.unwrap();
                }
            })
        })
        .collect();
    // A task that was cancelled while it waited takes no wakeup away from others.
    let cancelled = tokio::spawn({
        let channel = channel.clone();
        async move { fill(&channel, &[8; 100_000]).await }
    });
    let mut received = soon("cancelling", cancelled).await.unwrap() + 80;
    while received > 0 {
        assert_eq!(soon("a message", other.recv()).await.map(|message| message.len()), Some(100_000));
        received -= 1;
    }
    for sender in senders {
        soon("a sender", sender).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_wait_for_different_thresholds_of_the_buffered_amount() {
    let (_caller, mut callee, channel) = pair_of(small_receive_buffer()).await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    for _ in 0..30 {
        channel.try_send(vec![0; 100_000]).unwrap();
    }
    let waiting: Vec<_> = [0, 1_000_000, 300_000, 1_000_000]
        .map(|threshold| {
            let channel = channel.clone();
            tokio::spawn(async move {
                channel.buffered_amount_low(threshold).await.unwrap();
                assert!(channel.buffered_amount() <= threshold);
            })
        })
        .into();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(waiting.iter().all(|task| !task.is_finished()) && channel.buffered_amount() > 1_000_000);
    for _ in 0..30 {
        assert!(soon("a message", other.recv()).await.is_some());
    }
    for task in waiting {
        soon("a low buffered amount", task).await.unwrap();
    }
}
