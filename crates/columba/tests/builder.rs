//! Building peer connections: with a runtime, and without one.
#![allow(missing_docs, reason = "a test")]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use columba::{Configuration, DataChannelInit, Error, Event, IceServer, Message, PeerConnection, PeerError};
use tokio::runtime::Builder;

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on a thread that is in no runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        thread::park();
    }
}

#[test]
fn build_without_a_runtime_is_an_error() {
    assert_eq!(PeerConnection::new(Configuration::default()).map(|_| ()), Err(Error::NoRuntime));
    assert_eq!(PeerConnection::builder().build().map(|_| ()), Err(Error::NoRuntime));
}

#[test]
fn given_runtime_drives_connections_outside_of_it() {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let build = || PeerConnection::builder().runtime(runtime.handle().clone()).build().unwrap();
    let ((caller, mut from_caller), (callee, mut from_callee)) = (build(), build());
    let init = DataChannelInit { negotiated: Some(1), ..DataChannelInit::default() };
    let ours = caller.create_data_channel("a channel", init.clone()).unwrap();
    let theirs = callee.create_data_channel("a channel", init).unwrap();
    block_on(async {
        caller.set_local_description(None).await.unwrap();
        while !matches!(from_caller.recv().await, Some(Event::IceCandidate(None))) {}
        callee.set_remote_description(caller.local_description().unwrap()).await.unwrap();
        callee.set_local_description(None).await.unwrap();
        while !matches!(from_callee.recv().await, Some(Event::IceCandidate(None))) {}
        caller.set_remote_description(callee.local_description().unwrap()).await.unwrap();
        ours.send("hello").await.unwrap();
        assert_eq!(theirs.recv().await, Some(Message::from("hello")));
        caller.close().await;
        callee.close().await;
    });
}

#[tokio::test]
async fn given_configuration_is_used() {
    let urls = vec!["http://example.org".to_owned()];
    let ice_servers = vec![IceServer { urls, ..IceServer::default() }];
    let configuration = Configuration { ice_servers, ..Configuration::default() };
    let error = PeerConnection::builder().configuration(configuration).build().map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Peer(PeerError::InvalidIceServer { .. })), "{error}");
}

/// When the runtime ends, the connection is closed, and no call waits for ever.
#[test]
fn end_of_the_runtime_ends_all_waiting() {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let (connection, mut events) =
        PeerConnection::builder().runtime(runtime.handle().clone()).build().unwrap();
    let channel = connection.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    drop(runtime);
    block_on(async {
        assert!(channel.send("never").await.is_err());
        assert_eq!(channel.recv().await, None);
        while events.recv().await.is_some() {}
        connection.close().await;
    });
}
