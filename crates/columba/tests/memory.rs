//! The memory of idle connections, and what is left once they are closed. A file of its own,
//! because open files are counted for the whole process.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::time::Duration;

use allocation_counter::measure;
use columba::{Configuration, DataChannel, DataChannelInit, Event, Events, Message, PeerConnection};
use common::soon;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Connections at once; each has two peers.
const CONNECTIONS: usize = 8;

/// Bytes of the heap of an idle peer, at most.
const IDLE_HEAP: i64 = 36_000;

/// Heap bytes for each closed peer that the runtime may keep for later.
const CLOSED_HEAP: i64 = 256;

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

/// Connections whose channels have carried a message each way, and are idle.
async fn open() -> Open {
    let mut all = Vec::with_capacity(CONNECTIONS);
    let (opened, mut channels) = mpsc::channel(1);
    for _ in 0..CONNECTIONS {
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
        soon("sending", theirs.send("hello")).await.unwrap();
        assert_eq!(soon("a message", ours.recv()).await, Some(Message::from("hello")));
        all.push((caller, callee, ours, theirs));
    }
    sleep(Duration::from_secs(2)).await;
    all
}

async fn close(all: Open) {
    for (caller, callee, _, _) in all {
        soon("closing", caller.close()).await;
        soon("closing", callee.close()).await;
    }
    sleep(Duration::from_millis(300)).await;
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn tasks(runtime: &Runtime) -> usize {
    runtime.metrics().num_alive_tasks()
}

/// All tasks run on this thread, so that all of their allocations are counted.
#[test]
fn idle_peers_are_small_and_closed_ones_leave_nothing() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    // The buffers of the thread, and what lives as long as the process.
    runtime.block_on(async { close(open().await).await });
    let (files_before, tasks_before) = (files(), tasks(&runtime));
    let peers = 2 * CONNECTIONS as i64;
    let mut all = Vec::new();
    let opened = measure(|| all = runtime.block_on(open()));
    assert!(files() > files_before && tasks(&runtime) > tasks_before);
    let heap = opened.bytes_current / peers;
    println!("an idle peer has {heap} bytes on the heap");
    assert!(heap <= IDLE_HEAP, "an idle peer has {heap} bytes on the heap");

    let closed = measure(|| runtime.block_on(close(all)));
    assert_eq!((files(), tasks(&runtime)), (files_before, tasks_before));
    let left = (opened.bytes_current + closed.bytes_current) / peers;
    assert!(left <= CLOSED_HEAP, "a closed peer leaves {left} bytes on the heap");
}
