//! The resident memory of idle connections. A file of its own, because it is counted for the whole
//! process.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test")]

mod common;

use std::time::Duration;

use columba::{Configuration, DataChannel, DataChannelInit, Event, Events, Message, PeerConnection};
use common::soon;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Connections at once; each has two peers.
const CONNECTIONS: usize = 200;

/// Connections before anything is counted, for the buffers of threads.
const WARM_UP: usize = 4;

/// Resident bytes of an idle peer, at most, with what the cryptography library allocates.
const IDLE: usize = 40_000;

/// Resident bytes of each closed peer that the allocator may keep for later, after all were opened
/// and closed twice. What it keeps the second time, it has from the first.
const GROWTH: usize = 2_000;

type Open = Vec<(PeerConnection, PeerConnection, DataChannel, DataChannel)>;

/// Gives the candidates of one side to the other, and returns its channel to the test.
async fn forward(mut events: Events, to: PeerConnection, channels: mpsc::Sender<DataChannel>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(Some(candidate)) => {
                // The other side may be closed by now.
                let _ = to.add_ice_candidate(candidate.init).await;
            }
            Event::DataChannel(channel) => channels.send(channel).await.unwrap(),
            _ => {}
        }
    }
}

/// Connections whose channels have carried a message, and are idle.
async fn open(count: usize) -> Open {
    let mut all = Vec::with_capacity(count);
    let (opened, mut channels) = mpsc::channel(1);
    for _ in 0..count {
        let (caller, caller_events) = PeerConnection::new(Configuration::default()).unwrap();
        let (callee, callee_events) = PeerConnection::new(Configuration::default()).unwrap();
        let ours = caller.create_data_channel("a channel", DataChannelInit::default()).unwrap();
        callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
        caller.set_remote_description(callee.set_local_description(None).await.unwrap()).await.unwrap();
        tokio::spawn(forward(caller_events, callee.clone(), opened.clone()));
        tokio::spawn(forward(callee_events, caller.clone(), opened.clone()));
        soon("sending", ours.send("hello")).await.unwrap();
        let theirs = soon("a channel", channels.recv()).await.unwrap();
        assert_eq!(soon("a message", theirs.recv()).await, Some(Message::from("hello")));
        all.push((caller, callee, ours, theirs));
    }
    // Until the last timers of the handshakes are over.
    sleep(Duration::from_secs(3)).await;
    all
}

async fn close(all: Open) {
    for (caller, callee, _, _) in all {
        soon("closing", caller.close()).await;
        soon("closing", callee.close()).await;
    }
}

/// The resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn four_hundred_idle_peers_take_at_most_40_kb_each() {
    close(open(WARM_UP).await).await;
    let before = resident();
    let all = open(CONNECTIONS).await;
    let idle = resident().saturating_sub(before) / (2 * CONNECTIONS);
    close(all).await;
    let closed = resident();
    close(open(CONNECTIONS).await).await;
    let growth = resident().saturating_sub(closed) / (2 * CONNECTIONS);
    println!("an idle peer has {idle} resident bytes; opened and closed again, each leaves {growth}");
    assert!(idle <= IDLE, "an idle peer has {idle} resident bytes");
    assert!(growth <= GROWTH, "a closed peer leaves {growth} resident bytes");
}
