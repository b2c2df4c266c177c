//! Building peer connections: with a runtime, and without one.
#![allow(missing_docs, reason = "a test")]

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use columba::{
    Certificate, Configuration, DataChannelInit, DtlsStats, DtlsVersions, Error, Event, IceServer,
    KeyAlgorithm, KeyLog, Message, PeerConnection, PeerError,
};
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

/// The lines that were written down.
#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl KeyLog for Lines {
    fn log(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// Connects two peers, with certificates of these kinds. Returns the first one's statistics.
async fn connect(kinds: [KeyAlgorithm; 2], versions: DtlsVersions, log: &Arc<Lines>) -> DtlsStats {
    let mut peers = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        let certificate = PeerConnection::generate_certificate(kind, None).await.unwrap();
        // It is kept and read again.
        let certificate = Certificate::from_pem(&certificate.to_pem()).unwrap();
        let key_log = (index == 0).then(|| log.clone() as Arc<dyn KeyLog>);
        let configuration = Configuration {
            certificates: vec![certificate],
            dtls_versions: versions,
            key_log,
            ..Configuration::default()
        };
        peers.push(PeerConnection::new(configuration).unwrap());
    }
    let ((callee, mut from_callee), (caller, mut from_caller)) = (peers.pop().unwrap(), peers.pop().unwrap());
    let init = DataChannelInit { negotiated: Some(1), ..DataChannelInit::default() };
    let ours = caller.create_data_channel("a channel", init.clone()).unwrap();
    let theirs = callee.create_data_channel("a channel", init).unwrap();
    caller.set_local_description(None).await.unwrap();
    while !matches!(from_caller.recv().await, Some(Event::IceCandidate(None))) {}
    callee.set_remote_description(caller.local_description().unwrap()).await.unwrap();
    callee.set_local_description(None).await.unwrap();
    while !matches!(from_callee.recv().await, Some(Event::IceCandidate(None))) {}
    caller.set_remote_description(callee.local_description().unwrap()).await.unwrap();
    ours.send("hello").await.unwrap();
    assert_eq!(theirs.recv().await, Some(Message::from("hello")));
    let stats = caller.stats().transports.remove(0).dtls;
    caller.close().await;
    callee.close().await;
    stats
}

#[tokio::test]
async fn certificates_of_every_kind_connect() {
    use KeyAlgorithm as K;
    let log = Arc::default();
    for kinds in [[K::Rsa2048, K::EcdsaP256], [K::Ed25519, K::Rsa2048], [K::EcdsaP384, K::Ed25519]] {
        for versions in [DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
            let stats = connect(kinds, versions, &log).await;
            let name = if versions == DtlsVersions::Dtls12 { "DTLS 1.2" } else { "DTLS 1.3" };
            assert_eq!(stats.version, Some(name), "{kinds:?}");
            assert!(stats.cipher.is_some() && stats.group.is_some() && stats.role.is_some());
            assert!(stats.remote_certificate.is_some());
        }
    }
}

#[tokio::test]
async fn secrets_are_written_down_for_who_asks_for_them() {
    for (versions, label) in
        [(DtlsVersions::Dtls12, "CLIENT_RANDOM"), (DtlsVersions::Dtls13, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")]
    {
        let log = Arc::new(Lines::default());
        connect([KeyAlgorithm::EcdsaP256; 2], versions, &log).await;
        let lines = log.0.lock().unwrap();
        assert!(lines.iter().any(|line| line.starts_with(label)), "{} lines", lines.len());
    }
}

#[tokio::test]
async fn lifetimes_of_certificates_are_bounded() {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    for (asked, given) in [(None, 30), (Some(days(3)), 3), (Some(days(10_000)), 365)] {
        let before = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let certificate = PeerConnection::generate_certificate(KeyAlgorithm::EcdsaP256, asked).await.unwrap();
        let expires = certificate.expires().0;
        assert!(expires >= before + days(given) && expires < before + days(given + 1), "{asked:?}");
    }
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
